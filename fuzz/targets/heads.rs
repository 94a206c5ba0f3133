//! What the gate looks at before the HTTP engine does, beside what the engine reads.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use countersign_gateway::limits::Limits;
use countersign_gateway::listen::heads::{CutOff, HeadBounds, HeadWatch};
use countersign_gateway::listen::http1_builder;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;

/// The engine reads a head from its beginning with each byte that comes.
const BYTES_MAX: usize = 4096;

/// What a client sends that is done with everything else: where the guard and the engine see it, is where they think
/// that a request begins.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// Turns that the engine may take without reading anything.
const IDLE_TURNS: usize = 64;

/// A request that the engine read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// How many bytes it had been given at the end of the head.
    end: usize,
    start: String,
    /// `None` where the body did not come to its end.
    body: Option<Vec<u8>>,
}

/// The bytes of a connection: what the guard vouches for, the engine takes for the same heads, at the same places.
pub fn heads(bytes: &[u8]) {
    if bytes.len() > BYTES_MAX {
        return;
    }
    agree(bytes);
    agree(&[bytes, NEXT, NEXT].concat());
    cut_off(bytes);
}

/// As the gate has them, unless something else is set.
fn bounds() -> HeadBounds {
    let limits = Limits::default();
    HeadBounds { bytes: limits.header_bytes, fields: limits.header_count }
}

/// Heads beyond a limit: what is left of one is one more request to the engine, which is refused, or none.
fn cut_off(bytes: &[u8]) {
    for max in [HeadBounds { bytes: 60, fields: 100 }, HeadBounds { bytes: 4000, fields: 2 }] {
        let mut watch = HeadWatch::new(max);
        if watch.look(bytes).is_err()
            && let Some(CutOff { kept, ending }) = watch.cut_off()
        {
            let seen = engine(&[&bytes[..kept], ending].concat(), bytes.len());
            assert!(seen.len() as u64 <= watch.vouched() + 1, "{seen:?} of {max:?}");
        }
    }
}

fn agree(bytes: &[u8]) {
    let (ends, fault) = guarded(bytes);
    let seen = engine(bytes, 1);
    for (number, request) in seen.iter().enumerate() {
        match ends.get(number) {
            Some(end) => {
                assert_eq!(*end, request.end, "head {number} is another one to the engine: {seen:?}")
            }
            // The request is refused, and the connection ends.
            None => {
                let at = fault.expect("the engine reads a head that the guard has neither seen nor refused");
                assert!(at <= request.end, "head {number} ended before its fault at {at}: {seen:?}");
                break;
            }
        }
        if number == 0 {
            as_sent(&bytes[..request.end], &request.start);
        }
    }
    // In whatever pieces it comes: what was vouched for has the same bodies.
    let vouched = ends.len();
    let told = |seen: Vec<Seen>| -> Vec<(String, Option<Vec<u8>>)> {
        seen.into_iter().take(vouched).map(|Seen { start, body, .. }| (start, body)).collect()
    };
    assert_eq!(told(seen), told(engine(bytes, bytes.len().max(1))));
}

/// Where the heads end that are vouched for, and behind which byte a fault was found.
fn guarded(bytes: &[u8]) -> (Vec<usize>, Option<usize>) {
    let mut watch = HeadWatch::new(bounds());
    let (mut ends, mut fault) = (Vec::new(), None);
    for (at, byte) in bytes.iter().enumerate() {
        if watch.look(std::slice::from_ref(byte)).is_err() {
            fault = Some(at + 1);
            break;
        }
        if watch.vouched() as usize > ends.len() {
            ends.push(at + 1);
        }
    }
    let mut whole = HeadWatch::new(bounds());
    let refused = whole.look(bytes).is_err();
    assert_eq!((whole.vouched() as usize, refused), (ends.len(), fault.is_some()), "pieces change nothing");
    (ends, fault)
}

/// Method and target of the first head are those that were sent.
fn as_sent(head: &[u8], start: &str) {
    let text = String::from_utf8_lossy(head);
    let line = text.trim_start_matches("\r\n").split("\r\n").next().unwrap_or_default();
    let mut words = line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    // A target with a host in it is written down again with a path.
    if target.starts_with('/') {
        assert_eq!(start, format!("{method} {target}"), "the engine repairs what was vouched for");
    }
}

/// What the engine, set up as the gate's, reads of a client that sends this in pieces of `size` and then waits.
fn engine(bytes: &[u8], size: usize) -> Vec<Seen> {
    let given = Rc::new(Cell::new(0));
    let seen: Rc<RefCell<Vec<Seen>>> = Rc::default();
    let service = service_fn(|request: Request<Incoming>| {
        let start = format!("{} {}", request.method(), request.uri());
        let number = seen.borrow().len();
        seen.borrow_mut().push(Seen { end: given.get(), start, body: None });
        let seen = Rc::clone(&seen);
        async move {
            if let Ok(body) = request.into_body().collect().await {
                seen.borrow_mut()[number].body = Some(body.to_bytes().to_vec());
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let stream = Stream { bytes: bytes.to_vec(), given: Rc::clone(&given), size };
    {
        let mut connection = pin!(http1_builder(&Limits::default()).serve_connection(stream, service));
        let mut context = Context::from_waker(Waker::noop());
        // Everything is there, so that it waits for nothing but its own turns, until it has read all of it.
        let (mut idle, mut before) = (0, 0);
        while idle < IDLE_TURNS && connection.as_mut().poll(&mut context).is_pending() {
            idle = if given.get() == before { idle + 1 } else { 0 };
            before = given.get();
        }
    }
    seen.take()
}

/// A connection whose client has sent everything, and waits.
struct Stream {
    bytes: Vec<u8>,
    given: Rc<Cell<usize>>,
    size: usize,
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let from = self.given.get();
        if from == self.bytes.len() {
            return Poll::Pending;
        }
        let to = self.bytes.len().min(from + self.size.min(buffer.remaining()));
        buffer.put_slice(&self.bytes[from..to]);
        self.given.set(to);
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
