//! What took the place of a session a moment ago.
//!
//! Whoever clicks twice logs in twice, and presents the same old session both times. The first log-in has taken it out; the
//! second is to take what the first one has put there, rather than to find no room for a session more.

use countersign_auth::port::{Issue, Issued};
use countersign_auth::time::Time;
use countersign_auth::token::TokenDigest;
use quick_cache::unsync::Cache;

use super::{Core, Ledger};
use crate::tokens::record::{self, Record};

/// Sessions that were replaced lately; beyond these the second log-in makes its room as if there were none.
const REPLACED_MAX: usize = 4096;
/// For so long what took the place of a session is looked for there: two clicks, and the slower of two answers.
const REPLACED_SECS: u32 = 10;

/// The session that is gone, and the account and word of what took its place.
type Place = ([u8; 32], u64, u16);

/// What stood at a place before something was noted there.
pub(super) type Noted = (Place, Option<TokenDigest>);

/// What took the place of sessions lately.
pub(super) struct Replaced(Cache<Place, TokenDigest>);

impl Default for Replaced {
    fn default() -> Self {
        Self(Cache::new(REPLACED_MAX))
    }
}

impl Replaced {
    /// What was noted for an order came to nothing.
    pub(super) fn restore(&mut self, noted: Vec<Noted>) {
        for (place, before) in noted {
            match before {
                Some(before) => self.0.insert(place, before),
                None => drop(self.0.remove(&place)),
            }
        }
    }
}

impl Core {
    /// Notes what was issued in the place of a session, of the kinds that an account may hold so many of.
    pub(super) fn note_replacement(
        &self,
        ledger: &mut Ledger,
        gone: TokenDigest,
        order: &Issue,
        issued: &[Issued],
    ) -> Vec<Noted> {
        let mut noted = Vec::new();
        let Some(account) = &order.account else { return noted };
        let limited = order.plans.iter().zip(issued).filter(|(plan, _)| plan.per_account.is_some());
        for (plan, issued) in limited {
            if let Some(word) = self.tokens.words.number(&order.api, &plan.word) {
                let by = TokenDigest::of(&order.api, &plan.word, issued.value.expose());
                let place = (gone.0, account.id.0, word);
                noted.push((place, ledger.replaced.0.get(&place).copied()));
                ledger.replaced.0.insert(place, by);
            }
        }
        noted
    }

    /// Takes out what took the place of a session, if there is no room beside it for what is ordered, which is of the same
    /// account and the same word of the same API. Where there is room both stay: nobody knows which of two answers a browser
    /// hears last.
    pub(super) fn take_out_replacement(
        &self,
        ledger: &mut Ledger,
        gone: TokenDigest,
        order: &Issue,
        now: Time,
    ) -> Vec<Record> {
        let Some(account) = &order.account else { return Vec::new() };
        let mut taken = Vec::new();
        for plan in &order.plans {
            let (Some(word), Some(most)) =
                (self.tokens.words.number(&order.api, &plan.word), plan.per_account)
            else {
                continue;
            };
            let by = ledger.replaced.0.get(&(gone.0, account.id.0, word));
            let there = by.and_then(|by| self.tokens.get(by));
            let now = record::floor(now);
            if let Some(there) = there.filter(|there| now <= there.issued.saturating_add(REPLACED_SECS))
                && self.tokens.live_of(account.id.0, word, now) >= usize::try_from(most).unwrap_or(usize::MAX)
            {
                taken.extend(self.take_out_family(ledger, &there));
            }
        }
        taken
    }
}
