//! One signing key.

use std::borrow::Cow;
use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::port::{Purpose, Unavailable};
use countersign_auth::time::Time;

use super::public::{self, PublicKey};
use super::{SigningAlgorithm, State};
use crate::store::{SigningKeyRow, StoreError};

enum Pair {
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
}

/// A key, parsed once, with what every signature of it begins with.
pub(crate) struct SigningKey {
    pub(crate) id: String,
    pub(crate) purpose: Purpose,
    pub(crate) algorithm: SigningAlgorithm,
    pub(crate) state: State,
    pub(crate) since: Time,
    pub(crate) public: PublicKey,
    pair: Pair,
    pkcs8: Vec<u8>,
    /// The encoded header with the `typ` that was asked for first: nearly all that a key signs is of one.
    header: OnceLock<(&'static str, String)>,
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("{what} of a signing key"))
}

fn purpose_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Assertion => "assertion",
        Purpose::Token => "token",
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Next => "next",
        State::Active => "active",
        State::Retired => "retired",
    }
}

/// `alg` (RFC 7518 section 3.1, RFC 8037 section 3.1).
pub(crate) fn algorithm_name(algorithm: SigningAlgorithm) -> &'static str {
    match algorithm {
        SigningAlgorithm::EdDsa => "EdDSA",
        SigningAlgorithm::Rs256 => "RS256",
        SigningAlgorithm::Es256 => "ES256",
    }
}

fn pair(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<(Pair, PublicKey), StoreError> {
    let rejected = |_| corrupt("private key");
    Ok(match algorithm {
        SigningAlgorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(rejected)?;
            let public = PublicKey::ed25519(pair.public_key().as_ref());
            (Pair::EdDsa(pair), public)
        }
        SigningAlgorithm::Rs256 => {
            let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(rejected)?;
            let public = public::rsa_from_pkcs1(pair.public_key().as_ref());
            (Pair::Rs256(pair), public.ok_or_else(|| corrupt("public half"))?)
        }
        SigningAlgorithm::Es256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(rejected)?;
            let public = PublicKey::p256(pair.public_key().as_ref());
            (Pair::Es256(pair), public.ok_or_else(|| corrupt("public half"))?)
        }
    })
}

/// Makes a key. RSA takes some tenths of a second.
pub(crate) fn generate(
    purpose: Purpose,
    algorithm: SigningAlgorithm,
    state: State,
    now: Time,
) -> Result<SigningKeyRow, StoreError> {
    let failed = |_| StoreError::Down("could not make a signing key".to_owned());
    let random = SystemRandom::new();
    let pkcs8 = match algorithm {
        SigningAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random).map_err(failed)?.as_ref().to_vec(),
        SigningAlgorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            pair.as_der().map_err(failed)?.as_ref().to_vec()
        }
        SigningAlgorithm::Es256 => {
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
            made.map_err(failed)?.as_ref().to_vec()
        }
    };
    let (_, public) = pair(algorithm, &pkcs8)?;
    Ok(SigningKeyRow {
        id: public.thumbprint(),
        purpose: purpose_name(purpose).to_owned(),
        algorithm: algorithm_name(algorithm).to_owned(),
        pkcs8,
        state: state_name(state).to_owned(),
        since: now.unix_ms(),
    })
}

impl SigningKey {
    /// Reads a key of the store.
    pub(crate) fn read(row: &SigningKeyRow) -> Result<Self, StoreError> {
        let named = |name: &str, names: [&str; 3]| names.iter().position(|other| *other == name);
        let purpose = match named(&row.purpose, ["assertion", "token", ""]) {
            Some(0) => Purpose::Assertion,
            Some(1) => Purpose::Token,
            _ => return Err(corrupt("purpose")),
        };
        let algorithm = match named(&row.algorithm, ["EdDSA", "RS256", "ES256"]) {
            Some(0) => SigningAlgorithm::EdDsa,
            Some(1) => SigningAlgorithm::Rs256,
            Some(2) => SigningAlgorithm::Es256,
            _ => return Err(corrupt("algorithm")),
        };
        let state = match named(&row.state, ["next", "active", "retired"]) {
            Some(0) => State::Next,
            Some(1) => State::Active,
            Some(2) => State::Retired,
            _ => return Err(corrupt("state")),
        };
        let (pair, public) = pair(algorithm, &row.pkcs8)?;
        Ok(Self {
            id: row.id.clone(),
            purpose,
            algorithm,
            state,
            since: Time::from_unix_ms(row.since),
            public,
            pair,
            pkcs8: row.pkcs8.clone(),
            header: OnceLock::new(),
        })
    }

    /// The row of this key in another state.
    pub(crate) fn row_as(&self, state: State, since: Time) -> SigningKeyRow {
        SigningKeyRow {
            id: self.id.clone(),
            purpose: purpose_name(self.purpose).to_owned(),
            algorithm: algorithm_name(self.algorithm).to_owned(),
            pkcs8: self.pkcs8.clone(),
            state: state_name(state).to_owned(),
            since: since.unix_ms(),
        }
    }

    fn header(&self, typ: &'static str) -> Cow<'_, str> {
        let encode = || {
            let alg = algorithm_name(self.algorithm);
            let header = serde_json::json!({ "alg": alg, "kid": self.id, "typ": typ }).to_string();
            URL_SAFE_NO_PAD.encode(header)
        };
        match self.header.get_or_init(|| (typ, encode())) {
            (first, header) if *first == typ => Cow::Borrowed(header),
            _ => Cow::Owned(encode()),
        }
    }

    /// The compact JWS (RFC 7515 section 3.1).
    pub(crate) fn sign(&self, typ: &'static str, claims: &[u8]) -> Result<String, Unavailable> {
        let failed = |_| Unavailable("could not sign".to_owned());
        let header = self.header(typ);
        // An RSA 2048 signature is 342 characters.
        let mut token = String::with_capacity(header.len() + claims.len() * 4 / 3 + 350);
        token.push_str(&header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = match &self.pair {
            Pair::EdDsa(pair) => pair.sign(token.as_bytes()).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature).map_err(failed)?;
                signature
            }
            Pair::Es256(pair) => {
                pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(failed)?.as_ref().to_vec()
            }
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}
