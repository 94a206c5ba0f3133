//! A client of NTLM (MS-NLMP): makes the messages that curl makes, or those of somebody who forges them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_negotiate::ntlm::NtHash;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

/// What curl begins with, in base64.
pub(crate) fn begin() -> String {
    STANDARD.encode(b"NTLMSSP\0\x01\0\0\0\x06\x82\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
}

/// The answer to a challenge, both in base64.
pub(crate) fn answer(challenge: &str, user: &str, password: &str) -> String {
    answer_with(challenge, user, &NtHash::of_password(password))
}

/// The same of somebody who knows a hash.
pub(crate) fn answer_with(challenge: &str, user: &str, hash: &NtHash) -> String {
    let challenge = STANDARD.decode(challenge).unwrap();
    assert_eq!(&challenge[..12], b"NTLMSSP\0\x02\0\0\0");
    let key = hmac(hash.expose(), &[&utf16(&user.to_uppercase())]);
    let blob = blob();
    let proof = hmac(&key, &[&challenge[24..32], &blob]);
    STANDARD.encode(type_3(user, &[&proof[..], &blob].concat()))
}

/// An answer with a proof that somebody made up, in base64.
pub(crate) fn forged(user: &str) -> String {
    STANDARD.encode(type_3(user, &[&[0x42; 16][..], &blob()].concat()))
}

/// Version, time, the client's challenge, and a list of no pairs.
fn blob() -> Vec<u8> {
    [&[1, 1, 0, 0, 0, 0, 0, 0][..], &[7; 8], &[0xaa; 8], &[0; 4], &[0; 4]].concat()
}

fn type_3(user: &str, nt: &[u8]) -> Vec<u8> {
    const HEAD: usize = 64;
    let user = utf16(user);
    let parts: [&[u8]; 6] = [&[0; 24], nt, &[], &user, &[], &[]];
    let mut bytes = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut at = HEAD;
    for part in parts {
        let length = u16::try_from(part.len()).unwrap().to_le_bytes();
        bytes.extend(length);
        bytes.extend(length);
        bytes.extend(u32::try_from(at).unwrap().to_le_bytes());
        at += part.len();
    }
    bytes.extend(0x0008_8201_u32.to_le_bytes());
    bytes.extend(parts.concat());
    bytes
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}
