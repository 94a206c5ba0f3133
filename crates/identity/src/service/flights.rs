//! Checks under way, so that what comes many times at once is checked once.
//!
//! ```text
//! claim ─▶ under way? ─ no ─▶ address bucket ─▶ a check begins ────────┬─▶ outcome, told to all who wait
//!               └─ yes ─▶ address bucket, unless it counts there ──────┘   and given back where it is no failure
//! ```
//!
//! An attempt is one check of one claim for one address. Whoever comes with the very same claim while it is checked learns
//! what the others do and tries nothing more, so an address is charged when its first request begins or joins a check,
//! and not for the rest of them. Requests of another address are attempts of that one: if it has had too many it
//! may not join either, or it would go on guessing beside others.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_auth::source::Source;
use countersign_auth::time::Time;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;

use crate::lockout::Locked;
use crate::lockout::addresses::Addresses;

/// Requests that wait for one check: as many as one address may have connections. Only who sends the same password or
/// token comes to it.
const ABOARD_MAX: usize = 1000;

/// There were too many failures from an address, or too many wait already.
#[derive(Debug)]
pub(super) struct TooMany;

/// Checks under way, by a keyed hash of all that their outcome depends on.
pub(super) struct Flights<O>(Arc<Inner<O>>);

struct Inner<O> {
    addresses: Arc<Addresses>,
    is_failure: fn(&O) -> bool,
    under_way: Mutex<HashMap<[u8; 32], Flight<O>>>,
}

struct Flight<O> {
    outcome: Shared<BoxFuture<'static, O>>,
    /// Whose attempt it is, each counted once.
    of: SmallVec<[IpAddr; 1]>,
    aboard: usize,
}

impl<O: Clone + Send + Sync + 'static> Flights<O> {
    /// Checks count for `addresses` as failed from when they begin; those whose outcome is none are given back.
    pub(super) fn new(addresses: &Arc<Addresses>, is_failure: fn(&O) -> bool) -> Self {
        let addresses = Arc::clone(addresses);
        Self(Arc::new(Inner { addresses, is_failure, under_way: Mutex::default() }))
    }

    /// Joins the check of this key that is under way, or begins it. Whoever
    /// awaits it must do so to its end, as tasks of the service do: nobody else turns it.
    pub(super) async fn join<F>(
        &self,
        key: [u8; 32],
        address: IpAddr,
        now: Time,
        begin: impl FnOnce() -> F,
    ) -> Result<O, TooMany>
    where
        F: Future<Output = O> + Send + 'static,
    {
        let outcome = self.board(key, Some(address), now, begin)?;
        Ok(outcome.await)
    }

    /// The same for a check that is nobody's attempt, because what is checked was good before: no address is charged for it,
    /// and none is refused. Its keys are no attempt's.
    pub(super) async fn join_uncharged<F>(
        &self,
        key: [u8; 32],
        now: Time,
        begin: impl FnOnce() -> F,
    ) -> Result<O, TooMany>
    where
        F: Future<Output = O> + Send + 'static,
    {
        let outcome = self.board(key, None, now, begin)?;
        Ok(outcome.await)
    }

    /// Requests that wait.
    #[cfg(test)]
    pub(super) fn aboard(&self) -> usize {
        self.0.under_way().values().map(|flight| flight.aboard).sum()
    }

    fn board<F>(
        &self,
        key: [u8; 32],
        address: Option<IpAddr>,
        now: Time,
        begin: impl FnOnce() -> F,
    ) -> Result<Shared<BoxFuture<'static, O>>, TooMany>
    where
        F: Future<Output = O> + Send + 'static,
    {
        let inner = &self.0;
        let charge = |address| inner.addresses.begin(address, now).map_err(|Locked| TooMany);
        match inner.under_way().entry(key) {
            Entry::Occupied(mut under_way) => {
                let flight = under_way.get_mut();
                if flight.aboard >= ABOARD_MAX {
                    return Err(TooMany);
                }
                let is_new = |address: &IpAddr| {
                    let source = Source::of(*address);
                    !flight.of.iter().any(|other| Source::of(*other) == source)
                };
                if let Some(address) = address.filter(is_new) {
                    charge(address)?;
                    flight.of.push(address);
                }
                flight.aboard += 1;
                Ok(flight.outcome.clone())
            }
            Entry::Vacant(place) => {
                address.map_or(Ok(()), charge)?;
                let (check, inner) = (begin(), Arc::clone(inner));
                let landed = async move {
                    let outcome = check.await;
                    inner.land(&key, &outcome, now);
                    outcome
                };
                let outcome = landed.boxed().shared();
                place.insert(Flight {
                    outcome: outcome.clone(),
                    of: address.into_iter().collect(),
                    aboard: 1,
                });
                Ok(outcome)
            }
        }
    }
}

impl<O> Inner<O> {
    fn under_way(&self) -> MutexGuard<'_, HashMap<[u8; 32], Flight<O>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn land(&self, key: &[u8; 32], outcome: &O, now: Time) {
        let flight = self.under_way().remove(key);
        if (self.is_failure)(outcome) {
            return;
        }
        for address in flight.into_iter().flat_map(|flight| flight.of) {
            self.addresses.forgive(address, now);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::sync::oneshot;

    use super::*;

    const RIGHT: bool = true;
    const FAILURES: u32 = 50;

    fn at(secs: i64) -> Time {
        Time::from_unix_secs(1_800_000_000 + secs)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    struct Sky {
        addresses: Arc<Addresses>,
        flights: Flights<bool>,
    }

    type Waiting = Vec<Shared<BoxFuture<'static, bool>>>;

    impl Sky {
        fn new() -> Self {
            let addresses = Arc::new(Addresses::new(FAILURES));
            let flights = Flights::new(&addresses, |outcome| *outcome != RIGHT);
            Self { addresses, flights }
        }

        /// So many requests of an address with one claim; each begins a check that ends with `end` if none is under way.
        fn board(&self, key: u8, address: &str, requests: usize, end: &mut Ends) -> (Waiting, usize) {
            let mut refused = 0;
            let mut aboard = Vec::new();
            for _ in 0..requests {
                let begin = || {
                    let (sender, receiver) = oneshot::channel();
                    end.0.push(sender);
                    async move { receiver.await.unwrap() }
                };
                match self.flights.board([key; 32], Some(ip(address)), at(0), begin) {
                    Ok(outcome) => aboard.push(outcome),
                    Err(TooMany) => refused += 1,
                }
            }
            (aboard, refused)
        }

        /// Attempts that an address has left, using them up.
        fn left(&self, address: &str) -> u32 {
            let mut left = 0;
            while self.addresses.begin(ip(address), at(0)).is_ok() {
                left += 1;
            }
            left
        }
    }

    /// What ends the checks that began.
    #[derive(Default)]
    struct Ends(Vec<oneshot::Sender<bool>>);

    impl Ends {
        fn all(&mut self, outcome: bool) -> usize {
            let begun = self.0.len();
            for end in self.0.drain(..) {
                end.send(outcome).unwrap();
            }
            begun
        }
    }

    #[tokio::test]
    async fn one_claim_at_once_is_one_attempt_of_each_address() {
        for outcome in [RIGHT, !RIGHT] {
            let (sky, mut ends) = (Sky::new(), Ends::default());
            let mut all = Waiting::new();
            for (address, requests) in [("10.0.0.1", 400), ("2001:db8::1", 30), ("2001:db8::2", 30)] {
                let (aboard, refused) = sky.board(1, address, requests, &mut ends);
                assert_eq!((aboard.len(), refused), (requests, 0), "{address}");
                all.extend(aboard);
            }
            assert_eq!(ends.all(outcome), 1);
            for told in all {
                assert_eq!(told.await, outcome);
            }
            let left = if outcome == RIGHT { FAILURES } else { FAILURES - 1 };
            for address in ["10.0.0.1", "2001:db8::3"] {
                assert_eq!(sky.left(address), left, "{address} after {outcome}");
            }
            // What has landed is joined no more.
            sky.board(1, "10.0.0.9", 1, &mut ends);
            assert_eq!(ends.all(outcome), 1);
        }
    }

    #[tokio::test]
    async fn every_other_claim_is_another_attempt() {
        let (sky, mut ends) = (Sky::new(), Ends::default());
        for key in 0..50 {
            assert_eq!(sky.board(key, "10.0.0.1", 2, &mut ends).1, 0, "{key}");
        }
        assert_eq!(sky.board(50, "10.0.0.1", 1, &mut ends).1, 1);
        // What was charged for may be joined still.
        assert_eq!(sky.board(49, "10.0.0.1", 1, &mut ends).1, 0);
        assert_eq!(ends.all(!RIGHT), 50);
    }

    #[tokio::test]
    async fn whoever_had_too_many_failures_does_not_join_others() {
        let (sky, mut ends) = (Sky::new(), Ends::default());
        assert_eq!(sky.left("10.0.0.2"), FAILURES);
        let (_owner, refused) = sky.board(1, "10.0.0.1", 1, &mut ends);
        assert_eq!(refused, 0);
        assert_eq!(sky.board(1, "10.0.0.2", 1, &mut ends).1, 1);
        assert_eq!(sky.board(1, "10.0.0.3", 1, &mut ends).1, 0);
    }

    #[tokio::test]
    async fn so_many_wait_for_one_check() {
        let (sky, mut ends) = (Sky::new(), Ends::default());
        let (aboard, refused) = sky.board(1, "10.0.0.1", ABOARD_MAX + 1, &mut ends);
        assert_eq!((aboard.len(), refused), (ABOARD_MAX, 1));
        assert_eq!(sky.board(1, "10.0.0.2", 1, &mut ends).1, 1, "from anywhere");
        assert_eq!(sky.left("10.0.0.2"), FAILURES, "and it is no attempt");
        assert_eq!(sky.board(2, "10.0.0.1", 1, &mut ends).1, 0, "another check has its own");
        ends.all(RIGHT);
        for told in aboard {
            assert_eq!(told.await, RIGHT);
        }
        assert_eq!(sky.board(1, "10.0.0.1", 1, &mut ends).1, 0);
    }
}
