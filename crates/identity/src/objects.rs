//! The objects that memory has: a part of what the store knows, for requests that are let through.
//!
//! What is read from the store is kept only if nothing was changed since the reading began, and a change takes what
//! it is about out of memory both before it is written and after: so that no request is answered by what was true
//! before an acknowledged change. Who looks for an object at hand takes no lock ([`sets`]); those that keep and change
//! take turns.

pub mod asked;
mod sets;

use std::sync::{Arc, Mutex, PoisonError};

use countersign_auth::port::Unavailable;
use countersign_auth::port::objects::{Binding, ObjectDigest};
use countersign_auth::source::Source;

use self::asked::Questions;
use self::sets::Sets;
use crate::turns::{Turn, Turns};

/// Each object has two, by id and by reference, and takes some 400 bytes with them: 40 MB when all are there. Those
/// that were not asked for lately give way.
const DIGESTS_MAX: usize = 200_000;
/// Look-ups of the store at once, a quarter of them of one address; one more waits a while. A caller who tries references
/// costs a read each, and so does each object of another's that an answer shows.
const LOOKUPS_MAX: usize = 256;

/// What was changed so far, counted: see the module's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// What memory has under a digest.
#[derive(Clone)]
enum Entry {
    /// Under that of an id: the object, with the digest of its reference.
    Object(Arc<Binding>, [u8; 32]),
    /// Under that of a reference: the digest of the id. It is looked up again, so that forgetting an object by its
    /// id forgets it by its reference.
    Reference([u8; 32]),
}

/// Objects in memory.
pub(crate) struct Known {
    cache: Sets<Entry>,
    generation: Mutex<u64>,
    /// Who is asked about what the store does not have.
    pub(crate) questions: Questions,
    room: Turns,
}

impl Known {
    pub(crate) fn new() -> Self {
        Self {
            cache: Sets::new(DIGESTS_MAX),
            generation: Mutex::new(0),
            questions: Questions::default(),
            room: Turns::even(LOOKUPS_MAX),
        }
    }

    /// An object, by either digest.
    pub(crate) fn get(&self, digest: &ObjectDigest) -> Option<Arc<Binding>> {
        let id = match self.cache.get(&digest.0)? {
            Entry::Object(binding, _) => return Some(binding),
            Entry::Reference(id) => id,
        };
        match self.cache.get(&id)? {
            Entry::Object(binding, reference) if reference == digest.0 => Some(binding),
            Entry::Object(..) | Entry::Reference(_) => None,
        }
    }

    /// Room for a look-up of the store.
    ///
    /// # Errors
    /// If too many are under way, and stay so.
    pub(crate) async fn room(&self, source: Source) -> Result<Turn<'_>, Unavailable> {
        let turn = self.room.enter(source).await;
        turn.ok_or_else(|| Unavailable("too many objects are being looked up".to_owned()))
    }

    /// Before the store is read.
    pub(crate) fn generation(&self) -> Generation {
        Generation(*self.generation.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what the store had, unless something was changed since `read_at`.
    pub(crate) fn keep(&self, read_at: Generation, binding: &Arc<Binding>) {
        let generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if *generation == read_at.0 {
            let [id, reference] = digests(binding);
            self.cache.insert(id.0, Entry::Object(Arc::clone(binding), reference.0));
            self.cache.insert(reference.0, Entry::Reference(id.0));
        }
    }

    /// Takes out what is about to be changed, or was; the digests are those of ids.
    pub(crate) fn forget<'d>(&self, changed: impl IntoIterator<Item = &'d ObjectDigest>) {
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        *generation = generation.wrapping_add(1);
        for digest in changed {
            self.cache.remove(&digest.0);
        }
    }
}

fn digests(binding: &Binding) -> [ObjectDigest; 2] {
    let name = &binding.name;
    [
        ObjectDigest::of_id(&name.api, &name.kind, &name.id),
        ObjectDigest::of_reference(&name.api, &name.kind, binding.reference.expose()),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use countersign_auth::port::objects::{Binding, ObjectName};
    use countersign_auth::secret::Secret;
    use countersign_auth::source::Source;
    use futures_util::FutureExt as _;
    use tokio::task::unconstrained;

    use super::{Known, LOOKUPS_MAX, digests};

    fn binding(owner: &str) -> Arc<Binding> {
        Arc::new(Binding {
            name: ObjectName { api: "shop".into(), kind: "basket".into(), id: "17".to_owned() },
            owner: Some(owner.to_owned()),
            tenant: None,
            reference: Secret::new("reference"),
            ends_at: None,
        })
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let known = Known::new();
        let before = binding("customer=1");
        let [id, reference] = digests(&before);
        let read_at = known.generation();
        known.keep(read_at, &before);
        assert!(known.get(&id).is_some() && known.get(&reference).is_some());
        known.forget([&id]);
        assert!(known.get(&id).is_none() && known.get(&reference).is_none(), "both names are forgotten");
        known.keep(read_at, &before);
        assert!(known.get(&id).is_none(), "read before the change");
        known.keep(known.generation(), &binding("customer=2"));
        assert_eq!(known.get(&reference).and_then(|now| now.owner.clone()).as_deref(), Some("customer=2"));
    }

    /// What is acknowledged holds for whoever asks from then on, whatever is read and kept at the same time.
    #[test]
    fn who_asks_after_a_change_never_sees_the_owner_before() {
        const OWNERS: u64 = 3_000;
        // As long as it takes the readers to be there, but not for ever.
        const OWNERS_MAX: u64 = 3_000_000;
        const SEEN: u64 = 100;
        let known = &Known::new();
        let [id, reference] = &digests(&binding("0"));
        // The store, and the owner that was acknowledged last.
        let (stored, acknowledged) = &(AtomicU64::new(0), AtomicU64::new(0));
        let (seen, is_over) = &(AtomicU64::new(0), AtomicBool::new(false));
        let owner = &|digest| {
            known.get(digest).map(|found| found.owner.as_deref().unwrap_or_default().parse::<u64>().unwrap())
        };
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for owner in 1..=OWNERS_MAX {
                    known.forget([id]);
                    stored.store(owner, Ordering::Release);
                    known.forget([id]);
                    acknowledged.store(owner, Ordering::Release);
                    if owner >= OWNERS && seen.load(Ordering::Relaxed) >= SEEN {
                        break;
                    }
                }
                is_over.store(true, Ordering::Release);
            });
            for digest in [id, reference] {
                threads.spawn(move || {
                    while !is_over.load(Ordering::Acquire) {
                        let read_at = known.generation();
                        let owner = stored.load(Ordering::Acquire);
                        std::thread::yield_now();
                        known.keep(read_at, &binding(&owner.to_string()));
                    }
                });
                threads.spawn(move || {
                    while !is_over.load(Ordering::Acquire) {
                        let least = acknowledged.load(Ordering::Acquire);
                        if let Some(owner) = owner(digest) {
                            assert!(owner >= least, "{owner} after {least} was acknowledged");
                            seen.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(seen.load(Ordering::Relaxed) >= SEEN, "nobody saw anything");
        known.keep(known.generation(), &binding("5"));
        assert_eq!([owner(id), owner(reference)], [Some(5); 2]);
    }

    #[tokio::test]
    async fn lookups_are_bounded_and_one_source_has_a_quarter() {
        let known = Known::new();
        let source = |last: u8| Source::of([192, 0, 2, last].into());
        // The runtime makes nobody wait who has had many turns.
        let room = |last| unconstrained(known.room(source(last))).now_or_never().map(Result::unwrap);
        let mut held: Vec<_> = (0..LOOKUPS_MAX).filter_map(|_| room(1)).collect();
        assert_eq!(held.len(), LOOKUPS_MAX / 4);
        for last in 2..5 {
            held.extend((0..LOOKUPS_MAX / 4).map(|_| room(last).unwrap()));
        }
        assert!(room(5).is_none(), "he waits");
        held.pop();
        assert!(room(5).is_some());
    }
}
