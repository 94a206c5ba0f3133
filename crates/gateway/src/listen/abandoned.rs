//! Requests of a connection of HTTP/2 that its client takes back before their answers begin.
//!
//! Each has been decided on, and is at work at its service, which does not always notice that nobody waits any more; and its
//! place among `upstream_requests` is free again. So a client that asks and takes back, asks and takes back, has more work
//! done than any limit of requests at once allows (RUSTSEC-2023-0034, with patience).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::Connection;

/// A page that is left takes back all that it has under way, `streams` at the most, and so may the next one, before
/// anything is answered. Each answer makes up for one.
const ABANDONED_MAX: u32 = 256;
/// So many a second are forgiven: some people only ever wait, and take back. A trusted proxy may take back as it likes.
const FORGIVEN_PER_SECOND: u64 = 10;

/// How much a client has taken back of late.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    level: AtomicU32,
    forgiven_at_ms: AtomicU64,
    is_too_much: AtomicBool,
}

impl Abandoned {
    /// Counts one; whether it is one too many.
    fn count(&self, now_ms: u64) -> bool {
        let since = now_ms.saturating_sub(self.forgiven_at_ms.load(Ordering::Relaxed));
        let forgiven = since.saturating_mul(FORGIVEN_PER_SECOND) / 1000;
        if forgiven > 0 {
            self.forgiven_at_ms.store(now_ms, Ordering::Relaxed);
        }
        let level = self.level.load(Ordering::Relaxed);
        let level = level.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)).saturating_add(1);
        self.level.store(level, Ordering::Relaxed);
        level > ABANDONED_MAX
    }

    /// Makes up for one.
    fn make_up(&self) {
        let level = self.level.load(Ordering::Relaxed);
        if level > 0 {
            self.level.store(level - 1, Ordering::Relaxed);
        }
    }

    /// Whether the connection is to end.
    pub(super) fn is_too_much(&self) -> bool {
        self.is_too_much.load(Ordering::Relaxed)
    }
}

impl Connection {
    /// A request has ended, with an answer or taken back before it, which does not count where it is a trusted proxy's. One of
    /// HTTP/1.1 takes its connection with it.
    pub(crate) fn request_closed(&self, is_answered: bool, now_ms: u64) {
        if !self.is_shared() {
            return;
        }
        if is_answered {
            self.abandoned.make_up();
        } else if self.abandoned.count(now_ms) && !self.abandoned.is_too_much.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                peer.address = %self.address,
                "a client takes back too many requests before their answers"
            );
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_may_be_abandoned_and_answers_and_time_make_up_for_some() {
        let connection = Connection::of_test();
        for _ in 0..2 * ABANDONED_MAX {
            connection.request_closed(false, 0);
        }
        assert!(!connection.abandoned.is_too_much(), "of HTTP/1.1");
        connection.share();
        for _ in 0..ABANDONED_MAX {
            connection.request_closed(false, 0);
        }
        assert!(!connection.abandoned.is_too_much());
        for now_ms in 0..100 {
            connection.request_closed(true, now_ms);
            connection.request_closed(false, now_ms);
        }
        for _ in 0..FORGIVEN_PER_SECOND {
            connection.request_closed(false, 1000);
        }
        assert!(!connection.abandoned.is_too_much());
        connection.request_closed(false, 1099);
        assert!(connection.abandoned.is_too_much());
    }
}
