//! The addresses of backends that are called by a name, on one core.
//!
//! A resolver that does not answer keeps the thread that asks it for as long as it likes, whether anybody still waits or
//! not. So whoever wants a name that is being asked for waits for the same answer: a service whose name is lost has a few
//! threads of a core, and not those of all other services. An answer may be lost on its way and the next one come at once,
//! so that a name is asked for again where that goes on. Nothing is kept beyond that; how long an address is good the
//! system's own resolver knows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tokio::sync::watch;

/// Names that one core asks for at once, each in a thread of its own; further ones wait for their turn. Names come from the
/// configuration alone, and of these only the ones that nobody answers for stay.
pub(crate) const LOOKUPS_MAX: usize = 512;

/// Threads of a core that ask for one name: two answers in a row are seldom lost, three a resolver that is gone.
const OF_A_NAME_MAX: usize = 4;

/// A resolver of the same network answers within milliseconds, and asks others twice in a second.
const AGAIN_MS: u64 = 1000;

/// The names that are being asked for.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    under_way: RefCell<HashMap<String, Asked, RandomState>>,
}

/// A name that some thread asks for.
#[derive(Debug)]
struct Asked {
    threads: usize,
    youngest_ms: u64,
    /// What comes first serves all who wait. Nobody waits here any more once it is there.
    outcome: watch::Sender<Option<Found>>,
}

/// What a name stands for, for all who wait.
#[derive(Clone, Debug)]
struct Found(Result<Vec<SocketAddr>, Arc<io::Error>>);

impl Default for Asked {
    fn default() -> Self {
        Self { threads: 0, youngest_ms: 0, outcome: watch::Sender::new(None) }
    }
}

impl Asked {
    /// Notes another thread, if there is to be one.
    fn begin(&mut self, now_ms: u64) -> bool {
        let is_answered = self.outcome.borrow().is_some();
        let is_late = now_ms.saturating_sub(self.youngest_ms) >= AGAIN_MS;
        let begins = self.threads == 0 || (self.threads < OF_A_NAME_MAX && (is_answered || is_late));
        if is_answered {
            self.outcome = watch::Sender::new(None);
        }
        if begins {
            self.threads += 1;
            self.youngest_ms = now_ms;
        }
        begins
    }
}

impl Lookups {
    /// The addresses of a host, with this port. Whoever stops waiting leaves the look-up to others.
    ///
    /// # Errors
    /// What the system's resolver says.
    pub(crate) async fn find(
        self: &Rc<Self>,
        host: &str,
        port: u16,
        now_ms: u64,
    ) -> io::Result<Vec<SocketAddr>> {
        self.find_by(host, port, now_ms, ask_system).await
    }

    async fn find_by(
        self: &Rc<Self>,
        host: &str,
        port: u16,
        now_ms: u64,
        ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<SocketAddr>> {
        let (begins, mut outcome) = {
            let mut under_way = self.under_way.borrow_mut();
            let asked = under_way.entry(host.to_owned()).or_default();
            (asked.begin(now_ms), asked.outcome.subscribe())
        };
        if begins {
            tokio::task::spawn_local(Rc::clone(self).ask(host.to_owned(), ask));
        }
        let told = outcome.wait_for(Option::is_some).await.map(|told| (*told).clone());
        let Ok(Some(Found(found))) = told else {
            return Err(io::Error::other("nobody asks for it any more"));
        };
        let mut addresses = found.map_err(|error| io::Error::new(error.kind(), error))?;
        addresses.iter_mut().for_each(|address| address.set_port(port));
        Ok(addresses)
    }

    async fn ask(
        self: Rc<Self>,
        host: String,
        ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) {
        let name = host.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&name)).await;
        let found = asked.unwrap_or_else(|died| Err(io::Error::other(died)));
        let mut under_way = self.under_way.borrow_mut();
        let Some(asked) = under_way.get_mut(&host) else { return };
        if asked.outcome.borrow().is_none() {
            asked.outcome.send_replace(Some(Found(found.map_err(Arc::new))));
        }
        asked.threads = asked.threads.saturating_sub(1);
        if asked.threads == 0 {
            under_way.remove(&host);
        }
    }
}

/// Asks the system's resolver; the port is none yet.
fn ask_system(host: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((host, 0).to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use futures_util::FutureExt as _;
    use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

    use super::*;

    /// A resolver that answers when it is told to.
    struct Slow {
        asked: AtomicUsize,
        answers: Mutex<Receiver<io::Result<Vec<SocketAddr>>>>,
    }

    impl Slow {
        fn new() -> (Arc<Self>, Sender<io::Result<Vec<SocketAddr>>>) {
            let (tell, answers) = channel();
            (Arc::new(Self { asked: AtomicUsize::new(0), answers: Mutex::new(answers) }), tell)
        }

        fn ask(self: &Arc<Self>) -> impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static {
            let slow = Arc::clone(self);
            move |_| {
                slow.asked.fetch_add(1, Ordering::SeqCst);
                slow.answers.lock().unwrap().recv().unwrap()
            }
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    /// A core with room for so many look-ups.
    fn core(most: usize) -> LocalRuntime {
        let mut builder = Builder::new_current_thread();
        builder.max_blocking_threads(most).build_local(LocalOptions::default()).unwrap()
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_name_is_asked_for_once_however_many_wait_and_give_up() {
        core(2).block_on(async {
            let lookups = Rc::new(Lookups::default());
            let (slow, tell) = Slow::new();
            for _ in 0..1_000 {
                let mut given_up = Box::pin(lookups.find_by("lost.test", 80, 0, slow.ask()));
                assert!((&mut given_up).now_or_never().is_none());
                drop(given_up);
                tokio::task::yield_now().await;
            }
            // Another name is not behind them, though there are but two threads.
            let (quick, answer) = Slow::new();
            answer.send(Ok(vec![address(0)])).unwrap();
            let found = lookups.find_by("found.test", 81, 0, quick.ask()).await;
            assert_eq!(found.unwrap(), [address(81)]);
            // Whoever comes late has the answer to the first question, each with his port.
            let mut waiting = Box::pin(lookups.find_by("lost.test", 82, 999, slow.ask()));
            assert!((&mut waiting).now_or_never().is_none());
            tell.send(Ok(vec![address(0)])).unwrap();
            let (one, other) = tokio::join!(waiting, lookups.find_by("lost.test", 83, 999, slow.ask()));
            assert_eq!((one.unwrap(), other.unwrap()), (vec![address(82)], vec![address(83)]));
            assert_eq!(slow.asked(), 1);
        });
    }

    #[test]
    fn a_lost_answer_is_asked_for_again_and_not_by_ever_more_threads() {
        core(OF_A_NAME_MAX + 1).block_on(async {
            let lookups = Rc::new(Lookups::default());
            let (lost, let_go) = Slow::new();
            let give_up = async |now_ms: u64| {
                let mut given_up = Box::pin(lookups.find_by("lost.test", 80, now_ms, lost.ask()));
                assert!((&mut given_up).now_or_never().is_none());
                tokio::task::yield_now().await;
            };
            let threads = || lookups.under_way.borrow().get("lost.test").map_or(0, |asked| asked.threads);
            for now_ms in [0, 999, 1000, 1999] {
                give_up(now_ms).await;
            }
            assert_eq!(threads(), 2);
            // The next question is answered, for whoever waits for an older one as well, and so are all after it.
            let (quick, answer) = Slow::new();
            let mut waiting = Box::pin(lookups.find_by("lost.test", 79, 1999, lost.ask()));
            assert!((&mut waiting).now_or_never().is_none());
            for now_ms in [2000, 2001, 2002] {
                answer.send(Ok(vec![address(0)])).unwrap();
                let found = lookups.find_by("lost.test", 80, now_ms, quick.ask()).await;
                assert_eq!(found.unwrap(), [address(80)], "{now_ms}");
            }
            assert_eq!(waiting.await.unwrap(), [address(79)]);
            assert_eq!((quick.asked(), threads()), (3, 2));
            for now_ms in (3000..10_000).step_by(500) {
                give_up(now_ms).await;
            }
            assert_eq!(threads(), OF_A_NAME_MAX);
            // Whatever comes of one of them is everybody's, and nothing is left of them.
            let waiting = lookups.find_by("lost.test", 80, 20_000, lost.ask());
            (0..OF_A_NAME_MAX).for_each(|_| let_go.send(Ok(vec![address(0)])).unwrap());
            assert_eq!(waiting.await.unwrap(), [address(80)]);
            while threads() > 0 {
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn nothing_is_kept_of_an_answer_and_an_error_is_everybodys() {
        core(1).block_on(async {
            let lookups = Rc::new(Lookups::default());
            let (slow, tell) = Slow::new();
            let find = || lookups.find_by("lost.test", 80, 0, slow.ask());
            tell.send(Err(io::Error::new(io::ErrorKind::NotFound, "no such name"))).unwrap();
            let (one, other) = tokio::join!(find(), find());
            for error in [one.unwrap_err(), other.unwrap_err()] {
                assert_eq!(
                    (error.kind(), error.to_string().as_str()),
                    (io::ErrorKind::NotFound, "no such name")
                );
            }
            assert_eq!(slow.asked(), 1);
            tell.send(Ok(vec![address(0)])).unwrap();
            assert_eq!(find().await.unwrap(), [address(80)]);
            assert_eq!(slow.asked(), 2);
            assert!(lookups.under_way.borrow().is_empty());
        });
    }

    #[test]
    fn a_resolver_that_dies_is_an_error() {
        core(1).block_on(async {
            let lookups = Rc::new(Lookups::default());
            assert!(lookups.find_by("lost.test", 80, 0, |_| panic!("it dies")).await.is_err());
            assert!(lookups.under_way.borrow().is_empty());
        });
    }

    #[test]
    fn this_machine_has_a_name() {
        core(1).block_on(async {
            let lookups = Rc::new(Lookups::default());
            let found = lookups.find("localhost", 80, 0).await.unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
            assert!(!found.is_empty());
        });
    }
}
