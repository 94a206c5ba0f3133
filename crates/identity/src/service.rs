//! The service: what the gate asks about accounts, tokens and keys, and what it tells.
//!
//! Memory answers, the store is the truth. Every change goes through one ledger: under its lock memory is changed
//! and the write is queued, so that the order of the two is the same; then the write is awaited without the
//! lock, and only its success is acknowledged. All of that runs on the control plane, in tasks of its own:
//! whoever waits may be on another runtime, and may stop waiting.

pub mod administration;
pub mod changing;
mod digests;
pub mod directories;
mod ending;
pub mod equivalents;
mod flights;
mod foreign;
mod issue;
mod links;
mod logins;
mod lookups;
mod meanwhile;
mod negotiation;
mod nobody;
mod notes;
mod objects;
mod operations;
mod passwords;
mod replaced;
mod successors;
#[cfg(test)]
mod tests;
mod under_way;
mod upkeep;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_auth::account::AccountId;
use countersign_auth::derive::DerivationKey;
use countersign_auth::port::foreign::OpaqueAnswer;
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::scheme::digest::nonce::Nonces;
use countersign_auth::time::{Clock, Random};
use countersign_auth::token::TokenDigest;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, broadcast};

use self::flights::Flights;
use self::meanwhile::Meanwhile;
use self::replaced::Replaced;
use self::successors::Successors;
use self::under_way::UnderWay;
use crate::accounts::directory::{Directory, Entry};
use crate::accounts::rows;
use crate::directory::Directories;
use crate::equivalents::{Equivalents, KeyPlace};
use crate::issuers::Issuers;
use crate::keys::Keys;
use crate::lockout::{Lockout, Patience};
use crate::negotiation::Negotiations;
use crate::objects::Known;
use crate::password::{PasswordOptions, Passwords};
use crate::proofs::Proofs;
use crate::signing::{SigningKeys, SigningOptions};
use crate::store::sqlite::SqliteStore;
use crate::store::{AuditRow, Change, Store, StoreError};
use crate::tokens::Tokens;
use crate::values::Values;
use crate::world::{OsRandom, WallClock};

/// Ends that a slow listener may lag behind before it has to look at everything again.
const ENDED_BACKLOG: usize = 4096;
/// Checks of Kerberos tickets at once, each in a thread of its own, which waits for the disk at most.
const TICKETS_AT_ONCE: usize = 64;
const DERIVATION_KEY: &str = "derivation key";
const LAST_ACCOUNT: &str = "last account";
/// When a write was last tried for its own sake.
const TRIED: &str = "last try";

/// How a service is set up.
pub struct ServiceOptions {
    /// The database file; made if it is not there. Its folder must be.
    pub database: PathBuf,
    /// Where the key is that password-equivalents are sealed with.
    pub equivalents_key: KeyPlace,
    /// How passwords are kept.
    pub passwords: PasswordOptions,
    /// How failed proofs are slowed down.
    pub patience: Patience,
    /// How tokens and assertions are signed.
    pub signing: SigningOptions,
    /// The clock of the upkeep; all else is told the time by its callers.
    pub clock: Arc<dyn Clock>,
    /// Where values, keys and salts come from.
    pub random: Arc<dyn Random>,
    /// Who calls for the upkeep.
    pub upkeep: Upkeep,
}

/// Who calls [`Service::flush`] and [`Service::sweep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// The service itself, in the background.
    Background,
    /// The owner; for tests that turn the clock by hand.
    ByHand,
}

impl ServiceOptions {
    /// The defaults, with a database file at `database`, and the key of password-equivalents in a file beside it
    /// whose name ends in `.key`.
    pub fn at(database: impl Into<PathBuf>) -> Self {
        let database = database.into();
        let mut key = database.clone().into_os_string();
        key.push(".key");
        Self {
            database,
            equivalents_key: KeyPlace::File(key.into()),
            passwords: PasswordOptions::default(),
            patience: Patience::default(),
            signing: SigningOptions::default(),
            clock: Arc::new(WallClock),
            random: Arc::new(OsRandom::default()),
            upkeep: Upkeep::Background,
        }
    }
}

/// Why a service could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error("could not open the database")]
    Store(#[from] StoreError),
    /// What else it takes.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Something that ended, for those who hold channels open on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// One token.
    Token(TokenDigest),
    /// Whatever an account had, but perhaps for one token: look again.
    Account(AccountId),
}

/// Who asks for a change, for the audit.
#[derive(Clone, Debug)]
pub struct By {
    /// A name that says who to people.
    pub actor: String,
    /// From where.
    pub address: Option<IpAddr>,
}

impl By {
    /// Somebody at an address.
    pub fn new(actor: impl Into<String>, address: Option<IpAddr>) -> Self {
        Self { actor: actor.into(), address }
    }

    /// The gate itself.
    pub fn gate() -> Self {
        Self { actor: "countersign".to_owned(), address: None }
    }
}

/// Accounts, sessions, tokens, keys. See the module's words.
pub struct Service {
    core: Arc<Core>,
}

/// What changes of tokens go through, one at a time.
pub(crate) struct Ledger {
    meanwhile: Meanwhile,
    /// The number there of whoever loads the store's tokens.
    loader: u64,
    replaced: Replaced,
    successors: Successors,
    /// Ends that memory knows and the store could not be told.
    unwritten_ends: Vec<[u8; 32]>,
    /// What the audit has to say of them.
    unwritten_events: Vec<AuditRow>,
}

pub(crate) struct Core {
    pub(crate) handle: Handle,
    pub(crate) store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pub(crate) derivation_key: DerivationKey,
    pub(crate) tokens: Tokens,
    pub(crate) directory: Directory,
    pub(crate) keys: Keys,
    values: Values,
    equivalents: Equivalents,
    nonces: Nonces,
    /// An account in the place of those that are not there.
    nobody: Arc<Entry>,
    passwords: Passwords,
    /// Runs of the KDF.
    flights: Flights<passwords::Outcome>,
    lockout: Lockout,
    providers: passwords::Providers,
    directories: Directories,
    links: links::Links,
    fronts: foreign::BelievedFronts,
    /// Questions to directories.
    asked: Flights<directories::Outcome>,
    /// Questions to issuers about tokens.
    introspected: Flights<Result<OpaqueAnswer, Unavailable>>,
    proofs: Proofs,
    objects: Known,
    pub(crate) signing: SigningKeys,
    issuers: Issuers,
    negotiations: Negotiations,
    /// Checks of tickets at once.
    tickets: Arc<Semaphore>,
    ledger: Mutex<Ledger>,
    /// Changes of accounts and keys are rare and go one after the other. Holds the last number of an account.
    pub(crate) administration: tokio::sync::Mutex<u64>,
    /// Changes of keys that clients order.
    key_orders: UnderWay,
    /// Changes of passwords that their holders order.
    password_changes: UnderWay,
    loaded: AtomicBool,
    displaced: AtomicBool,
    ended: broadcast::Sender<Ended>,
}

impl Service {
    /// Opens the database file and reads accounts, keys and settings. Tokens are loaded in the background; the
    /// service is of use at once.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: ServiceOptions, handle: Handle) -> Result<Arc<Self>, OpenError> {
        let database = options.database.clone();
        let on = handle.clone();
        let store = spawned(&handle, async move { SqliteStore::open(&database, &on).await }).await??;
        Self::with_store(store, options, handle).await
    }

    /// The same over a store that is open already; `options.database` is not opened.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn with_store(
        store: Arc<dyn Store>,
        options: ServiceOptions,
        handle: Handle,
    ) -> Result<Arc<Self>, OpenError> {
        let on = handle.clone();
        spawned(&handle, Self::open_over(store, options, on)).await?
    }

    async fn open_over(
        store: Arc<dyn Store>,
        options: ServiceOptions,
        handle: Handle,
    ) -> Result<Arc<Self>, OpenError> {
        let derivation_key = DerivationKey::new(derivation_key(&*store, &*options.random).await?);
        let mut last_account = match store.meta(LAST_ACCOUNT).await? {
            Some(bytes) => u64::from_be_bytes(
                bytes.try_into().map_err(|_| StoreError::Corrupt("number of the last account".to_owned()))?,
            ),
            None => 0,
        };
        let rows = store.accounts().await?;
        let entries = rows.into_iter().map(rows::entry).collect::<Result<Vec<_>, _>>()?;
        last_account = entries.iter().map(|entry| entry.account.id.0).fold(last_account, u64::max);
        let directory = Directory::of(entries);
        let name_of = |id| {
            directory.find(id).map(|entry| (entry.account.kind.to_string(), entry.account.name.to_string()))
        };
        let sealed_by = (options.equivalents_key, options.database);
        let equivalents = Equivalents::load(sealed_by, store.equivalents().await?, name_of)?;
        let tokens = Tokens::new();
        let keys = Keys::load(store.keys().await?, &tokens)?;
        let signing = SigningKeys::load(&*store, &options.signing, &*options.clock).await?;
        let (links, values) = links::Links::apart(store.values().await?);
        let lockout = Lockout::new(options.patience);
        let mut meanwhile = Meanwhile::default();
        let loader = meanwhile.begin();
        let core = Arc::new(Core {
            passwords: Passwords::start(&options.passwords, Arc::clone(&options.random))?,
            flights: Flights::new(&lockout.addresses, passwords::Outcome::is_failure),
            asked: Flights::new(&lockout.addresses, directories::Outcome::is_failure),
            introspected: Flights::new(&lockout.addresses, foreign::is_failure),
            lockout,
            providers: passwords::Providers::default(),
            directories: Directories::default(),
            links: links::Links::load(links),
            fronts: foreign::BelievedFronts::default(),
            proofs: Proofs::new(),
            objects: Known::new(),
            equivalents,
            values: Values::load(values),
            nobody: Arc::new(rows::nobody().map_err(OpenError::Store)?),
            nonces: nonces(&derivation_key, &*options.random)?,
            signing,
            issuers: Issuers::default(),
            negotiations: Negotiations::default(),
            tickets: Arc::new(Semaphore::new(TICKETS_AT_ONCE)),
            ledger: Mutex::new(Ledger {
                meanwhile,
                loader,
                replaced: Replaced::default(),
                successors: Successors::default(),
                unwritten_ends: Vec::new(),
                unwritten_events: Vec::new(),
            }),
            administration: tokio::sync::Mutex::new(last_account),
            key_orders: UnderWay::of_keys(),
            password_changes: UnderWay::of_passwords(),
            loaded: AtomicBool::new(false),
            displaced: AtomicBool::new(false),
            ended: broadcast::Sender::new(ENDED_BACKLOG),
            clock: options.clock,
            random: options.random,
            handle,
            store,
            derivation_key,
            tokens,
            directory,
            keys,
        });
        upkeep::start(&core, options.upkeep);
        Ok(Arc::new(Self { core }))
    }

    /// Whether all tokens of the store are in memory. Until then look-ups of unknown tokens ask the store.
    pub fn ready(&self) -> bool {
        self.core.loaded.load(Ordering::Acquire)
    }

    /// Whether the last change could not be written to the store. It tries by itself whether that has passed, so that
    /// whoever sends nobody here meanwhile learns of it.
    pub fn cannot_write(&self) -> bool {
        self.core.store.is_failing()
    }

    /// Whether another file, or none, was in the place of the database file at the last beat: what is changed from then on
    /// is lost with this process.
    pub fn is_displaced(&self) -> bool {
        self.core.displaced.load(Ordering::Relaxed)
    }

    /// Tells of every token that ends and of every account whose tokens do, from now on. A listener that lags
    /// looks at all that it holds.
    pub fn ended(&self) -> broadcast::Receiver<Ended> {
        self.core.ended.subscribe()
    }

    /// Writes what waits to be written and lets the database go. Nothing can be changed after that.
    pub fn close(&self) -> Answer<Result<(), Unavailable>> {
        self.run(|core| async move {
            core.flush().await?;
            core.store.close().await.map_err(unavailable)
        })
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Runs a task on the control plane; it goes on if its answer is no longer awaited.
    pub(crate) fn run<T, F>(&self, task: impl FnOnce(Arc<Core>) -> F) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: FromLost,
    {
        let task = self.core.handle.spawn(task(Arc::clone(&self.core)));
        Box::pin(async move {
            match task.await {
                Ok(answer) => answer,
                Err(error) => T::lost(lost(&error)),
            }
        })
    }
}

/// Answers that can say that they could not be had.
pub(crate) trait FromLost {
    fn lost(error: Unavailable) -> Self;
}

impl<T, E: From<Unavailable>> FromLost for Result<T, E> {
    fn lost(error: Unavailable) -> Self {
        Err(error.into())
    }
}

impl Core {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, ended: Ended) {
        // Nobody need be listening.
        let _ = self.ended.send(ended);
    }

    /// Random bytes.
    fn draw<const N: usize>(&self) -> Result<[u8; N], Unavailable> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// Runs a task on the control plane, whatever runtime awaits it.
async fn spawned<T: Send + 'static>(
    handle: &Handle,
    task: impl Future<Output = T> + Send + 'static,
) -> Result<T, Unavailable> {
    handle.spawn(task).await.map_err(|error| lost(&error))
}

fn lost(error: &tokio::task::JoinError) -> Unavailable {
    Unavailable(format!("a task of the control plane was lost: {error}"))
}

/// Nonces of this start: another one, like another node, draws another number.
fn nonces(derivation_key: &DerivationKey, random: &dyn Random) -> Result<Nonces, Unavailable> {
    let mut boot = [0; 8];
    random.fill(&mut boot)?;
    Ok(Nonces::new(derivation_key, u64::from_be_bytes(boot)))
}

async fn derivation_key(store: &dyn Store, random: &dyn Random) -> Result<[u8; 32], OpenError> {
    if let Some(key) = store.meta(DERIVATION_KEY).await? {
        let corrupt = |_| StoreError::Corrupt("derivation key".to_owned());
        return Ok(<[u8; 32]>::try_from(key).map_err(corrupt)?);
    }
    let mut key = [0; 32];
    random.fill(&mut key)?;
    store.write(vec![Change::PutMeta(DERIVATION_KEY, key.to_vec())]).await?;
    Ok(key)
}

pub(crate) fn unavailable(error: StoreError) -> Unavailable {
    Unavailable(error.to_string())
}
