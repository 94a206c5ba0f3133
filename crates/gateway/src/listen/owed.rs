//! Large answers of the gate's own that a connection's client has not taken.
//!
//! They are made whole, and nothing else counts them: a request at a service has a place among those that may be under way
//! there, and what comes in pieces is bounded by the stream's buffer. Over HTTP/2 a client may ask for a hundred of them and
//! open no window for any.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Connection;

/// While a connection's client has so many bytes of the gate's own answers yet to take, services make no more of them for it:
/// eight of the largest. Connections of fronts (`network.trusted_proxies`), which have many clients, are not asked.
const OWED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An answer that is owed, until it is dropped.
pub(crate) struct Owed {
    connection: Arc<Connection>,
    bytes: usize,
}

impl Owed {
    pub(crate) fn new(connection: &Arc<Connection>, bytes: usize) -> Self {
        connection.owed_bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { connection: Arc::clone(connection), bytes }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.connection.owed_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Connection {
    /// Whether its client has to take something before more is made for it.
    pub(crate) fn is_owed_much(&self) -> bool {
        self.owed_bytes.load(Ordering::Relaxed) >= OWED_BYTES_MAX
    }
}
