//! Assertions that were signed lately, kept with whom they are about.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use smallvec::SmallVec;

use super::{Assertion, AssertionKey};
use crate::time::Time;

/// So many are kept of one account, some 70 bytes each beside the text: more than it has sessions, but for programs that
/// many share. What is signed beyond them is not kept. Adding one copies the others, which costs as much as the signature
/// where there are so many.
const KEPT_MAX: usize = 1024;

/// In the order of their keys.
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
        let kept = kept.as_ref()?;
        let (_, assertion) = kept.get(place(kept, key).ok()?)?;
        assertion.is_fresh(now).then(|| assertion.value().clone())
    }

    /// Keeps one in the place of what had its key; false if there are too many that may still be handed out.
    pub fn keep(&self, key: AssertionKey, assertion: &Assertion, now: Time) -> bool {
        let is_full = |kept: &Kept| {
            kept.len() >= KEPT_MAX
                && place(kept, key).is_err()
                && kept.iter().all(|(_, one)| one.is_fresh(now))
        };
        if self.0.load().as_deref().is_some_and(is_full) {
            return false;
        }
        self.0.rcu(|kept| {
            let others = kept.iter().flat_map(|kept| kept.iter());
            let mut kept: Kept =
                others.filter(|(of, one)| *of != key && one.is_fresh(now)).cloned().collect();
            let at = place(&kept, key).unwrap_or_else(|at| at);
            kept.insert(at, (key, assertion.clone()));
            Some(Arc::new(kept))
        });
        true
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

fn place(kept: &Kept, key: AssertionKey) -> Result<usize, usize> {
    kept.binary_search_by_key(&key, |(of, _)| *of)
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
        assert_eq!(found(&kept, 2, 19).as_deref(), Some("two"), "for one that it overtook");
        assert_eq!(found(&kept, 2, 20 - 60), None, "minted in the future");
        for other in [AssertionKey { api: 2, ..key(1) }, AssertionKey { credential: 2, ..key(1) }] {
            assert!(kept.find(other, at(20)).is_none(), "{other:?}");
        }
        kept.keep(key(1), &minted("newer", 21), at(21));
        assert_eq!(found(&kept, 1, 21).as_deref(), Some("newer"));
    }

    #[test]
    fn what_is_kept_has_a_bound_and_is_forgotten_by_age() {
        let kept = Minted::default();
        let many = i64::try_from(KEPT_MAX).unwrap_or(0);
        for number in (0..many).rev() {
            assert!(kept.keep(key(number), &minted("some", 10 + number / 40), at(36)), "{number}");
        }
        assert!(!kept.keep(key(many), &minted("more", 36), at(36)), "there are as many as may be");
        assert_eq!(found(&kept, many, 36), None);
        assert!(kept.keep(key(7), &minted("another", 36), at(36)), "in the place of its like");
        assert_eq!(found(&kept, 7, 36).as_deref(), Some("another"));
        assert!(kept.keep(key(many), &minted("more", 60), at(60)), "some are no longer fresh");
        kept.forget_until(at(20));
        assert!(
            found(&kept, 400, 60).is_none()
                && found(&kept, 500, 60).is_some()
                && found(&kept, many, 60).is_some()
        );
        kept.forget_until(at(60));
        assert!(kept.0.load().is_none(), "nothing is left of them");
    }
}
