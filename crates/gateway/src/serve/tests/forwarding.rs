//! What the upstream is told, and what the client gets back.

use std::sync::mpsc;

use http::HeaderValue;

use crate::address::{ForwardingFields, Fronts, Networks};
use crate::testing::client::Wire;
use crate::testing::upstream::Server;
use crate::testing::{Rules, Setup};
use crate::upstream::HostField;

#[test]
fn bodies_and_trailers_travel_both_ways() {
    let upstream = Server::start(|mut wire, _| {
        while let Some(request) = wire.message() {
            let body = request.text();
            let trailers = request.trailers.join(",");
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-User\r\n\r\n\
                 {:x}\r\n{body}\r\n{:x}\r\n{trailers}\r\n0\r\nX-Sum: 42\r\nX-User: root\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
                body.len(),
                trailers.len(),
            ));
        }
    });
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    client.send(
        "POST /x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Client, X_User, Authorization\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Client: 7\r\nX_User: root\r\n\
         Authorization: Basic eA==\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(answer.text(), "hello worldx-client: 7");
    assert_eq!(answer.trailers, ["x-sum: 42"]);
    assert_eq!(plane.stop(), 0);
}

#[test]
fn large_bodies_pass_in_pieces() {
    let upstream = Server::echo();
    for buffered in [false, true] {
        let mut setup = Setup::before(&[upstream.address]);
        setup.rules = Rules { buffered, ..Rules::default() };
        let plane = setup.start();
        let body = "0123456789abcdef".repeat(256 * 1024);
        let mut client = Wire::connect(plane.address);
        client.send(format!("PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
        client.send(&body);
        let answer = client.answer().text();
        assert!(answer.ends_with(&body), "buffered: {buffered}");
        assert!(answer.contains(&format!("content-length: {}", body.len())), "buffered: {buffered}");
        assert_eq!(client.get("/again").status(), 200);
        plane.stop();
    }
}

#[test]
fn an_expected_continue_comes_from_the_gate() {
    let upstream = Server::echo();
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().unwrap().start, "HTTP/1.1 100 Continue");
    client.send("ab");
    let told = client.answer().text();
    assert!(told.ends_with("\n\nab"), "{told}");
    assert!(!told.contains("expect"), "{told}");
}

#[test]
fn hops_and_identities_are_the_gates_to_set() {
    let upstream = Server::start(|mut wire, _| {
        while let Some(request) = wire.message() {
            let body = request.fields.join("\n");
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\n\
                 Proxy-Connection: x\r\nUpgrade: h2c\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
    });
    let mut setup = Setup::before(&[upstream.address]);
    setup.rules.set.insert("x-user", HeaderValue::from_static("alice"));
    setup.rules.set.insert("x-role", HeaderValue::from_static("clerk"));
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send(
        "GET /x HTTP/1.1\r\nHost: A.example:80\r\nConnection: X-Secret-Hop, keep-alive\r\nX-Secret-Hop: 1\r\n\
         Keep-Alive: 5\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-User: root\r\nX_User: root\r\n\
         X.Role: admin\r\nCountersign_Assertion: x\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_Host: evil\r\n\
         Forwarded: for=6.6.6.6\r\nX-Original-URL: /admin\r\nX-Real-IP: 6.6.6.6\r\nAccept: */*\r\n\r\n",
    );
    let answer = client.answer();
    let mut told: Vec<&str> = std::str::from_utf8(&answer.body).unwrap().lines().collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "accept: */*",
            "host: a.example:80",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: a.example:80",
            "x-forwarded-proto: http",
            "x-role: clerk",
            "x-user: alice",
        ]
    );
    assert_eq!(answer.field("x-end").as_deref(), Some("2"));
    assert_eq!(answer.field("x-finished").as_deref(), Some("yes"));
    for gone in ["x-hop", "keep-alive", "proxy-connection", "upgrade", "connection"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    // The connection goes on, and a request that nominates a protected field is refused by who decides.
    client.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close, x_user\r\n\r\n");
    assert_eq!(client.answer().status(), 400);
}

#[test]
fn fronts_are_believed_by_their_network_alone() {
    let upstream = Server::echo();
    let loopback = || Networks::new(["127.0.0.0/8".parse().unwrap()]);
    let ask = |fronts: Fronts, forwarding, fields: &str| {
        let mut setup = Setup::before(&[upstream.address]);
        setup.gate.fronts = fronts;
        setup.upstream.forwarding = forwarding;
        let plane = setup.start();
        let mut client = Wire::connect(plane.address);
        client.send(format!("GET /peer HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let peer = client.answer().text();
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let told = client.answer().text();
        let told: Vec<&str> = told.lines().filter(|line| line.contains("forwarded")).collect();
        (peer, told.join(", "))
    };
    let fields = "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=198.51.100.9;proto=https\r\n";
    let both = [Some(ForwardingFields::XForwarded), Some(ForwardingFields::Forwarded)];

    let (peer, told) = ask(Fronts::default(), both[0], fields);
    assert_eq!(peer, "127.0.0.1 Connection http main");
    assert_eq!(told, "x-forwarded-for: 127.0.0.1, x-forwarded-proto: http, x-forwarded-host: a");

    let fronts = Fronts { networks: loopback(), fields: ForwardingFields::XForwarded };
    let (peer, told) = ask(fronts, both[0], fields);
    assert_eq!(peer, "192.0.2.7 Front https main");
    assert_eq!(told, "x-forwarded-for: 192.0.2.7, 127.0.0.1, x-forwarded-proto: https, x-forwarded-host: a");

    let fronts = Fronts { networks: loopback(), fields: ForwardingFields::Forwarded };
    let (peer, told) = ask(fronts, both[1], fields);
    assert_eq!(peer, "198.51.100.9 Front https main");
    let first = "forwarded: for=198.51.100.9;host=\"a\";proto=https, for=127.0.0.1;host=\"a\";proto=http";
    assert_eq!(told, first);

    // Each side is told in its own words, and of hops in the middle their addresses.
    let fronts = Fronts { networks: loopback(), fields: ForwardingFields::XForwarded };
    let fields = "X-Forwarded-For: 6.6.6.6, 2001:db8::7, 127.0.0.9\r\nX-Forwarded-Proto: https\r\n";
    let (_, told) = ask(fronts, both[1], fields);
    let middle = "for=127.0.0.9, for=127.0.0.1;host=\"a\";proto=http";
    assert_eq!(told, format!("forwarded: for=\"[2001:db8::7]\";host=\"a\";proto=https, {middle}"));

    let fronts = Fronts { networks: loopback(), fields: ForwardingFields::XForwarded };
    let (peer, told) = ask(fronts, None, "X-Forwarded-For: unknown\r\n");
    assert_eq!(peer, "127.0.0.1 Unreadable http main");
    assert_eq!(told, "");
}

#[test]
fn the_host_is_the_clients_or_the_backends() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.upstream.host = HostField::Backend;
    let plane = setup.start();
    let told = Wire::connect(plane.address).get("/x").text();
    assert!(told.contains(&format!("\nhost: {}\n", upstream.address)), "{told}");
    assert!(told.contains("\nx-forwarded-host: a.example\n"), "{told}");
}

#[test]
fn a_request_without_a_body_says_so_where_one_is_expected() {
    let upstream = Server::echo();
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    for (method, sent, length) in [
        ("POST", "Content-Length: 0\r\n", Some("content-length: 0")),
        ("POST", "", Some("content-length: 0")),
        ("PUT", "Content-Length: 0\r\n", Some("content-length: 0")),
        ("PATCH", "", Some("content-length: 0")),
        ("PROPFIND", "", Some("content-length: 0")),
        ("POST", "Content-Length: 1\r\n", Some("content-length: 1")),
        ("GET", "", None),
        ("GET", "Content-Length: 0\r\n", None),
        ("DELETE", "Content-Length: 0\r\n", None),
        ("OPTIONS", "", None),
    ] {
        client.send(format!("{method} /x HTTP/1.1\r\nHost: a\r\n{sent}\r\n"));
        if sent.contains('1') {
            client.send("x");
        }
        let told = client.answer().text();
        let framing =
            |line: &&str| line.starts_with("content-length") || line.starts_with("transfer-encoding");
        assert_eq!(
            told.lines().filter(framing).collect::<Vec<_>>(),
            Vec::from_iter(length),
            "{method} {sent}"
        );
    }
}

#[test]
fn answers_without_a_body_keep_the_connection() {
    let upstream = Server::start(|mut wire, _| {
        while let Some(request) = wire.message() {
            wire.send(match request.start.split(' ').nth(1).unwrap() {
                "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 17\r\nETag: \"x\"\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
                "/early" => "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                "/replace" => "HTTP/1.1 500 No\r\nX-Replace: 1\r\nContent-Length: 6\r\n\r\nsecret",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n",
            });
        }
    });
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().field("content-length").as_deref(), Some("17"));
    client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n");
    let unmodified = client.head().unwrap();
    assert_eq!((unmodified.status(), unmodified.field("etag").as_deref()), (304, Some("\"x\"")));
    client.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
    let empty = client.head().unwrap();
    assert_eq!((empty.status(), empty.field("content-length")), (204, None));
    assert_eq!(client.get("/early").text(), "x");
    let replaced = client.get("/replace");
    assert_eq!((replaced.status(), replaced.text().as_str()), (200, "replaced"));
    assert_eq!(client.get("/early").text(), "x");
    // An answer that was thrown away took its connection with it.
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn websockets_pass_where_the_route_lets_them() {
    let (heads, seen) = mpsc::channel();
    let upstream = Server::start(move |mut wire, _| {
        let Some(request) = wire.head() else { return };
        heads.send(request.clone()).unwrap();
        if request.field("upgrade").is_none() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
            return;
        }
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\nhi\n");
        while let Some(line) = wire.line() {
            wire.send(format!("echo {line}\n"));
        }
    });
    let ask = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nfirst\n";
    let mut setup = Setup::before(&[upstream.address]);
    setup.rules.websocket = true;
    let live = countersign_auth::account::Live::new();
    setup.rules.live = Some(live.clone());
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send(ask);
    let head = client.head().unwrap();
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("sec-websocket-accept").as_deref(), Some("y"));
    assert_eq!(head.field("connection").as_deref(), Some("upgrade"));
    assert_eq!(head.field("x-finished").as_deref(), Some("yes"));
    assert_eq!(client.line().as_deref(), Some("hi"));
    assert_eq!(client.line().as_deref(), Some("echo first"));
    client.send("second\n");
    assert_eq!(client.line().as_deref(), Some("echo second"));
    let told = seen.recv().unwrap();
    assert_eq!(told.field("upgrade").as_deref(), Some("websocket"));
    assert_eq!(told.field("connection").as_deref(), Some("upgrade"));
    // The session dies, and the channel with it.
    live.fall();
    assert!(client.is_closed());
    drop(plane);

    // Where the route does not, it is a plain request, and what was sent behind it is no request (T-G1).
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    client.send(ask.replace("first\n", "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "no"));
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
    assert!(client.is_closed());
    assert_eq!(seen.recv().unwrap().field("upgrade"), None);
    assert!(seen.try_recv().is_err(), "the bytes behind a refused upgrade went on");
}

#[test]
fn an_upstream_that_switches_to_something_else_is_refused() {
    let upstream =
        Server::saying("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n");
    let mut setup = Setup::before(&[upstream.address]);
    setup.rules.websocket = true;
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.answer().status(), 502);
}

#[test]
fn an_upstream_that_switches_unasked_is_refused() {
    let upstream = Server::saying(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let plane = Setup::before(&[upstream.address]).start();
    assert_eq!(Wire::connect(plane.address).get("/x").status(), 502);
}
