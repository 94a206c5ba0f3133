//! Bounds on what clients may ask; the reasons are in the gateway's own `limits`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::Period;

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// All header fields of a request together, in bytes. Kerberos tickets may need 64,000.
    #[schemars(range(min = 8192, max = 1_048_576))]
    pub(crate) header_bytes: u32,
    /// How many header fields a request may have.
    #[schemars(range(min = 16, max = 1000))]
    pub(crate) header_count: u32,
    /// The body of a call that the gate itself reads, such as a login, in bytes.
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub(crate) call_bytes: u32,
    /// How many clients may be connected at once.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) connections: u32,
    /// How many of them from one address.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) connections_per_address: u32,
    /// A client must have sent its request's headers within this time.
    pub(crate) header_timeout: Period,
    /// An idle connection is closed after this time.
    pub(crate) idle_timeout: Period,
    /// A body that stands still for so long, in either direction, is given up.
    pub(crate) body_timeout: Period,
    /// A client that takes nothing of an answer for so long is cut off.
    pub(crate) write_timeout: Period,
    /// How many requests a client of HTTP/2 may have open at once on a connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) streams: u32,
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
            connections: 10_000,
            connections_per_address: 1000,
            header_timeout: Period::secs(15),
            idle_timeout: Period::secs(75),
            body_timeout: Period::secs(30),
            write_timeout: Period::secs(30),
            streams: 128,
            anonymous_sessions: 600,
            drain: Period::secs(30),
        }
    }
}
