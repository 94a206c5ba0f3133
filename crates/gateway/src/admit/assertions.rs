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

/// An assertion takes about 700 bytes, so that a core's share stays below 12 MiB; when it is full it starts anew.
const ASSERTIONS_MAX: usize = 16 * 1024;

/// The account stands beside the assertion: its address is in the key and must not be another's meanwhile.
type Kept = (Option<Arc<Account>>, Assertion);

thread_local! {
    static MINTED: RefCell<HashMap<AssertionKey, Kept, RandomState>> = RefCell::default();
}

/// The assertion for a permit: one that was minted before, while it is fresh and its account is live, or a new one;
/// always a new one where it names the objects of one request.
///
/// # Errors
/// `unavailable` if there is no key to sign with.
pub(super) fn assertion(gate: &Gate, api: &Api, permit: &Permit, now: Time) -> Result<HeaderValue, Refusal> {
    let Some(key) = permit.assertion_key(api) else {
        return Ok(assert(api, permit, &*gate.signer, now)?.value().clone());
    };
    let kept = MINTED.with_borrow(|minted| {
        let (account, assertion) = minted.get(&key)?;
        let live = account.as_ref().is_none_or(|account| account.live.is_up());
        (live && assertion.is_fresh(now)).then(|| assertion.value().clone())
    });
    if let Some(value) = kept {
        return Ok(value);
    }
    let assertion = assert(api, permit, &*gate.signer, now)?;
    let value = assertion.value().clone();
    MINTED.with_borrow_mut(|minted| {
        if minted.len() >= ASSERTIONS_MAX {
            minted.clear();
        }
        minted.insert(key, (permit.identity().account().cloned(), assertion));
    });
    Ok(value)
}
