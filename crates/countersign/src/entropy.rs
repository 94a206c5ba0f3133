//! The real clock and the real randomness, for whoever asks for them by trait.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use countersign_auth::port::Unavailable;
use countersign_auth::secret::Secret;
use countersign_auth::time::{Clock, Random, Time};

/// The operating system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is handed")]
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        rand::fill(bytes)
            .map_err(|_| Unavailable(String::from("could not draw random bytes from the system")))
    }
}

/// Makes a password that needs no quoting in a shell, a URL or a configuration: 20 letters, 100 random bits.
///
/// # Errors
/// If the system has no random bytes.
pub(crate) fn password() -> Result<Secret, Unavailable> {
    Ok(Secret::new(letters::<20>()?))
}

/// Makes an identifier of 26 letters, 130 random bits.
///
/// # Errors
/// If the system has no random bytes.
pub(crate) fn reference() -> Result<String, Unavailable> {
    letters::<26>()
}

fn letters<const N: usize>() -> Result<String, Unavailable> {
    let mut bytes = [0; N];
    SystemRandom.fill(&mut bytes)?;
    Ok(bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect())
}

/// 32 letters that are not mistaken for each other.
const ALPHABET: [u8; 32] = *b"abcdefghijkmnpqrstuvwxyz23456789";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn passwords_are_long_plain_and_never_the_same() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert!(!one.matches(other.expose()));
        assert_eq!(one.expose().len(), 20);
        assert!(one.expose().bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_eq!(reference().unwrap().len(), 26);
    }
}
