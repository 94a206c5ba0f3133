//! The service behind the gate: it writes down what reaches it and answers what a transcript says.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::raw::{Head, Wire};
use crate::transcript::Manners;

/// What is answered where nothing was said.
const EMPTY_OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A request that reached the service.
#[derive(Debug)]
pub(crate) struct Received {
    /// Request line and headers.
    pub(crate) head: Head,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// The trailer lines after it.
    pub(crate) trailers: Vec<String>,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Vec<u8>>,
    received: Vec<Received>,
    manners: Option<Manners>,
    /// Requests that are kept waiting.
    waiting: usize,
    /// Requests whose body has not come to its end.
    halves: usize,
    /// What it says to requests that no reply waits for.
    speech: Option<Speech>,
}

/// What a service says to a request.
pub(crate) type Speech = Arc<dyn Fn(&Received) -> Vec<u8> + Send + Sync>;

/// A service on the loopback interface; it stops when it is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
}

impl Upstream {
    /// Starts it on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let upstream = Self { address, state: Arc::clone(&state), stopped: Arc::clone(&stopped) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { break };
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        upstream
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the next request that has no reply yet with these bytes.
    pub(crate) fn reply(&self, bytes: Vec<u8>) {
        lock(&self.state).replies.push_back(bytes);
    }

    /// Behaves so from now on.
    pub(crate) fn behave(&self, manners: Manners) {
        lock(&self.state).manners = Some(manners);
    }

    /// How many requests it has kept waiting since it was last asked.
    pub(crate) fn waiting(&self) -> usize {
        std::mem::take(&mut lock(&self.state).waiting)
    }

    /// How many requests it has now whose bodies have not come to their ends.
    pub(crate) fn halves(&self) -> usize {
        lock(&self.state).halves
    }

    /// Says this to requests from now on, and writes none of them down.
    pub(crate) fn speak(&self, speech: Speech) {
        lock(&self.state).speech = Some(speech);
    }

    /// What reached it since it was last asked; replies that nobody fetched are forgotten.
    pub(crate) fn take(&self) -> Vec<Received> {
        let mut state = lock(&self.state);
        state.replies.clear();
        std::mem::take(&mut state.received)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let _ = stream.set_nodelay(true);
    let mut wire = Wire::new(stream);
    while let Ok(Some(head)) = wire.head() {
        lock(state).halves += 1;
        let body = wire.body(&head, false);
        lock(state).halves -= 1;
        let Ok(body) = body else { return };
        let trailers = std::mem::take(&mut wire.trailers);
        let bodiless = head.start.starts_with("HEAD ");
        let reply = {
            let speech = lock(state).speech.clone();
            if let Some(speech) = speech {
                let reply = speech(&Received { head, body, trailers });
                if wire.send(&reply).is_err() {
                    return;
                }
                continue;
            }
            let mut state = lock(state);
            match state.manners {
                Some(Manners::Down) => return,
                // Until the gate gives up and closes.
                Some(Manners::Silent) => {
                    state.waiting += 1;
                    continue;
                }
                Some(Manners::Up) | None => {}
            }
            state.received.push(Received { head, body, trailers });
            state.replies.pop_front()
        };
        let mut reply = reply.unwrap_or_else(|| EMPTY_OK.to_vec());
        if bodiless && let Some(end) = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            reply.truncate(end + 4);
        }
        let head = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(reply.len());
        let mut lines = reply[..head].windows(19);
        let ends = lines.any(|bytes| bytes.eq_ignore_ascii_case(b"\r\nConnection: close"));
        if wire.send(&reply).is_err() || ends {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Client, bytes};

    #[test]
    fn it_writes_down_and_answers() {
        let upstream = Upstream::start();
        let mut client = Client::new(upstream.address());
        upstream.reply(bytes(&["HTTP/1.1 404 Not Found".to_owned()], "no"));
        let request = bytes(&["POST /a HTTP/1.1".to_owned(), "X: 1".to_owned()], "body");
        let first = client.exchange(1, &request).unwrap();
        assert_eq!((first.head.status(), first.body), (404, b"no".to_vec()));
        assert_eq!(client.exchange(1, &request).unwrap().head.status(), 200);
        let received = upstream.take();
        assert_eq!(received.len(), 2);
        assert_eq!(received[0].head.start, "POST /a HTTP/1.1");
        assert_eq!(received[0].body, b"body");
        assert!(upstream.take().is_empty());
    }
}
