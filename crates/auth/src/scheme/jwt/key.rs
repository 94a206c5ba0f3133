//! Public keys that check signatures, made ready once.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

use crate::account::Live;

/// A public key with its one algorithm, parsed: a token that nobody has seen costs its signature and no more.
///
/// The key decides the algorithm, never a token's header (THREATS T-C2, P-JWT1).
pub struct VerifyingKey {
    algorithm: Algorithm,
    parsed: ParsedPublicKey,
    live: Live,
}

impl VerifyingKey {
    /// Makes a key ready for an algorithm; `None` if it is none of that family, malformed, RSA of fewer than 2048
    /// or more than 8192 bits, or symmetric: whoever can check with that can sign with it.
    pub fn new(algorithm: Algorithm, key: &DecodingKey) -> Option<Self> {
        let family = key.family();
        let parsed = match (family, key.kind()) {
            (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa(algorithm)?).ok()?
            }
            (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => {
                ParsedPublicKey::new(rsa(algorithm)?, der).ok()?
            }
            (AlgorithmFamily::Ec | AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(bytes)) => {
                ParsedPublicKey::new(curve(family, algorithm)?, bytes).ok()?
            }
            (AlgorithmFamily::Ec | AlgorithmFamily::Ed, DecodingKeyKind::RsaModulusExponent { .. })
            | (AlgorithmFamily::Hmac, _) => return None,
        };
        Some(Self { algorithm, parsed, live: Live::new() })
    }

    /// Falls when the issuer has the key no more; whoever remembers what it verified asks.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Goes on as `older` if it is the same key and that has not fallen: what was verified by it stays good.
    pub(crate) fn follow(&mut self, older: &Self) -> bool {
        let follows = self.algorithm == older.algorithm && older.live.is_up() && self.is_same(older);
        if follows {
            self.live = older.live.clone();
        }
        follows
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self.parsed.as_der(), other.parsed.as_der()) {
            (Ok(own), Ok(other)) => own.as_ref() == other.as_ref(),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    /// The one algorithm that it is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the signature of a message is this key's.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:?})", self.algorithm)
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the crate's list may grow; what is new is not accepted"
    )]
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn curve(family: AlgorithmFamily, algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match (family, algorithm) {
        (AlgorithmFamily::Ec, Algorithm::ES256) => Some(&ECDSA_P256_SHA256_FIXED),
        (AlgorithmFamily::Ec, Algorithm::ES384) => Some(&ECDSA_P384_SHA384_FIXED),
        (AlgorithmFamily::Ed, Algorithm::EdDSA) => Some(&ED25519),
        _ => None,
    }
}
