//! Accounts that issuers' tokens describe: one copy for all tokens that say the same.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use countersign_auth::account::{Account, Live};
use foldhash::quality::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::proofs::places_of;

/// Places of accounts: each takes one, and more where an issuer says very much of it ([`places_of`]). Together they are some
/// 50 MB at the most, and what was signed lately about whoever is in them; those whose tokens were not seen lately give way.
const PLACES_MAX: usize = 64 * 1024;

/// The copies at hand, by a number drawn from all that they say.
///
/// A program that gets itself a new token for each call is one account so, for which one assertion is signed as long as
/// that is good, and not one for each token.
pub(crate) struct Described {
    numbers: RandomState,
    kept: Cache<u64, Arc<Account>, Places>,
}

#[derive(Clone)]
struct Places;

impl Weighter<u64, Arc<Account>> for Places {
    fn weight(&self, _number: &u64, account: &Arc<Account>) -> u64 {
        places_of(account) as u64
    }
}

impl Default for Described {
    fn default() -> Self {
        let kept = Cache::with_weighter(PLACES_MAX, PLACES_MAX as u64, Places);
        Self { numbers: RandomState::default(), kept }
    }
}

impl Described {
    /// The copy that says the same, if it is under the same keys and they are up; or this one from now on.
    pub(crate) fn one(&self, account: Account, keys: &[Live]) -> Arc<Account> {
        let number = self.numbers.hash_one(account.words());
        let is_it = |known: &Account| {
            known.live.is_up() && known.live.is_under(keys) && known.words() == account.words()
        };
        if let Some(known) = self.kept.get(&number).filter(|known| is_it(known)) {
            return known;
        }
        let account = Arc::new(Account { live: Live::under(keys.iter().cloned()), ..account });
        self.kept.insert(number, Arc::clone(&account));
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_auth::account::{AccountId, Issuer, People};
    use countersign_auth::assertion::Minted;
    use countersign_auth::time::Time;

    fn ann() -> Account {
        Account {
            id: AccountId::FOREIGN,
            kind: "customers".into(),
            minted: Minted::default(),
            live: Live::new(),
            proofs_from: Time::from_unix_secs(0),
            tenant: Some("north".to_owned()),
            roles: vec!["buyer".to_owned()],
            subject: "ann".to_owned(),
            name: "ann".into(),
            full_name: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            email: String::new(),
            keys: [("customer".to_owned(), "7".to_owned())].into(),
            issuer: None,
        }
    }

    fn issuer(name: &str, people: People) -> Option<Issuer> {
        Some(Issuer { name: name.into(), people })
    }

    #[test]
    fn who_says_anything_else_is_another() {
        let (described, keys) = (Described::default(), [Live::new()]);
        let first = described.one(ann(), &keys);
        assert!(Arc::ptr_eq(&described.one(ann(), &keys), &first));
        for other in [
            Account { kind: "users".into(), ..ann() },
            Account { tenant: None, ..ann() },
            Account { tenant: Some("south".to_owned()), ..ann() },
            Account { roles: vec!["buyer".to_owned(), "seller".to_owned()], ..ann() },
            Account { subject: "bob".to_owned(), ..ann() },
            Account { name: "bob".into(), ..ann() },
            Account { email: "ann@example.com".to_owned(), ..ann() },
            Account { keys: [("customer".to_owned(), "8".to_owned())].into(), ..ann() },
            Account { issuer: issuer("https://id.example", People::Own), ..ann() },
            Account { issuer: issuer("https://other.example", People::Own), ..ann() },
            Account { issuer: issuer("https://other.example", People::Same), ..ann() },
        ] {
            let said = format!("{other:?}");
            let found = described.one(other, &keys);
            assert!(!Arc::ptr_eq(&found, &first), "{said}");
        }
        assert!(Arc::ptr_eq(&described.one(ann(), &keys), &first));
    }

    #[test]
    fn who_was_described_under_other_keys_is_another() {
        let (described, one, other) = (Described::default(), Live::new(), Live::new());
        let first = described.one(ann(), std::slice::from_ref(&one));
        let second = described.one(ann(), std::slice::from_ref(&other));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&described.one(ann(), &[other.clone(), one.clone()]), &second));
        other.fall();
        assert!(first.live.is_up() && !second.live.is_up());
        // The key is back, as another.
        let third = described.one(ann(), &[one]);
        assert!(third.live.is_up());
    }

    #[test]
    fn nobody_lives_on_a_key_that_has_fallen() {
        let (described, key) = (Described::default(), Live::new());
        let first = described.one(ann(), std::slice::from_ref(&key));
        key.fall();
        let second = described.one(ann(), &[key]);
        assert!(!first.live.is_up() && !second.live.is_up());
        assert!(described.one(ann(), &[Live::new()]).live.is_up());
    }
}
