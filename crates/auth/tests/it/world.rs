//! A world of maps: who holds what, without a store, a clock or a network.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_auth::account::{Account, AccountId, Live};
use countersign_auth::assertion::Minted;
use countersign_auth::derive::DerivationKey;
use countersign_auth::port::keys::{KeyAnswer, KeyCaller, KeyChange, KeyInfo, KeyName};
use countersign_auth::port::strangers::Strangers;
use countersign_auth::port::{
    Answer, ApplicationAnswer, AtHand, Issue, IssueAnswer, Issued, IssuerKey, IssuerKeys, Lookups, Opening,
    Operations, PasswordAnswer, PasswordChange, PasswordClaim, ProofKey, Purpose, Remembered, SharedAnswer,
    Signer, TokenAnswer, TokenInfo, Unavailable, Verified,
};
use countersign_auth::scheme::jwt::VerifyingKey;
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;
use countersign_auth::token::{LiveToken, TokenDigest, TokenPlan, TokenRef};

/// When every test happens.
pub(crate) const NOW: Time = Time::from_unix_secs(1_800_000_000);
/// Who signs the good JWTs.
pub(crate) const ISSUER: &str = "https://issuer.example/";

static SIGNING: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

/// What does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    Nothing,
    Tokens,
    Passwords,
    Keys,
    Operations,
}

/// Accounts, tokens, and what is down.
pub(crate) struct World {
    accounts: Vec<Arc<Account>>,
    tokens: HashMap<TokenDigest, TokenAnswer>,
    pub(crate) down: Down,
    /// Sessions that were opened, so that two never have one value.
    opened: Mutex<u64>,
    /// What was to be ended.
    pub(crate) ended: Mutex<Vec<TokenDigest>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let account = |id, kind: &str, name: &str, tenant: Option<&str>| {
            Arc::new(Account {
                id: AccountId(id),
                kind: kind.into(),
                name: name.into(),
                subject: name.to_owned(),
                full_name: String::new(),
                first_name: String::new(),
                last_name: String::new(),
                email: String::new(),
                tenant: tenant.map(str::to_owned),
                roles: Vec::new(),
                keys: BTreeMap::new(),
                issuer: None,
                proofs_from: Time::from_unix_secs(0),
                live: Live::new(),
                minted: Minted::default(),
            })
        };
        Self {
            accounts: vec![
                account(1, "users", "alice", Some("north")),
                account(2, "users", "bob", Some("south")),
                account(3, "customers", "pia", None),
                account(4, "applications", "crane", None),
                account(5, "devices", "buoy", None),
                account(6, "users", "due", None),
            ],
            tokens: HashMap::new(),
            down: Down::Nothing,
            opened: Mutex::new(0),
            ended: Mutex::default(),
        }
    }

    pub(crate) fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// Puts a token there; nobody's where `account` is `None`.
    pub(crate) fn hold(&mut self, api: &str, word: &str, value: &str, account: Option<&str>) {
        let digest = TokenDigest::of(api, word, value);
        let live = LiveToken {
            digest,
            account: account.map(|name| Arc::clone(self.account(name).unwrap())),
            issued_at: NOW,
            expires_at: Some(NOW.plus(Duration::from_secs(3600))),
            proven_at: NOW,
        };
        self.tokens.insert(digest, TokenAnswer::Live(live));
    }

    /// Puts a token there whose time has passed.
    pub(crate) fn hold_expired(&mut self, api: &str, word: &str, value: &str) {
        self.tokens.insert(TokenDigest::of(api, word, value), TokenAnswer::Expired);
    }

    fn up(&self, what: Down) -> Result<(), Unavailable> {
        if self.down == what { Err(Unavailable(format!("{what:?} are down"))) } else { Ok(()) }
    }
}

/// A JWT of the issuer, with the audience and the subject given.
pub(crate) fn jwt(issuer: &str, audience: &str, subject: &str, good_secs: i64) -> String {
    let exp = NOW.unix_secs() + good_secs;
    let claims = serde_json::json!({ "iss": issuer, "aud": audience, "sub": subject, "exp": exp, "iat": exp - 600, "tenant": "north" });
    sign("JWT", claims.to_string().as_bytes())
}

fn sign(typ: &str, claims: &[u8]) -> String {
    let header = serde_json::json!({ "alg": "EdDSA", "typ": typ });
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
    let signature = SIGNING.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// The one key that there is.
pub(crate) const KEY: &str = "11111111-2222-3333-4444-555555555555";

fn key_answer(key: &KeyName) -> KeyAnswer {
    let digest = TokenDigest::of("port", "key", KEY);
    let is_it = match key {
        KeyName::Id(id) => *id == digest.reference(),
        KeyName::Digest(other) => *other == digest,
    };
    if !is_it {
        return KeyAnswer::NotFound;
    }
    let info = KeyInfo {
        id: digest.reference(),
        owner: "crane".to_owned(),
        label: String::new(),
        description: String::new(),
        created_at: NOW,
        updated_at: NOW,
        expires_at: None,
    };
    KeyAnswer::Done(info, None)
}

fn done<T: Send + 'static>(value: T) -> Answer<T> {
    Box::pin(ready(value))
}

impl countersign_auth::port::foreign::Foreign for World {}

impl Lookups for World {
    fn token(&self, _digest: &TokenDigest, _now: Time) -> AtHand<TokenAnswer> {
        AtHand::Ask
    }

    fn find_token(&self, digest: TokenDigest, _now: Time) -> Answer<Result<TokenAnswer, Unavailable>> {
        let found = self.tokens.get(&digest).cloned().unwrap_or(TokenAnswer::Unknown);
        done(self.up(Down::Tokens).map(|()| found))
    }

    fn has_ended(&self, digest: &TokenDigest) -> bool {
        !matches!(self.tokens.get(digest), Some(TokenAnswer::Live(_)))
    }

    fn has_expired(&self, _digest: &TokenDigest, _at: Time) -> bool {
        false
    }

    fn check_password(
        &self,
        claim: PasswordClaim,
        _now: Time,
    ) -> Answer<Result<PasswordAnswer, Unavailable>> {
        let account = self.account(&claim.user).filter(|account| *account.kind == *claim.kind);
        let answer = match account {
            Some(account) if claim.password.matches("open") && account.name == "due" => {
                PasswordAnswer::Due(Arc::clone(account))
            }
            Some(account) if claim.password.matches("open") => PasswordAnswer::Proven(Arc::clone(account)),
            Some(_) if claim.password.matches("too often") => PasswordAnswer::TooMany,
            Some(_) => PasswordAnswer::Refused("the password is wrong", None),
            None => PasswordAnswer::Refused("no such user", None),
        };
        done(self.up(Down::Passwords).map(|()| answer))
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

    fn remember(&self, _key: ProofKey, _proof: Verified, _now: Time) {}

    fn derivation_key(&self) -> &DerivationKey {
        static KEY: LazyLock<DerivationKey> = LazyLock::new(|| DerivationKey::new([7; 32]));
        &KEY
    }

    fn issuer_keys(&self, _api: &str, issuer: &str) -> Result<Option<Arc<IssuerKeys>>, Unavailable> {
        self.up(Down::Keys)?;
        let key = IssuerKey {
            id: None,
            key: VerifyingKey::new(
                jsonwebtoken::Algorithm::EdDSA,
                &jsonwebtoken::DecodingKey::from_ed_der(SIGNING.public_key().as_ref()),
            )
            .unwrap(),
        };
        Ok((issuer == ISSUER).then(|| Arc::new(IssuerKeys { keys: vec![key], ours: false })))
    }

    fn account_by_number(&self, id: AccountId) -> Option<Arc<Account>> {
        self.accounts.iter().find(|account| account.id == id).cloned()
    }

    fn account_by_subject(&self, kind: &str, subject: &str) -> Option<Arc<Account>> {
        self.account(subject).filter(|account| *account.kind == *kind).cloned()
    }

    fn shared_value(&self, _api: &str, word: &str, value: &str, _from: IpAddr, _now: Time) -> SharedAnswer {
        match (word, value, self.account("buoy")) {
            ("buoy", "1234abc", Some(account)) => SharedAnswer::Right(Arc::clone(account)),
            ("buoy", _, _) => SharedAnswer::Wrong,
            (_, _, _) => SharedAnswer::NotSet,
        }
    }

    fn application_secret(&self, _api: &str, secret: &str, _from: IpAddr, _now: Time) -> ApplicationAnswer {
        if secret == "app" { ApplicationAnswer::Right } else { ApplicationAnswer::Wrong }
    }
}

impl Operations for World {
    fn issue(&self, order: Issue, now: Time) -> Answer<Result<IssueAnswer, Unavailable>> {
        let issued: Vec<Issued> = order.plans.iter().filter_map(|plan| self.made(plan, now)).collect();
        done(self.up(Down::Operations).map(|()| IssueAnswer::Issued(issued)))
    }

    fn open_session(&self, opening: &Opening<'_>, now: Time) -> Result<Option<Issued>, Unavailable> {
        self.up(Down::Operations)?;
        Ok(self.made(opening.plan, now))
    }

    fn end(&self, digest: TokenDigest, _now: Time) -> Answer<Result<(), Unavailable>> {
        self.ended.lock().unwrap().push(digest);
        done(self.up(Down::Operations))
    }

    fn end_named(
        &self,
        _account: AccountId,
        _name: TokenRef,
        _now: Time,
    ) -> Answer<Result<bool, Unavailable>> {
        done(self.up(Down::Operations).map(|()| false))
    }

    fn sessions(
        &self,
        _account: AccountId,
        _api: Arc<str>,
        _now: Time,
    ) -> Answer<Result<Vec<TokenInfo>, Unavailable>> {
        done(self.up(Down::Operations).map(|()| Vec::new()))
    }

    fn key_create(
        &self,
        _caller: KeyCaller,
        _owner: String,
        _plan: TokenPlan,
        _change: KeyChange,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        done(Ok(KeyAnswer::NotFound))
    }

    fn key_list(
        &self,
        _caller: KeyCaller,
        _owner: Option<String>,
        _now: Time,
    ) -> Answer<Result<Vec<KeyInfo>, Unavailable>> {
        done(Ok(Vec::new()))
    }

    fn key_show(
        &self,
        _caller: KeyCaller,
        key: KeyName,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        done(self.up(Down::Operations).map(|()| key_answer(&key)))
    }

    fn key_update(
        &self,
        _caller: KeyCaller,
        _key: KeyName,
        _change: KeyChange,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        done(Ok(KeyAnswer::NotFound))
    }

    fn key_rotate(
        &self,
        _caller: KeyCaller,
        _key: KeyName,
        _plan: TokenPlan,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        done(Ok(KeyAnswer::NotFound))
    }

    fn key_delete(
        &self,
        _caller: KeyCaller,
        key: KeyName,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        done(self.up(Down::Operations).map(|()| key_answer(&key)))
    }

    fn password_change(
        &self,
        _claim: PasswordClaim,
        _new: Secret,
        _keep: Option<TokenDigest>,
        _now: Time,
    ) -> Answer<Result<PasswordChange, Unavailable>> {
        done(self.up(Down::Operations).map(|()| PasswordChange::Done))
    }
}

impl World {
    fn made(&self, plan: &TokenPlan, now: Time) -> Option<Issued> {
        let mut opened = self.opened.lock().unwrap();
        *opened += 1;
        let seed = opened.to_be_bytes();
        let bytes: Vec<u8> =
            (0..plan.form.bytes_wanted()).map(|at| seed[at % 8].wrapping_add(at as u8)).collect();
        let value = plan.form.fill(&bytes, Default::default())?;
        let digest = TokenDigest::of("port", &plan.word, &value);
        Some(Issued {
            word: Arc::clone(&plan.word),
            value: Secret::new(value),
            second: None,
            reference: digest.reference(),
            issued_at: now,
            expires_at: now.plus(plan.lifetime.or(plan.idle)?),
        })
    }
}

impl Signer for World {
    fn sign(&self, _purpose: Purpose, typ: &'static str, claims: &[u8]) -> Result<String, Unavailable> {
        self.up(Down::Keys)?;
        Ok(sign(typ, claims))
    }
}

impl Strangers for World {
    fn may_open(&self, _now: Time) -> bool {
        true
    }

    fn address(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, 1])
    }
}
