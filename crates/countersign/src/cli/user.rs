//! `countersign user`: accounts of every kind.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::ConfigFile;
use crate::config::nearest;
use crate::control::Order;
use crate::output::{Failure, Output, table};
use crate::prompt::PasswordFrom;
use crate::record::{Account, AccountState, NewAccount, Whose};
use crate::wire::{ACCOUNT_KINDS, WeakerScheme};

/// `countersign user`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add an account
    #[command(after_help = "\
Examples:
  countersign user add ann --role agent                       asks for a password
  countersign user add ann --generate                         makes one and shows it once
  pass show ann | countersign user add ann --password-stdin
  countersign user add 4711 --kind customers --key customer=4711 --generate
  countersign user add till --generate --keep-for digest      can answer Digest challenges as well
  countersign user add rosa --role agent --no-password        a directory or an issuer knows her password")]
    Add(Add),
    /// List accounts
    List {
        #[command(flatten)]
        config: ConfigFile,
        /// Only those of this kind
        #[arg(long)]
        kind: Option<String>,
    },
    /// Show an account
    Show(Which),
    /// Change a password; ends all sessions and tokens of the account
    SetPassword {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        password: PasswordFrom,
        #[command(flatten)]
        weaker: Weaker,
    },
    /// Delete what is kept of an account's password for weaker schemes; the password itself stays
    Strengthen(Which),
    /// Keep an account from logging in; ends all its sessions and tokens
    Disable(Which),
    /// Let an account log in again
    Enable(Which),
    /// Delete an account for good, with its sessions, tokens and keys
    Delete(Which),
    /// Forget an account's wrong passwords, so that it can log in at once
    Unlock(Which),
}

/// Which account.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    config: ConfigFile,
    /// Its name
    name: String,
    /// Its kind, as dialects name them: users, clients, customers, applications, ...
    #[arg(long, default_value = "users")]
    kind: String,
}

impl Which {
    fn whose(&self) -> Whose {
        Whose { kind: self.kind.clone(), name: self.name.clone() }
    }
}

/// What a new password is kept for beside log-ins.
#[derive(Debug, Args)]
pub(crate) struct Weaker {
    /// Keep what this scheme needs of the password as well; may be repeated. Weaker: whoever steals that, with the
    /// key it is sealed with, logs in without the password. Without this nothing is kept, and what was is deleted
    #[arg(long = "keep-for", value_name = "SCHEME", value_parser = WeakerScheme::ALL.map(WeakerScheme::name))]
    schemes: Vec<String>,
}

/// `countersign user add`
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    password: PasswordFrom,
    #[command(flatten)]
    weaker: Weaker,
    /// Give it no password: for somebody whose password a directory or an issuer knows. His first log-in there makes it his;
    /// until then nobody can log in to it
    #[arg(long, conflicts_with_all = ["PasswordFrom", "schemes"])]
    no_password: bool,
    /// What services are told; the name if it is not given
    #[arg(long)]
    subject: Option<String>,
    /// For people to read
    #[arg(long, default_value = "")]
    first_name: String,
    /// For people to read
    #[arg(long, default_value = "")]
    last_name: String,
    /// Its e-mail address
    #[arg(long, default_value = "")]
    email: String,
    /// The company on whose behalf it acts
    #[arg(long)]
    tenant: Option<String>,
    /// A role; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A verified key such as customer=4711; may be repeated
    #[arg(long = "key", value_name = "NAME=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        Some(_) | None => Err(String::from("write NAME=VALUE")),
    }
}

/// Does what it says.
pub(super) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Add(add) => self::add(add, output),
        Command::List { config, kind } => {
            if let Some(kind) = kind.as_deref().filter(|kind| !ACCOUNT_KINDS.contains(kind)) {
                return Err(unknown_kind(kind));
            }
            let accounts: Vec<Account> = config.order(Order::Accounts { kind })?;
            Ok(output.answer(&accounts, |accounts| list(accounts))?)
        }
        Command::Show(which) => {
            let whose = which.whose();
            let all: Vec<Account> = which.config.order(Order::Accounts { kind: None })?;
            let found = all.iter().find(|account| same(&account.whose, &whose));
            Ok(output.answer(found.ok_or_else(|| unknown(&whose, &all))?, show)?)
        }
        Command::SetPassword { which, password, weaker } => {
            let (password, shown) = password.fetch(&which.name)?.into_parts();
            let whose = which.whose();
            let order = Order::SetPassword { whose: whose.clone(), password, weaker: weaker.schemes };
            let () = which.config.order(order)?;
            done(output, &whose, "has a new password", shown)
        }
        Command::Strengthen(which) => {
            let () = which.config.order(Order::Strengthen { whose: which.whose() })?;
            done(output, &which.whose(), "has nothing kept for weaker schemes", None)
        }
        Command::Disable(which) => set_state(&which, AccountState::Disabled, output),
        Command::Enable(which) => set_state(&which, AccountState::Enabled, output),
        Command::Delete(which) => {
            let () = which.config.order(Order::DeleteAccount { whose: which.whose() })?;
            done(output, &which.whose(), "is deleted", None)
        }
        Command::Unlock(which) => {
            let () = which.config.order(Order::Unlock { whose: which.whose() })?;
            done(output, &which.whose(), "is unlocked", None)
        }
    }
}

fn add(add: Add, output: Output) -> Result<(), Failure> {
    let (password, shown) = if add.no_password {
        (None, None)
    } else {
        let (password, shown) = add.password.fetch(&add.which.name)?.into_parts();
        (Some(password), shown)
    };
    let whose = add.which.whose();
    let account = NewAccount {
        whose: whose.clone(),
        subject: add.subject,
        first_name: add.first_name,
        last_name: add.last_name,
        email: add.email,
        tenant: add.tenant,
        roles: add.roles,
        keys: add.keys.into_iter().collect::<BTreeMap<_, _>>(),
        weaker: add.weaker.schemes,
    };
    let () = add.which.config.order(Order::AddAccount { account, password })?;
    done(output, &whose, "is added", shown)
}

fn set_state(which: &Which, state: AccountState, output: Output) -> Result<(), Failure> {
    let () = which.config.order(Order::SetState { whose: which.whose(), state })?;
    done(output, &which.whose(), &format!("is {}", state.name()), None)
}

fn same(one: &Whose, other: &Whose) -> bool {
    one.kind == other.kind && one.name.eq_ignore_ascii_case(&other.name)
}

fn unknown_kind(kind: &str) -> Failure {
    let hint = match nearest(kind, ACCOUNT_KINDS.into_iter()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("kinds: {}", ACCOUNT_KINDS.join(", ")),
    };
    Failure::usage(format!("no accounts are of the kind `{kind}`; {hint}"))
}

fn unknown(whose: &Whose, all: &[Account]) -> Failure {
    let names = all
        .iter()
        .filter(|account| account.whose.kind == whose.kind)
        .map(|account| account.whose.name.as_str());
    let elsewhere: Vec<&str> = all
        .iter()
        .filter(|account| account.whose.name.eq_ignore_ascii_case(&whose.name))
        .map(|account| account.whose.kind.as_str())
        .collect();
    let hint = match (elsewhere.first(), nearest(&whose.name, names)) {
        (Some(kind), _) => format!("; {} has one: add --kind {kind}", elsewhere.join(", ")),
        (None, Some(near)) => format!("; did you mean `{near}`?"),
        (None, None) => String::new(),
    };
    Failure::Failed(anyhow::anyhow!("none of the {} is called `{}`{hint}", whose.kind, whose.name))
}

fn done(output: Output, whose: &Whose, what: &str, password: Option<String>) -> Result<(), Failure> {
    let mut value = serde_json::json!({ "kind": whose.kind, "name": whose.name });
    if let (Some(password), Some(object)) = (&password, value.as_object_mut()) {
        object.insert(String::from("password"), serde_json::Value::String(password.clone()));
    }
    let shown =
        password.map(|password| format!("\npassword: {password}   (shown only now)")).unwrap_or_default();
    Ok(output.answer(&value, |_| format!("{} of {} {what}{shown}", whose.name, whose.kind))?)
}

fn list(accounts: &[Account]) -> String {
    let row = |account: &Account| {
        [
            account.whose.kind.clone(),
            account.whose.name.clone(),
            account.subject.clone(),
            account.tenant.clone().unwrap_or_default(),
            account.roles.join(" "),
            account.state.name().to_owned(),
            account.weaker.join(" "),
        ]
    };
    table(["kind", "name", "subject", "tenant", "roles", "state", "weaker"], accounts.iter().map(row))
}

fn show(account: &Account) -> String {
    let keys: Vec<String> = account.keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let rows = [
        ("id", account.id.to_string()),
        ("kind", account.whose.kind.clone()),
        ("name", account.whose.name.clone()),
        ("subject", account.subject.clone()),
        ("full name", account.full_name.clone()),
        ("email", account.email.clone()),
        ("tenant", account.tenant.clone().unwrap_or_default()),
        ("roles", account.roles.join(" ")),
        ("keys", keys.join(" ")),
        ("state", account.state.name().to_owned()),
        ("locked until", account.locked_until.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("weaker", account.weaker.join(" ")),
    ];
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:12} {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_or_a_name_that_is_not_there_comes_with_a_hint() {
        let text = unknown_kind("user").to_string();
        assert_eq!(text, "no accounts are of the kind `user`; did you mean `users`?");
        let whose = |kind: &str| Whose { kind: kind.to_owned(), name: String::from("anna") };
        let anna = Account {
            id: 7,
            whose: whose("customers"),
            subject: String::new(),
            full_name: String::new(),
            email: String::new(),
            tenant: None,
            roles: Vec::new(),
            keys: BTreeMap::new(),
            state: AccountState::Enabled,
            locked_until: None,
            weaker: Vec::new(),
        };
        let text = unknown(&whose("users"), &[anna]).to_string();
        assert_eq!(text, "none of the users is called `anna`; customers has one: add --kind customers");
    }
}
