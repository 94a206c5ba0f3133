//! A lane for each account: of its calls one at a time, so that whoever calls many times at once waits for himself alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_auth::account::AccountId;
use countersign_auth::refusal::{Reason, Refusal};
use hashbrown::HashMap;
use tokio::sync::OwnedMutexGuard;

use super::answer::Failure;

/// Calls of one account that wait for each other. A program does a few things at once; each that waits is a request in
/// memory.
const WAITING_MAX: usize = 8;

/// See the module's words.
#[derive(Default)]
pub(crate) struct Lanes {
    /// Of accounts that have calls here.
    by_account: Mutex<HashMap<AccountId, Lane>>,
}

#[derive(Default)]
struct Lane {
    place: Arc<tokio::sync::Mutex<()>>,
    guests: usize,
}

/// An account's turn, until it is dropped.
pub(crate) struct Turn<'t> {
    _place: OwnedMutexGuard<()>,
    _guest: Guest<'t>,
}

/// Keeps an account's lane as long as one of its calls is here.
struct Guest<'t> {
    all: &'t Lanes,
    account: AccountId,
}

impl Lanes {
    /// A call's turn, once the calls before it are done.
    ///
    /// # Errors
    /// If too many wait already.
    pub(crate) async fn enter(&self, account: AccountId) -> Result<Turn<'_>, Failure> {
        let (guest, place, others) = self.come(account);
        if others > WAITING_MAX {
            let cause = "too many calls of the account wait for each other";
            return Err(Failure::Gate(Refusal::new(Reason::TooMany, cause)));
        }
        Ok(Turn { _place: place.lock_owned().await, _guest: guest })
    }

    /// A turn for what is to be done about an account however many of its calls wait.
    pub(crate) async fn enter_in_any_case(&self, account: AccountId) -> Turn<'_> {
        let (guest, place, _others) = self.come(account);
        Turn { _place: place.lock_owned().await, _guest: guest }
    }

    /// A guest of an account's lane, its place, and how many others are there.
    fn come(&self, account: AccountId) -> (Guest<'_>, Arc<tokio::sync::Mutex<()>>, usize) {
        let mut lanes = self.lanes();
        let lane = lanes.entry(account).or_default();
        let others = lane.guests;
        lane.guests += 1;
        (Guest { all: self, account }, Arc::clone(&lane.place), others)
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<AccountId, Lane>> {
        self.by_account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let mut lanes = self.all.lanes();
        if let Some(lane) = lanes.get_mut(&self.account) {
            lane.guests = lane.guests.saturating_sub(1);
            if lane.guests == 0 {
                lanes.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const ANN: AccountId = AccountId(1);
    const BOB: AccountId = AccountId(2);

    /// What is there without waiting.
    fn now<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_account_waits_for_itself_alone_and_so_many_times() {
        let lanes = Lanes::default();
        let first = now(Box::pin(lanes.enter(ANN)).as_mut()).unwrap().unwrap();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(lanes.enter(ANN))).collect();
        assert!(waiting.iter_mut().all(|turn| now(turn.as_mut()).is_none()));
        assert!(now(Box::pin(lanes.enter(ANN)).as_mut()).unwrap().is_err(), "one more");
        assert!(now(Box::pin(lanes.enter(BOB)).as_mut()).unwrap().is_ok());
        let mut in_any_case = Box::pin(lanes.enter_in_any_case(ANN));
        assert!(now(in_any_case.as_mut()).is_none());
        drop(first);
        let second = now(waiting.first_mut().unwrap().as_mut()).unwrap().unwrap();
        assert!(now(waiting.last_mut().unwrap().as_mut()).is_none(), "one at a time");
        // Whoever gives up makes room.
        drop((waiting, second));
        drop(now(in_any_case.as_mut()).unwrap());
        assert!(lanes.lanes().is_empty(), "nothing is kept");
    }
}
