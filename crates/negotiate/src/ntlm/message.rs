//! The messages on the wire (MS-NLMP section 2.2.1), little-endian; a field is length u16, room u16, offset u32.
//!
//! ```text
//! all     0 "NTLMSSP\0"   8 type u32
//! type 1  12 flags   16 domain   24 workstation   32 version
//! type 2  12 target name   20 flags   24 server challenge[8]   32 zero[8]   40 target information   48 version[8]   56 …
//! type 3  12 LM   20 NT   28 domain   36 user   44 workstation   52 session key   60 flags   64 version[8]
//!         72 MIC[16]   88 …; the payload begins earlier where there is no version or no MIC
//! ```

use super::NtlmError;
use crate::bytes::{range, u16_at, u32_at};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// Flags, and the names that nobody needs: curl sends 32 bytes, Windows up to about 300.
const TYPE_1_BYTES_MAX: usize = 1024;
/// The largest part repeats our target information of a few hundred bytes.
const TYPE_3_BYTES_MAX: usize = 8 * 1024;
/// A user's principal name in a directory has at most 256 characters; so may a domain.
const NAME_UNITS_MAX: usize = 256;
/// Where the fields of a type 3 end.
const TYPE_3_HEAD: usize = 60;
/// Where the MIC of a type 3 is, and how long it is.
pub(super) const MIC: std::ops::Range<usize> = 72..88;

/// Bits of the flags.
pub(super) mod flag {
    pub(in crate::ntlm) const UNICODE: u32 = 0x1;
    pub(in crate::ntlm) const REQUEST_TARGET: u32 = 0x4;
    pub(in crate::ntlm) const SIGN: u32 = 0x10;
    pub(in crate::ntlm) const SEAL: u32 = 0x20;
    pub(in crate::ntlm) const NTLM: u32 = 0x200;
    pub(in crate::ntlm) const ALWAYS_SIGN: u32 = 0x8000;
    pub(in crate::ntlm) const TARGET_IS_DOMAIN: u32 = 0x1_0000;
    pub(in crate::ntlm) const EXTENDED_SECURITY: u32 = 0x8_0000;
    pub(in crate::ntlm) const TARGET_INFO: u32 = 0x80_0000;
    pub(in crate::ntlm) const VERSION: u32 = 0x200_0000;
    pub(in crate::ntlm) const KEY_128: u32 = 0x2000_0000;
    pub(in crate::ntlm) const KEY_EXCHANGE: u32 = 0x4000_0000;
    pub(in crate::ntlm) const KEY_56: u32 = 0x8000_0000;
}

/// Whether bytes begin like a message of NTLM.
pub fn is_message(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

fn of_type(bytes: &[u8], kind: u32, bytes_max: usize) -> Result<(), NtlmError> {
    let right = is_message(bytes) && u32_at(bytes, 8) == Some(kind) && bytes.len() <= bytes_max;
    if right { Ok(()) } else { Err(NtlmError::Malformed) }
}

/// The flags of a type 1.
pub(super) fn read_type_1(bytes: &[u8]) -> Result<u32, NtlmError> {
    of_type(bytes, 1, TYPE_1_BYTES_MAX)?;
    u32_at(bytes, 12).ok_or(NtlmError::Malformed)
}

/// A type 2; `target_info` is a finished list of pairs.
pub(super) fn write_type_2(flags: u32, challenge: &[u8; 8], target: &[u8], target_info: &[u8]) -> Vec<u8> {
    const PAYLOAD: usize = 56;
    // Windows 10's version, revision 15 (section 2.2.2.10): some clients sign nothing for older ones.
    const VERSION: [u8; 8] = [10, 0, 0x61, 0x4a, 0, 0, 0, 15];
    let field = |bytes: &[u8], offset: usize| -> [u8; 8] {
        let [a, b] = u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes();
        let [c, d, e, f] = u32::try_from(offset).unwrap_or(0).to_le_bytes();
        [a, b, a, b, c, d, e, f]
    };
    let mut bytes = Vec::with_capacity(PAYLOAD + target.len() + target_info.len());
    bytes.extend(SIGNATURE);
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend(field(target, PAYLOAD));
    bytes.extend(flags.to_le_bytes());
    bytes.extend(challenge);
    bytes.extend([0; 8]);
    bytes.extend(field(target_info, PAYLOAD + target.len()));
    bytes.extend(if flags & flag::VERSION == 0 { [0; 8] } else { VERSION });
    bytes.extend(target);
    bytes.extend(target_info);
    bytes
}

/// A type 3.
pub(super) struct Type3<'m> {
    pub(super) nt: &'m [u8],
    pub(super) user: String,
    pub(super) domain: String,
    pub(super) session_key: &'m [u8],
    pub(super) flags: u32,
    /// Where the first of its fields lies: what is before that is head.
    pub(super) payload: usize,
}

impl<'m> Type3<'m> {
    pub(super) fn read(bytes: &'m [u8]) -> Result<Self, NtlmError> {
        of_type(bytes, 3, TYPE_3_BYTES_MAX)?;
        let mut payload = bytes.len();
        let mut field = |at: usize| -> Result<&'m [u8], NtlmError> {
            let value = u16_at(bytes, at).zip(u32_at(bytes, at + 4)).and_then(|(length, offset)| {
                let offset = usize::try_from(offset).ok()?;
                if length > 0 {
                    payload = payload.min(offset);
                }
                // Where nothing is, the offset is often nonsense.
                if length == 0 { Some(&[][..]) } else { range(bytes, offset, usize::from(length)) }
            });
            value.ok_or(NtlmError::Malformed)
        };
        let (nt, domain, user, session_key) = (field(20)?, field(28)?, field(36)?, field(52)?);
        if payload < TYPE_3_HEAD {
            return Err(NtlmError::Malformed);
        }
        // Clients of old have no flags; their text is OEM.
        let flags = if payload < 64 { 0 } else { u32_at(bytes, TYPE_3_HEAD).unwrap_or(0) };
        let (user, domain) = (text(user, flags)?, text(domain, flags)?);
        Ok(Self { nt, user, domain, session_key, flags, payload })
    }
}

/// Whom a client's last message names. It proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The user as sent: a name, or `name@domain`.
    pub user: String,
    /// The domain as sent: perhaps empty, perhaps the client's own idea.
    pub domain: String,
}

/// Reads whom a client's last message names, for a log of why it was refused; `None` if it is no such message.
pub fn named(type_3: &[u8]) -> Option<Named> {
    let Type3 { user, domain, .. } = Type3::read(type_3).ok()?;
    Some(Named { user, domain })
}

/// Text, in UTF-16 or in code page 437. Nothing that a log or a look-up could trip over passes.
fn text(bytes: &[u8], flags: u32) -> Result<String, NtlmError> {
    let text = if flags & flag::UNICODE == 0 {
        bytes.iter().map(|byte| oem(*byte)).collect::<Option<String>>()
    } else if bytes.len().is_multiple_of(2) {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16_at(unit, 0).unwrap_or(0)).collect();
        String::from_utf16(&units).ok()
    } else {
        None
    };
    text.filter(|text| text.encode_utf16().count() <= NAME_UNITS_MAX && !text.chars().any(char::is_control))
        .ok_or(NtlmError::Malformed)
}

/// The upper half of code page 437.
const OEM: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

fn oem(byte: u8) -> Option<char> {
    if byte < 0x80 { Some(char::from(byte)) } else { OEM.chars().nth(usize::from(byte & 0x7f)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_code_page_has_128_more_characters() {
        assert_eq!(OEM.chars().count(), 128);
        assert_eq!(
            (oem(b'a'), oem(0x81), oem(0xe1), oem(0xff)),
            (Some('a'), Some('ü'), Some('ß'), Some('\u{a0}'))
        );
    }

    #[test]
    fn names_are_text_of_a_bounded_length() {
        let wide = |text: &str| super::super::crypto::utf16(text);
        let check = |bytes: &[u8], flags, expected: Option<&str>| {
            assert_eq!(text(bytes, flags).ok().as_deref(), expected, "{bytes:02x?}");
        };
        check(&wide("jürgen"), flag::UNICODE, Some("jürgen"));
        check(b"j\x81rgen", 0, Some("jürgen"));
        check(b"", 0, Some(""));
        check(b"odd", flag::UNICODE, None);
        check(&[0, 0xd8], flag::UNICODE, None);
        check(&wide("a\nb"), flag::UNICODE, None);
        check(b"a\0b", 0, None);
        check(&wide(&"a".repeat(NAME_UNITS_MAX)), flag::UNICODE, Some(&"a".repeat(NAME_UNITS_MAX)));
        check(&wide(&"a".repeat(NAME_UNITS_MAX + 1)), flag::UNICODE, None);
    }
}
