//! The sequence lock under every order of loads and stores that the memory model allows, two or three threads wide.
//!
//! Loom runs each test once for every way in which the threads can take turns, and for every store that a relaxed load may
//! see; where there are too many ways, for those with few interruptions. What is checked is the file that the gate is made of, with loom's atomics in place of the standard library's.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

#[path = "sequence.rs"]
#[expect(clippy::duplicate_mod, reason = "the same lock with other atomics")]
mod sequence;

use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Mutex};
use loom::thread;

use atomic::{AtomicU64, Ordering, fence};
use sequence::Sequence;

/// How often threads are interrupted in one run where not all of them are tried: errors of such locks show with two.
const INTERRUPTIONS_MAX: usize = 3;

/// A record of two words, which always hold the same.
#[derive(Default)]
struct Words([AtomicU64; 2]);

impl Words {
    fn put(&self, value: u64) {
        for word in &self.0 {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn get(&self) -> [u64; 2] {
        self.0.each_ref().map(|word| word.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Shard {
    sequence: Sequence,
    words: Words,
    /// The writers' lock.
    changes: Mutex<()>,
}

fn few_interruptions(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(INTERRUPTIONS_MAX);
    builder.check(test);
}

#[track_caller]
fn whole(seen: [u64; 2]) -> u64 {
    assert_eq!(seen[0], seen[1], "torn");
    seen[0]
}

#[test]
fn no_reader_sees_half_of_a_change() {
    loom::model(|| {
        let shard = Arc::new(Shard::default());
        let writer = Arc::clone(&shard);
        let writer = thread::spawn(move || {
            writer.sequence.write(|| writer.words.put(1));
        });
        // Fails, and tries again.
        let _seen = shard.sequence.read(2, || shard.words.get()).map(whole);
        writer.join().unwrap();
        assert_eq!(shard.sequence.read(1, || shard.words.get()).map(whole), Some(1));
    });
}

#[test]
fn no_reader_sees_what_is_older_than_what_he_saw() {
    few_interruptions(|| {
        let shard = Arc::new(Shard::default());
        let writer = Arc::clone(&shard);
        let writer = thread::spawn(move || {
            for value in [1, 2] {
                writer.sequence.write(|| writer.words.put(value));
            }
        });
        let first = shard.sequence.read(1, || shard.words.get()).map(whole);
        let second = shard.sequence.read(1, || shard.words.get()).map(whole);
        if let (Some(first), Some(second)) = (first, second) {
            assert!(first <= second, "older than what was seen before");
        }
        writer.join().unwrap();
    });
}

#[test]
fn no_reader_sees_half_of_two_writers() {
    few_interruptions(|| {
        let shard = Arc::new(Shard::default());
        let writers: Vec<_> = [1, 2]
            .map(|value| {
                let shard = Arc::clone(&shard);
                thread::spawn(move || {
                    let _one_at_a_time = shard.changes.lock().unwrap();
                    shard.sequence.write(|| shard.words.put(value));
                })
            })
            .into_iter()
            .collect();
        let _seen = shard.sequence.read(1, || shard.words.get()).map(whole);
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(shard.sequence.read(1, || shard.words.get()).map(whole).is_some());
    });
}

/// A shard that grows: the new slots are filled before they take the place of the old ones.
#[test]
fn slots_that_are_replaced_are_whole() {
    few_interruptions(|| {
        let tables =
            Arc::new(([Words::default(), Words::default()], AtomicUsize::new(0), Sequence::default()));
        let writer = Arc::clone(&tables);
        let writer = thread::spawn(move || {
            let (tables, place, sequence) = &*writer;
            tables[1].put(1);
            sequence.write(|| place.store(1, Ordering::Release));
            sequence.write(|| tables[1].put(2));
        });
        let (tables, place, sequence) = &*tables;
        let seen = sequence.read(1, || {
            let at = place.load(Ordering::Acquire);
            (at, tables[at].get())
        });
        if let Some((at, seen)) = seen {
            assert!(whole(seen) == 0 && at == 0 || whole(seen) > 0 && at == 1);
        }
        writer.join().unwrap();
    });
}

/// The same lock without the writer's fence: what is stored may be seen before the odd number. If this passed, the tests
/// above would show nothing.
#[test]
#[should_panic(expected = "torn")]
fn a_lock_without_its_fence_is_found_out() {
    loom::model(|| {
        let shard = Arc::new((AtomicU64::new(0), Words::default()));
        let writer = Arc::clone(&shard);
        let writer = thread::spawn(move || {
            writer.0.store(1, Ordering::Relaxed);
            writer.1.put(1);
            writer.0.store(2, Ordering::Release);
        });
        let before = shard.0.load(Ordering::Acquire);
        let seen = shard.1.get();
        fence(Ordering::Acquire);
        if before % 2 == 0 && shard.0.load(Ordering::Relaxed) == before {
            whole(seen);
        }
        writer.join().unwrap();
    });
}
