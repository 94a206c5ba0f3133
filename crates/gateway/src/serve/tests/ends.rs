//! How connections and the whole plane end.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use super::listeners::Pki;
use crate::address::Networks;
use crate::testing::client::Wire;
use crate::testing::upstream::Server;
use crate::testing::{PATIENCE, Setup, until};

#[test]
fn draining_finishes_what_is_begun_and_takes_nothing_new() {
    let (asked, seen) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Server::start(move |mut wire, _| {
        wire.head();
        asked.send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    });
    let mut setup = Setup::before(&[upstream.address]);
    setup.cores = 2;
    let plane = setup.start();
    let mut idle = Wire::connect(plane.address);
    idle.send("GET /peer HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.answer().status(), 200);
    let mut busy = Wire::connect(plane.address);
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    seen.recv().unwrap();
    plane.running.shutdown(PATIENCE);
    assert!(idle.is_closed(), "an idle connection ends at once");
    // A full table of descriptors is an error as well, and not the one that is waited for.
    until("the listeners are closed", || {
        std::net::TcpStream::connect(plane.address)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    });
    go.send(()).unwrap();
    let answer = busy.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
    assert!(busy.is_closed());
    assert_eq!(plane.running.wait().unwrap(), 0);
}

#[test]
fn a_client_that_connected_before_the_drain_is_served() {
    let upstream = Server::echo();
    let plane = Setup::before(&[upstream.address]).start();
    let mut early = Wire::connect(plane.address);
    early.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    let _silent = Wire::connect(plane.address);
    plane.running.shutdown(PATIENCE);
    assert_eq!(early.answer().status(), 200);
    assert_eq!(plane.running.wait().unwrap(), 0);
}

#[test]
fn the_deadline_cuts_what_does_not_end() {
    let (asked, seen) = mpsc::channel();
    let upstream = Server::start(move |mut wire, _| {
        wire.head();
        asked.send(()).unwrap();
        while wire.line().is_some() {}
    });
    let plane = Setup::before(&[upstream.address]).start();
    let mut busy = Wire::connect(plane.address);
    busy.send("GET /forever HTTP/1.1\r\nHost: a\r\n\r\n");
    seen.recv().unwrap();
    plane.running.shutdown(Duration::from_millis(10));
    assert_eq!(plane.running.wait().unwrap(), 1);
    assert!(busy.is_closed());
}

/// A plane with an open WebSocket whose other end says again what it is told, and what it lives on.
fn with_a_websocket() -> (crate::testing::Plane, Wire, countersign_auth::account::Live) {
    let upstream = Server::start(|mut wire, _| {
        wire.head();
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Some(line) = wire.line() {
            wire.send(format!("echo {line}\n"));
        }
    });
    let mut setup = Setup::before(&[upstream.address]);
    let live = countersign_auth::account::Live::new();
    (setup.rules.websocket, setup.rules.live) = (true, Some(live.clone()));
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 101);
    until("the tunnel is counted", || plane.metrics.render().unwrap().contains("countersign_tunnels 1"));
    (plane, client, live)
}

fn is_closed(address: std::net::SocketAddr) -> bool {
    std::net::TcpStream::connect(address)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[test]
fn a_websocket_goes_on_while_the_gate_drains_until_one_of_its_ends_closes() {
    let (plane, mut client, _live) = with_a_websocket();
    plane.running.shutdown(PATIENCE);
    until("it drains", || is_closed(plane.address));
    for _ in 0..3 {
        client.send("a\n");
        assert_eq!(client.line().as_deref(), Some("echo a"));
        // Some beats.
        std::thread::park_timeout(Duration::from_millis(20));
    }
    drop(client);
    assert_eq!(plane.running.wait().unwrap(), 0);
    assert!(plane.metrics.render().unwrap().contains("countersign_tunnels 0"));
}

#[test]
fn a_websocket_ends_while_the_gate_drains_with_what_it_lives_on() {
    let (plane, mut client, live) = with_a_websocket();
    plane.running.shutdown(PATIENCE);
    until("it drains", || is_closed(plane.address));
    live.fall();
    assert!(client.is_closed());
    assert_eq!(plane.running.wait().unwrap(), 0);
}

#[test]
fn a_websocket_is_cut_at_the_deadline_of_the_drain() {
    let (plane, mut client, _live) = with_a_websocket();
    plane.running.shutdown(Duration::from_millis(300));
    assert_eq!(plane.running.wait().unwrap(), 1);
    assert!(client.is_closed());
}

#[test]
fn a_gate_is_replaced_under_open_connections() {
    let (first, second) = (
        Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"),
        Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"),
    );
    let plane = Setup::before(&[first.address]).start();
    let mut client = Wire::connect(plane.address);
    assert_eq!(client.get("/x").text(), "1");
    let mut other = Setup::before(&[second.address]);
    let upstream = crate::upstream::Upstream::new(other.upstream).unwrap();
    let api = std::sync::Arc::new(crate::testing::plain_api("test"));
    other.gate.apis.push(crate::gate::ApiOptions { api, places: Vec::new(), upstream, cors: None });
    plane.running.replace(crate::gate::Gate::new(other.gate).unwrap());
    assert_eq!(client.get("/x").text(), "2");
}

#[test]
fn slow_heads_and_idle_connections_are_closed() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.gate.limits.head = Duration::from_secs(3);
    setup.gate.limits.handshake = Duration::from_secs(3);
    setup.gate.limits.keep_alive = Duration::from_secs(3);
    let plane = setup.start();
    let mut silent = Wire::connect(plane.address);
    let mut slow = Wire::connect(plane.address);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    let mut idle = Wire::connect(plane.address);
    assert_eq!(idle.get("/x").status(), 200);
    assert!(silent.is_closed());
    assert!(slow.is_closed());
    assert!(idle.is_closed());
    // Idleness is no fault.
    until("they are counted", || {
        plane.metrics.render().unwrap().contains("connections_cut_total{limit=\"header_timeout\"} 2")
    });
}

#[test]
fn slow_handshakes_are_closed() {
    let upstream = Server::echo();
    let pki = Pki::new();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.tls = Some(pki.files());
    setup.gate.limits.handshake = Duration::from_secs(10);
    let plane = setup.start();
    let mut silent = Wire::connect(plane.address);
    // The beginning of a record that says it is longer.
    let mut slow = Wire::connect(plane.address);
    slow.stream.get_mut().write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    // One that takes its time, and is in time.
    let late = std::net::TcpStream::connect(plane.address).unwrap();
    std::thread::park_timeout(Duration::from_millis(300));
    let tls = rustls::ClientConnection::new(pki.client(&[]), "localhost".try_into().unwrap()).unwrap();
    let mut late = rustls::StreamOwned::new(tls, late);
    late.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    late.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(silent.is_closed());
    assert!(slow.is_closed());
    until("they are counted", || {
        plane.metrics.render().unwrap().contains("connections_cut_total{limit=\"handshake_timeout\"} 2")
    });
}

#[test]
fn slow_proxy_headers_are_closed_in_clear_as_well() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.proxy_protocol = Networks::new(["127.0.0.0/8".parse().unwrap()]);
    setup.gate.limits.handshake = Duration::from_secs(3);
    setup.gate.limits.head = PATIENCE * 10;
    let plane = setup.start();
    let mut silent = Wire::connect(plane.address);
    let mut slow = Wire::connect(plane.address);
    slow.send("PROXY TCP4 192.0.2.9 ");
    let mut introduced = Wire::connect(plane.address);
    introduced.send("PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n");
    assert!(silent.is_closed());
    assert!(slow.is_closed());
    until("they are counted", || {
        plane.metrics.render().unwrap().contains("connections_cut_total{limit=\"handshake_timeout\"} 2")
    });
    // Whoever has said it has the time for a head.
    introduced.send("GET /peer HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(introduced.answer().status(), 200);
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let (sent, done) = mpsc::channel();
    let upstream = Server::start(move |mut wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; 64 * 1024];
        while wire.stream.get_mut().write_all(&piece).is_ok() {}
        sent.send(()).unwrap();
    });
    let mut setup = Setup::before(&[upstream.address]);
    setup.gate.limits.write_stall = Duration::from_millis(50);
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    done.recv_timeout(PATIENCE).unwrap();
    drop(plane);
}

#[test]
fn too_many_connections_of_one_address_are_turned_away() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.gate.limits.connections_per_address = 2;
    let plane = setup.start();
    let mut first = Wire::connect(plane.address);
    let mut second = Wire::connect(plane.address);
    assert_eq!(first.get("/x").status(), 200);
    assert_eq!(second.get("/x").status(), 200);
    assert!(Wire::connect(plane.address).is_closed());
    drop(first);
    until("there is room again", || {
        let mut third = Wire::connect(plane.address);
        third.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        third.message().is_some()
    });
}
