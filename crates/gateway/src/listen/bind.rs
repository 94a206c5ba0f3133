//! Sockets: one for each core and listener, all on one port.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::Listener;

/// Connections that wait to be taken; Linux cuts it to `net.core.somaxconn` (4096 by default).
const BACKLOG: i32 = 4096;
/// Finds dead clients of idle tunnels within about two minutes.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// The sockets of one listener, one for each core, and the address that they share.
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Vec<TcpListener>,
}

/// Binds one socket that shares with nobody.
///
/// # Errors
/// If it cannot be bound.
pub(crate) fn bind_alone(address: SocketAddr) -> io::Result<TcpListener> {
    socket(address, Sharing::No)
}

/// Binds a listener `cores` times. The kernel spreads connections over the sockets (`SO_REUSEPORT`).
///
/// # Errors
/// If one of them cannot be bound.
pub(crate) fn bind(listener: &Listener, cores: usize) -> io::Result<Sockets> {
    // A socket that does not share tells whether somebody has the port, another gate of this user too: with
    // `SO_REUSEPORT` both would get a part of the connections, and clients would meet two truths by turns.
    if listener.address.port() != 0 {
        drop(socket(listener.address, Sharing::No)?);
    }
    let first = socket(listener.address, Sharing::Yes)?;
    // Port 0 was a wish; the others go where the first one is.
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..cores {
        sockets.push(socket(address, Sharing::Yes)?);
    }
    Ok(Sockets { address, sockets })
}

/// Whether other sockets may have the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Yes,
    No,
}

fn socket(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Yes)?;
    if address.is_ipv6() {
        // Whatever the system's default is (`net.ipv6.bindv6only`): `[::]` is all addresses, those of IPv4 too, and what a
        // check of the configuration says of two listeners holds on every machine.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // Linux hands these options on to the connections: no system call for each.
    socket.set_tcp_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::address::Networks;
    use crate::listen::Http2;

    fn at(address: SocketAddr) -> Listener {
        Listener {
            name: "main".to_owned(),
            address,
            tls: None,
            proxy_protocol: Networks::default(),
            http2: Http2::default(),
        }
    }

    #[test]
    fn all_addresses_are_those_of_ipv4_too() {
        let all = bind(&at("[::]:0".parse().unwrap()), 2).unwrap();
        let alone = bind_alone("[::]:0".parse().unwrap()).unwrap();
        for socket in all.sockets.iter().chain([&alone]) {
            assert!(!socket2::SockRef::from(socket).only_v6().unwrap());
            let port = socket.local_addr().unwrap().port();
            assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
            let part = bind_alone(SocketAddr::from(([127, 0, 0, 1], port))).map(drop);
            assert_eq!(part.map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
        }
    }

    #[test]
    fn a_port_that_another_gate_has_is_refused() {
        let first = bind(&at("127.0.0.1:0".parse().unwrap()), 2).unwrap();
        assert_eq!(first.sockets.len(), 2);
        let again = bind(&at(first.address), 2).map(|sockets| sockets.address);
        assert_eq!(again.map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
        drop(first.sockets);
        assert!(bind(&at(first.address), 2).is_ok());
    }
}
