//! Passwords and identifiers that the demo and the command line make.

use countersign_auth::port::Unavailable;
use countersign_auth::secret::Secret;
use countersign_auth::time::Random as _;
use countersign_identity::world::OsRandom;

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
    OsRandom::default().fill(&mut bytes)?;
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
