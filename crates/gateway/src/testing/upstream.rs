//! Upstreams on loopback: a thread for each connection, bytes under the test's control.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::client::{Message, Wire};

/// A server that runs a closure for each connection, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Runs `serve` with each connection and its number, from 0.
    pub(crate) fn start(serve: impl Fn(Wire, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, stopped, serve) = (Arc::clone(&connections), Arc::clone(&stop), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = count.fetch_add(1, Ordering::AcqRel);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(Wire::over(stream), number));
            }
        });
        Self { address, connections, stop }
    }

    /// Says of every request what it was told.
    pub(crate) fn echo() -> Self {
        Self::start(|mut wire, _| {
            while let Some(request) = wire.message() {
                wire.send(told(&request));
            }
        })
    }

    /// Answers every request with these bytes.
    pub(crate) fn saying(bytes: &'static str) -> Self {
        Self::start(move |mut wire, _| {
            while wire.message().is_some() {
                wire.send(bytes);
            }
        })
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread, which then closes the listener.
        let _woken = std::net::TcpStream::connect(self.address);
    }
}

/// A port where nobody listens, and that nobody else can take meanwhile.
pub(crate) struct Dead {
    pub(crate) address: SocketAddr,
    _bound: socket2::Socket,
}

impl Dead {
    pub(crate) fn new() -> Self {
        let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        bound.bind(&any.into()).unwrap();
        Self { address: bound.local_addr().unwrap().as_socket().unwrap(), _bound: bound }
    }
}

/// An answer whose body is the request: start line, fields, an empty line, body, trailers.
pub(crate) fn told(request: &Message) -> Vec<u8> {
    let mut body = format!("{}\n{}\n\n", request.start, request.fields.join("\n")).into_bytes();
    body.extend_from_slice(&request.body);
    for trailer in &request.trailers {
        body.extend_from_slice(format!("\ntrailer {trailer}").as_bytes());
    }
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(&body);
    answer
}
