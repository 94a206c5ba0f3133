//! How tokens are issued.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_auth::account::Account;
use countersign_auth::derive;
use countersign_auth::form::{Form, FormNames, NAME_LENGTH_MAX};
use countersign_auth::port::{Issue, IssueAnswer, Issued, Unavailable};
use countersign_auth::secret::Secret;
use countersign_auth::source::Source;
use countersign_auth::time::Time;
use countersign_auth::token::{TokenDigest, TokenKind, TokenPlan};
use zeroize::Zeroizing;

use super::replaced::Noted;
use super::{Core, Ended, Ledger, unavailable};
use crate::store::{Change, TokenRow};
use crate::tokens::record::{self, Marks, NEVER, Record};
use crate::values::framed_mac;

/// 9999-12-31T23:59:59Z: the end of what has none, where a moment must be told.
const END_OF_TIME_UNIX_SECS: i64 = 253_402_300_799;

/// Where proofs count from a moment that is so far ahead, the clock was when they ended.
const AHEAD: Duration = Duration::from_secs(60);

/// What memory looked like before an order was worked on.
#[derive(Default)]
pub(super) struct Work {
    issued: Vec<Issued>,
    rows: Vec<TokenRow>,
    added: Vec<TokenDigest>,
    pub(super) gone: Vec<Record>,
    /// The number of the last note of what ended when it had been worked on.
    noted: u64,
    /// A refresh token that this order marked as spent, as it was before.
    spent: Option<Record>,
    /// One that a parallel order marked, which pays for this one too.
    spent_before: Option<Record>,
    /// What was noted in the place of what it replaces, as it was before.
    replaced: Vec<Noted>,
    /// Successors that this order hands out, see [`Successors`](super::successors::Successors).
    successors: Vec<TokenDigest>,
}

/// The refresh token that pays for an order.
pub(super) struct Payment {
    pub(super) record: Record,
    pub(super) word: Arc<str>,
    pub(super) value: Secret,
}

/// Why nothing is issued.
pub(super) enum Denied {
    AtLimit,
    Spent,
    Ended,
    Reused(Record),
    Unavailable(Unavailable),
}

impl From<Unavailable> for Denied {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

impl Core {
    /// Issues what an order asks for: first in memory, then in the store; back out of memory if that fails.
    pub(super) async fn issue(
        self: Arc<Self>,
        mut order: Issue,
        now: Time,
    ) -> Result<IssueAnswer, Unavailable> {
        let spends = order.spends.take();
        if let Some((word, value)) = &spends {
            self.fetch(TokenDigest::of(&order.api, word, value.expose())).await?;
        }
        for digest in [order.on, order.replaces].into_iter().flatten() {
            self.fetch(digest).await?;
        }
        let _reader = self.reader();
        let begun = {
            let mut ledger = self.ledger();
            let mut work = Work::default();
            let prepared = self.prepare(&mut ledger, &mut work, &order, spends, now);
            work.noted = ledger.meanwhile.notes();
            match prepared {
                Ok(()) => {
                    let changes = changes(&mut work, now);
                    let write = (!changes.is_empty()).then(|| self.store.write(changes));
                    Ok((work, write))
                }
                Err(denied) => {
                    self.undo(&mut ledger, work);
                    Err(denied)
                }
            }
        };
        let (work, write) = match begun {
            Ok(begun) => begun,
            Err(Denied::AtLimit) => return Ok(IssueAnswer::AtLimit),
            Err(Denied::Spent) => return Ok(IssueAnswer::Spent),
            Err(Denied::Ended) => return Ok(IssueAnswer::Ended),
            Err(Denied::Reused(record)) => {
                return Arc::clone(&self).end_reused(record, now).await.map(|()| IssueAnswer::Spent);
            }
            Err(Denied::Unavailable(error)) => return Err(error),
        };
        let written = match write {
            Some(write) => write.await,
            None => Ok(()),
        };
        match written {
            Ok(()) => {
                if !work.successors.is_empty() {
                    self.ledger().successors.keep(&work.successors);
                }
                for record in &work.gone {
                    self.tell(Ended::Token(record.token()));
                }
                Ok(IssueAnswer::Issued(work.issued))
            }
            Err(error) => {
                self.undo(&mut self.ledger(), work);
                Err(unavailable(error))
            }
        }
    }

    /// Puts memory back to what it was, but for what somebody else has ended meanwhile.
    fn undo(&self, ledger: &mut Ledger, work: Work) {
        for digest in work.added {
            self.tokens.remove(&digest);
        }
        self.put_back(ledger, work.gone, work.noted);
        ledger.replaced.restore(work.replaced);
        if work.successors.is_empty() {
            self.unspend(work.spent);
        }
        for successor in work.successors {
            if let Some(left) = ledger.successors.leave(successor, work.spent) {
                self.tokens.remove(&successor);
                self.unspend(left.spent);
            }
        }
    }

    fn unspend(&self, before: Option<Record>) {
        if let Some(before) = before {
            self.tokens.change(&before.token(), |record| {
                record.marks = record.marks.without(Marks::SPENT);
                record.used = before.used;
            });
        }
    }

    fn prepare(
        &self,
        ledger: &mut Ledger,
        work: &mut Work,
        order: &Issue,
        spends: Option<(Arc<str>, Secret)>,
        now: Time,
    ) -> Result<(), Denied> {
        if order.account.as_ref().is_some_and(|account| account.id.0 == 0) {
            return Err(Unavailable("could not issue to an account that lives elsewhere".to_owned()).into());
        }
        if let Some(account) = &order.account
            && !self.may_still_act(account, order.proven_at, now)
        {
            return Err(Unavailable("the account was changed while it logged in".to_owned()).into());
        }
        if let Some(digest) = order.replaces {
            match self.tokens.get(&digest).filter(|record| record.kind != TokenKind::Key) {
                Some(record) => work.gone.extend(self.take_out_family(ledger, &record)),
                None => {
                    ledger.meanwhile.ends(digest);
                    work.gone.extend(self.take_out_replacement(ledger, digest, order, now));
                }
            }
        }
        let parent = match order.on {
            Some(digest) => Some(self.parent(&digest, order, now).ok_or(Denied::Ended)?),
            None => None,
        };
        let payment = match spends {
            Some((word, value)) => Some(self.spend(work, order, word, value, now)?),
            None => None,
        };
        let renews = order.plans.iter().filter(|plan| plan.kind == TokenKind::Refresh);
        let bound = renews.filter_map(|plan| plan.proof_lifetime).min();
        let has_refresh = order.plans.iter().any(|plan| plan.kind == TokenKind::Refresh);
        let family = match (&payment, &parent) {
            (_, _) if order.account.is_none() => self.source_family(order.address),
            (Some(payment), _) => payment.record.family,
            (None, Some(parent)) => record::family_on(&parent.token()),
            (None, None) if has_refresh => record::family(u64::from_be_bytes(self.draw()?)),
            (None, None) => 0,
        };
        // A refresh token that hangs on another reaches no further than that, and so does its successor.
        let paid = payment.as_ref().map(|payment| &payment.record).filter(|record| record.hangs());
        let ends = parent.as_ref().or(paid).map_or(NEVER, |record| record.ends);
        let proven =
            payment.as_ref().map_or_else(|| record::ceil(order.proven_at), |paid| paid.record.proven);
        for plan in &order.plans {
            let lifetimes = Lifetimes { proven, family, bound, ends };
            let record = self.draft(&order.api, order.account.as_ref(), plan, &lifetimes, now)?;
            if record.ends <= record::floor(now) {
                return Err(Denied::Spent);
            }
            let before = work.gone.len();
            self.add(ledger, work, order, plan, record, payment.as_ref())?;
            work.gone.iter().skip(before).for_each(|gone| ledger.meanwhile.ends(gone.token()));
        }
        // What had to make room takes with it what hangs on it, but for what was just issued on it.
        let hanging =
            self.take_out_hanging(ledger, work.gone.iter().filter(|gone| Some(gone.token()) != order.on));
        work.gone.extend(hanging);
        if payment.is_some() {
            self.forget_old_spent(ledger, work, order, family);
        }
        if let Some(gone) = order.replaces {
            work.replaced = self.note_replacement(ledger, gone, order, &work.issued);
        }
        Ok(())
    }

    /// Whether the account may act as it is now, on a proof of that time and of this copy: what was proven of an older one
    /// since which proofs have ended does not count, whenever it was.
    ///
    /// Where the clock was ahead when they ended, no proof can be as late; the copy alone decides then.
    pub(super) fn may_still_act(&self, account: &Account, proven_at: Time, now: Time) -> bool {
        self.directory.enabled(account.id.0).is_some_and(|current| {
            account.proofs_from == current.proofs_from
                && (proven_at >= current.proofs_from || current.proofs_from > now.plus(AHEAD))
        })
    }

    /// The token that an order was asked with, if it is its holder's and lives: nothing can end it before what is issued
    /// on it is there to end with it.
    fn parent(&self, digest: &TokenDigest, order: &Issue, now: Time) -> Option<Record> {
        let holder = order.account.as_ref().map_or(0, |account| account.id.0);
        let record = self.tokens.get(digest)?;
        (record.account == holder && record.is_live(record::floor(now))).then_some(record)
    }

    /// Marks the refresh token as spent that pays for an order.
    fn spend(
        &self,
        work: &mut Work,
        order: &Issue,
        word: Arc<str>,
        value: Secret,
        now: Time,
    ) -> Result<Payment, Denied> {
        let digest = TokenDigest::of(&order.api, &word, value.expose());
        let secs = record::floor(now);
        let record = self.tokens.get(&digest).ok_or(Denied::Spent)?;
        let holder = order.account.as_ref().map_or(0, |account| account.id.0);
        if record.kind != TokenKind::Refresh || record.account != holder || secs >= record.deadline() {
            return Err(Denied::Spent);
        }
        if record.marks.has(Marks::SPENT) {
            if !record.is_in_grace(secs) {
                return Err(Denied::Reused(record));
            }
        } else {
            work.spent = Some(record);
            self.tokens.change(&digest, |record| {
                record.marks = record.marks.with(Marks::SPENT);
                record.used = secs;
            });
        }
        Ok(Payment { record, word, value })
    }

    /// Makes the value of a token and adds it.
    fn add(
        &self,
        ledger: &mut Ledger,
        work: &mut Work,
        order: &Issue,
        plan: &TokenPlan,
        mut record: Record,
        payment: Option<&Payment>,
    ) -> Result<(), Denied> {
        let now = record.issued;
        let account = order.account.as_deref();
        let (value, spent) = match payment.filter(|_| plan.kind == TokenKind::Refresh) {
            Some(paid) => {
                let (value, spent) = self.unspent_successor(order, plan, paid, now)?;
                (value, Some(spent))
            }
            None => (self.fresh_value(&plan.form, account, "")?, None),
        };
        let digest = TokenDigest::of(&order.api, &plan.word, value.expose());
        record.digest = digest.0;
        let there = self.tokens.get(&digest);
        let is_there = there.is_some();
        if let Some(there) = there {
            // A parallel refresh was here first: the same successor, and its row and that of what was spent for it once
            // more, so that neither order depends on the other's write.
            record = there;
            work.spent_before = spent.filter(|spent| spent.marks.has(Marks::SPENT));
        } else {
            let limit = plan.per_account.map(|most| (most, plan.at_limit));
            let gone = if order.account.is_some() {
                self.tokens.issue(record, limit, now)
            } else {
                // Written when it is first presented: what strangers do not use costs no row.
                record.marks = Marks::FRESH.with(Marks::UNSTORED);
                self.tokens.open(record, limit, now)
            };
            let gone = gone.map_err(|_| Denied::AtLimit)?;
            work.gone.extend(gone);
            if spent.is_none() {
                work.added.push(digest);
            }
        }
        if spent.is_some() {
            ledger.successors.join(digest, is_there);
            work.successors.push(digest);
        }
        if !record.marks.has(Marks::UNSTORED) {
            work.rows.extend(self.row(record));
        }
        work.issued.push(self.issued(&order.api, plan, value, &record)?);
        Ok(())
    }

    /// What stands for a source with its anonymous sessions, also after a restart: an address is not kept for them.
    pub(super) fn source_family(&self, address: IpAddr) -> u64 {
        let source = Source::of(address).to_string();
        let mac = framed_mac(&self.derivation_key, "anonymous source", &[&source]);
        record::family(mac.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// A random value of a form.
    pub(crate) fn fresh_value(
        &self,
        form: &Form,
        account: Option<&Account>,
        label: &str,
    ) -> Result<Secret, Unavailable> {
        let mut bytes = Zeroizing::new(vec![0; form.bytes_wanted()]);
        self.random.fill(&mut bytes)?;
        fill(form, &bytes, account, label)
    }

    /// What is told of a token once, to whom it is issued.
    pub(super) fn issued(
        &self,
        api: &str,
        plan: &TokenPlan,
        value: Secret,
        record: &Record,
    ) -> Result<Issued, Unavailable> {
        let second = match &plan.second {
            Some(form) => {
                let half = derive::second_half(&self.derivation_key, api, &plan.word, value.expose(), form);
                Some(half.ok_or_else(|| Unavailable("could not derive a second half".to_owned()))?)
            }
            None => None,
        };
        let end_of_time = || Time::from_unix_secs(END_OF_TIME_UNIX_SECS);
        Ok(Issued {
            word: Arc::clone(&plan.word),
            value,
            second,
            reference: record.token().reference(),
            issued_at: record::time(record.issued),
            expires_at: record.expires_at().unwrap_or_else(end_of_time),
        })
    }

    /// A record without its digest.
    pub(super) fn draft(
        &self,
        api: &Arc<str>,
        account: Option<&Arc<Account>>,
        plan: &TokenPlan,
        lifetimes: &Lifetimes,
        now: Time,
    ) -> Result<Record, Unavailable> {
        match plan.kind {
            TokenKind::Session | TokenKind::Access | TokenKind::Refresh => {}
            TokenKind::Key | TokenKind::Shared | TokenKind::Jwt => {
                return Err(Unavailable(format!("could not issue {}, which is not issued here", plan.word)));
            }
        }
        let word = self.tokens.words.number(api, &plan.word);
        let word = word.ok_or_else(|| Unavailable("too many different words of tokens".to_owned()))?;
        let issued = record::floor(now);
        let secs = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(NEVER);
        let after_proof = [plan.proof_lifetime, lifetimes.bound].into_iter().flatten();
        let after_proof = after_proof.map(|span| lifetimes.proven.saturating_add(secs(span)));
        let ends = plan.lifetime.map(|span| issued.saturating_add(secs(span)));
        Ok(Record {
            digest: [0; 32],
            account: account.map_or(0, |account| account.id.0),
            family: lifetimes.family,
            issued,
            used: issued,
            proven: lifetimes.proven,
            ends: ends.into_iter().chain(after_proof).fold(lifetimes.ends, u32::min),
            // An idle time of less than a second would end a session before its next request.
            idle: plan.idle.map_or(0, |span| secs(span).clamp(1, record::IDLE_SECS_MAX)),
            word,
            kind: plan.kind,
            marks: Marks::NONE,
        })
    }
}

/// What the tokens of one order have in common.
pub(super) struct Lifetimes {
    /// When their holder proved who he is.
    pub(super) proven: u32,
    /// 0 for none.
    pub(super) family: u64,
    /// No token of the family reaches further than this after the proof.
    pub(super) bound: Option<Duration>,
    /// None reaches further than this, when the token ends that they hang on; [`NEVER`] for none.
    pub(super) ends: u32,
}

fn changes(work: &mut Work, now: Time) -> Vec<Change> {
    let mut changes = Vec::with_capacity(3);
    if let Some(record) = &work.spent {
        changes.push(Change::SpendToken(record.digest, record::to_unix(record::floor(now))));
    }
    if let Some(record) = &work.spent_before {
        changes.push(Change::SpendToken(record.digest, record::to_unix(record.used)));
    }
    if !work.gone.is_empty() {
        changes.push(Change::DeleteTokens(work.gone.iter().map(|record| record.digest).collect()));
    }
    if !work.rows.is_empty() {
        changes.push(Change::PutTokens(std::mem::take(&mut work.rows)));
    }
    changes
}

pub(super) fn fill(
    form: &Form,
    bytes: &[u8],
    account: Option<&Account>,
    label: &str,
) -> Result<Secret, Unavailable> {
    let subject = account.map_or_else(String::new, |account| safe(&account.subject));
    let tenant = account.and_then(|account| account.tenant.as_deref()).map_or_else(String::new, safe);
    let names = FormNames { account: &subject, tenant: &tenant, label: &safe(label) };
    let value = form.fill(bytes, names).map(Secret::new);
    value.ok_or_else(|| Unavailable("could not fill the form of a token".to_owned()))
}

/// A name as it may stand in a value: in headers and cookies as it is, and never with what follows it in a form.
fn safe(name: &str) -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    name.chars().take(NAME_LENGTH_MAX).map(safe).collect()
}
