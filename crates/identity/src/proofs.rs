//! Proofs that were verified before: a Basic credential on every request costs one KDF run, not thousands.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use countersign_auth::account::{Account, Live};
use countersign_auth::port::{After, ProofKey, Remembered, Verified};
use countersign_auth::source::Source;
use countersign_auth::time::Time;
use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use smallvec::SmallVec;

use crate::lockout::Lockout;
use crate::lockout::account::KNOWN_SOURCES_MAX;

/// Places of proofs. Each proof is some 170 bytes, 320 where an issuer is asked about a token, and takes one, and more where
/// an issuer says much of whose it is. Those that were not asked for lately give way.
const PLACES_MAX: usize = 100_000;
/// Half a kilobyte of texts about an account that nobody else keeps is in a proof's own place, and each further one takes
/// another: an issuer says two or three hundred bytes of somebody. All places together are some 80 MB at the most, and what
/// was signed lately about whoever is in them.
const PLACE_BYTES: usize = 512;
/// What a core keeps for itself: two halves of so many places. Whoever sends the same credential all the time is among
/// them.
const OWN_HALF_MAX: usize = 32 * 1024;
/// New proofs of one account of the gate that are remembered in a minute: it has one for each API and each spelling of its
/// name, and nobody has so many. One account would fill all places with the spellings of its name, each right.
const NEW_IN_A_MINUTE_MAX: u8 = 64;
/// Minutes that a check of a password takes at the most.
const LATE_MINUTES: i64 = 5;
/// Accounts whose numbers share what they may remember: numbers are given out one after another, so that neighbours share
/// nothing.
const SHARES: usize = 65_536;

/// Which [`Proofs`] of the process, and the credential.
type OwnKey = (u64, [u8; 32]);

/// A proof, and how many places it takes.
#[derive(Clone)]
struct Kept {
    proof: Verified,
    places: usize,
    /// When it was remembered.
    since: Time,
    /// Digests of the addresses that this core had it from while they were not locked: the account is known there.
    sources: SmallVec<[u32; 4]>,
}

impl Kept {
    fn new(proof: Verified, now: Time) -> Self {
        let places = places_of(&proof.account);
        Self { proof, places, since: now, sources: SmallVec::new() }
    }

    /// Whether a proof comes from an address for the first time; of no more than an account is known at, so that those of
    /// a larger fleet do not push each other out all the time.
    fn notes(&mut self, source: u32) -> bool {
        let is_new = self.sources.len() < KNOWN_SOURCES_MAX && !self.sources.contains(&source);
        if is_new {
            self.sources.push(source);
        }
        is_new
    }

    fn is_good(&self, now: Time) -> bool {
        // A clock that was ahead said until when: set back, it would be good for as long as that was.
        is_live(&self.proof) && now < self.proof.until && !now.is_set_back_from(self.since)
    }

    fn remembered(&self) -> Remembered {
        Remembered {
            account: Arc::clone(&self.proof.account),
            proven_at: self.proof.proven_at,
            until: self.proof.until,
            after: self.proof.after.clone(),
        }
    }
}

/// How many places whoever keeps an account takes. Of the gate's own accounts the copy is there anyway.
pub(crate) fn places_of(account: &Account) -> usize {
    let bytes = if account.is_foreign() { account.text_bytes() } else { 0 };
    1 + bytes / PLACE_BYTES
}

#[derive(Clone)]
struct Places;

impl Weighter<[u8; 32], Kept> for Places {
    fn weight(&self, _key: &[u8; 32], kept: &Kept) -> u64 {
        kept.places as u64
    }
}

/// What one core found lately, so that it need not ask for what others can lock.
///
/// The younger half fills; when it is full it becomes the older one, whose entries go unless they were asked for.
#[derive(Default)]
struct Own {
    younger: HashMap<OwnKey, Kept, RandomState>,
    older: HashMap<OwnKey, Kept, RandomState>,
    /// That the younger half takes.
    places: usize,
}

impl Own {
    /// What `look` says of an entry, if there is one. It is not copied: its keys are many entries', and counting their
    /// holders is what cores would wait for each other at.
    fn find<T>(&mut self, key: &OwnKey, look: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        if let Some(kept) = self.younger.get_mut(key) {
            return Some(look(kept));
        }
        let mut kept = self.older.remove(key)?;
        let found = look(&mut kept);
        self.keep(*key, kept);
        Some(found)
    }

    fn keep(&mut self, key: OwnKey, kept: Kept) {
        if self.places + kept.places > OWN_HALF_MAX {
            self.older = std::mem::take(&mut self.younger);
            self.places = 0;
        }
        self.places += kept.places;
        let before = self.younger.insert(key, kept);
        self.places -= before.map_or(0, |before| before.places);
    }

    fn forget(&mut self, key: &OwnKey) {
        self.places -= self.younger.remove(key).map_or(0, |gone| gone.places);
        self.older.remove(key);
    }
}

fn is_live(proof: &Verified) -> bool {
    proof.account.live.is_up() && proof.keys.iter().all(Live::is_up)
}

/// How many new proofs of accounts were remembered in this minute.
struct New {
    minute: AtomicI64,
    counts: Box<[AtomicU8]>,
}

impl New {
    fn none() -> Self {
        Self { minute: AtomicI64::new(0), counts: (0..SHARES).map(|_| AtomicU8::new(0)).collect() }
    }

    /// Counts one more, unless that is too many.
    fn takes(&self, account: u64, now: Time) -> bool {
        let minute = now.unix_secs().div_euclid(60);
        // Whoever comes late, after others of the next minute, begins none anew; a clock that was set back does.
        let before = self.minute.fetch_max(minute, Ordering::Relaxed);
        if before < minute || before.saturating_sub(minute) > LATE_MINUTES {
            self.minute.store(minute, Ordering::Relaxed);
            self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        }
        let share = usize::try_from(account % SHARES as u64).unwrap_or(0);
        let one_more = |count: u8| (count < NEW_IN_A_MINUTE_MAX).then_some(count + 1);
        self.counts
            .get(share)
            .is_some_and(|count| count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok())
    }
}

thread_local! {
    static OWN: RefCell<Own> = RefCell::default();
}

/// The cache behind `recall` and `remember`.
///
/// The keys are keyed hashes of whole credentials, so nobody can aim at one. An entry is worth nothing as soon
/// as the account's copy in it is out of date, whatever was changed, or a key that it was verified by is its issuer's no
/// more.
pub(crate) struct Proofs {
    number: u64,
    hasher: RandomState,
    shared: Cache<[u8; 32], Kept, Places>,
    new: New,
}

impl Proofs {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let shared = Cache::with_weighter(PLACES_MAX, PLACES_MAX as u64, Places);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, hasher: RandomState::default(), shared, new: New::none() }
    }

    /// A proof that is good still.
    pub(crate) fn recall(&self, key: &ProofKey, now: Time) -> Option<Remembered> {
        self.recall_if(key, now, |_| true)
    }

    /// A proof that is good still, unless its account is locked for the address that it comes from. Otherwise the account
    /// is known there from then on; that is noted once for a proof, an address and a core, so a hit does not wait for it.
    pub(crate) fn recall_at(
        &self,
        key: &ProofKey,
        source: Source,
        lockout: &Lockout,
        now: Time,
    ) -> Option<Remembered> {
        // 32 bits of the hash.
        let digest = u32::try_from(self.hasher.hash_one(source) >> 32).unwrap_or(0);
        self.recall_if(key, now, |kept| {
            let account = kept.proof.account.id.0;
            let is_open = !lockout.is_locked(account, source, now);
            if is_open && kept.notes(digest) {
                lockout.know(account, source, now);
            }
            is_open
        })
    }

    /// Asks this core's own part first, and what all share only where that knows nothing.
    fn recall_if(&self, key: &ProofKey, now: Time, may: impl Fn(&mut Kept) -> bool) -> Option<Remembered> {
        let own_key = (self.number, key.0);
        let look = |kept: &mut Kept| match kept.is_good(now) {
            true => Some(may(kept).then(|| kept.remembered())),
            false => None,
        };
        OWN.with_borrow_mut(|own| {
            match own.find(&own_key, look) {
                Some(Some(found)) => return found,
                Some(None) => own.forget(&own_key),
                None => {}
            }
            let mut kept = self.shared.get(&key.0)?;
            let Some(found) = look(&mut kept) else {
                self.shared.remove(&key.0);
                return None;
            };
            own.keep(own_key, kept);
            found
        })
    }

    pub(crate) fn remember(&self, key: ProofKey, proof: Verified, now: Time) {
        if is_live(&proof) && self.has_place(&key, &proof, now) {
            self.shared.insert(key.0, Kept::new(proof, now));
        }
    }

    /// Whether a proof may take a place. What is spelled in many ways is what is checked in the gate's own accounts, by no
    /// keys; tokens and what fronts sign, of which an account may have very many, are each another.
    fn has_place(&self, key: &ProofKey, proof: &Verified, now: Time) -> bool {
        let is_spelled = match proof.after {
            After::Unverified => !proof.account.is_foreign() && proof.keys.is_empty(),
            After::Over | After::Asked(_) => false,
        };
        !is_spelled || self.shared.contains_key(&key.0) || self.new.takes(proof.account.id.0, now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::collections::BTreeMap;

    use countersign_auth::account::{Account, AccountId};
    use countersign_auth::assertion::Minted;

    use super::*;

    const NOW: Time = Time::from_unix_secs(1_800_000_000);

    fn proof(id: AccountId, roles: Vec<String>) -> Verified {
        let account = Account {
            id,
            kind: "users".into(),
            minted: Minted::default(),
            live: Live::new(),
            proofs_from: NOW,
            tenant: None,
            roles,
            subject: "7".to_owned(),
            name: "".into(),
            full_name: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            email: String::new(),
            keys: BTreeMap::new(),
            issuer: None,
        };
        let until = Time::from_unix_secs(1_900_000_000);
        let (account, keys, after) = (Arc::new(account), smallvec::SmallVec::new(), After::Over);
        Verified { account, proven_at: NOW, until, keys, after }
    }

    /// With so many bytes of text.
    fn of(bytes: usize) -> Verified {
        let proof = proof(AccountId::FOREIGN, vec!["r".repeat(bytes - "7".len() - size_of::<String>())]);
        assert_eq!(proof.account.text_bytes(), bytes);
        proof
    }

    fn key(number: usize) -> ProofKey {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        ProofKey(key)
    }

    #[test]
    fn whoever_is_said_much_of_takes_the_places_of_several() {
        let places = |proof| Kept::new(proof, NOW).places;
        assert_eq!([of(PLACE_BYTES - 1), of(PLACE_BYTES), of(10 * PLACE_BYTES)].map(places), [1, 2, 11]);
        // Very many words are more than their letters.
        let words = || vec!["r".to_owned(); 1000];
        assert!(places(proof(AccountId::FOREIGN, words())) > 1000 / PLACE_BYTES * size_of::<String>());
        // Accounts of the gate are there once, however many proofs they have.
        assert_eq!(places(proof(AccountId(7), words())), 1);
    }

    #[test]
    fn what_a_clock_remembered_that_was_ahead_is_forgotten() {
        let proofs = Proofs::new();
        let at = |secs: i64| Time::from_unix_secs(NOW.unix_secs() + secs);
        for own in [false, true] {
            proofs.remember(key(1), proof(AccountId(7), Vec::new()), at(3600));
            if own {
                assert!(proofs.recall(&key(1), at(3600)).is_some());
            }
            // A request that others overtook.
            assert!(proofs.recall(&key(1), at(3541)).is_some());
            assert!(proofs.recall(&key(1), at(3540)).is_none());
            assert!(proofs.recall(&key(1), at(3600)).is_none());
        }
    }

    #[test]
    fn no_more_is_remembered_than_there_are_places_for() {
        // Shards share the places; the last of each may be begun.
        let check = |bytes: usize, places: usize| {
            let proofs = Proofs::new();
            for number in 0..2 * PLACES_MAX / places {
                proofs.remember(key(number), of(bytes), NOW);
                assert!(proofs.shared.weight() <= proofs.shared.capacity());
            }
            assert!(
                (PLACES_MAX..PLACES_MAX + 1000).contains(&usize::try_from(proofs.shared.capacity()).unwrap())
            );
            let kept = proofs.shared.len() * places;
            assert!((PLACES_MAX * 9 / 10..=PLACES_MAX + 1000).contains(&kept), "{bytes}: {kept}");
        };
        check(100, 1);
        check(100 * PLACE_BYTES, 101);
    }

    #[test]
    fn an_account_fills_no_places_with_spellings_of_its_name() {
        let proofs = Proofs::new();
        let at = |secs: i64| Time::from_unix_secs(NOW.unix_secs() + secs);
        let remembers = |number, account, after, now| {
            let proof = Verified { after, ..proof(AccountId(account), Vec::new()) };
            proofs.remember(key(number), proof, now);
            proofs.shared.contains_key(&key(number).0)
        };
        for number in 0..1000 {
            assert_eq!(remembers(number, 7, After::Unverified, at(0)), number < 64, "{number}");
        }
        // What is remembered already is no new one, and others have their own.
        assert!(remembers(0, 7, After::Unverified, at(1)));
        assert!(remembers(1000, 8, After::Unverified, at(1)));
        assert!(remembers(1001, 7, After::Over, at(1)), "a token");
        assert!(!remembers(1002, 7, After::Unverified, at(1)));
        assert!(remembers(1002, 7, After::Unverified, at(60)));
        for number in 2000..3000 {
            assert!(remembers(number, 0, After::Unverified, at(60)), "accounts that live elsewhere");
        }
    }

    #[test]
    fn a_core_keeps_no_more_than_it_has_places_for() {
        let check = |bytes: usize, places: usize| {
            let (mut own, key) = (Own::default(), |number: usize| (7, key(number).0));
            for number in 0..4 * OWN_HALF_MAX / places {
                own.keep(key(number), Kept::new(of(bytes), NOW));
                // What was kept before takes its places once.
                own.keep(key(number), Kept::new(of(bytes), NOW));
                assert_eq!(own.places, own.younger.len() * places);
                assert!(own.places <= OWN_HALF_MAX && own.older.len() * places <= OWN_HALF_MAX);
            }
            let last = key(4 * OWN_HALF_MAX / places - 1);
            assert!(own.find(&last, |_| ()).is_some());
            own.forget(&last);
            assert!(own.find(&last, |_| ()).is_none());
            assert_eq!(own.places, own.younger.len() * places);
        };
        check(100, 1);
        check(100 * PLACE_BYTES, 101);
    }
}
