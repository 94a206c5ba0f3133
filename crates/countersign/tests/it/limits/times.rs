//! What is slow but in time is served, and what is a little slower for ever is not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use countersign_gateway::limits::Limits;

use super::http2::Stuck;
use super::{PATIENCE, WORLD, login_with};
use crate::frames::{CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, fields, frame, get};
use crate::process::{CONFIG, Site};
use crate::threats::heard::Hearing;
use crate::threats::{Ground, basic};
use crate::transcript::Manners;

/// Each limit of time. Whoever is in time rests for a quarter of it at most.
const LIMIT: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(2);
/// Longer than anything takes that ends by a limit.
const DEADLINE: Duration = Duration::from_secs(120);

fn ground() -> Ground {
    let limits = Limits {
        head: LIMIT,
        keep_alive: LIMIT,
        body_idle: LIMIT,
        own_body: LIMIT,
        write_stall: LIMIT,
        ..Limits::default()
    };
    Ground::limited_in("enactor", WORLD, limits, PATIENCE)
}

fn connect(ground: &Ground) -> TcpStream {
    let stream = TcpStream::connect(ground.world.address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn head(first: &str, more: &str) -> String {
    let ann = basic("ann", "administers-it-1");
    format!("{first} HTTP/1.1\r\nHost: a.example\r\nAuthorization: {ann}\r\n{more}\r\n")
}

/// Sends the pieces with a rest between each two.
fn slowly(stream: &mut TcpStream, rest: Duration, pieces: &[&str]) {
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            std::thread::park_timeout(rest);
        }
        stream.write_all(piece.as_bytes()).unwrap();
    }
}

/// The status of the next answer, which has no body, or one that is left where it is.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

/// Sends one more byte now and then until the gate has enough; whether it had within the deadline.
fn is_cut_off(stream: &mut TcpStream, byte: &[u8]) -> bool {
    let until = Instant::now() + DEADLINE;
    stream.set_read_timeout(Some(REST / 4)).unwrap();
    while Instant::now() < until {
        if !byte.is_empty() && stream.write_all(byte).is_err() {
            return true;
        }
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::ConnectionReset) => return true,
            Err(_) => {}
        }
    }
    false
}

#[test]
fn a_slow_head_is_served_in_time_and_no_byte_now_and_then_prolongs_it() {
    let ground = ground();
    let (first, rest) = (head("GET /x", ""), "X: 1\r\n");
    let begun = first.trim_end_matches("\r\n");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut slow = connect(&ground);
            slowly(&mut slow, REST / 2, &[begun, "\r\n", rest, "\r\n"]);
            assert_eq!(status(&mut slow), Some(200));
        });
        scope.spawn(|| {
            let mut endless = connect(&ground);
            endless.write_all(format!("{begun}\r\nX: ").as_bytes()).unwrap();
            assert!(is_cut_off(&mut endless, b"x"), "a head without an end");
        });
    });
}

/// The first frame of a head that goes on, and its end.
fn halves(stream: u32) -> [Vec<u8>; 2] {
    let block =
        [get("/x"), fields(&[(b"authorization", basic("ann", "administers-it-1").as_bytes())])].concat();
    let (first, rest) = block.split_at(20);
    [frame(HEADERS, END_STREAM, stream, first), frame(CONTINUATION, END_HEADERS, stream, rest)]
}

#[test]
fn a_head_of_http2_has_its_time_whatever_else_is_under_way() {
    let limits = Limits { head: LIMIT, keep_alive: 20 * LIMIT, ..Limits::default() };
    let ground = Ground::limited_in("enactor", WORLD, limits, 10 * PATIENCE);
    let open = || Frames::open(ground.world.address, &[]);
    let asked = |frames: &mut Frames, stream: u32| {
        frames.send(&halves(stream).concat()).unwrap();
    };
    let held = || {
        let mut frames = open();
        ground.world.behave(Manners::Silent);
        asked(&mut frames, 1);
        let until = Instant::now() + DEADLINE;
        while ground.world.upstream.waiting() == 0 {
            assert!(Instant::now() < until, "nothing reached the service");
            std::thread::yield_now();
        }
        ground.world.behave(Manners::Up);
        frames
    };
    let used = || {
        let mut frames = open();
        asked(&mut frames, 1);
        assert_eq!(frames.ended(1), Ok(()));
        frames
    };
    let (mut slow, mut beside) = (held(), held());
    let (mut first, mut later, mut endless) = (open(), used(), used());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let [begun, rest] = halves(3);
            slow.send(&begun).unwrap();
            std::thread::park_timeout(REST);
            slow.send(&rest).unwrap();
            assert_eq!(slow.ended(3), Ok(()), "in time beside a request that is held");
        });
        scope.spawn(|| {
            beside.send(&halves(3)[0]).unwrap();
            assert!(is_cut_off(&mut beside.stream, b""), "beside a request that is held");
        });
        scope.spawn(|| {
            first.send(&halves(1)[0]).unwrap();
            assert!(is_cut_off(&mut first.stream, b""), "the first of a connection");
        });
        scope.spawn(|| {
            later.send(&halves(3)[0]).unwrap();
            assert!(is_cut_off(&mut later.stream, b""), "behind a request that was answered");
        });
        scope.spawn(|| {
            endless.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &[0; 1000])[..100]).unwrap();
            assert!(is_cut_off(&mut endless.stream, b"x"), "a frame without an end");
        });
    });
    let wanted = "connections_cut_total{limit=\"header_timeout\"} 4\n";
    assert!(ground.world.metrics().contains(wanted), "{}", ground.world.metrics());
}

#[test]
fn an_idle_connection_is_kept_for_its_time() {
    let ground = ground();
    let request = head("GET /x", "");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut resting = connect(&ground);
            for _ in 0..6 {
                resting.write_all(request.as_bytes()).unwrap();
                assert_eq!(status(&mut resting), Some(200));
                std::thread::park_timeout(REST);
            }
        });
        scope.spawn(|| {
            let mut idle = connect(&ground);
            idle.write_all(request.as_bytes()).unwrap();
            assert_eq!(status(&mut idle), Some(200));
            assert!(is_cut_off(&mut idle, b""), "a connection without a request");
        });
    });
}

#[test]
fn a_body_may_rest_between_its_pieces_and_one_that_the_gate_reads_has_a_time_for_all() {
    let ground = ground();
    let upload = head("POST /x", "Content-Length: 6\r\n");
    let call = |body: &str| {
        format!(
            "POST /identity/token HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
    };
    let login = login_with("\"\"");
    let body = login.split_once("\n\n").unwrap().1;
    let hearing = Hearing::begin();
    std::thread::scope(|scope| {
        // Together the rests are longer than the limit.
        scope.spawn(|| {
            let mut slow = connect(&ground);
            slowly(&mut slow, REST, &[&upload, "1", "2", "3", "4", "5", "6"]);
            assert_eq!(status(&mut slow), Some(200), "a body for the service");
        });
        scope.spawn(|| {
            let mut still = connect(&ground);
            still.write_all(format!("{upload}1").as_bytes()).unwrap();
            assert_eq!(status(&mut still), Some(400), "a body that stands still");
        });
        scope.spawn(|| {
            let mut slow = connect(&ground);
            slowly(&mut slow, REST / 2, &[&call(body), &body[..10], &body[10..20], &body[20..]]);
            assert_eq!(status(&mut slow), Some(200), "a call");
        });
        scope.spawn(|| {
            let mut endless = connect(&ground);
            let long = format!("{body}{}", " ".repeat(1000));
            endless.write_all(format!("{}{body}", call(&long)).as_bytes()).unwrap();
            assert!(is_cut_off(&mut endless, b" "), "a call without an end");
        });
    });
    hearing.wait_for("it stood still for longer than limits.body_timeout");
    hearing.wait_for("could not read the body within limits.body_timeout");
}

#[test]
fn a_service_that_is_silent_is_waited_for_so_long_and_the_line_says_so() {
    let ground = Ground::limited_in("enactor", WORLD, Limits::default(), REST);
    ground.world.behave(Manners::Silent);
    let hearing = Hearing::begin();
    let mut client = connect(&ground);
    client.write_all(head("GET /x", "").as_bytes()).unwrap();
    assert_eq!(status(&mut client), Some(504));
    hearing.wait_for("than upstream.response_timeout");
}

#[test]
fn whoever_takes_a_little_of_an_answer_gets_all_of_it() {
    const ANSWER: usize = 48 * 1024 * 1024;
    let ground = ground();
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {ANSWER}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + ANSWER, b'x');
    let request = head("GET /x", "Connection: close\r\n");
    let ask = || {
        ground.world.upstream.reply(answer.clone());
        let mut stream = connect(&ground);
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(status(&mut stream), Some(200));
        stream
    };
    std::thread::scope(|scope| {
        // More than all that waits between it and the service, and so slowly that it takes longer than the limit.
        scope.spawn(|| {
            let mut slow = ask();
            let mut piece = vec![0; 4 * 1024 * 1024];
            for _ in 0..6 {
                std::thread::park_timeout(REST);
                slow.read_exact(&mut piece).unwrap();
            }
            let rest = std::io::copy(&mut slow, &mut std::io::sink()).unwrap();
            assert_eq!(rest, u64::try_from(ANSWER - 6 * piece.len()).unwrap());
        });
        scope.spawn(|| {
            let mut sleeping = ask();
            let until = Instant::now() + DEADLINE;
            let cut = "connections_cut_total{limit=\"write_timeout\"} 1\n";
            while !ground.world.metrics().contains(cut) {
                assert!(Instant::now() < until, "whoever takes nothing is not cut off");
                std::thread::sleep(Duration::from_millis(50));
            }
            // What the systems between keep still comes, and then the end.
            let mut rest = Vec::new();
            if let Err(error) = sleeping.read_to_end(&mut rest) {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            }
            assert!(rest.len() < ANSWER, "whoever takes nothing is cut off");
        });
    });
}

/// An API in front of this service, with these words about it.
fn behind(service: SocketAddr, words: &str) -> Site {
    let api = format!(
        "[[api]]\nname = \"shop\"\ndialect = \"enactor\"\nat = [\"/\"]\n\
         upstream = {{ backends = [\"http://{service}\"], {words} }}\n\
         [[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n"
    );
    let site = Site::with(move |_| api, Vec::new());
    site.write(CONFIG, &site.configuration().replace("access = false", "access = true"));
    site
}

/// All that comes of an answer.
fn answer(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn an_answer_may_rest_between_its_pieces_and_one_that_stands_still_breaks_off() {
    let service = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = service.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in service.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
                if request[..length].starts_with(b"GET /rests ") {
                    for _ in 0..6 {
                        stream.write_all(b"1\r\nx\r\n").unwrap();
                        std::thread::park_timeout(REST);
                    }
                    stream.write_all(b"0\r\n\r\n").unwrap();
                } else {
                    stream.write_all(b"1\r\nx\r\n").unwrap();
                }
                // Until the gate closes.
                let _closed = stream.read(&mut request);
            });
        }
    });
    // Together the rests are longer than the limit.
    let site = behind(address, "body_timeout = \"10s\"");
    let mut gate = site.start();
    let address = gate.address;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let whole = answer(address, "/rests");
            assert!(whole.ends_with("0\r\n\r\n") && whole.matches('x').count() == 6, "{whole}");
        });
        scope.spawn(move || {
            let broken = answer(address, "/stands-still");
            assert!(broken.starts_with("HTTP/1.1 200 ") && !broken.ends_with("0\r\n\r\n"), "{broken}");
        });
    });
    let why = "the upstream stood still in its answer for longer than upstream.body_timeout";
    while gate.says_next(&["request answered"])["broke_off"] != why {}
}

#[test]
fn a_service_that_takes_no_connection_is_waited_for_so_long() {
    let stuck = Stuck::new();
    let site = behind(stuck.address, "connect_timeout = \"3s\"");
    let mut gate = site.start();
    let told = answer(gate.address, "/x");
    assert!(told.starts_with("HTTP/1.1 504 "), "{told}");
    let line = gate.says_next(&["request answered"]);
    let cause = line["auth.cause"].as_str().unwrap();
    assert!(cause.contains("within upstream.connect_timeout"), "{line}");
    let open = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = open.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = open.accept().unwrap();
        let _request = stream.read(&mut [0; 4096]).unwrap();
        // Longer than a connection may take to be there.
        std::thread::park_timeout(Duration::from_millis(4500));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let site = behind(address, "connect_timeout = \"3s\"");
    let gate = site.start();
    let told = answer(gate.address, "/x");
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
}

#[test]
fn what_is_too_long_is_read_on_for_a_while_so_that_its_client_reads_why() {
    let ground = ground();
    // The status, if all that was to be sent was taken.
    let told = |head: &str, more: usize, end: &str| {
        let mut stream = connect(&ground);
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..more / piece.len() {
            stream.write_all(&piece).ok()?;
        }
        stream.write_all(end.as_bytes()).ok()?;
        status(&mut stream)
    };
    let call = |length: usize| {
        format!(
            "POST /identity/token HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    };
    let (little, much) = (1024 * 1024, 64 * 1024 * 1024);
    assert_eq!(told(&call(little), little, ""), Some(413));
    assert_eq!(told(&call(much), much, ""), None, "a body");
    let long = head("GET /x", "X: ");
    let long = long.trim_end_matches("\r\n");
    assert_eq!(told(long, 3 * little, "\r\n\r\n"), Some(431));
    assert_eq!(told(long, much, "\r\n\r\n"), None, "a head");
    // A byte now and then.
    let mut slow = connect(&ground);
    slow.write_all(call(little).as_bytes()).unwrap();
    assert_eq!(status(&mut slow), Some(413));
    assert!(is_cut_off(&mut slow, b"x"), "a body that is too long and slow");
}
