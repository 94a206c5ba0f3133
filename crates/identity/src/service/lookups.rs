//! Who holds what: the look-ups of the gate.
//!
//! Whoever changes this file can forge an identity; it is reviewed as such.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use countersign_auth::account::{Account, AccountId};
use countersign_auth::derive::DerivationKey;
use countersign_auth::port::digest::Digests;
use countersign_auth::port::{
    Answer, ApplicationAnswer, AtHand, IssuerKeys, Lookups, PasswordAnswer, PasswordClaim, ProofKey, Purpose,
    Remembered, SharedAnswer, Signer, TokenAnswer, Unavailable, Verified,
};
use countersign_auth::source::Source;
use countersign_auth::time::Time;
use countersign_auth::token::{LiveToken, TokenDigest, TokenKind};

use super::{Core, Service, unavailable};
use crate::tokens::Found;
use crate::tokens::record::{self, Marks, Record};
use crate::tokens::table::Read;

impl Core {
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Makes sure that a token is in memory if there is one.
    pub(super) async fn fetch(&self, digest: TokenDigest) -> Result<(), Unavailable> {
        if self.is_loaded() || self.tokens.get(&digest).is_some() {
            return Ok(());
        }
        let _reader = self.reader();
        if self.is_loaded() {
            // Just now: what ended between that and this was noted for nobody.
            return Ok(());
        }
        let row = self.store.token(digest.0).await.map_err(unavailable)?;
        if let Some(row) = row {
            self.adopt(&mut self.ledger(), std::slice::from_ref(&row));
        }
        Ok(())
    }

    /// What memory says of a token that somebody presents; `None` if it does not have it or has to wait for that.
    fn token_answer(self: &Arc<Self>, found: Found, now: Time) -> Option<TokenAnswer> {
        match found {
            Found::Live(record) => Some(self.live(&record, now)),
            Found::Expired => Some(TokenAnswer::Expired),
            Found::Reused(record) => {
                // The look-up does not wait for the store: the family is refused already.
                self.begin_end_reused(&record, now);
                Some(TokenAnswer::Unknown)
            }
            Found::Missing | Found::Unsettled => None,
        }
    }

    /// Whether a token is spent, or nobody may act as its account.
    fn is_void(&self, record: &Record) -> bool {
        let may_act = record.account == 0 || self.directory.enabled(record.account).is_some();
        !may_act || record.marks.has(Marks::SPENT)
    }

    /// The token with its account as it is now; unknown if nobody may act as that.
    fn live(&self, record: &Record, now: Time) -> TokenAnswer {
        let account = match record.account {
            0 => None,
            id => match self.directory.enabled(id) {
                Some(account) => Some(account),
                None => return TokenAnswer::Unknown,
            },
        };
        let proven_at = match record.kind {
            // A key is a proof each time that it is presented, of its holder as he is now, however late that came about.
            TokenKind::Key => account.as_ref().map_or(now, |account| now.max(account.proofs_from)),
            TokenKind::Session
            | TokenKind::Access
            | TokenKind::Refresh
            | TokenKind::Shared
            | TokenKind::Jwt => record::time(record.proven),
        };
        TokenAnswer::Live(LiveToken {
            digest: record.token(),
            account,
            issued_at: record::time(record.issued),
            expires_at: record.expires_at(),
            proven_at,
        })
    }
}

impl Service {
    /// Whether a token that was live was ended or has expired, for those who ask once and may wait for whoever changes the
    /// memory just now. It may have been live before the last start: while tokens are loaded, one that is not there yet is not
    /// over.
    pub fn is_over(&self, digest: &TokenDigest, now: Time) -> bool {
        let loaded = self.core.is_loaded();
        let is_over = |record: Record| self.core.is_void(&record) || !record.is_live(record::floor(now));
        self.core.tokens.get(digest).map_or(loaded, is_over)
    }
}

impl Lookups for Service {
    fn token(&self, digest: &TokenDigest, now: Time) -> AtHand<TokenAnswer> {
        // Asked before memory is: what is loaded in between is found, and nothing is called unknown too early.
        let loaded = self.core.is_loaded();
        match self.core.tokens.look(digest, record::floor(now)) {
            Found::Missing if loaded => AtHand::Known(TokenAnswer::Unknown),
            found @ (Found::Live(_)
            | Found::Expired
            | Found::Reused(_)
            | Found::Missing
            | Found::Unsettled) => self.core.token_answer(found, now).map_or(AtHand::Ask, AtHand::Known),
        }
    }

    fn find_token(&self, digest: TokenDigest, now: Time) -> Answer<Result<TokenAnswer, Unavailable>> {
        if let AtHand::Known(answer) = self.token(&digest, now) {
            return Box::pin(async { Ok(answer) });
        }
        self.run(move |core| async move {
            core.fetch(digest).await?;
            let found = core.tokens.present(&digest, record::floor(now));
            Ok(core.token_answer(found, now).unwrap_or(TokenAnswer::Unknown))
        })
    }

    fn has_ended(&self, digest: &TokenDigest) -> bool {
        match self.core.tokens.read(digest) {
            Read::Found(record) => self.core.is_void(&record),
            // It was there when it was live, also where tokens are still being loaded.
            Read::Missing => true,
            // Somebody changes that part of the memory just now: the next beat asks again.
            Read::Busy => false,
        }
    }

    fn has_expired(&self, digest: &TokenDigest, at: Time) -> bool {
        match self.core.tokens.read(digest) {
            Read::Found(record) => !record.is_live(record::floor(at)),
            Read::Missing | Read::Busy => false,
        }
    }

    fn check_password(&self, claim: PasswordClaim, now: Time) -> Answer<Result<PasswordAnswer, Unavailable>> {
        self.run(move |core| core.check_password(claim, now))
    }

    fn recall(&self, key: &ProofKey, now: Time) -> Option<Remembered> {
        self.core.proofs.recall(key, now)
    }

    fn recall_at(&self, key: &ProofKey, address: IpAddr, now: Time) -> Option<Remembered> {
        self.core.proofs.recall_at(key, Source::of(address), &self.core.lockout, now)
    }

    fn is_locked(&self, account: AccountId, address: IpAddr, now: Time) -> bool {
        self.core.lockout.is_locked(account.0, Source::of(address), now)
    }

    fn remember(&self, key: ProofKey, proof: Verified, now: Time) {
        self.core.proofs.remember(key, proof, now);
    }

    fn derivation_key(&self) -> &DerivationKey {
        &self.core.derivation_key
    }

    fn issuer_keys(&self, api: &str, issuer: &str) -> Result<Option<Arc<IssuerKeys>>, Unavailable> {
        self.core.issuers.keys(api, issuer, || self.core.signing.verifying(Purpose::Token))
    }

    fn account_by_number(&self, id: AccountId) -> Option<Arc<Account>> {
        self.core.directory.enabled(id.0)
    }

    fn account_by_subject(&self, kind: &str, subject: &str) -> Option<Arc<Account>> {
        let entry = self.core.directory.subject(kind, subject)?;
        (!entry.disabled).then(|| Arc::clone(&entry.account))
    }

    fn shared_value(&self, api: &str, word: &str, value: &str, address: IpAddr, now: Time) -> SharedAnswer {
        let core = &self.core;
        let addresses = &core.lockout.addresses;
        // Asked before it is compared: whoever has no attempts left does not learn that this one was right (T-D4).
        if addresses.is_spent(address, now) {
            return SharedAnswer::TooMany;
        }
        let Some(holder) = core.values.shared(&core.derivation_key, api, word, value) else {
            return SharedAnswer::NotSet;
        };
        match holder.and_then(|id| core.directory.enabled(id)) {
            Some(account) => SharedAnswer::Right(account),
            None if addresses.begin(address, now).is_ok() => SharedAnswer::Wrong,
            None => SharedAnswer::TooMany,
        }
    }

    fn application_secret(&self, api: &str, secret: &str, address: IpAddr, now: Time) -> ApplicationAnswer {
        let core = &self.core;
        let addresses = &core.lockout.addresses;
        if addresses.is_spent(address, now) {
            return ApplicationAnswer::TooMany;
        }
        let holders = core.values.applications(&core.derivation_key, api, secret);
        if holders.into_iter().any(|id| core.directory.enabled(id).is_some()) {
            ApplicationAnswer::Right
        } else if addresses.begin(address, now).is_ok() {
            ApplicationAnswer::Wrong
        } else {
            ApplicationAnswer::TooMany
        }
    }

    fn digests(&self) -> Option<&dyn Digests> {
        Some(self)
    }
}

impl Signer for Service {
    fn sign(&self, purpose: Purpose, typ: &'static str, claims: &[u8]) -> Result<String, Unavailable> {
        self.core.signing.sign(purpose, typ, claims)
    }
}
