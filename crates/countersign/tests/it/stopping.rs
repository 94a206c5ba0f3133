//! A gate that stops lets what runs end. Meanwhile it takes orders, and whoever starts another waits for it.

use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;

use crate::process::{Gate, Site};
use crate::raw::{self, Client, Wire};
use crate::threats::basic;

const STOPPING: &str = "stopping: no new connections, what runs may end";
const WAITING: &str = "another gate is stopping on the store; waiting until what runs there has ended";
/// Longer than a gate has patience with what does not say that it stops.
const DRAIN_SECS: f64 = 120.0;
const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";

/// A service whose answers never end.
fn site() -> Site {
    let site = site_with(DRAIN_SECS);
    site.upstream.speak(Arc::new(|_| ENDLESS.to_vec()));
    site
}

fn site_with(drain_secs: f64) -> Site {
    let alice =
        AccountDraft { password: Some(Secret::new("wonderland-7")), ..AccountDraft::new("users", "alice") };
    let apis = |upstream| {
        format!(
            "[[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"/\"]\n\
             upstream = \"http://{upstream}\"\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n\
             [limits]\ndrain = \"{drain_secs}s\"\n"
        )
    };
    Site::with(apis, vec![alice])
}

fn request() -> Vec<u8> {
    let lines = [
        "GET /api/v1/Contact/2 HTTP/1.1".to_owned(),
        "Host: crm.example".to_owned(),
        format!("Authorization: {}", basic("alice", "wonderland-7")),
    ];
    raw::bytes(&lines, "")
}

/// An answer that goes on and on.
fn stream(gate: &Gate) -> Wire {
    let mut wire = Wire::new(TcpStream::connect(gate.address).unwrap());
    wire.send(&request()).unwrap();
    assert_eq!(wire.head().unwrap().unwrap().status(), 200);
    assert!(wire.is_silent(Duration::from_millis(20)));
    wire
}

/// A gate that lets an answer end, and the client that it goes to.
fn draining(site: &Site) -> (Gate, Wire) {
    let mut gate = site.start();
    let open = stream(&gate);
    gate.terminate();
    gate.said(STOPPING);
    (gate, open)
}

/// An order of the operator's, carried out.
#[track_caller]
fn ordered(site: &Site, arguments: &[&str]) -> String {
    let output = site.command(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_gate_that_stops_takes_orders_and_is_waited_for_by_the_next() {
    let site = site();
    let (gate, mut open) = draining(&site);
    let mut next = site.begin(&[]);
    let waits = next.said(WAITING);
    let secs = waits["wait.secs"].as_f64().unwrap();
    assert!(secs > 0.0 && secs <= DRAIN_SECS, "{waits}");
    assert!(waits["store"].as_str().unwrap().ends_with("gate.db"), "{waits}");

    ordered(&site, &["user", "add", "bob", "--generate"]);
    let listed = ordered(&site, &["user", "list"]);
    assert!(listed.contains("alice") && listed.contains("bob"), "{listed}");
    assert!(open.is_silent(Duration::from_millis(20)), "nothing of it is alice's end");
    assert_eq!(next.times_said("listening for clients"), 0);
    // What still runs hears of a locked account, and then there is nothing left to wait for.
    ordered(&site, &["user", "disable", "alice"]);
    let rest = open.rest().unwrap();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it must not look whole");
    assert!(gate.ended().success());

    next.listens();
    assert_eq!(next.times_said(WAITING), 1);
    let answer = Client::new(next.address).exchange(0, &request()).unwrap();
    assert_eq!(answer.head.status(), 401, "the next gate knows what the last one was told");
    ordered(&site, &["user", "enable", "alice"]);
    drop(stream(&next));
    assert!(ordered(&site, &["user", "list"]).contains("bob"));
}

#[test]
fn a_gate_that_waits_for_another_can_be_stopped() {
    let site = site();
    let (_gate, mut open) = draining(&site);
    let mut next = site.begin(&[]);
    next.said(WAITING);
    next.terminate();
    assert!(next.ended().success());
    assert!(open.is_silent(Duration::from_millis(20)), "the other one is none the wiser");
}

#[test]
fn a_gate_that_serves_on_is_not_waited_for() {
    let site = site();
    let gate = site.start();
    let output = site.command(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("another gate runs on the store") && !said.contains(WAITING), "{said}");
    drop(stream(&gate));
    assert!(ordered(&site, &["user", "list"]).contains("alice"));
}

#[test]
fn what_ends_in_the_time_of_the_drain_is_whole_and_the_rest_is_cut() {
    let site = site_with(20.0);
    let (go, wait) = channel();
    let (came, asked) = channel();
    let (wait, came) = (Mutex::new(wait), Mutex::new(came));
    site.upstream.speak(Arc::new(move |received| {
        if received.head.start.contains("/Person/") {
            came.lock().unwrap().send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
            return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone".to_vec();
        }
        ENDLESS.to_vec()
    }));
    let mut gate = site.start();
    let administration = gate.said("listening for administration")["listener.address"].clone();
    let administration = administration.as_str().unwrap().parse().unwrap();
    let ready = || {
        let answer =
            Client::new(administration).exchange(0, b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let answer = answer.unwrap();
        (answer.head.status(), String::from_utf8(answer.body).unwrap())
    };
    gate.said("loaded all tokens");
    assert_eq!(ready(), (200, "ready\n".to_owned()));
    let mut endless = stream(&gate);
    let mut late = Wire::new(TcpStream::connect(gate.address).unwrap());
    let person = String::from_utf8(request()).unwrap().replace("/Contact/2", "/Person/1");
    late.send(person.as_bytes()).unwrap();
    asked.recv_timeout(Duration::from_secs(60)).unwrap();
    gate.terminate();
    gate.said(STOPPING);
    let until = Instant::now() + Duration::from_secs(15);
    while ready().0 == 200 {
        assert!(Instant::now() < until, "whoever spreads requests is not told that it stops");
    }
    assert_eq!(ready(), (503, "not ready: the gate is stopping\n".to_owned()));
    go.send(()).unwrap();
    let head = late.head().unwrap().unwrap();
    assert_eq!(late.body(&head, false).unwrap(), b"done");
    let cut = gate.said("some connections did not end in time and were cut");
    assert_eq!(cut["connections.cut"], 1, "{cut}");
    assert!(!endless.rest().unwrap().ends_with(b"0\r\n\r\n"), "it must not look whole");
    assert!(gate.ended().success());
}
