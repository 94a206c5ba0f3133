//! Pools, retries, health, and what happens when an upstream fails.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::testing::client::Wire;
use crate::testing::upstream::{Dead, Server, told};
use crate::testing::{Setup, until};
use crate::upstream::Check;

#[test]
fn one_connection_serves_many_requests() {
    let upstream = Server::echo();
    let plane = Setup::before(&[upstream.address]).start();
    for _ in 0..3 {
        let mut client = Wire::connect(plane.address);
        for _ in 0..5 {
            client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
            assert_eq!(client.answer().status(), 200);
        }
    }
    assert_eq!(upstream.connections(), 1);
}

/// An upstream that answers once on its first connection, takes the second request there, and then closes it
/// without an answer; all later connections answer.
fn forgetful() -> Server {
    Server::start(|mut wire, number| {
        while let Some(request) = wire.message() {
            if number == 0 && request.start.contains("/second") {
                return;
            }
            wire.send(told(&request));
        }
    })
}

#[test]
fn an_idempotent_request_is_sent_again_where_a_pooled_connection_closed() {
    let upstream = forgetful();
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    assert_eq!(client.get("/first").status(), 200);
    let answer = client.get("/second");
    assert_eq!(answer.status(), 200);
    assert!(answer.text().starts_with("GET /second HTTP/1.1\nhost: a.example\n"), "{}", answer.text());
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn what_may_have_happened_is_not_done_twice() {
    for request in [
        "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "PATCH /second HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT /second HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let upstream = forgetful();
        let plane = Setup::before(&[upstream.address]).start();
        let mut client = Wire::connect(plane.address);
        assert_eq!(client.get("/first").status(), 200);
        client.send(request);
        assert_eq!(client.answer().status(), 502, "{request}");
        assert_eq!(upstream.connections(), 1, "{request}");
    }
}

#[test]
fn an_idempotent_request_is_sent_again_once_and_not_after_a_byte_of_an_answer() {
    const IDLE: usize = 4;
    for (method, answer, times) in
        [("DELETE", "", 2), ("PUT", "", 2), ("PUT", "HTTP/1.1 200 OK\r\nContent-Le", 1)]
    {
        let seen = Arc::new(AtomicUsize::new(0));
        let (count, barrier) = (Arc::clone(&seen), std::sync::Barrier::new(IDLE));
        let upstream = Server::start(move |mut wire, _| {
            while let Some(request) = wire.message() {
                if request.start.starts_with("GET ") {
                    barrier.wait();
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                } else {
                    count.fetch_add(1, Ordering::AcqRel);
                    wire.send(answer);
                    return;
                }
            }
        });
        let plane = Setup::before(&[upstream.address]).start();
        let mut clients: Vec<Wire> = (0..IDLE).map(|_| Wire::connect(plane.address)).collect();
        clients.iter_mut().for_each(|client| client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"));
        clients.iter_mut().for_each(|client| assert_eq!(client.answer().status(), 200));
        clients[0].send(format!("{method} /x HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(clients[0].answer().status(), 502);
        assert_eq!(seen.load(Ordering::Acquire), times, "{method} {answer}");
        assert_eq!(upstream.connections(), IDLE + times - 1, "once more is on a new connection");
    }
}

#[test]
fn an_early_answer_is_passed_on_though_its_service_closes_and_takes_no_more_of_the_body() {
    const BODY: usize = 2_000_000;
    let strict = Server::start(|mut wire, _| {
        wire.head();
        wire.send("HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    });
    let plane = Setup::before(&[strict.address]).start();
    for round in 0..20 {
        let mut client = Wire::connect(plane.address);
        client.send(format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n"));
        client.send(vec![b'x'; BODY]);
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (413, "no"), "{round}");
    }
}

#[test]
fn a_service_that_takes_no_more_of_a_body_is_not_taken_for_ill() {
    const BODY: usize = 16 * 1024 * 1024;
    let strict = Server::start(|mut wire, _| {
        while wire.head().is_some_and(|request| request.start.starts_with("GET ")) {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
        }
    });
    let other = Server::start(|mut wire, _| {
        while wire.message().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
        }
    });
    let plane = Setup::before(&[strict.address, other.address]).start();
    for _ in 0..8 {
        let mut client = Wire::connect(plane.address);
        client.send(format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n"));
        let piece = [b'x'; 64 * 1024];
        for _ in 0..BODY / piece.len() {
            let _refused = client.stream.get_mut().write_all(&piece);
        }
        let _answered = client.head();
    }
    let names: String = (0..4).map(|_| Wire::connect(plane.address).get("/x").text()).collect();
    assert!(names == "1212" || names == "2121", "{names}");
}

#[test]
fn a_connection_that_closed_while_idle_is_not_used() {
    let (closed, wait) = mpsc::channel();
    let upstream = Server::start(move |mut wire, number| {
        while let Some(request) = wire.message() {
            wire.send(told(&request));
            if number == 0 {
                drop(wire);
                closed.send(()).unwrap();
                return;
            }
        }
    });
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    assert_eq!(client.get("/first").status(), 200);
    wait.recv().unwrap();
    client.send("POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.answer().status(), 200);
    assert_eq!(upstream.connections(), 2);
}

/// To a service that spoke HTTP/1.0 the engine would speak so as well, and HTTP/1.0 has no chunks.
#[test]
fn a_body_reaches_a_service_that_answered_in_http_1_0() {
    let (said, heard) = mpsc::channel();
    let upstream = Server::start(move |mut wire, _| {
        while let Some(message) = wire.message() {
            said.send(message.body).unwrap();
            wire.send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx");
        }
    });
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    for _ in 0..2 {
        client
            .send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
        assert_eq!(heard.recv_timeout(Duration::from_secs(60)).unwrap(), b"body");
    }
}

#[test]
fn a_dead_backend_is_passed_over() {
    let dead = Dead::new();
    let upstream = Server::echo();
    let plane = Setup::before(&[dead.address, upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    for _ in 0..10 {
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.answer().status(), 200);
    }
}

#[test]
fn a_backend_that_answers_nothing_is_left_alone() {
    let silent = Server::start(|mut wire, _| while wire.line().is_some() {});
    let well = Server::echo();
    let mut setup = Setup::before(&[silent.address, well.address]);
    setup.upstream.times.head = Duration::from_secs(2);
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    let statuses: Vec<u16> = (0..8).map(|_| client.get("/x").status()).collect();
    assert_eq!(statuses, [504, 200, 504, 200, 504, 200, 200, 200]);
}

#[test]
fn turns_go_on_where_connections_do_not_last() {
    let serve = |name: &'static str| {
        Server::start(move |mut wire, _| {
            wire.message().unwrap();
            wire.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{name}"));
        })
    };
    let (first, second) = (serve("1"), serve("2"));
    let mut setup = Setup::before(&[first.address, second.address]);
    setup.gate.limits.keep_alive = Duration::from_millis(1);
    let plane = setup.start();
    let turn = |_| {
        let mut client = Wire::connect(plane.address);
        let name = client.get("/x").text();
        // The sweep that closes the client's connection looks at the pools as well.
        assert!(client.is_closed());
        name
    };
    assert_eq!((0..8).map(turn).collect::<String>(), "12121212");
}

#[test]
fn checks_take_a_backend_out_and_bring_it_back() {
    let sick = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&sick);
    let first = Server::start(move |mut wire, _| {
        while let Some(request) = wire.message() {
            if request.start.starts_with("GET /health ") && asked.load(Ordering::Acquire) {
                wire.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
            } else {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
            }
        }
    });
    let second = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
    let mut setup = Setup::before(&[first.address, second.address]);
    setup.upstream.check = Some(Check {
        path: "/health".into(),
        every: Duration::from_millis(10),
        timeout: Duration::from_secs(10),
    });
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    let mut round = || [client.get("/a").text(), client.get("/b").text()];
    let both = |round: &[String; 2]| round.contains(&"first".into()) && round.contains(&"second".into());
    assert!(both(&round()));
    sick.store(true, Ordering::Release);
    until("the sick backend is left alone", || round() == ["second", "second"]);
    sick.store(false, Ordering::Release);
    until("the backend is back", || both(&round()));
}

#[test]
fn failures_are_told_apart() {
    let dead = Dead::new();
    let plane = Setup::before(&[dead.address]).start();
    let mut client = Wire::connect(plane.address);
    let unreachable = client.get("/x");
    assert_eq!((unreachable.status(), unreachable.text().as_str()), (502, "upstream"));
    assert_eq!(client.get("/x").status(), 502, "the client's connection goes on");
    assert!(plane.metrics.render().unwrap().contains("faults_total{api=\"test\",fault=\"unreachable\"} 2"));

    let silent = Server::start(|mut wire, _| while wire.line().is_some() {});
    let mut setup = Setup::before(&[silent.address]);
    setup.upstream.times.head = Duration::from_millis(20);
    let plane = setup.start();
    let late = Wire::connect(plane.address).get("/x");
    assert_eq!((late.status(), late.text().as_str()), (504, "upstream-timeout"));

    for garbage in [
        "HTTP/9 what\r\n\r\n",
        "220 smtp.example ESMTP\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n",
        "",
    ] {
        let broken = Server::start(move |mut wire, _| {
            wire.head();
            wire.send(garbage);
        });
        let plane = Setup::before(&[broken.address]).start();
        assert_eq!(Wire::connect(plane.address).get("/x").status(), 502, "{garbage}");
    }

    let large = Server::start(|mut wire, _| {
        wire.head();
        wire.send(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200 * 1024)));
    });
    let plane = Setup::before(&[large.address]).start();
    assert_eq!(Wire::connect(plane.address).get("/x").status(), 502);
}

/// Which version a service speaks, and how it frames its body, is between it and the gate.
#[test]
fn g2_an_answer_has_one_reading_and_the_gates_own_version() {
    let answered = |answer: &'static str| {
        let service = Server::start(move |mut wire, _| {
            wire.head();
            wire.send(answer);
        });
        let plane = Setup::before(&[service.address]).start();
        let mut client = Wire::connect(plane.address);
        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        client.message().unwrap()
    };
    for (fields, body) in [
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: Chunked", "5\r\nhello\r\n0\r\n\r\n"),
        ("Content-Length: 5", "hello"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}").leak();
        let told = answered(answer);
        assert_eq!((told.status(), told.text().as_str()), (200, "hello"), "{fields}");
    }
    for fields in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 15",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n").leak();
        assert_eq!(answered(answer).status(), 502, "{fields}");
    }
    for answer in ["HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0 200 OK\r\n\r\nhello"] {
        let told = answered(answer);
        assert!(told.start.starts_with("HTTP/1.1 200 "), "{}", told.start);
        assert_eq!(told.text(), "hello");
    }
}

#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let upstream = Server::start(move |mut wire, _| {
            wire.head();
            wire.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n"));
        });
        let plane = Setup::before(&[upstream.address]).start();
        let mut client = Wire::connect(plane.address);
        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.message().is_none(), "{head}: the answer must not look complete");
    }
}

#[test]
fn an_answer_that_stands_still_or_is_revoked_breaks_off() {
    let upstream = Server::start(move |mut wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        while wire.line().is_some() {}
    });
    let mut setup = Setup::before(&[upstream.address]);
    setup.upstream.times.body_idle = Duration::from_millis(30);
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.message().is_none());

    let mut setup = Setup::before(&[upstream.address]);
    let live = countersign_auth::account::Live::new();
    setup.rules.live = Some(live.clone());
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 200);
    assert_eq!((client.line().as_deref(), client.line().as_deref()), (Some("5"), Some("hello")));
    live.fall();
    assert!(client.is_closed());
}

#[test]
fn a_client_that_goes_away_frees_the_upstream() {
    let (events, seen) = mpsc::channel();
    let upstream = Server::start(move |mut wire, _| {
        wire.head();
        events.send("asked").unwrap();
        while wire.line().is_some() {}
        events.send("closed").unwrap();
    });
    let plane = Setup::before(&[upstream.address]).start();
    let mut client = Wire::connect(plane.address);
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(seen.recv().unwrap(), "asked");
    drop(client);
    assert_eq!(seen.recv().unwrap(), "closed");
    until("the request is counted as abandoned", || {
        plane.metrics.render().unwrap().contains("requests_total{api=\"test\",status=\"4xx\"} 1")
    });
}

#[test]
fn a_clients_body_that_stands_still_ends_the_request() {
    let upstream = Server::start(|mut wire, _| while wire.message().is_some() {});
    let mut setup = Setup::before(&[upstream.address]);
    setup.gate.limits.body_idle = Duration::from_millis(20);
    let plane = setup.start();
    let mut client = Wire::connect(plane.address);
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.answer().status(), 400);
    assert!(client.is_closed());
}

#[test]
fn no_more_idle_connections_are_kept_than_so_many() {
    const ROUND: usize = 4;
    let barrier = Arc::new(std::sync::Barrier::new(ROUND));
    let upstream = Server::start(move |mut wire, _| {
        while wire.message().is_some() {
            // All of a round are under way at once.
            barrier.wait();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for (size, second_round) in [(ROUND, 0), (ROUND - 1, 1), (1, ROUND - 1)] {
        let before = upstream.connections();
        let mut setup = Setup::before(&[upstream.address]);
        setup.upstream.pool_size = size;
        setup.upstream.times.pool_idle = crate::testing::PATIENCE;
        let plane = setup.start();
        let round = || {
            let mut clients: Vec<Wire> = (0..ROUND).map(|_| Wire::connect(plane.address)).collect();
            clients.iter_mut().for_each(|client| client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"));
            clients.iter_mut().for_each(|client| assert_eq!(client.answer().status(), 200));
            upstream.connections() - before
        };
        assert_eq!([round(), round()], [ROUND, ROUND + second_round], "{size}");
    }
}
