//! Which pages of other origins a browser lets call an API (Fetch standard, "CORS protocol").
//!
//! Preflights are answered before anybody is authenticated, because browsers send them without credentials. What an
//! upstream says about other origins is taken out: the allow-list is the gate's, and where there is none, nobody may
//! (T-E13).

use bytes::Bytes;
use countersign_auth::page::Origin;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};

use crate::hop::remove_where;

/// What an API lets pages of other origins do.
#[derive(Clone, Debug, Default)]
pub struct CorsOptions {
    /// Origins as browsers write them: `https://desk.example`, without a slash at the end.
    pub origins: Origins,
    /// Headers that their scripts may send.
    pub headers: Vec<HeaderName>,
    /// Headers that their scripts may read.
    pub expose: Vec<HeaderName>,
    /// For so many seconds a browser need not ask again.
    pub max_age_secs: u64,
}

/// Which pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Those of these origins; the browser may send cookies if `credentials`.
    Listed {
        /// The origins.
        origins: Vec<String>,
        /// Whether the browser sends its cookies and shows the answer all the same.
        credentials: Credentials,
    },
    /// All pages, without the browser's credentials.
    Any,
}

impl Default for Origins {
    fn default() -> Self {
        Self::Listed { origins: Vec::new(), credentials: Credentials::Omitted }
    }
}

/// Whether a browser sends cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// It does.
    Included,
    /// It does not.
    Omitted,
}

/// The same, ready to be written into answers.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Origins,
    headers: HeaderValue,
    expose: HeaderValue,
    max_age: HeaderValue,
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const PREFLIGHT_VARY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// A log needs no more of an origin that nobody knows.
const ORIGIN_SHOWN_CHARS: usize = 128;

/// A page that may not call.
pub(crate) struct ForeignPage {
    /// Its origin, as far as a log shows it.
    pub(crate) origin: String,
    /// What its browser is told.
    pub(crate) answer: Response<Bytes>,
}

/// Takes out whatever an answer says to pages of other origins, in this protocol and in what browsers add to it.
pub(crate) fn remove_words(headers: &mut HeaderMap) {
    const FAMILY: &str = "access-control-";
    remove_where(headers, |name| name.as_str().starts_with(FAMILY));
}

impl Cors {
    pub(crate) fn new(options: CorsOptions) -> Self {
        let list = |names: &[HeaderName]| {
            let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
            HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""))
        };
        Self {
            headers: list(&options.headers),
            expose: list(&options.expose),
            max_age: HeaderValue::from(options.max_age_secs),
            origins: options.origins,
        }
    }

    /// The origins whose pages may call with the browser's credentials.
    pub(crate) fn trusted(&self) -> &[String] {
        match &self.origins {
            Origins::Listed { origins, credentials: Credentials::Included } => origins,
            Origins::Listed { credentials: Credentials::Omitted, .. } | Origins::Any => &[],
        }
    }

    /// Whether no page of another origin may call at all: then answers do not depend on who asks.
    fn is_for_nobody(&self) -> bool {
        match &self.origins {
            Origins::Listed { origins, .. } => origins.is_empty(),
            Origins::Any => false,
        }
    }

    /// The origin of the page that asks, where the answer depends on it.
    pub(crate) fn asked_by(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.is_for_nobody() { None } else { origin(headers) }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Listed { origins, .. } => is_listed(origins, origin),
            Origins::Any => true,
        }
    }

    /// The answer to a preflight; `None` for every other request.
    ///
    /// # Errors
    /// The page may not call.
    pub(crate) fn preflight(&self, head: &request::Parts) -> Option<Result<Response<Bytes>, ForeignPage>> {
        if head.method != Method::OPTIONS || !head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let origin = origin(&head.headers)?;
        let mut response = Response::new(Bytes::new());
        response.headers_mut().insert(VARY, PREFLIGHT_VARY);
        if !self.allows(&origin) {
            *response.status_mut() = StatusCode::FORBIDDEN;
            let origin =
                String::from_utf8_lossy(origin.as_bytes()).chars().take(ORIGIN_SHOWN_CHARS).collect();
            return Some(Err(ForeignPage { origin, answer: response }));
        }
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.name(&origin, headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        Some(Ok(response))
    }

    /// Says in an answer whether the page that asked may read it.
    pub(crate) fn finish(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        remove_words(headers);
        if self.is_for_nobody() {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin.filter(|origin| self.allows(origin)) {
            self.name(origin, headers);
            if !self.expose.is_empty() {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone());
            }
        }
    }

    /// The origin itself where credentials are in play, never `*`.
    fn name(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        match &self.origins {
            Origins::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Origins::Listed { credentials, .. } => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                match credentials {
                    Credentials::Included => {
                        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                    }
                    Credentials::Omitted => {}
                }
            }
        }
    }
}

fn is_listed(origins: &[String], origin: &HeaderValue) -> bool {
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes())
}

/// The one origin that a request names.
fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    match Origin::of(headers) {
        Origin::One(origin) => Some(origin.clone()),
        Origin::None | Origin::Several => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    fn cors(origins: Origins) -> Cors {
        Cors::new(CorsOptions {
            origins,
            headers: vec![HeaderName::from_static("x-token")],
            expose: vec![HeaderName::from_static("x-told")],
            max_age_secs: 120,
        })
    }

    fn listed(credentials: Credentials) -> Cors {
        cors(Origins::Listed {
            origins: vec!["https://a.example".into(), "https://b.example:8443".into()],
            credentials,
        })
    }

    fn told(cors: &Cors, origin: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        let origin = HeaderValue::from_str(origin).unwrap();
        cors.finish(Some(&origin), &mut headers);
        let mut told: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        told.sort();
        told
    }

    #[test]
    fn only_listed_origins_are_named_and_never_all() {
        for origin in ["https://a.example", "https://b.example:8443"] {
            assert_eq!(
                told(&listed(Credentials::Included), origin),
                [
                    "access-control-allow-credentials: true".to_owned(),
                    format!("access-control-allow-origin: {origin}"),
                    "access-control-expose-headers: x-told".to_owned(),
                    "vary: Accept".to_owned(),
                    "vary: Origin".to_owned(),
                ]
            );
        }
        for origin in [
            "http://a.example",
            "https://a.example:443",
            "https://A.example",
            "https://a.example/",
            "https://a.example.evil.example",
            "https://evil-a.example",
            "null",
            "*",
            "",
        ] {
            assert_eq!(
                told(&listed(Credentials::Included), origin),
                ["vary: Accept", "vary: Origin"],
                "{origin}"
            );
        }
        assert!(!told(&listed(Credentials::Omitted), "https://a.example").concat().contains("credentials"));
        let nobody = Cors::new(CorsOptions::default());
        assert_eq!(told(&nobody, "https://a.example"), ["vary: Accept"]);
        let any = told(&cors(Origins::Any), "https://x.example").join("|");
        assert!(any.contains("allow-origin: *") && !any.contains("credentials"), "{any}");
    }

    #[test]
    fn a_preflight_is_one_only_with_origin_and_method() {
        let ask = |method: &str, fields: &[(&str, &str)]| {
            let mut request = http::Request::builder().method(method).uri("/x");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let head = request.body(()).unwrap().into_parts().0;
            let status = |answer: Result<Response<Bytes>, ForeignPage>| {
                answer.unwrap_or_else(|page| page.answer).status().as_u16()
            };
            let nobody = Cors::new(CorsOptions::default()).preflight(&head).map(status);
            let answer = listed(Credentials::Included).preflight(&head).map(status);
            assert_eq!(nobody, answer.map(|_| 403), "what is none is none for nobody either");
            answer
        };
        let (origin, method) = (("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST"));
        assert_eq!(ask("OPTIONS", &[origin, method]), Some(204));
        assert_eq!(ask("OPTIONS", &[("Origin", "https://evil.example"), method]), Some(403));
        assert_eq!(ask("OPTIONS", &[origin]), None);
        assert_eq!(ask("OPTIONS", &[method]), None);
        assert_eq!(ask("OPTIONS", &[origin, origin, method]), None);
        assert_eq!(ask("POST", &[origin, method]), None);
    }
}
