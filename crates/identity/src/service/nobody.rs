//! Users who are nobody: what they do is counted as everybody's, so that counting takes as long.

use countersign_auth::derive::derive;

use super::Core;

/// Failures of users that are nobody are counted in so many buckets, by a keyed hash of their names: enough that two
/// names rarely share one, and no more memory than a few thousand accounts.
const NOBODYS: u64 = 4096;
/// Accounts are numbered from one; no account has a number with this bit.
const BEYOND_ACCOUNTS: u64 = 1 << 63;

/// The number that bytes which were derived from a name stand for.
pub(super) fn nobodys_bucket(derived: [u8; 8]) -> u64 {
    BEYOND_ACCOUNTS | (u64::from_be_bytes(derived) % NOBODYS)
}

impl Core {
    /// The number under which failures of a name are counted that no account has.
    pub(super) fn nobodys_bucket(&self, kind: &str, user: &str) -> u64 {
        let derived = derive(&self.derivation_key, "nobody", &[kind, &user.to_lowercase()], 8);
        nobodys_bucket(derived.first_chunk().copied().unwrap_or_default())
    }
}
