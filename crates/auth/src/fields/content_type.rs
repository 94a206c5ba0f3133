//! What a `Content-Type` says about a body (RFC 9110 section 8.3), read with patience.
//!
//! Real clients send `application/json;charset=UTF-8;charset=UTF8`; what matters is that no reading of the
//! parameters makes other text of the same bytes.

use std::borrow::Cow;

/// How a body holds its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The members of an object (RFC 8259).
    Json,
    /// The children of the root element.
    Xml,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data` (RFC 7578).
    Multipart,
}

impl Encoding {
    /// Its name in dialect files and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Form => "form",
            Self::Multipart => "multipart",
        }
    }

    /// The encoding of a media type such as `application/problem+json`, without its parameters.
    fn of_media_type(essence: &str) -> Option<Self> {
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => return Some(Self::Json),
            "application/xml" | "text/xml" => return Some(Self::Xml),
            "application/x-www-form-urlencoded" => return Some(Self::Form),
            "multipart/form-data" => return Some(Self::Multipart),
            _ => {}
        }
        let (_, subtype) = essence.split_once('/')?;
        match subtype.rsplit_once('+')? {
            (_, "json") => Some(Self::Json),
            (_, "xml") => Some(Self::Xml),
            _ => None,
        }
    }
}

/// The characters of a body, as its content type promises them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    /// One of which UTF-8 shares the ASCII half.
    AsciiOnly,
    Unknown,
}

/// A content type whose bodies have fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    encoding: Encoding,
    charset: Charset,
    boundary: Option<String>,
}

impl ContentType {
    /// Reads the value of a `Content-Type` header; `None` if bodies of that type have no fields.
    pub fn parse(header: &str) -> Option<Self> {
        let (essence, rest) = header.split_once(';').unwrap_or((header, ""));
        let mut found =
            Self { encoding: Encoding::of_media_type(essence)?, charset: Charset::Utf8, boundary: None };
        let mut boundaries = 0;
        for (name, value) in parameters(rest)? {
            match name.as_str() {
                "charset" => found.charset = worse(found.charset, charset(&value)),
                "boundary" => {
                    boundaries += 1;
                    found.boundary = Some(value.into_owned());
                }
                _ => {}
            }
        }
        // Two boundaries are two readings; RFC 2046 section 5.1.1 allows 1 to 70 characters.
        if boundaries > 1 || found.boundary.as_ref().is_some_and(|text| text.is_empty() || text.len() > 70) {
            found.boundary = None;
        }
        Some(found)
    }

    /// How its bodies hold their fields.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Whether the bytes of a body mean the same in its charset and in UTF-8.
    pub(crate) fn reads_as_utf8(&self, body: &[u8]) -> bool {
        match self.charset {
            Charset::Utf8 => true,
            Charset::AsciiOnly => body.is_ascii(),
            Charset::Unknown => false,
        }
    }

    pub(super) fn boundary(&self) -> Option<&str> {
        self.boundary.as_deref()
    }
}

impl From<Encoding> for ContentType {
    /// The content type without parameters; that of a multipart body needs one.
    fn from(encoding: Encoding) -> Self {
        Self { encoding, charset: Charset::Utf8, boundary: None }
    }
}

/// The parameters of a header (RFC 9110 section 5.6.6): names in lower case, values without their quotes.
///
/// Parameters without `=` are passed over. `None` if a quoted value does not end, is followed by something, or
/// has a backslash, which clients take for an escape or for themselves.
pub(super) fn parameters(raw: &str) -> Option<Vec<(String, Cow<'_, str>)>> {
    let mut found = Vec::new();
    let mut rest = raw.trim();
    while !rest.is_empty() {
        let end = rest.find([';', '=']).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        let Some(tail) = tail.strip_prefix('=') else {
            rest = tail.strip_prefix(';').unwrap_or(tail).trim_start();
            continue;
        };
        let tail = tail.trim_start();
        let (value, after) = match tail.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"')?;
                if value.contains('\\') {
                    return None;
                }
                (value, after.trim_start())
            }
            None => {
                let (value, after) = tail.split_at(tail.find(';').unwrap_or(tail.len()));
                (value.trim_end(), after)
            }
        };
        found.push((name.trim().to_ascii_lowercase(), Cow::Borrowed(value)));
        rest = match after.strip_prefix(';') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(found)
}

fn charset(value: &str) -> Charset {
    match value.to_ascii_lowercase().as_str() {
        "" | "utf-8" | "utf8" => Charset::Utf8,
        "us-ascii" | "ascii" | "iso-8859-1" | "iso8859-1" | "latin1" | "windows-1252" => Charset::AsciiOnly,
        _ => Charset::Unknown,
    }
}

const fn worse(one: Charset, other: Charset) -> Charset {
    match (one, other) {
        (Charset::Unknown, _) | (_, Charset::Unknown) => Charset::Unknown,
        (Charset::AsciiOnly, _) | (_, Charset::AsciiOnly) => Charset::AsciiOnly,
        (Charset::Utf8, Charset::Utf8) => Charset::Utf8,
    }
}
