//! What refresh tokens turn into, and what is remembered of those that were spent.

use countersign_auth::account::Account;
use countersign_auth::derive;
use countersign_auth::form::Form;
use countersign_auth::port::{Issue, Unavailable};
use countersign_auth::secret::Secret;
use countersign_auth::token::{TokenDigest, TokenPlan};
use hashbrown::HashMap;

use super::issue::{Denied, Payment, Work, fill};
use super::{Core, Ledger};
use crate::tokens::record::{Marks, Record};

/// Spent refresh tokens that are remembered in a family. An older one that comes back is refused like a value
/// that never was; it opens nothing either way.
const SPENT_KEPT: usize = 32;

/// Successors of refresh tokens in orders whose writes are on their way. Orders that are paid with the same token at the same
/// time hand out the same one, and each writes its row: it stays if one of the writes is made, whichever that is.
#[derive(Default)]
pub(super) struct Successors(HashMap<[u8; 32], Successor>);

#[derive(Default)]
pub(super) struct Successor {
    orders: usize,
    is_written: bool,
    /// What one of the orders marked as spent for it, as it was before.
    pub(super) spent: Option<Record>,
}

impl Successors {
    /// One more order is to hand a token out; it says when its write [is made](Self::keep) or [is not](Self::leave). A token
    /// that is there of which no order is known was written before.
    pub(super) fn join(&mut self, token: TokenDigest, is_there: bool) {
        let known = self.0.entry(token.0);
        known.or_insert_with(|| Successor { is_written: is_there, ..Successor::default() }).orders += 1;
    }

    /// The write of an order is made: whoever else has the tokens leaves them where they are.
    pub(super) fn keep(&mut self, tokens: &[TokenDigest]) {
        for token in tokens {
            self.end_order(*token, |successor| successor.is_written = true);
        }
    }

    /// The write of an order is not made, which marked `spent`. What is answered is to be undone: nobody has the token.
    pub(super) fn leave(&mut self, token: TokenDigest, spent: Option<Record>) -> Option<Successor> {
        let last = self.end_order(token, |successor| successor.spent = successor.spent.or(spent));
        last.filter(|successor| !successor.is_written)
    }

    /// What is known of a token once the last of its orders has ended.
    fn end_order(&mut self, token: TokenDigest, note: impl FnOnce(&mut Successor)) -> Option<Successor> {
        let successor = self.0.get_mut(&token.0)?;
        note(successor);
        successor.orders -= 1;
        (successor.orders == 0).then(|| self.0.remove(&token.0)).flatten()
    }
}

impl Core {
    /// The one value that a spent refresh token turns into, however often it is asked for.
    fn successor(
        &self,
        api: &str,
        word: &str,
        spent: &Secret,
        form: &Form,
        account: Option<&Account>,
    ) -> Result<Secret, Unavailable> {
        let parts = [api, word, spent.expose()];
        let bytes = derive::derive(&self.derivation_key, "refresh successor", &parts, form.bytes_wanted());
        fill(form, &bytes, account, "")
    }

    /// The successor that a refresh token pays for, and which one turned into it; if others have spent that already, the one
    /// that it turned into, and so on: whoever is late would keep a spent one, and end the family with it.
    ///
    /// Nobody gets further so than by asking for one after the other: each of those between has to be in its own grace.
    pub(super) fn unspent_successor(
        &self,
        order: &Issue,
        plan: &TokenPlan,
        paid: &Payment,
        now: u32,
    ) -> Result<(Secret, Record), Denied> {
        let next = |word: &str, spent: &Secret| {
            self.successor(&order.api, word, spent, &plan.form, order.account.as_deref())
        };
        let (mut value, mut before) = (next(&paid.word, &paid.value)?, paid.record);
        for _ in 0..SPENT_KEPT {
            let there = self.tokens.get(&TokenDigest::of(&order.api, &plan.word, value.expose()));
            match there.filter(|there| there.marks.has(Marks::SPENT)) {
                None => return Ok((value, before)),
                Some(spent) if spent.is_in_grace(now) => {
                    (value, before) = (next(&plan.word, &value)?, spent);
                }
                Some(_) => break,
            }
        }
        Err(Denied::Spent)
    }

    /// Bounds what a family remembers of its past.
    pub(super) fn forget_old_spent(&self, ledger: &mut Ledger, work: &mut Work, order: &Issue, family: u64) {
        let Some(account) = &order.account else { return };
        let mut spent = self.tokens.renewing(account.id.0, family);
        spent.retain(|record| record.marks.has(Marks::SPENT));
        spent.sort_by_key(|record| record.used);
        let surplus = spent.len().saturating_sub(SPENT_KEPT);
        let digests: Vec<_> = spent.iter().take(surplus).map(|record| record.token()).collect();
        work.gone.extend(self.take_out(ledger, digests));
    }
}
