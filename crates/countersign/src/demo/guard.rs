//! `countersign guard`: a gate in front of somebody's own service, with one command and no file.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::Serialize;

use super::family::{FAMILIES, Family, Shown, ShownAccount};
use super::folder::{Folder, write_private};
use super::{accounts_text, base_url, free_or_any, reachable, usual_prefix};
use crate::cli::Guard;
use crate::config::value::Origin;
use crate::config::{Loaded, LogFormat, nearest};
use crate::dialects::{self, CredentialOutline, EMBEDDED, Outline};
use crate::output::{Failure, Output};
use crate::record::{NewAccount, Whose};
use crate::serve::{self, OnHangup, Signals};
use crate::wire::{self, Identities};
use crate::{entropy, logging};

/// The port, if nobody says another.
const PORT: u16 = 8080;

/// The listener and the API, in the configuration that is written.
const NAME: &str = "guarded";

/// The one account.
const USER: &str = "admin";

/// What scripts get.
#[derive(Serialize)]
struct Document {
    administration: String,
    #[serde(flatten)]
    api: Shown,
    data: String,
}

/// Runs it until it is told to stop.
///
/// # Errors
/// If the command line is wrong, or something cannot be written, opened or bound.
pub(crate) fn run(options: &Guard, output: Output) -> Result<(), Failure> {
    let upstream: Origin = options.url.parse().map_err(Failure::usage)?;
    let here = std::env::current_dir()?;
    let (dialect, outline) = dialect(&options.dialect, &here)?;
    let family = FAMILIES.iter().find(|family| family.dialect == dialect);
    let listen = options.listen.unwrap_or_else(|| free_or_any(PORT));
    let text = configuration(&upstream, &dialect, listen);
    // Nothing is written before it is known to be good.
    let loaded = checked(&options.data, &text)?;
    let log = logging::start(LogFormat::Text, "info")?;
    let folder = Folder::open(Some(&options.data), NAME)?;

    serve::on_control_plane(async {
        let mut signals = Signals::listen()?;
        let taken = serve::take_store(&loaded, &mut signals, OnHangup::Stop).await?;
        let Some(identities) = taken else { return Ok(()) };
        // Only now: where another gate has the store, the file is that gate's.
        write_private(&loaded.file, &text)?;
        // The account comes after all that can fail: its password is shown once.
        let running = wire::start(&loaded, &identities, &log).await?;
        let account = administrator(&identities, family).await?;
        let prefix = family.map_or("", |family| family.prefix);
        let api = Shown {
            name: NAME.to_owned(),
            dialect: dialect.clone(),
            base_url: base_url(&running, NAME, prefix),
            accounts: account.into_iter().collect(),
            secrets: BTreeMap::new(),
        };
        let administration = format!("http://{}", reachable(running.administration));
        let door = serve::take_orders(&loaded, &identities)?;
        let document = Document { administration, api, data: folder.path().display().to_string() };
        output.answer(&document, |document| text_of(document, &upstream, family, &outline, listen))?;
        serve::until_stopped(&loaded, &identities, (running, door), signals, OnHangup::Stop).await?;
        Ok(())
    })
}

/// The dialect as the configuration names it, and what it is: a file by its whole path, since the configuration
/// lies elsewhere.
fn dialect(name: &str, here: &Path) -> Result<(String, Outline), Failure> {
    match dialects::fetch(name, Path::new("")) {
        Ok(text) => {
            let problems = wire::dialect_problems(&text.file, &text.text);
            if !problems.is_empty() {
                return Err(Failure::Mistakes(problems));
            }
            let file = dialects::is_file(name).then(|| here.join(&text.file).display().to_string());
            Ok((file.unwrap_or_else(|| name.to_owned()), dialects::outline(&text.text)))
        }
        Err(error) => {
            let near = nearest(name, EMBEDDED.iter().map(|dialect| dialect.name));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(Failure::usage(format!("{error}{hint}")))
        }
    }
}

/// Checks the configuration before anything is written.
fn checked(folder: &Path, text: &str) -> Result<Loaded, Failure> {
    let file = folder.join("countersign.toml");
    let loaded = Loaded::parse(&file, folder, text).map_err(Failure::Mistakes)?;
    let mistakes = wire::problems(&loaded);
    if mistakes.is_empty() { Ok(loaded) } else { Err(Failure::Mistakes(mistakes)) }
}

fn configuration(upstream: &Origin, dialect: &str, listen: SocketAddr) -> String {
    // The service that is guarded is whole by itself: what a dialect could mount beside it stays away.
    let mut left: Vec<String> = dialects::fetch(dialect, Path::new(""))
        .map(|text| dialects::outline(&text.text).services.into_iter().map(|(_, service)| service).collect())
        .unwrap_or_default();
    left.sort();
    left.dedup();
    let left = if left.is_empty() { String::new() } else { format!("left_to_upstream = {left:?}\n") };
    let prefix = usual_prefix(dialect);
    let dialect = toml::Value::String(dialect.to_owned());
    let administration = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    format!(
        "# Written by `countersign guard`; a copy of it is a good beginning for `countersign serve`.\n\
         [administration]\nlisten = \"{administration}\"\n\n[[listener]]\nname = \"{NAME}\"\naddress = \"{listen}\"\n\n\
         [[api]]\nname = \"{NAME}\"\ndialect = {dialect}\nat = [\"{prefix}\"]\nupstream = \"{upstream}\"\n{left}\n\
         [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
    )
}

/// Makes the one account, if it is not there; only then its password is known.
async fn administrator(
    identities: &Identities,
    family: Option<&Family>,
) -> Result<Option<ShownAccount>, Failure> {
    let kind = family.map_or("users", |family| family.people);
    let whose = Whose { kind: kind.to_owned(), name: USER.to_owned() };
    let known = identities.accounts(Some(kind)).await?;
    if known.iter().any(|account| account.whose == whose) {
        return Ok(None);
    }
    let password = entropy::password()?;
    let shown = ShownAccount {
        kind: kind.to_owned(),
        user: USER.to_owned(),
        password: password.expose().to_owned(),
        roles: vec![wire::ADMINISTRATOR_ROLE.to_owned()],
        keys: BTreeMap::new(),
    };
    let account = NewAccount {
        whose,
        subject: None,
        first_name: String::new(),
        last_name: String::from("Administrator"),
        email: String::new(),
        tenant: None,
        roles: shown.roles.clone(),
        keys: BTreeMap::new(),
        weaker: Vec::new(),
    };
    identities.add_account(account, Some(password)).await?;
    Ok(Some(shown))
}

/// A line that proves who one is at an API whose dialect nobody here knows: with Basic if the dialect has it,
/// otherwise at the endpoint that issues something for a password.
fn attempt(outline: &Outline, api: &Shown) -> Option<String> {
    let password = api.accounts.first().map_or("PASSWORD", |account| account.password.as_str());
    let base = &api.base_url;
    let deployment = outline.deployments.first().map(String::as_str);
    let on = || outline.credentials.iter().filter(|credential| credential.is_on(deployment, &[], &[]));
    if on().any(CredentialOutline::is_basic) {
        return Some(format!("curl -si -u {USER}:{password} {base}/\n"));
    }
    outline.issuing.iter().find_map(|endpoint| {
        let accepted = |credential: &&CredentialOutline| endpoint.accepts.contains(&credential.name);
        let (user_member, password_member) =
            on().filter(accepted).find_map(CredentialOutline::body_members)?;
        let (method, path) = endpoint.at.split_once(' ').unwrap_or(("POST", &endpoint.at));
        let method = method.split('|').next().unwrap_or("POST");
        let body = if endpoint.reads.iter().any(|media| media == "json") {
            let fields = serde_json::json!({ user_member: USER, password_member: password });
            format!("-H 'Content-Type: application/json' -d '{fields}'")
        } else {
            format!("-d '{user_member}={USER}' -d '{password_member}={password}'")
        };
        Some(format!("curl -si -X {method} '{base}{path}' {body}\n"))
    })
}

fn text_of(
    document: &Document,
    upstream: &Origin,
    family: Option<&Family>,
    outline: &Outline,
    listen: SocketAddr,
) -> String {
    let Document { administration, api, data } = document;
    let mut text =
        format!("{} stands in front of {upstream}; whoever proves who he is gets through.\n", api.base_url);
    if listen.ip().is_unspecified() {
        text.push_str(&format!("It listens on every address of this machine ({}), in clear.\n", listen.ip()));
    }
    if api.accounts.is_empty() {
        let config = Path::new(data).join("countersign.toml");
        let kind = family.map_or("users", |family| family.people);
        text.push_str(&format!(
            "The account {USER} was made earlier. A new password: countersign user set-password {USER} --kind {kind} --config {}\n",
            config.display()
        ));
    } else {
        text.push_str(&accounts_text(&api.accounts));
        text.push_str("   (the password is shown only now)\n");
        let lines = match family {
            Some(family) => Some((family.knock)(api)),
            None => attempt(outline, api),
        };
        if let Some(lines) = lines {
            text.push('\n');
            text.push_str(&lines);
        }
    }
    if dialects::is_file(&api.dialect) {
        text.push_str(
            "\nThe dialect is read at the start: stop this and start it again when the file has changed.\n",
        );
    }
    text.push_str(&format!(
        "\nHealth and metrics: {administration}/ready  {administration}/metrics\nCtrl-C stops it.\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shown() -> Shown {
        Shown {
            name: NAME.to_owned(),
            dialect: String::from("./mine.toml"),
            base_url: String::from("http://127.0.0.1:1"),
            accounts: Vec::new(),
            secrets: BTreeMap::new(),
        }
    }

    #[test]
    fn ones_own_dialect_gets_a_line_to_try() {
        let basic = "[credential.b]\nscheme = 'password'\nfrom = 'authorization Basic'\n";
        let login = "[credential.l]\nscheme = 'password'\nfrom = { user = 'body u', password = 'body p' }\n\
                     [endpoint.in]\nat = 'POST /in'\noperation = 'issue'\naccepts = ['l']\n";
        let line = |text: &str| attempt(&dialects::outline(text), &shown());
        assert_eq!(line(basic).unwrap(), "curl -si -u admin:PASSWORD http://127.0.0.1:1/\n");
        let off = format!("{basic}deployments = []\n{login}");
        let form = "curl -si -X POST 'http://127.0.0.1:1/in' -d 'u=admin' -d 'p=PASSWORD'\n";
        assert_eq!(line(&off).unwrap(), form);
        let json = format!("{login}reads = ['json']\n");
        assert!(line(&json).unwrap().ends_with("-d '{\"p\":\"PASSWORD\",\"u\":\"admin\"}'\n"));
        let clients = basic.replace("[credential.b]", "[credential.b]\naccounts = 'clients'");
        assert_eq!(line(&clients), None);
        assert_eq!(line("[credential.t]\nscheme = 'token'\n"), None);
    }

    #[test]
    fn a_broken_dialect_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        std::fs::write(&file, "schema = 1\nnam = \"x\"\n").unwrap();
        let data = folder.path().join("data");
        let guard = |dialect: &Path| Guard {
            url: String::from("http://127.0.0.1:9"),
            dialect: dialect.display().to_string(),
            listen: None,
            data: data.clone(),
        };
        let output = Output::new(crate::output::Format::Text);
        let told = run(&guard(&file), output).unwrap_err().to_string();
        assert!(told.contains(&format!("{}:2: unknown key `nam`", file.display())), "{told}");
        let told = run(&guard(&folder.path().join("././none.toml")), output).unwrap_err().to_string();
        assert!(told.contains("none.toml: No such file") && !told.contains("./none"), "{told}");
        assert!(!data.exists());
    }
}
