//! One reading of a request: its path, query, host, method and header names.
//!
//! Gateways fall when the gate matches one spelling of a target and the upstream acts on another (THREATS T-A1
//! to T-A11). So each part is brought into one spelling, or refused; that spelling is what is matched, and it is
//! what is forwarded.

pub mod header_name;
pub mod host;
pub mod method;
pub mod path;
pub mod query;

/// The value of one hexadecimal digit.
const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that the two digits after a `%` stand for.
fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let high = hex_digit(bytes.next()?)?;
    let low = hex_digit(bytes.next()?)?;
    Some(high << 4 | low)
}

/// Whether a byte may stand in a token (RFC 9110 section 5.6.2): the name of a field, a parameter or a method.
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
