//! Listeners: sockets, what is in front of HTTP on them, and the connections that they take.

mod abandoned;
mod accept;
mod bind;
mod caps;
mod client;
mod first;
mod frames;
pub mod heads;
mod io;
mod leftover;
mod owed;
pub mod proxy_protocol;
mod serve;
mod service;
mod tls;
mod untaken;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use crate::listen::abandoned::Abandoned;
pub(crate) use crate::listen::accept::{Listening, is_loopback, run};
pub(crate) use crate::listen::bind::{bind, bind_alone};
pub(crate) use crate::listen::caps::Caps;
use crate::listen::caps::Permit;
pub use crate::listen::client::ClientCertificate;
pub(crate) use crate::listen::heads::HeadFault;
use crate::listen::heads::{CutOff, HeadWatch};
use crate::listen::leftover::Leftover;
pub(crate) use crate::listen::owed::Owed;
pub use crate::listen::serve::http1_builder;
pub(crate) use crate::listen::tls::{Acceptor, Credentials, certificates};
pub use crate::listen::tls::{TlsError, check as check_tls};
pub(crate) use crate::listen::untaken::{Piece, Untaken};

use countersign_auth::link::Slot;
use http::HeaderValue;

use crate::address::Networks;
use crate::limits::Limits;
use crate::metrics::cuts::Cut;
use crate::pulse::millis;

/// A listener as the configuration describes it.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name in places, logs and `Running::addresses`.
    pub name: String,
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Serves TLS with these files; in clear if `None`.
    pub tls: Option<TlsFiles>,
    /// Connections from these networks begin with a PROXY header (version 1 or 2) and are closed without one;
    /// from anywhere else such a header is no HTTP. It is never guessed whether there is one.
    pub proxy_protocol: Networks,
    /// Whether HTTP/2 is spoken: offered by ALPN through TLS, taken with prior knowledge in clear.
    pub http2: Http2,
}

/// Whether a listener speaks HTTP/2 beside HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Http2 {
    /// It does.
    #[default]
    On,
    /// It does not: for clients whose credentials are bound to a connection (NTLM).
    Off,
}

/// The files of a TLS listener, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, then those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// Authorities whose certificates clients may show; nobody is asked for one without it. Who shows none is let in
    /// all the same; who shows another's is not.
    pub client_authorities: Option<PathBuf>,
}

/// What is known of a connection's TLS.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// The host that the client named (SNI), in lower case.
    pub server_name: Option<String>,
    /// The certificate that it was shown, in DER; `tls-server-end-point` (RFC 5929) is its hash.
    pub certificate: Arc<[u8]>,
    /// The one that the client showed, which an authority of the listener vouches for.
    pub client: Option<ClientCertificate>,
}

/// What a connection is doing, for the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Nothing is asked.
    Idle = 0,
    /// A head is on its way in.
    Head = 1,
    /// A request is being served.
    Busy = 2,
}

/// What the sweep found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Verdict {
    Live = 0,
    /// Idle for too long, or with a certificate that proves nothing any more: closed as the protocol wants it.
    Close = 1,
    /// Too slow with a head: dropped.
    Slow = 2,
    /// Takes nothing, and nobody else's answers are under way: dropped.
    Stuck = 3,
}

/// Whether an answer of a shared connection was not taken for too long, and cannot be ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Left {
    /// None was.
    No = 0,
    /// What else is under way is to end first.
    WithOthers = 1,
    /// For so long that others count no more.
    ForGood = 2,
}

/// Never stalled; the clock begins at 0, but its first beat comes before the first connection can stall.
const NOT_STALLED: u64 = u64::MAX;

/// No head of HTTP/2 is on its way in.
const NO_BLOCK: u64 = u64::MAX;

/// More heads than any connection has: those of HTTP/2, and what follows a change of protocol.
const NOT_FOLLOWED: u64 = u64::MAX;

/// One connection of a client; every request on it shares this.
///
/// The numbers are atomics because the HTTP engine wants its parts to be `Send`; one core writes and reads them.
#[derive(Debug)]
pub struct Connection {
    /// The client's end: of the socket, or as a balancer's PROXY header says. Never an IPv4 address in IPv6.
    pub address: SocketAddr,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// What is known of its TLS; `None` in clear.
    pub tls: Option<TlsInfo>,
    /// The client's address as a field's value, made once.
    pub(crate) forwarded_for: HeaderValue,
    phase: AtomicU8,
    since_ms: AtomicU64,
    requests: AtomicU32,
    stalled_since_ms: AtomicU64,
    /// When bytes last went out after they could not.
    freed_ms: AtomicU64,
    /// Whether several answers share it (HTTP/2): then its bytes may move while an answer stands still.
    shared: AtomicBool,
    /// What the list of them ([`Untaken`]) found: a [`Left`].
    left_untaken: AtomicU8,
    /// Requests that were taken from it.
    taken: AtomicU64,
    /// Heads that were found to have one reading; [`NOT_FOLLOWED`] where none are looked at.
    vouched: AtomicU64,
    /// The first [`HeadFault`]; 0 if there was none.
    head_fault: AtomicU8,
    verdict: AtomicU8,
    /// Of its task; it stays the same.
    waker: OnceLock<Waker>,
    leftover: Leftover,
    abandoned: Abandoned,
    /// Whether more control frames of HTTP/2 came than may.
    is_flooded: AtomicBool,
    /// Since when the frames of a head have been coming, of HTTP/2; [`NO_BLOCK`] where none are.
    block_since_ms: AtomicU64,
    /// Bytes of large answers of the gate's own that its client has not taken.
    owed_bytes: AtomicUsize,
    slot: Slot,
    _permit: Permit,
}

impl Connection {
    fn new(
        address: SocketAddr,
        listener: &Arc<str>,
        tls: Option<TlsInfo>,
        permit: Permit,
        now_ms: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            listener: Arc::clone(listener),
            tls,
            forwarded_for: HeaderValue::from_str(&address.ip().to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            phase: AtomicU8::new(Phase::Head as u8),
            since_ms: AtomicU64::new(now_ms),
            requests: AtomicU32::new(0),
            stalled_since_ms: AtomicU64::new(NOT_STALLED),
            freed_ms: AtomicU64::new(now_ms),
            shared: AtomicBool::new(false),
            left_untaken: AtomicU8::new(Left::No as u8),
            taken: AtomicU64::new(0),
            vouched: AtomicU64::new(NOT_FOLLOWED),
            head_fault: AtomicU8::new(0),
            verdict: AtomicU8::new(Verdict::Live as u8),
            waker: OnceLock::new(),
            leftover: Leftover::default(),
            abandoned: Abandoned::default(),
            is_flooded: AtomicBool::new(false),
            block_since_ms: AtomicU64::new(NO_BLOCK),
            owed_bytes: AtomicUsize::new(0),
            slot: Slot::default(),
            _permit: permit,
        })
    }

    /// A place for what must not outlive the connection: the legs of a handshake that is bound to it, and what
    /// they proved. Only meaningful where one client has the connection to itself (HTTP/1.1, no front).
    pub const fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Whom to wake when something is to be looked at.
    fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Has it looked at what was found, or left.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// A request's head has come.
    pub(crate) fn request_began(&self) {
        self.leftover.asked();
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.phase.store(Phase::Busy as u8, Ordering::Relaxed);
    }

    /// A request's answer has gone, or never will.
    pub(crate) fn request_ended(&self, now_ms: u64) {
        if self.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.since_ms.store(now_ms, Ordering::Relaxed);
            self.phase.store(Phase::Idle as u8, Ordering::Relaxed);
        }
    }

    /// Several answers share it from now on.
    fn share(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    /// Whether it has to be told which answers wait.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// When its line was last found to be full no longer.
    fn freed_ms(&self) -> u64 {
        self.freed_ms.load(Ordering::Relaxed)
    }

    /// One of its answers was not taken for too long, and cannot be ended by itself.
    fn leave_untaken(&self, left: Left) {
        self.left_untaken.store(left as u8, Ordering::Relaxed);
    }

    /// Begins to look at heads.
    fn follow_heads(&self) {
        self.vouched.store(0, Ordering::Relaxed);
    }

    /// Whether heads are looked at.
    fn follows_heads(&self) -> bool {
        self.vouched.load(Ordering::Relaxed) != NOT_FOLLOWED
    }

    /// Nothing that comes from now on is a head.
    pub(crate) fn leave_http(&self) {
        self.vouched.store(NOT_FOLLOWED, Ordering::Relaxed);
    }

    /// Looks at bytes on their way to the HTTP engine; says how few of them it is to be given.
    fn look(&self, heads: &mut HeadWatch, bytes: &[u8]) -> Option<CutOff> {
        let before = self.vouched.load(Ordering::Relaxed);
        if before == NOT_FOLLOWED {
            heads.end();
            return None;
        }
        if let Err(fault) = heads.look(bytes) {
            self.head_fault.store(fault as u8, Ordering::Relaxed);
        }
        if heads.vouched() != before {
            self.vouched.store(heads.vouched(), Ordering::Relaxed);
        }
        heads.cut_off()
    }

    /// What is wrong with the head that the engine has refused, if it was looked at.
    pub(crate) fn head_fault(&self) -> Option<HeadFault> {
        match self.head_fault.load(Ordering::Relaxed) {
            0 => None,
            fault => Some(HeadFault::numbered(fault)),
        }
    }

    /// The limit that what stands behind the last body of HTTP/1 is beyond, if it is; nothing comes after it.
    pub(crate) fn trailers_fault(&self) -> Option<HeadFault> {
        self.head_fault().filter(|fault| matches!(fault, HeadFault::LongTrailers | HeadFault::ManyTrailers))
    }

    /// Takes the head of the next request; once per request.
    ///
    /// # Errors
    /// If nobody vouched for it.
    pub(crate) fn take_head(&self) -> Result<(), HeadFault> {
        if self.taken.fetch_add(1, Ordering::Relaxed) < self.vouched.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(HeadFault::numbered(self.head_fault.load(Ordering::Relaxed)))
        }
    }

    /// Bytes came in; while nothing is asked they begin a head.
    fn bytes_came(&self, now_ms: u64) {
        if self.phase.load(Ordering::Relaxed) == Phase::Idle as u8 {
            self.since_ms.store(now_ms, Ordering::Relaxed);
            self.phase.store(Phase::Head as u8, Ordering::Relaxed);
        }
    }

    /// Since when the frames of a head have been coming, if some have; nothing else comes on the connection meanwhile.
    fn block_is_open(&self, since_ms: Option<u64>) {
        let since_ms = since_ms.unwrap_or(NO_BLOCK);
        if self.block_since_ms.load(Ordering::Relaxed) != since_ms {
            self.block_since_ms.store(since_ms, Ordering::Relaxed);
        }
    }

    /// Bytes could not go out.
    fn stalled(&self, now_ms: u64) {
        if self.stalled_since_ms.load(Ordering::Relaxed) == NOT_STALLED {
            self.stalled_since_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Bytes went out.
    fn moved(&self, now_ms: u64) {
        if self.stalled_since_ms.load(Ordering::Relaxed) != NOT_STALLED {
            self.stalled_since_ms.store(NOT_STALLED, Ordering::Relaxed);
            self.freed_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Judges the connection; true if it has to look at its verdict.
    pub(crate) fn sweep(&self, now_ms: u64, limits: &Limits) -> bool {
        let since = self.since_ms.load(Ordering::Relaxed);
        let waited = now_ms.saturating_sub(since);
        let stalled = self.stalled_since_ms.load(Ordering::Relaxed);
        let phase = self.phase.load(Ordering::Relaxed);
        let is_stalled =
            stalled != NOT_STALLED && now_ms.saturating_sub(stalled) > millis(limits.write_stall);
        let left = self.left_untaken.load(Ordering::Relaxed);
        let is_left = left == Left::ForGood as u8
            || (left == Left::WithOthers as u8 && self.requests.load(Ordering::Relaxed) == 0);
        // What was asked to close politely, and does not, has answers that nobody takes.
        let is_stuck = phase == Phase::Idle as u8 && waited > millis(limits.keep_alive + limits.write_stall);
        let block = self.block_since_ms.load(Ordering::Relaxed);
        // While the line is full nothing more is read.
        let is_open_long =
            block != NO_BLOCK && stalled == NOT_STALLED && now_ms.saturating_sub(block) > millis(limits.head);
        let verdict = if is_stalled || is_left || is_stuck {
            Verdict::Stuck
        } else if is_open_long || (phase == Phase::Head as u8 && waited > millis(limits.head)) {
            Verdict::Slow
        } else if (phase == Phase::Idle as u8 && waited > millis(limits.keep_alive))
            || left != Left::No as u8
            || self.is_disowned()
        {
            Verdict::Close
        } else {
            Verdict::Live
        };
        self.verdict.store(verdict as u8, Ordering::Relaxed);
        verdict != Verdict::Live
    }

    /// Whether its client showed a certificate of an authority that is believed no more.
    fn is_disowned(&self) -> bool {
        let client = self.tls.as_ref().and_then(|tls| tls.client.as_ref());
        client.is_some_and(|client| !client.believed().is_up())
    }

    fn is_to_close(&self) -> bool {
        self.verdict.load(Ordering::Relaxed) == Verdict::Close as u8
    }

    fn is_to_die(&self) -> bool {
        self.verdict.load(Ordering::Relaxed) >= Verdict::Slow as u8
    }

    /// The limit that it died of, once it has ended.
    fn cut(&self) -> Option<Cut> {
        if self.is_flooded.load(Ordering::Relaxed) {
            return Some(Cut::ControlFrames);
        }
        match self.verdict.load(Ordering::Relaxed) {
            slow if slow == Verdict::Slow as u8 => Some(Cut::Head),
            stuck if stuck == Verdict::Stuck as u8 => Some(Cut::WriteStall),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Connection {
    /// A connection of nobody.
    #[allow(clippy::unwrap_used, reason = "tests")]
    fn of_test() -> Arc<Self> {
        let address = SocketAddr::from(([192, 0, 2, 1], 1));
        let caps = Caps::new(crate::metrics::Metrics::new(1));
        Self::new(address, &"main".into(), None, caps.connection(&Limits::default()).unwrap(), 0)
    }
}
