//! Where requests go: backends, their health, and the connections that wait for the next request.

mod check;
mod connect;
mod health;
mod lookups;
mod pool;
mod spare;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

pub(crate) use crate::upstream::check::run as run_checks;
pub(crate) use crate::upstream::connect::{ConnectError, Trace, connect};
use crate::upstream::health::Health;
pub(crate) use crate::upstream::lookups::{LOOKUPS_MAX, Lookups};
pub(crate) use crate::upstream::pool::{Flight, Lease, Pools, Sender};
use crate::upstream::spare::Spare;
pub(crate) use crate::upstream::spare::{Full, Room};

use crate::address::ForwardingFields;

/// A choice is a bit in a word; more backends than that want a balancer of their own.
const BACKENDS_MAX: usize = 64;
/// Within one data centre a connection takes under a millisecond; a lost packet is sent again after one second.
const CONNECT: Duration = Duration::from_secs(5);
/// What common fronts wait for an answer.
const HEAD: Duration = Duration::from_secs(60);
/// Between two pieces of an answer; event streams send something at least once a minute.
const BODY_IDLE: Duration = Duration::from_secs(90);
/// Shorter than what most servers keep idle connections for (Apache and node: 5 s), so that few are found closed.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// Idle connections to one backend on one core: what a burst leaves behind.
pub const POOL_SIZE: usize = 64;

/// An upstream as the configuration describes it. [`UpstreamOptions::new`] gives usable defaults.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// Its name in logs.
    pub name: String,
    /// Host and port of each backend; at least one, at most 64.
    pub backends: Vec<BackendAddress>,
    /// Speaks TLS to them; in clear if `None`.
    pub tls: Option<UpstreamTls>,
    /// Which host the upstream is told.
    pub host: HostField,
    /// How the upstream is told who asked; not at all if `None`.
    pub forwarding: Option<ForwardingFields>,
    /// Asks backends regularly how they are.
    pub check: Option<Check>,
    /// How long it may take.
    pub times: Times,
    /// Idle connections to one backend that one core keeps.
    pub pool_size: usize,
}

/// Host and port of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendAddress {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How to speak TLS to an upstream. TLS 1.2 and 1.3; certificates are always verified.
#[derive(Clone, Debug, Default)]
pub struct UpstreamTls {
    /// PEM file with the certificates that are believed; the system's if `None`.
    pub roots: Option<PathBuf>,
    /// The name that the certificate must be for; the backend's host if `None`.
    pub server_name: Option<String>,
}

/// Which host the upstream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HostField {
    /// The one that the client named.
    #[default]
    Client,
    /// The backend's own.
    Backend,
}

/// A regular question: anything but a 2xx or 3xx in time is a bad answer.
#[derive(Clone, Debug)]
pub struct Check {
    /// What to GET.
    pub path: String,
    /// How often.
    pub every: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// How long an upstream may take.
#[derive(Clone, Debug)]
pub struct Times {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the request's last byte to the answer's head.
    pub head: Duration,
    /// Between two pieces of the answer's body.
    pub body_idle: Duration,
    /// How long an idle connection is used again.
    pub pool_idle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { connect: CONNECT, head: HEAD, body_idle: BODY_IDLE, pool_idle: POOL_IDLE }
    }
}

/// Why an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Not `http://host[:port]` or `https://host[:port]`.
    #[error(
        "could not read upstream {0}: it must be http:// or https://, a host, a port where it is not the usual one, and no path"
    )]
    Url(String),
    /// None, or more than 64.
    #[error("upstream {0} must have between 1 and 64 backends")]
    Backends(String),
    /// A host that no `Host` field can carry.
    #[error("upstream {name} has an unusable host {host}")]
    Host {
        /// The upstream.
        name: String,
        /// The host.
        host: String,
    },
    /// The certificates that are to be believed cannot be read.
    #[error("could not set up TLS for upstream {name}")]
    Tls {
        /// The upstream.
        name: String,
        /// Why.
        source: connect::TlsSetupError,
    },
    /// A path that cannot be asked for.
    #[error("upstream {name} has an unusable check path {path}")]
    CheckPath {
        /// The upstream.
        name: String,
        /// The path.
        path: String,
    },
}

impl UpstreamOptions {
    /// An upstream with one backend, from `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// If `url` is not of that form.
    pub fn new(name: impl Into<String>, url: &str) -> Result<Self, UpstreamError> {
        let bad = || UpstreamError::Url(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| bad())?;
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(UpstreamTls::default()), 443),
            Some(_) | None => return Err(bad()),
        };
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') || uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(bad());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = match (authority.port_u16(), authority.port()) {
            (Some(port), _) => port,
            (None, None) => port,
            (None, Some(_)) => return Err(bad()),
        };
        if host.is_empty() || port == 0 {
            return Err(bad());
        }
        Ok(Self {
            name: name.into(),
            backends: vec![BackendAddress { host, port }],
            tls,
            host: HostField::default(),
            forwarding: Some(ForwardingFields::default()),
            check: None,
            times: Times::default(),
            pool_size: POOL_SIZE,
        })
    }
}

/// Names an upstream for the cores' pools; never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UpstreamId(u64);

/// One server of an upstream.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) address: BackendAddress,
    /// Parsed where it is an address, so that nothing is resolved.
    pub(crate) socket: Option<SocketAddr>,
    /// `host:port` for the `Host` field.
    pub(crate) authority: HeaderValue,
    pub(crate) server_name: Option<ServerName<'static>>,
    pub(crate) health: Health,
}

/// Where an API's requests go.
pub struct Upstream {
    pub(crate) id: UpstreamId,
    /// Its name in logs.
    pub name: String,
    pub(crate) backends: Vec<Backend>,
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) host: HostField,
    pub(crate) forwarding: Option<ForwardingFields>,
    pub(crate) check: Option<Check>,
    pub(crate) times: Times,
    pub(crate) pool_size: usize,
    pub(crate) next_check_ms: AtomicU64,
    spare: Spare,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Makes an upstream; reads the certificates that it believes.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub fn new(options: UpstreamOptions) -> Result<Arc<Self>, UpstreamError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let UpstreamOptions { name, backends, tls, host, forwarding, check, times, pool_size } = options;
        if backends.is_empty() || backends.len() > BACKENDS_MAX {
            return Err(UpstreamError::Backends(name));
        }
        if let Some(check) = &check
            && (!check.path.starts_with('/') || check.path.parse::<http::uri::PathAndQuery>().is_err())
        {
            return Err(UpstreamError::CheckPath { name, path: check.path.clone() });
        }
        let usual_port = if tls.is_some() { 443 } else { 80 };
        let backends = backends
            .into_iter()
            .map(|address| Backend::new(&name, address, tls.as_ref(), usual_port))
            .collect::<Result<Vec<_>, _>>()?;
        let tls = tls
            .map(|tls| connect::connector(&tls))
            .transpose()
            .map_err(|source| UpstreamError::Tls { name: name.clone(), source })?;
        let id = UpstreamId(NEXT.fetch_add(1, Ordering::Relaxed));
        let next_check_ms = AtomicU64::new(0);
        Ok(Arc::new(Self {
            id,
            name,
            backends,
            tls,
            host,
            forwarding,
            check,
            times,
            pool_size,
            next_check_ms,
            spare: Spare::default(),
        }))
    }

    /// The next backend in turn that is well and not among `tried`; where none is well, one that is not, because
    /// a try is better than a refusal.
    pub(crate) fn choose(&self, turn: usize, tried: u64, now_ms: u64) -> Option<(usize, &Backend)> {
        let count = self.backends.len();
        let candidates = || {
            (0..count)
                .map(|step| (turn.wrapping_add(step)) % count)
                .filter(|index| tried & (1 << index) == 0)
                .filter_map(|index| self.backends.get(index).map(|backend| (index, backend)))
        };
        candidates().find(|(_, backend)| backend.health.is_well(now_ms)).or_else(|| candidates().next())
    }
}

impl Backend {
    fn new(
        upstream: &str,
        address: BackendAddress,
        tls: Option<&UpstreamTls>,
        usual_port: u16,
    ) -> Result<Self, UpstreamError> {
        let bad = |host: &str| UpstreamError::Host { name: upstream.to_owned(), host: host.to_owned() };
        let ip = address.host.parse::<std::net::IpAddr>().ok();
        let host = match ip {
            Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
            Some(std::net::IpAddr::V4(_)) | None => address.host.clone(),
        };
        let text = if address.port == usual_port { host } else { format!("{host}:{}", address.port) };
        let authority: http::uri::Authority = text.parse().map_err(|_| bad(&address.host))?;
        let server_name = match tls {
            Some(tls) => {
                let name = tls.server_name.as_ref().unwrap_or(&address.host);
                Some(ServerName::try_from(name.clone()).map_err(|_| bad(name))?)
            }
            None => None,
        };
        Ok(Self {
            socket: ip.map(|ip| SocketAddr::new(ip, address.port)),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| bad(&address.host))?,
            server_name,
            health: Health::default(),
            address,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn urls_of_upstreams() {
        let cases = [
            ("http://127.0.0.1:9000", Some("127.0.0.1:9000 clear")),
            ("http://api.internal/", Some("api.internal:80 clear")),
            ("https://api.internal", Some("api.internal:443 tls")),
            ("https://[2001:db8::1]:8443", Some("2001:db8::1:8443 tls")),
            ("ftp://a", None),
            ("a:80", None),
            ("http://a/base", None),
            ("http://a?x", None),
            ("http://user@a", None),
            ("http://a:0", None),
            ("", None),
        ];
        for (url, expected) in cases {
            let found = UpstreamOptions::new("u", url).ok().map(|options| {
                let BackendAddress { host, port } = &options.backends[0];
                format!("{host}:{port} {}", if options.tls.is_some() { "tls" } else { "clear" })
            });
            assert_eq!(found.as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn turns_go_round_the_well_ones() {
        let mut options = UpstreamOptions::new("u", "http://127.0.0.1:1").unwrap();
        options.backends = (1..4).map(|port| BackendAddress { host: "127.0.0.1".into(), port }).collect();
        let upstream = Upstream::new(options).unwrap();
        let choose = |turn, tried| upstream.choose(turn, tried, 0).map(|(index, _)| index);
        assert_eq!(
            [choose(0, 0), choose(1, 0), choose(2, 0), choose(3, 0)],
            [Some(0), Some(1), Some(2), Some(0)]
        );
        assert_eq!(choose(0, 0b001), Some(1));
        for _ in 0..3 {
            upstream.backends[1].health.failed(0, "u", "b");
        }
        assert_eq!(choose(1, 0), Some(2));
        assert_eq!(choose(1, 0b101), Some(1), "an unwell backend is better than none");
        assert_eq!(choose(0, 0b111), None);
    }
}
