//! Starts the data plane, replaces its gate, and stops it.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::address::RequestSecret;
use crate::admission::Handler;
use crate::admit::{Admit, forget_stale_assertions};
use crate::drain::{self, DrainSignal, DrainSwitch};
use crate::gate::Gate;
use crate::listen::{self, Acceptor, Caps, Credentials, Listener, Listening, TlsError};
use crate::upstream;
use crate::worker::{Shared, Worker};

/// How the data plane is laid out.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// How many cores serve; all that there are if `None`. Each is a thread with its own sockets.
    pub cores: Option<NonZeroUsize>,
}

/// Why the data plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener has no name of its own.
    #[error("two listeners are named {0}")]
    ListenerName(String),
    /// A socket is taken or not ours to take.
    #[error("could not listen on {address} for {listener}")]
    Bind {
        /// The listener.
        listener: String,
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key.
    #[error("could not set up TLS for listener {listener}")]
    Tls {
        /// The listener.
        listener: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The generator of random bytes.
    #[error("could not draw random bytes")]
    Random(#[source] countersign_auth::port::Unavailable),
    /// A thread or its runtime.
    #[error("could not start a core")]
    Core(#[source] io::Error),
}

/// A core ended otherwise than by draining.
#[derive(Debug, thiserror::Error)]
#[error("a core of the data plane has died")]
pub struct CoreDied;

/// A data plane that serves. Dropping it cuts everything; [`Running::shutdown`] is the polite way.
pub struct Running {
    addresses: Vec<(String, SocketAddr)>,
    shared: Arc<Shared>,
    switch: DrainSwitch,
    acceptors: Vec<(String, Acceptor)>,
    cores: Vec<JoinHandle<usize>>,
}

/// Certificates that were read and are good.
pub struct Certificates(Vec<(Acceptor, Arc<Credentials>)>);

impl Certificates {
    /// Shows them to new connections, all at once; connections that are open are not touched.
    pub fn show(self) {
        self.0.into_iter().for_each(|(acceptor, credentials)| acceptor.replace(credentials));
    }
}

/// Starts the data plane. When this returns, all listeners take connections.
///
/// # Errors
/// See [`StartError`]; nothing is left running then.
pub fn start(gate: Gate, options: ServeOptions) -> Result<Running, StartError> {
    start_with(gate, options, Admit)
}

/// Starts with another handler than `admit`.
pub(crate) fn start_with<H: Handler>(
    gate: Gate,
    options: ServeOptions,
    handler: H,
) -> Result<Running, StartError> {
    let count = options.cores.map_or_else(available_cores, NonZeroUsize::get);
    let mut drawn = [[0; 8]; 2];
    for word in &mut drawn {
        gate.random.fill(word).map_err(StartError::Random)?;
    }
    let secret = drawn.map(u64::from_le_bytes);
    let caps = Caps::new(Arc::clone(&gate.metrics));
    let shared = Shared::new(gate);
    let handler = Arc::new(handler);
    let (switch, signal) = drain::channel();

    let mut addresses = Vec::new();
    let mut acceptors = Vec::new();
    let mut plans: Vec<Vec<Plan>> = (0..count).map(|_| Vec::new()).collect();
    for listener in options.listeners {
        if addresses.iter().any(|(name, _)| *name == listener.name) {
            return Err(StartError::ListenerName(listener.name));
        }
        let acceptor = acceptor(&listener)?;
        if let Some(acceptor) = &acceptor {
            acceptors.push((listener.name.clone(), acceptor.clone()));
        }
        let bound = listen::bind(&listener, count).map_err(|source| StartError::Bind {
            listener: listener.name.clone(),
            address: listener.address,
            source,
        })?;
        addresses.push((listener.name.clone(), bound.address));
        let listener = Arc::new(listener);
        for (plan, socket) in plans.iter_mut().zip(bound.sockets) {
            plan.push(Plan { listener: Arc::clone(&listener), acceptor: acceptor.clone(), socket });
        }
    }

    let mut running = Running { addresses, shared, switch, acceptors, cores: Vec::with_capacity(count) };
    let (report, reports) = mpsc::channel();
    for (index, plans) in plans.into_iter().enumerate() {
        let core = Core {
            index,
            count,
            secret,
            plans,
            shared: Arc::clone(&running.shared),
            caps: Arc::clone(&caps),
            handler: Arc::clone(&handler),
            signal: signal.clone(),
        };
        let report = report.clone();
        let thread = std::thread::Builder::new()
            .name(format!("gate-{index}"))
            .spawn(move || core.run(&report))
            .map_err(StartError::Core)?;
        running.cores.push(thread);
    }
    drop(report);
    for _ in 0..count {
        // A core that dies before it reports drops its end.
        reports
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the core died")))
            .map_err(StartError::Core)?;
    }
    Ok(running)
}

impl Running {
    /// The name and address of each listener, with the port that it really has.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// The address of the listener `name`.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(listener, _)| listener == name).map(|(_, address)| *address)
    }

    /// Puts another gate in place: requests that were begun end with the old one, new ones begin with this.
    pub fn replace(&self, gate: Gate) {
        self.shared.replace(gate);
    }

    /// Reads the certificates of all TLS listeners again, and the authorities whose clients' they take, to be used from
    /// [`Certificates::show`] on.
    ///
    /// # Errors
    /// The first that cannot be used, with its listener's name.
    pub fn read_certificates(&self) -> Result<Certificates, StartError> {
        let read = |(listener, acceptor): &(String, Acceptor)| {
            let credentials = acceptor.read_again();
            let credentials =
                credentials.map_err(|source| StartError::Tls { listener: listener.clone(), source })?;
            Ok((acceptor.clone(), credentials))
        };
        self.acceptors.iter().map(read).collect::<Result<_, _>>().map(Certificates)
    }

    /// Begins to stop: listeners close, requests in flight are finished, idle connections end; whatever is left after
    /// `within` is cut, tunnels most often. Returns at once; [`Running::wait`] waits.
    pub fn shutdown(&self, within: Duration) {
        self.switch.drain(within);
    }

    /// Blocks until the data plane has stopped. Returns how many connections had to be cut.
    ///
    /// # Errors
    /// If a core died of something else.
    pub fn wait(mut self) -> Result<usize, CoreDied> {
        let mut cut = 0;
        for core in std::mem::take(&mut self.cores) {
            cut += core.join().map_err(|_| CoreDied)?;
        }
        Ok(cut)
    }
}

/// One listener on one core, before the core runs.
struct Plan {
    listener: Arc<Listener>,
    acceptor: Option<Acceptor>,
    socket: std::net::TcpListener,
}

struct Core<H> {
    index: usize,
    count: usize,
    secret: RequestSecret,
    plans: Vec<Plan>,
    shared: Arc<Shared>,
    caps: Arc<Caps>,
    handler: Arc<H>,
    signal: DrainSignal,
}

impl<H: Handler> Core<H> {
    fn run(self, report: &mpsc::Sender<io::Result<()>>) -> usize {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().max_blocking_threads(upstream::LOOKUPS_MAX);
        let runtime = match builder.build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => {
                // Nobody listens any more if another core failed first.
                let _gone = report.send(Err(error));
                return 0;
            }
        };
        let cut = runtime.block_on(self.serve(report));
        // Names may still be asked for, as long as the resolver likes; nobody waits for them any more.
        runtime.shutdown_background();
        cut
    }

    async fn serve(mut self, report: &mpsc::Sender<io::Result<()>>) -> usize {
        let worker = Worker::new(self.index, self.count, Arc::clone(&self.shared), self.secret);
        worker.pulse().strike();
        let mut accepting = Vec::new();
        for plan in std::mem::take(&mut self.plans) {
            let socket = match TcpListener::from_std(plan.socket) {
                Ok(socket) => socket,
                Err(error) => {
                    let _gone = report.send(Err(error));
                    return 0;
                }
            };
            let listening = Rc::new(Listening {
                worker: Rc::clone(&worker),
                name: plan.listener.name.as_str().into(),
                listener: plan.listener,
                tls: plan.acceptor,
                caps: Arc::clone(&self.caps),
                handler: Arc::clone(&self.handler),
            });
            let stop = Rc::new(Notify::new());
            let task = tokio::task::spawn_local(listen::run(listening, socket, Rc::clone(&stop)));
            accepting.push((task, stop));
        }
        let beating = tokio::task::spawn_local(beat(Rc::clone(&worker)));
        let _gone = report.send(Ok(()));
        self.signal.begun().await;
        // First the flag, then the sockets: whatever is taken from now on is told that it is the last.
        worker.drain();
        for (task, stop) in accepting {
            // Only when the task is gone is its socket closed.
            stop.notify_one();
            let _ended = task.await;
        }
        let cut = drain::finish(&worker, &mut self.signal).await;
        beating.abort();
        cut
    }
}

/// So often a line says how many clients were cut off, and at which limits.
const CUTS_TOLD_MS: u64 = 1000;

/// Turns the core's clock, and does what is to be done now and then.
async fn beat(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(worker.pulse().beat());
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told_ms = 0;
    loop {
        interval.tick().await;
        worker.pulse().strike();
        worker.lines().hand_over();
        worker.sweep();
        forget_stale_assertions(worker.gate().clock.now());
        if worker.index() == 0 {
            upstream::run_checks(&worker);
            let now_ms = worker.pulse().now_ms();
            if now_ms.saturating_sub(told_ms) >= CUTS_TOLD_MS {
                told_ms = now_ms;
                worker.gate().metrics.cuts.tell();
            }
        }
    }
}

fn acceptor(listener: &Listener) -> Result<Option<Acceptor>, StartError> {
    listener
        .tls
        .as_ref()
        .map(|files| Acceptor::new(files, listener.http2))
        .transpose()
        .map_err(|source| StartError::Tls { listener: listener.name.clone(), source })
}

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests;
