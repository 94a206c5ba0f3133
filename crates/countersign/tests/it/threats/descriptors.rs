//! F2: whoever takes connections, where the system lets a gate have few files.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::process::{Site, runtime};

const LOWERED: &str = "lowered limits to what fits in the files that the process may have open";
/// What is let in of clients and of requests where there are [`few`] files.
const LET_IN: u64 = 22;

/// How many cores a gate of this machine serves on.
fn cores() -> u64 {
    std::thread::available_parallelism().unwrap().get() as u64
}

/// What a gate with one listener has open for itself.
fn own() -> u64 {
    200 + cores() * 5
}

/// What is open where all limits are reached, with one service on one server.
fn needed() -> u64 {
    20_000 + cores() * 64 + 1 + own()
}

/// A client each, a request of each, and on each core as many connections to the server that wait for the next one.
fn few() -> u64 {
    own() + LET_IN * 2 + LET_IN * cores() + 1
}

fn site() -> Site {
    let api = |upstream| {
        format!(
            "[[api]]\nname = \"shop\"\ndialect = \"enactor\"\nat = [\"/\"]\nupstream = \"http://{upstream}\"\n\
             [[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n"
        )
    };
    Site::with(api, Vec::new())
}

/// The beginning of an answer to whoever is at another address; none where the gate closes without one, as it does while it
/// has more connections to turn away than it may have.
fn asked_from(client: Ipv4Addr, gate: SocketAddr) -> Option<String> {
    let stream = runtime().block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((client, 0))).unwrap();
        socket.connect(gate).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut stream = stream;
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").ok()?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).ok()?;
    Some(String::from_utf8_lossy(&status).into_owned())
}

#[test]
fn f2_no_more_connections_are_promised_than_there_are_files() {
    let site = site();
    let few = few();
    let mut gate = site.start_after(&format!("ulimit -n {few}"));
    let said = gate.said(LOWERED);
    assert_eq!((&said["files.needed"], &said["files.allowed"]), (&needed().into(), &few.into()));
    assert_eq!(
        (&said["limits.connections"], &said["limits.connections_per_address"]),
        (&LET_IN.into(), &LET_IN.div_ceil(4).into())
    );
    assert_eq!(said["limits.upstream_requests"], LET_IN);
    // Heads that do not end, all of one address.
    let mut begun = Vec::new();
    for _ in 0..few {
        let mut stream = TcpStream::connect(gate.address).unwrap();
        let _closed = stream.write_all(b"GET /x HTTP/1.1\r\n");
        begun.push(stream);
    }
    let answer = (0..50).find_map(|_| {
        let answer = asked_from(Ipv4Addr::new(127, 0, 0, 2), gate.address);
        if answer.is_none() {
            std::thread::sleep(Duration::from_millis(100));
        }
        answer
    });
    assert_eq!(answer.as_deref(), Some("HTTP/1.1 200"));
    drop(begun);

    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -n {few} && exec \"$0\" \"$@\"")])
        .arg(site.command(&[]).get_program())
        .args(["check", "--config"])
        .arg(site.command(&[]).get_args().last().unwrap())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "a gate runs on it all the same: {told}");
    let needed = needed();
    assert!(told.contains(&format!("need {needed} open files, and a process may have {few} here")), "{told}");
}

#[test]
fn f2_a_gate_takes_as_many_files_as_it_may_have() {
    let site = site();
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let mut gate = site.start_after("ulimit -Sn 300");
    match hard {
        Some(hard) if hard < needed() => assert_eq!(gate.said(LOWERED)["files.allowed"], hard),
        Some(_) | None => assert_eq!(gate.times_said(LOWERED), 0),
    }
}
