#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use super::{JwtError, JwtRule, KEYS_TRIED_MAX, TOKEN_BYTES_MAX, UnverifiedJwt, VerifyingKey, verify};
use crate::port::{IssuerKey, IssuerKeys};
use crate::time::Time;

const NOW: Time = Time::from_unix_secs(1_800_000_000);
const RULE: JwtRule<'_> = JwtRule { issuer: "https://idp.example/", audience: "client", leeway_secs: 30 };

static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static EC: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
static ED: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

#[derive(Clone, Copy)]
enum With {
    Rsa,
    Ec,
    Ed,
}

fn key(with: With, id: Option<&str>) -> IssuerKey {
    let (algorithm, key) = match with {
        With::Rsa => (Algorithm::RS256, DecodingKey::from_rsa_der(RSA.public_key().as_ref())),
        With::Ec => (Algorithm::ES256, DecodingKey::from_ec_der(EC.public_key().as_ref())),
        With::Ed => (Algorithm::EdDSA, DecodingKey::from_ed_der(ED.public_key().as_ref())),
    };
    IssuerKey { id: id.map(str::to_owned), key: VerifyingKey::new(algorithm, &key).unwrap() }
}

fn keys() -> IssuerKeys {
    let keys = vec![key(With::Ec, Some("ec")), key(With::Rsa, Some("rsa")), key(With::Ed, Some("ed"))];
    IssuerKeys { keys, ours: false }
}

fn sign(with: With, message: &str) -> Vec<u8> {
    match with {
        With::Rsa => {
            let mut signature = vec![0; RSA.public_modulus_len()];
            RSA.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
            signature
        }
        With::Ec => EC.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
        With::Ed => ED.sign(message.as_bytes()).as_ref().to_vec(),
    }
}

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn mint(with: With, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(sign(with, &signed));
    format!("{signed}.{signature}")
}

fn claims() -> Value {
    json!({ "iss": RULE.issuer, "aud": "client", "sub": "1", "exp": NOW.unix_secs() + 600 })
}

/// The good claims with one replaced, or taken out where it is null.
fn claims_but(name: &str, value: Value) -> String {
    let mut claims = claims();
    let object = claims.as_object_mut().unwrap();
    if value.is_null() {
        object.remove(name)
    } else {
        object.insert(name.to_owned(), value)
    };
    claims.to_string()
}

fn outcome(token: &str) -> Result<String, JwtError> {
    verify(token, &keys(), &RULE, NOW).map(|claims| claims.subject().to_owned())
}

fn good() -> Result<String, JwtError> {
    Ok("1".to_owned())
}

#[test]
fn each_key_with_its_algorithm() {
    let payload = claims().to_string();
    let check = |with, header: &str, expected: Result<String, JwtError>| {
        assert_eq!(outcome(&mint(with, header, &payload)), expected, "{header}");
    };
    check(With::Rsa, r#"{"alg":"RS256"}"#, good());
    check(With::Rsa, r#"{"alg":"RS256","kid":"rsa","typ":"JWT"}"#, good());
    check(With::Ec, r#"{"alg":"ES256","kid":"ec","typ":"at+jwt"}"#, good());
    check(With::Ed, r#"{"alg":"EdDSA","typ":"application/AT+JWT"}"#, good());
    check(With::Rsa, r#"{"alg":"RS256","kid":"ec"}"#, Err(JwtError::Algorithm));
    check(With::Rsa, r#"{"alg":"ES256"}"#, Err(JwtError::Signature));
    check(With::Rsa, r#"{"alg":"ES256","kid":"rsa"}"#, Err(JwtError::Algorithm));
    check(With::Rsa, r#"{"alg":"RS512"}"#, Err(JwtError::Algorithm));
    check(With::Rsa, r#"{"alg":"rs256"}"#, Err(JwtError::Algorithm));
    check(With::Ed, r#"{"alg":"RS256"}"#, Err(JwtError::Signature));
}

#[test]
fn unsigned_and_confused_tokens() {
    let payload = encode(claims().to_string());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = encode(format!(r#"{{"alg":"{alg}"}}"#));
        assert_eq!(outcome(&format!("{header}.{payload}.")), Err(JwtError::Algorithm), "{alg}");
    }
    let header = encode("{}");
    assert_eq!(outcome(&format!("{header}.{payload}.")), Err(JwtError::Algorithm));
    let header = encode(r#"{"alg":"RS256"}"#);
    assert_eq!(outcome(&format!("{header}.{payload}.")), Err(JwtError::Signature));

    // The public key as the secret of an HMAC.
    let signed = format!("{}.{payload}", encode(r#"{"alg":"HS256"}"#));
    let secret = EncodingKey::from_secret(RSA.public_key().as_ref());
    let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert_eq!(outcome(&format!("{signed}.{mac}")), Err(JwtError::Algorithm));

    // A key that checks an HMAC cannot be made, nor one of another family than its algorithm's.
    let secret = DecodingKey::from_secret(RSA.public_key().as_ref());
    let rsa = DecodingKey::from_rsa_der(RSA.public_key().as_ref());
    for (algorithm, key) in [
        (Algorithm::HS256, &secret),
        (Algorithm::RS256, &secret),
        (Algorithm::HS256, &rsa),
        (Algorithm::ES256, &rsa),
        (Algorithm::EdDSA, &rsa),
    ] {
        assert!(VerifyingKey::new(algorithm, key).is_none(), "{algorithm:?}");
    }
    assert!(VerifyingKey::new(Algorithm::PS256, &rsa).is_some());

    // CVE-2022-21449: r and s of zero.
    let signed = format!("{}.{payload}", encode(r#"{"alg":"ES256"}"#));
    assert_eq!(outcome(&format!("{signed}.{}", encode([0; 64]))), Err(JwtError::Signature));
}

#[test]
fn headers() {
    let payload = claims().to_string();
    let check = |rest: &str, expected: Result<String, JwtError>| {
        let header = format!(r#"{{"alg":"RS256"{rest}}}"#);
        assert_eq!(outcome(&mint(With::Rsa, &header, &payload)), expected, "{header}");
    };
    check(r#","kid":"rsa","x":{"y":[1]}"#, good());
    check(r#","jku":"https://evil.example/","jwk":{"kty":"oct"},"x5u":"x","x5c":["x"]"#, good());
    check(r#","kid":"../../dev/null""#, Err(JwtError::UnknownKey));
    check(r#","kid":"' OR 1=1 --""#, Err(JwtError::UnknownKey));
    check(r#","kid":"RSA""#, Err(JwtError::UnknownKey));
    check(r#","kid":7"#, Err(JwtError::Header));
    check(r#","kid":null"#, Err(JwtError::Header));
    check(r#","crit":["exp"]"#, Err(JwtError::Critical));
    check(r#","crit":[],"b64":false"#, Err(JwtError::Critical));
    check(r#","typ":"countersign-assertion+jwt""#, Err(JwtError::Type));
    check(r#","typ":"logout+jwt""#, Err(JwtError::Type));
    check(r#","typ":1"#, Err(JwtError::Type));
    check(r#","alg":"RS256""#, Err(JwtError::Header));
    check(r#","x":1,"x":1"#, Err(JwtError::Header));
    for header in ["[]", "null", "\"RS256\"", "{", "", "{\"alg\":1}"] {
        let found = outcome(&mint(With::Rsa, header, &payload));
        assert_eq!(found, Err(JwtError::Header), "{header}");
    }
}

#[test]
fn claims_of_the_wrong_kind() {
    let check = |name: &str, value: Value, expected: Result<String, JwtError>| {
        let payload = claims_but(name, value);
        assert_eq!(outcome(&mint(With::Ed, r#"{"alg":"EdDSA"}"#, &payload)), expected, "{payload}");
    };
    let now = NOW.unix_secs();
    check("x", json!(1), good());
    for value in [
        json!(null),
        json!("1800000600"),
        json!(1_800_000_600.5),
        json!(1.800_000_6e9),
        json!(-1),
        json!(true),
        json!([now + 600]),
        json!(NOW.unix_ms() + 600_000),
        json!(u64::MAX),
    ] {
        check("exp", value, Err(JwtError::Expiry));
    }
    check("exp", json!(now - 29), good());
    check("exp", json!(now - 30), Err(JwtError::Expired));
    check("exp", json!(0), Err(JwtError::Expired));
    check("nbf", json!(now + 30), good());
    check("nbf", json!(now + 31), Err(JwtError::NotYet));
    check("nbf", json!("0"), Err(JwtError::NotYet));
    check("nbf", json!(0.5), Err(JwtError::NotYet));
    check("aud", json!(["other", "client"]), good());
    for value in [
        json!(null),
        json!("Client"),
        json!("client "),
        json!([]),
        json!(["other"]),
        json!(["client", 1]),
        json!({ "client": 1 }),
        json!(1),
    ] {
        check("aud", value, Err(JwtError::Audience));
    }
    for value in [json!(null), json!("https://idp.example"), json!([RULE.issuer]), json!(1), json!("")] {
        check("iss", value, Err(JwtError::Issuer));
    }
    for value in [json!(null), json!(""), json!(1), json!(["1"])] {
        check("sub", value, Err(JwtError::Subject));
    }
}

#[test]
fn payloads_with_two_readings_or_none() {
    let check = |payload: &str| {
        let token = mint(With::Ed, r#"{"alg":"EdDSA"}"#, payload);
        assert_eq!(outcome(&token), Err(JwtError::Payload), "{payload:.60}");
    };
    let good = claims().to_string();
    let body = good.trim_end_matches('}');
    check(&format!(r#"{body},"sub":"2"}}"#));
    check(&format!(r#"{body},"\u0073ub":"2"}}"#));
    check(&format!(r#"{body},"x":{{"y":1,"y":2}}}}"#));
    check(&format!(r#"{body},"exp2":1e400}}"#));
    check(&format!(r#"{body},"x":{}1{}}}"#, "[".repeat(40), "]".repeat(40)));
    check(&"[".repeat(10_000));
    check("[]");
    check("null");
    check("");
    let not_utf8 = format!("{}.{}.AA", encode(r#"{"alg":"EdDSA"}"#), encode(b"{\"a\":\"\xff\"}"));
    assert_eq!(outcome(&not_utf8), Err(JwtError::Payload));
}

#[test]
fn forms_that_are_not_compact() {
    let token = mint(With::Ed, r#"{"alg":"EdDSA"}"#, &claims().to_string());
    assert_eq!(outcome(&token), good());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    for bad in [
        String::new(),
        "a.b".to_owned(),
        signed.to_owned(),
        format!("{token}.x"),
        format!(".{token}"),
        format!("{signed}=.{signature}"),
        format!(" {token}"),
    ] {
        assert_eq!(outcome(&bad), Err(JwtError::NotCompact), "{bad}");
    }
    for bad in [
        format!("{signed}.{signature}="),
        format!("{signed}.{signature} "),
        format!("{signed}.{}", signature.replace(signature, "AAAA")),
    ] {
        assert_eq!(outcome(&bad), Err(JwtError::Signature), "{bad}");
    }
    assert_eq!(outcome(&"a".repeat(1 << 20)), Err(JwtError::TooLong));
    assert_eq!(outcome(&format!("{}.a.a", "a".repeat(TOKEN_BYTES_MAX))), Err(JwtError::TooLong));
}

#[test]
fn the_signature_is_checked_before_any_claim() {
    let expired = claims_but("exp", json!(NOW.unix_secs() - 600));
    let token = mint(With::Rsa, r#"{"alg":"RS256"}"#, &expired);
    assert_eq!(outcome(&token), Err(JwtError::Expired));
    let (signed, _) = token.rsplit_once('.').unwrap();
    let other = encode(sign(With::Rsa, "other"));
    assert_eq!(outcome(&format!("{signed}.{other}")), Err(JwtError::Signature));
    let elsewhere = claims_but("exp", json!(1)).replace("client", "other");
    assert_eq!(outcome(&mint(With::Rsa, r#"{"alg":"RS256"}"#, &elsewhere)), Err(JwtError::Audience));
}

#[test]
fn keys_without_ids_and_the_bound_on_trying() {
    let token = mint(With::Rsa, r#"{"alg":"RS256","kid":"new"}"#, &claims().to_string());
    let outcome = |keys| verify(&token, &IssuerKeys { keys, ours: false }, &RULE, NOW).map(|_| ()).err();
    assert_eq!(outcome(vec![]), Some(JwtError::UnknownKey));
    assert_eq!(outcome(vec![key(With::Rsa, Some("old"))]), Some(JwtError::UnknownKey));
    assert_eq!(outcome(vec![key(With::Rsa, Some("old")), key(With::Rsa, None)]), None);

    let other =
        DecodingKey::from_rsa_der(RsaKeyPair::generate(KeySize::Rsa2048).unwrap().public_key().as_ref());
    let mut many: Vec<_> = (0..KEYS_TRIED_MAX)
        .map(|_| IssuerKey { id: None, key: VerifyingKey::new(Algorithm::RS256, &other).unwrap() })
        .collect();
    many.push(key(With::Rsa, None));
    assert_eq!(outcome(many), Some(JwtError::Signature));
}

#[test]
fn issue_times_and_texts() {
    let check = |iat: Value, expected: Option<i64>| {
        let token = mint(With::Rsa, r#"{"alg":"RS256"}"#, &claims_but("iat", iat.clone()));
        let found = verify(&token, &keys(), &RULE, NOW).unwrap();
        assert_eq!(found.issued_at().map(Time::unix_ms), expected, "{iat}");
    };
    check(json!(1_523_354_544_868_i64), Some(1_523_354_544_868));
    check(json!(1_523_354_544), Some(1_523_354_544_000));
    check(json!(1_523_354_544.5), Some(1_523_354_544_500));
    check(json!(NOW.unix_secs() + 1000), Some(NOW.unix_ms()));
    check(json!(1e300), Some(NOW.unix_ms()));
    check(json!("1523354544"), None);
    check(json!(-5), None);
    check(json!(null), None);

    let payload = claims_but("customer", json!(4711)).replace('}', r#","name":"a","half":0.5,"list":[]}"#);
    let found = verify(&mint(With::Ed, r#"{"alg":"EdDSA"}"#, &payload), &keys(), &RULE, NOW).unwrap();
    assert_eq!(found.text("customer").as_deref(), Some("4711"));
    assert_eq!(found.text("name").as_deref(), Some("a"));
    assert_eq!((found.text("half"), found.text("list"), found.text("none")), (None, None, None));
    assert_eq!(found.expires_at().unix_secs(), NOW.unix_secs() + 600);
    assert!(!format!("{found:?}").contains("4711"));
}

#[test]
fn leeway_is_bounded() {
    let rule = JwtRule { leeway_secs: 86_400, ..RULE };
    let token = mint(With::Ed, r#"{"alg":"EdDSA"}"#, &claims_but("exp", json!(NOW.unix_secs() - 60)));
    assert_eq!(verify(&token, &keys(), &rule, NOW).unwrap_err(), JwtError::Expired);
}

#[test]
fn an_unverified_token_tells_its_issuer() {
    let token = mint(With::Ed, r#"{"alg":"EdDSA"}"#, &claims().to_string());
    assert_eq!(UnverifiedJwt::parse(&token).unwrap().issuer(), Some(RULE.issuer));
    let token = mint(With::Ed, r#"{"alg":"EdDSA"}"#, &claims_but("iss", json!([RULE.issuer])));
    assert_eq!(UnverifiedJwt::parse(&token).unwrap().issuer(), None);
}

proptest! {
    #[test]
    fn any_text_is_refused(text in any::<String>(), header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        assert!(outcome(&text).is_err());
        let token = format!("{}.{}.{}", encode(header), encode(payload), encode("x"));
        assert!(outcome(&token).is_err());
    }

    #[test]
    fn one_changed_character_is_refused(at in 0_usize..400, to in "[A-Za-z0-9_.-]") {
        static TOKEN: LazyLock<String> = LazyLock::new(|| mint(With::Ed, r#"{"alg":"EdDSA"}"#, &claims().to_string()));
        let at = at % TOKEN.len();
        let mut changed = TOKEN.clone();
        changed.replace_range(at..=at, &to);
        assert!(changed == *TOKEN || outcome(&changed).is_err());
    }
}
