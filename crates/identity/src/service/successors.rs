//! What refresh tokens turn into, and what is remembered of those that were spent.

use countersign_auth::account::Account;
use countersign_auth::derive;
use countersign_auth::form::Form;
use countersign_auth::port::{Issue, Unavailable};
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;
use countersign_auth::token::{TokenDigest, TokenPlan};

use super::issue::{Denied, Payment, Work, fill};
use super::{Core, Ledger};
use crate::tokens::record::{self, Marks};

/// Spent refresh tokens that are remembered in a family. An older one that comes back is refused like a value
/// that never was; it opens nothing either way.
const SPENT_KEPT: usize = 32;

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

    /// The successor that a refresh token pays for; if others have spent that already, the one that it turned into, and so
    /// on: whoever is late would keep a spent one, and end the family with it.
    ///
    /// Nobody gets further so than by asking for one after the other: each of those between has to be in its own grace.
    pub(super) fn unspent_successor(
        &self,
        order: &Issue,
        plan: &TokenPlan,
        paid: &Payment,
        now: Time,
    ) -> Result<Secret, Denied> {
        let next = |word: &str, spent: &Secret| {
            self.successor(&order.api, word, spent, &plan.form, order.account.as_deref())
        };
        let mut value = next(&paid.word, &paid.value)?;
        for _ in 0..SPENT_KEPT {
            let there = self.tokens.get(&TokenDigest::of(&order.api, &plan.word, value.expose()));
            match there.filter(|there| there.marks.has(Marks::SPENT)) {
                None => return Ok(value),
                Some(spent) if spent.is_in_grace(record::floor(now)) => value = next(&plan.word, &value)?,
                Some(_) => break,
            }
        }
        Err(Denied::Spent)
    }

    /// Bounds what a family remembers of its past.
    pub(super) fn forget_old_spent(&self, ledger: &mut Ledger, work: &mut Work, order: &Issue, family: u64) {
        let Some(account) = &order.account else { return };
        let mut spent: Vec<_> = self.tokens.of_account(account.id.0);
        spent.retain(|record| record.family == family && record.marks.has(Marks::SPENT));
        spent.sort_by_key(|record| record.used);
        let surplus = spent.len().saturating_sub(SPENT_KEPT);
        let digests: Vec<_> = spent.iter().take(surplus).map(|record| record.token()).collect();
        work.gone.extend(self.take_out(ledger, digests));
    }
}
