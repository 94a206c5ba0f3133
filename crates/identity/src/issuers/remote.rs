//! Key sets that are fetched: where they are, when they are fetched again, and when they no longer count.
//!
//! ```text
//! at start ─▶ fetch ─▶ good for `refresh`, then again in the background
//! unknown `kid` ─▶ fetch, unless one was begun less than 10 s ago (T-C5) ─▶ one flight for all who wait
//! failed ─▶ the old keys serve on, up to `stale`; the next fetch waits twice as long each time, up to 5 min
//! ```
//!
//! A key that a newer set has no more, or that no longer counts, takes along the tokens that are remembered by it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use countersign_auth::json::parse_strict;
use countersign_auth::port::{IssuerKeys, Unavailable};
use http::header::{ACCEPT, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::login::Places;
use crate::outbound::{Bounds, Endpoint, Outbound};
use crate::signing::public::parse_published_jwks;

/// Nobody makes the gate fetch more often than that (P-JWT8).
const WINDOW: Duration = Duration::from_secs(10);
/// The longest wait after failures.
const WINDOW_MAX: Duration = Duration::from_secs(300);
/// Key sets and discovery documents are some KB; certificates beside the keys make them longer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(5), bytes: ANSWER_BYTES_MAX };
const JSON_DEPTH_MAX: usize = 16;

/// Where the keys of an issuer are.
#[derive(Clone, Debug)]
pub enum Location {
    /// The key set itself.
    Keys(Endpoint),
    /// A document that says where (OpenID Connect Discovery 1.0 section 4); its `issuer` must be this one.
    Discovery {
        /// The document.
        endpoint: Endpoint,
        /// The issuer, byte for byte.
        issuer: String,
    },
}

/// How keys are kept.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// Where they are.
    pub location: Location,
    /// How long they are good for before they are fetched again.
    pub refresh: Duration,
    /// How long they serve while they cannot be fetched again.
    pub stale: Duration,
}

struct Fetched {
    keys: Arc<IssuerKeys>,
    /// Where the issuer logs people in, if it says so.
    places: Option<Arc<Places>>,
    at: Instant,
}

struct Attempts {
    /// No fetch begins before that.
    not_before: Instant,
    failures: u32,
    last_error: Option<String>,
}

/// See the module's words.
pub(crate) struct RemoteKeys {
    options: RemoteOptions,
    outbound: Outbound,
    fetched: ArcSwapOption<Fetched>,
    attempts: Mutex<Attempts>,
}

impl RemoteKeys {
    pub(crate) fn new(options: RemoteOptions, outbound: Outbound) -> Self {
        let attempts = Attempts { not_before: Instant::now(), failures: 0, last_error: None };
        Self { options, outbound, fetched: ArcSwapOption::empty(), attempts: Mutex::new(attempts) }
    }

    /// The keys at hand, if they still count.
    pub(crate) fn at_hand(&self) -> Result<Arc<IssuerKeys>, Unavailable> {
        match &*self.fetched.load() {
            Some(fetched) if fetched.at.elapsed() < self.options.refresh + self.options.stale => {
                Ok(Arc::clone(&fetched.keys))
            }
            Some(_) => {
                Err(Unavailable("the issuer's keys are too old, and could not be fetched again".to_owned()))
            }
            None => Err(Unavailable("the issuer's keys could not be fetched yet".to_owned())),
        }
    }

    /// Fetches the keys unless that was begun within the window; `None` if there are no newer ones. Fails as long as the
    /// last fetch did.
    pub(crate) async fn renewed(&self) -> Result<Option<Arc<IssuerKeys>>, Unavailable> {
        let asked_at = Instant::now();
        let mut attempts = self.attempts.lock().await;
        // Whoever waited for the same flight has its outcome.
        if let Some(fetched) = &*self.fetched.load()
            && fetched.at >= asked_at
        {
            return Ok(Some(Arc::clone(&fetched.keys)));
        }
        let begun = Instant::now();
        if begun < attempts.not_before {
            // What could not be asked is no wrong token: the key that it names may be there by now.
            return attempts.last_error.clone().map_or(Ok(None), |error| Err(Unavailable(error)));
        }
        // Set before anything is awaited: a caller that gives up does not open the window.
        attempts.not_before = begun + WINDOW;
        match self.fetch().await {
            Ok((mut keys, places)) => {
                let older = self.fetched.load_full();
                if let Some(older) = &older {
                    keys.follow(&older.keys);
                }
                let (keys, places) = (Arc::new(keys), places.map(Arc::new));
                let fetched = Fetched { keys: Arc::clone(&keys), places, at: Instant::now() };
                self.fetched.store(Some(Arc::new(fetched)));
                // After the new set is in use: whoever still verifies by the older one remembers nothing that lasts.
                if let Some(older) = older {
                    older.keys.fall(Some(&keys));
                }
                attempts.failures = 0;
                attempts.last_error = None;
                Ok(Some(keys))
            }
            Err(error) => {
                let factor = 1_u32.checked_shl(attempts.failures).unwrap_or(u32::MAX);
                attempts.failures = attempts.failures.saturating_add(1);
                attempts.not_before = begun + WINDOW.saturating_mul(factor).min(WINDOW_MAX);
                tracing::warn!(cause = %error.0, "could not fetch an issuer's keys");
                attempts.last_error = Some(error.0.clone());
                // What no longer counts ends what was remembered by it.
                if self.at_hand().is_err() {
                    self.fall();
                }
                Err(error)
            }
        }
    }

    /// Ends what was verified by these keys.
    pub(crate) fn fall(&self) {
        if let Some(fetched) = &*self.fetched.load() {
            fetched.keys.fall(None);
        }
    }

    /// How long until the keys should be fetched again.
    pub(crate) fn rest(&self) -> Duration {
        match &*self.fetched.load() {
            Some(fetched) => self.options.refresh.saturating_sub(fetched.at.elapsed()).max(WINDOW),
            None => WINDOW,
        }
    }

    /// Where the issuer logs people in, as its discovery document says; asked now if it was not heard of yet.
    pub(crate) async fn places(&self) -> Result<Arc<Places>, Unavailable> {
        if self.at_hand().is_err() {
            self.renewed().await?;
        }
        let fetched = self.fetched.load();
        let places = fetched.as_ref().and_then(|fetched| fetched.places.clone());
        places.ok_or_else(|| Unavailable("the issuer does not say where it logs people in".to_owned()))
    }

    async fn fetch(&self) -> Result<(IssuerKeys, Option<Places>), Unavailable> {
        let (text, places) = match &self.options.location {
            Location::Keys(endpoint) => (self.document(endpoint).await?, None),
            Location::Discovery { endpoint, issuer } => {
                let text = self.document(endpoint).await?;
                let (keys, places) = discovered(endpoint, issuer, &text)?;
                (self.document(&keys).await?, places)
            }
        };
        let keys = parse_published_jwks(&text).map_err(|error| Unavailable(error.to_string()))?;
        Ok((IssuerKeys { keys, ours: false }, places))
    }

    async fn document(&self, endpoint: &Endpoint) -> Result<String, Unavailable> {
        let mut request = Request::new(Full::<Bytes>::default());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let heard = self.outbound.send(endpoint, request, BOUNDS).await?;
        if heard.status != StatusCode::OK {
            return Err(Unavailable(format!("{endpoint} answers with {}", heard.status)));
        }
        let text = String::from_utf8(heard.body.to_vec());
        text.map_err(|_| Unavailable(format!("{endpoint} answers with what is no text")))
    }
}

/// Where a discovery document says that the keys are, and where people log in.
fn discovered(
    endpoint: &Endpoint,
    issuer: &str,
    text: &str,
) -> Result<(Endpoint, Option<Places>), Unavailable> {
    let wrong = |why: &str| Unavailable(format!("{endpoint} {why}"));
    let document = parse_strict(text, JSON_DEPTH_MAX).map_err(|error| wrong(&error.to_string()))?;
    let member = |name: &str| document.get(name).and_then(serde_json::Value::as_str);
    if member("issuer") != Some(issuer) {
        return Err(wrong("is the document of another issuer"));
    }
    let url = member("jwks_uri").ok_or_else(|| wrong("does not say where the keys are"))?;
    let keys =
        endpoint.names(url).map_err(|error| wrong(&format!("says that the keys are at what {error}")))?;
    // Whose keys can be had verifies tokens, whatever else is wrong with his document.
    let places = Places::read(endpoint, &document).unwrap_or_else(|error| {
        tracing::warn!(cause = %error, "could not take where an issuer logs people in");
        None
    });
    Ok((keys, places))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    fn set(keys: &[(&str, &Value)]) -> IssuerKeys {
        let named = |(id, key): &(&str, &Value)| {
            let mut key = (*key).clone();
            key["kid"] = Value::from(*id);
            key
        };
        let document = json!({ "keys": keys.iter().map(named).collect::<Vec<_>>() });
        IssuerKeys { keys: parse_published_jwks(&document.to_string()).unwrap(), ours: false }
    }

    fn ed25519() -> Value {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
    }

    #[test]
    fn a_key_that_stays_keeps_what_it_verified_and_no_other() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let parts = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let (n, e) = (URL_SAFE_NO_PAD.encode(parts.n), URL_SAFE_NO_PAD.encode(parts.e));
        let rsa = json!({ "kty": "RSA", "n": n, "e": e, "alg": "RS256" });
        let mut other_algorithm = rsa.clone();
        other_algorithm["alg"] = "RS512".into();
        let (a, b, c) = (ed25519(), ed25519(), ed25519());
        let older = set(&[("rsa", &rsa), ("a", &a), ("b", &b), ("changed", &rsa), ("renamed", &c)]);
        let mut newer = set(&[("b", &a), ("rsa", &rsa), ("a", &a), ("changed", &other_algorithm), ("c", &c)]);
        newer.follow(&older);
        older.fall(Some(&newer));
        let up = |keys: &IssuerKeys| keys.keys.iter().map(|key| key.key.live().is_up()).collect::<Vec<_>>();
        assert_eq!(up(&older), [true, true, false, false, false]);
        assert_eq!(up(&newer), [true; 5]);
        // What fell does not rise again when its key comes back.
        let mut back = set(&[("b", &b), ("a", &a)]);
        back.follow(&older);
        newer.fall(None);
        assert_eq!((up(&newer), up(&back)), (vec![false; 5], vec![true, false]));
        let mut after = set(&[("a", &a)]);
        after.follow(&newer);
        assert_eq!(up(&after), [true]);
    }

    #[test]
    fn a_discovery_document_is_its_issuers_and_points_to_a_private_place() {
        let endpoint = Endpoint::parse("https://a.example/.well-known/openid-configuration").unwrap();
        let read = |text: &str| {
            let read = discovered(&endpoint, "https://a.example", text);
            read.map(|(keys, _places)| keys).map_err(|error| error.0)
        };
        let good = r#"{"issuer":"https://a.example","jwks_uri":"https://keys.example/jwks"}"#;
        assert_eq!(read(good).unwrap().to_string(), "https://keys.example/jwks");
        let check = |text: &str, expected: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check(&good.replace("https://a.example\"", "https://b.example\""), "another issuer");
        check(&good.replace("https://a.example\"", "https://a.example/\""), "another issuer");
        check(r#"{"issuer":"https://a.example"}"#, "where the keys are");
        check(&good.replace("https://keys", "http://keys"), "must be https");
        check(&good.replace("https://keys.example", "http://127.0.0.1:9"), "must be https");
        check(
            r#"{"issuer":"https://b.example","issuer":"https://a.example","jwks_uri":"https://k.example"}"#,
            "twice",
        );
        check("[]", "another issuer");
    }
}
