//! Nonces that are signed and not stored.
//!
//! ```text
//! base64url( boot u64 | serial u64 | time u48 | mac[16] )      big-endian; time in ms since the Unix epoch
//! mac = HMAC-SHA-256(key, boot | serial | time | place), cut to 16 bytes
//! ```
//!
//! `boot` is drawn anew by every process, so it says both node and start: counters that another process has seen are
//! not known here. `serial` makes each nonce of a process another one. `place` is the API and the credential that
//! it was made for; it is good nowhere else.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::window::Windows;
use crate::derive::{DerivationKey, derive};
use crate::time::Time;

const STAMP_BYTES: usize = 22;
const MAC_BYTES: usize = 16;
const NONCE_BYTES: usize = STAMP_BYTES + MAC_BYTES;
/// In base64url.
const NONCE_CHARS: usize = NONCE_BYTES.div_ceil(3) * 4;

/// Makes the nonces of this process, knows them again, and remembers which of their counters were used.
pub struct Nonces {
    key: Key,
    boot: u64,
    serial: AtomicU64,
    /// The counters of nonces that proved something.
    pub windows: Windows,
}

/// A nonce whose signature is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// Its number among those of its process.
    pub serial: u64,
    /// When it was made.
    pub made_at: Time,
    /// Whether this process made it; of others it knows no counters.
    pub is_own: bool,
}

impl Nonces {
    /// `key` is the store's derivation key, the same on every node; `boot` is drawn at every start.
    pub fn new(key: &DerivationKey, boot: u64) -> Self {
        let key = Key::new(HMAC_SHA256, &derive(key, "digest nonce", &[], 32));
        Self { key, boot, serial: AtomicU64::new(0), windows: Windows::new() }
    }

    /// Makes a nonce for an API and a credential of it.
    pub fn make(&self, place: (&str, &str), now: Time) -> String {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; NONCE_BYTES];
        let time = u64::try_from(now.unix_ms()).unwrap_or(0).to_be_bytes();
        let stamp = self.boot.to_be_bytes().into_iter().chain(serial.to_be_bytes());
        let stamp = stamp.chain(time.into_iter().skip(2));
        bytes.iter_mut().zip(stamp).for_each(|(to, from)| *to = from);
        let (stamp, mac) = bytes.split_at_mut(STAMP_BYTES);
        mac.copy_from_slice(&self.mac(stamp, place));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a nonce; `None` if it was not made with this key for this place.
    pub fn read(&self, text: &str, place: (&str, &str)) -> Option<Nonce> {
        // Room for the longest text that decodes to so many bytes.
        let mut bytes = [0; NONCE_CHARS];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let bytes = bytes.get(..length).filter(|bytes| bytes.len() == NONCE_BYTES)?;
        let (stamp, mac) = bytes.split_at(STAMP_BYTES);
        verify_slices_are_equal(&self.mac(stamp, place), mac).ok()?;
        let (boot, rest) = stamp.split_first_chunk::<8>()?;
        let (serial, time) = rest.split_first_chunk::<8>()?;
        let ms = time.iter().fold(0_i64, |ms, byte| (ms << 8) | i64::from(*byte));
        Some(Nonce {
            serial: u64::from_be_bytes(*serial),
            made_at: Time::from_unix_ms(ms),
            is_own: u64::from_be_bytes(*boot) == self.boot,
        })
    }

    fn mac(&self, stamp: &[u8], (api, credential): (&str, &str)) -> [u8; MAC_BYTES] {
        let mut context = Context::with_key(&self.key);
        context.update(stamp);
        context.update(api.as_bytes());
        context.update(&[0]);
        context.update(credential.as_bytes());
        let mut mac = [0; MAC_BYTES];
        mac.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        mac
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    const PLACE: (&str, &str) = ("shop", "digest");

    #[test]
    fn a_nonce_is_known_again_where_it_was_made_for() {
        let now = Time::from_unix_ms(1_800_000_000_123);
        let nonces = Nonces::new(&DerivationKey::new([1; 32]), 7);
        let (one, two) = (nonces.make(PLACE, now), nonces.make(PLACE, now));
        assert_ne!(one, two);
        assert_eq!(nonces.read(&one, PLACE), Some(Nonce { serial: 0, made_at: now, is_own: true }));
        assert_eq!(nonces.read(&two, PLACE), Some(Nonce { serial: 1, made_at: now, is_own: true }));
        let other_start = Nonces::new(&DerivationKey::new([1; 32]), 8);
        assert_eq!(other_start.read(&one, PLACE), Some(Nonce { serial: 0, made_at: now, is_own: false }));
        for place in [("shop", "basic"), ("shops", "digest"), ("shop\0d", "igest"), ("", "")] {
            assert_eq!(nonces.read(&one, place), None, "{place:?}");
        }
        assert_eq!(Nonces::new(&DerivationKey::new([2; 32]), 7).read(&one, PLACE), None);
    }

    #[test]
    fn what_was_changed_is_no_nonce() {
        let nonces = Nonces::new(&DerivationKey::new([1; 32]), 7);
        let good = nonces.make(PLACE, Time::from_unix_secs(1_800_000_000));
        for at in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert_eq!(nonces.read(&bad, PLACE), None, "{at}");
            assert_eq!(nonces.read(&good[..at], PLACE), None, "{at}");
        }
        for bad in ["", "=", &format!("{good}A"), &format!("{good}="), &"A".repeat(10_000)] {
            assert_eq!(nonces.read(bad, PLACE), None, "{bad}");
        }
    }
}
