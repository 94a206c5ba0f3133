//! Which states were used: for as long as one opens.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_auth::scheme::code::LIFETIME_SECS;
use countersign_auth::time::Time;
use hashbrown::HashSet;

/// Of each half: some hundred log-ins a second, and 4 MB.
const MOST: usize = 65_536;

/// What became of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was the first one.
    Spent,
    /// There was one before.
    Before,
    /// So many were used lately that no more can be told apart.
    Full,
}

#[derive(Default)]
struct Halves {
    /// When the young half was begun.
    since: Option<Time>,
    young: HashSet<[u8; 32]>,
    /// Of the span before it: younger than two lifetimes.
    old: HashSet<[u8; 32]>,
}

/// A set that forgets what is older than a state lives, in two halves that take turns.
#[derive(Default)]
pub(super) struct Spent(Mutex<Halves>);

impl Spent {
    pub(super) fn spend(&self, state: &str, now: Time) -> Outcome {
        let lifetime = Duration::from_secs(LIFETIME_SECS.into());
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if halves.since.is_none_or(|since| now.since(since) >= lifetime) {
            let after_a_gap = halves.since.is_some_and(|since| now.since(since) >= lifetime * 2);
            let young = std::mem::take(&mut halves.young);
            halves.old = if after_a_gap { HashSet::new() } else { young };
            halves.since = Some(now);
        }
        let name = name(state);
        if halves.young.contains(&name) || halves.old.contains(&name) {
            return Outcome::Before;
        }
        if halves.young.len() >= MOST {
            return Outcome::Full;
        }
        halves.young.insert(name);
        Outcome::Spent
    }

    pub(super) fn undo(&self, state: &str) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = name(state);
        halves.young.remove(&name);
        halves.old.remove(&name);
    }
}

fn name(state: &str) -> [u8; 32] {
    let mut name = [0; 32];
    name.copy_from_slice(digest(&SHA256, state.as_bytes()).as_ref());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: i64) -> Time {
        Time::from_unix_secs(1_800_000_000 + secs)
    }

    #[test]
    fn a_state_is_good_once_for_as_long_as_it_opens() {
        let spent = Spent::default();
        assert_eq!(spent.spend("one", at(0)), Outcome::Spent);
        for secs in [0, 1, 300, 599, 601, 900, 1199] {
            assert_eq!(spent.spend("one", at(secs)), Outcome::Before, "{secs}");
        }
        assert_eq!(spent.spend("two", at(1199)), Outcome::Spent);
        spent.undo("two");
        assert_eq!(spent.spend("two", at(1199)), Outcome::Spent);
        assert_eq!(spent.spend("one", at(5000)), Outcome::Spent);
        assert_eq!(spent.spend("two", at(5000)), Outcome::Spent);
    }

    #[test]
    fn what_cannot_be_told_apart_any_more_is_not_let_in() {
        let spent = Spent::default();
        for number in 0..MOST {
            assert_eq!(spent.spend(&number.to_string(), at(0)), Outcome::Spent);
        }
        assert_eq!(spent.spend("one more", at(1)), Outcome::Full);
        assert_eq!(spent.spend("7", at(1)), Outcome::Before);
        assert_eq!(spent.spend("one more", at(601)), Outcome::Spent);
    }
}
