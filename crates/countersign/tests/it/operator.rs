//! What whoever runs a gate does with the binary, and what it tells him.

use std::process::Output;

use countersign_identity::accounts::AccountDraft;
use serde_json::Value;

use crate::process::Site;

/// What a command answers on standard output, as JSON.
fn told(site: &Site, arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } =
        site.command(&[arguments, &["--output", "json"]].concat()).output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

#[test]
fn a_stolen_key_goes_before_its_application_comes_back() {
    let site = Site::new(vec![AccountDraft::new("applications", "till")]);
    let key = |label: &str| {
        let made = told(&site, &["key", "create", "--api", "push", "--owner", "till", "--label", label]);
        made["key"]["id"].as_str().unwrap().to_owned()
    };
    let (stolen, kept) = (key("stolen"), key("kept"));
    told(&site, &["user", "disable", "till", "--kind", "applications"]);
    let keys = told(&site, &["key", "list", "--api", "push"]);
    let states: Vec<_> = keys.as_array().unwrap().iter().map(|key| (&key["id"], &key["state"])).collect();
    assert_eq!(states.len(), 2);
    assert!(states.iter().all(|(_, state)| **state == "disabled"), "{keys}");
    let refused = site.command(&["key", "create", "--api", "push", "--owner", "till"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("the application till is disabled"), "{why}");
    told(&site, &["key", "delete", "--api", "push", &stolen]);
    let rotated = told(&site, &["key", "rotate", "--api", "push", &kept]);
    assert_eq!(rotated["key"]["state"], "disabled");
    told(&site, &["user", "enable", "till", "--kind", "applications"]);
    let left = told(&site, &["key", "list", "--api", "push"]);
    assert_eq!((left.as_array().unwrap().len(), &left[0]["state"]), (1, &Value::from("enabled")), "{left}");
}
