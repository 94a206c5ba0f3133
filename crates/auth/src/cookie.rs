//! Cookies: taken out of requests, set in answers (RFC 6265).
//!
//! ```text
//! Cookie: a=1; Path=/; SESSION="node0abc"; theme=dark
//!         a    Path    SESSION             theme        four pairs; none of them is an attribute
//! ```

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderValue;

use crate::canonical::path::decode_segment;

/// Browsers keep about 180 cookies of one site at most.
pub const PAIRS_MAX: usize = 200;

/// A cookie that was taken out of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Its name as sent; cookie names are case-sensitive.
    pub name: &'a str,
    /// Its value without the quotes around it, if it had any; not decoded, see [`decoded`].
    pub value: &'a str,
}

/// What [`take`] found.
#[derive(Debug)]
pub struct Taken<'a> {
    /// The pairs whose names were asked for, in their order, as often as they were sent.
    pub pairs: Vec<Pair<'a>>,
    /// What goes on to the upstream.
    pub rest: Rest,
}

/// The `Cookie` header after some pairs were taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing was taken: the header lines may go on as they came.
    Unchanged,
    /// The one line that replaces them.
    Line(HeaderValue),
    /// No pair is left: no line goes on.
    Nothing,
}

/// Why the cookies of a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// More than [`PAIRS_MAX`].
    #[error("request has too many cookies")]
    TooMany,
    /// A byte beyond ASCII, or a control character, in a cookie whose name was asked for.
    #[error("cookie has a character that may not be there")]
    Character,
}

/// Takes the pairs out whose names `wanted` says yes to, from all `Cookie` lines of a request.
///
/// HTTP/2 clients may send each pair in a line of its own (RFC 9113 section 8.2.3). Pairs that stay keep their
/// bytes, whatever these are.
///
/// # Errors
/// See [`CookieError`].
pub fn take<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Taken<'a>, CookieError> {
    let mut pairs = Vec::new();
    let mut kept: Vec<u8> = Vec::new();
    let mut seen = 0;
    for line in lines {
        for raw in line.as_bytes().split(|byte| *byte == b';') {
            // Empty pairs count as well: skipping them takes as long.
            seen += 1;
            if seen > PAIRS_MAX {
                return Err(CookieError::TooMany);
            }
            let raw = raw.trim_ascii();
            if raw.is_empty() {
                continue;
            }
            // The name ends at the first `=`; a pair without one is a name, since some servers read it so.
            let end = raw.iter().position(|byte| *byte == b'=').unwrap_or(raw.len());
            let (name, value) = raw.split_at(end);
            let Some(name) = std::str::from_utf8(name.trim_ascii_end()).ok().filter(|name| wanted(name))
            else {
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(raw);
                continue;
            };
            let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii_start();
            if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
                return Err(CookieError::Character);
            }
            let value = std::str::from_utf8(value).map_err(|_| CookieError::Character)?;
            pairs.push(Pair { name, value: unquoted(value) });
        }
    }
    let rest = match (pairs.is_empty(), kept.is_empty()) {
        (true, _) => Rest::Unchanged,
        (false, true) => Rest::Nothing,
        (false, false) => Rest::Line(HeaderValue::from_bytes(&kept).map_err(|_| CookieError::Character)?),
    };
    Ok(Taken { pairs, rest })
}

/// A cookie's value with its `%` escapes decoded once, for clients that encode cookies; `None` if they are broken.
pub fn decoded(value: &str) -> Option<Cow<'_, str>> {
    decode_segment(value)
}

/// Whether script may read a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptAccess {
    /// `HttpOnly`.
    Hidden,
    /// Script has to read it, as a CSRF token.
    Readable,
}

/// Whether a cookie rides on requests that other sites make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed.
    Lax,
    /// Always; browsers want `Secure` beside it.
    None,
}

/// Over which connections a browser sends a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `Secure`.
    TlsOnly,
    /// Also in clear: for development, and behind fronts that talk in clear.
    Any,
}

/// How a cookie is set, and so also how it is expired: a browser removes only the one of equal path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `Path`.
    pub path: &'a str,
    /// `HttpOnly`.
    pub script: ScriptAccess,
    /// `SameSite`; `None` writes no attribute.
    pub same_site: Option<SameSite>,
    /// `Secure`.
    pub transport: Transport,
    /// `Max-Age`; without one it ends with the browser.
    pub max_age: Option<Duration>,
}

/// Why a cookie cannot be set; the text names the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cookie has a {0} that cannot be sent")]
pub struct SetCookieError(&'static str);

/// Whether a cookie may be called so: a token (RFC 9110 section 5.6.2).
pub(crate) fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}"#.contains(&byte);
    !name.is_empty() && name.bytes().all(good)
}

/// The `Set-Cookie` line of a cookie (RFC 6265 section 4.1).
///
/// # Errors
/// If the name is no token, the value has an octet that a cookie may not have, or the path has a `;` or a
/// character beyond printable ASCII: nothing a client sent can add an attribute or a line.
pub fn set_cookie(
    name: &str,
    value: &str,
    attributes: &Attributes<'_>,
) -> Result<HeaderValue, SetCookieError> {
    let good_value = |byte: u8| byte.is_ascii_graphic() && !br#"",;\"#.contains(&byte);
    let good_path = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
    if !is_name(name) {
        return Err(SetCookieError("name"));
    }
    if !value.bytes().all(good_value) {
        return Err(SetCookieError("value"));
    }
    if !attributes.path.bytes().all(good_path) {
        return Err(SetCookieError("path"));
    }
    let mut line = format!("{name}={value}; Path={}", attributes.path);
    if let Some(max_age) = attributes.max_age {
        // Writing to a string does not fail.
        let _ = write!(line, "; Max-Age={}", max_age.as_secs());
    }
    if attributes.transport == Transport::TlsOnly {
        line.push_str("; Secure");
    }
    if attributes.script == ScriptAccess::Hidden {
        line.push_str("; HttpOnly");
    }
    line.push_str(match attributes.same_site {
        Some(SameSite::Strict) => "; SameSite=Strict",
        Some(SameSite::Lax) => "; SameSite=Lax",
        Some(SameSite::None) => "; SameSite=None",
        None => "",
    });
    HeaderValue::try_from(line).map_err(|_| SetCookieError("value"))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests;
