//! Which backends to leave alone for a while.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::pulse::millis;

/// One failure may be the network's; three in a row are the backend's.
const FAILURES: u32 = 3;
/// First pause; it doubles each time, up to the longest.
const PAUSE: Duration = Duration::from_secs(2);
/// Nobody waits longer than this for a backend that came back.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Bad answers to checks in a row until the backend is left alone; one good one brings it back.
const BAD_CHECKS: u32 = 2;

/// What all cores know of a backend. On the way of a request that goes well it is only read.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: AtomicU32,
    pauses: AtomicU32,
    paused_until_ms: AtomicU64,
    bad_checks: AtomicU32,
    down: AtomicBool,
}

impl Health {
    /// Whether requests should go there.
    pub(crate) fn is_well(&self, now_ms: u64) -> bool {
        !self.down.load(Ordering::Relaxed) && self.paused_until_ms.load(Ordering::Relaxed) <= now_ms
    }

    /// A request was answered, whatever the answer said.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.pauses.store(0, Ordering::Relaxed);
        }
    }

    /// A request could not be sent, or was not answered.
    pub(crate) fn failed(&self, now_ms: u64, upstream: &str, backend: &str) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < FAILURES || self.paused_until_ms.load(Ordering::Relaxed) > now_ms {
            return;
        }
        // The next failure after the pause is enough for another one: `failures` stays where it is.
        let pauses = self.pauses.fetch_add(1, Ordering::Relaxed).min(16);
        let pause = PAUSE.saturating_mul(1 << pauses).min(PAUSE_MAX);
        self.paused_until_ms.store(now_ms.saturating_add(millis(pause)), Ordering::Relaxed);
        tracing::warn!(
            upstream,
            backend,
            pause.secs = pause.as_secs(),
            "left a failing backend alone for a while"
        );
    }

    /// Takes in what a check found.
    pub(crate) fn checked(&self, good: Result<(), String>, upstream: &str, backend: &str) {
        match good {
            Ok(()) => {
                self.bad_checks.store(0, Ordering::Relaxed);
                if self.down.swap(false, Ordering::Relaxed) {
                    tracing::info!(upstream, backend, "a backend answers its checks again");
                }
            }
            Err(error) => {
                let bad = self.bad_checks.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if bad >= BAD_CHECKS && !self.down.swap(true, Ordering::Relaxed) {
                    tracing::warn!(upstream, backend, error, "left a backend alone that fails its checks");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn pauses_grow_until_a_success() {
        let health = Health::default();
        health.failed(0, "u", "b");
        health.failed(0, "u", "b");
        assert!(health.is_well(0));
        health.failed(0, "u", "b");
        assert!(!health.is_well(1999));
        assert!(health.is_well(2000));
        health.failed(2000, "u", "b");
        assert!(!health.is_well(5999));
        assert!(health.is_well(6000));
        health.succeeded();
        health.failed(6000, "u", "b");
        assert!(health.is_well(6000));
    }

    #[test]
    fn checks_take_out_and_bring_back() {
        let health = Health::default();
        health.checked(Err("503".into()), "u", "b");
        assert!(health.is_well(0));
        health.checked(Err("503".into()), "u", "b");
        assert!(!health.is_well(0));
        health.checked(Ok(()), "u", "b");
        assert!(health.is_well(0));
    }
}
