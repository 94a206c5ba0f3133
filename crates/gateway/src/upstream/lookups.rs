//! The addresses of backends that are called by a name, on one core.
//!
//! A resolver that does not answer keeps the thread that asks it for as long as it likes, whether anybody still waits or
//! not. So each name is asked for once at a time, and whoever wants it meanwhile waits for the same answer: a service whose
//! name is lost has one thread of a core, and not those of all other services. Nothing is kept beyond that; how long an
//! address is good the system's own resolver knows.

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

/// The names that are being asked for.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    under_way: RefCell<HashMap<String, Outcome, RandomState>>,
}

/// What comes of asking for a name, once it is there.
type Outcome = watch::Receiver<Option<Found>>;

/// What a name stands for, for all who wait.
#[derive(Clone, Debug)]
struct Found(Result<Vec<SocketAddr>, Arc<io::Error>>);

impl Lookups {
    /// The addresses of a host, with this port. Whoever stops waiting leaves the look-up to others.
    ///
    /// # Errors
    /// What the system's resolver says.
    pub(crate) async fn find(self: &Rc<Self>, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.find_by(host, port, ask_system).await
    }

    async fn find_by(
        self: &Rc<Self>,
        host: &str,
        port: u16,
        ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<SocketAddr>> {
        let begun = self.under_way.borrow().get(host).cloned();
        let mut outcome = begun.unwrap_or_else(|| self.begin(host, ask));
        let told = outcome.wait_for(Option::is_some).await.map(|told| (*told).clone());
        let Ok(Some(Found(found))) = told else {
            return Err(io::Error::other("nobody asks for it any more"));
        };
        let mut addresses = found.map_err(|error| io::Error::new(error.kind(), error))?;
        addresses.iter_mut().for_each(|address| address.set_port(port));
        Ok(addresses)
    }

    fn begin(
        self: &Rc<Self>,
        host: &str,
        ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Outcome {
        let (teller, outcome) = watch::channel(None);
        self.under_way.borrow_mut().insert(host.to_owned(), outcome.clone());
        let (lookups, host) = (Rc::clone(self), host.to_owned());
        tokio::task::spawn_local(async move {
            let name = host.clone();
            let asked = tokio::task::spawn_blocking(move || ask(&name)).await;
            let found = asked.unwrap_or_else(|died| Err(io::Error::other(died)));
            lookups.under_way.borrow_mut().remove(&host);
            teller.send_replace(Some(Found(found.map_err(Arc::new))));
        });
        outcome
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
                let mut given_up = Box::pin(lookups.find_by("lost.test", 80, slow.ask()));
                assert!((&mut given_up).now_or_never().is_none());
                drop(given_up);
                tokio::task::yield_now().await;
            }
            // Another name is not behind them, though there are but two threads.
            let (quick, answer) = Slow::new();
            answer.send(Ok(vec![address(0)])).unwrap();
            let found = lookups.find_by("found.test", 81, quick.ask()).await;
            assert_eq!(found.unwrap(), [address(81)]);
            // Whoever comes late has the answer to the first question, each with his port.
            let mut waiting = Box::pin(lookups.find_by("lost.test", 82, slow.ask()));
            assert!((&mut waiting).now_or_never().is_none());
            tell.send(Ok(vec![address(0)])).unwrap();
            let (one, other) = tokio::join!(waiting, lookups.find_by("lost.test", 83, slow.ask()));
            assert_eq!((one.unwrap(), other.unwrap()), (vec![address(82)], vec![address(83)]));
            assert_eq!(slow.asked(), 1);
        });
    }

    #[test]
    fn nothing_is_kept_of_an_answer_and_an_error_is_everybodys() {
        core(1).block_on(async {
            let lookups = Rc::new(Lookups::default());
            let (slow, tell) = Slow::new();
            let find = || lookups.find_by("lost.test", 80, slow.ask());
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
            assert!(lookups.find_by("lost.test", 80, |_| panic!("it dies")).await.is_err());
            assert!(lookups.under_way.borrow().is_empty());
        });
    }

    #[test]
    fn this_machine_has_a_name() {
        core(1).block_on(async {
            let lookups = Rc::new(Lookups::default());
            let found = lookups.find("localhost", 80).await.unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
            assert!(!found.is_empty());
        });
    }
}
