//! Issuers that log people in in browsers: where browsers are sent, and what a code is exchanged for.
//!
//! ```text
//! POST /token                                              200 {"id_token":"eyJ…","access_token":"…",…}
//! Authorization: Basic client:secret                       400 {"error":"invalid_grant"}
//! grant_type=authorization_code&code=…&redirect_uri=…&code_verifier=…
//! ```
//!
//! The ID token alone is taken from the answer: access and refresh tokens of others are not kept. Each state is good
//! for one exchange, so that a code that leaked is worth nothing after its first use, whatever the issuer thinks of it.

mod spent;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::json::parse_strict;
use countersign_auth::port::Unavailable;
use countersign_auth::port::foreign::{CodeAnswer, CodeClaim, LoginTerms};
use countersign_auth::secret::Secret;
use countersign_auth::source::Source;
use countersign_auth::time::Time;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use self::spent::Spent;
use super::remote::RemoteKeys;
use crate::directory::FirstSight;
use crate::outbound::{Bounds, Endpoint, Heard, Outbound};
use crate::turns::Turns;

/// Exchanges at once, a quarter of them of one address; one more waits a while, and is told to come back later then.
const AT_ONCE: usize = 32;
/// An ID token is some kilobytes, and access and refresh tokens beside it may each be as long; no issuer has more to say.
const ANSWER_BYTES_MAX: usize = 128 * 1024;
const JSON_DEPTH_MAX: usize = 32;

/// How people log in with an issuer.
pub struct LoginOptions {
    /// What it is told and what is demanded of it.
    pub terms: LoginTerms,
    /// The gate's secret there; without one it proves itself by PKCE alone.
    pub secret: Option<Secret>,
    /// Where it is.
    pub endpoints: LoginEndpoints,
    /// Whether accounts are made for people whom the gate has not seen.
    pub first_sight: FirstSight,
    /// From connecting to the last byte of an exchange.
    pub patience: Duration,
}

/// Where an issuer logs people in.
#[derive(Clone, Debug)]
pub enum LoginEndpoints {
    /// Where its discovery document says; its keys have to be found by that as well.
    Discovered,
    /// Here.
    Given {
        /// Where browsers are sent.
        authorization: Endpoint,
        /// Where codes are exchanged.
        token: Endpoint,
    },
}

/// What a discovery document says about log-ins (OpenID Connect Discovery 1.0 section 3, RFC 9207 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) authorization: Endpoint,
    pub(crate) token: Endpoint,
    /// How the gate proves who it is.
    pub(crate) client: ClientProof,
    /// Whether each answer to a browser names its issuer.
    pub(crate) says_issuer: bool,
}

/// How the gate says its name and secret (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientProof {
    /// In the header.
    Header,
    /// In the body, where the issuer takes no other.
    Body,
}

impl Places {
    /// Reads what the document of an issuer at `from` says; `None` if it logs nobody in.
    ///
    /// # Errors
    /// Why an endpoint is none that may be asked.
    pub(crate) fn read(from: &Endpoint, document: &Value) -> Result<Option<Self>, String> {
        let endpoint = |name: &str| match document.get(name).and_then(Value::as_str) {
            Some(url) => from.names(url).map(Some).map_err(|error| format!("`{name}` {error}")),
            None => Ok(None),
        };
        let (Some(authorization), Some(token)) =
            (endpoint("authorization_endpoint")?, endpoint("token_endpoint")?)
        else {
            return Ok(None);
        };
        let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        let takes = |method: &str| {
            methods.is_some_and(|methods| methods.iter().any(|one| one.as_str() == Some(method)))
        };
        let body_alone = !takes("client_secret_basic") && takes("client_secret_post");
        let says_issuer = document.get("authorization_response_iss_parameter_supported");
        Ok(Some(Self {
            authorization,
            token,
            client: if body_alone { ClientProof::Body } else { ClientProof::Header },
            says_issuer: says_issuer == Some(&Value::Bool(true)),
        }))
    }
}

/// See the module's words.
pub(crate) struct Login {
    pub(crate) terms: Arc<LoginTerms>,
    pub(crate) first_sight: FirstSight,
    secret: Option<Secret>,
    authorization: Option<HeaderValue>,
    patience: Duration,
    given: Option<Arc<Places>>,
    discovered: Option<Arc<RemoteKeys>>,
    outbound: Outbound,
    at_once: Turns,
    spent: Spent,
}

impl Login {
    /// `None` if what the gate proves itself with cannot stand in a header, or the endpoints are to be discovered and
    /// the issuer's keys are not.
    pub(crate) fn new(
        options: LoginOptions,
        discovered: Option<Arc<RemoteKeys>>,
        outbound: Outbound,
    ) -> Option<Self> {
        let LoginOptions { terms, secret, endpoints, first_sight, patience } = options;
        let authorization = match &secret {
            Some(secret) => Some(basic(&terms.client, secret)?),
            None => None,
        };
        let (given, discovered) = match endpoints {
            LoginEndpoints::Discovered => (None, Some(discovered?)),
            LoginEndpoints::Given { authorization, token } => {
                let client = ClientProof::Header;
                (Some(Arc::new(Places { authorization, token, client, says_issuer: false })), None)
            }
        };
        let (at_once, spent) = (Turns::new(AT_ONCE), Spent::default());
        let terms = Arc::new(terms);
        Some(Self {
            terms,
            first_sight,
            secret,
            authorization,
            patience,
            given,
            discovered,
            outbound,
            at_once,
            spent,
        })
    }

    /// Where the issuer is, as it says itself.
    pub(crate) async fn places(&self) -> Result<Arc<Places>, Unavailable> {
        match (&self.given, &self.discovered) {
            (Some(places), _) => Ok(Arc::clone(places)),
            (None, Some(remote)) => remote.places().await,
            (None, None) => Err(Unavailable("nothing says where the issuer logs people in".to_owned())),
        }
    }

    /// Exchanges a code for an ID token.
    pub(crate) async fn redeem(&self, claim: &CodeClaim, now: Time) -> Result<CodeAnswer, Unavailable> {
        let places = self.places().await?;
        if places.says_issuer && claim.said_issuer.is_none() {
            return Ok(CodeAnswer::Refused(
                "the answer does not say whose it is, as the issuer's answers do",
            ));
        }
        let source = Source::of(claim.address);
        let Some(_turn) = self.at_once.enter(source).await else { return Ok(CodeAnswer::TooMany) };
        match self.spent.spend(&claim.state, now) {
            spent::Outcome::Spent => {}
            spent::Outcome::Before => {
                return Ok(CodeAnswer::Refused("the log-in was brought to its end before"));
            }
            spent::Outcome::Full => return Ok(CodeAnswer::TooMany),
        }
        let bounds = Bounds { time: self.patience, bytes: ANSWER_BYTES_MAX };
        let answer = match self.outbound.send(&places.token, self.request(claim, places.client), bounds).await
        {
            Ok(heard) => read(&heard).map_err(|why| Unavailable(format!("{} {why}", places.token))),
            Err(error) => Err(error),
        };
        if answer.is_err() {
            // Nobody knows what the code is worth: whoever tries again must not hear that it was shown before.
            self.spent.undo(&claim.state);
        }
        answer
    }

    fn request(&self, claim: &CodeClaim, client: ClientProof) -> Request<Full<Bytes>> {
        let LoginTerms { client: name, redirect, .. } = &*self.terms;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", claim.code.expose())
            .append_pair("redirect_uri", redirect)
            .append_pair("code_verifier", claim.verifier.expose());
        let in_header = self.authorization.as_ref().filter(|_| client == ClientProof::Header);
        if in_header.is_none() {
            form.append_pair("client_id", name);
            if let Some(secret) = &self.secret {
                form.append_pair("client_secret", secret.expose());
            }
        }
        let mut request = Request::new(Full::new(Bytes::from(form.finish())));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(value) = in_header {
            headers.insert(AUTHORIZATION, value.clone());
        }
        request
    }
}

/// RFC 6749 section 2.3.1: both are form-encoded before they are joined.
pub(super) fn basic(client: &str, secret: &Secret) -> Option<HeaderValue> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encoded(client), encoded(secret.expose())));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(&*pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads the answer to a code.
///
/// # Errors
/// Why it says nothing about the code.
pub fn read(heard: &Heard) -> Result<CodeAnswer, String> {
    let unclear = || format!("answers with {}, which says nothing about the code", heard.status);
    let text = std::str::from_utf8(&heard.body).map_err(|_| unclear())?;
    let members: Map<String, Value> = match parse_strict(text, JSON_DEPTH_MAX) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => return Err(unclear()),
    };
    let said = |name: &str| members.get(name).and_then(Value::as_str);
    match (heard.status, said("error")) {
        (StatusCode::OK, None) => match said("id_token") {
            Some(token) => Ok(CodeAnswer::Token(Secret::new(token))),
            None => Err("answers without an ID token".to_owned()),
        },
        (StatusCode::BAD_REQUEST, Some("invalid_grant")) => {
            Ok(CodeAnswer::Refused("the issuer does not take the code"))
        }
        (_, Some(error)) => {
            let word: String =
                error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(40).collect();
            Err(format!("answers with {} {word}", heard.status))
        }
        (_, None) => Err(unclear()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_invalid_grant_says_that_a_code_is_wrong() {
        let check = |status: u16, body: &str, expected: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let heard = Heard { status, body: Bytes::from(body.to_owned()) };
            let told = match read(&heard) {
                Ok(CodeAnswer::Token(token)) => token.expose().to_owned(),
                Ok(CodeAnswer::Refused(why)) => why.to_owned(),
                Ok(CodeAnswer::TooMany) => "too many".to_owned(),
                Err(why) => format!("503: {why}"),
            };
            assert!(told.starts_with(expected), "{status} {body}: {told}");
        };
        check(200, r#"{"id_token":"a.b.c","access_token":"x"}"#, "a.b.c");
        check(400, r#"{"error":"invalid_grant","error_description":"spent"}"#, "the issuer does not take");
        check(401, r#"{"error":"invalid_grant"}"#, "503: answers with 401 Unauthorized invalid_grant");
        check(401, r#"{"error":"invalid_client"}"#, "503: answers with 401 Unauthorized invalid_client");
        check(400, r#"{"error":"Bad\nworse"}"#, "503: answers with 400 Bad Request adworse");
        check(200, r#"{"access_token":"x"}"#, "503: answers without an ID token");
        check(200, r#"{"id_token":7}"#, "503: answers without an ID token");
        check(200, r#"{"error":"invalid_grant","id_token":"a.b.c"}"#, "503: ");
        check(200, r#"{"id_token":"a.b.c","id_token":"d.e.f"}"#, "503: answers with 200 OK, which");
        check(302, "", "503: answers with 302 Found, which");
        check(500, "<html>", "503: ");
        check(200, "[]", "503: ");
    }

    #[test]
    fn a_discovery_document_says_where_and_how() {
        let from = Endpoint::parse("https://id.example/.well-known/openid-configuration").unwrap();
        let document = |more: Value| {
            let mut document = serde_json::json!({
                "authorization_endpoint": "https://id.example/authorize", "token_endpoint": "https://id.example/token"
            });
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            document
        };
        let plain = Places::read(&from, &document(serde_json::json!({}))).unwrap().unwrap();
        assert_eq!((plain.client, plain.says_issuer), (ClientProof::Header, false));
        let methods = serde_json::json!({
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "authorization_response_iss_parameter_supported": true
        });
        let told = Places::read(&from, &document(methods)).unwrap().unwrap();
        assert_eq!((told.client, told.says_issuer), (ClientProof::Body, true));
        let clear = serde_json::json!({ "token_endpoint": "http://id.example/token" });
        assert!(Places::read(&from, &document(clear)).unwrap_err().contains("must be https"));
        let here = serde_json::json!({ "token_endpoint": "http://127.0.0.1:9/token" });
        assert!(Places::read(&from, &document(here)).unwrap_err().contains("must be https"));
        let none = serde_json::json!({ "token_endpoint": 7 });
        assert_eq!(Places::read(&from, &document(none)), Ok(None));
    }
}
