//! Moments, and the clock and the randomness that are handed in.

use std::time::Duration;

/// A moment: whole milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// From seconds since the epoch; saturates at the ends of the range.
    pub const fn from_unix_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// From milliseconds since the epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn unix_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// The moment `span` later; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whether the clock that said `before` was set back, now that it says this: by less than a minute it is a request that
    /// others overtook which says it.
    pub fn is_set_back_from(self, before: Time) -> bool {
        before.since(self) >= SET_BACK
    }
}

/// Longer than one request is behind another.
const SET_BACK: Duration = Duration::from_secs(60);

/// Says what time it is. The binary hands in the real one, tests one that they turn by hand.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Time;
}

/// A source of unpredictable bytes.
pub trait Random: Send + Sync {
    /// Fills `bytes` from the operating system's generator.
    ///
    /// # Errors
    /// If the generator fails; the caller must not go on with what is in `bytes`.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), crate::port::Unavailable>;
}
