//! Values that are made again from a key instead of being kept.

use std::fmt;
use std::ops::Deref;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use smallvec::SmallVec;
use zeroize::{Zeroize, Zeroizing};

use crate::form::{Form, FormNames};
use crate::secret::Secret;

/// The secret that CSRF tokens, second halves, successors and the keys of remembered proofs are made with: 32
/// unpredictable bytes, the same on every node.
///
/// It is kept ready for HMAC-SHA-256: half of what a short message costs is the key's own blocks. What is copied of it for
/// each message is small, and wiped: with aws-lc, whose copies hold room for every hash, a message took twice as long.
pub struct DerivationKey {
    bytes: Zeroizing<[u8; 32]>,
    hmac: Hmac<Sha256>,
}

impl DerivationKey {
    /// Takes the bytes in.
    pub fn new(bytes: [u8; 32]) -> Self {
        let mut block = Zeroizing::new([0; 64]);
        block.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        // A key shorter than a block is filled up with zeros (RFC 2104 section 2).
        Self { hmac: Hmac::new((&*block).into()), bytes: Zeroizing::new(bytes) }
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Begins an HMAC-SHA-256 under the key.
    pub fn hmac(&self) -> Hmac<Sha256> {
        self.hmac.clone()
    }
}

impl fmt::Debug for DerivationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivationKey([secret])")
    }
}

/// Derived bytes; wiped when they are dropped. As many as tokens take stay off the heap.
pub struct Derived(SmallVec<[u8; 64]>);

impl Deref for Derived {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Derived {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

/// Derives `length` bytes from a key: HMAC-SHA-256 in counter mode (NIST SP 800-108r1 section 4.1).
///
/// ```text
/// block i = HMAC(key, be32(i) | be32(len label) | label | be32(len part 1) | part 1 | ...)
/// ```
///
/// Every part is framed by its length, so that two lists of parts never meet in one input.
pub fn derive(key: &DerivationKey, label: &str, parts: &[&str], length: usize) -> Derived {
    let mut framed: SmallVec<[u8; 256]> = SmallVec::new();
    for part in std::iter::once(&label).chain(parts) {
        // No part is longer than a request, and a request is far shorter than 4 GiB.
        framed.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        framed.extend_from_slice(part.as_bytes());
    }
    let mut bytes = Derived(SmallVec::new());
    let mut counter = 1_u32;
    while bytes.len() < length {
        let mut context = key.hmac();
        context.update(&counter.to_be_bytes());
        context.update(&framed);
        bytes.0.extend_from_slice(&context.finalize().into_bytes());
        counter = counter.wrapping_add(1);
    }
    bytes.0.truncate(length);
    bytes
}

/// The second half of a pair whose first half is `value`, issued as `word` by `api`.
///
/// It is not kept: whoever checks a pair makes it again and compares with [`Secret::matches`]. The named parts
/// of the form (`{account}`, ...) are empty in it. `None` only if the form asks for more than it was given.
pub fn second_half(key: &DerivationKey, api: &str, word: &str, value: &str, form: &Form) -> Option<Secret> {
    let bytes = derive(key, "second half", &[api, word, value], form.bytes_wanted());
    form.fill(&bytes, FormNames::default()).map(Secret::new)
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

    fn key(byte: u8) -> DerivationKey {
        DerivationKey::new([byte; 32])
    }

    #[test]
    fn derives_what_others_derive_from_the_same() {
        // By Python's hmac, from the formula above.
        let derived = derive(&key(7), "label", &["a", "bc"], 40);
        let hex: String = derived.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "9be63c036163fe05db67281534b4afad201323cdfdceabbb058481c33b45dfcb0cd3534dd4a33a03");
    }

    #[test]
    fn derives_what_it_derived_before_and_nothing_else() {
        let one = derive(&key(7), "label", &["a", "bc"], 80);
        assert_eq!(one.len(), 80);
        assert_eq!(one[..], derive(&key(7), "label", &["a", "bc"], 80)[..]);
        assert_eq!(one[..40], derive(&key(7), "label", &["a", "bc"], 40)[..]);
        for (byte, label, parts) in [
            (8, "label", ["a", "bc"]),
            (7, "labe", ["a", "bc"]),
            (7, "label", ["ab", "c"]),
            (7, "label", ["abc", ""]),
        ] {
            assert_ne!(one[..], derive(&key(byte), label, &parts, 80)[..]);
        }
        assert_ne!(one[..32], one[32..64]);
    }

    #[test]
    fn a_second_half_belongs_to_one_first_half() {
        let form = Form::parse("{base64url:43}").unwrap();
        let half = |api, word, value| second_half(&key(7), api, word, value, &form).unwrap();
        let first = half("push", "pair", "one");
        assert!(form.could_be(first.expose()));
        assert!(first.matches(half("push", "pair", "one").expose()));
        assert!(!first.matches(half("push", "pair", "two").expose()));
        assert!(!first.matches(half("other", "pair", "one").expose()));
    }
}
