//! `countersign demo` and `countersign guard`: a gate without a configuration file of one's own.
//!
//! Both write a configuration like any other and start the gate that it describes; nothing here goes past
//! what a user could write himself. Vendors' words stand below this module only.

mod family;
mod folder;
mod guard;
mod kept;
mod keyring;
mod sample;
mod service;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use self::family::{FAMILIES, Family, SecretSeed, Seed, Shown, ShownAccount};
use self::folder::Folder;
use self::kept::Kept;
use self::keyring::Keyring;
use self::service::Server;
use crate::cli::Demo;
use crate::config::{Loaded, LogFormat};
use crate::logging;
use crate::output::{Failure, Output};
use crate::record::{NewAccount, NewKey, Whose};
use crate::serve::{self, OnHangup, Signals};
use crate::wire::{self, Identities, Running};

pub(crate) use self::guard::run as guard;

/// The prefix that APIs of a dialect usually have; `/` where there is none, or where nobody knows.
pub(crate) fn usual_prefix(dialect: &str) -> &'static str {
    let family = FAMILIES.iter().find(|family| family.dialect == dialect);
    family.map(|family| family.prefix).filter(|prefix| !prefix.is_empty()).unwrap_or("/")
}

/// The port of the first API, if nobody says another: the others follow.
const PORT: u16 = 8081;

/// What scripts get.
#[derive(Serialize)]
struct Document {
    administration: String,
    apis: Vec<Shown>,
    data: String,
}

/// Runs the demo until it is told to stop.
///
/// # Errors
/// If something cannot be written, opened or bound.
pub(crate) fn run(options: &Demo, output: Output) -> Result<(), Failure> {
    let log = logging::start(LogFormat::Text, LOG_LEVEL)?;
    let folder = Folder::open(options.data.as_deref(), "countersign-demo")?;
    serve::on_control_plane(async {
        let mut signals = Signals::listen()?;
        let keys = Arc::new(Keyring::default());
        let servers = start_services(&keys).await?;
        let mut kept = Kept::read(folder.path())?;
        write_shared(&mut kept, folder.path())?;

        let text = configuration(&servers, &addresses(options.listen));
        let loaded = load(folder.path(), &text)?;
        let taken = serve::take_store(&loaded, &mut signals, OnHangup::Stop).await?;
        let Some(identities) = taken else { return Ok(()) };
        let accounts = seed(&identities, &mut kept).await?;
        kept.write(folder.path())?;
        let running = wire::start(&loaded, &identities, &log).await?;
        let door = serve::take_orders(&loaded, &identities)?;
        keys.publish(running.administration);

        let document = document(&running, &kept, &accounts, folder.path());
        output.answer(&document, text_of)?;
        serve::until_stopped(&loaded, &identities, (running, door), signals, OnHangup::Stop).await?;
        drop(servers);
        Ok(())
    })?;
    folder.close();
    Ok(())
}

/// What the demo logs: its own trouble, not each request.
const LOG_LEVEL: &str = "warn";

async fn start_services(keys: &Arc<Keyring>) -> Result<Vec<Server>, Failure> {
    let mut servers = Vec::with_capacity(FAMILIES.len());
    for family in FAMILIES {
        servers.push(service::start((family.sample)(), family.name, Arc::clone(keys)).await?);
    }
    Ok(servers)
}

/// Where each API listens: from the address that was named on, or from the usual port, going around what is taken.
fn addresses(listen: Option<SocketAddr>) -> Vec<SocketAddr> {
    let steps = 0..u16::try_from(FAMILIES.len()).unwrap_or(0);
    match listen {
        Some(base) if base.port() == 0 => steps.map(|_| base).collect(),
        Some(base) => steps.map(|step| SocketAddr::new(base.ip(), base.port().wrapping_add(step))).collect(),
        None => steps.map(|step| free_or_any(PORT + step)).collect(),
    }
}

/// That port on this machine if nobody has it, else any.
fn free_or_any(port: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if TcpListener::bind(address).is_ok() { address } else { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
}

/// The configuration of the whole demo.
fn configuration(servers: &[Server], addresses: &[SocketAddr]) -> String {
    let mut text = String::from(
        "# Written by `countersign demo`.\n[store]\npath = \"demo.db\"\n[administration]\nlisten = \"127.0.0.1:0\"\n",
    );
    for (family, address) in FAMILIES.iter().zip(addresses) {
        text.push_str(&format!("[[listener]]\nname = \"{}\"\naddress = \"{address}\"\n", family.name));
    }
    for (family, server) in FAMILIES.iter().zip(servers) {
        let Family { name, dialect, settings, .. } = family;
        let prefix = if family.prefix.is_empty() { "/" } else { family.prefix };
        text.push_str(&format!(
            "\n[[api]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nat = [\"{prefix}\"]\nlisteners = [\"{name}\"]\n\
             upstream = \"http://{}\"\n{}\n",
            server.address,
            settings.trim()
        ));
    }
    text
}

/// Writes a configuration and reads it back, as anybody would.
fn load(folder: &Path, text: &str) -> Result<Loaded, Failure> {
    let file = folder.join("countersign.toml");
    folder::write_private(&file, text)?;
    let loaded = Loaded::read(&file).map_err(Failure::Mistakes)?;
    let mistakes = wire::problems(&loaded);
    if mistakes.is_empty() { Ok(loaded) } else { Err(Failure::Mistakes(mistakes)) }
}

/// Makes the values that an operator sets, each in the file that the configuration names.
fn write_shared(kept: &mut Kept, folder: &Path) -> Result<(), Failure> {
    for family in FAMILIES {
        for secret in family.secrets {
            if let SecretSeed::Shared { name, word } = secret {
                let value = kept.secret(family.name, name)?.to_owned();
                folder::write_private(&folder.join(format!("{word}.txt")), &value)?;
            }
        }
    }
    Ok(())
}

/// Makes the accounts and secrets that are not there yet; says what accounts each API has.
async fn seed(identities: &Identities, kept: &mut Kept) -> Result<Vec<Vec<ShownAccount>>, Failure> {
    let mut known: Vec<Whose> =
        identities.accounts(None).await?.into_iter().map(|account| account.whose).collect();
    let mut shown = Vec::with_capacity(FAMILIES.len());
    for family in FAMILIES {
        let mut accounts = Vec::with_capacity(family.accounts.len());
        for seed in family.accounts {
            let password = kept.password(seed.kind, seed.user)?.to_owned();
            add(identities, &mut known, new_account(seed), &password).await?;
            accounts.push(shown_account(seed, password));
        }
        for secret in family.secrets {
            let (name, application) = match secret {
                SecretSeed::Shared { .. } => continue,
                SecretSeed::Application { name, application } | SecretSeed::Key { name, application } => {
                    (*name, *application)
                }
            };
            let password = kept.password("applications", application)?.to_owned();
            let seed = application_seed(application);
            let mut account = new_account(&seed);
            account.keys.insert(String::from("application"), application.to_owned());
            add(identities, &mut known, account, &password).await?;
            match secret {
                SecretSeed::Shared { .. } => {}
                SecretSeed::Application { .. } => {
                    let value = countersign_auth::secret::Secret::new(kept.secret(family.name, name)?);
                    identities.set_application_secret(family.name, application, value).await?;
                }
                SecretSeed::Key { .. } => {
                    if !kept.has_secret(family.name, name) {
                        let (_, value) = identities.create_key(new_key(family.name, application)).await?;
                        kept.keep_secret(family.name, name, value.expose());
                    }
                }
            }
        }
        shown.push(accounts);
    }
    Ok(shown)
}

async fn add(
    identities: &Identities,
    known: &mut Vec<Whose>,
    account: NewAccount,
    password: &str,
) -> Result<(), Failure> {
    if !known.contains(&account.whose) {
        known.push(account.whose.clone());
        identities.add_account(account, Some(countersign_auth::secret::Secret::new(password))).await?;
    }
    Ok(())
}

const fn application_seed(application: &'static str) -> Seed {
    Seed {
        kind: "applications",
        user: application,
        first_name: "",
        last_name: "",
        tenant: None,
        roles: &[],
        keys: &[],
    }
}

fn new_key(api: &str, application: &str) -> NewKey {
    NewKey {
        api: api.to_owned(),
        owner: application.to_owned(),
        label: String::from("demo"),
        description: String::from("made by the demo"),
        lifetime: None,
    }
}

fn pairs(keys: &[(&str, &str)]) -> BTreeMap<String, String> {
    keys.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn new_account(seed: &Seed) -> NewAccount {
    NewAccount {
        whose: Whose { kind: seed.kind.to_owned(), name: seed.user.to_owned() },
        subject: None,
        first_name: seed.first_name.to_owned(),
        last_name: seed.last_name.to_owned(),
        email: if seed.user.contains('@') { seed.user.to_owned() } else { String::new() },
        tenant: seed.tenant.map(str::to_owned),
        roles: seed.roles.iter().map(|role| (*role).to_owned()).collect(),
        keys: pairs(seed.keys),
        weaker: Vec::new(),
    }
}

fn shown_account(seed: &Seed, password: String) -> ShownAccount {
    ShownAccount {
        kind: seed.kind.to_owned(),
        user: seed.user.to_owned(),
        password,
        roles: seed.roles.iter().map(|role| (*role).to_owned()).collect(),
        keys: pairs(seed.keys),
    }
}

/// Scheme, host, port and prefix of an API. An address that means "every one of mine" is reached on this machine.
fn base_url(running: &Running, listener: &str, prefix: &str) -> String {
    let address = running.listeners.iter().find(|(name, _)| name == listener).map(|(_, address)| *address);
    address.map(|address| format!("http://{}{prefix}", reachable(address))).unwrap_or_default()
}

fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
    } else {
        address
    }
}

fn document(running: &Running, kept: &Kept, accounts: &[Vec<ShownAccount>], data: &Path) -> Document {
    let api = |(family, accounts): (&Family, &Vec<ShownAccount>)| Shown {
        name: family.name.to_owned(),
        dialect: family.dialect.to_owned(),
        base_url: base_url(running, family.name, family.prefix),
        accounts: accounts.clone(),
        secrets: kept.secrets_of(family.name),
    };
    Document {
        administration: format!("http://{}", reachable(running.administration)),
        apis: FAMILIES.iter().zip(accounts).map(api).collect(),
        data: data.display().to_string(),
    }
}

fn text_of(document: &Document) -> String {
    let mut text = String::from(
        "Countersign's demo: every dialect in front of a sample service. Paste a line to try it.\n",
    );
    for (family, shown) in FAMILIES.iter().zip(&document.apis) {
        text.push_str(&format!(
            "\n── {}: {} ({}) at {}\n",
            shown.dialect, shown.name, family.about, shown.base_url
        ));
        text.push_str(&accounts_text(&shown.accounts));
        for (name, value) in &shown.secrets {
            text.push_str(&format!("   {name:16} {value}\n"));
        }
        text.push('\n');
        text.push_str(&(family.lines)(shown));
    }
    let Document { administration, data, .. } = document;
    text.push_str(&format!(
        "\nHealth, metrics and keys: {administration}/ready  {administration}/metrics  {administration}{}\n\
         Accounts and sessions: {data}   countersign user list --config {}\nCtrl-C stops it.\n",
        wire::JWKS_PATH,
        Path::new(data).join("countersign.toml").display()
    ));
    text
}

/// Accounts for people: who, password, and what he is.
fn accounts_text(accounts: &[ShownAccount]) -> String {
    let line = |account: &ShownAccount| {
        let ShownAccount { kind, user, password, roles, keys } = account;
        let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let what = [roles.join(" "), keys.join(" ")].join(" ");
        format!("   {kind:13} {user:22} {password}  {}", what.trim()).trim_end().to_owned() + "\n"
    };
    accounts.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
