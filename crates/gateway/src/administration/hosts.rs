//! Under which hosts the listener may be asked, and what whoever asks under another is told.
//!
//! A page of somebody else's can let a name of its own point here, and its browser then sends that name (T-E9). It cannot
//! let an address be another: what is asked for by the address that it is at is asked by nobody's page.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use countersign_auth::canonical::host::canonical_host;
use http::header::HOST;
use http::{HeaderMap, Version};

/// A monitor asks now and then; a page of somebody else's may ask as often as it likes, and fills no log.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// The hosts that are known, and who was refused.
pub(super) struct Hosts {
    listed: Vec<String>,
    refused: Mutex<Refused>,
}

#[derive(Default)]
struct Refused {
    /// Since it was last told.
    requests: u64,
    told: Option<Instant>,
}

impl Hosts {
    /// Knows these names and addresses, without ports, beside those of this machine.
    pub(super) fn new(listed: Vec<String>) -> Self {
        Self { listed, refused: Mutex::default() }
    }

    /// One `Host`, and a known one: loopback's names and addresses, the address of the machine that the connection came in
    /// on, or one that is listed.
    pub(super) fn know(&self, headers: &HeaderMap, version: Version, own: Option<IpAddr>) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host,
            // Only old monitors come without, never a browser.
            (None, None) => return version == Version::HTTP_10,
            (Some(_) | None, Some(_)) => return false,
        };
        let Some(host) = host.to_str().ok().and_then(|host| canonical_host(host).ok()) else { return false };
        let name = host.name().trim_matches(['[', ']']);
        let is_own = |ip: IpAddr| crate::listen::is_loopback(ip) || own == Some(ip.to_canonical());
        name == "localhost"
            || name.parse().is_ok_and(is_own)
            || self.listed.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// What a refused client is told; the log is told as well, a line a second at the most.
    pub(super) fn refuse(&self, headers: &HeaderMap) -> String {
        let now = Instant::now();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.requests += 1;
        if refused.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY) {
            let requests = std::mem::take(&mut refused.requests);
            refused.told = Some(now);
            drop(refused);
            let asked = headers.get(HOST).and_then(|host| host.to_str().ok());
            // What is no host has no place in a log either.
            let asked = asked.and_then(|host| canonical_host(host).ok());
            let asked = asked.as_ref().map_or("", |host| host.name());
            tracing::warn!(
                http.host = asked,
                requests,
                "refused whoever asked the administration under a host that `administration.hosts` does not list"
            );
        }
        "this host is not known here: list it in `administration.hosts`\n".to_owned()
    }
}
