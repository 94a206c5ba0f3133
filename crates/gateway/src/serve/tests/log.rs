//! The access log: one line for each request, with what was decided and nothing that was sent.

use std::sync::{Arc, Mutex};

use crate::log::{Access, AccessLog, LineFormat};
use crate::testing::client::Wire;
use crate::testing::upstream::Server;
use crate::testing::{Plane, Setup, until};

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
    let metrics = plane.metrics.render().unwrap();
    assert!(metrics.contains("faults_total{api=\"test\",fault=\"broken\"} 1"), "{metrics}");
}

/// Waits for the first access line that holds some text.
type FirstLine = Box<dyn Fn(&str) -> String>;

/// A plane before this upstream, and its access lines.
fn with_lines(upstream: &Server, change: impl FnOnce(&mut Setup)) -> (Plane, FirstLine) {
    let lines = Arc::new(Lines::default());
    let mut setup = Setup::before(&[upstream.address]);
    setup.gate.access = Some(Access { format: LineFormat::Text, log: Arc::clone(&lines) as Arc<_> });
    change(&mut setup);
    let plane = setup.start();
    let line_with = move |wanted: &str| {
        let mut found = None;
        until("there is a line", || {
            found = lines.0.lock().unwrap().lines().find(|line| line.contains(wanted)).map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    };
    (plane, Box::new(line_with))
}

#[test]
fn an_answer_that_is_kept_back_is_the_services_failure() {
    let upstream = Server::saying("HTTP/1.1 200 OK\r\nX-Replace: yes\r\nContent-Length: 1\r\n\r\n1");
    let (plane, line_with) = with_lines(&upstream, |_setup| {});
    assert_eq!(Wire::connect(plane.address).get("/x").text(), "replaced");
    let line = line_with("http.path=\"/x\"");
    assert!(line.contains("auth.reason=\"upstream\" auth.cause=\"a test replaces it\""), "{line}");
    let metrics = plane.metrics.render().unwrap();
    assert!(metrics.contains("faults_total{api=\"test\",fault=\"broken\"} 1"), "{metrics}");
    assert!(!metrics.contains("refusals_total{"), "{metrics}");
}

/// An upstream that says again what it is told.
fn echoes() -> Server {
    Server::start(|mut wire, _| {
        wire.head();
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Some(line) = wire.line() {
            wire.send(format!("echo {line}\n"));
        }
    })
}

#[test]
fn a_websocket_that_a_stopping_gate_cuts_has_its_line_as_well() {
    let upstream = echoes();
    let (plane, line_with) = with_lines(&upstream, |setup| setup.rules.websocket = true);
    let mut client = Wire::connect(plane.address);
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 101);
    client.send("a\n");
    assert_eq!(client.line().as_deref(), Some("echo a"));
    plane.running.shutdown(std::time::Duration::from_millis(50));
    assert_eq!(plane.running.wait().unwrap(), 1);
    let line = line_with("http.path=\"/ws\"");
    assert!(line.contains("sent.bytes=7 ") && line.contains("broke_off=\"the gate stopped\""), "{line}");
}

#[test]
fn the_line_of_a_websocket_comes_at_its_end_and_says_why() {
    let upstream = echoes();
    let live = countersign_auth::account::Live::new();
    let (plane, line_with) = with_lines(&upstream, |setup| {
        (setup.rules.websocket, setup.rules.live) = (true, Some(live.clone()));
    });
    let in_flight = |count: usize| {
        let wanted = format!("requests_in_flight{{api=\"test\"}} {count}\n");
        until("so many are in flight", || plane.metrics.render().unwrap().contains(&wanted));
    };
    let mut client = Wire::connect(plane.address);
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 101);
    client.send("a\n");
    assert_eq!(client.line().as_deref(), Some("echo a"));
    in_flight(1);
    live.fall();
    assert!(client.is_closed());
    in_flight(0);
    let line = line_with("http.path=\"/ws\"");
    for part in ["http.status=101 ", "sent.bytes=7 ", "broke_off=\"the session was revoked\""] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}
