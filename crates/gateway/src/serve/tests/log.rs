//! The access log: one line for each request, with what was decided and nothing that was sent.

use std::sync::{Arc, Mutex};

use crate::log::{Access, AccessLog, LineFormat};
use crate::testing::client::Wire;
use crate::testing::upstream::Server;
use crate::testing::{Setup, until};

/// Keeps access lines.
#[derive(Default)]
struct Lines(Mutex<String>);

impl AccessLog for Lines {
    fn write(&self, lines: &[u8]) {
        self.0.lock().unwrap().push_str(std::str::from_utf8(lines).unwrap());
    }
}

#[test]
fn one_line_for_each_request() {
    let lines = Arc::new(Lines::default());
    let upstream = Server::start(|mut wire, _| {
        while let Some(request) = wire.message() {
            if request.start.contains("/log-broken") {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
                return;
            }
            wire.send("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let mut setup = Setup::before(&[upstream.address]);
    setup.gate.access = Some(Access { format: LineFormat::Text, log: Arc::clone(&lines) as Arc<_> });
    let plane = setup.start();
    let line_of = |path: &str| {
        let wanted = format!("http.path=\"{path}\"");
        let mut found = None;
        until("there is a line", || {
            found = lines.0.lock().unwrap().lines().find(|line| line.contains(&wanted)).map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    };
    let mut client = Wire::connect(plane.address);
    client.send("POST /log-good?token=hush HTTP/1.1\r\nHost: a\r\nAuthorization: Basic aHVzaA==\r\nContent-Length: 4\r\n\r\nhush");
    assert_eq!(client.answer().status(), 201);
    let good = line_of("/log-good");
    for part in [
        " INFO access: request answered ",
        "http.method=POST ",
        "http.status=201 ",
        "sent.bytes=5 ",
        "peer.address=127.0.0.1 ",
        "listener=\"main\" ",
        "api=\"test\"",
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
