//! Directories: whoever else says whether a password is right.
//!
//! One file for each kind of directory. A directory is asked for one user and one password and says who that is, as a
//! [`Person`]; which account of the gate that is, how failures are counted and what it costs whoever asks is decided
//! by the service (`service/directories.rs`), so that two kinds cannot differ in it. What a directory could not be
//! asked is [`Trouble::Down`], a 503: never a wrong password.

mod health;
pub mod http;
pub mod ldap;
pub mod person;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use countersign_auth::port::PasswordClaim;
use countersign_auth::secret::Secret;
use futures_util::future::BoxFuture;
use hashbrown::HashMap;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::health::Health;
pub(crate) use self::health::Outcome;
pub use self::health::{HealthReport, Standing};
use self::person::Person;

/// What a directory says of a user and a password.
#[derive(Debug)]
pub enum Verdict {
    /// The password is this person's.
    Right(Box<Person>),
    /// It is not, or he may not log in; the text is for the log, clients get one answer for all of them.
    Wrong(&'static str),
}

/// Why a directory said nothing.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// As many are being asked as may be.
    #[error("as many passwords are being checked there as may be")]
    Busy,
    /// It cannot be reached, or its answer cannot be made out; the text is for the log.
    #[error("{0}")]
    Down(String),
}

/// Checks passwords against accounts that live elsewhere.
pub trait Directory: Send + Sync {
    /// Asks for one user, as he typed his name, and his password, which is never empty.
    fn check<'d>(&'d self, user: &'d str, password: &'d Secret) -> BoxFuture<'d, Result<Verdict, Trouble>>;

    /// Asks whether it is well, without anybody's password; the error is for the log.
    fn probe(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// How a directory is used.
#[derive(Clone, Copy, Debug)]
pub struct DirectorySettings {
    /// Whether accounts are made for people whom the gate has not seen.
    pub first_sight: FirstSight,
    /// How long a password that it called right is good for without another question; a revocation ends it sooner.
    pub remembered: Duration,
    /// How many passwords are checked at once; each holds a connection or two.
    pub at_once: usize,
    /// How many may wait for that; one more is told to come back later. At 5 ms a check and 8 at once the last of 128
    /// waits 80 ms.
    pub waiting: usize,
}

/// Whether accounts are made for people whom the gate has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSight {
    /// An account is made.
    Create,
    /// Only who has an account already gets in.
    Refuse,
}

/// A directory with all that the gate knows of it.
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) settings: DirectorySettings,
    pub(crate) health: Health,
    directory: Box<dyn Directory>,
    at_once: Semaphore,
    waiting: AtomicUsize,
}

impl Kept {
    /// Asks the directory when there is room.
    pub(crate) async fn check(&self, user: &str, password: &Secret) -> Result<Verdict, Trouble> {
        let answer = match self.enter().await {
            Ok(_permit) => self.directory.check(user, password).await,
            Err(busy) => Err(busy),
        };
        self.health.note(
            &self.name,
            match &answer {
                Ok(Verdict::Right(_)) => Outcome::Right,
                Ok(Verdict::Wrong(_)) => Outcome::Wrong,
                Err(Trouble::Busy) => Outcome::Busy,
                Err(Trouble::Down(why)) => Outcome::Down(why),
            },
        );
        answer
    }

    pub(crate) async fn probe(&self) {
        let well = self.directory.probe().await;
        self.health.note(
            &self.name,
            match &well {
                Ok(()) => Outcome::Well,
                Err(why) => Outcome::Down(why),
            },
        );
    }

    async fn enter(&self) -> Result<SemaphorePermit<'_>, Trouble> {
        if let Ok(permit) = self.at_once.try_acquire() {
            return Ok(permit);
        }
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.settings.waiting {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Trouble::Busy);
        }
        let _left = Waiting(&self.waiting);
        self.at_once.acquire().await.map_err(|_| Trouble::Busy)
    }
}

/// Counts one less when whoever waits stops waiting, for whatever reason.
struct Waiting<'k>(&'k AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Which log-ins a directory is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// At which API.
    pub api: String,
    /// About which kind of accounts.
    pub kind: String,
    /// Log-ins that name this provider; without one, those that name none.
    pub provider: Option<String>,
    /// And this domain of it.
    pub domain: Option<String>,
}

/// All directories, and which of them is asked.
#[derive(Default)]
pub(crate) struct Directories {
    kept: RwLock<HashMap<String, Arc<Kept>>>,
    routes: RwLock<HashMap<Route, Arc<Kept>>>,
}

impl Directories {
    /// Adds a directory, or puts it in the place of the one of that name.
    pub(crate) fn add(
        &self,
        name: &str,
        directory: Box<dyn Directory>,
        settings: DirectorySettings,
    ) -> Arc<Kept> {
        let kept = Arc::new(Kept {
            name: name.to_owned(),
            settings,
            health: Health::default(),
            directory,
            at_once: Semaphore::new(settings.at_once.clamp(1, Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
        });
        self.kept.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(&kept));
        kept
    }

    /// Says which log-ins a directory is asked about; false if there is no directory of that name.
    pub(crate) fn route(&self, route: Route, name: &str) -> bool {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let Some(kept) = kept else { return false };
        self.routes.write().unwrap_or_else(PoisonError::into_inner).insert(route, kept);
        true
    }

    /// From now on no directory is asked about log-ins of an API.
    pub(crate) fn forget(&self, api: &str) {
        self.routes.write().unwrap_or_else(PoisonError::into_inner).retain(|route, _| route.api != api);
    }

    /// The directory that a log-in is about; `None` for the gate's own accounts.
    pub(crate) fn of(&self, claim: &PasswordClaim) -> Option<Arc<Kept>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if routes.is_empty() {
            return None;
        }
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let route = Route {
            api: claim.api.to_string(),
            kind: claim.kind.to_string(),
            provider: said(&claim.provider),
            domain: said(&claim.domain),
        };
        routes.get(&route).cloned()
    }

    /// How all of them are, by name.
    pub(crate) fn health(&self) -> Vec<HealthReport> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = kept.values().map(|kept| kept.health.report(&kept.name)).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}
