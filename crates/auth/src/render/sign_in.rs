//! Where browsers without a session are sent, and which ways back are taken.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{Here, NO_STORE, Rendered};
use crate::api::Api;
use crate::canonical::path::CanonicalPath;
use crate::dialect::{Scheme, Site, Surface};
use crate::refusal::{Reason, Refusal};

impl Api {
    /// A browser that navigates to a page without a session is sent to sign in, and back afterwards.
    pub(super) fn to_sign_in(
        &self,
        site: Option<&Site>,
        surface: Option<&Surface>,
        refusal: &Refusal,
        here: &Here<'_>,
    ) -> Option<Rendered> {
        let page = surface?.sign_in.as_ref()?;
        let unauthenticated = refusal.reason == Reason::Unauthenticated
            || refusal.reason.falls_back_to() == Some(Reason::Unauthenticated);
        // Whoever came back from an issuer in vain is told so: sent on, he would go round in circles.
        let came_back = site.is_some_and(|site| site.accepts.iter().any(|rule| rule.scheme == Scheme::Code));
        if !unauthenticated || came_back || !navigates(here) {
            return None;
        }
        let back = match here.query {
            Some(query) => format!("{}?{query}", here.path),
            None => here.path.to_owned(),
        };
        let back = percent_encoding::utf8_percent_encode(&back, percent_encoding::NON_ALPHANUMERIC);
        let sign_in = self.sign_in_at.as_ref().unwrap_or(page);
        let location = format!("{}{sign_in}?return_to={back}", here.prefix);
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(&location).ok()?);
        headers.insert(CACHE_CONTROL, NO_STORE);
        Some(Rendered {
            status: StatusCode::SEE_OTHER,
            phrase: None,
            headers,
            body: Bytes::new(),
            cause: None,
        })
    }
}

/// Whether a browser opens a page, as opposed to a script or a program that calls an API.
fn navigates(here: &Here<'_>) -> bool {
    let header = |name: &str| here.headers.get(name).and_then(|value| value.to_str().ok());
    if *here.method != Method::GET {
        return false;
    }
    match header("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => header("accept").is_some_and(|accept| accept.contains("text/html")),
    }
}

/// Whether an address leads back into the API: its prefix, a path that the gate itself would take, so that no escape
/// hides a separator, a dot segment or a line end and no browser reads it as another origin (T-E6), and nothing that
/// would be markup where a page prints it: no browser leaves that in an address (T-E10).
pub(crate) fn is_own_path(address: &str, prefix: &str) -> bool {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let below = path.strip_prefix(prefix);
    below.is_some_and(|below| below.starts_with('/') || (below.is_empty() && !prefix.is_empty()))
        && CanonicalPath::parse(path).is_ok()
        && !path.split('/').any(|segment| segment == ".." || segment == ".")
        && address
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'`'))
}
