//! Requests that two readers could read in two ways (T-G1 to T-G6).

use std::io::{Read as _, Write as _};

use crate::body::LINGER_BYTES;
use crate::testing::client::Wire;
use crate::testing::upstream::{Dead, Server};
use crate::testing::{BUFFER_MAX, Setup};

/// Sends bytes; returns the statuses of all answers until the gate closes.
fn statuses(bytes: &str) -> Vec<u16> {
    let upstream = Server::echo();
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    client.send(bytes);
    let mut statuses = Vec::new();
    while let Some(answer) = client.message() {
        statuses.push(answer.status());
    }
    statuses
}

#[test]
fn what_the_engine_repairs_is_refused_and_the_connection_ends() {
    let repaired = [
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\nHost: a\n\n",
        "GET /x HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n\n",
    ];
    let good = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\n#\n\r\n0\r\n\r\n";
    for bytes in repaired {
        let smuggled = format!("{bytes}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(statuses(&smuggled), [400], "{bytes}");
        // Also as the second request, in the same packet as a body before it.
        assert_eq!(statuses(&format!("{good}{smuggled}")), [200, 400], "{bytes}");
    }
    let end = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&format!("{good}{good}{end}")), [200, 200, 200]);
}

#[test]
fn what_is_malformed_is_refused_and_the_connection_ends() {
    let refused = [
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
    ];
    for bytes in refused {
        let smuggled = format!("{bytes}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(statuses(&smuggled), [400], "{bytes}");
    }
    assert_eq!(statuses("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), [405]);
    assert_eq!(statuses("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), [405]);
}

#[test]
fn heads_have_limits() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(80 * 1024));
    assert!(matches!(statuses(&long)[..], [414 | 431]));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(80 * 1024));
    assert_eq!(statuses(&large), [431]);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(200));
    assert_eq!(statuses(&many), [431]);
}

#[test]
fn http_in_another_dress_is_not_upgraded_to() {
    let upstream = Server::echo();
    let plane = Setup::before(&[upstream.address]).start();
    for offered in ["h2c", "TLS/1.2", "TLS/1.0, h2c"] {
        let mut client = Wire::connect(plane.address);
        client.send(format!(
            "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {offered}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        ));
        let answer = client.answer();
        assert_eq!((answer.status(), answer.field("connection")), (200, None), "{offered}");
        let told = answer.text();
        assert!(!told.contains("upgrade") && !told.contains("http2-settings"), "{told}");
        assert_eq!(client.get("/again").status(), 200, "{offered}");
    }
}

#[test]
fn an_answer_before_the_bodys_end_ends_both_connections() {
    let upstream = Server::start(|mut wire, number| {
        if number == 0 {
            wire.head().unwrap();
            wire.send("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
            // The gate closes; what it sent of the body is not read as a request.
            while wire.line().is_some() {}
        } else {
            wire.message().unwrap();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status(), 413);
    assert!(client.is_closed());
    assert_eq!(Wire::connect(plane.address).get("/next").status(), 200);
    assert_eq!(upstream.connections(), 2);
}

/// What the gate answers itself, without a look at the body.
fn own() -> Setup {
    let mut setup = Setup::before(&[Dead::new().address]);
    setup.rules.own = Some("own");
    setup
}

#[test]
fn a_body_that_nobody_wants_may_come_behind_its_answer_and_the_connection_goes_on() {
    let plane = own().start();
    for (head, body) in [
        ("Content-Length: 10", "0123456789"),
        ("Transfer-Encoding: chunked", "a\r\n0123456789\r\n0\r\n\r\n"),
        // Nobody asks for what nobody wants; whoever sends it all the same has said how long it is.
        ("Expect: 100-continue\r\nContent-Length: 10", "0123456789"),
    ] {
        let mut client = Wire::connect(plane.address);
        for _ in 0..2 {
            client.send(format!("POST /own HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n"));
            let answer = client.answer();
            assert_eq!((answer.status(), answer.text().as_str()), (200, "own"), "{head}");
            assert_eq!(answer.field("connection"), None, "{head}");
            for piece in body.as_bytes().chunks(4) {
                client.send(piece);
            }
        }
        assert_eq!(client.get("/own").text(), "own", "{head}");
    }
}

#[test]
fn a_connection_on_which_too_much_is_left_of_a_body_ends_so_that_its_client_reads_the_answer() {
    const PIECE: usize = 64 * 1024;
    let plane = own().start();
    let length = LINGER_BYTES + 1;
    let mut client = Wire::connect(plane.address);
    client.send(format!("POST /own HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection").as_deref()), ("own", Some("close")));
    assert_eq!(client.line(), None, "the gate writes no more");
    // And reads on.
    for _ in 0..LINGER_BYTES / PIECE {
        client.send(vec![b'x'; PIECE]);
    }
    client.send("x");
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0, "no reset");
}

#[test]
fn a_connection_whose_body_was_left_idles_as_any_other() {
    let mut setup = own();
    setup.gate.limits.head = std::time::Duration::from_secs(1);
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send("POST /own HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.answer().text(), "own");
    client.send("xx");
    // Its end begins no head that has to end in time.
    std::thread::park_timeout(std::time::Duration::from_secs(3));
    assert_eq!(client.get("/own").text(), "own");
}

#[test]
fn what_the_gate_reads_whole_has_limits() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.rules.buffered = true;
    setup.gate.limits.own_body = std::time::Duration::from_secs(3);
    let plane = setup.start();
    let ask = |request: String| {
        let mut client = Wire::connect(plane.address);
        client.send(request);
        let status = client.answer().status();
        (status, status != 200 && client.is_closed())
    };
    let head = "POST /x HTTP/1.1\r\nHost: a\r\n";
    let said = BUFFER_MAX + 1;
    assert_eq!(ask(format!("{head}Content-Length: {said}\r\n\r\n")), (413, true));
    assert_eq!(ask(format!("{head}Content-Length: 4\r\n\r\nabc")), (400, true), "too late");
    assert_eq!(ask(format!("{head}Content-Length: 3\r\n\r\nabc")).0, 200);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    assert_eq!(ask(format!("{chunked}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).0, 200);
}

#[test]
fn a_chunked_body_is_not_read_beyond_its_limit() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.rules.buffered = true;
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    // One piece more than allowed; the gate may have closed before it takes all of the last one.
    for _ in 0..=BUFFER_MAX / 0x10000 {
        let _closed = client.stream.get_mut().write_all(piece.as_bytes());
    }
    assert_eq!(client.head().unwrap().status(), 413);
}
