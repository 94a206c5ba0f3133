//! Who has a question asked of somebody else, when all want to: places at once, of which one source has a share.
//!
//! Whoever finds no place waits for one, not for long. He waits for the share of his own source first, so that many who
//! come from one place keep nobody else waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_auth::source::Source;
use hashbrown::HashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Of the places at once one source has the fourth part, so that it takes four to take them all.
const SOURCES: usize = 4;
/// Who waits longer is told to come back later: people notice it, and most clients wait longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Who waits keeps a token or a code in memory. Those of one source are some fifty at the most, as many as it may
/// fail in a minute; of those who wait for look-ups of objects it has the fourth part.
const WAITING_MAX: usize = 1024;

/// See the module's words.
pub(crate) struct Turns {
    places: Semaphore,
    share: usize,
    /// So many of one source have a place or wait for one.
    guests_of_one: usize,
    patience: Duration,
    /// Of sources that have a place or wait for one, and how many do.
    shares: Mutex<HashMap<Source, Share>>,
}

struct Share {
    places: Arc<Semaphore>,
    guests: usize,
}

/// A place, until it is dropped.
pub(crate) struct Turn<'t> {
    _place: SemaphorePermit<'t>,
    _share: OwnedSemaphorePermit,
    _guest: Guest<'t>,
}

/// Keeps the share of a source as long as somebody of it is here.
struct Guest<'t> {
    turns: &'t Turns,
    source: Source,
}

impl Turns {
    /// So many places, for what one source asks for no more often than it may fail.
    pub(crate) fn new(places: usize) -> Self {
        Self::within(PATIENCE, places)
    }

    /// So many places, for what one source may ask for without an end: of those who wait, it is the fourth part as well.
    pub(crate) fn even(places: usize) -> Self {
        Self { guests_of_one: WAITING_MAX / SOURCES, ..Self::new(places) }
    }

    fn within(patience: Duration, places: usize) -> Self {
        let share = (places / SOURCES).max(1);
        let guests_of_one = WAITING_MAX;
        Self { places: Semaphore::new(places), share, guests_of_one, patience, shares: Mutex::default() }
    }

    /// A place, when it is one's turn; `None` if that takes too long, or too many wait.
    pub(crate) async fn enter(&self, source: Source) -> Option<Turn<'_>> {
        let (guest, share) = self.come(source)?;
        let turn = async {
            let share = share.acquire_owned().await.ok()?;
            Some((self.places.acquire().await.ok()?, share))
        };
        let (place, share) = timeout(self.patience, turn).await.ok()??;
        Some(Turn { _place: place, _share: share, _guest: guest })
    }

    fn come(&self, source: Source) -> Option<(Guest<'_>, Arc<Semaphore>)> {
        let mut shares = self.shares();
        if shares.values().map(|share| share.guests).sum::<usize>() >= WAITING_MAX {
            return None;
        }
        let new = || Share { places: Arc::new(Semaphore::new(self.share)), guests: 0 };
        let share = shares.entry(source).or_insert_with(new);
        if share.guests >= self.guests_of_one {
            return None;
        }
        share.guests += 1;
        Some((Guest { turns: self, source }, Arc::clone(&share.places)))
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<Source, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let mut shares = self.turns.shares();
        if let Some(share) = shares.get_mut(&self.source) {
            share.guests = share.guests.saturating_sub(1);
            if share.guests == 0 {
                shares.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use futures_util::FutureExt as _;

    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    #[tokio::test]
    async fn one_source_has_a_quarter_and_who_comes_later_waits_a_while() {
        let turns = Turns::new(8);
        let mut one = Vec::new();
        for _ in 0..2 {
            one.push(turns.enter(source(1)).now_or_never().unwrap().unwrap());
        }
        let mut third = Box::pin(turns.enter(source(1)));
        assert!(third.as_mut().now_or_never().is_none());
        let mut others = Vec::new();
        for last in [2, 2, 3, 3, 4, 4] {
            others.push(turns.enter(source(last)).now_or_never().unwrap().unwrap());
        }
        // All places are taken: whoever comes waits, and is let in as soon as one is free, also of those.
        let mut fifth = Box::pin(turns.enter(source(5)));
        assert!(fifth.as_mut().now_or_never().is_none());
        others.pop();
        let fifth = fifth.await.unwrap();
        one.pop();
        assert!(third.await.is_some());
        drop((one, others, fifth));
        assert!(turns.shares().is_empty());
        assert_eq!(turns.places.available_permits(), 8);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let turns = Turns::within(Duration::from_millis(1), 4);
        let held = turns.enter(source(1)).await.unwrap();
        assert!(turns.enter(source(1)).await.is_none());
        drop(held);
        assert!(turns.enter(source(1)).await.is_some());
    }

    #[tokio::test]
    async fn no_more_wait_than_there_is_room_for() {
        let turns = Turns::new(4);
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(turns.enter(source(1)))).collect();
        let held: Vec<_> = waiting.iter_mut().filter_map(|turn| turn.as_mut().now_or_never()).collect();
        assert_eq!(held.len(), 1);
        assert!(turns.enter(source(2)).now_or_never().unwrap().is_none());
        drop(waiting);
        drop(held);
        assert!(turns.enter(source(2)).now_or_never().unwrap().is_some());
    }

    #[tokio::test]
    async fn where_one_source_may_ask_without_an_end_it_waits_for_a_quarter() {
        let turns = Turns::even(4);
        let mut waiting: Vec<_> = (0..WAITING_MAX / 4).map(|_| Box::pin(turns.enter(source(1)))).collect();
        let held: Vec<_> = waiting.iter_mut().filter_map(|turn| turn.as_mut().now_or_never()).collect();
        assert_eq!(held.len(), 1);
        assert!(turns.enter(source(1)).now_or_never().unwrap().is_none());
        assert!(turns.enter(source(2)).now_or_never().unwrap().is_some());
        drop((waiting, held));
        assert!(turns.shares().is_empty());
    }
}
