//! Proofs that were verified before: a Basic credential on every request costs one KDF run, not thousands.

use countersign_auth::port::{ProofKey, Verified};
use countersign_auth::time::Time;
use quick_cache::sync::Cache;

/// Each is some 150 bytes; those that were not asked for lately give way.
const PROOFS_MAX: usize = 100_000;

/// The cache behind `recall` and `remember`.
///
/// The keys are keyed hashes of whole credentials, so nobody can aim at one. An entry is worth nothing as soon
/// as the account's copy in it is out of date, whatever was changed.
pub(crate) struct Proofs(Cache<[u8; 32], Verified>);

impl Proofs {
    pub(crate) fn new() -> Self {
        Self(Cache::new(PROOFS_MAX))
    }

    pub(crate) fn recall(&self, key: &ProofKey, now: Time) -> Option<Verified> {
        let proof = self.0.get(&key.0)?;
        if proof.account.live.is_up() && now < proof.until {
            return Some(proof);
        }
        self.0.remove(&key.0);
        None
    }

    pub(crate) fn remember(&self, key: ProofKey, proof: Verified) {
        if proof.account.live.is_up() {
            self.0.insert(key.0, proof);
        }
    }
}
