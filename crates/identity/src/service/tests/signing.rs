use std::time::Duration;

use countersign_auth::port::{Purpose, Signer as _};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::*;
use crate::issuers::TrustedIssuer;
use crate::signing::BEHIND_SWEEPS;
use crate::signing::public::{KeySetError, parse_jwks, parse_pem, parse_published_jwks};

/// What a service does that knows the published keys alone.
fn check(token: &str, published: &str) -> Result<Value, String> {
    let keys: JwkSet = serde_json::from_str(published).map_err(|error| error.to_string())?;
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    let jwk = keys.find(&header.kid.unwrap_or_default()).ok_or("no such key")?;
    let mut validation = Validation::new(jwk.common.key_algorithm.unwrap().to_string().parse().unwrap());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let token = jsonwebtoken::decode::<Value>(token, &key, &validation);
    token.map(|token| token.claims).map_err(|error| error.to_string())
}

#[tokio::test]
async fn every_algorithm_signs_what_its_published_key_checks() {
    for (algorithm, expected) in [
        (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
        (SigningAlgorithm::Es256, Algorithm::ES256),
        (SigningAlgorithm::Rs256, Algorithm::RS256),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder);
        options.signing.token = algorithm;
        let service = Service::open(options, Handle::current()).await.unwrap();
        let claims = json!({ "sub": "ann" });
        let token = service.sign(Purpose::Token, "at+jwt", claims.to_string().as_bytes()).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!((header.alg, header.typ.as_deref()), (expected, Some("at+jwt")));
        let published = service.jwks(Purpose::Token);
        assert_eq!(check(&token, &published).unwrap(), claims);
        assert!(check(&token, &service.jwks(Purpose::Assertion)).is_err());
        let tampered = token.replacen('.', ".A", 1);
        assert!(check(&tampered, &published).is_err());
        service.close().await.unwrap();
    }
}

#[tokio::test]
async fn keys_rotate_with_an_overlap() {
    let bench = Bench::new().await;
    let day = 86_400;
    let sign = |bench: &Bench| bench.service.sign(Purpose::Token, "JWT", b"{}").unwrap();
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let published = |bench: &Bench| bench.service.jwks(Purpose::Token);
    let count = |bench: &Bench| parse_jwks(&published(bench)).unwrap().len();
    let first = sign(&bench);
    assert_eq!(count(&bench), 1);
    bench.service.sweep(at(0)).await.unwrap();
    assert_eq!(count(&bench), 2, "the next key is published long before it signs");
    bench.service.sweep(at(89 * day)).await.unwrap();
    assert_eq!(kid(&sign(&bench)), kid(&first));
    bench.service.sweep(at(90 * day)).await.unwrap();
    let second = sign(&bench);
    assert_ne!(kid(&second), kid(&first));
    let bench = bench.reopen().await;
    assert_eq!(kid(&sign(&bench)), kid(&second));
    for token in [&first, &second] {
        assert!(check(token, &published(&bench)).is_ok());
    }
    bench.service.tokens_live_for(Duration::from_secs(3 * 86_400));
    bench.service.sweep(at(92 * day)).await.unwrap();
    assert!(check(&first, &published(&bench)).is_ok(), "what it signed may live longer than usual");
    bench.service.tokens_live_for(Duration::from_secs(3600));
    bench.service.sweep(at(92 * day)).await.unwrap();
    assert!(check(&first, &published(&bench)).is_ok(), "what was signed before lives as long as it was told");
    bench.service.sweep(at(93 * day)).await.unwrap();
    assert!(check(&first, &published(&bench)).is_err(), "what it signed has long expired");
    bench.service.rotate_signing_key(Purpose::Token, at(92 * day)).await.unwrap();
    assert_ne!(kid(&sign(&bench)), kid(&second));
    assert!(check(&second, &published(&bench)).is_ok());
}

/// Which key signs tokens, and how many are published.
fn signing_key(bench: &Bench) -> (String, usize) {
    let token = bench.service.sign(Purpose::Token, "JWT", b"{}").unwrap();
    let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
    (kid, parse_jwks(&bench.service.jwks(Purpose::Token)).unwrap().len())
}

#[tokio::test]
async fn a_clock_that_was_ahead_keeps_no_key_from_rotating() {
    let bench = Bench::new().await;
    let day = 86_400;
    bench.service.sweep(at(0)).await.unwrap();
    bench.service.sweep(at(3650 * day)).await.unwrap();
    let (ahead, count) = signing_key(&bench);
    assert_eq!(count, 3);
    for _ in 0..BEHIND_SWEEPS {
        bench.service.sweep(at(day)).await.unwrap();
        assert_eq!(signing_key(&bench), (ahead.clone(), 3));
    }
    let bench = bench.reopen().await;
    bench.service.sweep(at(90 * day)).await.unwrap();
    assert_eq!(signing_key(&bench), (ahead.clone(), 2), "the retired one is over");
    bench.service.sweep(at(91 * day)).await.unwrap();
    assert_ne!(signing_key(&bench).0, ahead);
}

/// As on a host that has no clock of its own and has not asked others for the time yet.
#[tokio::test]
async fn a_clock_that_is_behind_for_a_while_rotates_no_key_and_drops_none() {
    let bench = Bench::new().await;
    let day = 86_400;
    bench.service.sweep(at(0)).await.unwrap();
    bench.service.rotate_signing_key(Purpose::Token, at(day)).await.unwrap();
    let before = signing_key(&bench);
    assert_eq!(before.1, 3, "next, active, retired");
    let bench = bench.reopen().await;
    for _ in 0..2 {
        for _ in 1..BEHIND_SWEEPS {
            bench.service.sweep(at(-3650 * day)).await.unwrap();
        }
        bench.service.sweep(at(day + 60)).await.unwrap();
        assert_eq!(signing_key(&bench), before);
    }
    bench.service.sweep(at(3 * day)).await.unwrap();
    assert_eq!(signing_key(&bench), (before.0, 2), "the retired one is over");
}

#[tokio::test]
async fn another_algorithm_stays_when_keys_rotate() {
    let day = 86_400;
    let folder = tempfile::tempdir().unwrap();
    let open = async |algorithm| {
        let mut options = options(&folder);
        options.signing.token = algorithm;
        Service::open(options, Handle::current()).await.unwrap()
    };
    let signed_with = |service: &Service| {
        jsonwebtoken::decode_header(service.sign(Purpose::Token, "JWT", b"{}").unwrap()).unwrap().alg
    };
    let service = open(SigningAlgorithm::EdDsa).await;
    let old = service.sign(Purpose::Token, "JWT", b"{}").unwrap();
    service.sweep(at(0)).await.unwrap();
    service.close().await.unwrap();
    let service = open(SigningAlgorithm::Es256).await;
    assert_eq!(signed_with(&service), Algorithm::ES256);
    assert!(
        check(&old, &service.jwks(Purpose::Token)).is_ok(),
        "what it signed is good as long as it was told"
    );
    service.rotate_signing_key(Purpose::Token, at(1)).await.unwrap();
    assert_eq!(signed_with(&service), Algorithm::ES256);
    service.close().await.unwrap();
    let service = open(SigningAlgorithm::Rs256).await;
    for secs in [2, 3, 95 * day, 96 * day, 190 * day] {
        service.sweep(at(secs)).await.unwrap();
        assert_eq!(signed_with(&service), Algorithm::RS256, "{secs}");
    }
    service.close().await.unwrap();
}

#[tokio::test]
async fn issuers_are_known_by_api() {
    let bench = Bench::new().await;
    let ours = "https://gate.example";
    bench.service.trust_issuer("shop", ours, TrustedIssuer::Ours);
    let foreign = parse_jwks(&bench.service.jwks(Purpose::Assertion)).unwrap();
    bench.service.trust_issuer("shop", "https://idp.example", TrustedIssuer::Keys(foreign));
    let keys = |api, issuer| bench.service.issuer_keys(api, issuer).unwrap();
    let before = keys("shop", ours).unwrap();
    assert!(before.ours);
    assert!(!keys("shop", "https://idp.example").unwrap().ours);
    assert!(keys("mail", ours).is_none());
    assert!(keys("shop", "https://gate.example/").is_none());
    bench.service.rotate_signing_key(Purpose::Token, at(1)).await.unwrap();
    assert!(keys("shop", ours).unwrap().keys.len() > before.keys.len(), "rotated keys are there at once");
}

const P256_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----";
const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA2+Jj2UvNCvQiUPNYRgSi0cJSPiJI6Rs6D0UTeEpQVj8=
-----END PUBLIC KEY-----";

#[test]
fn pem_keys_are_pinned_to_one_algorithm() {
    let check = |text: &str, expected| {
        assert_eq!(parse_pem(text).map(|key| key.key.algorithm()), expected);
    };
    check(P256_PEM, Ok(Algorithm::ES256));
    check(ED25519_PEM, Ok(Algorithm::EdDSA));
    check(&ED25519_PEM.replace("MCow", "MCox"), Err(KeySetError::Pem));
    check(&ED25519_PEM.replace("PUBLIC", "PRIVATE"), Err(KeySetError::PrivatePem));
    check(&[P256_PEM, &ED25519_PEM.replace("PUBLIC", "EC PRIVATE")].concat(), Err(KeySetError::PrivatePem));
    check(&[P256_PEM, ED25519_PEM].concat(), Err(KeySetError::SeveralPem));
    check("", Err(KeySetError::Pem));
}

#[test]
fn keys_of_a_set_are_counted_and_its_bytes() {
    let read = |keys: usize, filling: usize| {
        let key =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "2-Jj2UvNCvQiUPNYRgSi0cJSPiJI6Rs6D0UTeEpQVj8" });
        let set = json!({ "keys": vec![key; keys] }).to_string();
        let filled = format!("{set}{}", " ".repeat(filling.saturating_sub(set.len())));
        parse_jwks(&filled).map(|keys| keys.len())
    };
    assert_eq!(read(64, 0).ok(), Some(64));
    assert!(matches!(read(65, 0), Err(KeySetError::TooLarge)));
    assert_eq!(read(1, 1 << 20).ok(), Some(1));
    assert!(matches!(read(1, (1 << 20) + 1), Err(KeySetError::TooLarge)));
}

#[test]
fn key_sets_are_read_strictly() {
    let n = |bytes: usize| "_".repeat(bytes * 4 / 3);
    let x = "2-Jj2UvNCvQiUPNYRgSi0cJSPiJI6Rs6D0UTeEpQVj8";
    let check = |keys: Value, expected: &str| {
        let answer = match parse_jwks(&json!({ "keys": keys }).to_string()) {
            Ok(keys) => {
                keys.iter().map(|key| format!("{:?}", key.key.algorithm())).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(answer, expected);
    };
    let rsa =
        |bytes: usize, alg: &str| json!({ "kty": "RSA", "kid": "r", "n": n(bytes), "e": "AQAB", "alg": alg });
    check(json!([rsa(258, "RS256"), rsa(258, "PS512")]), "RS256 PS512");
    check(json!([{ "kty": "RSA", "n": n(258), "e": "AQAB" }]), "RS256");
    check(json!([rsa(258, "HS256")]), "key r cannot be used with its `alg`");
    check(json!([rsa(129, "RS256")]), "key r is malformed, too small or too large");
    check(json!([rsa(1026, "RS256")]), "key r is malformed, too small or too large");
    check(
        json!([{ "kty": "RSA", "n": n(258), "e": "AQ" }]),
        "key without kid is malformed, too small or too large",
    );
    check(json!([{ "kty": "OKP", "crv": "Ed25519", "x": x }]), "EdDSA");
    check(json!([{ "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "Ed25519" }]), "EdDSA");
    check(
        json!([{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "e", "alg": "RS256" }]),
        "key e cannot be used with its `alg`",
    );
    check(
        json!([{ "kty": "oct", "k": "AAAA", "kid": "s" }]),
        "key s is symmetric: whoever checks with it could sign with it",
    );
    check(
        json!([{ "kty": "OKP", "crv": "Ed25519", "x": x, "d": x, "kid": "p" }]),
        "key p is a private key: keep it where it signs",
    );
    check(
        json!([{ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "enc" }]),
        "there is no key to check signatures with",
    );
    check(
        json!([{ "kty": "EC", "crv": "secp256k1" }, { "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig" }]),
        "EdDSA",
    );
    check(json!([]), "there is no key to check signatures with");
    assert_eq!(parse_jwks(&" ".repeat((1 << 20) + 1)).err(), Some(KeySetError::TooLarge));
    let many = vec![rsa(258, "RS256"); 65];
    check(json!(many), "the key set is too large");
}

/// What its issuer encrypts with, or signs for others with, keeps nobody from checking his tokens.
#[test]
fn one_key_of_no_use_spoils_no_set_that_its_issuer_publishes() {
    let x = "2-Jj2UvNCvQiUPNYRgSi0cJSPiJI6Rs6D0UTeEpQVj8";
    let good = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "good" });
    let n = "_".repeat(344);
    let told = |keys: Value| match parse_published_jwks(&json!({ "keys": keys }).to_string()) {
        Ok(keys) => keys.iter().filter_map(|key| key.id.clone()).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    };
    for useless in [
        json!({ "kty": "RSA", "kid": "a", "n": n, "e": "AQAB", "alg": "RSA-OAEP" }),
        json!({ "kty": "EC", "kid": "b", "crv": "P-256", "x": x, "y": x, "alg": "ECDH-ES" }),
        json!({ "kty": "oct", "kid": "c", "k": "AAAA" }),
        json!({ "kty": "oct", "kid": "good", "k": "AAAA", "alg": "EdDSA" }),
        json!({ "kty": "RSA", "kid": "d", "n": "_".repeat(172), "e": "AQAB", "alg": "RS256" }),
        json!({ "kty": "OKP", "kid": "e", "crv": "Ed25519" }),
        json!({ "kid": "f" }),
        json!("g"),
    ] {
        assert_eq!(told(json!([useless, good])), "good", "{useless}");
        assert_eq!(told(json!([useless])), "there is no key to check signatures with");
        assert!(parse_jwks(&json!({ "keys": [useless, good] }).to_string()).is_err(), "a file is mended");
    }
    let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "d": x, "kid": "p" });
    assert_eq!(told(json!([private, good])), "key p is a private key: keep it where it signs");
}
