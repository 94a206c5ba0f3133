//! `countersign key`: the API keys of applications.

use clap::{Args, Subcommand};

use super::ConfigFile;
use crate::config::value::Period;
use crate::output::{Failure, Output, table};
use crate::prompt::PasswordFrom;
use crate::record::{Key, NewKey, written};
use crate::serve::block_on;
use crate::wire::Identities;

/// `countersign key`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key for an application; its value is shown once
    #[command(after_help = "\
Example:
  countersign user add till --kind applications --generate
  countersign key create --api shop --owner till --label \"till 7\" --lifetime 365d")]
    Create(Create),
    /// List keys
    List {
        #[command(flatten)]
        at: At,
        /// Only those of this application
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
    },
    /// Show a key, but not its value
    Show(Which),
    /// Give a key a new value; the old one is refused from then on
    Rotate(Which),
    /// Delete a key; it is refused from then on
    Delete(Which),
    /// Set the secret with which an application proves itself beside a user's credential
    SetSecret {
        #[command(flatten)]
        at: At,
        /// The application
        #[arg(long, value_name = "NAME")]
        owner: String,
        #[command(flatten)]
        secret: PasswordFrom,
    },
}

/// Of which API.
#[derive(Debug, Args)]
pub(crate) struct At {
    #[command(flatten)]
    config: ConfigFile,
    /// The API's name
    #[arg(long)]
    api: String,
}

/// Which key.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    at: At,
    /// Its public id
    id: String,
}

/// `countersign key create`
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    at: At,
    /// The application that it belongs to
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// What it is for
    #[arg(long, default_value = "")]
    label: String,
    /// What it is for, in more words
    #[arg(long, default_value = "")]
    description: String,
    /// It ends after this time, like 365d; never if it is not given
    #[arg(long, value_name = "TIME")]
    lifetime: Option<Period>,
}

/// Does what it says.
pub(super) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let Create { at, owner, label, description, lifetime } = create;
            let new = NewKey { api: at.api.clone(), owner, label, description, lifetime };
            let (key, value) = block_on(async { open(&at).await?.create_key(new).await })?;
            with_value(&key, value.expose(), output)
        }
        Command::List { at, owner } => {
            let keys = block_on(async { open(&at).await?.keys(&at.api, owner.as_deref()).await })?;
            Ok(output.answer(&keys, |keys| list(keys))?)
        }
        Command::Show(which) => {
            let key = block_on(async { open(&which.at).await?.key(&which.at.api, &which.id).await })?;
            Ok(output.answer(&key, |key| list(std::slice::from_ref(key)))?)
        }
        Command::Rotate(which) => {
            let (key, value) =
                block_on(async { open(&which.at).await?.rotate_key(&which.at.api, &which.id).await })?;
            with_value(&key, value.expose(), output)
        }
        Command::SetSecret { at, owner, secret } => {
            let (secret, shown) = secret.fetch(&owner)?.into_parts();
            block_on(async { open(&at).await?.set_application_secret(&at.api, &owner, secret).await })?;
            let shown_line = shown.as_ref().map(|secret| format!("\nsecret: {secret}   (shown only now)"));
            let answer = serde_json::json!({ "owner": owner, "api": at.api, "secret": shown });
            let text = format!("{owner} has a new secret at {}{}", at.api, shown_line.unwrap_or_default());
            Ok(output.answer(&answer, |_| text)?)
        }
        Command::Delete(which) => {
            block_on(async { open(&which.at).await?.delete_key(&which.at.api, &which.id).await })?;
            Ok(output.answer(&serde_json::json!({ "id": which.id }), |_| format!("key {} is deleted", which.id))?)
        }
    }
}

async fn open(at: &At) -> Result<Identities, Failure> {
    Ok(Identities::open(&at.config.load()?).await?)
}

fn with_value(key: &Key, value: &str, output: Output) -> Result<(), Failure> {
    let answer = serde_json::json!({ "key": key, "value": value });
    let text = |_: &serde_json::Value| format!("{}\nvalue: {value}   (shown only now)", list(std::slice::from_ref(key)));
    Ok(output.answer(&answer, text)?)
}

fn list(keys: &[Key]) -> String {
    let row = |key: &Key| {
        [
            key.id.clone(),
            key.owner.clone(),
            key.label.clone(),
            key.description.clone(),
            written(key.created_at),
            key.expires_at.map_or_else(|| String::from("never"), written),
        ]
    };
    table(["id", "owner", "label", "description", "created", "expires"], keys.iter().map(row))
}
