//! The gate's own signing keys: made, rotated, published, used.
//!
//! ```text
//! next ──(published a day before)──▶ active ──▶ retired ──(published as long as what it signed may live)──▶ gone
//! ```
//!
//! Each purpose has keys of its own, so that an assertion can never be taken for a client's token.

pub(crate) mod key;
pub mod public;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_auth::assertion::LIFETIME;
use countersign_auth::port::{Answer, IssuerKey, IssuerKeys, Purpose, Unavailable};
use countersign_auth::time::{Clock, Time};

use crate::audit;
use crate::service::{By, Service, unavailable};
use crate::store::{Change, SigningKeyRow, Store, StoreError};
use key::SigningKey;

/// The algorithms that the gate signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// Ed25519 (RFC 8037): small and quick.
    EdDsa,
    /// RSA 2048 with SHA-256 (RFC 7518 section 3.3): what every client knows.
    Rs256,
    /// ECDSA P-256 (RFC 7518 section 3.4).
    Es256,
}

/// How tokens and assertions are signed.
#[derive(Clone, Copy, Debug)]
pub struct SigningOptions {
    /// For clients' tokens.
    pub token: SigningAlgorithm,
    /// For assertions to upstreams.
    pub assertion: SigningAlgorithm,
    /// A key is rotated when it has been active for so long.
    pub rotate_after: Duration,
    /// A retired key is published for so long at least, and as long as the longest-lived token that it signed
    /// ([`tokens_live_for`](crate::service::Service::tokens_live_for)).
    pub overlap: Duration,
}

impl Default for SigningOptions {
    fn default() -> Self {
        Self {
            token: SigningAlgorithm::Rs256,
            assertion: SigningAlgorithm::EdDsa,
            rotate_after: Duration::from_secs(90 * 86_400),
            overlap: Duration::from_secs(2 * 86_400),
        }
    }
}

/// A next key is published for so long before it signs: key sets are cached for hours, rarely for more.
const PUBLISHED_BEFORE: Duration = Duration::from_secs(86_400);

/// So many sweeps in a row, an hour, find that a key began later than it is before its time begins again. A host that has no
/// clock of its own, or was asleep, is behind for as long as it takes to ask others: what it said meanwhile counts for nothing.
pub(crate) const BEHIND_SWEEPS: u32 = 120;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Next,
    Active,
    Retired,
}

struct Known {
    keys: Vec<Arc<SigningKey>>,
    /// Public halves of the keys for tokens.
    tokens: Arc<IssuerKeys>,
    assertions: Arc<IssuerKeys>,
}

impl Known {
    fn of(keys: Vec<Arc<SigningKey>>) -> Self {
        let verifying = |purpose| {
            let of_purpose = keys.iter().filter(|key| key.purpose == purpose);
            let keys: Vec<IssuerKey> = of_purpose.filter_map(|key| key.public.verifying(&key.id)).collect();
            Arc::new(IssuerKeys { keys, ours: true })
        };
        Self { tokens: verifying(Purpose::Token), assertions: verifying(Purpose::Assertion), keys }
    }

    fn find(&self, purpose: Purpose, state: State) -> Option<&Arc<SigningKey>> {
        self.keys.iter().find(|key| key.purpose == purpose && key.state == state)
    }
}

/// All keys of the gate.
pub(crate) struct SigningKeys {
    options: SigningOptions,
    /// How long what is signed for clients lives at the most, in seconds.
    tokens_live_secs: AtomicU64,
    /// Read by every core that signs, and replaced as a whole by whoever holds `changes`.
    known: ArcSwap<Known>,
    /// Rotations go one after the other. Holds, by its id, in how many sweeps up to the last one a key lay ahead of the clock.
    changes: tokio::sync::Mutex<HashMap<String, u32>>,
}

impl SigningKeys {
    /// Reads the keys of the store, and makes those that sign if there are none of the chosen algorithm. From then on all
    /// active and next keys are of that one.
    pub(crate) async fn load(
        store: &dyn Store,
        options: &SigningOptions,
        clock: &dyn Clock,
    ) -> Result<Self, StoreError> {
        let rows = store.signing_keys().await?;
        let keys = rows.iter().map(SigningKey::read).collect::<Result<Vec<_>, _>>()?;
        let keys = Self {
            options: *options,
            tokens_live_secs: AtomicU64::new(0),
            known: ArcSwap::from_pointee(Known::of(keys.into_iter().map(Arc::new).collect())),
            changes: tokio::sync::Mutex::default(),
        };
        let now = clock.now();
        for purpose in [Purpose::Assertion, Purpose::Token] {
            let chosen = keys.algorithm(purpose);
            let mut rows = Vec::new();
            let active = keys.find(purpose, State::Active);
            if active.as_ref().is_none_or(|key| key.algorithm != chosen) {
                rows.push(keys.make(purpose, State::Active, now).await?);
                rows.extend(active.map(|key| key.row_as(State::Retired, now)));
            }
            // It has signed nothing, and would bring the algorithm before back with the next rotation.
            let next = keys.find(purpose, State::Next).filter(|key| key.algorithm != chosen);
            let gone: Vec<String> = next.iter().map(|key| key.id.clone()).collect();
            if !rows.is_empty() || !gone.is_empty() {
                keys.put(store, rows, gone).await?;
            }
        }
        Ok(keys)
    }

    /// What is signed for clients lives so long at the most, or as long as was said before: it may be out already.
    pub(crate) fn tokens_live_for(&self, longest: Duration) {
        self.tokens_live_secs.fetch_max(longest.as_secs(), Ordering::Relaxed);
    }

    fn overlap(&self, purpose: Purpose) -> Duration {
        let longest = match purpose {
            Purpose::Token => Duration::from_secs(self.tokens_live_secs.load(Ordering::Relaxed)),
            Purpose::Assertion => LIFETIME,
        };
        self.options.overlap.max(longest)
    }

    fn algorithm(&self, purpose: Purpose) -> SigningAlgorithm {
        match purpose {
            Purpose::Assertion => self.options.assertion,
            Purpose::Token => self.options.token,
        }
    }

    fn find(&self, purpose: Purpose, state: State) -> Option<Arc<SigningKey>> {
        self.known.load().find(purpose, state).cloned()
    }

    /// RSA takes a while: not on a thread that others wait for.
    async fn make(&self, purpose: Purpose, state: State, now: Time) -> Result<SigningKeyRow, StoreError> {
        let algorithm = self.algorithm(purpose);
        let made = tokio::task::spawn_blocking(move || key::generate(purpose, algorithm, state, now));
        made.await.map_err(|error| StoreError::Down(error.to_string()))?
    }

    /// Brings keys into the store, then into memory.
    async fn put(
        &self,
        store: &dyn Store,
        rows: Vec<SigningKeyRow>,
        gone: Vec<String>,
    ) -> Result<(), StoreError> {
        let read = rows.iter().map(SigningKey::read).collect::<Result<Vec<_>, _>>()?;
        let mut changes: Vec<_> = rows
            .into_iter()
            .flat_map(|row| {
                let object = format!("{} key {} {}", row.purpose, row.id, row.state);
                let since = Time::from_unix_ms(row.since);
                let event = audit::row(&By::gate(), "signing.key", object, since);
                [Change::PutSigningKey(row), Change::Audit(event)]
            })
            .collect();
        changes.extend(gone.iter().map(|id| Change::DeleteSigningKey(id.clone())));
        store.write(changes).await?;
        let mut keys = self.known.load().keys.clone();
        keys.retain(|key| !gone.contains(&key.id) && read.iter().all(|new| new.id != key.id));
        keys.extend(read.into_iter().map(Arc::new));
        self.known.store(Arc::new(Known::of(keys)));
        Ok(())
    }

    /// Lets the next key sign, and makes another next one.
    pub(crate) async fn rotate(
        &self,
        store: &dyn Store,
        purpose: Purpose,
        now: Time,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.changes.lock().await;
        self.rotate_locked(store, purpose, now).await
    }

    async fn rotate_locked(&self, store: &dyn Store, purpose: Purpose, now: Time) -> Result<(), StoreError> {
        let active = match self.find(purpose, State::Next) {
            Some(next) => next.row_as(State::Active, now),
            None => self.make(purpose, State::Active, now).await?,
        };
        let mut rows = vec![active, self.make(purpose, State::Next, now).await?];
        rows.extend(self.find(purpose, State::Active).map(|old| old.row_as(State::Retired, now)));
        self.put(store, rows, Vec::new()).await
    }

    /// Makes next keys where there are none, rotates those that are due, drops those that are over.
    pub(crate) async fn sweep(&self, store: &dyn Store, now: Time) -> Result<(), Unavailable> {
        let mut ahead = self.changes.lock().await;
        self.begin_again_what_lies_ahead(&mut ahead, store, now).await.map_err(unavailable)?;
        for purpose in [Purpose::Assertion, Purpose::Token] {
            let Some(next) = self.find(purpose, State::Next) else {
                let next = self.make(purpose, State::Next, now).await.map_err(unavailable)?;
                self.put(store, vec![next], Vec::new()).await.map_err(unavailable)?;
                continue;
            };
            let due = self.find(purpose, State::Active).is_none_or(|active| {
                now.since(active.since) >= self.options.rotate_after
                    && now.since(next.since) >= PUBLISHED_BEFORE
            });
            if due {
                self.rotate_locked(store, purpose, now).await.map_err(unavailable)?;
            }
        }
        let over: Vec<_> = {
            let known = self.known.load();
            let retired = known.keys.iter().filter(|key| key.state == State::Retired);
            let over = retired.filter(|key| now.since(key.since) >= self.overlap(key.purpose));
            over.map(|key| key.id.clone()).collect()
        };
        if over.is_empty() {
            return Ok(());
        }
        self.put(store, Vec::new(), over).await.map_err(unavailable)
    }

    /// The time of a key that got where it is while the clock was ahead begins now: until the clock gets there again it would
    /// neither sign nor go. Either the clock was wrong then or it is now, and one that is behind now is right again soon: in
    /// the store its time would be so old by then that the key were due, or over, at once.
    async fn begin_again_what_lies_ahead(
        &self,
        ahead: &mut HashMap<String, u32>,
        store: &dyn Store,
        now: Time,
    ) -> Result<(), StoreError> {
        let known = self.known.load_full();
        let lies_ahead = known.keys.iter().filter(|key| now.is_set_back_from(key.since));
        let again = |key: &Arc<SigningKey>| ahead.get(&key.id).map_or(1, |sweeps| sweeps.saturating_add(1));
        *ahead = lies_ahead.map(|key| (key.id.clone(), again(key))).collect();
        let is_sure =
            |key: &&Arc<SigningKey>| ahead.get(&key.id).is_some_and(|sweeps| *sweeps >= BEHIND_SWEEPS);
        let rows: Vec<_> = known.keys.iter().filter(is_sure).map(|key| key.row_as(key.state, now)).collect();
        if rows.is_empty() { Ok(()) } else { self.put(store, rows, Vec::new()).await }
    }

    pub(crate) fn sign(
        &self,
        purpose: Purpose,
        typ: &'static str,
        claims: &[u8],
    ) -> Result<String, Unavailable> {
        let missing = || Unavailable("there is no key to sign with".to_owned());
        self.find(purpose, State::Active).ok_or_else(missing)?.sign(typ, claims)
    }

    /// The public halves of all keys of a purpose, for those who check in this process.
    pub(crate) fn verifying(&self, purpose: Purpose) -> Arc<IssuerKeys> {
        let known = self.known.load();
        Arc::clone(match purpose {
            Purpose::Token => &known.tokens,
            Purpose::Assertion => &known.assertions,
        })
    }

    pub(crate) fn jwks(&self, purpose: Purpose) -> String {
        let known = self.known.load();
        let of_purpose = known.keys.iter().filter(|key| key.purpose == purpose);
        let keys: Vec<_> = of_purpose.map(|key| key.public.jwk(&key.id)).collect();
        serde_json::json!({ "keys": keys }).to_string()
    }
}

impl Service {
    /// The JWK set (RFC 7517) of a purpose: next, active and retired keys.
    pub fn jwks(&self, purpose: Purpose) -> String {
        self.core().signing.jwks(purpose)
    }

    /// Says how long a token lives at the most that is signed for clients: the key that signed it is published as long.
    pub fn tokens_live_for(&self, longest: Duration) {
        self.core().signing.tokens_live_for(longest);
    }

    /// Rotates the key of a purpose now, published beforehand or not.
    pub fn rotate_signing_key(&self, purpose: Purpose, now: Time) -> Answer<Result<(), Unavailable>> {
        self.run(move |core| async move {
            core.signing.rotate(&*core.store, purpose, now).await.map_err(unavailable)
        })
    }
}
