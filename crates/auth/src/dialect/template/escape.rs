//! What stands for a value where it is printed.

use std::fmt::Write as _;

use super::Medium;

/// Leaves `%` with its two digits as they are, and escapes what a header escapes.
pub(super) fn address_in_header(address: &str, out: &mut String) {
    let is_escape =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    for (nth, part) in address.split('%').enumerate() {
        if nth > 0 {
            out.push_str(if is_escape(part) { "%" } else { "%25" });
        }
        escape(part, Medium::Header, out);
    }
}

pub(super) fn url_encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

pub(super) fn escape(text: &str, medium: Medium, out: &mut String) {
    match medium {
        Medium::Text => out.push_str(text),
        Medium::Header => {
            // Readers take blanks at either end away (RFC 9110 section 5.5).
            let first = text.len() - text.trim_start_matches(' ').len();
            let end = text.trim_end_matches(' ').len();
            for (at, byte) in text.bytes().enumerate() {
                match byte {
                    b' ' if at < first || at >= end => out.push_str("%20"),
                    b' '..=b'$' | b'&'..=b'~' => out.push(char::from(byte)),
                    _ => write!(out, "%{byte:02X}").unwrap_or_default(),
                }
            }
        }
        // RFC 6265 section 4.1.1.
        Medium::Cookie => {
            for byte in text.bytes() {
                if byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\' | b'%') {
                    out.push(char::from(byte));
                } else {
                    write!(out, "%{byte:02X}").unwrap_or_default();
                }
            }
        }
        Medium::Json => {
            for c in text.chars() {
                match c {
                    '"' => out.push_str("\\\""),
                    '\\' => out.push_str("\\\\"),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    c if u32::from(c) < 0x20 || matches!(c, '\u{2028}' | '\u{2029}') => {
                        write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default();
                    }
                    c => out.push(c),
                }
            }
        }
        Medium::Xml | Medium::Html => {
            for c in text.chars() {
                match c {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '"' => out.push_str("&quot;"),
                    // XML 1.0 section 2.2 has no place for other control characters, not even escaped.
                    c if u32::from(c) < 0x20 && !matches!(c, '\n' | '\r' | '\t') => out.push('\u{fffd}'),
                    c => out.push(c),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_would_lose_is_escaped_and_nothing_else() {
        for (value, printed) in [
            ("ann", "ann"),
            ("ann lee", "ann lee"),
            (" ann", "%20ann"),
            ("ann  ", "ann%20%20"),
            ("\tann", "%09ann"),
            ("  ", "%20%20"),
            ("%20ann", "%2520ann"),
            ("\u{fc}", "%C3%BC"),
            ("", ""),
        ] {
            let mut out = String::new();
            escape(value, Medium::Header, &mut out);
            assert_eq!(out, printed, "{value:?}");
        }
    }
}
