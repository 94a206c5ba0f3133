//! `countersign guard`: a gate in front of somebody's own service, with one command and no file.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::family::{FAMILIES, Family, Shown, ShownAccount};
use super::folder::Folder;
use super::{accounts_text, base_url, free_or_any, load, reachable};
use crate::cli::Guard;
use crate::config::value::Origin;
use crate::config::{LogFormat, nearest};
use crate::dialects::{self, EMBEDDED};
use crate::output::{Failure, Output};
use crate::record::{NewAccount, Whose};
use crate::serve::{self, Signals};
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
    let dialect = dialect(&options.dialect, &here)?;
    let family = FAMILIES.iter().find(|family| family.dialect == dialect);
    let listen = options.listen.unwrap_or_else(|| free_or_any(PORT));
    let _log = logging::start(LogFormat::Text, "info")?;
    let folder = Folder::open(Some(&options.data), NAME)?;

    serve::control_plane()?.block_on(async {
        let signals = Signals::listen()?;
        let loaded = load(folder.path(), &configuration(&upstream, &dialect, family, listen))?;
        let identities = Arc::new(Identities::open(&loaded).await?);
        let account = administrator(&identities, family).await?;
        let running = wire::start(&loaded, &identities).await?;
        let prefix = family.map_or("", |family| family.prefix);
        let api = Shown {
            name: NAME.to_owned(),
            dialect: dialect.clone(),
            base_url: base_url(&running, NAME, prefix),
            accounts: account.into_iter().collect(),
            secrets: BTreeMap::new(),
        };
        let administration = format!("http://{}", reachable(running.administration));
        let document = Document { administration, api, data: folder.path().display().to_string() };
        output.answer(&document, |document| text_of(document, &upstream, family))?;
        serve::until_stopped(&loaded, &identities, running, signals).await?;
        Ok::<_, Failure>(())
    })
}

/// The dialect as the configuration names it: a file by its whole path, since the configuration lies elsewhere.
fn dialect(name: &str, here: &Path) -> Result<String, Failure> {
    match dialects::fetch(name, here) {
        Ok(text) if dialects::is_file(name) => Ok(text.file),
        Ok(_) => Ok(name.to_owned()),
        Err(error) => {
            let near = nearest(name, EMBEDDED.iter().map(|dialect| dialect.name));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(Failure::usage(format!("{error}{hint}")))
        }
    }
}

fn configuration(upstream: &Origin, dialect: &str, family: Option<&Family>, listen: SocketAddr) -> String {
    let prefix = family.map(|family| family.prefix).filter(|prefix| !prefix.is_empty()).unwrap_or("/");
    let dialect = toml::Value::String(dialect.to_owned());
    let administration = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    format!(
        "# Written by `countersign guard`; a copy of it is a good beginning for `countersign serve`.\n\
         [administration]\nlisten = \"{administration}\"\n\n[[listener]]\nname = \"{NAME}\"\naddress = \"{listen}\"\n\n\
         [[api]]\nname = \"{NAME}\"\ndialect = {dialect}\nat = [\"{prefix}\"]\nupstream = \"{upstream}\"\n\n\
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
    };
    identities.add_account(account, password).await?;
    Ok(Some(shown))
}

fn text_of(document: &Document, upstream: &Origin, family: Option<&Family>) -> String {
    let Document { administration, api, data } = document;
    let mut text =
        format!("{} stands in front of {upstream}; whoever proves who he is gets through.\n", api.base_url);
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
        if let Some(family) = family {
            text.push('\n');
            text.push_str(&(family.knock)(api));
        }
    }
    text.push_str(&format!(
        "\nHealth and metrics: {administration}/ready  {administration}/metrics\nCtrl-C stops it.\n"
    ));
    text
}
