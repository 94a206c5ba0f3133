//! Takes connections and brings each to the point where HTTP begins.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::first::First;
use super::serve::{Protocol, serve};
use super::{Acceptor, Caps, ClientCertificate, Connection, Listener, TlsInfo, proxy_protocol};
use crate::admission::Handler;
use crate::limits::Limits;
use crate::metrics::cuts::{Cut, FailedHandshake};
use crate::worker::Worker;

/// Out of descriptors or memory: a moment's rest instead of a busy loop.
const REST: Duration = Duration::from_millis(50);
/// What a client that has just connected to a draining core needs to say what it wants.
const GRACE: Duration = Duration::from_millis(200);

/// One listener on one core.
pub(crate) struct Listening<H> {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) name: Arc<str>,
    pub(crate) tls: Option<Acceptor>,
    pub(crate) caps: Arc<Caps>,
    pub(crate) handler: Arc<H>,
}

/// Takes connections until `stop` says so; those that the system had taken by then are taken as well.
pub(crate) async fn run<H: Handler>(listening: Rc<Listening<H>>, socket: TcpListener, stop: Rc<Notify>) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.notified() => break,
        };
        match accepted {
            Ok((stream, address)) => take(&listening, stream, address),
            Err(error) => {
                // A client that left before it was taken is an error of `accept`, too, but costs only a moment.
                tracing::debug!(listener = &*listening.name, error = %error, "could not accept a connection");
                listening.worker.gate().metrics.cuts.count_missed(&error);
                tokio::time::sleep(REST).await;
            }
        }
    }
    // Closing the socket would reset what waits in its queue.
    let Ok(socket) = socket.into_std() else { return };
    while let Ok((stream, address)) = socket.accept() {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            take(&listening, stream, address);
        }
    }
}

fn take<H: Handler>(listening: &Rc<Listening<H>>, stream: TcpStream, address: SocketAddr) {
    let address = crate::address::canonical(address);
    let gate = listening.worker.gate();
    let Some(permit) = listening.caps.connection(&gate.limits) else { return };
    let listening = Rc::clone(listening);
    let hold = listening.worker.hold();
    tokio::task::spawn_local(async move {
        let worker = Rc::clone(&listening.worker);
        // What is over once a connection is open, or is not there on most, takes no room in its task.
        let opening = Box::pin(open_in_time(&listening, &gate.limits, stream, address, permit));
        let (opened, cut) = opening.await;
        // From here on the connection is in the core's list.
        drop(hold);
        match opened {
            Some(Some(Opened::Plain(stream, connection, protocol))) => {
                serve(&worker, &listening.handler, stream, connection, protocol).await;
            }
            Some(Some(Opened::Tls(stream, connection, protocol))) => {
                Box::pin(serve(&worker, &listening.handler, *stream, connection, protocol)).await;
            }
            Some(None) => {}
            // A core that ends waits for nobody.
            None if worker.is_draining() => {}
            None => {
                gate.metrics.cuts.count(cut);
                tracing::debug!(peer.address = %address, "a connection's handshake took too long");
            }
        }
    });
}

/// Opens a connection while its time lasts: one for the PROXY header and the TLS handshake together, and, where there is no
/// handshake, one for the first byte of a head. What was not done in time is the cut.
async fn open_in_time<H>(
    listening: &Listening<H>,
    limits: &Limits,
    mut stream: TcpStream,
    address: SocketAddr,
    permit: super::Permit,
) -> (Option<Option<Opened>>, Cut) {
    let worker = &listening.worker;
    if listening.tls.is_some() {
        let opening = async {
            let client = introduced(listening, &mut stream, address).await?;
            open(listening, stream, client, permit).await
        };
        return (in_time(worker, limits.handshake, opening).await, Cut::Handshake);
    }
    let client = if listening.listener.proxy_protocol.hold(address.ip()) {
        let introducing = introduced(listening, &mut stream, address);
        match in_time(worker, limits.handshake, introducing).await {
            Some(Some(client)) => client,
            Some(None) => return (Some(None), Cut::Handshake),
            None => return (None, Cut::Handshake),
        }
    } else {
        Client { address, counted: true }
    };
    (in_time(worker, limits.head, open(listening, stream, client, permit)).await, Cut::Head)
}

/// Waits for `opening` until its time is up, or until a draining core has waited long enough for it.
async fn in_time<F: Future>(worker: &Rc<Worker>, limit: Duration, opening: F) -> Option<F::Output> {
    let mut opening = pin!(opening);
    let mut deadline = worker.pulse().alarm(limit);
    let mut look = worker.pulse().alarm(Duration::ZERO);
    let mut grace = None;
    std::future::poll_fn(|cx| {
        if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
            return Poll::Ready(Some(opened));
        }
        while look.poll(cx).is_ready() {
            look.again(Duration::ZERO);
        }
        if worker.is_draining() {
            let grace = grace.get_or_insert_with(|| worker.pulse().alarm(GRACE));
            if grace.poll(cx).is_ready() {
                return Poll::Ready(None);
            }
        }
        deadline.poll(cx).map(|()| None)
    })
    .await
}

enum Opened {
    Plain(First, Arc<Connection>, Protocol),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>, Arc<Connection>, Protocol),
}

/// Who a connection is from.
struct Client {
    address: SocketAddr,
    /// A balancer that asks for itself is not counted.
    counted: bool,
}

/// Reads the PROXY header where there is one; `None` (and a log line) if it names nobody.
async fn introduced<H>(
    listening: &Listening<H>,
    stream: &mut TcpStream,
    socket: SocketAddr,
) -> Option<Client> {
    if !listening.listener.proxy_protocol.hold(socket.ip()) {
        return Some(Client { address: socket, counted: true });
    }
    match proxy_protocol::read(stream).await {
        Ok(Some(client)) => Some(Client { address: client, counted: true }),
        Ok(None) => Some(Client { address: socket, counted: false }),
        Err(error) => {
            tracing::info!(
                peer.address = %socket,
                listener = &*listening.name,
                error = %countersign_auth::causes::chain(&error),
                "closed a balancer's connection that names no client"
            );
            None
        }
    }
}

/// Counting, TLS, the choice of protocol; `None` (and a log line) where one of them fails.
async fn open<H>(
    listening: &Listening<H>,
    stream: TcpStream,
    Client { address, counted }: Client,
    permit: super::Permit,
) -> Option<Opened> {
    let gate = listening.worker.gate();
    let permit = if counted { permit.of(address.ip(), &gate.limits)? } else { permit };
    let now = listening.worker.pulse().now_ms();
    let Some(acceptor) = &listening.tls else {
        let (stream, protocol) = First::read(stream, listening.listener.http2).await?;
        let connection = Connection::new(address, &listening.name, None, permit, now);
        return Some(Opened::Plain(stream, connection, protocol));
    };
    let present = acceptor.present();
    let stream = match present.acceptor().accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            gate.metrics.cuts.count_handshake(FailedHandshake::of(&error));
            tracing::debug!(peer.address = %address, error = %error, "could not finish a TLS handshake");
            return None;
        }
    };
    let session = stream.get_ref().1;
    let protocol = match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        Some(_) | None => Protocol::Http1,
    };
    let server_name = session.server_name().map(str::to_ascii_lowercase);
    let client = ClientCertificate::of(session.peer_certificates(), present.authorities());
    let tls = TlsInfo { server_name, certificate: present.certificate(), client };
    let connection = Connection::new(address, &listening.name, Some(tls), permit, now);
    Some(Opened::Tls(Box::new(stream), connection, protocol))
}

/// Whether an address is this machine's own.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
