//! How many descriptors the system lets the process have, and what fits in them.
//!
//! ```text
//! connections of clients                      connections
//! requests under way at services              upstream_requests at each; of HTTP/1.1 no more than there are clients
//! connections that wait for the next request  so many of each core to each server of a service
//! questions to servers how they are           one to each
//! listening sockets and runtimes              some of each core
//! all else                                    RESERVED
//! ```
//!
//! Where `limits` promises more than there are, one address within its limit could keep all others out.

use std::fmt;

use countersign_gateway::limits::Limits;
use countersign_gateway::upstream::POOL_SIZE;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::{Config, Upstream};

/// What a gate has open besides: the store, the log, the administration listener, connections to directories and issuers.
const RESERVED: u64 = 200;
/// What the runtime of a core has open, beside its listening sockets: it waits on one descriptor, and is woken by another.
const RUNTIME: u64 = 4;
/// One address has one place of so many at the most, where there are fewer places than were asked for.
const SHARE: usize = 4;

/// What of a configuration and of the machine decides how much is open where all limits are reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    cores: u64,
    listeners: u64,
    /// Whether one connection of a client may have several requests under way.
    http2: bool,
    /// Each API has one; `upstream_requests` holds for each.
    services: u64,
    /// Servers of all services together.
    servers: u64,
}

impl Size {
    pub(super) fn of(config: &Config) -> Self {
        let servers = |upstream: &Upstream| match upstream {
            Upstream::One(_) => 1,
            Upstream::Many(backends) => backends.backends.len() as u64,
        };
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64,
            listeners: config.listener.len() as u64,
            http2: config.listener.iter().any(|listener| listener.http2),
            services: config.api.len() as u64,
            servers: config.api.iter().map(|api| servers(&api.upstream)).sum(),
        }
    }

    /// What is open at the most within these limits.
    fn open(self, limits: &Limits) -> Open {
        let clients = limits.connections as u64;
        let of_client = if self.http2 { u64::from(limits.streams) } else { 1 };
        let at_services = self.services.saturating_mul(limits.upstream_requests as u64);
        let pool = POOL_SIZE.min(limits.upstream_requests) as u64;
        Open {
            clients,
            requests: at_services.min(clients.saturating_mul(of_client)),
            // One is asked how it is as well.
            idle: self.servers.saturating_mul(self.cores.saturating_mul(pool).saturating_add(1)),
            own: RESERVED.saturating_add(self.cores.saturating_mul(self.listeners.saturating_add(RUNTIME))),
        }
    }
}

/// Descriptors, by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    clients: u64,
    requests: u64,
    idle: u64,
    own: u64,
}

impl Open {
    fn all(self) -> u64 {
        let Self { clients, requests, idle, own } = self;
        [requests, idle, own].into_iter().fold(clients, u64::saturating_add)
    }
}

/// Limits that were lowered, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lowered {
    /// What would be open within the limits as they were.
    needed: Open,
    allowed: u64,
    services: u64,
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
                    files.needed = self.needed.all(),
                    files.allowed = self.allowed,
                    files.of_clients = self.needed.clients,
                    files.of_requests = self.needed.requests,
                    files.idle = self.needed.idle,
                    files.own = self.needed.own,
                    services = self.services,
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
            services,
            connections,
            connections_per_address,
            upstream_requests,
            are_defaults: _,
        } = self;
        let Open { clients, requests, idle, own } = needed;
        write!(
            f,
            "limits.connections and limits.upstream_requests need {all} open files, and a process may have {allowed} here: \
             {clients} for connections of clients, {requests} for requests at {services} service(s), {idle} for connections \
             there that wait for a request, {own} for the gate itself; \
             a gate lets in {connections} connections, {connections_per_address} of one address, and {upstream_requests} \
             requests at each service; raise the hard limit (ulimit -n, LimitNOFILE=) or lower the limits",
            all = needed.all(),
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
pub(super) fn fit(limits: &mut Limits, size: Size, allowed: Option<u64>) -> Option<Lowered> {
    let allowed = allowed?;
    let needed = size.open(limits);
    if needed.all() <= allowed {
        return None;
    }
    let defaults = Limits::default();
    let are_defaults =
        (limits.connections, limits.upstream_requests) == (defaults.connections, defaults.upstream_requests);
    // So many parts of all that was asked for: each one of whichever is larger. Few are few, but a gate whose limit is
    // absurd still serves somebody.
    let whole = limits.connections.max(limits.upstream_requests) as u64;
    let lowered = |parts: u64| {
        let part = |of: usize| usize::try_from(of as u64 * parts / whole).unwrap_or(of).max(1);
        let (connections, upstream_requests) = (part(limits.connections), part(limits.upstream_requests));
        Limits { connections, upstream_requests, ..limits.clone() }
    };
    let (mut fits, mut beyond) = (0, whole);
    while beyond - fits > 1 {
        let between = fits.midpoint(beyond);
        let parts = if size.open(&lowered(between)).all() <= allowed { &mut fits } else { &mut beyond };
        *parts = between;
    }
    *limits = lowered(fits);
    limits.connections_per_address = limits.connections_per_address.min(limits.connections.div_ceil(SHARE));
    Some(Lowered {
        needed,
        allowed,
        services: size.services,
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

    /// One core, one listener with HTTP/2, and a service of one server each.
    const fn services(services: u64) -> Size {
        Size { cores: 1, listeners: 1, http2: true, services, servers: services }
    }

    const OWN: u64 = RESERVED + RUNTIME + 1;
    const POOL: u64 = POOL_SIZE as u64 + 1;

    fn limits(connections: usize, upstream_requests: usize) -> Limits {
        Limits { connections, upstream_requests, ..Limits::default() }
    }

    fn fitted(size: Size, asked: &Limits, descriptors: Option<u64>) -> (usize, usize, bool) {
        let mut limits = asked.clone();
        let said = fit(&mut limits, size, descriptors);
        assert!(limits.connections_per_address <= limits.connections.max(1000));
        (limits.connections, limits.upstream_requests, said.is_some())
    }

    #[test]
    fn all_that_may_be_open_is_counted() {
        let all = |size: Size, connections, upstream_requests| {
            size.open(&limits(connections, upstream_requests)).all()
        };
        assert_eq!(all(services(0), 10_000, 10_000), 10_000 + OWN);
        assert_eq!(all(services(1), 10_000, 10_000), 10_000 + 10_000 + POOL + OWN);
        // Each service has its own requests, and each server of it the connections of each core.
        assert_eq!(all(services(3), 10_000, 10_000), 10_000 + 3 * 10_000 + 3 * POOL + OWN);
        let many = Size { cores: 8, listeners: 3, servers: 5, ..services(2) };
        let own = RESERVED + 8 * (3 + RUNTIME);
        assert_eq!(all(many, 100, 1000), 100 + 2 * 1000 + 5 * (8 * 64 + 1) + own);
        // A pool keeps no more than there were requests.
        assert_eq!(all(many, 100, 10), 100 + 2 * 10 + 5 * (8 * 10 + 1) + own);
        // One request after the other of each client.
        let one = Size { http2: false, ..services(3) };
        assert_eq!(all(one, 10_000, 10_000), 10_000 + 10_000 + 3 * POOL + OWN);
        assert_eq!(all(one, 10_000, 2_000), 10_000 + 6_000 + 3 * POOL + OWN);
        assert_eq!(all(services(3), 10, 10_000), 10 + 10 * 128 + 3 * POOL + OWN);
        assert_eq!(all(Size { cores: u64::MAX, ..services(1) }, 1, 1), u64::MAX);
    }

    #[test]
    fn what_does_not_fit_is_lowered_alike() {
        let needed = 20_000 + POOL + OWN;
        let usual = &limits(10_000, 10_000);
        assert_eq!(fitted(services(1), usual, None), (10_000, 10_000, false));
        assert_eq!(fitted(services(1), usual, Some(needed)), (10_000, 10_000, false));
        assert_eq!(fitted(services(1), usual, Some(needed - 1)), (9_999, 9_999, true));
        assert_eq!(fitted(services(2), usual, Some(needed)), (6_645, 6_645, true));
        let few = POOL + OWN + 800;
        assert_eq!(fitted(services(1), usual, Some(few)), (400, 400, true));
        assert_eq!(fitted(services(1), &limits(10_000, 100), Some(few)), (848, 8, true));
        assert_eq!(fitted(services(1), usual, Some(10)), (1, 1, true));
        let large = &limits(10_000_000, 10_000_000);
        assert_eq!(fitted(services(1), large, Some(u64::MAX)), (10_000_000, 10_000_000, false));
        assert_eq!(fitted(services(1), &limits(1, 1), Some(1)), (1, 1, true));
    }

    #[test]
    fn whatever_is_lowered_fits_and_one_more_of_all_does_not() {
        for (cores, servers) in [(1, 1), (2, 3), (16, 40)] {
            for http2 in [true, false] {
                for allowed in [1_000, 1_024, 4_096, 20_000, 65_536] {
                    let size = Size { cores, listeners: 2, http2, services: servers.min(4), servers };
                    let mut lowered = limits(50_000, 50_000);
                    fit(&mut lowered, size, Some(allowed)).unwrap();
                    let next = limits(lowered.connections + 1, lowered.upstream_requests + 1);
                    let all = size.open(&lowered).all();
                    assert!(all <= allowed || lowered.connections == 1, "{size:?} {allowed} {all}");
                    assert!(size.open(&next).all() > allowed, "{size:?} {allowed}");
                }
            }
        }
    }

    #[test]
    fn one_address_does_not_have_all_of_little() {
        let mut limits = Limits::default();
        let said = fit(&mut limits, services(1), Some(POOL + OWN + 800)).unwrap();
        assert_eq!((limits.connections, limits.connections_per_address), (400, 100));
        assert!(said.are_defaults);
        let mut asked = Limits { connections: 10_001, ..Limits::default() };
        assert!(!fit(&mut asked, services(1), Some(1024)).unwrap().are_defaults);
        let mut limits = Limits::default();
        let said = fit(&mut limits, services(2), Some(1024)).unwrap().to_string();
        let parts = [
            "need 30335 open files, and a process may have 1024 here",
            "10000 for connections of clients, 20000 for requests at 2 service(s), 130 for connections there",
            "205 for the gate itself",
            "requests at each service",
        ];
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}
