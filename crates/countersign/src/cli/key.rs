//! `countersign key`: the API keys of applications.

use clap::{Args, Subcommand};

use super::ConfigFile;
use crate::config::value::Period;
use crate::control::Order;
use crate::output::{Failure, Output, table};
use crate::prompt::PasswordFrom;
use crate::record::{Key, NewKey, ShownKey};

/// `countersign key`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key for an application; its value is shown once
    #[command(after_help = "\
Example:
  countersign user add till --kind applications --generate
  countersign key create --api shop --owner till --label \"till 7\" --lifetime 365d")]
    Create(Create),
    /// List keys, also those of applications that are disabled
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
            let key = NewKey { api: at.api, owner, label, description, lifetime };
            with_value(&at.config.order(Order::CreateKey { key })?, output)
        }
        Command::List { at, owner } => {
            let keys: Vec<Key> = at.config.order(Order::Keys { api: at.api, owner })?;
            Ok(output.answer(&keys, |keys| list(keys))?)
        }
        Command::Show(Which { at, id }) => {
            let keys: Vec<Key> = at.config.order(Order::Keys { api: at.api, owner: None })?;
            let key = keys.iter().find(|key| key.id == id);
            let key = key.ok_or_else(|| Failure::Failed(anyhow::anyhow!("there is no key {id}")))?;
            Ok(output.answer(key, |key| list(std::slice::from_ref(key)))?)
        }
        Command::Rotate(Which { at, id }) => {
            with_value(&at.config.order(Order::RotateKey { api: at.api, id })?, output)
        }
        Command::SetSecret { at, owner, secret } => {
            let (secret, shown) = secret.fetch(&owner)?.into_parts();
            let order =
                Order::SetApplicationSecret { api: at.api.clone(), application: owner.clone(), secret };
            let () = at.config.order(order)?;
            let shown_line = shown.as_ref().map(|secret| format!("\nsecret: {secret}   (shown only now)"));
            let answer = serde_json::json!({ "owner": owner, "api": at.api, "secret": shown });
            let text = format!("{owner} has a new secret at {}{}", at.api, shown_line.unwrap_or_default());
            Ok(output.answer(&answer, |_| text)?)
        }
        Command::Delete(Which { at, id }) => {
            let () = at.config.order(Order::DeleteKey { api: at.api, id: id.clone() })?;
            Ok(output.answer(&serde_json::json!({ "id": id }), |_| format!("key {id} is deleted"))?)
        }
    }
}

fn with_value(shown: &ShownKey, output: Output) -> Result<(), Failure> {
    let text = |shown: &ShownKey| {
        format!("{}\nvalue: {}   (shown only now)", list(std::slice::from_ref(&shown.key)), shown.value)
    };
    Ok(output.answer(shown, text)?)
}

fn list(keys: &[Key]) -> String {
    let row = |key: &Key| {
        [
            key.id.clone(),
            key.owner.clone(),
            key.state.name().to_owned(),
            key.label.clone(),
            key.description.clone(),
            key.created_at.to_string(),
            key.expires_at.as_ref().map_or_else(|| String::from("never"), ToString::to_string),
        ]
    };
    table(["id", "owner", "state", "label", "description", "created", "expires"], keys.iter().map(row))
}
