//! The access log: one line for each request, with what was decided and nothing that was sent.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::testing::client::Wire;
use crate::testing::upstream::Server;
use crate::testing::{Setup, until};

/// Keeps access lines as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == crate::log::TARGET
    }
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

#[test]
fn one_line_for_each_request() {
    let lines = Lines::default();
    // Other tests of this process may write lines as well; the paths tell them apart.
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let upstream = Server::start(|mut wire, _| {
        while let Some(request) = wire.message() {
            if request.start.contains("/log-broken") {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
                return;
            }
            wire.send("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let plane = Setup::before(&[upstream.address]).start();
    let line_of = |path: &str| {
        let wanted = format!("http.path=\"{path}\"");
        let mut found = None;
        until("there is a line", || {
            found = lines.0.lock().unwrap().iter().find(|line| line.contains(&wanted)).cloned();
            found.is_some()
        });
        found.unwrap()
    };
    let mut client = Wire::connect(plane.address);
    client.send("POST /log-good?token=hush HTTP/1.1\r\nHost: a\r\nAuthorization: Basic aHVzaA==\r\nContent-Length: 4\r\n\r\nhush");
    assert_eq!(client.answer().status(), 201);
    let good = line_of("/log-good");
    for part in [
        "message=request answered ",
        "http.method=POST ",
        "http.status=201 ",
        "sent.bytes=5 ",
        "peer.address=127.0.0.1 ",
        "listener=\"main\" ",
        "api=\"test\" ",
        "upstream.micros=",
        "request.id=",
    ] {
        assert!(good.contains(part), "{part} is not in {good}");
    }
    assert!(!good.contains("hush") && !good.contains("aHVzaA"), "{good}");
    assert!(!good.contains("broke_off"), "{good}");

    client.send("GET /log-broken HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.message().is_none());
    let broken = line_of("/log-broken");
    assert!(broken.contains("broke_off=\"the upstream broke off in its answer\""), "{broken}");
}
