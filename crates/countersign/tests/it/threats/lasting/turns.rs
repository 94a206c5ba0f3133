//! An issuer is asked so many questions at once, and nobody has all of them.

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpSocket;

use super::{Asked, Ground, Ordering, Wire, ask, ground, until};

/// Questions at once.
const MOST: usize = 32;
/// Those of one address.
const SHARE: usize = MOST / 4;

/// A request with a token, of which nothing was read, from one of this machine's addresses.
fn present(ground: &Ground, last: u8, token: &str) -> Wire {
    let to = ground.world.address;
    let stream = ground.world.block_on(async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    let mut wire = Wire::new(stream);
    let request = format!("GET /x HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer {token}\r\n\r\n");
    wire.send(request.as_bytes()).unwrap();
    wire
}

fn status(mut wire: Wire) -> u16 {
    wire.head().unwrap().unwrap().status()
}

#[test]
fn f2_an_issuer_is_asked_so_many_questions_at_once() {
    let ground = ground();
    let issuer = Asked::start();
    ask(&ground, &issuer);
    issuer.says("200 OK", &json!({ "active": true, "sub": "7" }));
    let held = issuer.shared.held.lock().unwrap();
    let waiting: Vec<Wire> = (0..MOST)
        .map(|number| present(&ground, 2 + u8::try_from(number / SHARE).unwrap(), &format!("t-{number}")))
        .collect();
    until("all are asked about", || issuer.shared.begun.load(Ordering::SeqCst) == MOST);
    // Who waited in vain.
    assert_eq!(status(present(&ground, 9, "late")), 429);
    let last = present(&ground, 9, "last");
    drop(held);
    for wire in waiting.into_iter().chain([last]) {
        assert_eq!(status(wire), 200);
    }
    assert_eq!(status(present(&ground, 9, "late")), 200, "there is room again");
}

#[test]
fn f2_one_address_has_a_quarter_of_the_questions_and_the_others_go_on() {
    let ground = ground();
    let issuer = Asked::start();
    ask(&ground, &issuer);
    issuer.says("200 OK", &json!({ "active": true, "sub": "7" }));
    let held = issuer.shared.held.lock().unwrap();
    let begun = |questions: usize| issuer.shared.begun.load(Ordering::SeqCst) == questions;
    let many: Vec<Wire> = (0..SHARE + 2).map(|number| present(&ground, 2, &format!("t-{number}"))).collect();
    until("its own are asked about", || begun(SHARE));
    let others: Vec<Wire> = (3..6).map(|last| present(&ground, last, &format!("of-{last}"))).collect();
    until("those of others are asked about", || begun(SHARE + others.len()));
    drop(held);
    // Nobody was told to come back.
    for wire in others.into_iter().chain(many) {
        assert_eq!(status(wire), 200);
    }
}
