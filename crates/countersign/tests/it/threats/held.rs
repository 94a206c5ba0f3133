//! D: log-ins whose end is held back. What they count for is counted when they are over, not when they began.

use std::time::Duration;

use countersign_gateway::limits::Limits;

use super::{Ground, Told};
use crate::raw::Held;

/// Failures a minute until an address has no attempts left.
const ADDRESS_FAILURES: usize = 50;
/// Failures until an account is locked, for a second; each further one locks it for twice as long.
const FAILURES: u32 = 5;
/// How long an attacker holds something back: within the time that the gate waits for a whole body.
const HELD: [Duration; 3] = [Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(29)];
const LONG: Duration = Duration::from_secs(3600);

/// The world that the transcripts assume. Its clock is turned by hand alone; what the gate waits for by its own is waited
/// for as long as it takes.
fn ground() -> Ground {
    let path = crate::transcript::root().join("dialects/superoffice/transcripts/world.toml");
    let limits = Limits { body_idle: LONG, own_body: LONG, ..Limits::default() };
    let ground = Ground::limited("superoffice", &std::fs::read_to_string(path).unwrap(), limits);
    ground.world.stop_clock();
    ground
}

fn form(user: &str, password: &str) -> String {
    format!("userName={user}&password={password}")
}

fn log_in(ground: &Ground, user: &str, password: &str) -> Told {
    ground.send(&format!(
        "POST /login HTTP/1.1\nHost: crm.example\nContent-Type: application/x-www-form-urlencoded\n\n{}",
        form(user, password)
    ))
}

/// A log-in that waits for the last byte of its body.
fn hold(ground: &Ground, user: &str, password: &str) -> Held {
    let head =
        "POST /login HTTP/1.1\r\nHost: crm.example\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    Held::begin(ground.world.address, head, &form(user, password))
}

#[test]
fn d4_log_ins_that_were_held_back_begin_no_count_of_an_address_anew() {
    for held_for in HELD {
        let ground = ground();
        let held: Vec<Held> =
            (0..3).map(|number| hold(&ground, &format!("held-{number}"), "guess")).collect();
        ground.world.wait(held_for);
        for guess in 0..ADDRESS_FAILURES {
            log_in(&ground, &format!("nobody-{guess}"), "guess").refused(401);
        }
        log_in(&ground, "bob", "hatter-and-hare-3").refused(429);
        for held in held {
            assert_eq!(held.end(), 429, "{held_for:?}");
            log_in(&ground, "nobody-again", "guess").refused(429);
        }
        // Nor is the minute any shorter or longer for them.
        ground.world.wait(Duration::from_millis(59_999));
        log_in(&ground, "bob", "hatter-and-hare-3").refused(429);
        ground.world.wait(Duration::from_millis(1));
        log_in(&ground, "bob", "hatter-and-hare-3").answered();
    }
}

#[test]
fn d4_log_ins_that_were_held_back_count_in_the_minute_in_which_they_end() {
    let ground = ground();
    let held: Vec<Held> =
        (0..ADDRESS_FAILURES).map(|number| hold(&ground, &format!("held-{number}"), "guess")).collect();
    ground.world.wait(Duration::from_secs(29));
    for held in held {
        assert_eq!(held.end(), 401);
    }
    // The minute began with the first that ended.
    ground.world.wait(Duration::from_secs(31));
    log_in(&ground, "bob", "hatter-and-hare-3").refused(429);
    ground.world.wait(Duration::from_secs(29));
    log_in(&ground, "bob", "hatter-and-hare-3").answered();
}

#[test]
fn d4_log_ins_that_were_held_back_shorten_no_lock() {
    let ground = ground();
    let held: Vec<Held> = (0..3).map(|number| hold(&ground, "alice", &format!("held-{number}"))).collect();
    for failure in 1..FAILURES {
        log_in(&ground, "alice", &format!("guess-{failure}")).refused(401);
    }
    // The fifth locks for 1 s, the ninth for 16 s.
    let mut lock = Duration::ZERO;
    for further in 0..5 {
        ground.world.wait(lock);
        log_in(&ground, "alice", &format!("further-{further}")).refused(401);
        lock = Duration::from_secs(1 << further);
    }
    assert_eq!(lock, Duration::from_secs(16));
    for held in held {
        assert_eq!(held.end(), 401);
    }
    for (passes, so_far) in [(1_500, 1_500), (14_499, 15_999)] {
        ground.world.wait(Duration::from_millis(passes));
        assert_eq!(log_in(&ground, "alice", "wonderland-7").status(), 401, "after {so_far} ms");
    }
    ground.world.wait(Duration::from_millis(1));
    log_in(&ground, "alice", "wonderland-7").answered();
}
