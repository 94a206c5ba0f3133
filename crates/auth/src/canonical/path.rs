//! The path of a request, in one spelling.
//!
//! ```text
//! /public/../admin      /admin            dot segments are removed (RFC 3986 section 5.2.4)
//! /%7euser/%c3%a9       /~user/%C3%A9     each escape has one spelling
//! /a%40b  /a@b          /a@b              what may stand raw stands raw
//! /a{b}                 /a%7Bb%7D         what may not is escaped
//! /%2e%2e/x  /a%2fb  /a\b  /a;b  //a  /%252e  /%c0%ae      refused
//! ```

use std::borrow::Cow;
use std::str::Split;

use percent_encoding::AsciiSet;

use super::{escaped, hex_digit};

/// A path in its one spelling: what is matched, and what is forwarded.
///
/// It begins with `/`, has no empty segment but a last one (a trailing slash is kept and means something), no dot
/// segment, and no escape that an upstream could take for a separator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

/// Why a path has no one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("path does not begin with a slash")]
    NotAbsolute,
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("path is too long")]
    TooLong,
    /// `//`.
    #[error("path has an empty segment")]
    EmptySegment,
    /// `.` or `..` where nothing resolves them.
    #[error("path has a dot segment")]
    DotSegment,
    /// `%2e` and its kin as a whole segment.
    #[error("path has an escaped dot segment")]
    EscapedDot,
    /// `%2f`, `%5c`, `\`.
    #[error("path has an escaped slash or a backslash")]
    Separator,
    /// `;`, raw or escaped.
    #[error("path has a parameter")]
    Parameter,
    /// `#` or `?` raw: the caller cut the target in the wrong place, or the client sent a fragment.
    #[error("path has a fragment or a query")]
    Fragment,
    /// NUL, another control character or a blank, raw or (but for the blank) escaped; raw bytes beyond ASCII.
    #[error("path has a character that may not be there")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("path has a broken escape")]
    BrokenEscape,
    /// An escape of an escape.
    #[error("path is escaped twice")]
    DoubleEscape,
    /// Escapes that are not UTF-8: overlong forms above all.
    #[error("path has escapes that are not utf-8")]
    NotUtf8,
}

/// Servers that we stand in front of take a request line of 8 KiB at most.
pub const PATH_BYTES_MAX: usize = 8 * 1024;

/// Paths of real APIs have a dozen segments; each is compared with each pattern.
pub const SEGMENTS_MAX: usize = 128;

impl<'a> CanonicalPath<'a> {
    /// Reads the path of a request target, without its query. Borrows if it is in its one spelling already.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        if raw.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if raw.bytes().filter(|byte| *byte == b'/').count() > SEGMENTS_MAX {
            return Err(PathError::TooLong);
        }
        if is_canonical(raw.as_bytes()) {
            return Ok(Self(Cow::Borrowed(raw)));
        }
        rewrite(raw).map(|path| Self(Cow::Owned(path)))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What lies between the slashes, escapes and all; a path that ends in `/` ends with an empty segment, and `/`
    /// is one empty segment.
    pub fn segments(&self) -> Split<'_, char> {
        self.0.strip_prefix('/').unwrap_or(&self.0).split('/')
    }

    /// What follows `prefix`, if that ends where a segment ends: empty, or beginning with `/`.
    ///
    /// `prefix` is in its one spelling and has no trailing slash; the empty one is a prefix of everything.
    pub fn below(&self, prefix: &str) -> Option<&str> {
        self.0.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Makes it independent of the request.
    pub fn into_owned(self) -> CanonicalPath<'static> {
        CanonicalPath(Cow::Owned(self.0.into_owned()))
    }
}

/// A segment as people write it in configurations, and services in locations, in the spelling that it has in a canonical
/// path. What is beyond ASCII stands for its UTF-8, escaped: `müller` is `m%C3%BCller`.
///
/// # Errors
/// See [`PathError`]; no request that is let through has such a segment inside its path.
pub fn canonical_segment(text: &str) -> Result<Cow<'_, str>, PathError> {
    match text {
        "" => Err(PathError::EmptySegment),
        "." | ".." => Err(PathError::DotSegment),
        ascii if ascii.is_ascii() => rewrite_segment(ascii),
        text => {
            let escaped = percent_encoding::utf8_percent_encode(text, BEYOND_ASCII).to_string();
            rewrite_segment(&escaped).map(|segment| Cow::Owned(segment.into_owned()))
        }
    }
}

/// Of ASCII nothing; what is beyond it is always escaped.
const BEYOND_ASCII: &AsciiSet = &AsciiSet::EMPTY;

/// What a segment says, with its escapes decoded; `None` if they are broken or not UTF-8.
pub fn decode_segment(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { escaped(&mut bytes)? } else { byte });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// What may stand raw in a segment: `pchar` of RFC 3986 less `;` and escapes.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}

/// The common case, in one pass: plain segments, none empty but the last, none of dots.
///
/// A segment that begins with a dot goes the long way.
fn is_canonical(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        let good = match byte {
            b'/' => before != b'/',
            b'.' => before != b'/',
            other => is_plain(other),
        };
        if !good || (before == 0 && byte != b'/') {
            return false;
        }
        before = byte;
    }
    before != 0
}

fn rewrite(raw: &str) -> Result<String, PathError> {
    let rest = raw.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
    let mut kept: Vec<Cow<'_, str>> = Vec::new();
    let mut raw_segments = rest.split('/').peekable();
    while let Some(segment) = raw_segments.next() {
        let last = raw_segments.peek().is_none();
        match segment {
            "" if last => kept.push(Cow::Borrowed("")),
            "" => return Err(PathError::EmptySegment),
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push(Cow::Borrowed(""));
                }
            }
            _ => kept.push(rewrite_segment(segment)?),
        }
    }
    let path: String = kept.iter().flat_map(|segment| ["/", segment]).collect();
    if path.len() > PATH_BYTES_MAX { Err(PathError::TooLong) } else { Ok(path) }
}

fn rewrite_segment(segment: &str) -> Result<Cow<'_, str>, PathError> {
    if segment.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(segment));
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => decoded.push(escaped(&mut bytes).ok_or(PathError::BrokenEscape)?),
            b'#' | b'?' => return Err(PathError::Fragment),
            b' ' | 0x80.. => return Err(PathError::Character),
            other => decoded.push(other),
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| PathError::NotUtf8)?;
    if matches!(decoded.as_str(), "." | "..") {
        return Err(PathError::EscapedDot);
    }
    if has_escape(decoded.as_bytes()) {
        return Err(PathError::DoubleEscape);
    }
    let mut canonical = String::with_capacity(segment.len());
    for byte in decoded.bytes() {
        match byte {
            b'/' | b'\\' => return Err(PathError::Separator),
            b';' => return Err(PathError::Parameter),
            0..=0x1f | 0x7f => return Err(PathError::Character),
            plain if is_plain(plain) => canonical.push(char::from(plain)),
            other => canonical.push_str(percent_encoding::percent_encode_byte(other)),
        }
    }
    Ok(Cow::Owned(canonical))
}

/// Whether there is a `%` with two hexadecimal digits after it.
fn has_escape(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|three| match three {
        [b'%', high, low] => hex_digit(*high).is_some() && hex_digit(*low).is_some(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::borrow::Cow;

    use proptest::prelude::{any, proptest};

    use super::{CanonicalPath, PATH_BYTES_MAX, PathError, canonical_segment, decode_segment};

    #[test]
    fn one_spelling() {
        let check = |raw: &str, expected: &str| {
            assert_eq!(
                CanonicalPath::parse(raw).map(|path| path.as_str().to_owned()),
                Ok(expected.to_owned()),
                "{raw}"
            );
        };
        check("/", "/");
        check("/a/b", "/a/b");
        check("/a/b/", "/a/b/");
        check("/public/../admin", "/admin");
        check("/a/./b", "/a/b");
        check("/a/b/..", "/a/");
        check("/a/b/.", "/a/b/");
        check("/..", "/");
        check("/../../a", "/a");
        check("/.well-known/x", "/.well-known/x");
        check("/a/...", "/a/...");
        check("/a/..b", "/a/..b");
        check("/%7euser", "/~user");
        check("/%41%62", "/Ab");
        check("/caf%c3%a9", "/caf%C3%A9");
        check("/a%40b%3Ac%24", "/a@b:c$");
        check("/a%20b", "/a%20b");
        check("/a{b}|c", "/a%7Bb%7D%7Cc");
        check("/a%7bb%7d%7cc", "/a%7Bb%7D%7Cc");
        check("/100%25", "/100%25");
        check("/100%25/z", "/100%25/z");
        check("/a%2eb", "/a.b");
        check("/c%23", "/c%23");
        check("/Contact(5)/Name,Age", "/Contact(5)/Name,Age");
    }

    #[test]
    fn two_readings_are_refused() {
        let check = |raw: &str, expected| {
            assert_eq!(CanonicalPath::parse(raw), Err(expected), "{raw}");
        };
        check("", PathError::NotAbsolute);
        check("admin", PathError::NotAbsolute);
        check("*", PathError::NotAbsolute);
        check("http://a/b", PathError::NotAbsolute);
        for raw in ["//admin", "///admin", "//", "/a//b", "/a//", "/a//../b"] {
            check(raw, PathError::EmptySegment);
        }
        for raw in ["/public/%2e%2e/admin", "/%2E./a", "/.%2e/a", "/%2e", "/a/%2e/b", "/a/.%2E"] {
            check(raw, PathError::EscapedDot);
        }
        for raw in ["/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a\\b", "/..\\admin", "/..%2fadmin"] {
            check(raw, PathError::Separator);
        }
        for raw in ["/a/..;/admin", "/realms;x/master", "/a%3bb", "/..%3B/admin", "/a;"] {
            check(raw, PathError::Parameter);
        }
        for raw in ["/admin#/public", "/a#", "/a?b"] {
            check(raw, PathError::Fragment);
        }
        for raw in ["/..%00", "/a%0d%0ab", "/a%7f", "/a\u{1}", "/a b", "/caf\u{e9}", "/a\0"] {
            check(raw, PathError::Character);
        }
        for raw in ["/%", "/%2", "/%zz", "/%u002e", "/100%", "/%+1"] {
            check(raw, PathError::BrokenEscape);
        }
        for raw in ["/%252e%252e/a", "/%252f", "/%25%32%65", "/%25%32e", "/%2%352e", "/a%2541"] {
            let error = CanonicalPath::parse(raw).unwrap_err();
            assert!(matches!(error, PathError::DoubleEscape | PathError::BrokenEscape), "{raw}: {error}");
        }
        for raw in ["/%c0%ae", "/%e9", "/%c3/%a9", "/%ed%a0%80"] {
            check(raw, PathError::NotUtf8);
        }
        check(&format!("/{}", "a".repeat(PATH_BYTES_MAX)), PathError::TooLong);
        check(&format!("/{}", "{".repeat(PATH_BYTES_MAX / 2)), PathError::TooLong);
    }

    #[test]
    fn the_common_case_borrows() {
        for raw in ["/", "/api/v2/me", "/api/v2/", "/Contact(5)", "/a.b/c"] {
            assert!(matches!(CanonicalPath::parse(raw).unwrap().0, Cow::Borrowed(_)), "{raw}");
        }
    }

    #[test]
    fn segments_and_prefixes() {
        let check = |raw: &str, expected: &[&str]| {
            assert_eq!(CanonicalPath::parse(raw).unwrap().segments().collect::<Vec<_>>(), expected, "{raw}");
        };
        check("/", &[""]);
        check("/a/b", &["a", "b"]);
        check("/a/b/", &["a", "b", ""]);

        let path = CanonicalPath::parse("/api/v2/me").unwrap();
        assert_eq!(path.below("/api"), Some("/v2/me"));
        assert_eq!(path.below(""), Some("/api/v2/me"));
        assert_eq!(path.below("/api/v2/me"), Some(""));
        assert_eq!(path.below("/ap"), None);
        assert_eq!(path.below("/API"), None);
    }

    #[test]
    fn segments_of_people_are_spelled_as_those_of_requests() {
        let check = |text: &str, expected: Result<&str, PathError>| {
            assert_eq!(canonical_segment(text).as_deref().map_err(|error| *error), expected, "{text}");
        };
        check("plain", Ok("plain"));
        check("m\u{fc}ller", Ok("m%C3%BCller"));
        check("m%c3%bcller", Ok("m%C3%BCller"));
        check("a[0]|\"q\"", Ok("a%5B0%5D%7C%22q%22"));
        check("%7e%20b", Ok("~%20b"));
        check("...", Ok("..."));
        check("", Err(PathError::EmptySegment));
        check("..", Err(PathError::DotSegment));
        check("%2e", Err(PathError::EscapedDot));
        check("a\\b", Err(PathError::Separator));
        check("a/b", Err(PathError::Separator));
        check("100%", Err(PathError::BrokenEscape));
        check("\u{fc};", Err(PathError::Parameter));
        check("\u{1}", Err(PathError::Character));
    }

    #[test]
    fn segments_decode_once() {
        let check = |segment: &str, expected: Option<&str>| {
            assert_eq!(decode_segment(segment).as_deref(), expected, "{segment}");
        };
        check("plain", Some("plain"));
        check("caf%C3%A9", Some("caf\u{e9}"));
        check("a%20b+c", Some("a b+c"));
        check("%2541", Some("%41"));
        check("%4", None);
        check("%FF", None);
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(raw in "/([a-c./%;{]|%[0-9a-fA-F]{2}|%25|%2e|\\.\\.){0,12}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                let again = CanonicalPath::parse(path.as_str()).unwrap();
                assert_eq!(again.as_str(), path.as_str());
                let last = path.segments().count() - 1;
                for (at, segment) in path.segments().enumerate() {
                    let decoded = decode_segment(segment).unwrap();
                    assert!(decoded != "." && decoded != "..");
                    assert!(!decoded.contains(['/', '\\', ';', '\0']));
                    assert!(!decoded.is_empty() || at == last);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(raw in any::<String>()) {
            let _ = CanonicalPath::parse(&raw);
            let _ = CanonicalPath::parse(&format!("/{raw}"));
            let _ = decode_segment(&raw);
        }
    }
}
