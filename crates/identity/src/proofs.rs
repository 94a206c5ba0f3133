//! Proofs that were verified before: a Basic credential on every request costs one KDF run, not thousands.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_auth::account::Live;
use countersign_auth::port::{ProofKey, Remembered, Verified};
use countersign_auth::time::Time;
use foldhash::fast::RandomState;
use quick_cache::sync::Cache;

/// Each is some 150 bytes, and where an issuer is asked about a token as much again and the token, for whoever has to ask
/// later; those that were not asked for lately give way.
const PROOFS_MAX: usize = 100_000;
/// What a core keeps for itself: two halves of this size, 80 bytes each, five megabytes at the most. Whoever sends the
/// same credential all the time is among them.
const OWN_HALF_MAX: usize = 32 * 1024;

/// Which [`Proofs`] of the process, and the credential.
type OwnKey = (u64, [u8; 32]);

/// What one core found lately, so that it need not ask for what others can lock.
///
/// The younger half fills; when it is full it becomes the older one, whose entries go unless they were asked for.
#[derive(Default)]
struct Own {
    younger: HashMap<OwnKey, Verified, RandomState>,
    older: HashMap<OwnKey, Verified, RandomState>,
}

impl Own {
    /// What `look` says of an entry, if there is one. It is not copied: its keys are many entries', and counting their
    /// holders is what cores would wait for each other at.
    fn find<T>(&mut self, key: &OwnKey, look: impl FnOnce(&Verified) -> T) -> Option<T> {
        if let Some(proof) = self.younger.get(key) {
            return Some(look(proof));
        }
        let proof = self.older.remove(key)?;
        let found = look(&proof);
        self.keep(*key, proof);
        Some(found)
    }

    fn keep(&mut self, key: OwnKey, proof: Verified) {
        if self.younger.len() >= OWN_HALF_MAX {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(key, proof);
    }

    fn forget(&mut self, key: &OwnKey) {
        self.younger.remove(key);
        self.older.remove(key);
    }
}

fn is_live(proof: &Verified) -> bool {
    proof.account.live.is_up() && proof.keys.iter().all(Live::is_up)
}

thread_local! {
    static OWN: RefCell<Own> = RefCell::default();
}

/// The cache behind `recall` and `remember`.
///
/// The keys are keyed hashes of whole credentials, so nobody can aim at one. An entry is worth nothing as soon
/// as the account's copy in it is out of date, whatever was changed, or a key that it was verified by is its issuer's no
/// more.
pub(crate) struct Proofs {
    number: u64,
    shared: Cache<[u8; 32], Verified>,
}

impl Proofs {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), shared: Cache::new(PROOFS_MAX) }
    }

    /// Asks this core's own part first, and what all share only where that knows nothing.
    pub(crate) fn recall(&self, key: &ProofKey, now: Time) -> Option<Remembered> {
        let look = |proof: &Verified| {
            (is_live(proof) && now < proof.until).then(|| Remembered {
                account: Arc::clone(&proof.account),
                proven_at: proof.proven_at,
                until: proof.until,
                after: proof.after.clone(),
            })
        };
        let own_key = (self.number, key.0);
        OWN.with_borrow_mut(|own| {
            match own.find(&own_key, look) {
                Some(Some(found)) => return Some(found),
                Some(None) => own.forget(&own_key),
                None => {}
            }
            let proof = self.shared.get(&key.0)?;
            let found = look(&proof);
            match found {
                Some(_) => own.keep(own_key, proof),
                None => {
                    self.shared.remove(&key.0);
                }
            }
            found
        })
    }

    pub(crate) fn remember(&self, key: ProofKey, proof: Verified) {
        if is_live(&proof) {
            self.shared.insert(key.0, proof);
        }
    }
}
