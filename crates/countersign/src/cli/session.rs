//! `countersign session`: what an account holds, and how to end it.

use clap::{Args, Subcommand};

use super::ConfigFile;
use crate::control::Order;
use crate::output::{Failure, Output, table};
use crate::record::{Session, Whose};

/// `countersign session`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the sessions and tokens that an account holds
    List(Holder),
    /// End one of them, or all
    #[command(after_help = "\
Examples:
  countersign session revoke --user ann 5f0c3ad1b2e49f7788aa0b1c
  countersign session revoke --user ann --all")]
    #[command(group = clap::ArgGroup::new("which").required(true).args(["reference", "all"]))]
    Revoke {
        #[command(flatten)]
        holder: Holder,
        /// Its public name, as `session list` shows it
        reference: Option<String>,
        /// All that the account holds
        #[arg(long)]
        all: bool,
    },
    /// End whatever anybody holds, as after a break-in or with a store from a backup
    RevokeEverybody {
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Whose.
#[derive(Debug, Args)]
pub(crate) struct Holder {
    #[command(flatten)]
    config: ConfigFile,
    /// The account's name
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The account's kind
    #[arg(long, default_value = "users")]
    kind: String,
}

/// Does what it says.
pub(super) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::List(holder) => {
            let sessions: Vec<Session> = holder.config.order(Order::Sessions { whose: whose(&holder) })?;
            Ok(output.answer(&sessions, |sessions| list(sessions))?)
        }
        Command::Revoke { holder, reference, all: _ } => {
            let ended: Option<usize> =
                holder.config.order(Order::Revoke { whose: whose(&holder), reference })?;
            let told = ended.map_or_else(|| String::from("all revoked"), |ended| format!("{ended} revoked"));
            Ok(output.answer(&serde_json::json!({ "revoked": ended }), |_| told)?)
        }
        Command::RevokeEverybody { config } => {
            let accounts: usize = config.order(Order::RevokeEverybody)?;
            let told = format!("all sessions and tokens of {accounts} accounts revoked");
            Ok(output.answer(&serde_json::json!({ "accounts": accounts }), |_| told)?)
        }
    }
}

fn whose(holder: &Holder) -> Whose {
    Whose { kind: holder.kind.clone(), name: holder.user.clone() }
}

fn list(sessions: &[Session]) -> String {
    let row = |session: &Session| {
        [
            session.reference.clone(),
            session.api.clone(),
            session.word.clone(),
            session.issued_at.to_string(),
            session.expires_at.as_ref().map_or_else(|| String::from("never"), ToString::to_string),
        ]
    };
    table(["reference", "api", "kind", "issued", "expires"], sessions.iter().map(row))
}
