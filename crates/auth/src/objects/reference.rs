//! References: what clients call an object whose id they must not be able to guess.
//!
//! 16 bytes in base32 without padding (RFC 4648 section 6), 26 letters and digits. They are derived, under the key
//! of the store, from the object's name and 16 random bytes that are drawn for it: so a list of objects can be
//! shown with their references while the store keeps digests to find them by.

use crate::derive::{DerivationKey, derive};
use crate::port::objects::ObjectName;
use crate::secret::Secret;

/// Letters and digits of a reference.
pub const LENGTH: usize = 26;
/// Random bytes of an object, and bytes of its reference.
pub const RANDOM_BYTES: usize = 16;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The reference of an object for which these random bytes were drawn.
pub fn reference(key: &DerivationKey, name: &ObjectName, random: &[u8; RANDOM_BYTES]) -> Secret {
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = derive(key, "object reference", &[&name.api, &name.kind, &name.id, &random], RANDOM_BYTES);
    Secret::new(base32(&bytes))
}

/// Whether a text could be a reference. What could not is unknown without asking anybody.
pub fn could_be(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

fn letter(five_bits: u32) -> char {
    let at = usize::try_from(five_bits & 31).unwrap_or(0);
    ALPHABET.get(at).map_or('A', |byte| char::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{base32, could_be, reference};
    use crate::derive::DerivationKey;
    use crate::port::objects::ObjectName;

    #[test]
    fn base32_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_reference_belongs_to_its_object() {
        let name = |api: &str, kind: &str, id: &str| ObjectName {
            api: api.into(),
            kind: kind.into(),
            id: id.to_owned(),
        };
        let of = |name: &ObjectName, random: u8| {
            reference(&DerivationKey::new([7; 32]), name, &[random; 16]).expose().to_owned()
        };
        let one = of(&name("shop", "basket", "17"), 1);
        assert!(could_be(&one), "{one}");
        assert_eq!(one, of(&name("shop", "basket", "17"), 1));
        for other in [
            of(&name("shop", "basket", "17"), 2),
            of(&name("shop", "basket", "18"), 1),
            of(&name("shop", "baske", "t17"), 1),
            of(&name("shops", "basket", "17"), 1),
        ] {
            assert_ne!(one, other);
        }
        for text in [
            "",
            "17",
            "abc",
            "MZXW6YTBOIMZXW6YTBOIMZXW6",
            "MZXW6YTBOIMZXW6YTBOIMZXW61",
            "mzxw6ytboimzxw6ytboimzxw6y",
        ] {
            assert!(!could_be(text), "{text}");
        }
    }
}
