//! E4 and F1 on a full disk: what could not be written is not said to be, and is written when there is room.

use std::time::{Duration, Instant};

use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;

use super::basic;
use crate::process::{Gate, Site};
use crate::raw::{self, Answer, Client};

/// The gate tries once a second whether it can write again; the rest is for a machine that compiles beside it.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
const PASSWORD: &str = "looking-glass-7";

fn ask(gate: &Gate, request: &str, authorization: &str) -> Answer {
    let lines = [
        format!("{request} HTTP/1.1"),
        "Host: crm.example".to_owned(),
        format!("Authorization: {authorization}"),
    ];
    Client::new(gate.address).exchange(0, &raw::bytes(&lines, "")).unwrap()
}

fn log_in(gate: &Gate) -> Answer {
    ask(gate, "GET /api/v1/User/currentTicket", &basic("tess", PASSWORD))
}

/// A ticket, as it is shown.
fn ticket(gate: &Gate) -> String {
    let answer = log_in(gate);
    assert_eq!(answer.head.status(), 200);
    format!("SOTicket {}", serde_json::from_slice::<String>(&answer.body).unwrap())
}

fn status(gate: &Gate, ticket: &str) -> u16 {
    ask(gate, "GET /api/v1/Contact/1", ticket).head.status()
}

#[test]
fn e4_what_ended_while_the_disk_was_full_stays_ended() {
    let tess = AccountDraft { password: Some(Secret::new(PASSWORD)), ..AccountDraft::new("users", "tess") };
    let site = Site::new(vec![tess]);
    let mut gate = site.start_on_a_small_disk();
    gate.said("loaded all tokens");
    let (stays, ends) = (ticket(&gate), ticket(&gate));
    assert_eq!(gate.administration("/ready"), (200, "ready\n".to_owned()));
    gate.fill_disk();
    for _ in 0..3 {
        assert_eq!(log_in(&gate).head.status(), 503, "a log-in that cannot be kept");
    }
    // Not acknowledged, as it is not safe; but from here on it is refused.
    assert_eq!(ask(&gate, "DELETE /api/v1/User/currentTicket", &ends).head.status(), 503);
    assert_eq!((status(&gate, &stays), status(&gate, &ends)), (200, 401));
    let unready = (503, "not ready: the database file cannot be written to\n".to_owned());
    assert_eq!(gate.administration("/ready"), unready);
    gate.empty_disk();
    // Nobody is sent to a gate that is not ready: it finds out by itself.
    let until = Instant::now() + NOTICED_WITHIN;
    while gate.administration("/ready").0 != 200 {
        assert!(Instant::now() < until, "the disk has room and nothing is written");
        std::thread::sleep(Duration::from_millis(50));
    }
    let after = ticket(&gate);
    gate.kill();
    let gate = site.start();
    assert_eq!([&stays, &ends, &after].map(|ticket| status(&gate, ticket)), [200, 401, 200]);
}
