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

/// Binds a listener `cores` times. The kernel spreads connections over the sockets (`SO_REUSEPORT`).
///
/// # Errors
/// If one of them cannot be bound.
pub(crate) fn bind(listener: &Listener, cores: usize) -> io::Result<Sockets> {
    let first = socket(listener.address)?;
    // Port 0 was a wish; the others go where the first one is.
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..cores {
        sockets.push(socket(address)?);
    }
    Ok(Sockets { address, sockets })
}

fn socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Linux hands these options on to the connections: no system call for each.
    socket.set_tcp_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
