//! How many sessions strangers may open.

use std::net::IpAddr;

use crate::time::Time;

/// Whoever is at the other end of a request, as far as his budget goes. Anonymous sessions are kept in a bounded
/// table; one address must not fill it.
pub trait Strangers: Send + Sync {
    /// Whether he may open one more session without having proven who he is, and counts it if so; never waits.
    fn may_open(&self, now: Time) -> bool;

    /// From where he comes.
    fn address(&self) -> IpAddr;
}
