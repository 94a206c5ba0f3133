//! Values about pages and keys of services: origins, names of headers, digests.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Scalar;

/// An origin as a browser writes it in `Origin`, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageOrigin(pub(crate) String);

scalar!(
    PageOrigin,
    "page-origin",
    "https://desk.example",
    "Scheme, host and, unless it is the scheme's own, port of a page; or `*`."
);

impl fmt::Display for PageOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PageOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| Err(format!("`{text}` is no origin of a page: {why}"));
        if text == "*" {
            return Ok(Self(text.to_owned()));
        }
        let Some((scheme, authority)) = text.split_once("://") else {
            return bad("write scheme and host, like \"https://desk.example\"");
        };
        if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic()) {
            return bad("browsers write it in lower case and without blanks");
        }
        if scheme.is_empty() || authority.is_empty() || authority.contains(['/', '?', '#', '@', '*', '\\']) {
            return bad("it is scheme, host and port, and nothing after them");
        }
        let usual = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        if !usual.is_empty() && authority.ends_with(usual) {
            return bad("browsers leave the scheme's own port out");
        }
        Ok(Self(text.to_owned()))
    }
}

/// The name of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldName(pub(crate) http::HeaderName);

scalar!(FieldName, "field-name", "X-Requested-With", "The name of a header.");

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is no name of a header"))
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

scalar!(
    Digest,
    "sha256",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "A SHA-256 digest: 64 hex digits."
);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is no SHA-256 digest; write the 64 hex digits that `countersign service-key` prints"
            )
        };
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (to, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *to = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}
