//! An issuer is shown so many codes at once, and nobody has all places.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use countersign_identity::issuers::login::{LoginEndpoints, LoginOptions};
use countersign_identity::outbound::Endpoint;
use tokio::net::TcpSocket;

use super::{Away, COOKIE, Ground, ground, leave, log_in, options};
use crate::raw::Wire;

/// Codes at once.
const MOST: usize = 32;
/// Those of one address.
const SHARE: usize = MOST / 4;
/// Longer than anything takes that has to come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A browser at one of this machine's addresses that comes back, and reads nothing yet.
fn back(ground: &Ground, last: u8, away: &Away) -> Wire {
    let to = ground.world.address;
    let stream = ground.world.block_on(async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut wire = Wire::new(stream);
    let request = format!(
        "GET /login/from/corp?{} HTTP/1.1\r\nHost: crm.example\r\nAccept: text/html\r\n\
         Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nCookie: {COOKIE}={}\r\n\r\n",
        away.answer("ann"),
        away.browser
    );
    wire.send(request.as_bytes()).unwrap();
    wire
}

fn status(mut wire: Wire) -> u16 {
    wire.head().unwrap().unwrap().status()
}

/// So many connections of the gate to its issuer.
fn accepted(issuer: &TcpListener, count: usize) -> Vec<TcpStream> {
    let until = Instant::now() + DEADLINE;
    let mut accepted = Vec::new();
    while accepted.len() < count {
        match issuer.accept() {
            Ok((stream, _)) => accepted.push(stream),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
        assert!(Instant::now() < until, "{} of {count}", accepted.len());
    }
    accepted
}

#[test]
fn f2_an_issuer_is_shown_so_many_codes_at_once() {
    let (ground, provider) = ground();
    // One that says nothing.
    let issuer = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    issuer.set_nonblocking(true).unwrap();
    let endpoints = LoginEndpoints::Given {
        authorization: Endpoint::parse("https://id.example/authorize").unwrap(),
        token: Endpoint::parse(&format!("http://{}/token", issuer.local_addr().unwrap())).unwrap(),
    };
    assert!(log_in(&ground, "corp", LoginOptions { endpoints, patience: DEADLINE, ..options(&provider) }));
    let browser = || leave(&ground, "corp", "");
    let waiting: Vec<Wire> = (0..MOST)
        .map(|number| back(&ground, 2 + u8::try_from(number / SHARE).unwrap(), &browser()))
        .collect();
    let asked = accepted(&issuer, MOST);
    // Who waits in vain is told to come back, and may.
    let late = browser();
    assert_eq!(status(back(&ground, 9, &late)), 429);
    assert!(issuer.accept().is_err(), "nobody else's code was shown");
    drop(asked);
    for wire in waiting {
        assert_eq!(status(wire), 503);
    }
    let again = back(&ground, 9, &late);
    drop(accepted(&issuer, 1));
    assert_eq!(status(again), 503, "there is room again");
}
