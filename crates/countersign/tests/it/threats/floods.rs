//! G5: floods of HTTP/2 frames. Each ends its connection or is bounded, and nobody else notices.

mod control;
mod neighbours;
mod taken_back;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use countersign_gateway::limits::Limits;

use super::Ground;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GO_AWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, get,
};
use crate::process::Site;
use crate::raw::Client;

const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
at      = ["/"]

[[api.route]]
at    = "/**"
allow = "anonymous"
"#;

/// Error codes of RFC 9113 section 7.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The setting `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: u16 = 4;

fn ground() -> Ground {
    let limits =
        Limits { write_stall: Duration::from_secs(2), tick: Duration::from_millis(20), ..Limits::default() };
    Ground::limited("enactor", WORLD, limits)
}

/// What reached the service.
fn seen(ground: &Ground) -> usize {
    ground.world.upstream.take().len()
}

/// Another client, on a connection of its own, is served at once.
#[track_caller]
fn others_are_served(ground: &Ground) {
    let began = Instant::now();
    ground.world.upstream.take();
    let mut told = ground.send("GET /other HTTP/1.1\nHost: a.example");
    // What came in the flood may reach the service late.
    told.seen.retain(|seen| seen.head.start.starts_with("GET /other "));
    told.passed();
    let mut client = Frames::open(ground.world.address, &[]);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/other"))).unwrap();
    assert_eq!(client.ended(1), Ok(()));
    println!("others were served in {:?}", began.elapsed());
    ground.world.upstream.take();
}

/// Sends the same bytes until the gate takes no more, which it must before so many rounds.
#[track_caller]
fn until_refused(frames: &mut Frames, bytes: &[u8], rounds: usize) {
    frames.stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    for _ in 0..rounds {
        if frames.stream.write_all(bytes).is_err() {
            return;
        }
    }
    panic!("the gate took {} bytes", bytes.len() * rounds);
}

#[test]
fn g5_rapid_resets_end_the_connection() {
    let ground = ground();
    let mut frames = Frames::open(ground.world.address, &[]);
    let mut burst = Vec::new();
    for stream in (1..4001).step_by(2) {
        burst.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/x")));
        burst.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let _closed = frames.send(&burst);
    assert_eq!(frames.end(), Some(ENHANCE_YOUR_CALM));
    let reached = seen(&ground);
    assert!(reached <= 128, "{reached} requests reached the service");
    others_are_served(&ground);
    // A client that changes its mind now and then is served on.
    let mut frames = Frames::open(ground.world.address, &[]);
    for stream in [1, 3, 5] {
        frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/x"))).unwrap();
        frames.send(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).unwrap();
    }
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 7, &get("/x"))).unwrap();
    assert_eq!(frames.ended(7), Ok(()));
}

#[test]
fn g5_more_streams_than_allowed_are_refused() {
    let ground = ground();
    ground.world.behave(crate::transcript::Manners::Silent);
    let allowed = Limits::default().streams;
    let mut frames = Frames::open(ground.world.address, &[]);
    for number in 0..=allowed {
        frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &get("/x"))).unwrap();
    }
    assert_eq!(frames.ended(2 * allowed + 1), Err(REFUSED_STREAM), "the first beyond the limit");
    let until = Instant::now() + Duration::from_secs(60);
    let mut waiting = 0;
    while waiting < usize::try_from(allowed).unwrap() {
        waiting += ground.world.upstream.waiting();
        assert!(Instant::now() < until, "{waiting} of {allowed} reached the service");
        std::thread::yield_now();
    }
    ground.world.behave(crate::transcript::Manners::Up);
    others_are_served(&ground);
}

#[test]
fn g5_endless_continuations_end_the_connection() {
    let ground = ground();
    for piece in [&b""[..], b"x", &[b'x'; 1000]] {
        let mut frames = Frames::open(ground.world.address, &[]);
        frames.send(&frame(HEADERS, END_STREAM, 1, &get("/x"))).unwrap();
        let mut continuation = frame(CONTINUATION, 0, 1, piece).repeat(100);
        continuation.truncate(64 * 1024);
        until_refused(&mut frames, &continuation, 10_000);
    }
    assert_eq!(seen(&ground), 0);
    others_are_served(&ground);
}

#[test]
fn g5_heads_beyond_the_limit_reach_nobody() {
    let ground = ground();
    let limit = Limits::default().header_bytes;
    for (length, passes) in [(limit - 2000, true), (limit + 1, false)] {
        let mut frames = Frames::open(ground.world.address, &[]);
        let mut block = get("/x");
        // In fields of 8,000 bytes, as common senders limit them.
        for number in 0..length / 8000 {
            let name = format!("x-{number}");
            block.extend(crate::frames::fields(&[(name.as_bytes(), &[b'v'; 7950])]));
        }
        block.extend(crate::frames::fields(&[(b"x-rest", &vec![b'v'; length % 8000])]));
        let mut pieces = block.chunks(16 * 1024).peekable();
        frames.send(&frame(HEADERS, END_STREAM, 1, pieces.next().unwrap())).unwrap();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let _closed = frames.send(&frame(CONTINUATION, flags, 1, piece));
        }
        let _ended = frames.ended(1);
        assert_eq!(seen(&ground) == 1, passes, "{length} bytes");
    }
    others_are_served(&ground);
}

#[test]
fn g5_settings_and_pings_that_nobody_reads_the_answers_of() {
    let ground = ground();
    for flood in [
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(PING, 0, 0, b"12345678"),
    ] {
        let mut frames = Frames::open(ground.world.address, &[]);
        let burst = flood.repeat(64 * 1024 / flood.len());
        // The answers fill what the systems between keep; then the gate waits, and then no longer.
        until_refused(&mut frames, &burst, 3000);
        others_are_served(&ground);
    }
}

#[test]
fn g5_windows_are_not_played_with() {
    let ground = ground();
    let huge = 0x7fff_ffff_u32.to_be_bytes();
    // Beyond 2^31-1 on the connection, then nothing at all.
    for (increment, code) in [(huge, FLOW_CONTROL_ERROR), ([0; 4], PROTOCOL_ERROR)] {
        let mut frames = Frames::open(ground.world.address, &[]);
        let _closed = frames.send(&frame(WINDOW_UPDATE, 0, 0, &increment).repeat(2));
        assert_eq!(frames.end(), Some(code));
    }
    // An initial window that makes a stream's overflow.
    let mut frames = Frames::open(ground.world.address, &[(INITIAL_WINDOW, u32::MAX)]);
    assert!(matches!(frames.end(), Some(FLOW_CONTROL_ERROR | PROTOCOL_ERROR)));
    others_are_served(&ground);
}

/// A service that takes connections and reads nothing.
fn deaf() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

/// Frames that a client would send; the gate ends its connection long before.
const GRAINS: usize = 1_000_000;
/// What they may cost the gate while they come.
const GROWN_KIB_MAX: u64 = 16 * 1024;

#[test]
fn g5_data_in_grains_or_of_nothing_is_bounded() {
    let deaf = deaf();
    let silent = deaf.local_addr().unwrap();
    let api = |name: &str, upstream: SocketAddr| {
        format!(
            "[[api]]\nname = \"{name}\"\ndialect = \"enactor\"\nat = [\"{name}.example/\"]\n\
             upstream = \"http://{upstream}\"\n[[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n"
        )
    };
    let site = Site::with(|upstream| api("a", silent) + &api("b", upstream), Vec::new());
    let gate = site.start();
    let others_are_served = || {
        let answer = Client::new(gate.address).exchange(0, b"GET /other HTTP/1.1\r\nHost: b.example\r\n\r\n");
        assert_eq!(answer.unwrap().head.status(), 200);
    };
    let post = |host: &[u8]| {
        let block = crate::frames::fields(&[
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", host),
            (b":path", b"/x"),
        ]);
        frame(HEADERS, END_HEADERS, 1, &block)
    };
    for (what, grain) in [("nothing", &b""[..]), ("a byte", b"x")] {
        others_are_served();
        let before = gate.peak_kib();
        let mut frames = Frames::open(gate.address, &[]);
        frames.send(&post(b"a.example")).unwrap();
        // The service takes nothing, so that all of it would be the gate's to keep.
        let burst = frame(DATA, 0, 1, grain).repeat(1000);
        let sent = (0..GRAINS / 1000).take_while(|_| frames.send(&burst).is_ok()).count() * 1000;
        let ended = frames.end();
        let after = gate.peak_kib();
        println!(
            "frames of {what}: ended with {ended:?} after {sent}; at most {before:?} KiB before, {after:?} after"
        );
        assert!(sent < GRAINS, "the gate took {sent} frames of {what}");
        // What it says last may be lost where it closes with bytes unread.
        assert!(ended.is_none_or(|ended| ended == ENHANCE_YOUR_CALM), "{what}: {ended:?}");
        if let (Some(before), Some(after)) = (before, after) {
            assert!(after.saturating_sub(before) < GROWN_KIB_MAX, "{what}: from {before} KiB to {after} KiB");
        }
        // A few such frames are no flood.
        let mut frames = Frames::open(gate.address, &[]);
        frames.send(&post(b"b.example")).unwrap();
        frames.send(&frame(DATA, 0, 1, grain).repeat(50)).unwrap();
        frames.send(&frame(DATA, END_STREAM, 1, b"")).unwrap();
        assert_eq!(frames.ended(1), Ok(()), "{what}");
        assert_eq!(site.upstream.take().last().unwrap().body, grain.repeat(50));
        others_are_served();
    }
}

/// An answer of the service, with so many bytes.
fn large(ground: &Ground, bytes: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    answer.extend(vec![b'x'; bytes]);
    ground.world.upstream.reply(answer.clone());
    answer
}

/// Asks until something ends, and says now and then that all is alive: the code of the stream's reset, or nothing where the
/// connection ends.
fn ends(frames: &mut Frames, stream: u32, alive: impl Fn(&mut Frames)) -> Option<u32> {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(20));
        alive(frames);
        // The answer to the ping comes in any case.
        let _closed = frames.send(&frame(PING, 0, 0, b"12345678"));
        let came = frames.next()?;
        if came.kind == RST_STREAM && came.stream == stream {
            return Some(u32::from_be_bytes(came.payload[..4].try_into().unwrap()));
        }
    }
    panic!("nothing ends");
}

/// The connection goes on: another request on it is answered.
fn goes_on(ground: &Ground, frames: &mut Frames, stream: u32) {
    ground.world.upstream.take();
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/other"))).unwrap();
    frames.send(&frame(WINDOW_UPDATE, 0, stream, &100_000_u32.to_be_bytes())).unwrap();
    assert_eq!(frames.ended(stream), Ok(()));
    ground.world.upstream.take();
}

#[test]
fn g5_whoever_takes_nothing_of_an_answer_is_cut_off() {
    let ground = ground();
    let answer = large(&ground, 100_000);
    let mut frames = Frames::open(ground.world.address, &[(INITIAL_WINDOW, 0)]);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/big"))).unwrap();
    let first = frames.next().unwrap();
    assert_eq!((first.kind, first.stream), (HEADERS, 1));
    let began = Instant::now();
    assert_eq!(frames.ended(1), Err(CANCEL));
    println!("cut off after {:?}", began.elapsed());
    goes_on(&ground, &mut frames, 3);
    assert!(ground.world.metrics().contains("connections_cut_total{limit=\"write_timeout\"} 1"));
    // A client that takes a little now and then is no such client.
    ground.world.upstream.reply(answer);
    let mut frames = Frames::open(ground.world.address, &[(INITIAL_WINDOW, 0)]);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/big"))).unwrap();
    assert_eq!(frames.next().unwrap().kind, HEADERS);
    for _ in 0..12 {
        std::thread::park_timeout(Duration::from_millis(250));
        frames.send(&frame(WINDOW_UPDATE, 0, 1, &1000_u32.to_be_bytes())).unwrap();
        assert_eq!(frames.next().unwrap().kind, DATA, "still served after {:?}", began.elapsed());
    }
    others_are_served(&ground);
}

#[test]
fn g5_nothing_else_on_a_connection_speaks_for_an_answer_that_nobody_takes() {
    let ground = ground();
    // Of the first answer nothing is taken; of the second a byte, so that all the rest of it is the gate's to keep.
    for window in [0, 1] {
        large(&ground, 100_000);
        let mut frames = Frames::open(ground.world.address, &[(INITIAL_WINDOW, window)]);
        frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/big"))).unwrap();
        assert_eq!(
            ends(&mut frames, 1, |_| {}),
            Some(CANCEL),
            "pings keep an answer with a window of {window}"
        );
        goes_on(&ground, &mut frames, 3);
    }
    // Another answer of the connection is taken all the time.
    for window in [0, 1] {
        large(&ground, 100_000);
        large(&ground, 100_000);
        let mut frames = Frames::open(ground.world.address, &[(INITIAL_WINDOW, window)]);
        for stream in [1, 3] {
            frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/big"))).unwrap();
        }
        let take = |frames: &mut Frames| {
            let _closed = frames.send(&frame(WINDOW_UPDATE, 0, 3, &10_u32.to_be_bytes()));
        };
        let ended = ends(&mut frames, 1, take);
        assert_eq!(ended, Some(CANCEL), "another answer keeps one with a window of {window}");
        goes_on(&ground, &mut frames, 5);
    }
    // Of an answer that the engine has all of, the stream cannot be ended: whoever opens so little loses the connection.
    large(&ground, 1000);
    let mut frames = Frames::open(ground.world.address, &[(INITIAL_WINDOW, 1)]);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/small"))).unwrap();
    assert_eq!(ends(&mut frames, 1, |_| {}), None, "pings keep a small answer");
    ground.world.upstream.take();
    others_are_served(&ground);
}

#[test]
fn g5_what_cannot_be_ended_by_itself_waits_for_others() {
    let ground = ground();
    large(&ground, 1000);
    large(&ground, 100_000);
    let mut frames = Frames::open(ground.world.address, &[(INITIAL_WINDOW, 1)]);
    for stream in [1, 3] {
        frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/x"))).unwrap();
        assert_eq!((frames.next().unwrap().kind, frames.next().unwrap().kind), (HEADERS, DATA));
    }
    let take = |frames: &mut Frames, bytes: u32| {
        frames.send(&frame(WINDOW_UPDATE, 0, 0, &bytes.to_be_bytes())).unwrap();
        frames.send(&frame(WINDOW_UPDATE, 0, 3, &bytes.to_be_bytes())).unwrap();
    };
    // The second user takes a little now and then, and all a while after the connection was asked to finish.
    let (mut taken, mut since_asked) = (1, None);
    for round in 0..2000 {
        std::thread::park_timeout(Duration::from_millis(20));
        take(&mut frames, 10);
        let came = frames.next().expect("the second user's answer goes on");
        taken += came.payload.len() * usize::from(came.kind == DATA);
        if came.kind == GO_AWAY {
            since_asked.get_or_insert(round);
        }
        if since_asked.is_some_and(|asked| round > asked + 250) {
            break;
        }
    }
    assert!(since_asked.is_some(), "the connection is asked to finish");
    take(&mut frames, 100_000);
    while taken < 100_000 {
        let came = frames.next().expect("the second user's answer goes on");
        taken += came.payload.len() * usize::from(came.kind == DATA);
    }
    assert_eq!(frames.ended(3), Ok(()), "what follows is its end");
    frames.end();
    others_are_served(&ground);
}

#[test]
fn g5_an_answer_that_waits_for_its_service_is_no_fault_of_the_client() {
    // A service that says a little and then nothing.
    let service = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = service.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = service.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
        // Far longer than the gate waits for a client.
        std::thread::park_timeout(Duration::from_secs(8));
        stream.write_all(b"5\r\nworld\r\n0\r\n\r\n").unwrap();
    });
    let site = Site::with(
        |_| {
            format!(
                "[[api]]\nname = \"a\"\ndialect = \"enactor\"\nat = [\"/\"]\nupstream = \"http://{address}\"\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n[limits]\nwrite_timeout = \"2s\"\n"
            )
        },
        Vec::new(),
    );
    let gate = site.start();
    let mut frames = Frames::open(gate.address, &[]);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/events"))).unwrap();
    let mut body = Vec::<u8>::new();
    while let Some(frame) = frames.next() {
        assert!(frame.kind == HEADERS || frame.kind == DATA, "{frame:?}");
        if frame.kind == DATA {
            body.extend(&frame.payload);
        }
        if frame.flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(body, b"helloworld");
    drop(frames);
    serving.join().unwrap();
}
