//! What is sealed, in clear.

use countersign_negotiate::ntlm::NtHash;
use zeroize::Zeroizing;

use countersign_auth::scheme::digest::hash::{DigestHash, Ha1};

use super::KeptHa1;
use crate::store::StoreError;

/// A hash for NTLM.
pub(super) fn read_ntlm(plain: &[u8]) -> Result<NtHash, StoreError> {
    plain.try_into().map(NtHash::from_bytes).map_err(|_| corrupt())
}

pub(super) fn write_ntlm(hash: &NtHash) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(hash.expose().to_vec())
}

const fn number(hash: DigestHash) -> u8 {
    match hash {
        DigestHash::Md5 => 1,
        DigestHash::Sha256 => 2,
        DigestHash::Sha512_256 => 3,
    }
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("what is kept for a weaker scheme".to_owned())
}

/// ```text
/// hash u8 | realm length u16, big-endian | realm | HA1      one after the other
/// ```
pub(super) fn write_digest(all: &[KeptHa1]) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::new());
    for KeptHa1 { realm, ha1 } in all {
        // A realm comes from a configuration line; a longer one is not kept, and so never answered.
        let Ok(length) = u16::try_from(realm.len()) else { continue };
        plain.push(number(ha1.hash()));
        plain.extend_from_slice(&length.to_be_bytes());
        plain.extend_from_slice(realm.as_bytes());
        plain.extend_from_slice(ha1.expose().as_bytes());
    }
    plain
}

pub(super) fn read_digest(mut plain: &[u8]) -> Result<Vec<KeptHa1>, StoreError> {
    let mut all = Vec::new();
    while let Some((first, rest)) = plain.split_first() {
        let hash = DigestHash::ALL.into_iter().find(|hash| number(*hash) == *first).ok_or_else(corrupt)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(corrupt)?;
        let (realm, rest) =
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or_else(corrupt)?;
        let (bytes, rest) = rest.split_at_checked(hash.bytes()).ok_or_else(corrupt)?;
        let realm = std::str::from_utf8(realm).map_err(|_| corrupt())?.into();
        all.push(KeptHa1 { realm, ha1: Ha1::kept(hash, bytes).ok_or_else(corrupt)? });
        plain = rest;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn a_hash_of_ntlm_comes_back_whole_or_not_at_all() {
        let hash = NtHash::of_password("open sesame");
        let plain = write_ntlm(&hash);
        assert_eq!(read_ntlm(&plain).unwrap().expose(), hash.expose());
        assert!(read_ntlm(&plain[..15]).is_err());
    }

    #[test]
    fn hashes_of_digest_come_back_whole_or_not_at_all() {
        let kept = |realm: &str, hash| KeptHa1 {
            realm: realm.into(),
            ha1: Ha1::of(hash, "ann", realm, "open sesame"),
        };
        let all = [
            kept("a realm", DigestHash::Sha256),
            kept("", DigestHash::Md5),
            kept("é", DigestHash::Sha512_256),
        ];
        let plain = write_digest(&all);
        let again = read_digest(&plain).unwrap();
        assert_eq!(again.len(), 3);
        for (one, other) in all.iter().zip(&again) {
            assert_eq!(one.realm, other.realm);
            assert!(one.ha1.hash() == other.ha1.hash() && one.ha1.expose() == other.ha1.expose());
        }
        let whole = [42, 61, 98];
        for end in (1..plain.len()).filter(|end| !whole.contains(end)) {
            assert!(read_digest(&plain[..end]).is_err(), "{end}");
        }
        assert!(read_digest(&[9, 0, 0]).is_err());
    }
}
