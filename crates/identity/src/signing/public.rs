//! Public keys: our own, and those that operators hand in as JWK sets or PEM.
//!
//! The key decides the algorithm, never a token's header (T-C2). Symmetric keys are refused: whoever can check
//! with one can sign with it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_auth::port::IssuerKey;
use countersign_auth::scheme::jwt::VerifyingKey;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Value, json};

/// A key set larger than this is no key set.
const SET_BYTES_MAX: usize = 1 << 20;
/// Every key may have to be tried where a token names none.
const KEYS_MAX: usize = 64;
/// What a key is called that has no name.
const UNNAMED: &str = "without kid";
/// P-JWT6.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a key set is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON of that shape.
    #[error("could not read the key set: {0}")]
    Json(String),
    /// Not PEM with a public key in it.
    #[error("could not read a public key from PEM")]
    Pem,
    /// More than one block, of which the others would be passed over.
    #[error("the PEM holds more than one key; write a file with one, or a key set (`jwks_file`)")]
    SeveralPem,
    /// A private key stands in it, beside another or alone.
    #[error("the PEM holds a private key: keep it where it signs, and name a file with the public one")]
    PrivatePem,
    /// More than 1 MiB, or more than 64 keys.
    #[error("the key set is too large")]
    TooLarge,
    /// `kty` is `oct`.
    #[error("key {0} is symmetric: whoever checks with it could sign with it")]
    Symmetric(String),
    /// A member `d`.
    #[error("key {0} is a private key: keep it where it signs")]
    Private(String),
    /// `alg` is not one that this key can have.
    #[error("key {0} cannot be used with its `alg`")]
    Algorithm(String),
    /// Its members do not make a key, or RSA of fewer than 2048 or more than 8192 bits.
    #[error("key {0} is malformed, too small or too large")]
    Malformed(String),
    /// No key that signs.
    #[error("there is no key to check signatures with")]
    Empty,
}

/// A public key with its one algorithm.
pub(crate) struct PublicKey {
    algorithm: Algorithm,
    shape: Shape,
}

enum Shape {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ec { curve: &'static str, x: Vec<u8>, y: Vec<u8> },
    Ed25519(Vec<u8>),
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl PublicKey {
    pub(crate) fn ed25519(bytes: &[u8]) -> Self {
        Self { algorithm: Algorithm::EdDSA, shape: Shape::Ed25519(bytes.to_vec()) }
    }

    /// From an uncompressed point (SEC 1 section 2.3.3): `04 | x | y`.
    fn ec(algorithm: Algorithm, curve: &'static str, size: usize, point: &[u8]) -> Option<Self> {
        let (form, point) = point.split_first()?;
        let (x, y) = point.split_at_checked(size)?;
        let fits = *form == 4 && y.len() == size;
        fits.then(|| Self { algorithm, shape: Shape::Ec { curve, x: x.to_vec(), y: y.to_vec() } })
    }

    pub(crate) fn p256(point: &[u8]) -> Option<Self> {
        Self::ec(Algorithm::ES256, "P-256", 32, point)
    }

    fn p384(point: &[u8]) -> Option<Self> {
        Self::ec(Algorithm::ES384, "P-384", 48, point)
    }

    fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Option<Self> {
        let n = strip_zeros(n);
        let e = strip_zeros(e);
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let odd = e.last().is_some_and(|byte| byte % 2 == 1);
        let fits = RSA_BITS.contains(&bits) && odd && (e != [1]) && e.len() <= 8;
        fits.then(|| Self { algorithm, shape: Shape::Rsa { n: n.to_vec(), e: e.to_vec() } })
    }

    /// The members that RFC 7638 section 3.2 hashes, in its order.
    fn required(&self) -> String {
        match &self.shape {
            Shape::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
            Shape::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
            }
            Shape::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
        }
    }

    /// The JWK thumbprint (RFC 7638) in base64url.
    pub(crate) fn thumbprint(&self) -> String {
        b64(digest(&SHA256, self.required().as_bytes()).as_ref())
    }

    /// The key as a member of a JWK set.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let mut jwk: Value = serde_json::from_str(&self.required()).unwrap_or_default();
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), json!(id));
            members.insert("use".to_owned(), json!("sig"));
            members.insert("alg".to_owned(), json!(self.algorithm));
        }
        jwk
    }

    /// The key as auth wants it.
    pub(crate) fn verifying(&self, id: &str) -> Option<IssuerKey> {
        self.issuer_key(Some(id.to_owned()))
    }

    fn issuer_key(&self, id: Option<String>) -> Option<IssuerKey> {
        let key = match &self.shape {
            Shape::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Shape::Ec { x, y, .. } => DecodingKey::from_ec_components(&b64(x), &b64(y)).ok()?,
            Shape::Ed25519(x) => DecodingKey::from_ed_components(&b64(x)).ok()?,
        };
        Some(IssuerKey { id, key: VerifyingKey::new(self.algorithm, &key)? })
    }
}

fn strip_zeros(mut bytes: &[u8]) -> &[u8] {
    while let Some((0, rest)) = bytes.split_first() {
        bytes = rest;
    }
    bytes
}

/// The next DER element of that tag and the rest (X.690 section 8.1; definite lengths up to 64 KiB).
fn der(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = input.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = match rest {
        [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// From an `RSAPublicKey` (RFC 8017 appendix A.1.1): a sequence of n and e.
pub(crate) fn rsa_from_pkcs1(input: &[u8]) -> Option<PublicKey> {
    let (sequence, after) = der(0x30, input)?;
    let (n, rest) = der(0x02, sequence)?;
    let (e, rest) = der(0x02, rest)?;
    if after.is_empty() && rest.is_empty() { PublicKey::rsa(Algorithm::RS256, n, e) } else { None }
}

/// What the `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7) of each kind begins with; the key follows.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P384_SPKI: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn from_spki(bytes: &[u8]) -> Option<PublicKey> {
    if let Some(point) = bytes.strip_prefix(&P256_SPKI) {
        return PublicKey::p256(point);
    }
    if let Some(point) = bytes.strip_prefix(&P384_SPKI) {
        return PublicKey::p384(point);
    }
    if let Some(key) = bytes.strip_prefix(&ED25519_SPKI) {
        return (key.len() == 32).then(|| PublicKey::ed25519(key));
    }
    let key = aws_lc_rs::rsa::PublicKey::from_der(bytes).ok()?;
    rsa_from_pkcs1(key.as_ref())
}

/// Reads one public key in PEM (RFC 7468): RSA is used with RS256, P-256 with ES256, P-384 with ES384, Ed25519
/// with EdDSA.
///
/// # Errors
/// See [`KeySetError`].
pub fn parse_pem(text: &str) -> Result<IssuerKey, KeySetError> {
    let blocks = || text.split("-----BEGIN ").skip(1);
    if blocks().any(|block| block.split("-----").next().is_some_and(|label| label.ends_with("PRIVATE KEY"))) {
        return Err(KeySetError::PrivatePem);
    }
    if blocks().count() > 1 {
        return Err(KeySetError::SeveralPem);
    }
    let body = ["PUBLIC KEY", "RSA PUBLIC KEY"].iter().find_map(|label| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
        Some(rest.split_once(&format!("-----END {label}-----"))?.0)
    });
    let body: String = body.ok_or(KeySetError::Pem)?.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(body).map_err(|_| KeySetError::Pem)?;
    from_spki(&bytes).and_then(|key| key.issuer_key(None)).ok_or(KeySetError::Pem)
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

/// Reads a JWK set (RFC 7517) that an operator chose. Keys for encryption and of unknown kinds are passed over.
///
/// # Errors
/// See [`KeySetError`]; symmetric and private keys are refused, not passed over.
pub fn parse_jwks(text: &str) -> Result<Vec<IssuerKey>, KeySetError> {
    read_jwks(text, Err)
}

/// Reads a JWK set that its issuer publishes, for whatever he signs and encrypts: symmetric keys, those for algorithms that are
/// none of ours, and those that lack something or are too small (RFC 7517 section 5) are passed over as well, and used for
/// nothing.
///
/// # Errors
/// See [`KeySetError`]; private keys are refused.
pub(crate) fn parse_published_jwks(text: &str) -> Result<Vec<IssuerKey>, KeySetError> {
    read_jwks(text, |error| match error {
        KeySetError::Symmetric(_) | KeySetError::Algorithm(_) => {
            tracing::debug!(cause = %error, "passed over a key of an issuer");
            Ok(())
        }
        KeySetError::Malformed(_) => {
            tracing::info!(cause = %error, "passed over a key of an issuer");
            Ok(())
        }
        KeySetError::Json(_)
        | KeySetError::Pem
        | KeySetError::SeveralPem
        | KeySetError::PrivatePem
        | KeySetError::TooLarge
        | KeySetError::Private(_)
        | KeySetError::Empty => Err(error),
    })
}

/// Reads a JWK set; `useless` says whether a key that cannot be used is passed over.
fn read_jwks(
    text: &str,
    useless: impl Fn(KeySetError) -> Result<(), KeySetError>,
) -> Result<Vec<IssuerKey>, KeySetError> {
    if text.len() > SET_BYTES_MAX {
        return Err(KeySetError::TooLarge);
    }
    let set: JwkSet = serde_json::from_str(text).map_err(|error| KeySetError::Json(error.to_string()))?;
    if set.keys.len() > KEYS_MAX {
        return Err(KeySetError::TooLarge);
    }
    let mut keys = Vec::with_capacity(set.keys.len());
    for jwk in set.keys {
        let kid = || jwk.get("kid").and_then(Value::as_str).unwrap_or(UNNAMED).to_owned();
        match Jwk::deserialize(&jwk).map_err(|_| KeySetError::Malformed(kid())).and_then(read_jwk) {
            Ok(key) => keys.extend(key),
            Err(error) => useless(error)?,
        }
    }
    if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(keys) }
}

fn read_jwk(jwk: Jwk) -> Result<Option<IssuerKey>, KeySetError> {
    let name = jwk.kid.clone().unwrap_or_else(|| UNNAMED.to_owned());
    if jwk.kty == "oct" {
        return Err(KeySetError::Symmetric(name));
    }
    if jwk.d.is_some() {
        return Err(KeySetError::Private(name));
    }
    let for_other_things = jwk.usage.as_ref().is_some_and(|usage| usage != "sig")
        || jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify"));
    if for_other_things {
        return Ok(None);
    }
    let bytes = |text: &Option<String>| text.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let point = || {
        let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
        Some([vec![4], x, y].concat())
    };
    let only = |algorithm: &str| match &jwk.alg {
        Some(other) if other != algorithm => Err(KeySetError::Algorithm(name.clone())),
        Some(_) | None => Ok(()),
    };
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let algorithm = rsa_algorithm(jwk.alg.as_deref());
            let algorithm = algorithm.ok_or_else(|| KeySetError::Algorithm(name.clone()))?;
            bytes(&jwk.n).zip(bytes(&jwk.e)).and_then(|(n, e)| PublicKey::rsa(algorithm, &n, &e))
        }
        ("EC", Some("P-256")) => {
            only("ES256")?;
            point().and_then(|point| PublicKey::p256(&point))
        }
        ("EC", Some("P-384")) => {
            only("ES384")?;
            point().and_then(|point| PublicKey::p384(&point))
        }
        ("OKP", Some("Ed25519")) => {
            // RFC 9864 names it anew; both names mean the same.
            only("EdDSA").or_else(|_| only("Ed25519"))?;
            bytes(&jwk.x).filter(|x| x.len() == 32).map(|x| PublicKey::ed25519(&x))
        }
        _ => return Ok(None),
    };
    let key = key.and_then(|key| key.issuer_key(jwk.kid.clone()));
    key.map(Some).ok_or(KeySetError::Malformed(name))
}

fn rsa_algorithm(name: Option<&str>) -> Option<Algorithm> {
    match name {
        None | Some("RS256") => Some(Algorithm::RS256),
        Some("RS384") => Some(Algorithm::RS384),
        Some("RS512") => Some(Algorithm::RS512),
        Some("PS256") => Some(Algorithm::PS256),
        Some("PS384") => Some(Algorithm::PS384),
        Some("PS512") => Some(Algorithm::PS512),
        Some(_) => None,
    }
}
