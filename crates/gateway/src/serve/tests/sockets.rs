//! How WebSockets end when nobody ends them as he should.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

use crate::testing::client::Wire;
use crate::testing::upstream::Server;
use crate::testing::{PATIENCE, Plane, Setup, until};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SHORT: Duration = Duration::from_millis(300);

/// A plane in front of a server that leaves HTTP and does this.
fn before(upstream: &Server) -> Setup {
    let mut setup = Setup::before(&[upstream.address]);
    setup.rules.websocket = true;
    setup
}

fn open(plane: &Plane) -> Wire {
    let mut client = Wire::connect(plane.address);
    client.send(ASK);
    assert_eq!(client.head().unwrap().status(), 101);
    client
}

fn tunnels(plane: &Plane, count: usize) -> bool {
    plane.metrics.render().unwrap().contains(&format!("countersign_tunnels {count}\n"))
}

#[test]
fn a_websocket_counts_at_its_service_until_it_ends() {
    let upstream = Server::start(|mut wire, _| {
        wire.head();
        wire.send(SWITCHED);
        while wire.line().is_some() {}
    });
    let mut setup = before(&upstream);
    setup.gate.limits.upstream_requests = 1;
    let plane = setup.start();
    let client = open(&plane);
    assert_eq!(Wire::connect(plane.address).get("/x").status(), 503);
    drop(client);
    until("there is room again", || {
        let mut next = Wire::connect(plane.address);
        next.send(ASK);
        next.head().unwrap().status() == 101
    });
}

#[test]
fn a_websocket_ends_soon_after_one_of_its_ends_and_not_at_once() {
    let (said, heard) = mpsc::channel();
    let upstream = Server::start(move |mut wire, _| {
        wire.head();
        wire.send(SWITCHED);
        wire.stream.get_mut().shutdown(Shutdown::Write).unwrap();
        while let Some(line) = wire.line() {
            said.send(line).unwrap();
        }
        said.send("the end".to_owned()).unwrap();
    });
    let mut setup = before(&upstream);
    setup.gate.limits.half_closed = 10 * SHORT;
    let plane = setup.start();
    let mut client = open(&plane);
    // What is under way arrives.
    client.send("late\n");
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "late");
    assert!(client.is_closed(), "the service said no more");
    // The client keeps its end open, and the tunnel ends all the same.
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "the end");
    until("the tunnel has ended", || tunnels(&plane, 0));
}

#[test]
fn a_websocket_ends_when_its_service_has_gone_and_the_client_says_more() {
    let upstream = Server::start(|mut wire, _| {
        wire.head();
        wire.send(SWITCHED);
        wire.line();
    });
    let mut setup = before(&upstream);
    setup.gate.limits.half_closed = PATIENCE * 10;
    setup.gate.limits.write_stall = PATIENCE * 10;
    let plane = setup.start();
    let mut client = open(&plane);
    client.send("a\n");
    assert!(client.is_closed(), "the service says no more");
    until("the tunnel has ended", || {
        let _ended = client.stream.get_mut().write_all(b"a\n");
        tunnels(&plane, 0)
    });
}

#[test]
fn a_websocket_whose_other_end_takes_nothing_is_closed() {
    let (said, heard) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Server::start(move |mut wire, number| {
        wire.head();
        wire.send(SWITCHED);
        if number == 0 {
            // Takes nothing.
            wait.lock().unwrap().recv().unwrap();
        } else {
            let piece = vec![b'x'; 64 * 1024];
            while wire.stream.get_mut().write_all(&piece).is_ok() {}
            said.send(()).unwrap();
        }
    });
    let mut setup = before(&upstream);
    setup.gate.limits.write_stall = SHORT;
    let plane = setup.start();
    let mut talking = open(&plane);
    let piece = vec![b'x'; 64 * 1024];
    while talking.stream.get_mut().write_all(&piece).is_ok() {}
    until("the tunnel to a deaf service has ended", || tunnels(&plane, 0));
    go.send(()).unwrap();
    let deaf = open(&plane);
    heard.recv_timeout(PATIENCE).unwrap();
    until("the tunnel to a deaf client has ended", || tunnels(&plane, 0));
    assert!(plane.metrics.render().unwrap().contains("connections_cut_total{limit=\"write_timeout\"} 1"));
    drop(deaf);
}

#[test]
fn a_websocket_on_which_nothing_is_said_stays_open() {
    let upstream = Server::start(|mut wire, _| {
        wire.head();
        wire.send(SWITCHED);
        while let Some(line) = wire.line() {
            wire.send(format!("echo {line}\n"));
        }
    });
    let mut setup = before(&upstream);
    let limits = &mut setup.gate.limits;
    (limits.write_stall, limits.half_closed, limits.keep_alive, limits.body_idle) =
        (SHORT, SHORT, SHORT, SHORT);
    setup.upstream.times.body_idle = SHORT;
    let plane = setup.start();
    let mut client = open(&plane);
    for _ in 0..3 {
        client.stream.get_mut().set_read_timeout(Some(SHORT)).unwrap();
        assert!(client.stream.get_mut().read(&mut [0]).is_err(), "nothing comes, and no end");
        client.stream.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
        client.send("a\n");
        assert_eq!(client.line().as_deref(), Some("echo a"));
    }
}
