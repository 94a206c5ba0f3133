//! What issuers answer: about a token, and to a code.

use std::sync::Arc;
use std::time::Duration;

use countersign_auth::port::foreign::{CodeAnswer, IssuerTerms, OpaqueAnswer};
use countersign_identity::issuers::introspection::Expected;
use countersign_identity::issuers::login;
use countersign_identity::outbound::Heard;
use http::StatusCode;
use hyper::body::Bytes;
use serde_json::Value;

use super::anybody::NOW;

const ISSUER: &str = "https://a.example";
const AUDIENCE: &str = "api";
const REMEMBERED_SECS: i64 = 60;

/// An answer: its first byte chooses the status, the rest is the body. Only what another reader of JSON finds in it counts.
pub fn answers(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let status = [200, 400, 401, 500][usize::from(*choice) % 4];
    let body_of = || Bytes::copy_from_slice(body);
    let status = StatusCode::from_u16(status).expect("a status");
    let heard = Heard { status, body: body_of() };
    let read: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
    let said = |name: &str| read.as_ref().and_then(|read| read.get(name));
    about_a_token(&heard, &said);
    to_a_code(&heard, &said);
}

fn about_a_token<'v>(heard: &Heard, said: &impl Fn(&str) -> Option<&'v Value>) {
    let terms = Arc::new(IssuerTerms { audience: Some(AUDIENCE.to_owned()), ..IssuerTerms::default() });
    let remembered = Duration::from_secs(REMEMBERED_SECS.unsigned_abs());
    let place = "https://a.example/ask".into();
    let expected = Expected { place, issuer: Some(ISSUER.to_owned()), terms, remembered };
    let answer = expected.read(heard, NOW);
    let is_told = heard.status == StatusCode::OK && said("active").is_some_and(Value::is_boolean);
    assert!(is_told || answer.is_err(), "nobody said whether the token is active");
    if let Ok(OpaqueAnswer::Active { until, ends_at, claims, .. }) = answer {
        assert_eq!(said("active"), Some(&Value::Bool(true)));
        assert_eq!(said("iss").and_then(Value::as_str), Some(ISSUER));
        let is_ours = match said("aud") {
            Some(Value::Array(all)) => all.iter().any(|one| one == AUDIENCE),
            one => one.is_some_and(|one| one == AUDIENCE),
        };
        assert!(is_ours, "it is for somebody else");
        let now = NOW.unix_secs();
        let end = said("exp").map(|end| end.as_i64().expect("an end is a number"));
        assert!(end.is_none_or(|end| end > now), "it has expired");
        assert_eq!(ends_at.map(|end| end.unix_secs()), end);
        assert_eq!(until.unix_secs(), end.unwrap_or(i64::MAX).min(now + REMEMBERED_SECS));
        assert!(said("nbf").is_none_or(|from| from.as_i64().is_some_and(|from| from <= now)));
        assert!(claims.iter().all(|(name, value)| said(name) == Some(value)));
    }
}

fn to_a_code<'v>(heard: &Heard, said: &impl Fn(&str) -> Option<&'v Value>) {
    match login::read(heard) {
        Ok(CodeAnswer::Token(token)) => {
            assert_eq!(heard.status, StatusCode::OK);
            assert_eq!(said("id_token").and_then(Value::as_str), Some(token.expose()));
            assert!(said("error").is_none_or(|error| !error.is_string()), "an error is no log-in");
        }
        Ok(CodeAnswer::Refused(_)) => {
            assert_eq!(heard.status, StatusCode::BAD_REQUEST);
            assert_eq!(said("error").and_then(Value::as_str), Some("invalid_grant"));
        }
        Ok(CodeAnswer::TooMany) => panic!("an answer says nothing of limits"),
        Err(why) => assert!(why.len() < 200 && !why.contains(char::is_control), "{why}"),
    }
}
