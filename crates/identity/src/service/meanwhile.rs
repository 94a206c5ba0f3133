//! What ends while somebody has in hand what he read before.
//!
//! A row that was read from the store before its token ended must not bring it back, nor must an order that failed, whose
//! tokens are put back to where they were. As long as there is such a reader, ends are noted.

use countersign_auth::account::AccountId;
use countersign_auth::token::TokenDigest;
use hashbrown::{HashMap, HashSet};

use super::Core;
use crate::tokens::record::Record;

/// What ended in a while, each with the number of the last note of it, and how many began then who still have something in
/// hand.
#[derive(Default)]
struct While {
    readers: usize,
    tokens: HashMap<[u8; 32], u64>,
    /// By account and number: a row that was not in memory may be of one.
    families: HashMap<(u64, u64), u64>,
    /// And which token stayed.
    accounts: HashMap<u64, (Option<[u8; 32]>, u64)>,
}

/// What has ended since those began who still have something in hand.
///
/// There may always be some: whoever begins belongs to the younger of two whiles, in which ends are noted. When nobody of the
/// older is left, it is forgotten, and the younger takes its place: whoever began in that needs none of what was before.
#[derive(Default)]
pub(super) struct Meanwhile {
    /// Of the older; the younger has the next.
    number: u64,
    older: While,
    younger: While,
    /// Notes that were made.
    notes: u64,
}

impl Meanwhile {
    /// One more has something in hand; he says this number when he has not.
    pub(super) fn begin(&mut self) -> u64 {
        let number = self.number + 1;
        self.younger.readers += 1;
        self.settle();
        number
    }

    /// One who began then has nothing in hand any more.
    pub(super) fn finish(&mut self, number: u64) {
        let began = if number == self.number { &mut self.older } else { &mut self.younger };
        began.readers = began.readers.saturating_sub(1);
        self.settle();
    }

    fn settle(&mut self) {
        if self.older.readers == 0 {
            self.older = std::mem::take(&mut self.younger);
            self.number += 1;
        }
        if self.older.readers == 0 {
            self.older = While::default();
        }
    }

    /// Where ends are noted, if somebody has something in hand, and under which number.
    fn noted(&mut self) -> Option<(&mut While, u64)> {
        self.notes += 1;
        (self.older.readers > 0).then_some((&mut self.younger, self.notes))
    }

    /// The number of the last note: what is noted from here on has a greater one.
    pub(super) fn notes(&self) -> u64 {
        self.notes
    }

    fn whiles(&self) -> [&While; 2] {
        [&self.older, &self.younger]
    }

    pub(super) fn ends(&mut self, token: TokenDigest) {
        if let Some((noted, note)) = self.noted() {
            noted.tokens.insert(token.0, note);
        }
    }

    pub(super) fn end_families(&mut self, account: u64, families: &HashSet<u64>) {
        if let Some((noted, note)) = self.noted() {
            noted.families.extend(families.iter().map(|family| ((account, *family), note)));
        }
    }

    pub(super) fn end_account(&mut self, account: AccountId, keep: Option<TokenDigest>) {
        if let Some((noted, note)) = self.noted() {
            noted.accounts.insert(account.0, (keep.map(|token| token.0), note));
        }
    }

    /// Whether anything was noted after the note of that number which has ended a token, alone, with its family or with its
    /// account: an order that fails brings back what it took out itself, and nothing else has ended.
    pub(super) fn has_ended_since(&self, record: &Record, note: u64) -> bool {
        self.whiles().into_iter().any(|noted| {
            let token = noted.tokens.get(&record.digest);
            let family = noted.families.get(&(record.account, record.family));
            let account = noted.accounts.get(&record.account);
            let account = account.filter(|(keep, _)| *keep != Some(record.digest)).map(|(_, number)| number);
            [token, family, account].into_iter().flatten().any(|number| *number > note)
        })
    }

    /// Whether a token has ended, or all of its account.
    pub(super) fn has_ended(&self, token: [u8; 32], account: u64) -> bool {
        self.whiles().into_iter().any(|noted| {
            let kept = noted.accounts.get(&account);
            kept.is_some_and(|(keep, _)| *keep != Some(token)) || noted.tokens.contains_key(&token)
        })
    }

    /// Whether a token has ended with its family.
    pub(super) fn has_ended_family(&self, account: u64, family: u64) -> bool {
        self.whiles().into_iter().any(|noted| noted.families.contains_key(&(account, family)))
    }
}

/// Somebody has in hand what he read, until this is dropped; not while the ledger is locked.
pub(super) struct Reader<'c> {
    core: &'c Core,
    number: u64,
}

impl Core {
    /// See [`Reader`].
    pub(super) fn reader(&self) -> Reader<'_> {
        let number = self.ledger().meanwhile.begin();
        Reader { core: self, number }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.core.ledger().meanwhile.finish(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_known_as_long_as_somebody_could_bring_it_back_and_no_longer() {
        let mut meanwhile = Meanwhile::default();
        let token = |number: u8| TokenDigest([number; 32]);
        let has_ended = |meanwhile: &Meanwhile, number| meanwhile.has_ended(token(number).0, 7);
        meanwhile.ends(token(0));
        assert!(!has_ended(&meanwhile, 0), "nobody has anything in hand");
        // There is always somebody, and each of them sees what ends while he is there.
        let mut before = meanwhile.begin();
        for number in 1..100 {
            meanwhile.ends(token(number));
            let next = meanwhile.begin();
            assert!(has_ended(&meanwhile, number));
            meanwhile.finish(before);
            before = next;
            let noted = meanwhile.whiles().map(|noted| noted.tokens.len());
            assert!(noted.iter().sum::<usize>() <= 2, "{noted:?}");
        }
        meanwhile.ends(token(100));
        meanwhile.end_account(AccountId(7), Some(token(101)));
        assert!(has_ended(&meanwhile, 100) && has_ended(&meanwhile, 1) && !has_ended(&meanwhile, 101));
        meanwhile.finish(before);
        assert!(!has_ended(&meanwhile, 100) && !has_ended(&meanwhile, 1));
        // Whoever reads long sees all of it.
        let long = meanwhile.begin();
        for number in 0..10 {
            let short = meanwhile.begin();
            meanwhile.ends(token(number));
            meanwhile.finish(short);
        }
        assert!((0..10).all(|number| has_ended(&meanwhile, number)));
        meanwhile.finish(long);
        assert!(!has_ended(&meanwhile, 9));
    }
}
