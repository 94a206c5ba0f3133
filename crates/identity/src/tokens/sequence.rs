//! A sequence lock: who reads waits for nobody, and who writes waits for no reader.
//!
//! The number is odd while something is written. What a reader saw counts if the number was even before and the same
//! after. What is read and written meanwhile has to be atomic, and may be relaxed:
//!
//! ```text
//! writer  number = odd ── fence(Release) ── relaxed stores ── number = even (Release)
//! reader  number (Acquire) ── relaxed loads ── fence(Acquire) ── number again
//! ```
//!
//! A load that saw a store makes what the writer did before that store seen after the reader's fence: the odd number.
//! And whoever sees the even number sees all that was stored before it. [`orders`](super::orders) tries every order that
//! the memory model allows.

use super::atomic::{AtomicU64, Ordering, fence};

#[derive(Default)]
pub(super) struct Sequence(AtomicU64);

impl Sequence {
    /// What `look` sees while nobody writes; `None` if somebody wrote during each of so many tries.
    pub(super) fn read<T>(&self, tries: usize, look: impl Fn() -> T) -> Option<T> {
        for _ in 0..tries {
            let before = self.0.load(Ordering::Acquire);
            if before % 2 == 1 {
                std::hint::spin_loop();
                continue;
            }
            let seen = look();
            fence(Ordering::Acquire);
            if self.0.load(Ordering::Relaxed) == before {
                return Some(seen);
            }
        }
        None
    }

    /// Lets `work` write, which must not panic. Writers take turns: whoever calls this holds the lock for that.
    pub(super) fn write(&self, work: impl FnOnce()) {
        let number = self.0.load(Ordering::Relaxed);
        self.0.store(number.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        work();
        self.0.store(number.wrapping_add(2), Ordering::Release);
    }
}
