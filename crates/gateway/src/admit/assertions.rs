//! Assertions that were minted before, and when they are forgotten.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use countersign_auth::account::Account;
use countersign_auth::api::Api;
use countersign_auth::assertion::{REUSED, assert};
use countersign_auth::policy::Permit;
use countersign_auth::refusal::Refusal;
use countersign_auth::time::Time;
use http::HeaderValue;

use crate::gate::Gate;

/// Of those that a core minted so many are kept, some 600 bytes each, so that its share stays below 80 MiB: as many as it can
/// sign in two seconds of nothing else, or for a hundred thousand active accounts. All cores hand them out.
const MINTED_MAX: usize = 128 * 1024;

thread_local! {
    /// What this core minted, the oldest first, and where that is kept.
    static MINTED: RefCell<VecDeque<(Time, Arc<Account>)>> = RefCell::default();
}

/// The assertion for a permit: one that was minted before, while it is fresh, or a new one; always a new one where it
/// names the objects of one request.
///
/// # Errors
/// `unavailable` if there is no key to sign with.
pub(super) fn assertion(gate: &Gate, api: &Api, permit: &Permit, now: Time) -> Result<HeaderValue, Refusal> {
    let Some((minted, key)) = permit.minted(api, now) else {
        return Ok(assert(api, permit, &*gate.signer, now)?.value().clone());
    };
    if let Some(value) = minted.find(key, now) {
        return Ok(value);
    }
    let assertion = assert(api, permit, &*gate.signer, now)?;
    minted.keep(key, &assertion, now);
    if let Some(account) = permit.identity().account() {
        MINTED.with_borrow_mut(|minted| {
            minted.push_back((now, Arc::clone(account)));
            forget(minted, now);
        });
    }
    Ok(assertion.value().clone())
}

/// Forgets what this core minted and nobody may be handed any more; on every beat.
pub(crate) fn forget_stale_assertions(now: Time) {
    MINTED.with_borrow_mut(|minted| forget(minted, now));
}

fn forget(minted: &mut VecDeque<(Time, Arc<Account>)>, now: Time) {
    let is_useless = |at: Time| now < at || now.since(at) >= REUSED;
    while minted.front().is_some_and(|(at, _)| is_useless(*at)) || minted.len() > MINTED_MAX {
        if let Some((at, account)) = minted.pop_front() {
            account.minted.forget_until(at);
        }
    }
}
