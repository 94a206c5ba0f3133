//! What endpoints of a dialect make happen.

use std::sync::Arc;

use countersign_auth::account::AccountId;
use countersign_auth::port::keys::{KeyAnswer, KeyCaller, KeyChange, KeyInfo, KeyName};
use countersign_auth::port::{
    Answer, Issue, IssueAnswer, Issued, Opening, Operations, PasswordChange, PasswordClaim, TokenInfo,
    Unavailable,
};
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;
use countersign_auth::token::{TokenDigest, TokenKind, TokenPlan, TokenRef};

use super::ending::still_loading;
use super::issue::Lifetimes;
use super::{By, Core, Service};
use crate::keys::{Asking, cut};
use crate::tokens::record::{self, Marks, NEVER, Record};

impl Core {
    /// Opens a session in memory alone.
    fn open_session(&self, opening: &Opening<'_>, now: Time) -> Result<Option<Issued>, Unavailable> {
        let Opening { api, account, plan, proven_at, on, address } = *opening;
        let parent = |digest| self.tokens.get(&digest).filter(|parent| parent.is_live(record::floor(now)));
        let ends = match on.map(parent) {
            Some(None) => return Ok(None),
            Some(Some(parent)) => parent.ends,
            None => NEVER,
        };
        let family = match (account, on) {
            (None, _) => self.source_family(address),
            (Some(_), Some(digest)) => record::family_on(&digest),
            (Some(_), None) => 0,
        };
        let lifetimes = Lifetimes { proven: record::ceil(proven_at), family, bound: None, ends };
        let mut record = self.draft(api, account, plan, &lifetimes, now)?;
        record.marks = Marks::FRESH.with(Marks::UNSTORED);
        let value = self.fresh_value(&plan.form, account.map(|account| &**account), "")?;
        let digest = TokenDigest::of(api, &plan.word, value.expose());
        record.digest = digest.0;
        let limit = plan.per_account.map(|most| (most, plan.at_limit));
        let Ok(mut gone) = self.tokens.open(record, limit, record::floor(now)) else { return Ok(None) };
        if !gone.is_empty() {
            let mut ledger = self.ledger();
            let hanging = self.take_out_hanging(&mut ledger, gone.iter());
            gone.extend(hanging);
            for record in gone {
                ledger.meanwhile.ends(record.token());
                self.finish_end_unwritten(&mut ledger, record.token());
            }
        }
        // An account that was disabled while this went on has ended all sessions but this one, and a token that ended, or ends
        // sooner than it did, what hung on it.
        let reaches_further = |parent: Option<Record>| parent.is_none_or(|parent| parent.ends < ends);
        let has_ended = account.is_some_and(|account| !self.may_still_act(account, proven_at, now))
            || on.map(parent).is_some_and(reaches_further);
        if has_ended {
            self.tokens.remove(&digest);
            return Ok(None);
        }
        self.issued(api, plan, value, &record).map(Some)
    }

    /// What an account holds at an API of the kinds that are asked for.
    fn held(
        &self,
        account: AccountId,
        api: &str,
        is_meant: impl Fn(TokenKind) -> bool,
        now: Time,
    ) -> Vec<TokenInfo> {
        let Some(holder) = self.directory.enabled(account.0) else { return Vec::new() };
        let now = record::floor(now);
        let live = self.tokens.of_account(account.0).into_iter();
        let live = live.filter(|record| is_meant(record.kind) && record.is_live(now));
        live.filter_map(|record| {
            let (token_api, word) = self.tokens.words.names(record.word)?;
            (*token_api == *api).then(|| TokenInfo {
                reference: record.token().reference(),
                api: token_api,
                word,
                kind: record.kind,
                subject: holder.subject.clone(),
                issued_at: record::time(record.issued),
                expires_at: record.expires_at(),
            })
        })
        .collect()
    }
}

impl Service {
    /// The sessions and tokens that an account holds at an API, its API keys aside: whatever [`Service::end_session`]
    /// ends. Ending one ends what was issued with it.
    ///
    /// # Errors
    /// As long as tokens are being loaded.
    pub fn tokens(&self, account: AccountId, api: &str, now: Time) -> Result<Vec<TokenInfo>, Unavailable> {
        if !self.core.is_loaded() {
            return Err(still_loading());
        }
        Ok(self.core.held(account, api, |kind| kind != TokenKind::Key, now))
    }

    /// Ends a session or token of somebody by its public name, with what was issued with it, and says in the audit who did;
    /// false if he holds none of that name. API keys are ended by the key operations alone.
    ///
    /// # Errors
    /// As long as tokens are being loaded, or if the store cannot write: it is refused from then on all the same.
    pub fn end_session(
        &self,
        account: AccountId,
        name: TokenRef,
        by: By,
        now: Time,
    ) -> Answer<Result<bool, Unavailable>> {
        self.run(move |core| core.end_named(account, name, Some(by), now))
    }

    /// Runs what a client orders of keys, if there is a place for it.
    fn key_order<F>(
        &self,
        caller: KeyCaller,
        order: impl FnOnce(Arc<Core>, Asking) -> F + Send + 'static,
    ) -> Answer<Result<KeyAnswer, Unavailable>>
    where
        F: Future<Output = Result<KeyAnswer, Unavailable>> + Send + 'static,
    {
        let Some(place) = self.core.key_orders.begin(caller.account.id.0) else {
            return Box::pin(async { Ok(KeyAnswer::TooMany) });
        };
        self.run(move |core| async move {
            let _until_done = place;
            order(core, Asking::Client(caller)).await
        })
    }
}

impl Operations for Service {
    fn issue(&self, order: Issue, now: Time) -> Answer<Result<IssueAnswer, Unavailable>> {
        self.run(move |core| core.issue(order, now))
    }

    fn open_session(&self, opening: &Opening<'_>, now: Time) -> Result<Option<Issued>, Unavailable> {
        self.core.open_session(opening, now)
    }

    fn end(&self, digest: TokenDigest, _now: Time) -> Answer<Result<(), Unavailable>> {
        self.run(move |core| core.end(digest))
    }

    fn end_named(&self, account: AccountId, name: TokenRef, now: Time) -> Answer<Result<bool, Unavailable>> {
        self.run(move |core| core.end_named(account, name, None, now))
    }

    fn sessions(
        &self,
        account: AccountId,
        api: Arc<str>,
        now: Time,
    ) -> Answer<Result<Vec<TokenInfo>, Unavailable>> {
        if !self.core.is_loaded() {
            return Box::pin(async { Err(still_loading()) });
        }
        let sessions = self.core.held(account, &api, |kind| kind == TokenKind::Session, now);
        Box::pin(async { Ok(sessions) })
    }

    fn key_create(
        &self,
        caller: KeyCaller,
        owner: String,
        plan: TokenPlan,
        change: KeyChange,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        let change = cut(change);
        self.key_order(caller, move |core, asking| core.key_create(asking, owner, plan, change, now))
    }

    fn key_list(
        &self,
        caller: KeyCaller,
        owner: Option<String>,
        _now: Time,
    ) -> Answer<Result<Vec<KeyInfo>, Unavailable>> {
        let keys = self.core.key_list(&Asking::Client(caller), owner.as_deref());
        let keys = keys.into_iter().map(|(info, _)| info).collect();
        Box::pin(async { Ok(keys) })
    }

    fn key_show(
        &self,
        caller: KeyCaller,
        key: KeyName,
        _now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        let answer = self.core.key_show(&Asking::Client(caller), &key);
        Box::pin(async { Ok(answer) })
    }

    fn key_update(
        &self,
        caller: KeyCaller,
        key: KeyName,
        change: KeyChange,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        let change = cut(change);
        self.key_order(caller, move |core, asking| core.key_update(asking, key, change, now))
    }

    fn key_rotate(
        &self,
        caller: KeyCaller,
        key: KeyName,
        plan: TokenPlan,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        self.key_order(caller, move |core, asking| core.key_rotate(asking, key, plan, now))
    }

    fn key_delete(
        &self,
        caller: KeyCaller,
        key: KeyName,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        self.key_order(caller, move |core, asking| core.key_delete(asking, key, now))
    }

    fn password_change(
        &self,
        claim: PasswordClaim,
        new: Secret,
        keep: Option<TokenDigest>,
        now: Time,
    ) -> Answer<Result<PasswordChange, Unavailable>> {
        // Who has no account here is told so at the end; all such people share a place.
        let holder = self.core.directory.login(&claim.kind, &claim.user);
        let account = holder.map_or(0, |entry| entry.account.id.0);
        let Some(place) = self.core.password_changes.begin(account) else {
            return Box::pin(async { Ok(PasswordChange::TooMany) });
        };
        self.run(move |core| async move {
            let _until_done = place;
            core.password_change(claim, new, keep, now).await
        })
    }
}
