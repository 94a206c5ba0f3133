//! The counters of a nonce under every way in which cores can take turns.
//!
//! Loom runs each test once for each of them. What is checked is the file that the gate is made of, with loom's atomics in
//! place of the standard library's.

#![expect(clippy::unwrap_used, reason = "tests")]

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

#[path = "counters.rs"]
#[expect(clippy::duplicate_mod, reason = "the same counters with other atomics")]
mod counters;

use loom::sync::Arc;
use loom::thread;

use atomic::{AtomicU64, Ordering};
use counters::{Counters, WINDOW};

/// Which counters cores get that take these, a list each.
fn taken(lists: &[&'static [u32]]) -> Vec<u32> {
    let counters = Arc::new(Counters::default());
    let take = |list: &'static [u32]| {
        let counters = Arc::clone(&counters);
        move || list.iter().copied().filter(|counter| counters.use_up(*counter)).collect::<Vec<_>>()
    };
    let (own, others) = lists.split_first().unwrap();
    let others: Vec<_> = others.iter().map(|list| thread::spawn(take(list))).collect();
    let mut taken = take(own)();
    taken.extend(others.into_iter().flat_map(|other| other.join().unwrap()));
    taken.sort_unstable();
    taken
}

#[test]
fn a_counter_that_cores_take_at_once_is_taken_once() {
    loom::model(|| assert_eq!(taken(&[&[7], &[7], &[7]]), [7]));
}

#[test]
fn counters_of_one_word_are_all_taken() {
    loom::model(|| assert_eq!(taken(&[&[1, 2], &[2, 3]]), [1, 2, 3]));
}

/// A core takes a counter while another one lets a later block have its word.
#[test]
fn what_a_later_block_drives_out_is_not_taken_again() {
    const LATE: u32 = 1 + WINDOW + 32;
    loom::model(|| {
        let taken = taken(&[&[1, 1], &[LATE, 1]]);
        assert!(taken == [LATE] || taken == [1, LATE], "{taken:?}");
    });
}

/// Looked at first and set then. If this passed, the tests above would show nothing.
#[test]
#[should_panic(expected = "taken twice")]
fn a_window_without_exchanges_is_found_out() {
    loom::model(|| {
        let word = Arc::new(AtomicU64::new(0));
        let take = |word: &AtomicU64| {
            let is_fresh = word.load(Ordering::Relaxed) == 0;
            word.fetch_or(1, Ordering::Relaxed);
            is_fresh
        };
        let other = Arc::clone(&word);
        let other = thread::spawn(move || take(&other));
        let both = take(&word) && other.join().unwrap();
        assert!(!both, "taken twice");
    });
}
