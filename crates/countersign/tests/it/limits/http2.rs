//! Limits of HTTP/2 at their edge.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use countersign_auth::secret::Secret;
use countersign_gateway::limits::Limits;
use countersign_identity::accounts::AccountDraft;

use super::{PATIENCE, WORLD};
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GO_AWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, fields, frame, get as h2_get,
};
use crate::process::{Site, runtime};
use crate::threats::heard::Hearing;
use crate::threats::{Ground, basic};

/// A connection to a gate.
fn frames(ground: &Ground) -> Frames {
    Frames::open(ground.world.address, &[])
}

fn small_http2() -> Ground {
    let limits = Limits {
        pending_resets: 3,
        local_resets: 3,
        stream_window: 1000,
        connection_window: 65_535 + 134_465,
        ..Limits::default()
    };
    Ground::limited("enactor", WORLD, limits)
}

/// The error codes of RFC 9113 section 7.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const ENHANCE_YOUR_CALM: u32 = 11;

#[test]
fn resets_of_http2_clients_are_counted() {
    let ground = small_http2();
    let burst = |resets: u32| {
        let mut client = frames(&ground);
        let mut bytes = Vec::new();
        for stream in (1..=2 * resets).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &h2_get("/x")));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        let last = 2 * resets + 1;
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, last, &h2_get("/x")));
        let _closed = client.send(&bytes);
        client.ended(last)
    };
    assert_eq!(burst(3), Ok(()));
    assert_eq!(burst(4), Err(ENHANCE_YOUR_CALM));
}

/// What the gate says itself has a body, of which somebody who asks for the head alone gets the length (RFC 9110 section
/// 9.3.2): clients take frames of data there for a broken connection.
#[test]
fn who_asks_for_a_head_gets_a_head() {
    let ground = small_http2();
    let mut client = frames(&ground);
    for (stream, method) in [(1, &b"HEAD"[..]), (3, b"GET")] {
        let asked = fields(&[
            (b":method", method),
            (b":scheme", b"http"),
            (b":authority", b"a.example"),
            (b":path", b"/x"),
        ]);
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &asked)).unwrap();
        let head = client.next().unwrap();
        assert_eq!((head.kind, head.stream), (HEADERS, stream));
        // `content-length` by its number in the static table, kept in the other or not (RFC 7541 section 6.2).
        let says_length =
            head.payload.contains(&0x5c) || head.payload.windows(2).any(|two| two == [0x0f, 0x0d]);
        assert!(says_length, "{head:?}");
        let is_all = head.flags & END_STREAM != 0;
        assert_eq!(is_all, stream == 1, "{head:?}");
        if !is_all {
            assert_eq!(client.next().map(|body| (body.kind, body.payload.is_empty())), Some((DATA, false)));
        }
    }
}

#[test]
fn errors_of_http2_clients_are_counted() {
    let ground = small_http2();
    let wrong = |count: u32| {
        let mut client = frames(&ground);
        for stream in (1..=2 * count).step_by(2) {
            // No method: malformed, and an error of the stream (RFC 9113 section 8.1.1).
            let block = fields(&[(b":scheme", b"http"), (b":path", b"/x")]);
            let _closed = client.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
            match client.ended(stream) {
                Err(PROTOCOL_ERROR) => {}
                other => return other,
            }
        }
        let last = 2 * count + 1;
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, last, &h2_get("/x"))).unwrap();
        client.ended(last)
    };
    assert_eq!(wrong(3), Ok(()));
    assert_eq!(wrong(4), Err(ENHANCE_YOUR_CALM));
}

#[test]
fn control_frames_of_http2_clients_are_counted() {
    const MAX: usize = 20;
    let limits = Limits { control_frames: 20, ..Limits::default() };
    let ground = Ground::limited_in("enactor", WORLD, limits, PATIENCE);
    let ping = frame(PING, 0, 0, b"12345678");
    let after = |pings: usize| {
        // Settings, and that the gate's are known, are two.
        let mut client = frames(&ground);
        client.send(&frame(SETTINGS, ACK, 0, &[])).unwrap();
        let _closed = client.send(&ping.repeat(pings));
        let mut answered = 0;
        while answered < pings {
            match client.read().map(|frame| (frame.kind, frame.payload)) {
                Some((PING, _)) => answered += 1,
                Some((GO_AWAY, payload)) => {
                    return Err(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
                }
                Some(_) => {}
                None => return Err(0),
            }
        }
        // The connection goes on.
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2_get("/x"))).unwrap();
        loop {
            let frame = client.read().expect("the connection has ended");
            assert_ne!(frame.kind, GO_AWAY);
            if frame.stream == 1 && frame.flags & END_STREAM != 0 {
                return Ok(());
            }
        }
    };
    assert_eq!(after(MAX - 2), Ok(()));
    assert_eq!(after(MAX - 1), Err(ENHANCE_YOUR_CALM));
}

#[test]
fn windows_of_http2_clients_are_what_is_said() {
    let ground = small_http2();
    let post = fields(&[
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"a.example"),
        (b":path", b"/x"),
    ]);
    let send = |length: usize| {
        let mut client = frames(&ground);
        // By the time of an answer the client has acknowledged the settings, which bind it from then on.
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2_get("/x"))).unwrap();
        assert_eq!(client.ended(1), Ok(()));
        let mut bytes = frame(HEADERS, END_HEADERS, 3, &post);
        bytes.extend(frame(DATA, END_STREAM, 3, &vec![b'x'; length]));
        client.send(&bytes).unwrap();
        client.ended(3)
    };
    assert_eq!(send(1000), Ok(()));
    assert_eq!(send(1001), Err(FLOW_CONTROL_ERROR));
    // What a connection has beyond its first 65,535 bytes is told in a frame (RFC 9113 section 6.9.2).
    let mut client = frames(&ground);
    let told = std::iter::from_fn(|| client.read())
        .find(|frame| frame.kind == WINDOW_UPDATE && frame.stream == 0)
        .unwrap();
    assert_eq!(told.payload, 134_465_u32.to_be_bytes());
}

#[test]
fn heads_of_http2_are_bounded() {
    let limits = Limits { header_bytes: 16 * 1024, header_count: 50, ..Limits::default() };
    let ground = Ground::limited("enactor", WORLD, limits);
    let ann = basic("ann", "administers-it-1");
    let reaches = |more: &[(&[u8], &[u8])]| {
        let block = [h2_get("/x"), fields(&[(b"authorization", ann.as_bytes())]), fields(more)].concat();
        let mut client = frames(&ground);
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).unwrap();
        let _ended = client.ended(1);
        // The connection is as good as before.
        let block = [h2_get("/x"), fields(&[(b"authorization", ann.as_bytes())])].concat();
        let before = ground.world.upstream.take().len();
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &block)).unwrap();
        assert_eq!(client.ended(3), Ok(()));
        assert_eq!(ground.world.upstream.take().len(), 1);
        before
    };
    // A field counts with its name, its value and 32 bytes (RFC 9113 section 6.5.2).
    let own = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/x"),
        ("authorization", ann.as_str()),
        ("x", ""),
    ];
    let around: usize = own.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    let value = vec![b'v'; 16 * 1024 - around + 1];
    assert_eq!(reaches(&[(b"x", &value[1..])]), 1);
    assert_eq!(reaches(&[(b"x", &value)]), 0);
    // More than a quarter beyond, the engine answers by itself: it has kept nothing to show anybody.
    let block = [h2_get("/x"), fields(&[(b"x", &[b'v'; 24 * 1024])])].concat();
    let mut client = frames(&ground);
    client.send(&frame(HEADERS, END_STREAM, 1, &block[..16_000])).unwrap();
    client.send(&frame(CONTINUATION, END_HEADERS, 1, &block[16_000..])).unwrap();
    let answer = std::iter::from_fn(|| client.read()).find(|frame| frame.stream == 1).unwrap();
    assert_eq!((answer.kind, answer.flags), (HEADERS, END_HEADERS | END_STREAM));
    assert_eq!(ground.world.upstream.take().len(), 0);
    // The four that begin with a colon are no fields, `Host` is made of one of them.
    let names: Vec<String> = (0..49).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), &b"1"[..])).collect();
    assert_eq!(reaches(&many), 1);
    let more = [&many[..], &[(b"x-more", b"1")]].concat();
    assert_eq!(reaches(&more), 0);
}

#[test]
fn what_stands_behind_a_body_of_http2_is_bounded_as_a_head_is() {
    let limits = Limits { header_bytes: 16 * 1024, header_count: 50, ..Limits::default() };
    let ground = Ground::limited_in("enactor", WORLD, limits, PATIENCE);
    let ann = basic("ann", "administers-it-1");
    let told = |more: &[(&[u8], &[u8])]| {
        let block = fields(&[
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", b"a.example"),
            (b":path", b"/x"),
            (b"authorization", ann.as_bytes()),
        ]);
        let mut client = frames(&ground);
        client.send(&frame(HEADERS, END_HEADERS, 1, &block)).unwrap();
        client.send(&frame(DATA, 0, 1, b"abc")).unwrap();
        let trailers = fields(more);
        let (first, rest) = trailers.split_at(trailers.len().min(16_000));
        client.send(&frame(HEADERS, END_STREAM, 1, first)).unwrap();
        client.send(&frame(CONTINUATION, END_HEADERS, 1, rest)).unwrap();
        let mut body = Vec::new();
        while let Some(frame) = client.next() {
            if frame.kind == DATA {
                body.extend(&frame.payload);
            }
            if frame.stream == 1 && (frame.kind == RST_STREAM || frame.flags & END_STREAM != 0) {
                break;
            }
        }
        String::from_utf8(body).unwrap()
    };
    let names: Vec<String> = (0..51).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), &b"1"[..])).collect();
    let value = vec![b'v'; 16 * 1024 - 32];
    for (last, beyond, limit) in [
        (&many[..50], &many[..], "limits.header_count"),
        (&[(&b"x"[..], &value[1..])][..], &[(&b"x"[..], &value[..])][..], "limits.header_bytes"),
    ] {
        ground.world.upstream.take();
        told(last);
        assert_eq!(ground.world.upstream.take().len(), 1, "{limit}");
        let hearing = Hearing::begin();
        let told = told(beyond);
        assert!(told.contains("\"errorCode\":\"bad-request\""), "{limit}: {told}");
        hearing.wait_for("http.status=431");
        let lines = hearing.so_far();
        assert!(
            lines.iter().any(|line| line.contains("http.status=431") && line.contains(limit)),
            "{lines:?}"
        );
    }
}

#[test]
fn heads_of_http2_are_refused_in_the_dialects_words() {
    let limits = Limits { header_bytes: 16 * 1024, header_count: 50, ..Limits::default() };
    let ground = Ground::limited("enactor", WORLD, limits);
    let told = |more: &[(&[u8], &[u8])]| {
        let mut client = frames(&ground);
        let block = [h2_get("/x"), fields(more)].concat();
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).unwrap();
        let mut body = Vec::new();
        while let Some(frame) = client.next() {
            if frame.kind == DATA {
                body.extend(&frame.payload);
            }
            if frame.stream == 1 && frame.flags & END_STREAM != 0 {
                break;
            }
        }
        String::from_utf8(body).unwrap()
    };
    let names: Vec<String> = (0..60).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), &b"1"[..])).collect();
    let long: [(&[u8], &[u8]); 1] = [(b"x", &[b'v'; 16 * 1024 - 100])];
    for (fields, limit) in [(&many[..], "limits.header_count"), (&long[..], "limits.header_bytes")] {
        let hearing = Hearing::begin();
        let told = told(fields);
        assert!(told.contains("\"errorCode\":\"bad-request\""), "{limit}: {told}");
        hearing.wait_for(limit);
    }
    assert!(ground.world.upstream.take().is_empty());
}

/// A service that takes no connection for now: what waits to be taken is as much as may.
pub(super) struct Stuck {
    pub(super) address: SocketAddr,
    _listener: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
    _runtime: tokio::runtime::Runtime,
}

impl Stuck {
    pub(super) fn new() -> Self {
        let runtime = runtime();
        let listener = {
            let _here = runtime.enter();
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            socket.listen(1).unwrap()
        };
        let address = listener.local_addr().unwrap();
        let connects = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let waiting: Vec<TcpStream> = std::iter::from_fn(connects).take(64).collect();
        assert!(waiting.len() < 64, "the system keeps more connections waiting than it was told");
        Self { address, _listener: listener, _waiting: waiting, _runtime: runtime }
    }
}

/// What a connection may send ahead over all its requests: nothing of it is taken, as no service takes it.
#[test]
fn all_windows_of_an_http2_client_together_are_what_is_said() {
    const STREAM: usize = 65_535;
    const CONNECTION: usize = 3 * STREAM + 4000;
    let stuck = Stuck::new();
    let ann =
        AccountDraft { password: Some(Secret::new("administers-it-1")), ..AccountDraft::new("users", "ann") };
    let site = Site::with(
        |_| {
            format!(
                "[[api]]\nname = \"shop\"\ndialect = \"enactor\"\nenable = [\"basic\"]\nat = [\"/\"]\n\
                 upstream = {{ backends = [\"http://{}\"], connect_timeout = \"60s\" }}\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n\
                 [limits]\nstream_window = {STREAM}\nconnection_window = {CONNECTION}\n",
                stuck.address
            )
        },
        vec![ann],
    );
    let gate = site.start();
    let post = fields(&[
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"a.example"),
        (b":path", b"/x"),
        (b"authorization", basic("ann", "administers-it-1").as_bytes()),
    ]);
    let mut client = Frames::open(gate.address, &[]);
    let mut pinged = 0;
    let mut goes_on = |client: &mut Frames| {
        pinged += 1;
        let ping = frame(PING, 0, 0, &[pinged; 8]);
        client.send(&ping).unwrap();
        loop {
            let answer = client.next().expect("the connection has ended");
            match answer.kind {
                PING => return assert_eq!(answer.payload, [pinged; 8]),
                GO_AWAY => panic!("{:?}", answer.payload),
                RST_STREAM => panic!("{answer:?}"),
                DATA | HEADERS => panic!("no service has answered: {answer:?}"),
                _ => {}
            }
        }
    };
    // It binds from the acknowledgement of the settings on.
    goes_on(&mut client);
    for (stream, length) in [(1, STREAM), (3, STREAM), (5, STREAM), (7, 4000)] {
        client.send(&frame(HEADERS, END_HEADERS, stream, &post)).unwrap();
        for piece in vec![b'x'; length].chunks(16 * 1024) {
            client.send(&frame(DATA, 0, stream, piece)).unwrap();
        }
    }
    goes_on(&mut client);
    // There is room in the stream's own window, and none in the connection's.
    client.send(&frame(DATA, 0, 7, b"x")).unwrap();
    assert_eq!(client.end(), Some(FLOW_CONTROL_ERROR));
}
