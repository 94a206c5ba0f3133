//! Every limit of the data plane, with its reason.

use std::time::Duration;

use countersign_auth::fields::Bounds;

use crate::listen::heads::HeadBounds;

/// A Kerberos ticket may be 48,000 bytes (Windows' `MaxTokenSize`), 64,000 in base64, and comes with other fields.
const HEADER_BYTES: usize = 72 * 1024;
/// What the HTTP engine parses without touching the heap; browsers send about twenty.
const HEADER_COUNT: usize = 100;
/// What an upstream may answer with; its cookies and policies are larger than what clients send.
const ANSWER_HEADER_BYTES: usize = 128 * 1024;
/// What the HTTP engine parses without touching the heap; more costs each answer a twentieth of its time.
pub(crate) const ANSWER_HEADER_COUNT: usize = 100;
/// A slow phone sends a head within seconds; an attacker holds a connection open with a byte now and then.
const HEAD: Duration = Duration::from_secs(15);
/// Longer than the 60 s after which common fronts reuse no connection, so that they close first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A handshake takes two round trips; ten seconds serve a satellite link.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A request's body that stands still so long is not being sent.
const BODY_IDLE: Duration = Duration::from_secs(30);
/// What the gate reads whole is small: a login, a form, an object.
const OWN_BODY: Duration = Duration::from_secs(30);
/// A login or a form fits in 64 KiB many times over; what is larger is somebody else's business.
const CALL_BYTES: usize = 64 * 1024;
/// The longest list that is shown, the 10,000 tokens that an account may hold, is some 3 MiB; an answer is in memory.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// A page opens one; a company's gateway opens some hundred when work begins. In the five minutes that a session lives
/// which nobody presents, one address has 3 % of the table.
const ANONYMOUS_SESSIONS: u32 = 600;
/// A client that takes nothing for so long holds memory for nobody.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// What is still under way when one end of a WebSocket has closed is there within seconds; the other end has nobody to talk
/// to (RFC 6455 section 7.1.1).
const HALF_CLOSED: Duration = Duration::from_secs(30);
/// About 40 KiB each at the worst usual case; 400 MiB together.
const CONNECTIONS: usize = 10_000;
/// As many as clients may be connected at once, a WebSocket each; 128 streams on each of their connections would be a
/// hundred times the descriptors that a process has.
const UPSTREAM_REQUESTS: usize = 10_000;
/// One address may be a company's gateway; a single client needs six.
const CONNECTIONS_PER_ADDRESS: usize = 1_000;
/// Browsers use up to 100 streams of one connection.
const STREAMS: u32 = 128;
/// A page that is left resets some of its requests; more, and before they were looked at, is the rapid-reset attack
/// (RUSTSEC-2023-0034).
const PENDING_RESETS: usize = 20;
/// A broken client breaks the protocol now and then; whoever does it all the time wants our answers (RUSTSEC-2024-0003).
const LOCAL_RESETS: usize = 64;
/// A client needs some when its connection begins, and a ping now and then: 6 a minute, or 60 where somebody is anxious. All
/// others belong to what it asks for, which explains 4 for each request, 4 for each frame of an answer, and one for each KiB
/// of that: twice what those clients send that open two windows for each frame.
const CONTROL_FRAMES: u32 = 1_000;
/// What 100 Mbit/s bring in 20 ms, a common round trip: an upload does not wait, and what we did not take yet is in memory.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Four streams that upload at once; all others wait for them.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Some pieces of an answer as they come from a service, so that a stream never runs dry; the rest stays with the service.
const STREAM_SEND_BUFFER: usize = 128 * 1024;
/// The resolution of every time-out of the data plane; a revoked channel is cut within two of them.
const TICK: Duration = Duration::from_millis(250);

/// The limits of the data plane. `Default` holds what [`crate::limits`] gives reasons for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's head, and of what stands behind its body; 431 beyond it.
    pub header_bytes: usize,
    /// Fields of a request's head, and of what stands behind its body; 431 beyond it.
    pub header_count: usize,
    /// Bytes of the head of an upstream's answer; 502 beyond it.
    pub answer_header_bytes: usize,
    /// Fields of the head of an upstream's answer; 502 beyond it.
    pub answer_header_count: usize,
    /// From a connection's first byte, or the first byte of a further request, to the end of its head.
    pub head: Duration,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// TLS handshake and PROXY header together.
    pub handshake: Duration,
    /// Between two pieces of a request's body.
    pub body_idle: Duration,
    /// All of a body that the gate itself reads whole.
    pub own_body: Duration,
    /// Bytes of a body that the gate itself reads whole; 413 beyond it.
    pub call_bytes: usize,
    /// What is read of such a body: depth, fields, parts; 413 beyond it.
    pub fields: Bounds,
    /// Bytes of an answer that a dialect's templates make; 500 in its place beyond it.
    pub answer_bytes: usize,
    /// Anonymous sessions that one address may open in a minute; beyond it none are opened, or a call is 429.
    pub anonymous_sessions: u32,
    /// How long a client may take nothing of an answer that waits for it.
    pub write_stall: Duration,
    /// How long a WebSocket goes on after one of its ends has closed.
    pub half_closed: Duration,
    /// Open connections of clients, over all listeners.
    pub connections: usize,
    /// Requests that are on their way to one upstream, or whose answers, streams and WebSockets come from it, at once;
    /// half of them are divided among the cores, the other half is for whichever needs it, and one address has half of
    /// that at most. 503 beyond it.
    pub upstream_requests: usize,
    /// Open connections of one address; balancers that speak the PROXY protocol are not counted themselves.
    pub connections_per_address: usize,
    /// HTTP/2: streams at once on a connection.
    pub streams: u32,
    /// HTTP/2: streams reset by the peer before they were served.
    pub pending_resets: usize,
    /// HTTP/2: streams reset by us.
    pub local_resets: usize,
    /// HTTP/2: frames that bring neither a request nor a body, beyond those that requests and answers explain; as many again
    /// in each minute.
    pub control_frames: u32,
    /// HTTP/2: receive window of a stream.
    pub stream_window: u32,
    /// HTTP/2: receive window of a connection.
    pub connection_window: u32,
    /// HTTP/2: bytes waiting on a stream.
    pub stream_send_buffer: usize,
    /// The resolution of all these times.
    pub tick: Duration,
}

impl Limits {
    /// How long a request's head may be.
    pub(crate) const fn head_bounds(&self) -> HeadBounds {
        HeadBounds { bytes: self.header_bytes, fields: self.header_count }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: HEADER_BYTES,
            header_count: HEADER_COUNT,
            answer_header_bytes: ANSWER_HEADER_BYTES,
            answer_header_count: ANSWER_HEADER_COUNT,
            head: HEAD,
            keep_alive: KEEP_ALIVE,
            handshake: HANDSHAKE,
            body_idle: BODY_IDLE,
            own_body: OWN_BODY,
            call_bytes: CALL_BYTES,
            fields: Bounds::default(),
            answer_bytes: ANSWER_BYTES,
            anonymous_sessions: ANONYMOUS_SESSIONS,
            write_stall: WRITE_STALL,
            half_closed: HALF_CLOSED,
            connections: CONNECTIONS,
            upstream_requests: UPSTREAM_REQUESTS,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            streams: STREAMS,
            pending_resets: PENDING_RESETS,
            local_resets: LOCAL_RESETS,
            control_frames: CONTROL_FRAMES,
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            stream_send_buffer: STREAM_SEND_BUFFER,
            tick: TICK,
        }
    }
}
