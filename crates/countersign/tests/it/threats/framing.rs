//! G: where a message begins and ends, in front of a whole gate.

use std::net::TcpStream;
use std::time::Duration;

use super::{Ground, all, basic, claims};
use crate::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, fields, frame};
use crate::raw::{Head, Wire};
use crate::upstream::Received;

/// Anybody may look at `/public` and open a WebSocket at `/public/channel`.
const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
enable  = ["basic"]
at      = ["/"]

[[api.route]]
at      = "/public/channel"
allow   = "anonymous"
upgrade = true

[[api.route]]
at    = "/public/**"
allow = "anonymous"

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "ann"
password = "administers-it-1"
"#;

/// What a client smuggles behind something else; it must never reach the service.
const SMUGGLED: &str = "GET /public/smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Longer than any answer takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The heads of all answers until the gate closes, and what reached the service.
fn all_answers(ground: &Ground, bytes: &str) -> (Vec<Head>, Vec<Received>) {
    let stream = TcpStream::connect(ground.world.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut wire = Wire::new(stream);
    wire.send(bytes.as_bytes()).unwrap();
    let mut heads = Vec::new();
    while let Ok(Some(head)) = wire.head() {
        if wire.body(&head, true).is_err() {
            break;
        }
        heads.push(head);
    }
    (heads, ground.world.upstream.take())
}

/// One answer with this status, then the end; the service saw nothing.
#[track_caller]
fn refused_alone(ground: &Ground, bytes: &str, status: u16) {
    let (heads, seen) = all_answers(ground, bytes);
    let statuses: Vec<u16> = heads.iter().map(Head::status).collect();
    assert_eq!(statuses, [status], "{bytes}");
    let seen: Vec<&str> = seen.iter().map(|received| received.head.start.as_str()).collect();
    assert!(seen.is_empty(), "{bytes}: reached the service as {seen:?}");
}

#[test]
fn g1_what_comes_behind_a_refused_upgrade_is_no_request() {
    let ground = Ground::with("enactor", WORLD);
    let upgrade = |target: &str, protocol: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{SMUGGLED}"
        )
    };
    // Where nobody may upgrade, by another protocol, and where the gate itself refuses.
    for (target, protocol, reaches) in [
        ("/public/x", "websocket", 1),
        ("/public/channel", "smtp", 1),
        ("/private", "websocket", 0),
        ("/public/%2e%2e", "websocket", 0),
    ] {
        let (heads, seen) = all_answers(&ground, &upgrade(target, protocol));
        assert_eq!(heads.len(), 1, "{target} {protocol}");
        assert_ne!(heads[0].status(), 101, "{target} {protocol}");
        assert_eq!(seen.len(), reaches, "{target} {protocol}");
        assert!(seen.iter().all(|received| all(received, "upgrade").is_empty()), "{target} {protocol}");
        assert!(!seen.iter().any(|received| received.head.start.contains("smuggled")), "{target} {protocol}");
    }
    // And where the service does not want to.
    let (heads, seen) = all_answers(&ground, &upgrade("/public/channel", "websocket"));
    assert_eq!((heads.len(), heads[0].status(), seen.len()), (1, 200, 1));
    assert_eq!(all(&seen[0], "upgrade"), ["websocket"]);
}

#[test]
fn g2_a_request_with_two_readings_ends_its_connection() {
    let ground = Ground::with("enactor", WORLD);
    let post = |fields: &str| format!("POST /public/x HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n");
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Length: 4\r\ntransfer-encoding:chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding : chunked",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: 4, 4",
        "Content-Length: 0x4",
        "Content-Length: -4",
        "X: 1\r\n Transfer-Encoding: chunked",
        "X: 1\n\tY: 1",
        "X: 1\nTransfer-Encoding: chunked",
        "X: 1\rTransfer-Encoding: chunked",
        "X: a\0b",
    ] {
        refused_alone(&ground, &format!("{}0\r\n\r\n{SMUGGLED}", post(fields)), 400);
    }
    for start in [
        "POST /public/x HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /public/x#y HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /public/x HTTP/1.1\nHost: a.example\n\n",
        "GET /public/x HTTP/1.1\r\nHost: a.example\r\n\n",
    ] {
        refused_alone(&ground, &format!("{start}{SMUGGLED}"), 400);
    }
    // The nearest that pass.
    for (fields, body) in [
        ("Content-Length: 4\r\nContent-Length: 4", "abcd"),
        ("Transfer-Encoding: Chunked", "4\r\nabcd\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "4;x=y\r\nabcd\r\n0\r\n\r\n"),
    ] {
        let last = format!("Connection: close\r\n{fields}");
        let (heads, seen) = all_answers(&ground, &format!("{}{body}", post(&last)));
        assert_eq!(heads.iter().map(Head::status).collect::<Vec<_>>(), [200], "{fields}");
        assert_eq!(seen[0].body, b"abcd", "{fields}");
        let framings = all(&seen[0], "content-length").len() + all(&seen[0], "transfer-encoding").len();
        assert_eq!(framings, 1, "{fields}");
    }
}

/// What the service got of a POST in HTTP/2 with these fields more, whose block is in two frames, and this body.
fn posted(ground: &Ground, more: &[(&[u8], &[u8])], body: &[u8]) -> Vec<Received> {
    let common: [(&[u8], &[u8]); 4] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"a.example"),
        (b":path", b"/public/x"),
    ];
    let block = fields(&[&common[..], more].concat());
    let mut frames = Frames::open(ground.world.address, &[]);
    let (first, second) = block.split_at(block.len() - 1);
    let mut bytes = frame(HEADERS, 0, 1, first);
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, second));
    bytes.extend(frame(DATA, END_STREAM, 1, body));
    let _closed = frames.send(&bytes);
    let _ended = frames.ended(1);
    ground.world.upstream.take()
}

#[test]
fn g2_a_request_of_http2_has_one_length_and_no_framing_of_http1() {
    let ground = Ground::with("enactor", WORLD);
    const LENGTH: &[u8] = b"content-length";
    for (what, more) in [
        ("no length", &[][..]),
        ("its length", &[(LENGTH, &b"3"[..])]),
        ("a field of nobody's business", &[(b"x-own", b"1")]),
    ] {
        let seen = posted(&ground, more, b"abc");
        assert_eq!(seen.len(), 1, "{what}");
        assert_eq!(seen[0].body, b"abc", "{what}");
        assert_eq!(
            all(&seen[0], "content-length").len() + all(&seen[0], "transfer-encoding").len(),
            1,
            "{what}"
        );
    }
    for (what, more) in [
        ("another length", &[(LENGTH, &b"4"[..])][..]),
        ("another length behind its own", &[(LENGTH, b"3"), (LENGTH, b"1")]),
        ("its length twice", &[(LENGTH, b"3"), (LENGTH, b"3")]),
    ] {
        let seen = posted(&ground, more, b"abc");
        assert!(seen.is_empty(), "{what}: {seen:?}");
    }
    // A quotation mark is what the engine lets pass of all that stands in no name.
    for name in [&b"x\"own"[..], b"\"", b"x-own\"", b"x own", b"x(own", b"x\0own", b"x:own", b"x-\xe4"] {
        let seen = posted(&ground, &[(name, b"1")], b"abc");
        assert!(seen.is_empty(), "{name:?}: {seen:?}");
    }
    // The engine drops these where they stand in the first part of a block; they mean nothing then.
    for (name, value) in [(&b"transfer-encoding"[..], &b"gzip"[..]), (b"connection", b"x-own")] {
        for seen in posted(&ground, &[(name, value), (b"x-own", b"1")], b"abc") {
            assert_eq!(seen.body, b"abc");
            assert_eq!(all(&seen, "x-own"), ["1"]);
            assert_eq!(all(&seen, "transfer-encoding"), ["chunked"]);
        }
    }
}

#[test]
fn g3_a_body_that_nobody_read_is_not_the_next_request() {
    let ground = Ground::with("enactor", WORLD);
    let length = SMUGGLED.len();
    // Refused before the body is looked at: by the rules, by a limit, by the form of the target.
    for (start, status) in [
        (format!("POST /private HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}"), 401),
        (format!("POST /public/%2e%2e HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}"), 400),
        (format!("TRACE /public/x HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}"), 405),
        ("POST /private HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked".to_owned(), 401),
    ] {
        let chunked = start.ends_with("chunked");
        let body =
            if chunked { format!("{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n") } else { SMUGGLED.to_owned() };
        let end = "GET /public/end HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        let (heads, seen) = all_answers(&ground, &format!("{start}\r\n\r\n{body}{end}"));
        assert_eq!(heads[0].status(), status, "{start}");
        let seen: Vec<&str> = seen.iter().map(|received| received.head.start.as_str()).collect();
        assert!(seen.is_empty() || seen == ["GET /public/end HTTP/1.1"], "{start}: {seen:?}");
        assert_eq!(heads.len(), 1 + seen.len(), "{start}");
    }
}

#[test]
fn g3_the_rest_of_a_refused_body_is_read_so_that_its_client_reads_why() {
    let ground = Ground::with("enactor", WORLD);
    let connect = || {
        let stream = TcpStream::connect(ground.world.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Wire::new(stream)
    };
    let status = |wire: &mut Wire| {
        let head = wire.head().unwrap().expect("an answer");
        wire.body(&head, true).unwrap();
        head.status()
    };
    let post = |target: &str, length: usize| {
        format!("POST {target} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n")
    };
    // A body in packets of its own, whoever refuses: then the connection is as good as before.
    let mut wire = connect();
    for (target, refused) in [("/private", 401), ("/public/%2e%2e", 400), ("/private", 401)] {
        wire.send(post(target, 20).as_bytes()).unwrap();
        assert_eq!(status(&mut wire), refused, "{target}");
        wire.send(b"0123456789").unwrap();
        wire.send(b"0123456789").unwrap();
    }
    wire.send(b"GET /public/x HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    assert_eq!(status(&mut wire), 200);
    // Clients that look for an answer when they have sent everything.
    for length in [100_000, 3_000_000] {
        for _ in 0..10 {
            let mut wire = connect();
            wire.send(post("/private", length).as_bytes()).unwrap();
            wire.send(&vec![b'x'; length]).unwrap();
            assert_eq!(status(&mut wire), 401, "{length}");
        }
    }
    let seen = ground.world.upstream.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn g4_what_is_remembered_at_one_host_says_nothing_at_another() {
    let world = WORLD.replace("[\"/\"]", "[\"a.example/\"]");
    let second = world.split("[[account]]").next().unwrap();
    let second = second.replace("\"shop\"", "\"depot\"").replace("a.example/", "b.example/");
    let ground = Ground::with("enactor", &format!("{second}{world}"));
    let ann = basic("ann", "administers-it-1");
    let ask = |host: &str| {
        ground.send(&format!("GET /private HTTP/1.1\nHost: {host}\nAuthorization: {ann}")).passed()
    };
    // Each answer may come from memory the second time; whose it is must not.
    for _ in 0..2 {
        for (host, api) in [("a.example", "shop"), ("b.example", "depot"), ("A.example:80", "shop")] {
            let seen = ask(host);
            assert_eq!(claims(&seen)["aud"], api, "{host}");
            assert_eq!(all(&seen, "host"), [host.to_lowercase()]);
        }
    }
    ground.send(&format!("GET /private HTTP/1.1\nHost: c.example\nAuthorization: {ann}")).refused(404);
}

#[test]
fn g6_http2_in_clear_is_not_upgraded_to() {
    let ground = Ground::with("enactor", WORLD);
    let fields = "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__";
    let told = ground.send(&format!("GET /public/channel HTTP/1.1\nHost: a.example\n{fields}"));
    assert!(told.answer.head.start.starts_with("HTTP/1.1 200"));
    let seen = told.passed();
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(all(&seen, name), Vec::<&str>::new(), "{name}");
    }
    ground.send(&format!("GET /private HTTP/1.1\nHost: a.example\n{fields}")).refused(401);
}
