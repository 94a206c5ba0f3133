//! Issuers of JWTs for the run: their keys, and the tokens that `[[jwt]]` asks for.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::port::IssuerKey;
use countersign_auth::scheme::jwt::VerifyingKey;
use countersign_auth::time::Time;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::file::JwtEntry;

/// Making RSA keys takes its time; each name has one for the whole run.
static KEYS: LazyLock<Mutex<HashMap<String, Arc<RsaKeyPair>>>> = LazyLock::new(Mutex::default);

fn pair(name: &str) -> Arc<RsaKeyPair> {
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let made = keys.entry(name.to_owned()).or_insert_with(|| {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let _der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Arc::new(pair)
    });
    Arc::clone(made)
}

/// The public half of a named key, as an API trusts it: without `kid`, like the documents' issuer.
pub(crate) fn public(name: &str) -> IssuerKey {
    let pair = pair(name);
    IssuerKey {
        id: None,
        key: VerifyingKey::new(Algorithm::RS256, &DecodingKey::from_rsa_der(pair.public_key().as_ref()))
            .unwrap(),
    }
}

/// Mints the token of an entry: the header exactly as written, times relative to `now`.
pub(crate) fn mint(entry: &JwtEntry, now: Time) -> String {
    let mut claims = entry.claims.clone();
    claims.insert("iss".to_owned(), Value::from(entry.issuer.as_str()));
    for (_, value) in claims.iter_mut() {
        if let Some(moment) = moment(value, now) {
            *value = moment;
        }
    }
    minted(&entry.key, &Value::Object(entry.header.clone()), &Value::Object(claims))
}

/// A token of these parts, signed with a named key.
pub(crate) fn minted(key: &str, header: &Value, claims: &Value) -> String {
    let part = |members: &Value| URL_SAFE_NO_PAD.encode(serde_json::to_vec(members).unwrap());
    let signed = format!("{}.{}", part(header), part(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(key, signed.as_bytes())))
}

/// The public half of a named key as a JSON Web Key.
pub(crate) fn jwk(name: &str) -> Value {
    let pair = pair(name);
    let (modulus, exponent) = (pair.public_key().modulus(), pair.public_key().exponent());
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let n = number(modulus.big_endian_without_leading_zero());
    let e = number(exponent.big_endian_without_leading_zero());
    serde_json::json!({ "kty": "RSA", "kid": name, "use": "sig", "alg": "RS256", "n": n, "e": e })
}

/// The RS256 signature of a named key.
pub(crate) fn sign(name: &str, message: &[u8]) -> Vec<u8> {
    let pair = pair(name);
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// The public half of a named key, as anybody may know it: PKCS #1, DER.
pub(crate) fn public_der(name: &str) -> Vec<u8> {
    pair(name).public_key().as_ref().to_vec()
}

/// `+N` and `-N` in seconds from now; `now-ms` in milliseconds.
fn moment(value: &Value, now: Time) -> Option<Value> {
    let text = value.as_str()?;
    if text == "now-ms" {
        return Some(Value::from(now.unix_ms()));
    }
    if !text.starts_with(['+', '-']) {
        return None;
    }
    let secs: i64 = text.parse().ok()?;
    Some(Value::from(now.unix_secs() + secs))
}
