//! Who owns what: the objects of services, as far as the gate knows them.
//!
//! Whoever implements [`Objects`] says whose an object is, and could so give away any: reviewed like
//! [`Lookups`](super::Lookups).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use super::{Answer, Unavailable};
use crate::secret::Secret;
use crate::time::Time;

/// What a service calls an object: its API, its kind there, its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// The API's name.
    pub api: Arc<str>,
    /// The kind, as the API's configuration calls it.
    pub kind: Arc<str>,
    /// The service's own id, as text.
    pub id: String,
}

/// SHA-256 over API, kind and id or reference: what objects are kept under.
///
/// Which of the two is inside as well, so that a service's id is never found as a reference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectDigest(pub [u8; 32]);

impl ObjectDigest {
    /// That of an object by the service's own id.
    pub fn of_id(api: &str, kind: &str, id: &str) -> Self {
        Self::of("id", api, kind, id)
    }

    /// That of an object by the reference that the gate gave out.
    pub fn of_reference(api: &str, kind: &str, reference: &str) -> Self {
        Self::of("reference", api, kind, reference)
    }

    fn of(what: &str, api: &str, kind: &str, value: &str) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [what, api, kind] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        context.update(value.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }
}

impl fmt::Debug for ObjectDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectDigest([secret])")
    }
}

/// An object that the gate knows.
#[derive(Debug)]
pub struct Binding {
    /// What the service calls it.
    pub name: ObjectName,
    /// Whose it is, as `key=value` (see [`Owner`](crate::objects::kind::Owner)); `None`: of whoever holds the
    /// reference.
    pub owner: Option<String>,
    /// The tenant that its owner must act for; `None`: any.
    pub tenant: Option<String>,
    /// What clients call it where its kind has references: at least 128 random bits.
    pub reference: Secret,
    /// Ends then; `None`: when it is removed.
    pub ends_at: Option<Time>,
}

/// An object that is to be known from now on, unless it is already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBinding {
    /// What the service calls it.
    pub name: ObjectName,
    /// Whose it is.
    pub owner: Option<String>,
    /// The tenant that its owner must act for.
    pub tenant: Option<String>,
    /// How long it is known.
    pub lifetime: Option<Duration>,
}

/// An object that was to be known.
#[derive(Clone, Debug)]
pub enum Bound {
    /// It is known from this call on.
    New(Arc<Binding>),
    /// It was known before: somebody was first.
    Known(Arc<Binding>),
}

/// An object that was looked for; `None` if the gate knows none of that name.
pub type FoundObject = Option<Arc<Binding>>;

/// Who owns what.
///
/// What memory does not have is no answer: a caller who is to be refused is refused by the store's word alone, so
/// that an object that is unknown, has ended or is another's takes the same way.
pub trait Objects: Send + Sync {
    /// An object that memory has, by either digest; never waits.
    fn at_hand(&self, digest: &ObjectDigest) -> FoundObject;

    /// Whether an object that somebody at an address named may be looked up where memory does not have it. It counts
    /// as a guess until [`Objects::forgive_guess`] takes that back; too many in a minute stop further ones, right or
    /// wrong. Never waits.
    fn may_guess(&self, address: IpAddr, now: Time) -> bool;

    /// What was looked up is the caller's, or could not be looked up: it was no guess.
    fn forgive_guess(&self, address: IpAddr, now: Time);

    /// An object by the service's own id, as the store has it, for somebody at an address: nobody takes all look-ups.
    fn find(&self, name: ObjectName, address: IpAddr) -> Answer<Result<FoundObject, Unavailable>>;

    /// An object by the digest of its reference, as the store has it, for somebody at an address.
    fn find_reference(
        &self,
        digest: ObjectDigest,
        address: IpAddr,
    ) -> Answer<Result<FoundObject, Unavailable>>;

    /// Makes objects known and tells of each, in the same order, how it is known now. One that is over counts as
    /// unknown.
    fn bind(&self, bindings: Vec<NewBinding>, now: Time) -> Answer<Result<Vec<Bound>, Unavailable>>;

    /// Makes an object that is nobody's somebody's, once; tells how it is known now.
    fn claim(
        &self,
        name: ObjectName,
        owner: String,
        tenant: Option<String>,
        now: Time,
    ) -> Answer<Result<FoundObject, Unavailable>>;
}
