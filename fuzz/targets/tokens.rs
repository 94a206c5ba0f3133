//! Tokens, tickets, JWTs and the keys that they are verified with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::form::{Form, FormNames};
use countersign_auth::port::IssuerKeys;
use countersign_auth::scheme::jwt::{JwtRule, UnverifiedJwt, verify};
use countersign_auth::token::{TokenDigest, TokenRef};
use countersign_identity::signing::public::{parse_jwks, parse_pem};

use super::anybody::{NOW, own_key};

/// A form in the first line, and what is shown as a token of it in the second.
pub fn tokens(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (form, shown) = text.split_once('\n').unwrap_or((text, ""));
    if let Some(name) = TokenRef::parse(shown) {
        let _debug = format!("{name:?}");
    }
    let _digest = TokenDigest::of("api", "word", shown);
    let Ok(form) = Form::parse(form) else { return };
    assert!(form.random_bits() >= 128);
    let random = vec![0x5a; form.bytes_wanted()];
    let names = FormNames { account: "alice", tenant: "north", label: "kiosk" };
    if let Some(value) = form.fill(&random, names) {
        assert!(value.starts_with(form.beginning()));
        assert!(form.could_be(&value), "a form does not know its own value");
        assert!(http::HeaderValue::from_str(&value).is_ok());
    }
    let _verdict = form.could_be(shown);
}

/// A compact JWS; nobody who lacks the key makes one that is good.
pub fn jwt(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let rule = JwtRule { issuer: "https://issuer.example/", audience: "shop", leeway_secs: 30 };
    let keys = IssuerKeys { keys: vec![own_key()], ours: false };
    assert!(verify(text, &keys, &rule, NOW).is_err());
    // The same as the header and payload of a token, so that what is behind base64 is reached without luck.
    let (header, payload) = text.split_once('\n').unwrap_or((text, "{}"));
    let encoded = format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    if let Ok(token) = UnverifiedJwt::parse(&encoded) {
        let _issuer = token.issuer().map(str::len);
        assert!(verify(&encoded, &keys, &rule, NOW).is_err());
    }
}

/// A key set or a PEM key of an issuer.
pub fn key_sets(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(keys) = parse_jwks(text) {
        assert!(!keys.is_empty());
        let set: serde_json::Value = match serde_json::from_str(text) {
            Ok(set) => set,
            Err(error) => {
                // Members that no key has are passed over, whatever they come to.
                let told = error.to_string();
                let passed_over =
                    ["surrogate", "end of hex escape", "number out of range", "recursion limit"];
                assert!(passed_over.iter().any(|why| told.contains(why)), "it was read: {told}");
                return;
            }
        };
        let written = set.get("keys").and_then(serde_json::Value::as_array).expect("there are keys");
        let said =
            |jwk: &serde_json::Value, name: &str| jwk.get(name).filter(|value| !value.is_null()).cloned();
        for jwk in written {
            assert!(said(jwk, "kty").is_some_and(|kty| kty != "oct"), "a symmetric key: {jwk}");
            assert!(said(jwk, "d").is_none(), "a private key: {jwk}");
        }
        // Each key that was taken was written for signatures, by that name, in that order.
        let mut signing = written.iter().filter(|jwk| {
            said(jwk, "use").is_none_or(|usage| usage == "sig")
                && said(jwk, "key_ops")
                    .is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")))
        });
        for key in &keys {
            let id = key.id.as_deref();
            let written =
                signing.any(|jwk| said(jwk, "kid").as_ref().and_then(serde_json::Value::as_str) == id);
            assert!(written, "nobody wrote a key {id:?} for signatures");
        }
    }
    if parse_pem(text).is_ok() {
        assert!(text.contains("PUBLIC KEY-----") && text.contains("-----END "));
    }
}
