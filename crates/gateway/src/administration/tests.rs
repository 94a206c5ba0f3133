//! What the administration listener says, and to whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Instant;

use http::header::HOST;
use http::{HeaderMap, Version};

use super::calls::Reply;
use super::*;

fn options() -> AdministrationOptions {
    AdministrationOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        hosts: vec!["gate.internal".into()],
        ready: Arc::new(|| Err("the store is away".into())),
        metrics: Arc::new(|| "# EOF\n".into()),
        assertion_keys: Arc::new(|| "{\"keys\":[]}".into()),
        // What is not taken is answered as the listener has it; no test has a body that is.
        calls: Arc::new(|_| Ok(Box::new(|body| Box::pin(std::future::ready(body.unwrap_err()))))),
        token_keys: Arc::new(|| "{\"keys\":[1]}".into()),
    }
}

fn is_known(hosts: &[&str]) -> bool {
    is_known_at("127.0.0.1", hosts)
}

/// The same over a connection that came in on an address.
fn is_known_at(own: &str, hosts: &[&str]) -> bool {
    let mut headers = HeaderMap::new();
    for host in hosts {
        headers.append(HOST, host.parse().unwrap());
    }
    let own: IpAddr = own.parse().unwrap();
    Hosts::new(options().hosts).know(&headers, Version::HTTP_11, Some(own.to_canonical()))
}

fn ask(method: &str, path: &str) -> u16 {
    told(&options(), &Request::builder().method(method).uri(path).body(()).unwrap()).status().as_u16()
}

#[test]
fn only_known_hosts_are_answered() {
    for host in
        ["localhost", "LOCALHOST:9901", "127.0.0.1:80", "[::1]:80", "gate.internal.", "Gate.Internal:1"]
    {
        assert!(is_known(&[host]), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "", "a b"] {
        assert!(!is_known(&[host]), "{host}");
    }
    assert!(!is_known(&[]));
    assert!(!is_known(&["localhost", "evil.example"]));
}

/// A page can let its name point to an address, and cannot make the address its own.
#[test]
fn the_address_that_was_connected_to_is_this_machines_own() {
    for (own, host) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7:9901"),
        ("::ffff:192.0.2.7", "192.0.2.7:9901"),
        ("192.0.2.7", "[::ffff:192.0.2.7]"),
        ("2001:db8::7", "[2001:DB8:0::7]:9901"),
        ("192.0.2.7", "127.0.0.1"),
    ] {
        assert!(is_known_at(own, &[host]), "{own} {host}");
    }
    for host in
        ["192.0.2.8", "192.0.2.7.evil.example", "[2001:db8::8]", "3221225991", "192.0.2.07", "evil.example"]
    {
        assert!(!is_known_at("192.0.2.7", &[host]), "{host}");
    }
    assert!(!is_known_at("192.0.2.7", &["192.0.2.7", "192.0.2.7"]));
}

#[test]
fn paths_and_methods() {
    assert_eq!(ask("GET", "/ready"), 503);
    assert_eq!(ask("HEAD", "/metrics"), 200);
    assert_eq!(ask("POST", "/metrics"), 405);
    assert_eq!(ask("GET", "/jwks/token"), 200);
    assert_eq!(ask("GET", "/debug"), 404);
    assert!(calls::body_bytes_max("/events/x").is_some() && calls::body_bytes_max("/objects/x/y").is_some());
    assert!(calls::body_bytes_max("/ready").is_none() && calls::body_bytes_max("/events").is_none());
}

#[test]
fn a_body_that_is_too_long_is_refused_and_not_cut_off() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let running = start(runtime.handle(), options()).unwrap();
    for (path, bytes) in [("/events/x", 96 * 1024 + 1), ("/objects/x/y", 256 * 1024 + 1)] {
        let mut stream = std::net::TcpStream::connect(running.address()).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b' '; bytes]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
    }
    runtime.block_on(running.stop());
}

#[test]
fn a_page_of_another_host_calls_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let running = start(runtime.handle(), options()).unwrap();
    for path in ["/live", "/events/x", "/objects/x/y/z"] {
        let mut stream = std::net::TcpStream::connect(running.address()).unwrap();
        let request = format!("POST {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 421 "), "{path}: {answer}");
        assert!(answer.ends_with("list it in `administration.hosts`\n"), "{path}: {answer}");
    }
    runtime.block_on(running.stop());
}

#[test]
fn serves_and_stops() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let running = start(runtime.handle(), options()).unwrap();
    let address = running.address();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /jwks/assertion HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("content-type: application/jwk-set+json"), "{answer}");
    assert!(answer.ends_with("{\"keys\":[]}"), "{answer}");
    runtime.block_on(running.stop());
    assert!(std::net::TcpStream::connect(address).is_err());
}

const LONG: usize = 16 * 1024 * 1024;
/// How long the listener waits for whoever takes nothing.
const STILL: Duration = Duration::from_secs(10);
/// Connections that there is room for.
const ROOM: usize = 4;
const BOUNDS: Bounds = Bounds { connections: ROOM, calling: 2, write: STILL };

/// The answer's status to a request on a connection.
fn status(stream: &mut std::net::TcpStream, request: &str) -> u16 {
    stream.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    std::str::from_utf8(&first[9..]).unwrap().parse().unwrap()
}

#[test]
fn services_that_call_leave_room_for_monitors() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let calls: Calls = Arc::new(|_| {
        let done = Reply { status: StatusCode::NO_CONTENT, body: String::new() };
        Ok(Box::new(|body| Box::pin(async { body.err().unwrap_or(done) })))
    });
    let running = start_with(runtime.handle(), AdministrationOptions { calls, ..options() }, BOUNDS).unwrap();
    let open = || std::net::TcpStream::connect(running.address()).unwrap();
    let call = "POST /events/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    let mut calling = [open(), open()];
    for stream in &mut calling {
        assert_eq!(status(stream, call), 204);
    }
    let mut one_more = open();
    assert_eq!(status(&mut one_more, call), 503);
    let mut rest = String::new();
    one_more.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("connection: close") && rest.contains("retry-after: 1"), "{rest}");
    assert_eq!(status(&mut open(), "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
    // One that has its place keeps it, and leaves it when it ends.
    let [mut first, second] = calling;
    let mut head = [0; 1024];
    let _rest = first.read(&mut head).unwrap();
    assert_eq!(status(&mut first, call), 204);
    drop(second);
    let until = Instant::now() + 12 * STILL;
    while status(&mut open(), call) != 204 {
        assert!(Instant::now() < until, "a connection that ended leaves no room");
    }
    runtime.block_on(running.stop());
}

#[test]
fn no_body_is_read_of_whoever_is_not_known() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let calls: Calls = Arc::new(|call| {
        assert!(call.key.is_none());
        Err(Reply::refused(StatusCode::UNAUTHORIZED, "a key is needed"))
    });
    let running = start(runtime.handle(), AdministrationOptions { calls, ..options() }).unwrap();
    let mut stream = std::net::TcpStream::connect(running.address()).unwrap();
    // It is answered though its body never comes.
    let call = "POST /objects/x/y HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    assert_eq!(status(&mut stream, call), 401);
    runtime.block_on(running.stop());
}

#[test]
fn whoever_takes_nothing_keeps_nobody_out_for_long() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // More than the systems between keep, where the client's takes little.
    let long = "x".repeat(LONG);
    let metrics: Text = Arc::new(move || long.clone());
    let options = AdministrationOptions { metrics, ..options() };
    let running = start_with(runtime.handle(), options, BOUNDS).unwrap();
    let ask = |path: &str| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&running.address().into()).unwrap();
        let mut stream = std::net::TcpStream::from(socket);
        stream.set_read_timeout(Some(12 * STILL)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        // Whoever is one too many may be gone already.
        let _sent = stream.write_all(request.as_bytes());
        stream
    };
    let answer = |mut stream: std::net::TcpStream| {
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => answer.len(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}"),
        }
    };
    // The last that has room is answered.
    let mut sleeping: Vec<_> = (1..ROOM).map(|_| ask("/metrics")).collect();
    for stream in &mut sleeping {
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    assert!(answer(ask("/live")) > 0);
    sleeping.push(ask("/metrics"));
    sleeping.last_mut().unwrap().read_exact(&mut [0; 12]).unwrap();
    assert_eq!(answer(ask("/live")), 0, "one too many");
    let until = Instant::now() + 12 * STILL;
    while answer(ask("/live")) == 0 {
        assert!(Instant::now() < until, "whoever takes nothing keeps others out");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    // Whoever takes something now and then gets all of it, though it takes longer than that.
    let mut slow = ask("/metrics");
    let mut piece = vec![0; LONG / 8];
    for _ in 0..6 {
        std::thread::park_timeout(STILL / 5);
        slow.read_exact(&mut piece).unwrap();
    }
    assert!(answer(slow) > LONG / 8, "the rest");
    drop(sleeping);
    runtime.block_on(running.stop());
}
