//! Bounds on what clients may ask; the reasons are in the gateway's own `limits`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::Period;

/// Longer than any request but a held one takes; service managers kill after 90 s.
const DRAIN_SECS: u64 = 30;

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// All header fields of a request together, in bytes, and those behind its body. Kerberos tickets may need 64,000.
    #[schemars(range(min = 8192, max = 1_048_576))]
    pub(crate) header_bytes: u32,
    /// How many header fields a request may have, and how many behind its body.
    #[schemars(range(min = 16, max = 1000))]
    pub(crate) header_count: u32,
    /// The body of a call that the gate itself reads, such as a login, in bytes.
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub(crate) call_bytes: u32,
    /// How deep such a body may be nested.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) call_depth: u32,
    /// How many fields such a body may have.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) call_fields: u32,
    /// How many parts such a body may have if it is multipart.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) call_parts: u32,
    /// An answer that the gate makes in the words of a dialect, in bytes; a longer one is a 500.
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub(crate) answer_bytes: u32,
    /// All header fields of a service's answer together, in bytes; more is a 502.
    #[schemars(range(min = 8192, max = 1_048_576))]
    pub(crate) upstream_header_bytes: u32,
    /// How many header fields a service's answer may have; more is a 502.
    #[schemars(range(min = 16, max = 1000))]
    pub(crate) upstream_header_count: u32,
    /// How many clients may be connected at once.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) connections: u32,
    /// How many of them from one address.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) connections_per_address: u32,
    /// How many requests may be under way at one service at once, streams and WebSockets among them. Half of them are divided
    /// among the cores of the gate, the other half is for whichever needs it; of that one address that is no trusted proxy has
    /// half at most, so that a quarter of all is there for others.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) upstream_requests: u32,
    /// A client must have done its TLS handshake within this time, and a balancer before it have said its PROXY header.
    pub(crate) handshake_timeout: Period,
    /// A client must have sent its request's headers within this time.
    pub(crate) header_timeout: Period,
    /// An idle connection is closed after this time.
    pub(crate) idle_timeout: Period,
    /// A request's body that stands still for so long is given up; one that the gate itself reads, such as a login's, has that
    /// time for all of it.
    pub(crate) body_timeout: Period,
    /// A client that takes nothing of an answer for so long is cut off, and a WebSocket of which one end takes nothing. Over
    /// HTTP/2 that answer ends alone: others on its connection, which may be other users' behind a front, go on.
    pub(crate) write_timeout: Period,
    /// How many requests a client of HTTP/2 may have open at once on a connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) streams: u32,
    /// How many requests such a client may reset before they were looked at, until its connection is closed.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) stream_resets: u32,
    /// How many requests of such a client the gate resets for breaking the protocol, until it closes the connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) stream_errors: u32,
    /// How many frames such a client may send that bring neither a request nor a body (settings, pings, windows, priorities
    /// and the like), and as many again in each minute. Requests and answers explain some, which do not count.
    #[schemars(range(min = 100, max = 10_000_000))]
    pub(crate) control_frames: u32,
    /// How many bytes of one request's body such a client may send ahead.
    #[schemars(range(min = 65_535, max = 16_777_216))]
    pub(crate) stream_window: u32,
    /// The same over all requests of a connection.
    #[schemars(range(min = 65_535, max = 268_435_456))]
    pub(crate) connection_window: u32,
    /// How many bytes of one answer wait for such a client to take them.
    #[schemars(range(min = 16_384, max = 16_777_216))]
    pub(crate) stream_buffer: u32,
    /// How many anonymous sessions one address may open in a minute, where a dialect knows such.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) anonymous_sessions: u32,
    /// What runs when the gate is told to stop may take this long.
    pub(crate) drain: Period,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 73_728,
            header_count: 100,
            call_bytes: 65_536,
            call_depth: 32,
            call_fields: 1000,
            call_parts: 100,
            answer_bytes: 4_194_304,
            upstream_header_bytes: 131_072,
            upstream_header_count: 100,
            connections: 10_000,
            connections_per_address: 1000,
            upstream_requests: 10_000,
            handshake_timeout: Period::secs(10),
            header_timeout: Period::secs(15),
            idle_timeout: Period::secs(75),
            body_timeout: Period::secs(30),
            write_timeout: Period::secs(30),
            streams: 128,
            stream_resets: 20,
            stream_errors: 64,
            control_frames: 1000,
            stream_window: 262_144,
            connection_window: 1_048_576,
            stream_buffer: 131_072,
            anonymous_sessions: 600,
            drain: Period::secs(DRAIN_SECS),
        }
    }
}
