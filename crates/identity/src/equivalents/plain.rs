//! What is sealed, in clear.

use md4::{Digest as _, Md4};
use zeroize::Zeroizing;

use countersign_auth::scheme::digest::hash::{DigestHash, Ha1};

use super::KeptHa1;
use crate::store::StoreError;

/// `MD4(UTF-16LE(password))` (MS-NLMP section 3.3.1, NTOWFv1). `Debug` shows nothing of it.
#[derive(Clone)]
pub(crate) struct NtHash(Zeroizing<[u8; 16]>);

impl NtHash {
    /// That of a password.
    pub(super) fn of(password: &str) -> Self {
        let utf16: Zeroizing<Vec<u8>> =
            Zeroizing::new(password.encode_utf16().flat_map(u16::to_le_bytes).collect());
        Self(Zeroizing::new(Md4::digest(&*utf16).into()))
    }

    pub(super) fn read(plain: &[u8]) -> Result<Self, StoreError> {
        let bytes = plain.try_into().map_err(|_| corrupt())?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }
}

impl std::fmt::Debug for NtHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
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
    fn the_nt_hash_is_that_of_the_specification() {
        let hex: String = NtHash::of("Password").write().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "a4f49c406510bdcab6824ee7c30fd852", "MS-NLMP section 4.2.2.1.1");
        assert_eq!(format!("{:?}", NtHash::of("Password")), "[secret]");
        assert!(NtHash::read(&[0; 15]).is_err());
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
