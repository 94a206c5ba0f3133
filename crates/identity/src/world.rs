//! The real clock and the real randomness: the only place, beside the binary, that asks the world for them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use countersign_auth::port::Unavailable;
use countersign_auth::time::{Clock, Random, Time};

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock that everybody else is handed")]
    fn now(&self) -> Time {
        let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Time::from_unix_ms(ms)
    }
}

/// The operating system's generator, through aws-lc.
#[derive(Debug, Default)]
pub struct OsRandom(SystemRandom);

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        self.0.fill(bytes).map_err(|_| Unavailable("could not draw random bytes".to_owned()))
    }
}
