//! Whether an upstream is the gate itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::report::Report;
use crate::config::tree::{Api, Config, Upstream};
use crate::config::value::{Origin, OriginScheme};

/// Reports upstreams of an API that lead back to the gate: to a listener, where requests would go round until they are
/// cut off, or to the administration, which is for operators alone.
pub(super) fn check(config: &Config, api: &Api, path: &str, report: &mut Report) {
    let origins: Vec<(String, &Origin)> = match &api.upstream {
        Upstream::One(origin) => vec![(format!("{path}.upstream"), origin)],
        Upstream::Many(many) => {
            let keyed = |(at, origin)| (format!("{path}.upstream.backends[{at}]"), origin);
            many.backends.iter().enumerate().map(keyed).collect()
        }
    };
    for (key, origin) in origins {
        let mut listeners = config.listener.iter();
        if leads_to(origin, config.administration.listen.0) {
            let message = format!("{origin} is the administration of the gate, which no client may reach");
            report.add(&key, message, Some("name the service behind the gate".to_owned()));
        } else if let Some(listener) = listeners.find(|listener| leads_to(origin, listener.address.0)) {
            let message = format!(
                "{origin} is listener `{}` of the gate itself: requests would go round",
                listener.name
            );
            report.add(&key, message, Some("name the service behind the gate".to_owned()));
        }
    }
}

/// Whether who connects to an origin from this machine gets to a socket that listens there, as far as that can be told
/// without asking for names.
fn leads_to(origin: &Origin, listener: SocketAddr) -> bool {
    let port = origin.authority.port_u16().unwrap_or(match origin.scheme {
        OriginScheme::Http => 80,
        OriginScheme::Https => 443,
    });
    let host = origin.authority.host().trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<IpAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![address.to_canonical()],
        Err(_) if host.eq_ignore_ascii_case("localhost") => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Err(_) => Vec::new(),
    };
    let own = listener.ip().to_canonical();
    // To connect to no address is to connect to this machine; to listen on none is to listen on all of its own.
    let meets = |address: &IpAddr| {
        *address == own
            || (own.is_unspecified() && address.is_loopback())
            || (address.is_unspecified() && (own.is_loopback() || own.is_unspecified()))
    };
    listener.port() != 0 && listener.port() == port && addresses.iter().any(meets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::leads_to;

    #[test]
    fn whoever_connects_to_this_machine_gets_to_what_listens_there() {
        let check = |origin: &str, listener: &str, expected: bool| {
            let found = leads_to(&origin.parse().unwrap(), listener.parse().unwrap());
            assert_eq!(found, expected, "{origin} {listener}");
        };
        check("http://127.0.0.1:8080", "127.0.0.1:8080", true);
        check("http://127.0.0.1:8080", "0.0.0.0:8080", true);
        check("http://0.0.0.0:8080", "127.0.0.1:8080", true);
        check("http://0.0.0.0:8080", "[::]:8080", true);
        check("http://[::]:8080", "0.0.0.0:8080", true);
        check("http://localhost:8080", "[::1]:8080", true);
        check("https://127.0.0.1", "127.0.0.1:443", true);
        check("http://127.0.0.1:8081", "127.0.0.1:8080", false);
        check("http://10.0.0.7:8080", "127.0.0.1:8080", false);
        check("http://crm.internal:8080", "127.0.0.1:8080", false);
    }
}
