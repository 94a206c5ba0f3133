//! Ports of a gate whose tests are about the wire: whoever asks them gets no answer.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use countersign_auth::account::{Account, AccountId};
use countersign_auth::derive::DerivationKey;
use countersign_auth::port::keys::{KeyAnswer, KeyCaller, KeyChange, KeyInfo, KeyName};
use countersign_auth::port::objects::{Bound, FoundObject, NewBinding, ObjectDigest, ObjectName, Objects};
use countersign_auth::port::{
    Answer, ApplicationAnswer, AtHand, Issue, IssueAnswer, Issued, IssuerKeys, Lookups, Opening, Operations,
    PasswordAnswer, PasswordChange, PasswordClaim, ProofKey, Purpose, Remembered, SharedAnswer, Signer,
    TokenAnswer, TokenInfo, Unavailable, Verified,
};
use countersign_auth::secret::Secret;
use countersign_auth::time::{Clock, Random, Time};
use countersign_auth::token::{TokenDigest, TokenPlan, TokenRef};

/// All ports; nobody is behind them.
pub(crate) struct Nobody;

fn away<T: Send + 'static>() -> Answer<Result<T, Unavailable>> {
    Box::pin(async { Err(Unavailable("nobody is here".into())) })
}

impl Clock for Nobody {
    fn now(&self) -> Time {
        Time::from_unix_secs(1_800_000_000)
    }
}

impl Random for Nobody {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        bytes.fill(7);
        Ok(())
    }
}

impl Signer for Nobody {
    fn sign(&self, _purpose: Purpose, _typ: &'static str, _claims: &[u8]) -> Result<String, Unavailable> {
        Err(Unavailable("nobody is here".into()))
    }
}

impl countersign_auth::port::foreign::Foreign for Nobody {}

impl Lookups for Nobody {
    fn token(&self, _digest: &TokenDigest, _now: Time) -> AtHand<TokenAnswer> {
        AtHand::Ask
    }
    fn find_token(&self, _digest: TokenDigest, _now: Time) -> Answer<Result<TokenAnswer, Unavailable>> {
        away()
    }
    fn check_password(
        &self,
        _claim: PasswordClaim,
        _now: Time,
    ) -> Answer<Result<PasswordAnswer, Unavailable>> {
        away()
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
    fn has_ended(&self, _digest: &TokenDigest) -> bool {
        false
    }
    fn has_expired(&self, _digest: &TokenDigest, _at: Time) -> bool {
        false
    }
    fn derivation_key(&self) -> &DerivationKey {
        static KEY: LazyLock<DerivationKey> = LazyLock::new(|| DerivationKey::new([7; 32]));
        &KEY
    }
    fn issuer_keys(&self, _api: &str, _issuer: &str) -> Result<Option<Arc<IssuerKeys>>, Unavailable> {
        Ok(None)
    }
    fn account_by_number(&self, _id: AccountId) -> Option<Arc<Account>> {
        None
    }
    fn account_by_subject(&self, _kind: &str, _subject: &str) -> Option<Arc<Account>> {
        None
    }
    fn shared_value(&self, _api: &str, _word: &str, _value: &str, _from: IpAddr, _now: Time) -> SharedAnswer {
        SharedAnswer::NotSet
    }
    fn application_secret(&self, _api: &str, _secret: &str, _from: IpAddr, _now: Time) -> ApplicationAnswer {
        ApplicationAnswer::Wrong
    }
}

impl Operations for Nobody {
    fn issue(&self, _order: Issue, _now: Time) -> Answer<Result<IssueAnswer, Unavailable>> {
        away()
    }
    fn open_session(&self, _opening: &Opening<'_>, _now: Time) -> Result<Option<Issued>, Unavailable> {
        Ok(None)
    }
    fn end(&self, _digest: TokenDigest, _now: Time) -> Answer<Result<(), Unavailable>> {
        away()
    }
    fn end_named(
        &self,
        _account: AccountId,
        _name: TokenRef,
        _now: Time,
    ) -> Answer<Result<bool, Unavailable>> {
        away()
    }
    fn sessions(
        &self,
        _account: AccountId,
        _api: Arc<str>,
        _now: Time,
    ) -> Answer<Result<Vec<TokenInfo>, Unavailable>> {
        away()
    }
    fn key_create(
        &self,
        _caller: KeyCaller,
        _owner: String,
        _plan: TokenPlan,
        _change: KeyChange,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        away()
    }
    fn key_list(
        &self,
        _caller: KeyCaller,
        _owner: Option<String>,
        _now: Time,
    ) -> Answer<Result<Vec<KeyInfo>, Unavailable>> {
        away()
    }
    fn key_show(
        &self,
        _caller: KeyCaller,
        _key: KeyName,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        away()
    }
    fn key_update(
        &self,
        _caller: KeyCaller,
        _key: KeyName,
        _change: KeyChange,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        away()
    }
    fn key_rotate(
        &self,
        _caller: KeyCaller,
        _key: KeyName,
        _plan: TokenPlan,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        away()
    }
    fn key_delete(
        &self,
        _caller: KeyCaller,
        _key: KeyName,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        away()
    }
    fn password_change(
        &self,
        _claim: PasswordClaim,
        _new: Secret,
        _keep: Option<TokenDigest>,
        _now: Time,
    ) -> Answer<Result<PasswordChange, Unavailable>> {
        away()
    }
}

impl Objects for Nobody {
    fn at_hand(&self, _digest: &ObjectDigest) -> FoundObject {
        None
    }
    fn may_guess(&self, _address: IpAddr, _now: Time) -> bool {
        true
    }
    fn forgive_guess(&self, _address: IpAddr, _now: Time) {}
    fn find(&self, _name: ObjectName, _address: IpAddr) -> Answer<Result<FoundObject, Unavailable>> {
        away()
    }
    fn find_reference(
        &self,
        _digest: ObjectDigest,
        _address: IpAddr,
    ) -> Answer<Result<FoundObject, Unavailable>> {
        away()
    }
    fn bind(&self, _bindings: Vec<NewBinding>, _now: Time) -> Answer<Result<Vec<Bound>, Unavailable>> {
        away()
    }
    fn claim(
        &self,
        _name: ObjectName,
        _owner: String,
        _tenant: Option<String>,
        _now: Time,
    ) -> Answer<Result<FoundObject, Unavailable>> {
        away()
    }
}
