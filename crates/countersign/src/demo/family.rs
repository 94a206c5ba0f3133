//! What the demo knows of each API family: its place, its accounts, and the curl lines to try.

mod egain;
mod enactor;
mod genesys;
mod superoffice;
mod voltmx;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::service::Sample;

/// One API of the demo.
#[derive(Clone, Copy)]
pub(crate) struct Family {
    /// Its name in the configuration, and the audience of its assertions.
    pub(crate) name: &'static str,
    /// The dialect it speaks.
    pub(crate) dialect: &'static str,
    /// What its service is, in a word or two.
    pub(crate) about: &'static str,
    /// The prefix that this family usually has; empty for none.
    pub(crate) prefix: &'static str,
    /// Which accounts log in at it.
    pub(crate) people: &'static str,
    /// Makes its sample service.
    pub(crate) sample: fn() -> Arc<dyn Sample>,
    /// The keys of `[[api]]` beyond those that every API has, and its routes, as TOML.
    pub(crate) settings: &'static str,
    /// Accounts that the demo makes.
    pub(crate) accounts: &'static [Seed],
    /// Other secrets that the demo makes.
    pub(crate) secrets: &'static [SecretSeed],
    /// The lines to try.
    pub(crate) lines: fn(&Shown) -> String,
    /// Lines that log in and ask for the prefix, for `guard`.
    pub(crate) knock: fn(&Shown) -> String,
}

/// An account that the demo makes, with a random password.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    /// Which accounts it is one of.
    pub(crate) kind: &'static str,
    /// What its owner types, and its subject.
    pub(crate) user: &'static str,
    /// For people to read.
    pub(crate) first_name: &'static str,
    /// For people to read.
    pub(crate) last_name: &'static str,
    /// The company on whose behalf it acts.
    pub(crate) tenant: Option<&'static str>,
    /// In no order.
    pub(crate) roles: &'static [&'static str],
    /// Verified keys.
    pub(crate) keys: &'static [(&'static str, &'static str)],
}

impl Seed {
    const fn new(kind: &'static str, user: &'static str, names: [&'static str; 2]) -> Self {
        let [first_name, last_name] = names;
        Self { kind, user, first_name, last_name, tenant: None, roles: &[], keys: &[] }
    }
}

/// A secret that is no account's password.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecretSeed {
    /// A value that an operator sets: `shared.WORD`, in a file `WORD.txt`.
    Shared {
        /// What the demo calls it.
        name: &'static str,
        /// The dialect's word.
        word: &'static str,
    },
    /// The secret of an application.
    Application {
        /// What the demo calls it.
        name: &'static str,
        /// The application's account, of kind `applications`.
        application: &'static str,
    },
    /// An API key of an application.
    Key {
        /// What the demo calls it.
        name: &'static str,
        /// The application's account, of kind `applications`.
        application: &'static str,
    },
}

/// An account as the demo shows it.
#[derive(Clone, Serialize)]
pub(crate) struct ShownAccount {
    /// Which accounts it is one of.
    pub(crate) kind: String,
    /// What its owner types.
    pub(crate) user: String,
    /// Random.
    pub(crate) password: String,
    /// In no order.
    pub(crate) roles: Vec<String>,
    /// Verified keys.
    pub(crate) keys: BTreeMap<String, String>,
}

/// An API as the demo shows it.
#[derive(Clone, Serialize)]
pub(crate) struct Shown {
    /// Its name.
    pub(crate) name: String,
    /// Its dialect.
    pub(crate) dialect: String,
    /// Scheme, host, port and prefix, without a slash at its end.
    pub(crate) base_url: String,
    /// Who can log in.
    pub(crate) accounts: Vec<ShownAccount>,
    /// Other secrets that its clients need.
    pub(crate) secrets: BTreeMap<String, String>,
}

impl Shown {
    /// User and password of an account.
    fn login(&self, kind: &str, at: usize) -> (&str, &str) {
        let mut of_kind = self.accounts.iter().filter(|account| account.kind == kind);
        of_kind.nth(at).map_or(("", ""), |account| (account.user.as_str(), account.password.as_str()))
    }

    fn secret(&self, name: &str) -> &str {
        self.secrets.get(name).map_or("", String::as_str)
    }
}

/// Every API of the demo, in the order in which it is shown.
pub(crate) const FAMILIES: [Family; 6] = [
    egain::FAMILY,
    genesys::FAMILY,
    voltmx::FAMILY,
    superoffice::ONSITE,
    superoffice::ONLINE,
    enactor::FAMILY,
];

/// Takes the value of a header out of what `curl -i` shows.
fn header(name: &str) -> String {
    format!("sed -n 's/^{name}: *//Ip' | tr -d '\\r'")
}

/// Takes the first string of that name out of JSON.
fn member(name: &str) -> String {
    format!(r#"sed -n 's/.*"{name}":"\([^"]*\)".*/\1/p'"#)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_dialect_is_shown_and_every_line_is_whole() {
        for dialect in crate::dialects::EMBEDDED {
            assert!(FAMILIES.iter().any(|family| family.dialect == dialect.name), "{}", dialect.name);
        }
        for family in FAMILIES {
            let accounts = family.accounts.iter().map(|seed| ShownAccount {
                kind: seed.kind.to_owned(),
                user: seed.user.to_owned(),
                password: String::from("pass"),
                roles: Vec::new(),
                keys: BTreeMap::new(),
            });
            let name = |secret: &SecretSeed| match secret {
                SecretSeed::Shared { name, .. }
                | SecretSeed::Application { name, .. }
                | SecretSeed::Key { name, .. } => (*name).to_owned(),
            };
            let shown = Shown {
                name: family.name.to_owned(),
                dialect: family.dialect.to_owned(),
                base_url: String::from("http://127.0.0.1:1/x"),
                accounts: accounts.collect(),
                secrets: family.secrets.iter().map(|secret| (name(secret), String::from("secret"))).collect(),
            };
            for text in [(family.lines)(&shown), (family.knock)(&shown)] {
                assert!(text.contains("http://127.0.0.1:1/x"), "{text}");
                assert!(
                    !text.contains("''") && !text.contains("\"\"") && !text.contains(": '"),
                    "a value is missing: {text}"
                );
                let lines: Vec<&str> = text.lines().collect();
                assert!(lines.iter().all(|line| line.matches('\'').count() % 2 == 0), "{text}");
            }
        }
    }
}
