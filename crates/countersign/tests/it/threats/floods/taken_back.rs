//! Requests that a client of HTTP/2 takes back before their answers begin.

use std::time::{Duration, Instant};

use countersign_gateway::address::ForwardingFields;
use countersign_gateway::limits::Limits;

use super::super::{Ground, fronts};
use super::{CANCEL, ENHANCE_YOUR_CALM, WORLD, others_are_served};
use crate::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, frame, get};
use crate::transcript::Manners;
use crate::world::setting::Setting;

/// Asks for `count` things over HTTP/2, waits until the service has them, and takes them back.
fn ask_and_take_back(ground: &Ground, frames: &mut Frames, first: u32, count: u32) -> Result<(), String> {
    let streams = || (first..first + 2 * count).step_by(2);
    for stream in streams() {
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/x"));
        frames.send(&asked).map_err(|error| error.to_string())?;
    }
    let (mut waiting, until) = (0, Instant::now() + Duration::from_secs(30));
    while waiting < usize::try_from(count).unwrap() {
        waiting += ground.world.upstream.waiting();
        if Instant::now() > until || frames.is_over() {
            return Err(format!("{waiting} of {count} reached the service"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    for stream in streams() {
        let taken_back = frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        frames.send(&taken_back).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn g5_requests_that_are_taken_back_end_the_connection_sometime() {
    const ROUND: u32 = 64;
    let ground = Ground::limited_in("enactor", WORLD, Limits::default(), Duration::from_secs(60));
    ground.world.behave(Manners::Silent);
    let mut frames = Frames::open(ground.world.address, &[]);
    let mut next = 1;
    // As many as a page that is left, and the next one, and more, take back at once.
    for _ in 0..4 {
        ask_and_take_back(&ground, &mut frames, next, ROUND).unwrap();
        next += 2 * ROUND;
    }
    ground.world.behave(Manners::Up);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, next, &get("/x"))).unwrap();
    assert_eq!(frames.ended(next), Ok(()), "it is served");
    ground.world.behave(Manners::Silent);
    next += 2;
    let rounds = (0..20).take_while(|_| {
        next += 2 * ROUND;
        ask_and_take_back(&ground, &mut frames, next - 2 * ROUND, ROUND).is_ok()
    });
    let rounds = rounds.count();
    assert!(rounds < 20, "{rounds} rounds of {ROUND} more reached the service");
    assert_eq!(frames.end(), Some(ENHANCE_YOUR_CALM));
    ground.world.behave(Manners::Up);
    others_are_served(&ground);
}

/// What a trusted proxy takes back are many people's requests, and its connection is not ended over them.
#[test]
fn g5_a_trusted_proxy_takes_back_what_its_clients_do() {
    const ROUND: u32 = 64;
    let setting = Setting::from_text("enactor", "a test's world", WORLD);
    let believed = fronts(ForwardingFields::XForwarded);
    let ground = Ground::made("enactor", setting, &Setting::dialect_text("enactor"), believed);
    ground.world.behave(Manners::Silent);
    let mut frames = Frames::open(ground.world.address, &[]);
    let mut next = 1;
    for _ in 0..8 {
        ask_and_take_back(&ground, &mut frames, next, ROUND).unwrap();
        next += 2 * ROUND;
    }
    ground.world.behave(Manners::Up);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, next, &get("/x"))).unwrap();
    assert_eq!(frames.ended(next), Ok(()), "it is served");
}
