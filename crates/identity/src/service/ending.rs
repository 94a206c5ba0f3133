//! How tokens end.

use std::sync::Arc;

use countersign_auth::account::AccountId;
use countersign_auth::port::Unavailable;
use countersign_auth::time::Time;
use countersign_auth::token::{TokenDigest, TokenKind, TokenRef};
use hashbrown::HashSet;

use super::{By, Core, Ended, Ledger, unavailable};
use crate::audit;
use crate::store::{AuditRow, Change, StoreFuture};
use crate::tokens::record::{self, Record};

impl Core {
    /// Takes tokens out of memory: from here on they are refused, whatever the store says.
    pub(super) fn take_out(
        &self,
        ledger: &mut Ledger,
        tokens: impl IntoIterator<Item = TokenDigest>,
    ) -> Vec<Record> {
        let mut gone = Vec::new();
        for digest in tokens {
            if let Some(record) = self.tokens.remove(&digest) {
                ledger.meanwhile.ends(digest);
                gone.push(record);
            }
        }
        gone
    }

    /// Takes a token out, and what was issued with it, and whatever hangs on one of them.
    pub(super) fn take_out_family(&self, ledger: &mut Ledger, record: &Record) -> Vec<Record> {
        let mut gone = self.take_out(ledger, [record.token()]);
        if gone.is_empty() {
            // Somebody has it in hand, and must not bring it back.
            ledger.meanwhile.ends(record.token());
        }
        gone.extend(self.follow(ledger, record));
        gone
    }

    /// Takes out what was issued with a token that is gone, and whatever hangs on one of them.
    ///
    /// They are looked for once more when all that were found are gone: a session that was opened on one of them meanwhile
    /// is found then, or finds it gone.
    fn follow(&self, ledger: &mut Ledger, record: &Record) -> Vec<Record> {
        let mut gone = Vec::new();
        if record.account == 0 {
            return gone;
        }
        let mut ends = self.families_of(record, &[]);
        loop {
            let found = self.hanging(record.account, &ends);
            if found.is_empty() {
                ledger.meanwhile.end_families(record.account, &ends);
                return gone;
            }
            ends.extend(found.iter().map(record::family_on));
            gone.extend(self.take_out(ledger, found));
        }
    }

    /// Takes out what hangs on tokens that are gone.
    pub(super) fn take_out_hanging<'g>(
        &self,
        ledger: &mut Ledger,
        gone: impl Iterator<Item = &'g Record>,
    ) -> Vec<Record> {
        gone.flat_map(|record| self.follow(ledger, &Record { family: 0, ..*record })).collect()
    }

    fn hanging(&self, account: u64, families: &HashSet<u64>) -> Vec<TokenDigest> {
        self.tokens.of_families(account, families).iter().map(Record::token).collect()
    }

    /// The families that end with a token, where memory does not have all that was issued to its account, but some are in
    /// hand: its own, and the one of what hangs on it.
    fn families_of(&self, record: &Record, in_hand: &[Record]) -> HashSet<u64> {
        let mut families = HashSet::from([record::family_on(&record.token())]);
        // Beside it may hang what was issued on the same token another time, and has nothing to do with it.
        if record.family != 0 && (!record.hangs() || self.is_renewed(record, in_hand)) {
            families.insert(record.family);
        }
        families
    }

    /// Whether a refresh token is in the family of a token.
    fn is_renewed(&self, record: &Record, in_hand: &[Record]) -> bool {
        let is_of_it = |other: &Record| {
            (other.account, other.family, other.kind) == (record.account, record.family, TokenKind::Refresh)
        };
        in_hand.iter().chain([record]).any(is_of_it)
            || !self.tokens.renewing(record.account, record.family).is_empty()
    }

    /// Puts back what was taken out, but for what somebody else has ended since the note of that number, and what was issued
    /// with that or on it: whoever ended it did not find it, and the store was not told.
    pub(super) fn put_back(&self, ledger: &mut Ledger, taken: Vec<Record>, note: u64) {
        let has_ended = |record: &Record| ledger.meanwhile.has_ended_since(record, note);
        let mut end: Vec<_> = taken.iter().filter(|record| has_ended(record)).copied().collect();
        let mut ended = HashSet::new();
        while let Some(record) = end.pop() {
            if !ended.insert(record.digest) || record.account == 0 {
                continue;
            }
            let families = self.families_of(&record, &taken);
            ledger.meanwhile.end_families(record.account, &families);
            let ends = |other: &&Record| other.account == record.account && families.contains(&other.family);
            end.extend(taken.iter().filter(ends).copied());
        }
        for record in taken {
            if ended.contains(&record.digest) {
                self.finish_end_unwritten(ledger, record.token());
            } else {
                self.tokens.insert(record);
            }
        }
    }

    /// Leaves it to the next flush to tell the store of an end.
    pub(super) fn finish_end_unwritten(&self, ledger: &mut Ledger, token: TokenDigest) {
        ledger.unwritten_ends.push(token.0);
        self.tell(Ended::Token(token));
    }

    /// Ends a token whose family ended while it was in the store alone, and what was issued on it, of which some may have come
    /// into memory before.
    pub(super) fn end_unloaded(&self, ledger: &mut Ledger, token: TokenDigest, account: u64) {
        if self.tokens.get(&token).is_some() {
            // Issued since: a key goes on that ends sooner than it did.
            return;
        }
        self.finish_end_unwritten(ledger, token);
        for record in self.take_out_issued_on(ledger, token, account) {
            self.finish_end_unwritten(ledger, record.token());
        }
    }

    /// Takes out what was issued on a token, and whatever hangs on that; it need not be in memory itself.
    fn take_out_issued_on(&self, ledger: &mut Ledger, token: TokenDigest, account: u64) -> Vec<Record> {
        let families = HashSet::from([record::family_on(&token)]);
        ledger.meanwhile.end_families(account, &families);
        let mut gone = Vec::new();
        for digest in self.hanging(account, &families) {
            if let Some(record) = self.tokens.get(&digest) {
                gone.extend(self.take_out_family(ledger, &record));
            }
        }
        gone
    }

    /// Waits for the store to learn of ends. If it cannot, they are told to it later, with what the audit has to say of them:
    /// memory has them already.
    async fn finish_end(
        &self,
        gone: Vec<Record>,
        event: Option<AuditRow>,
        write: StoreFuture<()>,
    ) -> Result<(), Unavailable> {
        for record in &gone {
            self.tell(Ended::Token(record.token()));
        }
        write.await.map_err(|error| {
            let mut ledger = self.ledger();
            ledger.unwritten_ends.extend(gone.iter().map(|record| record.digest));
            ledger.unwritten_events.extend(event);
            unavailable(error)
        })
    }

    /// The same after a change that the store has taken: that is made, whether or not it can be told at once what ended with
    /// it, and whoever asked for it hears so.
    async fn finish_end_later(&self, gone: Vec<Record>, write: StoreFuture<()>) {
        if let Err(error) = self.finish_end(gone, None, write).await {
            tracing::warn!(%error, "could not tell the store what ended with a change, will go on trying");
        }
    }

    /// Ends a token, its family and what hangs on it. An API key is ended by the key operations alone.
    pub(super) async fn end(self: Arc<Self>, digest: TokenDigest) -> Result<(), Unavailable> {
        self.end_one(digest, None).await
    }

    async fn end_one(
        self: &Arc<Self>,
        digest: TokenDigest,
        event: Option<AuditRow>,
    ) -> Result<(), Unavailable> {
        self.fetch(digest).await?;
        let (gone, write) = {
            let mut ledger = self.ledger();
            let Some(record) = self.tokens.get(&digest).filter(|record| record.kind != TokenKind::Key) else {
                // An order that has it in hand must not bring it back.
                ledger.meanwhile.ends(digest);
                return Ok(());
            };
            let gone = self.take_out_family(&mut ledger, &record);
            let digests = gone.iter().map(|record| record.digest).collect();
            let mut changes = vec![Change::DeleteTokens(digests)];
            changes.extend(event.clone().map(Change::Audit));
            (gone, self.store.write(changes))
        };
        self.finish_end(gone, event, write).await
    }

    /// Ends what was issued on an API key that is gone, or ends sooner than it did.
    pub(crate) async fn end_hanging(&self, key: TokenDigest, account: AccountId) {
        let (gone, write) = {
            let mut ledger = self.ledger();
            let gone = self.take_out_issued_on(&mut ledger, key, account.0);
            if gone.is_empty() {
                return;
            }
            let digests = gone.iter().map(|record| record.digest).collect();
            (gone, self.store.write(vec![Change::DeleteTokens(digests)]))
        };
        self.finish_end_later(gone, write).await;
    }

    /// Ends a token of an account by its public name. `by`: who else than its holder does so, for the audit.
    pub(super) async fn end_named(
        self: Arc<Self>,
        account: AccountId,
        name: TokenRef,
        by: Option<By>,
        now: Time,
    ) -> Result<bool, Unavailable> {
        let named = |record: &Record| record.kind != TokenKind::Key && record.token().reference() == name;
        let Some(record) = self.tokens.of_account(account.0).into_iter().find(named) else {
            return if self.is_loaded() { Ok(false) } else { Err(still_loading()) };
        };
        let event = by.map(|by| audit::row(&by, "session.ended", self.audited(&record), now));
        self.end_one(record.token(), event).await.map(|()| true)
    }

    /// Ends the family of a refresh token that came back after it was spent: one of two holders is a thief
    /// (RFC 9700 section 4.14.2).
    pub(super) async fn end_reused(self: Arc<Self>, record: Record, now: Time) -> Result<(), Unavailable> {
        match self.take_reused(&record, now) {
            Some(FamilyEnd { gone, event, write }) => self.finish_end(gone, Some(event), write).await,
            None => Ok(()),
        }
    }

    /// The same without waiting for the store: memory refuses the whole family from here on.
    pub(super) fn begin_end_reused(self: &Arc<Self>, record: &Record, now: Time) {
        if let Some(FamilyEnd { gone, event, write }) = self.take_reused(record, now) {
            let core = Arc::clone(self);
            self.handle.spawn(async move { core.finish_end(gone, Some(event), write).await });
        }
    }

    /// What a token is called in the audit.
    fn audited(&self, record: &Record) -> String {
        let holder = self.directory.find(record.account);
        holder.map_or_else(String::new, |entry| {
            format!("{} token {}", audit::name_of(&entry.account), record.token().reference())
        })
    }

    fn take_reused(&self, record: &Record, now: Time) -> Option<FamilyEnd> {
        let mut ledger = self.ledger();
        let gone = self.take_out_family(&mut ledger, record);
        if gone.is_empty() {
            return None;
        }
        tracing::warn!(
            account.id = record.account,
            token.reference = %record.token().reference(),
            tokens.ended = gone.len(),
            "a spent refresh token came back, ended its family"
        );
        let event = audit::row(&By::gate(), "refresh.reused", self.audited(record), now);
        let digests = gone.iter().map(|record| record.digest).collect();
        let write = self.store.write(vec![Change::DeleteTokens(digests), Change::Audit(event.clone())]);
        Some(FamilyEnd { gone, event, write })
    }

    /// Ends what an account holds in memory, after its rows have gone. API keys stay unless the account goes.
    ///
    /// `change` makes the account what it is from here on, and must not wait: what is issued to that is issued when the rest
    /// is gone.
    pub(super) async fn end_all(
        &self,
        account: AccountId,
        keep: Option<TokenDigest>,
        scope: Scope,
        change: impl FnOnce(),
        now: Time,
    ) {
        let (gone, write) = {
            let mut ledger = self.ledger();
            change();
            ledger.meanwhile.end_account(account, keep);
            let held = self.tokens.of_account(account.0).into_iter();
            let goes = |record: &Record| {
                Some(record.token()) != keep && (scope == Scope::Everything || record.kind != TokenKind::Key)
            };
            let digests: Vec<_> = held.filter(goes).map(|record| record.token()).collect();
            let gone = self.take_out(&mut ledger, digests);
            let digests = gone.iter().map(|record| record.digest).collect();
            // Once more: a log-in may have slipped between the deletion of the rows and this.
            let mut changes = vec![Change::DeleteTokens(digests)];
            // Whoever changes his password has just proven the old one: what he keeps was proven now.
            let kept = keep.and_then(|digest| {
                let proven = |record: &mut Record| {
                    record.proven = record::ceil(now);
                    *record
                };
                self.tokens.get(&digest).filter(|record| record.account == account.0)?;
                self.tokens.change(&digest, proven)
            });
            changes.extend(kept.and_then(|record| self.row(record)).map(|row| Change::PutTokens(vec![row])));
            (gone, self.store.write(changes))
        };
        self.tell(Ended::Account(account));
        self.finish_end_later(gone, write).await;
    }
}

/// The family of a refresh token that came back, taken out.
struct FamilyEnd {
    gone: Vec<Record>,
    event: AuditRow,
    /// Tells the store both.
    write: StoreFuture<()>,
}

/// What of an account ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Sessions and tokens: what was given out for a proof.
    Proofs,
    /// API keys as well.
    Everything,
}

pub(super) fn still_loading() -> Unavailable {
    Unavailable("tokens are still being loaded".to_owned())
}
