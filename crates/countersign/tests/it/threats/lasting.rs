//! E4: what a token or a session opened, when its time is over: that of a signed token by itself, that of one which only its
//! issuer can read when the issuer says so.

mod issuer;
mod sessions;
mod turns;

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use countersign_auth::port::foreign::IssuerTerms;
use countersign_gateway::limits::Limits;
use countersign_identity::issuers::TrustedIssuer;
use serde_json::json;

use self::issuer::{Asked, ask};
use super::Ground;
use crate::raw::Wire;
use crate::transcript::Manners;
use crate::world::keys;

const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
at      = ["/"]
issuers = { "http://www.enactor.co/" = "self" }

[[api.route]]
at      = "/channel"
allow   = "authenticated"
upgrade = true

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
kind     = "customers"
name     = "jane"
password = "basket-case-8"
"#;

const LOG_IN: &str = "POST /identity/token HTTP/1.1\nHost: a.example\nContent-Type: application/json\n\n\
    {\"userName\":\"jane\",\"password\":\"basket-case-8\"}";
const ISSUER: &str = "https://issuer.example";
/// The lifetime of the tokens of both issuers that sign.
const LIFETIME: Duration = Duration::from_secs(3600);
/// What clocks may differ by.
const LEEWAY: Duration = Duration::from_secs(30);
/// How long an issuer's word is good.
const REMEMBERED: Duration = Duration::from_secs(30);
/// How long channels go on without one.
const UNHEARD: Duration = Duration::from_secs(60);
const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
/// How long what is no stream goes on, if its length was not told.
const UNTOLD: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_secs(2);
/// Many beats of the gate.
const SILENCE: Duration = Duration::from_millis(300);
/// Longer than anything takes that has to come.
const DEADLINE: Duration = Duration::from_secs(60);

fn ground() -> Ground {
    ground_of("enactor", WORLD)
}

fn ground_of(dialect: &str, world: &str) -> Ground {
    let limits = Limits { tick: Duration::from_millis(20), ..Limits::default() };
    let ground = Ground::limited_in(dialect, world, limits, DEADLINE * 10);
    ground.world.stop_clock();
    ground
}

/// What somebody has open.
struct Open {
    socket: Wire,
    stream: Wire,
    /// An answer whose length was not told, and that is no stream.
    export: Wire,
    /// An answer whose length was told.
    download: Wire,
    /// A request whose answer has not begun.
    waiting: Wire,
}

impl Open {
    /// Opens everything with a token.
    fn with(ground: &Ground, token: &str) -> Self {
        Self::showing(ground, &format!("Authorization: Bearer {token}"))
    }

    /// Opens everything with what stands on a line.
    fn showing(ground: &Ground, credential: &str) -> Self {
        let upstream = &ground.world.upstream;
        let send = |path: &str, more: &str| {
            let stream = TcpStream::connect(ground.world.address).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut wire = Wire::new(stream);
            let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{credential}\r\n{more}\r\n");
            wire.send(request.as_bytes()).unwrap();
            wire
        };
        let answered = |path: &str, more: &str, status: u16, answer: &str| {
            upstream.reply(answer.as_bytes().to_vec());
            let mut wire = send(path, more);
            assert_eq!(wire.head().unwrap().unwrap().status(), status, "{path}");
            wire
        };
        let socket = answered(
            "/channel",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            101,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        let stream = answered("/events", "", 200, STREAM);
        let export = answered("/export", "", 200, &STREAM.replace("text/event-stream", "text/csv"));
        let download = answered("/file", "", 200, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst");
        upstream.behave(Manners::Silent);
        let waiting = send("/slow", "");
        until("the request reaches the service", || upstream.waiting() > 0);
        upstream.behave(Manners::Up);
        upstream.take();
        let mut open = Self { socket, stream, export, download, waiting };
        // What the service has said is taken.
        let _first = open.stream.is_silent(SILENCE);
        let _first = open.export.is_silent(SILENCE);
        let _first = open.download.is_silent(SILENCE);
        open
    }

    #[track_caller]
    fn goes_on(&mut self) {
        for (what, wire) in [("socket", &mut self.socket), ("stream", &mut self.stream)] {
            assert!(wire.is_silent(SILENCE), "the {what} has ended");
        }
        self.is_exported();
        self.is_answered();
    }

    /// What ends by itself, but nobody knows when.
    #[track_caller]
    fn is_exported(&mut self) {
        assert!(self.export.is_silent(SILENCE), "the export has ended");
    }

    /// What was asked for while the token was good, and ends by itself.
    #[track_caller]
    fn is_answered(&mut self) {
        for (what, wire) in [("download", &mut self.download), ("waiting", &mut self.waiting)] {
            assert!(wire.is_silent(SILENCE), "the {what} has ended");
        }
    }

    /// The token's time is over.
    #[track_caller]
    fn has_expired(&mut self) {
        ends("socket", &mut self.socket);
        ends("stream", &mut self.stream);
        self.is_exported();
        self.is_answered();
    }

    /// It has been for so long that there is no telling whether the export ends at all.
    #[track_caller]
    fn has_long_expired(&mut self) {
        ends("export", &mut self.export);
        self.is_answered();
    }

    /// Its issuer no longer stands by it.
    #[track_caller]
    fn is_over(&mut self) {
        ends("socket", &mut self.socket);
        ends("stream", &mut self.stream);
        ends("export", &mut self.export);
        self.is_answered();
    }
}

#[track_caller]
fn ends(what: &str, wire: &mut Wire) {
    let rest = wire.rest().unwrap_or_else(|error| panic!("the {what} goes on: {error}"));
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the {what} must not look whole");
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn status(ground: &Ground, token: &str) -> u16 {
    ground.send(&format!("GET /x HTTP/1.1\nHost: a.example\nAuthorization: Bearer {token}")).status()
}

#[test]
fn e4_what_a_signed_token_opened_ends_with_the_token() {
    let ground = ground();
    let terms = IssuerTerms { audience: Some("gate".to_owned()), ..IssuerTerms::default() };
    let trusted = TrustedIssuer::Keys(vec![keys::public("foreign")]);
    ground.world.service().trust_issuer_on("shop", ISSUER, trusted, Some(terms));
    let now = ground.world.now().unix_secs();
    let end = now + i64::try_from(LIFETIME.as_secs()).unwrap();
    let foreign = keys::minted(
        "foreign",
        &json!({ "alg": "RS256" }),
        &json!({ "iss": ISSUER, "aud": "gate", "sub": "7", "iat": now, "exp": end }),
    );
    let own = ground.send(LOG_IN).answered().member("/access_token");
    let mut open = [&own, &foreign].map(|token| (token, Open::with(&ground, token)));
    ground.world.wait(LIFETIME + LEEWAY - MOMENT);
    for (token, open) in &mut open {
        open.goes_on();
        assert_eq!(status(&ground, token), 200, "clocks may differ");
    }
    ground.world.wait(2 * MOMENT);
    for (token, open) in &mut open {
        open.has_expired();
        assert_eq!(status(&ground, token), 401);
    }
    ground.world.wait(UNTOLD - 2 * MOMENT);
    open.iter_mut().for_each(|(_, open)| open.is_exported());
    ground.world.wait(2 * MOMENT);
    open.iter_mut().for_each(|(_, open)| open.has_long_expired());
}

/// The question proves nothing anew: a rule on the age of proofs counts from when the token was issued.
#[test]
fn e5_a_token_that_its_issuer_is_asked_about_is_a_proof_of_when_it_was_issued() {
    let recent = "[[api.route]]\nat = \"/recent\"\nallow = { max_age = \"10m\" }\n\n[[account]]";
    let ground = ground_of("enactor", &WORLD.replacen("[[account]]", recent, 1));
    let issuer = Asked::start();
    ask(&ground, &issuer);
    let now = ground.world.now().unix_secs();
    let floating = f64::from(u32::try_from(now).unwrap());
    for (number, (issued, expected)) in [
        (json!(now - 60), 200),
        (json!((now - 60) * 1000), 200),
        (json!(floating - 60.5), 200),
        (json!(now + 60), 200),
        (json!(now - 601), 401),
        (json!((now - 601) * 1000), 401),
        (json!(floating - 601.5), 401),
        (json!((now - 60).to_string()), 401),
        (json!(null), 401),
        (json!("absent"), 401),
    ]
    .into_iter()
    .enumerate()
    {
        let mut answer = json!({ "active": true, "sub": "7", "iat": issued });
        if issued == json!("absent") {
            answer.as_object_mut().unwrap().remove("iat");
        }
        issuer.says("200 OK", &answer);
        let token = format!("t-{number}");
        let recent = format!("GET /recent HTTP/1.1\nHost: a.example\nAuthorization: Bearer {token}");
        assert_eq!(ground.send(&recent).status(), expected, "{issued}");
        assert_eq!(status(&ground, &token), 200, "{issued}");
    }
}

#[test]
fn f2_an_issuer_is_asked_about_tokens_and_answers_of_some_length_alone() {
    let ground = ground();
    let issuer = Asked::start();
    ask(&ground, &issuer);
    let good = json!({ "active": true, "sub": "7", "scope": [] });
    issuer.says("200 OK", &good);
    let token = |length: usize| "t".repeat(length);
    assert_eq!(status(&ground, &token(16 * 1024)), 200);
    let asked = issuer.asked();
    assert_eq!(status(&ground, &token(16 * 1024 + 1)), 401);
    assert_eq!(issuer.asked(), asked);
    let padded = |length: usize| {
        let around = json!({ "active": true, "sub": "7", "x": "" }).to_string().len();
        json!({ "active": true, "sub": "7", "x": "x".repeat(length - around) })
    };
    issuer.says("200 OK", &padded(64 * 1024));
    assert_eq!(status(&ground, "long"), 200);
    issuer.says("200 OK", &padded(64 * 1024 + 1));
    assert_eq!(status(&ground, "too long"), 503);
}

/// A request with a token, of which nothing was read.
fn present(ground: &Ground, token: &str) -> Wire {
    let mut stream = TcpStream::connect(ground.world.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("GET /x HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    Wire::new(stream)
}

/// Streams of so many tokens.
fn streams(ground: &Ground, tokens: usize) -> Vec<Wire> {
    let open = |number: usize| {
        ground.world.upstream.reply(STREAM.into());
        let mut wire = present(ground, &format!("t-{number}"));
        assert_eq!(wire.head().unwrap().unwrap().status(), 200, "{number}");
        let _first = wire.is_silent(SILENCE / 10);
        wire
    };
    (0..tokens).map(open).collect()
}

#[test]
fn f2_channels_wait_for_their_turn_to_have_an_issuer_asked() {
    const MOST: usize = 32;
    const CHANNELS: usize = 100;
    let ground = ground();
    let issuer = Asked::start();
    ask(&ground, &issuer);
    issuer.says("200 OK", &json!({ "active": true, "sub": "7" }));
    let begun =
        |questions: usize| move |issuer: &Asked| issuer.shared.begun.load(Ordering::SeqCst) == questions;
    let mut open = streams(&ground, CHANNELS);
    let held = issuer.shared.held.lock().unwrap();
    ground.world.wait(REMEMBERED + MOMENT);
    until("as many as may be are asked about", || begun(CHANNELS + MOST)(&issuer));
    // A first request finds a place, whoever waits for one.
    let mut first = present(&ground, "first");
    until("it is asked about", || begun(CHANNELS + MOST + 1)(&issuer));
    drop(held);
    assert_eq!(first.head().unwrap().unwrap().status(), 200);
    until("all are asked about", || begun(2 * CHANNELS + 1)(&issuer));
    until("all are answered", || issuer.asked() == 2 * CHANNELS + 1);
    // Longer than they go on without having been heard.
    ground.world.wait(REMEMBERED / 2);
    for (number, wire) in open.iter_mut().enumerate() {
        assert!(wire.is_silent(SILENCE / 10), "{number} has ended");
    }
}

#[test]
fn e4_an_issuer_is_asked_about_the_very_token_that_opened_a_channel() {
    let ground = ground();
    let issuer = Asked::start();
    ask(&ground, &issuer);
    issuer.says("200 OK", &json!({ "active": true, "sub": "7" }));
    let first = streams(&ground, 3);
    assert_eq!(issuer.about(), ["t-0", "t-1", "t-2"]);
    // Those that are opened by what is remembered know their tokens as well.
    drop(first);
    let _open = streams(&ground, 3);
    assert!(issuer.about().is_empty());
    ground.world.wait(REMEMBERED + MOMENT);
    until("all are asked about again", || issuer.asked() == 6);
    assert_eq!(issuer.about(), ["t-0", "t-1", "t-2"]);
}

#[test]
fn e4_channels_whose_tokens_expire_are_nobodys_failures() {
    // More than an address may fail in a minute.
    const CHANNELS: usize = 60;
    let ground = ground();
    let issuer = Asked::start();
    ask(&ground, &issuer);
    let end = ground.world.now().plus(REMEMBERED / 2).unix_secs();
    issuer.says("200 OK", &json!({ "active": true, "sub": "7", "exp": end }));
    let mut open = streams(&ground, CHANNELS);
    let asked = issuer.asked();
    issuer.says("200 OK", &json!({ "active": false }));
    ground.world.wait(REMEMBERED / 2);
    for (number, wire) in open.iter_mut().enumerate() {
        wire.rest().unwrap_or_else(|error| panic!("{number} goes on: {error}"));
    }
    assert_eq!(issuer.asked(), asked, "there is nothing to ask");
    // Nor are those that their issuer ends.
    issuer.says("200 OK", &json!({ "active": true, "sub": "7" }));
    let mut open = streams(&ground, CHANNELS);
    issuer.says("200 OK", &json!({ "active": false }));
    ground.world.wait(REMEMBERED + MOMENT);
    for (number, wire) in open.iter_mut().enumerate() {
        wire.rest().unwrap_or_else(|error| panic!("{number} goes on: {error}"));
    }
    assert_eq!(issuer.asked(), asked + 2 * CHANNELS);
    ground.world.upstream.take();
    ground.send(LOG_IN).answered().member("/access_token");
}

#[test]
fn e4_a_channel_goes_on_while_others_use_up_its_address() {
    let ground = ground();
    let issuer = Asked::start();
    ask(&ground, &issuer);
    issuer.says("200 OK", &json!({ "active": true, "sub": "7" }));
    let mut open = streams(&ground, 1);
    // For longer than a channel goes on without its issuer's word.
    for round in 0..5 {
        let before = issuer.asked();
        let tried: Vec<u16> =
            (0..60).map(|number| status(&ground, &format!("garbage-{round}-{number}"))).collect();
        assert_eq!(tried.last(), Some(&429));
        let garbage = issuer.asked() - before;
        ground.world.wait(REMEMBERED + MOMENT);
        until("the issuer is asked again", || issuer.asked() > before + garbage);
        assert!(open.iter_mut().all(|wire| wire.is_silent(SILENCE)), "after {round}");
    }
}

#[test]
fn e4_what_an_opaque_token_opened_ends_when_its_issuer_says_so() {
    let ground = ground();
    let issuer = Asked::start();
    let good = json!({ "active": true, "sub": "7", "scope": ["read", "write"] });
    issuer.says("200 OK", &good);
    ask(&ground, &issuer);
    let open = |token: &str| {
        issuer.says("200 OK", &good);
        Open::with(&ground, token)
    };
    // The word is old a moment later; whoever goes on meanwhile makes the gate ask.
    let pass = |span: Duration| {
        let before = issuer.asked();
        ground.world.wait(span);
        until("the issuer is asked again", || issuer.asked() > before);
    };

    let mut lasting = open("lasting");
    for _ in 0..3 {
        pass(REMEMBERED + MOMENT);
        lasting.goes_on();
    }
    // Roles in another order are the same.
    issuer.says("200 OK", &json!({ "active": true, "sub": "7", "scope": ["write", "read"] }));
    pass(REMEMBERED + MOMENT);
    lasting.goes_on();
    // An issuer that is away for a moment ends nothing that goes on, and lets nobody in.
    issuer.says("500 Internal Server Error", &json!({}));
    pass(REMEMBERED + MOMENT);
    lasting.goes_on();
    assert_eq!(status(&ground, "lasting"), 503);
    issuer.says("200 OK", &good);
    pass(3 * MOMENT);
    lasting.goes_on();
    assert_eq!(status(&ground, "lasting"), 200);
    issuer.says("500 Internal Server Error", &json!({}));
    pass(REMEMBERED + UNHEARD + MOMENT);
    lasting.has_expired();
    drop(lasting);

    let mut expiring = {
        let end = ground.world.now().plus(REMEMBERED / 2).unix_secs();
        issuer.says("200 OK", &json!({ "active": true, "sub": "7", "scope": [], "exp": end }));
        Open::with(&ground, "expiring")
    };
    let asked = issuer.asked();
    ground.world.wait(REMEMBERED / 2);
    expiring.has_expired();
    ground.world.wait(UNTOLD - MOMENT);
    expiring.is_exported();
    ground.world.wait(MOMENT);
    expiring.has_long_expired();
    assert_eq!(issuer.asked(), asked, "what its end is was told");
    drop(expiring);

    let causes = [
        ("revoked", json!({ "active": false })),
        ("another role", json!({ "active": true, "sub": "7", "scope": ["read"] })),
        ("expired", json!({ "active": true, "sub": "7", "scope": ["read", "write"], "exp": 1 })),
    ];
    for (cause, word) in causes {
        println!("{cause}");
        let mut ended = open(cause);
        issuer.says("200 OK", &word);
        pass(REMEMBERED + MOMENT);
        ended.is_over();
    }

    // What a channel has heard is so for requests at once, though the word that was remembered would be good for a moment.
    let mut ended = open("taken back");
    issuer.says("200 OK", &json!({ "active": false }));
    pass(REMEMBERED.saturating_sub(Duration::from_millis(1)));
    ended.is_over();
    assert_eq!(status(&ground, "taken back"), 401);
}
