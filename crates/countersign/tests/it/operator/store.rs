//! The store under a running gate: by which name it is called, where its file is, and what is ordered of it.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::{DEADLINE, PASSWORD, alice, ask, by_password, edited, fails, told};
use crate::process::{Gate, Site};

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

#[test]
fn a_file_that_takes_the_stores_place_under_a_gate_is_told() {
    const GONE: &str = "another file, or none, is in the place of the database file: what is changed from now on will be \
                        lost; stop the gate before a backup is brought back";
    let site = Site::new(alice());
    let mut gate = site.start();
    let ready = (200, "ready\n".to_owned());
    let unready =
        (503, "not ready: another file, or none, is in the place of the database file\n".to_owned());
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
