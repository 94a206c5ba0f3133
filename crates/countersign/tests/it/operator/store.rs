//! The store under a running gate: by which name it is called, where its file is, and what is ordered of it.

use std::os::unix::fs::symlink;

use super::{PASSWORD, alice, ask, by_password, edited, fails, told};
use crate::process::Site;

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
