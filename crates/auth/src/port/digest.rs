//! What Digest needs of the world: whose hashes are kept, which nonces are ours, and how often somebody failed.
//!
//! Whoever implements [`Digests`] can forge identities, like [`Lookups`](super::Lookups). Everything is answered from
//! memory: a Digest request waits for nothing.

use std::net::IpAddr;
use std::sync::Arc;

use crate::account::Account;
use crate::scheme::digest::hash::{DigestHash, Ha1};
use crate::scheme::digest::nonce::Nonces;
use crate::scheme::digest::response::User;
use crate::time::Time;

/// About whom a response is to be verified.
#[derive(Clone, Copy, Debug)]
pub struct DigestClaim<'c> {
    /// Which accounts it is about (`users`, `clients`, ...).
    pub kind: &'c str,
    /// The user as sent.
    pub user: &'c User<'c>,
    /// The realm of the challenge.
    pub realm: &'c str,
    /// The hash function of the algorithm.
    pub hash: DigestHash,
}

/// What a response is verified with; for whoever is unknown something that no password makes, found at the same cost.
#[derive(Clone, Debug)]
pub struct DigestSecret {
    /// What the response must be made from.
    pub ha1: Ha1,
    /// Whose it is, or nobody.
    pub whose: DigestHolder,
    /// Where its failures are counted. Nobody's are counted as well, so that nobody can be told by that.
    pub bucket: u64,
}

/// Whose secret it is.
#[derive(Clone, Debug)]
pub enum DigestHolder {
    /// An account that may log in so.
    Account(Arc<Account>),
    /// An account that has to change its password before anything else.
    Due(Arc<Account>),
    /// Nobody; the text says to the log why.
    Nobody(&'static str),
}

/// Whether an attempt may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may.
    Open,
    /// Failures have locked the account for now: it is to look like a wrong password whatever it is.
    Locked,
    /// Too many failures came from the address.
    TooMany,
}

/// See the module's words.
pub trait Digests: Send + Sync {
    /// The nonces of this process, and their counters.
    fn nonces(&self) -> &Nonces;

    /// Finds what a response is verified with; takes the same time for everybody.
    fn find(&self, claim: DigestClaim<'_>) -> DigestSecret;

    /// Whether an attempt may be looked at; counts nothing.
    fn admits(&self, secret: &DigestSecret, address: IpAddr, now: Time) -> Attempt;

    /// Counts an attempt that failed, in the one bucket of its account whatever the dialect (T-D4); of one that was not to
    /// be looked at the address alone. Nothing may be waited for between [`Self::admits`] and this: as many guesses more than
    /// lock an account are looked at as there are threads that do so.
    fn failed(&self, secret: &DigestSecret, address: IpAddr, now: Time, attempt: Attempt);

    /// An attempt proved something: its account's bucket is empty again. One with a right response to a stale nonce, or
    /// with a counter that was used, proves nothing: a recorded response that is played again must not empty the bucket of
    /// whoever guesses.
    fn succeeded(&self, secret: &DigestSecret, address: IpAddr, now: Time);
}
