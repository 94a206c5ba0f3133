//! How many descriptors the system lets the process have, and what fits in them.
//!
//! A connection of a client is one, and a request under way at a service another. Where `limits` promises more than there
//! are, one address within its limit could keep all others out.

use std::fmt;

use countersign_gateway::limits::Limits;
use rustix::process::{Resource, getrlimit, setrlimit};

/// What a gate has open besides: sockets of each core, the store, the log, the administration listener, connections to
/// directories and issuers, and some connections that wait for the next request to a service.
const RESERVED: u64 = 200;
/// One address has one place of so many at the most, where there are fewer places than were asked for.
const SHARE: usize = 4;

/// Limits that were lowered, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lowered {
    needed: u64,
    allowed: u64,
    connections: usize,
    connections_per_address: usize,
    upstream_requests: usize,
    /// Whether those that do not fit are the defaults.
    are_defaults: bool,
}

impl Lowered {
    /// Says it in the log: a warning where an operator asked for more, and not where the defaults do not fit.
    pub(super) fn log(&self) {
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    files.needed = self.needed,
                    files.allowed = self.allowed,
                    limits.connections = self.connections,
                    limits.connections_per_address = self.connections_per_address,
                    limits.upstream_requests = self.upstream_requests,
                    "lowered limits to what fits in the files that the process may have open"
                )
            };
        }
        if self.are_defaults { say!(info) } else { say!(warn) }
    }
}

impl fmt::Display for Lowered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            needed,
            allowed,
            connections,
            connections_per_address,
            upstream_requests,
            are_defaults: _,
        } = self;
        write!(
            f,
            "limits.connections and limits.upstream_requests need {needed} open files, and a process may have {allowed} here: \
             a gate lets in {connections} connections, {connections_per_address} of one address, and {upstream_requests} \
             requests at a service; raise the hard limit (ulimit -n, LimitNOFILE=) or lower the limits"
        )
    }
}

/// Raises what the process may have to as much as the system lets it have, and says how many; `None` if there is no bound.
/// Where that fails it stays as it is.
pub(super) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "could not raise the limit of open descriptors");
        }
    }
    getrlimit(Resource::Nofile).current
}

/// Lowers `connections` and `upstream_requests` alike until they fit in so many descriptors, and with them what one address
/// may have; says what it had to.
pub(super) fn fit(limits: &mut Limits, allowed: Option<u64>) -> Option<Lowered> {
    let allowed = allowed?;
    let asked = (limits.connections as u64).saturating_add(limits.upstream_requests as u64);
    let needed = asked.saturating_add(RESERVED);
    if needed <= allowed {
        return None;
    }
    let defaults = Limits::default();
    let are_defaults =
        (limits.connections, limits.upstream_requests) == (defaults.connections, defaults.upstream_requests);
    // Few are few, but a gate whose limit is absurd still serves somebody.
    let room = allowed.saturating_sub(RESERVED).max(2);
    let part = |of: usize| usize::try_from(of as u64 * room / asked).unwrap_or(of).max(1);
    limits.connections = part(limits.connections);
    limits.upstream_requests = part(limits.upstream_requests);
    limits.connections_per_address = limits.connections_per_address.min(limits.connections.div_ceil(SHARE));
    Some(Lowered {
        needed,
        allowed,
        connections: limits.connections,
        connections_per_address: limits.connections_per_address,
        upstream_requests: limits.upstream_requests,
        are_defaults,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn fitted(
        connections: usize,
        upstream_requests: usize,
        descriptors: Option<u64>,
    ) -> (usize, usize, bool) {
        let mut limits = Limits { connections, upstream_requests, ..Limits::default() };
        let said = fit(&mut limits, descriptors);
        assert!(limits.connections_per_address <= limits.connections.max(1000));
        (limits.connections, limits.upstream_requests, said.is_some())
    }

    #[test]
    fn what_does_not_fit_is_lowered_alike() {
        assert_eq!(fitted(10_000, 10_000, None), (10_000, 10_000, false));
        assert_eq!(fitted(10_000, 10_000, Some(20_200)), (10_000, 10_000, false));
        assert_eq!(fitted(10_000, 10_000, Some(20_199)), (9_999, 9_999, true));
        assert_eq!(fitted(10_000, 10_000, Some(1024)), (412, 412, true));
        assert_eq!(fitted(10_000, 100, Some(1024)), (815, 8, true));
        assert_eq!(fitted(10_000, 10_000, Some(10)), (1, 1, true));
        assert_eq!(fitted(10_000_000, 10_000_000, Some(u64::MAX)), (10_000_000, 10_000_000, false));
    }

    #[test]
    fn one_address_does_not_have_all_of_little() {
        let mut limits = Limits::default();
        let said = fit(&mut limits, Some(1024)).unwrap();
        assert_eq!((limits.connections, limits.connections_per_address), (412, 103));
        assert!(said.are_defaults);
        let mut asked = Limits { connections: 10_001, ..Limits::default() };
        assert!(!fit(&mut asked, Some(1024)).unwrap().are_defaults);
        let said = said.to_string();
        assert!(said.contains("need 20200 open files, and a process may have 1024 here"), "{said}");
    }
}
