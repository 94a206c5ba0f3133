//! A clock that is turned by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use countersign_auth::time::{Clock, Time};

/// Real time, and what was waited on top.
#[derive(Default)]
pub(super) struct TurnedClock {
    ahead_ms: AtomicI64,
    /// When it was stopped, 0 if it goes.
    stopped_ms: AtomicI64,
}

impl Clock for TurnedClock {
    fn now(&self) -> Time {
        let ms = match self.stopped_ms.load(Ordering::SeqCst) {
            0 => real_ms(),
            stopped => stopped,
        };
        Time::from_unix_ms(ms + self.ahead_ms.load(Ordering::SeqCst))
    }
}

fn real_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

impl TurnedClock {
    /// Lets time pass.
    pub(super) fn turn(&self, span: Duration) {
        self.ahead_ms.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Stops it: from now on time passes only when it is turned.
    pub(super) fn stop(&self) {
        self.stopped_ms.store(real_ms(), Ordering::SeqCst);
    }
}
