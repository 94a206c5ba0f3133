//! Assertions that were signed lately, kept with whom they are about.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use smallvec::SmallVec;

use super::{Assertion, AssertionKey};
use crate::time::Time;

/// So many are kept of one account: for whoever has more sessions, each of which was proven at another moment, some are
/// signed again. Adding one copies the others, which stays far below the price of the signature.
const KEPT_MAX: usize = 64;

type Kept = SmallVec<[(AssertionKey, Assertion); 1]>;

/// The assertions about one account, all cores' together, read without a lock.
///
/// An account that changes is replaced by another copy, which has none yet: so they die with whatever ends what they say.
/// Whoever keeps one notes when it has to be forgotten; until somebody forgets it, it takes some 600 bytes.
#[derive(Default)]
pub struct Minted(ArcSwapOption<Kept>);

impl Minted {
    /// One that may still be handed out.
    pub fn find(&self, key: AssertionKey, now: Time) -> Option<HeaderValue> {
        let kept = self.0.load();
        let (_, assertion) = kept.as_ref()?.iter().find(|(of, _)| *of == key)?;
        assertion.is_fresh(now).then(|| assertion.value().clone())
    }

    /// Keeps one in the place of what had its key; the oldest gives way where there are too many.
    pub fn keep(&self, key: AssertionKey, assertion: &Assertion, now: Time) {
        self.0.rcu(|kept| {
            let others = kept.iter().flat_map(|kept| kept.iter());
            let mut kept: Kept =
                others.filter(|(of, other)| *of != key && other.is_fresh(now)).cloned().collect();
            if kept.len() >= KEPT_MAX {
                kept.remove(0);
            }
            kept.push((key, assertion.clone()));
            Some(Arc::new(kept))
        });
    }

    /// Forgets what was minted no later than `at`.
    pub fn forget_until(&self, at: Time) {
        let is_younger = |(_, assertion): &&(AssertionKey, Assertion)| assertion.minted_at > at;
        self.0.rcu(|kept| {
            let kept: Kept = kept.iter().flat_map(|kept| kept.iter()).filter(is_younger).cloned().collect();
            (!kept.is_empty()).then(|| Arc::new(kept))
        });
    }
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minted([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assertion::REUSED;

    fn at(secs: i64) -> Time {
        Time::from_unix_secs(secs)
    }

    fn key(auth_time: i64) -> AssertionKey {
        AssertionKey { api: 1, credential: 1, auth_time }
    }

    fn minted(text: &'static str, secs: i64) -> Assertion {
        Assertion { jwt: HeaderValue::from_static(text), minted_at: at(secs) }
    }

    fn found(minted: &Minted, auth_time: i64, now: i64) -> Option<String> {
        let value = minted.find(key(auth_time), at(now))?;
        value.to_str().ok().map(str::to_owned)
    }

    #[test]
    fn one_is_found_by_its_key_while_it_is_fresh() {
        let kept = Minted::default();
        assert_eq!(found(&kept, 1, 10), None);
        kept.keep(key(1), &minted("one", 10), at(10));
        kept.keep(key(2), &minted("two", 20), at(20));
        assert_eq!(found(&kept, 1, 20).as_deref(), Some("one"));
        assert_eq!(found(&kept, 2, 20).as_deref(), Some("two"));
        assert_eq!(found(&kept, 3, 20), None);
        let reused = i64::try_from(REUSED.as_secs()).unwrap_or(0);
        assert_eq!(found(&kept, 1, 10 + reused), None, "too old");
        assert_eq!(found(&kept, 2, 19), None, "minted in the future");
        for other in [AssertionKey { api: 2, ..key(1) }, AssertionKey { credential: 2, ..key(1) }] {
            assert!(kept.find(other, at(20)).is_none(), "{other:?}");
        }
        kept.keep(key(1), &minted("newer", 21), at(21));
        assert_eq!(found(&kept, 1, 21).as_deref(), Some("newer"));
    }

    #[test]
    fn what_is_kept_has_a_bound_and_is_forgotten_by_age() {
        let kept = Minted::default();
        let many = i64::try_from(KEPT_MAX).unwrap_or(0) + 1;
        for number in 0..many {
            kept.keep(key(number), &minted("some", 10 + number / 40), at(11));
        }
        assert_eq!(found(&kept, 0, 11), None, "the oldest gave way");
        assert!(found(&kept, 1, 11).is_some() && found(&kept, many - 1, 11).is_some());
        kept.forget_until(at(10));
        assert!(found(&kept, 39, 11).is_none() && found(&kept, 40, 11).is_some());
        kept.forget_until(at(11));
        assert!(kept.0.load().is_none(), "nothing is left of them");
    }
}
