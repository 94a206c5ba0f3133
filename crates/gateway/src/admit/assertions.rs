//! Assertions that were minted before, and when they are forgotten.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use countersign_auth::account::Account;
use countersign_auth::api::Api;
use countersign_auth::assertion::{Assertion, AssertionKey, REUSED, assert};
use countersign_auth::policy::Permit;
use countersign_auth::refusal::Refusal;
use countersign_auth::time::Time;
use http::HeaderValue;

use crate::gate::Gate;

/// Of those that a core minted about the gate's own accounts so many are kept, some 600 bytes each: its share stays below
/// 80 MiB a core, for more than a hundred thousand active accounts. All cores hand them out.
const MINTED_MAX: usize = 128 * 1024;

/// What this core minted, the oldest first, and where that is kept.
type Minted = VecDeque<(Time, Arc<Account>)>;

thread_local! {
    static MINTED: RefCell<Minted> = RefCell::default();
    /// Those about nobody, one an API: every caller's, so that cores share not even the count of who holds it.
    static ANONYMOUS: RefCell<Vec<(AssertionKey, Assertion)>> = RefCell::default();
}

/// The assertion for a permit: one that was minted before, while it is fresh, or a new one; always a new one where it
/// names the objects of one request.
///
/// # Errors
/// `unavailable` if there is no key to sign with.
pub(super) fn assertion(gate: &Gate, api: &Api, permit: &Permit, now: Time) -> Result<HeaderValue, Refusal> {
    let account = permit.identity().account();
    let key = permit.assertion_key(api, now);
    if let Some(value) = key.and_then(|key| find(account, key, now)) {
        return Ok(value);
    }
    let assertion = assert(api, permit, &*gate.signer, now)?;
    if let Some(key) = key {
        keep(account, key, &assertion, now);
    }
    Ok(assertion.value().clone())
}

fn find(account: Option<&Arc<Account>>, key: AssertionKey, now: Time) -> Option<HeaderValue> {
    if let Some(account) = account {
        return account.minted.find(key, now);
    }
    ANONYMOUS.with_borrow(|kept| {
        let (_, assertion) = kept.iter().find(|(of, _)| *of == key)?;
        assertion.is_fresh(now).then(|| assertion.value().clone())
    })
}

fn keep(account: Option<&Arc<Account>>, key: AssertionKey, assertion: &Assertion, now: Time) {
    let Some(account) = account else {
        return ANONYMOUS.with_borrow_mut(|kept| {
            kept.retain(|(of, one)| *of != key && one.is_fresh(now));
            kept.push((key, assertion.clone()));
        });
    };
    // An account that an issuer's tokens describe goes with the proofs that are remembered of them and with its place among
    // those that were described lately, and of both there is a bound; many are seen once.
    if account.minted.keep(key, assertion, now) && !account.is_foreign() {
        MINTED.with_borrow_mut(|minted| {
            minted.push_back((now, Arc::clone(account)));
            forget(minted, now);
        });
    }
}

/// Forgets what this core minted and nobody may be handed any more; on every beat.
pub(crate) fn forget_stale_assertions(now: Time) {
    MINTED.with_borrow_mut(|minted| forget(minted, now));
}

fn forget(minted: &mut Minted, now: Time) {
    let is_useless = |at: Time| now.is_set_back_from(at) || now.since(at) >= REUSED;
    while minted.front().is_some_and(|(at, _)| is_useless(*at)) || minted.len() > MINTED_MAX {
        if let Some((at, account)) = minted.pop_front() {
            account.minted.forget_until(at);
        }
    }
}
