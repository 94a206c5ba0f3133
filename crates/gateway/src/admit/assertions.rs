//! Assertions that were minted before: each core keeps its own, so that no lock is shared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use countersign_auth::account::Account;
use countersign_auth::api::Api;
use countersign_auth::assertion::{Assertion, AssertionKey, assert};
use countersign_auth::policy::Permit;
use countersign_auth::refusal::Refusal;
use countersign_auth::time::Time;
use foldhash::fast::RandomState;
use http::HeaderValue;

use crate::gate::Gate;

/// A core keeps two halves of so many; an assertion takes about 700 bytes, so that its share stays below 46 MiB,
/// and does with a hundred thousand active accounts. Signing anew costs as much as a whole request.
const HALF_MAX: usize = 32 * 1024;

/// The account stands beside the assertion: its address is in the key and must not be another's meanwhile.
type Kept = (Option<Arc<Account>>, Assertion);

/// The younger half fills; when it is full it becomes the older one, whose entries go unless they are asked for.
#[derive(Default)]
struct Minted {
    younger: HashMap<AssertionKey, Kept, RandomState>,
    older: HashMap<AssertionKey, Kept, RandomState>,
}

impl Minted {
    /// One that may still be handed out.
    fn find(&mut self, key: &AssertionKey, now: Time) -> Option<HeaderValue> {
        let is_good = |(account, assertion): &&Kept| {
            account.as_ref().is_none_or(|account| account.live.is_up()) && assertion.is_fresh(now)
        };
        if let Some((_, assertion)) = self.younger.get(key).filter(is_good) {
            return Some(assertion.value().clone());
        }
        let kept = self.older.remove(key).filter(|kept| is_good(&kept))?;
        let value = kept.1.value().clone();
        self.keep(key.clone(), kept);
        Some(value)
    }

    fn keep(&mut self, key: AssertionKey, kept: Kept) {
        if self.younger.len() >= HALF_MAX {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(key, kept);
    }
}

thread_local! {
    static MINTED: RefCell<Minted> = RefCell::default();
}

/// The assertion for a permit: one that was minted before, while it is fresh and its account is live, or a new one;
/// always a new one where it names the objects of one request.
///
/// # Errors
/// `unavailable` if there is no key to sign with.
pub(super) fn assertion(gate: &Gate, api: &Api, permit: &Permit, now: Time) -> Result<HeaderValue, Refusal> {
    let Some(key) = permit.assertion_key(api, now) else {
        return Ok(assert(api, permit, &*gate.signer, now)?.value().clone());
    };
    if let Some(value) = MINTED.with_borrow_mut(|minted| minted.find(&key, now)) {
        return Ok(value);
    }
    let assertion = assert(api, permit, &*gate.signer, now)?;
    let value = assertion.value().clone();
    MINTED.with_borrow_mut(|minted| minted.keep(key, (permit.identity().account().cloned(), assertion)));
    Ok(value)
}
