//! The hash functions of Digest, and what is kept of a password for them.
//!
//! SHA-256 and SHA-512/256 come from aws-lc, which is here anyway; it has no MD5, so that comes from `md-5`.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA512_256};
use md5::{Digest as _, Md5};
use smallvec::SmallVec;
use zeroize::Zeroizing;

/// A hash function of RFC 7616 section 6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestHash {
    /// Broken for much, not yet for this; for old clients alone.
    Md5,
    /// What clients of today know.
    Sha256,
    /// SHA-512/256, the hash of its own in FIPS 180-4 (not SHA-512 cut off, as the RFC's example has it: erratum
    /// 4897).
    Sha512_256,
}

/// The longest output of all: 32 bytes.
const BYTES_MAX: usize = 32;
/// What one hash is computed over is rarely longer: a target, a nonce, a few names.
const INPUT_BYTES_USUAL: usize = 512;

impl DigestHash {
    /// All, weakest first.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Sha256, Self::Sha512_256];

    /// How many bytes it gives.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 | Self::Sha512_256 => 32,
        }
    }

    /// The hash over `parts`, joined by colons.
    pub fn joined(self, parts: &[&[u8]]) -> Hashed {
        let mut input: SmallVec<[u8; INPUT_BYTES_USUAL]> = SmallVec::new();
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                input.push(b':');
            }
            input.extend_from_slice(part);
        }
        self.of(&input)
    }

    /// The hash of `input`.
    pub fn of(self, input: &[u8]) -> Hashed {
        let mut bytes = [0; BYTES_MAX];
        let mut take = |output: &[u8]| bytes.iter_mut().zip(output).for_each(|(to, from)| *to = *from);
        match self {
            Self::Md5 => take(&Md5::digest(input)),
            Self::Sha256 => take(aws_lc_rs::digest::digest(&SHA256, input).as_ref()),
            Self::Sha512_256 => take(aws_lc_rs::digest::digest(&SHA512_256, input).as_ref()),
        }
        Hashed { bytes, length: self.bytes() }
    }
}

/// What a hash function gave.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hashed {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl Hashed {
    /// Reads hexadecimal digits of either case; `None` if they are not as many as the hash function gives.
    pub fn parse(hash: DigestHash, digits: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = digits.as_bytes().chunks_exact(2);
        if digits.len() != hash.bytes() * 2 {
            return None;
        }
        let mut bytes = [0; BYTES_MAX];
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let [high, low] = pair else { return None };
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Some(Self { bytes, length: hash.bytes() })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    /// The bytes as lower-case hexadecimal digits, the form in which Digest puts hashes into hashes.
    pub fn hex(&self) -> Hex {
        let mut digits = [0; BYTES_MAX * 2];
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.bytes) {
            if let [high, low] = pair {
                (*high, *low) = (digit(byte >> 4), digit(byte & 15));
            }
        }
        Hex { digits, length: self.length * 2 }
    }
}

/// Hexadecimal digits of a hash.
#[derive(Clone, Copy)]
pub struct Hex {
    digits: [u8; BYTES_MAX * 2],
    length: usize,
}

impl Hex {
    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or(&self.digits)
    }

    /// The digits as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// `H(user:realm:password)` (RFC 7616 section 3.4.2): whoever has it can answer every challenge of its realm, so it
/// is as good as the password there. Its memory is wiped; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Ha1 {
    hash: DigestHash,
    bytes: Zeroizing<[u8; BYTES_MAX]>,
}

impl Ha1 {
    /// That of a password.
    pub fn of(hash: DigestHash, user: &str, realm: &str, password: &str) -> Self {
        let input = Zeroizing::new(format!("{user}:{realm}:{password}"));
        Self { hash, bytes: Zeroizing::new(hash.of(input.as_bytes()).bytes) }
    }

    /// One that was kept; `None` if it is not as long as its hash function makes it.
    pub fn kept(hash: DigestHash, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != hash.bytes() {
            return None;
        }
        let mut all = Zeroizing::new([0; BYTES_MAX]);
        all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Some(Self { hash, bytes: all })
    }

    /// Its hash function.
    pub fn hash(&self) -> DigestHash {
        self.hash
    }

    /// The bytes, for whoever keeps or uses them; easy to search for.
    pub fn expose(&self) -> Hashed {
        Hashed { bytes: *self.bytes, length: self.hash.bytes() }
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn hash_functions_are_the_named_ones() {
        let check = |hash: DigestHash, expected: &str| assert_eq!(hash.of(b"abc").hex().as_str(), expected);
        check(DigestHash::Md5, "900150983cd24fb0d6963f7d28e17f72");
        check(DigestHash::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        // FIPS 180-4, not the first half of SHA-512("abc").
        check(DigestHash::Sha512_256, "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
        let long = "x".repeat(2000);
        let joined = DigestHash::Sha256.joined(&[b"a", long.as_bytes(), b""]);
        assert!(joined == DigestHash::Sha256.of(format!("a:{long}:").as_bytes()));
    }

    #[test]
    fn what_is_kept_is_secret_and_of_its_length() {
        let ha1 = Ha1::of(DigestHash::Md5, "Mufasa", "http-auth@example.org", "Circle of Life");
        assert_eq!(format!("{ha1:?}"), "[secret]");
        let again = Ha1::kept(DigestHash::Md5, ha1.expose().as_bytes()).unwrap();
        assert!(again.expose() == ha1.expose());
        assert!(Ha1::kept(DigestHash::Sha256, ha1.expose().as_bytes()).is_none());
        assert!(Ha1::kept(DigestHash::Md5, &[]).is_none());
    }

    #[test]
    fn digits_are_read_whole() {
        let hashed = DigestHash::Md5.of(b"abc");
        let digits = hashed.hex().as_str().to_owned();
        assert!(Hashed::parse(DigestHash::Md5, &digits) == Some(hashed));
        assert!(Hashed::parse(DigestHash::Md5, &digits.to_ascii_uppercase()) == Some(hashed));
        assert!(Hashed::parse(DigestHash::Sha256, &digits).is_none());
        for bad in ["", "90", "900150983cd24fb0d6963f7d28e17f7", "900150983cd24fb0d6963f7d28e17f7g"] {
            assert!(Hashed::parse(DigestHash::Md5, bad).is_none(), "{bad}");
        }
    }
}
