//! Frames that bring neither a request nor a body, of a client that reads what it is answered.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};

use std::io::Write as _;
use std::time::{Duration, Instant};

use countersign_gateway::limits::Limits;

use super::super::Ground;
use super::{ENHANCE_YOUR_CALM, WORLD, ground, others_are_served};
use crate::frames::{
    END_HEADERS, END_STREAM, Frames, GO_AWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get,
};
use crate::transcript::Manners;

const PRIORITY: u8 = 2;
/// Of no meaning (RFC 9113 section 5.5).
const UNKNOWN: u8 = 0x77;

/// More than a client may send, by far.
const FLOOD_BYTES: usize = 64 * 1024 * 1024;

/// Sends the bytes again and again, and reads all that is answered: the code of the GOAWAY.
fn flood(mut frames: Frames, bytes: &[u8]) -> Option<u32> {
    let is_told = AtomicBool::new(false);
    let mut sending = frames.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut sent = 0;
            while sent < FLOOD_BYTES && !is_told.load(Ordering::Relaxed) && sending.write_all(bytes).is_ok() {
                sent += bytes.len();
            }
            // Whoever reads does not wait for ever where nothing was said.
            let _closed = sending.shutdown(Shutdown::Write);
        });
        let mut code = None;
        while let Some(frame) = frames.read() {
            if frame.kind == GO_AWAY {
                code = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
                is_told.store(true, Ordering::Relaxed);
            }
        }
        code
    })
}

/// A connection on which a request was answered.
fn used(ground: &Ground) -> Frames {
    let mut frames = Frames::open(ground.world.address, &[]);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/x"))).unwrap();
    assert_eq!(frames.ended(1), Ok(()));
    frames
}

/// Waits until the gate has counted so many.
#[track_caller]
fn counted(ground: &Ground, connections: usize) {
    let wanted = format!("connections_cut_total{{limit=\"control_frames\"}} {connections}\n");
    let until = Instant::now() + Duration::from_secs(60);
    while !ground.world.metrics().contains(&wanted) {
        assert!(Instant::now() < until, "{}", ground.world.metrics());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn g5_frames_that_ask_for_nothing_end_the_connection_of_whoever_reads() {
    let ground = ground();
    let floods = [
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(PING, 0, 0, b"12345678"),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()),
        frame(UNKNOWN, 0, 0, &[]),
        frame(UNKNOWN, 0, 0, &[b'x'; 16 * 1024]),
    ];
    for (at, bytes) in floods.iter().enumerate() {
        let burst = bytes.repeat((64 * 1024 / bytes.len()).max(1));
        assert_eq!(flood(used(&ground), &burst), Some(ENHANCE_YOUR_CALM), "frames of type {}", bytes[3]);
        counted(&ground, at + 1);
    }
    others_are_served(&ground);
}

/// Each explains a few frames, and is refused by itself: so often as `stream_errors` says.
#[test]
fn g5_requests_beyond_the_streams_end_the_connection_sometime() {
    let ground = ground();
    ground.world.behave(Manners::Silent);
    let request = |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &get("/x"));
    let streams = Limits::default().streams;
    let frames = Frames::open(ground.world.address, &[]);
    let burst: Vec<u8> = (0..streams + 100_000).flat_map(request).collect();
    assert_eq!(flood(frames, &burst), Some(ENHANCE_YOUR_CALM));
    ground.world.behave(Manners::Up);
    others_are_served(&ground);
}

#[test]
fn g5_what_requests_and_answers_explain_is_no_flood() {
    let limits = Limits { control_frames: 20, ..Limits::default() };
    let ground = Ground::limited_in("enactor", WORLD, limits, Duration::from_secs(60));
    let mut frames = Frames::open(ground.world.address, &[]);
    for number in 0..200 {
        let stream = 2 * number + 1;
        let request = [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/x")),
            frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]),
            frame(WINDOW_UPDATE, 0, stream, &1000_u32.to_be_bytes()),
            frame(PING, 0, 0, b"12345678"),
        ];
        frames.send(&request.concat()).unwrap();
        assert_eq!(frames.ended(stream), Ok(()), "request {number}");
        // For each frame of its answer the client opens both windows.
        let windows = [
            frame(WINDOW_UPDATE, 0, 0, &1000_u32.to_be_bytes()),
            frame(WINDOW_UPDATE, 0, stream, &1000_u32.to_be_bytes()),
        ];
        frames.send(&windows.concat()).unwrap();
    }
}
