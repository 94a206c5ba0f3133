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
    made_with(challenge, user, hash, &Made::default())
}

/// The answer of a client that makes it so.
pub(crate) fn made(challenge: &str, user: &str, password: &str, made: &Made) -> String {
    made_with(challenge, user, &NtHash::of_password(password), made)
}

/// How a client makes its answer; by default as curl does.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) flags: u32,
    /// What the proof is over beside the challenge: version, time, the client's challenge, without the pairs.
    pub(crate) blob: Vec<u8>,
    /// The pairs behind it, by their numbers.
    pub(crate) pairs: Vec<(u16, Vec<u8>)>,
    /// How the three messages are signed, if a pair announces that they are.
    pub(crate) mic: Option<Mic>,
}

/// What stands where a signature was announced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mic {
    Right,
    Wrong,
    /// Right, but for other flags than those that are sent.
    OfAnotherAnswer,
    /// There is no room for it.
    Absent,
}

impl Default for Made {
    fn default() -> Self {
        let blob = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &[7; 8], &[0xaa; 8], &[0; 4]].concat();
        Self { flags: 0x0008_8201, blob, pairs: Vec::new(), mic: None }
    }
}

fn made_with(challenge: &str, user: &str, hash: &NtHash, made: &Made) -> String {
    /// Where the signature stands, and where all else begins then (MS-NLMP section 2.2.1.3).
    const MIC: std::ops::Range<usize> = 72..88;
    let first = STANDARD.decode(begin()).unwrap();
    let challenge = STANDARD.decode(challenge).unwrap();
    assert_eq!(&challenge[..12], b"NTLMSSP\0\x02\0\0\0");
    let key = hmac(hash.expose(), &[&utf16(&user.to_uppercase())]);
    let mut pairs = made.pairs.clone();
    if made.mic.is_some() {
        pairs.push((6, 2_u32.to_le_bytes().to_vec()));
    }
    let mut blob = made.blob.clone();
    // Nothing stands behind one that is cut short.
    if blob.len() == Made::default().blob.len() {
        for (number, value) in pairs {
            blob.extend(number.to_le_bytes());
            blob.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            blob.extend(value);
        }
        blob.extend([0; 4]);
    }
    let proof = hmac(&key, &[&challenge[24..32], &blob]);
    let head = if matches!(made.mic, None | Some(Mic::Absent)) { HEAD } else { MIC.end };
    let mut message = type_3(user, &[0; 24], &[&proof[..], &blob].concat(), made.flags, head);
    let signing = hmac(&key, &[&proof]);
    match made.mic {
        Some(Mic::Right) => {
            let mic = hmac(&signing, &[&first, &challenge, &message]);
            message[MIC].copy_from_slice(&mic);
        }
        Some(Mic::OfAnotherAnswer) => {
            let mic = hmac(&signing, &[&first, &challenge, &message]);
            message[MIC].copy_from_slice(&mic);
            message[60] ^= 0x10;
        }
        Some(Mic::Wrong) => message[MIC].fill(0x42),
        Some(Mic::Absent) | None => {}
    }
    STANDARD.encode(message)
}

/// An answer with responses of these lengths, as version 1 has them, in base64.
pub(crate) fn old(user: &str, lm: usize, nt: usize) -> String {
    STANDARD.encode(type_3(user, &vec![0x42; lm], &vec![0x42; nt], Made::default().flags, HEAD))
}

/// An answer with a proof that somebody made up, in base64.
pub(crate) fn forged(user: &str) -> String {
    let blob = [&Made::default().blob[..], &[0; 4]].concat();
    let nt = [&[0x42; 16][..], &blob].concat();
    STANDARD.encode(type_3(user, &[0; 24], &nt, Made::default().flags, HEAD))
}

/// Where the payload begins without a signature.
const HEAD: usize = 64;

fn type_3(user: &str, lm: &[u8], nt: &[u8], flags: u32, head: usize) -> Vec<u8> {
    let user = utf16(user);
    let parts: [&[u8]; 6] = [lm, nt, &[], &user, &[], &[]];
    let mut bytes = b"NTLMSSP\0\x03\0\0\0".to_vec();
    let mut at = head;
    for part in parts {
        let length = u16::try_from(part.len()).unwrap().to_le_bytes();
        bytes.extend(length);
        bytes.extend(length);
        bytes.extend(u32::try_from(at).unwrap().to_le_bytes());
        at += part.len();
    }
    bytes.extend(flags.to_le_bytes());
    bytes.resize(head, 0);
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
