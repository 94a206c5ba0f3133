//! Tokens that only their issuer can read: it is asked about each (RFC 7662).
//!
//! What it calls good is remembered by the proof memory, as other proofs are, until the token's own end or for the
//! configured time, whichever comes first. Asking is budgeted: wrong tokens count against the address that they come
//! from, and only so many questions are asked at once. Channels that a good token opened have places of their own.

use std::sync::Arc;
use std::time::Duration;

use countersign_auth::account::Issuer;
use countersign_auth::json::parse_strict;
use countersign_auth::port::Unavailable;
use countersign_auth::port::foreign::{IssuerTerms, OpaqueAnswer};
use countersign_auth::secret::Secret;
use countersign_auth::source::Source;
use countersign_auth::time::Time;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::login;
use crate::outbound::{Bounds, Endpoint, Heard, Outbound};
use crate::turns::Turns;

/// Questions at once, a quarter of them of one address; one more waits a while, and is told to come back later then.
const AT_ONCE: usize = 32;
/// Questions at once about tokens that streams and WebSockets live on; one more waits. As many again, so that neither takes
/// the others' places: ten thousand tokens a minute of an issuer that takes 150 ms.
const CHANNELS_AT_ONCE: usize = 32;
/// How long such a question waits for its turn: as long as a channel goes on without an answer.
const TURN: Duration = Duration::from_secs(60);
/// Longer tokens are not asked about: no issuer makes them, and the bytes would travel on.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Claims are some hundred bytes; roles by the thousand are no issuer's.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const JSON_DEPTH_MAX: usize = 32;
/// The last second of the year 9999.
const SECS_MAX: i64 = 253_402_300_799;

/// How an issuer is asked.
pub struct IntrospectionOptions {
    /// Where.
    pub endpoint: Endpoint,
    /// The name that the gate has there.
    pub client: String,
    /// Its secret.
    pub secret: Secret,
    /// `iss` of the answer, if it must be a certain one.
    pub issuer: Option<String>,
    /// What the token must be for, and how its claims are read.
    pub terms: IssuerTerms,
    /// How long a good token is good for without another question.
    pub remembered: Duration,
    /// From connecting to the last byte.
    pub patience: Duration,
}

/// Whoever is asked about tokens.
pub(crate) struct Introspection {
    endpoint: Endpoint,
    authorization: HeaderValue,
    expected: Expected,
    patience: Duration,
    outbound: Outbound,
    at_once: Turns,
    channels_at_once: Semaphore,
}

impl Introspection {
    /// `None` if what the gate proves itself with cannot stand in a header.
    pub(crate) fn new(options: IntrospectionOptions, outbound: Outbound) -> Option<Self> {
        let IntrospectionOptions { endpoint, client, secret, issuer, terms, remembered, patience } = options;
        let authorization = login::basic(&client, &secret)?;
        Some(Self {
            expected: Expected {
                place: endpoint.to_string().into(),
                issuer,
                terms: Arc::new(terms),
                remembered,
            },
            endpoint,
            authorization,
            patience,
            outbound,
            at_once: Turns::new(AT_ONCE),
            channels_at_once: Semaphore::new(CHANNELS_AT_ONCE),
        })
    }

    /// Asks about a token that came with a request.
    pub(crate) async fn ask(
        &self,
        token: &Secret,
        source: Source,
        now: Time,
    ) -> Result<OpaqueAnswer, Unavailable> {
        let came = Instant::now();
        let Some(_turn) = self.at_once.enter(source).await else { return Ok(OpaqueAnswer::TooMany) };
        self.question(token, now.plus(came.elapsed())).await
    }

    /// Asks about a token that something lives on, when it is its turn: whoever came first is first.
    ///
    /// Each token has one question under way at the most; that of a channel which has gone keeps its place until its turn.
    pub(crate) async fn ask_in_turn(&self, token: &Secret, now: Time) -> Result<OpaqueAnswer, Unavailable> {
        let came = Instant::now();
        let turn = timeout(TURN, self.channels_at_once.acquire()).await;
        let Ok(Ok(_permit)) = turn else { return Ok(OpaqueAnswer::TooMany) };
        self.question(token, now.plus(came.elapsed())).await
    }

    async fn question(&self, token: &Secret, now: Time) -> Result<OpaqueAnswer, Unavailable> {
        if token.expose().len() > TOKEN_BYTES_MAX {
            return Ok(OpaqueAnswer::Refused("the token is too long"));
        }
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose())
            .append_pair("token_type_hint", "access_token")
            .finish();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, self.authorization.clone());
        let bounds = Bounds { time: self.patience, bytes: ANSWER_BYTES_MAX };
        let heard = self.outbound.send(&self.endpoint, request, bounds).await?;
        self.expected.read(&heard, now).map_err(|why| Unavailable(format!("{} {why}", self.endpoint)))
    }
}

/// What an answer about a token has to say.
pub struct Expected {
    /// Where it is asked, in writing: whoever does not say who issues its tokens is told apart by that.
    pub place: Arc<str>,
    /// `iss`, if it must be a certain one.
    pub issuer: Option<String>,
    /// What the token must be for, and how its claims are read.
    pub terms: Arc<IssuerTerms>,
    /// How long a good token is good for without another question.
    pub remembered: Duration,
}

impl Expected {
    /// Reads an answer.
    ///
    /// # Errors
    /// Why it says nothing about the token.
    pub fn read(&self, heard: &Heard, now: Time) -> Result<OpaqueAnswer, String> {
        if heard.status != StatusCode::OK {
            return Err(format!("answers with {}", heard.status));
        }
        let text = std::str::from_utf8(&heard.body).map_err(|_| "answers with what is no text".to_owned())?;
        match parse_strict(text, JSON_DEPTH_MAX) {
            Ok(Value::Object(claims)) => self.claims(claims, now).map_err(str::to_owned),
            Ok(_) => Err("answers with what is no object".to_owned()),
            Err(error) => Err(format!("answers with what cannot be read: {error}")),
        }
    }

    fn claims(&self, claims: Map<String, Value>, now: Time) -> Result<OpaqueAnswer, &'static str> {
        match claims.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Ok(OpaqueAnswer::Refused("its issuer calls the token dead")),
            Some(_) | None => return Err("does not say whether the token is active"),
        }
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Ok(OpaqueAnswer::Refused("the token is of another issuer"));
        }
        if let Some(audience) = &self.terms.audience {
            let is_ours = match claims.get("aud") {
                Some(Value::String(one)) => one == audience,
                Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
            };
            if !is_ours {
                return Ok(OpaqueAnswer::Refused("the token is for another audience"));
            }
        }
        let (mut until, mut ends_at) = (now.plus(self.remembered), None);
        // Some issuers write members that they do not use as null.
        let time = |name: &str, wrong| match claims.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(said) => {
                let secs = said.as_i64().filter(|secs| (0..=SECS_MAX).contains(secs));
                secs.map(|secs| Some(Time::from_unix_secs(secs))).ok_or(wrong)
            }
        };
        if let Some(end) = time("exp", "has an expiry that is none")? {
            if end <= now {
                return Ok(OpaqueAnswer::Refused("the token has expired"));
            }
            (until, ends_at) = (until.min(end), Some(end));
        }
        if time("nbf", "has a beginning that is none")?.is_some_and(|from| from > now) {
            return Ok(OpaqueAnswer::Refused("the token is not valid yet"));
        }
        let name: Arc<str> = match claims.get("iss") {
            Some(Value::String(name)) => name.as_str().into(),
            Some(_) => return Err("names an issuer that is none"),
            None => Arc::clone(&self.place),
        };
        let issuer = Issuer { name, people: self.terms.people };
        let (claims, terms) = (Arc::new(claims), Arc::clone(&self.terms));
        Ok(OpaqueAnswer::Active { claims, issuer, terms, until, ends_at })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]
    use super::*;

    const NOW: Time = Time::from_unix_secs(1_800_000_000);

    fn expected() -> Expected {
        Expected {
            place: "https://a.example/ask".into(),
            issuer: Some("https://a.example".to_owned()),
            terms: Arc::new(IssuerTerms { audience: Some("api".to_owned()), ..IssuerTerms::default() }),
            remembered: Duration::from_secs(60),
        }
    }

    #[test]
    fn only_what_is_called_active_for_us_is_good_and_no_longer_than_it_lives() {
        let read = |change: &dyn Fn(&mut Map<String, Value>)| {
            let claims = serde_json::json!({
                "active": true, "iss": "https://a.example", "aud": ["other", "api"], "exp": 1_800_000_010
            });
            let Value::Object(mut claims) = claims else { panic!("an object") };
            change(&mut claims);
            match expected().claims(claims, NOW) {
                Ok(OpaqueAnswer::Active { until, ends_at, .. }) => {
                    let ends_at = ends_at.map(|end| end.unix_secs() - NOW.unix_secs());
                    format!("until {} of {ends_at:?}", until.unix_secs() - NOW.unix_secs())
                }
                Ok(OpaqueAnswer::Refused(why)) => why.to_owned(),
                Ok(OpaqueAnswer::TooMany) => "too many".to_owned(),
                Err(why) => format!("503: {why}"),
            }
        };
        let put = |name: &'static str, value: Value| {
            move |claims: &mut Map<String, Value>| {
                claims.insert(name.to_owned(), value.clone());
            }
        };
        assert_eq!(read(&|_| ()), "until 10 of Some(10)");
        assert_eq!(read(&put("exp", 1_800_000_070.into())), "until 60 of Some(70)");
        assert_eq!(read(&|claims| drop(claims.remove("exp"))), "until 60 of None");
        assert_eq!(read(&put("aud", "api".into())), "until 10 of Some(10)");
        assert_eq!(read(&put("active", false.into())), "its issuer calls the token dead");
        assert_eq!(read(&put("active", "true".into())), "503: does not say whether the token is active");
        assert_eq!(read(&put("active", 1.into())), "503: does not say whether the token is active");
        assert_eq!(
            read(&|claims| drop(claims.remove("active"))),
            "503: does not say whether the token is active"
        );
        assert_eq!(read(&put("iss", "https://b.example".into())), "the token is of another issuer");
        assert_eq!(read(&put("aud", "ap".into())), "the token is for another audience");
        assert_eq!(read(&|claims| drop(claims.remove("aud"))), "the token is for another audience");
        assert_eq!(read(&put("exp", 1_800_000_000.into())), "the token has expired");
        assert_eq!(read(&put("exp", "1900000000".into())), "503: has an expiry that is none");
        assert_eq!(read(&put("exp", Value::Null)), "until 60 of None");
        assert_eq!(read(&put("nbf", 1_800_000_001.into())), "the token is not valid yet");
        assert_eq!(read(&put("nbf", 1_800_000_000.into())), "until 10 of Some(10)");
        assert_eq!(read(&put("nbf", Value::Null)), "until 10 of Some(10)");
        for from in [Value::from(1_799_999_999.5), "1799999999".into(), (-1).into()] {
            assert_eq!(read(&put("nbf", from)), "503: has a beginning that is none");
        }
    }
}
