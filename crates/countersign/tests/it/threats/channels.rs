//! E4, as far as it is about what is open when an account is disabled.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use countersign_auth::account::AccountId;
use countersign_identity::accounts::Standing;
use countersign_identity::service::By;

use super::{Ground, basic};
use crate::raw::Wire;
use crate::transcript::Manners;

/// What is promised.
const BOUND: Duration = Duration::from_secs(1);
/// What a machine may take on top that runs other tests beside.
const SLACK: Duration = Duration::from_secs(4);

const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
enable  = ["basic"]
at      = ["/"]

[[api.route]]
at      = "/channel"
allow   = "authenticated"
upgrade = true

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "ann"
password = "administers-it-1"

[[account]]
name     = "bob"
password = "looks-at-it-2"
"#;

/// A channel that is open.
struct Open {
    what: &'static str,
    wire: Wire,
}

fn open(ground: &Ground, what: &'static str, who: &str, request: &str) -> Wire {
    let stream = TcpStream::connect(ground.world.address).unwrap();
    stream.set_read_timeout(Some(BOUND + SLACK)).unwrap();
    let mut wire = Wire::new(stream);
    let text = format!("{request}\r\nHost: a.example\r\nAuthorization: {who}\r\n\r\n");
    wire.send(text.as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
    wire
}

/// A WebSocket, an answer that goes on and on, and one that has not begun.
fn channels(ground: &Ground, who: &str) -> Vec<Open> {
    let upstream = &ground.world.upstream;
    upstream.reply(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
    );
    let upgrade = "GET /channel HTTP/1.1\r\nOrigin: http://a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let mut socket = open(ground, "a WebSocket", who, upgrade);
    assert_eq!(socket.head().unwrap().unwrap().status(), 101);
    upstream.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec());
    let mut stream = open(ground, "a stream", who, "GET /events HTTP/1.1");
    assert_eq!(stream.head().unwrap().unwrap().status(), 200);
    upstream.behave(Manners::Silent);
    let poll = open(ground, "a long poll", who, "GET /poll HTTP/1.1");
    let until = Instant::now() + SLACK;
    while upstream.waiting() == 0 {
        assert!(Instant::now() < until, "the long poll never reached the service");
        std::thread::yield_now();
    }
    upstream.behave(Manners::Up);
    vec![
        Open { what: "a WebSocket", wire: socket },
        Open { what: "a stream", wire: stream },
        Open { what: "a long poll", wire: poll },
    ]
}

fn account(ground: &Ground, name: &str) -> AccountId {
    ground.world.service().account_named("users", name).unwrap().account.id
}

#[test]
fn e4_open_channels_end_when_their_account_is_disabled() {
    let ground = Ground::with("enactor", WORLD);
    let (ann, bob) = (basic("ann", "administers-it-1"), basic("bob", "looks-at-it-2"));
    let hers = channels(&ground, &ann);
    let mut his = channels(&ground, &bob);
    let began = Instant::now();
    let (service, now) = (ground.world.service(), ground.world.now());
    ground
        .world
        .block_on(service.set_standing(account(&ground, "ann"), Standing::Disabled, By::gate(), now))
        .unwrap();
    for Open { what, mut wire } in hers {
        if what == "a long poll" {
            assert_eq!(wire.head().unwrap().unwrap().status(), 401, "{what}");
        } else {
            let answer = wire.rest().unwrap_or_else(|error| panic!("{what}: {error}"));
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(!answer.ends_with("0\r\n\r\n"), "{what} must not look whole: {answer}");
        }
        let took = began.elapsed();
        println!("{what} was over {} ms after the account was disabled", took.as_millis());
        assert!(took <= BOUND + SLACK, "{what} took {took:?}");
    }
    // Whoever else is there notices nothing.
    for Open { what, wire } in &mut his {
        assert!(wire.is_silent(Duration::from_millis(50)), "{what} of another account");
    }
}
