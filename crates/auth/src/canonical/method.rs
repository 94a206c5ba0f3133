//! Which methods there are.

/// A method that the gate knows.
///
/// Anything else is refused, `get` too: methods are case-sensitive (RFC 9110 section 9.1), and an upstream that
/// thinks otherwise must not see what the rules did not (THREATS T-A11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// OPTIONS.
    Options,
}

/// Why a method is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// CONNECT would make a tunnel of the gate, TRACE an echo of the credentials that it adds.
    #[error("method is CONNECT or TRACE")]
    Refused,
    /// Not on the list.
    #[error("method is not known")]
    Unknown,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 7] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    /// Reads a method as it stands in the request line.
    ///
    /// # Errors
    /// See [`MethodError`].
    pub fn parse(raw: &str) -> Result<Self, MethodError> {
        match raw {
            "GET" => Ok(Self::Get),
            "HEAD" => Ok(Self::Head),
            "POST" => Ok(Self::Post),
            "PUT" => Ok(Self::Put),
            "PATCH" => Ok(Self::Patch),
            "DELETE" => Ok(Self::Delete),
            "OPTIONS" => Ok(Self::Options),
            "CONNECT" | "TRACE" => Err(MethodError::Refused),
            _ => Err(MethodError::Unknown),
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// Whether it asks for nothing to change (RFC 9110 section 9.2.1).
    pub const fn is_safe(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options => true,
            Self::Post | Self::Put | Self::Patch | Self::Delete => false,
        }
    }
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
            Method::Options => Self::OPTIONS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Method, MethodError};

    #[test]
    fn only_listed_methods_are_let_in() {
        for method in Method::ALL {
            assert_eq!(Method::parse(method.as_str()), Ok(method));
            assert_eq!(http::Method::from(method).as_str(), method.as_str());
            assert_eq!(Method::parse(&method.as_str().to_lowercase()), Err(MethodError::Unknown));
        }
        let check = |raw, expected| assert_eq!(Method::parse(raw), Err(expected), "{raw}");
        check("CONNECT", MethodError::Refused);
        check("TRACE", MethodError::Refused);
        check("trace", MethodError::Unknown);
        check("PROPFIND", MethodError::Unknown);
        check("GET ", MethodError::Unknown);
        check("", MethodError::Unknown);
    }
}
