//! Ports for which everybody is who he says he is: what strangers send gets as far as it can.

use std::collections::BTreeMap;
use std::future::ready;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_auth::account::{Account, AccountId, Live};
use countersign_auth::assertion::Minted;
use countersign_auth::derive::DerivationKey;
use countersign_auth::port::foreign::Foreign;
use countersign_auth::port::{
    Answer, ApplicationAnswer, AtHand, IssuerKey, IssuerKeys, Lookups, PasswordAnswer, PasswordClaim,
    ProofKey, Purpose, Remembered, SharedAnswer, Signer, TokenAnswer, Unavailable, Verified,
};
use countersign_auth::scheme::jwt::VerifyingKey;
use countersign_auth::time::Time;
use countersign_auth::token::{LiveToken, TokenDigest};

/// When everything happens.
pub(super) const NOW: Time = Time::from_unix_secs(1_800_000_000);

static KEY: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().expect("a key"));

/// The gate's own public key.
pub(super) fn own_key() -> IssuerKey {
    IssuerKey {
        id: None,
        key: VerifyingKey::new(
            jsonwebtoken::Algorithm::EdDSA,
            &jsonwebtoken::DecodingKey::from_ed_der(KEY.public_key().as_ref()),
        )
        .expect("a key that was just made"),
    }
}

/// The value of an `Authorization` header, without its scheme.
pub(super) fn basic(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

/// Knows an account for every name and token; `words` stand wherever an account has a text.
pub(super) struct Anybody {
    pub(super) words: Vec<String>,
}

impl Anybody {
    fn word(&self, at: usize) -> String {
        self.words.get(at).cloned().unwrap_or_default()
    }

    pub(super) fn account(&self, kind: &str, name: &str) -> Arc<Account> {
        Arc::new(Account {
            id: AccountId(1),
            kind: kind.into(),
            name: name.into(),
            subject: if self.words.is_empty() { name.to_owned() } else { self.word(0) },
            full_name: self.word(1),
            first_name: self.word(2),
            last_name: self.word(3),
            email: self.word(4),
            tenant: self.words.get(5).cloned(),
            roles: self.words.get(6).cloned().into_iter().collect(),
            keys: ["associate_id", "customer", "person_id"]
                .into_iter()
                .map(|key| (key.to_owned(), self.word(7)))
                .collect::<BTreeMap<_, _>>(),
            proofs_from: Time::from_unix_secs(0),
            live: Live::new(),
            issuer: None,
            minted: Minted::default(),
        })
    }
}

impl Foreign for Anybody {}

impl Lookups for Anybody {
    fn token(&self, digest: &TokenDigest, _now: Time) -> AtHand<TokenAnswer> {
        AtHand::Known(TokenAnswer::Live(LiveToken {
            digest: *digest,
            account: Some(self.account("users", "alice")),
            issued_at: NOW,
            expires_at: None,
            proven_at: NOW,
        }))
    }

    fn find_token(&self, _digest: TokenDigest, _now: Time) -> Answer<Result<TokenAnswer, Unavailable>> {
        Box::pin(ready(Ok(TokenAnswer::Unknown)))
    }

    fn check_password(
        &self,
        claim: PasswordClaim,
        _now: Time,
    ) -> Answer<Result<PasswordAnswer, Unavailable>> {
        let account = self.account(&claim.kind, &claim.user);
        Box::pin(ready(Ok(PasswordAnswer::Proven(account))))
    }

    fn recall(&self, _key: &ProofKey, _now: Time) -> Option<Remembered> {
        None
    }

    fn recall_at(&self, _key: &ProofKey, _address: IpAddr, _now: Time) -> Option<Remembered> {
        None
    }
    fn is_locked(&self, _account: AccountId, _address: IpAddr, _now: Time) -> bool {
        false
    }

    fn has_ended(&self, _token: &TokenDigest) -> bool {
        false
    }

    fn has_expired(&self, _token: &TokenDigest, _at: Time) -> bool {
        false
    }

    fn remember(&self, _key: ProofKey, _proof: Verified, _now: Time) {}

    fn derivation_key(&self) -> &DerivationKey {
        static KEY: LazyLock<DerivationKey> = LazyLock::new(|| DerivationKey::new([7; 32]));
        &KEY
    }

    fn issuer_keys(&self, _api: &str, _issuer: &str) -> Result<Option<Arc<IssuerKeys>>, Unavailable> {
        Ok(Some(Arc::new(IssuerKeys { keys: vec![own_key()], ours: false })))
    }

    fn account_by_number(&self, _id: AccountId) -> Option<Arc<Account>> {
        Some(self.account("users", "alice"))
    }

    fn account_by_subject(&self, kind: &str, subject: &str) -> Option<Arc<Account>> {
        Some(self.account(kind, subject))
    }

    fn shared_value(&self, _api: &str, _word: &str, _value: &str, _from: IpAddr, _now: Time) -> SharedAnswer {
        SharedAnswer::Right(self.account("devices", "kiosk"))
    }

    fn application_secret(&self, _api: &str, _secret: &str, _from: IpAddr, _now: Time) -> ApplicationAnswer {
        ApplicationAnswer::Right
    }
}

impl Signer for Anybody {
    fn sign(&self, _purpose: Purpose, typ: &'static str, claims: &[u8]) -> Result<String, Unavailable> {
        let header = format!("{{\"alg\":\"EdDSA\",\"typ\":\"{typ}\"}}");
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = KEY.sign(signed.as_bytes());
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}
