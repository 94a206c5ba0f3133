//! Connections to the servers of a directory, kept for the next log-in.
//!
//! A server that could not be reached rests for a while and the next one is asked; only when all rest, all are tried
//! again. A connection that was idle may have been closed at the other end without a word: whoever was given one and
//! finds it broken asks again and is given a fresh one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_auth::secret::Secret;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::link::{Link, Server, told};
use super::reason::{Bound, bound};

/// After a failure a server is not asked for so long, if there is another.
const REST: Duration = Duration::from_secs(10);
/// Servers close idle connections after some minutes (AD after 15); ours are younger.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Who a connection speaks for when it is handed out.
pub(super) enum Speaker {
    /// Nobody yet: it is for binds.
    Nobody,
    /// An account of the directory that may search it.
    Account {
        /// Its name.
        name: String,
        /// Its password.
        password: Secret,
    },
}

/// See the module's words.
pub(super) struct Pool {
    servers: Arc<[Server]>,
    tls: Arc<ClientConfig>,
    patience: Duration,
    speaker: Speaker,
    idle_most: usize,
    idle: Mutex<Vec<(Link, Instant)>>,
    resting: Mutex<Vec<Option<Instant>>>,
}

/// A connection on loan.
pub(super) struct Loan {
    pub(super) link: Link,
    /// Whether it was idle before: then that it is broken says little about the server.
    pub(super) is_used: bool,
}

impl Pool {
    pub(super) fn new(
        servers: &Arc<[Server]>,
        tls: &Arc<ClientConfig>,
        patience: Duration,
        speaker: Speaker,
        idle_most: usize,
    ) -> Self {
        Self {
            servers: Arc::clone(servers),
            tls: Arc::clone(tls),
            patience,
            speaker,
            idle_most,
            idle: Mutex::default(),
            resting: Mutex::new(vec![None; servers.len()]),
        }
    }

    /// A connection that was idle, or a new one; the error is for the log.
    pub(super) async fn take(&self) -> Result<Loan, String> {
        while let Some((mut link, since)) = self.pop() {
            if since.elapsed() < IDLE_MAX && !link.is_closed() {
                return Ok(Loan { link, is_used: true });
            }
        }
        self.fresh().await
    }

    /// A new connection; those that are idle go, since one of them was found broken.
    pub(super) async fn renewed(&self) -> Result<Loan, String> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.fresh().await
    }

    /// Takes a connection back that is whole.
    pub(super) fn give_back(&self, loan: Loan) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.idle_most {
            idle.push((loan.link, Instant::now()));
        }
    }

    fn pop(&self) -> Option<(Link, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn fresh(&self) -> Result<Loan, String> {
        let mut failures = Vec::new();
        for at in self.order() {
            let Some(server) = self.servers.get(at) else { continue };
            match self.open(server).await {
                Ok(link) => {
                    self.rest(at, None);
                    return Ok(Loan { link, is_used: false });
                }
                Err(error) => {
                    self.rest(at, Some(Instant::now()));
                    failures.push(format!("{server}: {error}"));
                }
            }
        }
        Err(failures.join("; "))
    }

    async fn open(&self, server: &Server) -> Result<Link, String> {
        let mut link =
            Link::open(server, &self.tls, self.patience).await.map_err(|error| error.to_string())?;
        if let Speaker::Account { name, password } = &self.speaker {
            let result = link.bind(name, password).await.map_err(|error| error.to_string())?;
            match bound(result.rc, &result.text) {
                Bound::Right => {}
                Bound::Wrong(why) => return Err(format!("the account that searches was refused: {why}")),
                Bound::Unclear => return Err(format!("the account that searches: {}", told(&result))),
            }
        }
        Ok(link)
    }

    /// The servers in the order in which they are tried: those that do not rest, then the others.
    fn order(&self) -> Vec<usize> {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = |at: &usize| resting.get(*at).copied().flatten().is_some_and(|at| at.elapsed() < REST);
        let (later, first): (Vec<usize>, Vec<usize>) = (0..self.servers.len()).partition(rests);
        first.into_iter().chain(later).collect()
    }

    fn rest(&self, at: usize, since: Option<Instant>) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = resting.get_mut(at) {
            *server = since;
        }
    }
}
