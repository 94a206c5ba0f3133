//! Where in a request something rides.

use std::fmt;

use http::HeaderName;

use crate::canonical::header_name::{folded, is_decisive};
use crate::cookie::is_name;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header field, and how the file spells it.
    Header(HeaderName, String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
    /// A top-level field of the body.
    Body(String),
    /// A variable of the path.
    Path(String),
    /// `Authorization: WORD value`; the word's case does not matter.
    Authorization(String),
    /// `Authorization: WORD=value`.
    AuthorizationAssigned(String),
    /// `Authorization: value`, with no scheme word.
    AuthorizationBare,
}

impl Place {
    /// Reads a place such as `header X-Token` or `authorization Bearer`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(' ').ok_or_else(|| places(text))?;
        if name.is_empty() || name.contains(' ') {
            return Err(places(text));
        }
        let name = name.to_owned();
        match kind {
            "header" => {
                let header = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_error| format!("`{name}` is no header name"))?;
                if header == http::header::AUTHORIZATION {
                    return Err("write \"authorization WORD\" for the Authorization header".to_owned());
                }
                if header == http::header::COOKIE {
                    return Err("write \"cookie NAME\" for a cookie".to_owned());
                }
                Ok(Self::Header(header, name))
            }
            "cookie" if !is_name(&name) => Err(format!("`{name}` is no cookie name")),
            "cookie" => Ok(Self::Cookie(name)),
            "query" => Ok(Self::Query(name)),
            "body" => Ok(Self::Body(name)),
            "path" => Ok(Self::Path(name)),
            "authorization" if name == "-" => Ok(Self::AuthorizationBare),
            "authorization" => match name.strip_suffix('=') {
                Some(word) => Ok(Self::AuthorizationAssigned(word.to_owned())),
                None => Ok(Self::Authorization(name)),
            },
            _ => Err(places(text)),
        }
    }

    /// The header that it is, with the file's spelling. `Authorization` is none: its words are places of their own.
    pub(crate) fn header(&self) -> Option<(&HeaderName, &str)> {
        match self {
            Self::Header(name, spelled) => Some((name, spelled)),
            Self::Cookie(_)
            | Self::Query(_)
            | Self::Body(_)
            | Self::Path(_)
            | Self::Authorization(_)
            | Self::AuthorizationAssigned(_)
            | Self::AuthorizationBare => None,
        }
    }

    /// Why no credential may ride there; `None` for a place that can be taken out of a request.
    pub(crate) fn cannot_carry(&self) -> Option<String> {
        match self {
            Self::Header(name, spelled) if is_decisive(&folded(name.as_str())) => Some(format!(
                "`{spelled}` is what the gate or HTTP itself decides by; a credential rides elsewhere"
            )),
            Self::Header(name, spelled) if name.as_str().starts_with("countersign-") => {
                Some(format!("`{spelled}` is the gate's own"))
            }
            Self::Path(name) => Some(format!(
                "{{{name}}} cannot be taken out of the path, and would reach the upstream; \
                 let it ride in a header, a cookie, the query or the body"
            )),
            Self::Header(..)
            | Self::Cookie(_)
            | Self::Query(_)
            | Self::Body(_)
            | Self::Authorization(_)
            | Self::AuthorizationAssigned(_)
            | Self::AuthorizationBare => None,
        }
    }

    /// The header or cookie name, as answers print it (`carrier`).
    pub fn carrier(&self) -> &str {
        match self {
            Self::Header(_, name)
            | Self::Cookie(name)
            | Self::Query(name)
            | Self::Body(name)
            | Self::Path(name) => name,
            Self::Authorization(_) | Self::AuthorizationAssigned(_) | Self::AuthorizationBare => {
                "Authorization"
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(_, name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Body(name) => write!(f, "body {name}"),
            Self::Path(name) => write!(f, "path {name}"),
            Self::Authorization(word) => write!(f, "authorization {word}"),
            Self::AuthorizationAssigned(word) => write!(f, "authorization {word}="),
            Self::AuthorizationBare => f.write_str("authorization -"),
        }
    }
}

fn places(text: &str) -> String {
    format!(
        "`{text}` is no place; write \"header N\", \"cookie N\", \"query N\", \"body N\", \"path N\", \
         \"authorization WORD\" or \"authorization -\""
    )
}
