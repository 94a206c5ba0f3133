//! Whom a proof is about.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smol_str::SmolStr;

use crate::assertion::Minted;
use crate::time::Time;

/// The kinds of accounts, as dialects name them.
pub const KINDS: [&str; 6] = [USERS, "clients", "customers", "oauth-clients", APPLICATIONS, "devices"];
/// The kind that a credential proves if nobody says another.
pub const USERS: &str = "users";
/// The kind that API keys belong to.
pub const APPLICATIONS: &str = "applications";

/// The number of an account in the identity service; 0 for an account that lives in a foreign issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u64);

impl AccountId {
    /// That of every account that the gate does not keep itself.
    pub const FOREIGN: Self = Self(0);
}

/// Whoever vouches for an account that the gate does not keep.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// What it calls itself, byte for byte: `iss` (RFC 7519 section 4.1.1), or where it is asked if it does not say that.
    pub name: Arc<str>,
    /// Whom its subjects name.
    pub people: People,
}

/// Whom the subjects of an issuer name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum People {
    /// Its own: an equal subject of the gate's accounts, or of another issuer, is somebody else.
    #[default]
    Own,
    /// Those of the gate's own accounts, and of all other issuers of which an administrator said this.
    Same,
}

/// What is known of an account: plain data from a directory, not yet a proof of anything.
///
/// The fields stand in this order in memory: what every request reads comes first, beside the count of holders.
#[derive(Debug)]
#[repr(C)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Which accounts it is one of: one of [`KINDS`].
    pub kind: Arc<str>,
    /// What was signed about it lately.
    pub minted: Minted,
    /// Falls when this copy of the account is out of date; every cache asks it.
    pub live: Live,
    /// Proofs made before this moment no longer count: a password was changed, or roles were. No two of an account's are
    /// equal, so that a signed token, which names the one that it was signed under, is good under that one alone.
    pub proofs_from: Time,
    /// What a person types to log in; unique within `kind`, compared without regard to ASCII case. Each request's access
    /// line says it: a short one lies here and not elsewhere in memory.
    pub name: SmolStr,
    /// The company on whose behalf it acts, where an API knows tenants.
    pub tenant: Option<String>,
    /// Roles, in no order.
    pub roles: Vec<String>,
    /// What upstreams are told; usually `name`, or a number such as a customer's.
    pub subject: String,
    /// For people to read; may be empty.
    pub full_name: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// May be empty.
    pub email: String,
    /// Verified keys, e.g. `customer` = `4711`.
    pub keys: BTreeMap<String, String>,
    /// Who vouches for it; `None` for the gate's own accounts, and where nobody does.
    pub issuer: Option<Issuer>,
}

impl Account {
    /// Whether it lives in a foreign issuer: then its number says nothing, and it holds no tokens of the gate.
    pub fn is_foreign(&self) -> bool {
        self.id == AccountId::FOREIGN
    }

    /// The issuer by which alone its subject says who it is; `None` where the gate's own account with an equal subject is
    /// the same person.
    pub fn told_apart_by(&self) -> Option<&str> {
        let issuer = self.issuer.as_ref().filter(|issuer| issuer.people == People::Own);
        issuer.map(|issuer| &*issuer.name)
    }

    /// What lines of the log call it beside its kind and number: nothing where its name is an e-mail address, as none stands in
    /// a log.
    pub fn logged_name(&self) -> Option<&str> {
        (!self.name.contains('@')).then_some(&*self.name)
    }

    /// How many bytes of memory the texts of this copy take, each with what it costs to have it at all: an issuer may say
    /// little and in very many words.
    pub fn text_bytes(&self) -> usize {
        let Self {
            id: _,
            kind: _,
            minted: _,
            live: _,
            proofs_from: _,
            name,
            tenant,
            roles,
            subject,
            full_name,
            first_name,
            last_name,
            email,
            keys,
            issuer,
        } = self;
        let fixed = [subject, full_name, first_name, last_name, email].into_iter().chain(tenant);
        let bytes = |text: &String| size_of::<String>() + text.len();
        name.len()
            + issuer.as_ref().map_or(0, |issuer| issuer.name.len())
            + fixed.map(String::len).sum::<usize>()
            + roles.iter().map(bytes).sum::<usize>()
            + keys.iter().map(|(key, value)| bytes(key) + bytes(value)).sum::<usize>()
    }

    /// All that it says, equal for copies that say the same; what the gate notes beside a copy is no part of it.
    pub fn words(&self) -> impl Eq + Hash + '_ {
        let Self {
            id,
            kind,
            minted: _,
            live: _,
            proofs_from,
            name,
            tenant,
            roles,
            subject,
            full_name,
            first_name,
            last_name,
            email,
            keys,
            issuer,
        } = self;
        let names = (name, full_name, first_name, last_name, email);
        (id, kind, proofs_from, tenant, roles, subject, names, keys, issuer)
    }
}

/// A switch that falls once: shared by what a revocation finds (an account, a key, an authority) and by everything that
/// lives on it.
#[derive(Clone, Debug)]
pub struct Live(Arc<Switch>);

#[derive(Debug)]
struct Switch {
    up: AtomicBool,
    /// It falls with each of them.
    under: Box<[Live]>,
}

impl Live {
    /// A switch that is up.
    pub fn new() -> Self {
        Self::under([])
    }

    /// A switch of its own that falls with others as well. Whoever holds it holds none of them: many may be under one.
    pub fn under(others: impl IntoIterator<Item = Live>) -> Self {
        Self(Arc::new(Switch { up: AtomicBool::new(true), under: others.into_iter().collect() }))
    }

    /// Whether it is still up, and all that it is under.
    pub fn is_up(&self) -> bool {
        self.0.up.load(Ordering::Acquire) && self.0.under.iter().all(Self::is_up)
    }

    /// Whether it is under these, in this order, and no others.
    pub fn is_under(&self, others: &[Live]) -> bool {
        let under = &self.0.under;
        under.len() == others.len() && under.iter().zip(others).all(|(one, other)| one.is(other))
    }

    /// Whether both are one switch.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Lets it fall, for every holder, for good.
    pub fn fall(&self) {
        self.0.up.store(false, Ordering::Release);
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Live;

    #[test]
    fn a_switch_falls_with_all_that_it_is_under_and_alone() {
        let (a, b) = (Live::new(), Live::new());
        let (of_both, of_a) = (Live::under([a.clone(), b.clone()]), Live::under([a.clone()]));
        let copy = of_both.clone();
        of_a.fall();
        assert!(!of_a.is_up() && copy.is_up() && a.is_up());
        b.fall();
        assert!(!of_both.is_up() && !copy.is_up() && a.is_up());
    }
}
