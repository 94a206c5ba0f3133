//! The store under a running gate: by which name it is called, where its file is, and what is ordered of it.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::{DEADLINE, PASSWORD, alice, ask, by_password, edited, fails, told};
use crate::process::{Gate, Site};
use crate::raw::{self, Client};

#[test]
fn a_store_is_one_gates_by_whatever_name() {
    let site = Site::new(alice());
    let gate = site.start();
    let status = || ask(gate.address, "crm.example", &by_password("alice", PASSWORD));
    symlink("gate.db", site.store().with_file_name("link.db")).unwrap();
    edited(&site, "path = \"gate.db\"", "path = \"link.db\"");
    assert_eq!(status(), 200);
    told(&site, &["user", "disable", "alice"]);
    assert_eq!(status(), 401, "the order reached the gate");
    assert!(fails(&site).contains("another gate runs on the store"));
    std::fs::remove_file(site.store().with_file_name("gate.db.lock")).unwrap();
    assert!(fails(&site).contains("another gate runs on the store"));
    told(&site, &["user", "enable", "alice"]);
    assert_eq!(status(), 200, "its socket is there");
}

/// A ticket of alice, as a header.
fn ticket(gate: &Gate) -> String {
    let lines = [
        "GET /api/v1/User/currentTicket HTTP/1.1".to_owned(),
        "Host: crm.example".to_owned(),
        by_password("alice", PASSWORD),
    ];
    let answer = Client::new(gate.address).exchange(0, &raw::bytes(&lines, "")).unwrap();
    format!("Authorization: SOTicket {}", serde_json::from_slice::<String>(&answer.body).unwrap())
}

#[test]
fn sessions_are_listed_and_ended_where_no_gate_runs() {
    let site = Site::new(alice());
    let gate = site.start();
    let tickets = [ticket(&gate), ticket(&gate), ticket(&gate)];
    gate.terminate();
    assert!(gate.ended().success());
    let listed = || told(&site, &["session", "list", "--user", "alice"]).as_array().unwrap().clone();
    let before = listed();
    assert_eq!(before.len(), 3);
    let name = before[0]["reference"].as_str().unwrap();
    let one = told(&site, &["session", "revoke", "--user", "alice", name]);
    assert_eq!(one["revoked"], 1);
    let all = told(&site, &["session", "revoke", "--user", "alice", "--all"]);
    assert_eq!(all["revoked"], 2);
    assert_eq!(listed().len(), 0);
    let gate = site.start();
    assert_eq!(tickets.map(|ticket| ask(gate.address, "crm.example", &ticket)), [401; 3]);
}

#[test]
fn everybodys_sessions_end_at_once() {
    let site = Site::new(alice());
    let gate = site.start();
    let end = || told(&site, &["session", "revoke-everybody"])["accounts"].as_u64().unwrap();
    let first = ticket(&gate);
    assert!(end() >= 1);
    assert_eq!(ask(gate.address, "crm.example", &first), 401, "beside a gate");
    let second = ticket(&gate);
    gate.terminate();
    assert!(gate.ended().success());
    end();
    let gate = site.start();
    assert_eq!(ask(gate.address, "crm.example", &second), 401, "where none runs");
    assert_eq!(ask(gate.address, "crm.example", &ticket(&gate)), 200);
}

/// Waits for what `/ready` says.
fn becomes(gate: &mut Gate, expected: &(u16, String)) {
    let until = Instant::now() + DEADLINE;
    loop {
        let said = gate.administration("/ready");
        if said == *expected {
            return;
        }
        assert!(Instant::now() < until, "{said:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const GONE: &str = "another file, or none, is in the place of the database file: what is changed from now on will be \
                    lost; stop the gate before a backup is brought back";

/// What `/ready` says, of a gate whose store is in its place and of one whose store is not.
fn ready_or_not() -> [(u16, String); 2] {
    let displaced = "not ready: another file, or none, is in the place of the database file\n";
    [(200, "ready\n".to_owned()), (503, displaced.to_owned())]
}

#[test]
fn a_file_that_takes_the_stores_place_under_a_gate_is_told() {
    let site = Site::new(alice());
    let mut gate = site.start();
    let [ready, unready] = ready_or_not();
    becomes(&mut gate, &ready);
    let away = site.store().with_file_name("away.db");
    for put in [None, Some("backup")] {
        std::fs::rename(site.store(), &away).unwrap();
        if let Some(text) = put {
            std::fs::write(site.store(), text).unwrap();
        }
        becomes(&mut gate, &unready);
        std::fs::rename(&away, site.store()).unwrap();
        becomes(&mut gate, &ready);
    }
    assert_eq!(gate.times_said(GONE), 2, "once each time");
}

/// Commands settle the link anew, and work on the other file.
#[test]
fn a_link_that_is_turned_to_another_file_under_a_gate_is_told() {
    let site = Site::new(alice());
    let link = site.store().with_file_name("link.db");
    let turn = |to: &str| {
        let turned = link.with_extension("turned");
        symlink(to, &turned).unwrap();
        std::fs::rename(turned, &link).unwrap();
    };
    turn("gate.db");
    edited(&site, "path = \"gate.db\"", "path = \"link.db\"");
    let mut gate = site.start();
    let [ready, unready] = ready_or_not();
    becomes(&mut gate, &ready);
    turn("two.db");
    becomes(&mut gate, &unready);
    turn("gate.db");
    becomes(&mut gate, &ready);
    assert_eq!(gate.times_said(GONE), 1);
    told(&site, &["user", "disable", "alice"]);
    assert_eq!(ask(gate.address, "crm.example", &by_password("alice", PASSWORD)), 401);
}
