//! The computations of MS-NLMP sections 3.3.2 and 3.4. RC4 serves signatures alone; nothing is encrypted.

use hmac::digest::Digest as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::Md4;
use md5::Md5;
use rc4::{Rc4, StreamCipher as _};

/// HMAC-MD5 over several parts.
pub(super) fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    // HMAC takes keys of any length; an error there cannot be, and would end as a proof that is never right.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(key) else { return [0; 16] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(super) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub(super) fn rc4(key: &[u8], bytes: &mut [u8]) {
    if let Ok(mut cipher) = Rc4::new_from_slice(key) {
        cipher.apply_keystream(bytes);
    }
}

pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// `NTOWFv1`.
pub(super) fn nt_hash(password: &str) -> [u8; 16] {
    let mut text = utf16(password);
    let hash = Md4::digest(&text).into();
    zeroize::Zeroize::zeroize(&mut text);
    hash
}

/// `NTOWFv2`: user and domain as they were sent.
pub(super) fn response_key(nt_hash: &[u8; 16], user: &str, domain: &str) -> [u8; 16] {
    hmac_md5(nt_hash, &[&utf16(&upper(user)), &utf16(domain)])
}

/// Upper case as Windows has it: one character for one.
fn upper(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                (_, _) => c,
            }
        })
        .collect()
}
