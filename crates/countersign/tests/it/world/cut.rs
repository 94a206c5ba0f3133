//! Look-ups whose store can be cut off.
//!
//! The store of one file is in memory as a whole, so that password checks go on without it. A store that is
//! somewhere else cannot do that: what memory does not know for certain has to be asked. Transcripts show the
//! harder case.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign_auth::account::{Account, AccountId, Live};
use countersign_auth::derive::DerivationKey;
use countersign_auth::port::digest::Digests;
use countersign_auth::port::foreign::{
    CodeAnswer, CodeClaim, Foreign, FrontTerms, IssuerTerms, LoggedIn, LoginEntrance, LoginTerms,
    OpaqueAnswer, OpaqueClaim,
};
use countersign_auth::port::{
    Answer, ApplicationAnswer, AtHand, IssuerKeys, Lookups, PasswordAnswer, PasswordClaim, ProofKey,
    Remembered, SharedAnswer, TokenAnswer, Unavailable, Verified,
};
use countersign_auth::time::Time;
use countersign_auth::token::TokenDigest;
use countersign_identity::service::Service;

use crate::transcript::{Load, Reach};

/// The look-ups of a service, or nothing but what its memory is certain of.
pub(crate) struct Cut {
    service: Arc<Service>,
    is_down: AtomicBool,
    is_busy: AtomicBool,
}

impl Cut {
    /// Nothing is cut off yet.
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self { service, is_down: AtomicBool::new(false), is_busy: AtomicBool::new(false) }
    }

    /// Cuts the store off, or not.
    pub(crate) fn reach(&self, reach: Reach) {
        self.is_down.store(reach == Reach::Down, Ordering::SeqCst);
    }

    /// Lets nobody have a password checked, or everybody.
    pub(crate) fn load(&self, load: Load) {
        self.is_busy.store(load == Load::Busy, Ordering::SeqCst);
    }

    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Service) -> Answer<Result<T, Unavailable>>,
    ) -> Answer<Result<T, Unavailable>> {
        if self.is_down.load(Ordering::SeqCst) {
            Box::pin(std::future::ready(Err(Unavailable("the store is cut off".to_owned()))))
        } else {
            ask(&self.service)
        }
    }
}

impl Foreign for Cut {
    fn issuer_terms(&self, api: &str, issuer: &str) -> Option<Arc<IssuerTerms>> {
        self.service.issuer_terms(api, issuer)
    }

    fn described(&self, account: Account, keys: &[Live]) -> Arc<Account> {
        self.service.described(account, keys)
    }

    fn renewed_keys(&self, api: &str, issuer: &str) -> Answer<Result<Option<Arc<IssuerKeys>>, Unavailable>> {
        self.service.renewed_keys(api, issuer)
    }

    fn introspects(&self, api: &str, credential: &str) -> bool {
        self.service.introspects(api, credential)
    }

    fn introspect(&self, claim: OpaqueClaim, now: Time) -> Answer<Result<OpaqueAnswer, Unavailable>> {
        self.service.introspect(claim, now)
    }

    fn login_terms(&self, api: &str, login: &str) -> Option<Arc<LoginTerms>> {
        self.service.login_terms(api, login)
    }

    fn login_entrance(&self, api: &str, login: &str) -> Answer<Result<LoginEntrance, Unavailable>> {
        self.service.login_entrance(api, login)
    }

    fn redeem_code(&self, claim: CodeClaim, now: Time) -> Answer<Result<CodeAnswer, Unavailable>> {
        self.service.redeem_code(claim, now)
    }

    fn logged_in(
        &self,
        person: LoggedIn,
        now: Time,
    ) -> Answer<Result<Result<Arc<Account>, &'static str>, Unavailable>> {
        self.ask(|service| service.logged_in(person, now))
    }

    fn front(&self, api: &str) -> Option<Arc<FrontTerms>> {
        self.service.front(api)
    }

    fn account_by_name(&self, kind: &str, name: &str) -> Option<Arc<Account>> {
        self.service.account_by_name(kind, name)
    }

    fn introduced(
        &self,
        api: &str,
        kind: &str,
        name: &str,
        now: Time,
    ) -> Answer<Result<Option<Arc<Account>>, Unavailable>> {
        self.service.introduced(api, kind, name, now)
    }
}

impl Lookups for Cut {
    fn token(&self, digest: &TokenDigest, now: Time) -> AtHand<TokenAnswer> {
        match self.service.token(digest, now) {
            AtHand::Known(TokenAnswer::Unknown) if self.is_down.load(Ordering::SeqCst) => AtHand::Ask,
            answer @ (AtHand::Known(_) | AtHand::Ask) => answer,
        }
    }

    fn find_token(&self, digest: TokenDigest, now: Time) -> Answer<Result<TokenAnswer, Unavailable>> {
        self.ask(|service| service.find_token(digest, now))
    }

    fn has_ended(&self, digest: &TokenDigest) -> bool {
        self.service.has_ended(digest)
    }

    fn has_expired(&self, digest: &TokenDigest, at: Time) -> bool {
        self.service.has_expired(digest, at)
    }

    fn check_password(&self, claim: PasswordClaim, now: Time) -> Answer<Result<PasswordAnswer, Unavailable>> {
        if self.is_busy.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Ok(PasswordAnswer::TooMany)));
        }
        self.ask(|service| service.check_password(claim, now))
    }

    fn recall(&self, key: &ProofKey, now: Time) -> Option<Remembered> {
        self.service.recall(key, now)
    }

    fn recall_at(&self, key: &ProofKey, address: IpAddr, now: Time) -> Option<Remembered> {
        self.service.recall_at(key, address, now)
    }

    fn is_locked(&self, account: AccountId, address: IpAddr, now: Time) -> bool {
        self.service.is_locked(account, address, now)
    }

    fn remember(&self, key: ProofKey, proof: Verified, now: Time) {
        self.service.remember(key, proof, now);
    }

    fn derivation_key(&self) -> &DerivationKey {
        self.service.derivation_key()
    }

    fn issuer_keys(&self, api: &str, issuer: &str) -> Result<Option<Arc<IssuerKeys>>, Unavailable> {
        self.service.issuer_keys(api, issuer)
    }

    fn account_by_number(&self, id: AccountId) -> Option<Arc<Account>> {
        self.service.account_by_number(id)
    }

    fn account_by_subject(&self, kind: &str, subject: &str) -> Option<Arc<Account>> {
        self.service.account_by_subject(kind, subject)
    }

    fn shared_value(&self, api: &str, word: &str, value: &str, address: IpAddr, now: Time) -> SharedAnswer {
        self.service.shared_value(api, word, value, address, now)
    }

    fn application_secret(&self, api: &str, secret: &str, address: IpAddr, now: Time) -> ApplicationAnswer {
        self.service.application_secret(api, secret, address, now)
    }

    fn digests(&self) -> Option<&dyn Digests> {
        // What is kept for Digest is in memory as a whole wherever the store is.
        self.service.digests()
    }
}
