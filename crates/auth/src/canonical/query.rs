//! The query of a request, read strictly; it is forwarded as it came.

use std::borrow::Cow;
use std::str::Split;

use super::escaped;

/// Why a query cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// `%` without two hexadecimal digits.
    #[error("query has a broken escape")]
    BrokenEscape,
    /// `#`, NUL (also escaped), a blank or control character, or a raw byte beyond ASCII.
    #[error("query has a character that may not be there")]
    Character,
    /// Escapes that are not UTF-8.
    #[error("query has escapes that are not utf-8")]
    NotUtf8,
    /// More than [`QUERY_PAIRS_MAX`].
    #[error("query has too many parameters")]
    TooMany,
}

/// No client of the dialects sends more than some dozens; what asks us to compare more wants our time.
pub const QUERY_PAIRS_MAX: usize = 1000;

/// Reads the parameters of a query (without its `?`) in their order: name and value, each decoded once.
///
/// `&` parts them, the first `=` ends a name, `+` is a blank (the form encoding of the URL standard); a name
/// without `=` has an empty value; nothing between two `&` is no parameter.
pub fn parse_query(raw: &str) -> Pairs<'_> {
    Pairs { rest: raw.split('&'), seen: 0 }
}

/// The iterator that [`parse_query`] makes; after an error it goes on with the next parameter.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: Split<'a, char>,
    seen: usize,
}

/// The values of the parameters of one name, in their order, each decoded once. What others say is nobody's matter here, be it
/// readable or not; nor is how many they are, as a head has its limits.
pub(crate) fn values<'q>(raw: &'q str, name: &str) -> impl Iterator<Item = Result<Cow<'q, str>, QueryError>> {
    raw.split('&').filter(|pair| !pair.is_empty()).filter_map(move |pair| {
        let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
        decode(own).is_ok_and(|own| own == name).then(|| decode(value))
    })
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(Cow<'a, str>, Cow<'a, str>), QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.rest.find(|pair| !pair.is_empty())?;
        self.seen += 1;
        if self.seen > QUERY_PAIRS_MAX {
            self.rest = "".split('&');
            return Some(Err(QueryError::TooMany));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some(decode(name).and_then(|name| Ok((name, decode(value)?))))
    }
}

fn decode(raw: &str) -> Result<Cow<'_, str>, QueryError> {
    if raw.bytes().any(|byte| byte == b'#' || !byte.is_ascii_graphic()) {
        return Err(QueryError::Character);
    }
    decode_form(raw)
}

/// Decodes `%` and `+` of the form encoding, once; NUL is refused.
pub(crate) fn decode_form(raw: &str) -> Result<Cow<'_, str>, QueryError> {
    if raw.contains('\0') {
        return Err(QueryError::Character);
    }
    if !raw.contains(['%', '+']) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match escaped(&mut bytes).ok_or(QueryError::BrokenEscape)? {
                0 => return Err(QueryError::Character),
                byte => byte,
            },
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| QueryError::NotUtf8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::{any, proptest};

    use super::{QUERY_PAIRS_MAX, QueryError, parse_query};

    fn read(raw: &str) -> Result<Vec<(String, String)>, QueryError> {
        parse_query(raw)
            .map(|pair| pair.map(|(name, value)| (name.into_owned(), value.into_owned())))
            .collect()
    }

    #[test]
    fn values_of_one_name_are_found_among_whatever_others() {
        fn found(raw: &str) -> Vec<Result<std::borrow::Cow<'_, str>, QueryError>> {
            super::values(raw, "t").collect()
        }
        let many = format!("{}t=1&%74=2&x=%zz&t", "a&".repeat(2 * QUERY_PAIRS_MAX));
        assert_eq!(found(&many), ["1", "2", ""].map(|value| Ok(value.into())));
        assert_eq!(found("t=%zz&tt=1&T=1"), [Err(QueryError::BrokenEscape)]);
        assert!(found(&"a&".repeat(2 * QUERY_PAIRS_MAX)).is_empty());
    }

    #[test]
    fn pairs_are_decoded_once() {
        let check = |raw: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(read(raw), Ok(expected), "{raw}");
        };
        check("", &[]);
        check("&&", &[]);
        check("a=1&b=2", &[("a", "1"), ("b", "2")]);
        check("a=1&a=2", &[("a", "1"), ("a", "2")]);
        check("a", &[("a", "")]);
        check("=x", &[("", "x")]);
        check("a=b=c", &[("a", "b=c")]);
        check("a=1;b=2", &[("a", "1;b=2")]);
        check("q=a+b%20c%2B", &[("q", "a b c+")]);
        check("%61=%C3%A9", &[("a", "\u{e9}")]);
        check("a=%2541", &[("a", "%41")]);
        check("x=/public", &[("x", "/public")]);
    }

    #[test]
    fn broken_queries_are_refused() {
        let check = |raw: &str, expected| assert_eq!(read(raw), Err(expected), "{raw}");
        check("a=%", QueryError::BrokenEscape);
        check("a=%4", QueryError::BrokenEscape);
        check("%zz=1", QueryError::BrokenEscape);
        check("a=%00", QueryError::Character);
        check("a#b", QueryError::Character);
        check("a=\u{e9}", QueryError::Character);
        check("a b", QueryError::Character);
        check("a=%FF", QueryError::NotUtf8);
        check(&"a&".repeat(QUERY_PAIRS_MAX + 1), QueryError::TooMany);
        assert!(read(&"a&".repeat(QUERY_PAIRS_MAX)).is_ok());
    }

    proptest! {
        #[test]
        fn encoded_pairs_come_back(pairs in proptest::collection::vec(("[^\0]{1,8}", "[^\0]{0,8}"), 0..8)) {
            let raw = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            assert_eq!(read(&raw).unwrap(), pairs);
        }

        #[test]
        fn any_text_is_read_or_refused(raw in any::<String>()) {
            let _ = read(&raw);
        }
    }
}
