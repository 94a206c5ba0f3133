//! Push channels on bad days: strangers, bombs, floods, and a gate that starts anew.

mod rules;

use std::time::Duration;

use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;
use countersign_identity::service::By;
use countersign_services::publish::Channel;
use countersign_services::push::Audience;
use serde_json::{Value, json};

use super::heard::Hearing;
use super::{Ground, Told, basic};
use crate::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, WINDOW_UPDATE, fields, frame};
use crate::raw::Client;

/// A session of the agent of the transcripts' world, on the API whose push channels are the gate's.
struct Session<'g> {
    ground: &'g Ground,
    cookie: String,
    token: String,
}

impl<'g> Session<'g> {
    fn new(ground: &'g Ground, user: &str, password: &str) -> Self {
        let authorization = basic(user, password);
        let told = ground
            .send(&format!("GET /api/v2/me HTTP/1.1\nHost: mounted.example\nAuthorization: {authorization}"))
            .answered();
        Self { ground, cookie: told.cookie("JSESSIONID"), token: told.header("x-csrf-token") }
    }

    fn agent(ground: &'g Ground) -> Self {
        Self::new(ground, "paveld@redwings.com", "password-of-paul")
    }

    fn say(&self, body: &str) -> Told {
        let Self { cookie, token, .. } = self;
        self.ground.send(&format!(
            "POST /api/v2/notifications HTTP/1.1\nHost: mounted.example\nCookie: JSESSIONID={cookie}\nX-CSRF-TOKEN: {token}\nContent-Type: application/json;charset=UTF-8\n\n{body}"
        ))
    }

    fn operate(&self, body: &str) -> Told {
        let Self { cookie, token, .. } = self;
        self.ground.send(&format!(
            "POST /api/v2/me HTTP/1.1\nHost: mounted.example\nCookie: JSESSIONID={cookie}\nX-CSRF-TOKEN: {token}\nContent-Type: application/json\n\n{body}"
        ))
    }

    /// In which state the agent's voice channel is.
    fn state(&self) -> String {
        let told = self.ground.send(&format!(
            "GET /api/v2/me?subresources=channels HTTP/1.1\nHost: mounted.example\nCookie: JSESSIONID={}",
            self.cookie
        ));
        told.member("/user/channels/0/userState/state")
    }

    fn client(&self) -> String {
        self.say(HELLO).member("/0/clientId")
    }
}

const HELLO: &str =
    r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;

fn connect(client: &str) -> String {
    json!([{ "channel": "/meta/connect", "clientId": client, "connectionType": "long-polling", "id": "1" }])
        .to_string()
}

#[test]
fn bay_without_session_or_proof_nobody_shakes_hands() {
    let ground = Ground::of("genesys");
    let session = Session::agent(&ground);
    let post = |fields: &str| {
        ground.send(&format!(
            "POST /api/v2/notifications/handshake HTTP/1.1\nHost: mounted.example\nContent-Type: application/json{fields}\n\n{HELLO}"
        ))
    };
    let authorization = basic("paveld@redwings.com", "password-of-paul");
    let other = Session::new(&ground, "mikeb@redwings.com", "password-of-mike");
    let refused = [
        String::new(),
        format!("\nAuthorization: {authorization}"),
        format!("\nCookie: JSESSIONID={}", session.cookie),
        format!("\nX-CSRF-TOKEN: {}", session.token),
        format!("\nCookie: JSESSIONID={}\nX-CSRF-TOKEN: {}", session.cookie, other.token),
    ];
    for fields in refused {
        assert!(post(&fields).refused(403).body().contains("Missing or invalid Csrf token"), "{fields}");
    }
    // A session that nobody logged in to has no channels, though its proof is right.
    let told = ground.send("GET /api/v2/diagnostics/version HTTP/1.1\nHost: mounted.example").answered();
    let nobody =
        Session { ground: &ground, cookie: told.cookie("JSESSIONID"), token: told.header("x-csrf-token") };
    assert!(nobody.say(HELLO).refused(403).body().contains("\"statusCode\":20"));
    session.say(HELLO).answered();
}

#[test]
fn bay_unknown_and_foreign_clients_look_alike_and_nothing_is_done_in_their_name() {
    let ground = Ground::of("genesys");
    let (paul, mike) =
        (Session::agent(&ground), Session::new(&ground, "mikeb@redwings.com", "password-of-mike"));
    // Another session of the same user is another session.
    let again = Session::agent(&ground);
    let client = paul.client();
    paul.say(&connect(&client)).answered();
    let unknown = "0".repeat(32);
    for channel in ["/meta/connect", "/meta/subscribe", "/meta/unsubscribe", "/meta/disconnect", "/v2/me/x"] {
        let message = |client: &str| {
            json!([{ "channel": channel, "clientId": client, "connectionType": "long-polling", "id": "1",
                     "subscription": "/v2/me/*", "data": {} }])
            .to_string()
        };
        let expected = paul.say(&message(&unknown)).answered().body();
        assert!(
            expected.contains("402::Unknown client") && expected.contains("\"reconnect\":\"handshake\""),
            "{expected}"
        );
        for thief in [&mike, &again] {
            assert_eq!(thief.say(&message(&client)).answered().body(), expected, "{channel}");
        }
    }
    let subscribe =
        json!([{ "channel": "/meta/subscribe", "clientId": client, "subscription": "/v2/me/*" }]).to_string();
    assert!(paul.say(&subscribe).body().contains("\"successful\":true"), "it was not disconnected");
}

#[test]
fn bay_a_session_that_expires_takes_its_clients_along() {
    let ground = Ground::of("genesys");
    let session = Session::agent(&ground);
    let client = session.client();
    session.say(&connect(&client)).answered();
    // Longer than a session lives that nobody uses.
    ground.world.wait(Duration::from_secs(24 * 3600));
    let told = session.say(&connect(&client));
    assert_eq!(told.status(), 200, "{}", told.body());
    assert!(told.body().contains("402::Unknown client") && told.body().contains("\"reconnect\":\"none\""));
    session.say(&connect(&"0".repeat(32))).refused(403);
    session.say(HELLO).refused(403);
}

#[test]
fn bay_a_client_that_never_reads_is_dropped_and_the_others_miss_nothing() {
    const EVENTS: usize = 300;
    let ground = Ground::of("genesys");
    let (deaf, other) = (Session::agent(&ground), Session::agent(&ground));
    let listen = |session: &Session<'_>| {
        let client = session.client();
        let subscribe =
            json!([{ "channel": "/meta/subscribe", "clientId": client, "subscription": "/v2/me/*" }]);
        assert!(session.say(&subscribe.to_string()).body().contains("\"successful\":true"));
        session.say(&connect(&client)).answered();
        client
    };
    let (deaf_client, client) = (listen(&deaf), listen(&other));
    let account = ground.world.service().account_named("users", "paveld@redwings.com").unwrap().account.id;
    let channel = Channel::parse("/v2/me/calls").unwrap();
    let mut dropped = 0;
    let mut heard: Vec<Value> = Vec::new();
    for number in 0..EVENTS {
        let data = json!({ "n": number, "filler": "x".repeat(1000) }).to_string();
        let push = ground.world.push("mounted");
        dropped += push.publish(&Audience::Account(account), &channel, &data).unwrap().dropped;
        // One of the two reads now and then.
        if number % 100 == 99 {
            let told: Vec<Value> = serde_json::from_str(&other.say(&connect(&client)).body()).unwrap();
            heard.extend(told.into_iter().filter(|message| message["channel"] == "/v2/me/calls"));
        }
    }
    assert_eq!(dropped, 1);
    let numbers: Vec<usize> = (0..EVENTS).collect();
    assert_eq!(heard.iter().map(|event| event["data"]["n"].clone()).collect::<Vec<_>>(), numbers);
    let told = deaf.say(&connect(&deaf_client)).body();
    assert!(told.contains("402::Unknown client") && told.contains("\"reconnect\":\"handshake\""), "{told}");
    assert!(!told.contains("filler"), "what had waited for it is gone");
}

#[test]
fn bay_bombs_are_refused_and_others_are_undisturbed() {
    let ground = Ground::of("genesys");
    let session = Session::agent(&ground);
    let client = session.client();
    let deep = "[".repeat(60_000);
    let wide = format!("[{}]", vec!["{}"; 5000].join(","));
    let long = format!(r#"[{{"channel":"/{}","clientId":"{client}"}}]"#, "x".repeat(1024 * 1024));
    for (bomb, status) in [(deep.as_str(), 400), (wide.as_str(), 400), ("", 400), (long.as_str(), 413)] {
        let told = session.say(bomb).refused(status);
        assert!(told.body().starts_with("{\"statusCode\":10,"), "{}", told.body());
    }
    let channel = format!("/{}", "x".repeat(5000));
    let body =
        json!([{ "channel": "/meta/subscribe", "clientId": client, "subscription": channel, "id": "7" }]);
    let told = session.say(&body.to_string()).answered();
    assert!(
        told.body().contains("the channel name is too long") && told.body().len() < 300,
        "{}",
        told.body()
    );
    let told = session.say(&connect(&client)).answered();
    assert!(told.body().contains("\"successful\":true"), "{}", told.body());
}

/// One of his calls waits for the store and eight for that one; others do what they want meanwhile.
#[test]
fn f12_an_agent_who_calls_many_times_at_once_waits_for_himself_alone() {
    let ground = Ground::of("genesys");
    let draft = AccountDraft {
        roles: vec!["ROLE_AGENT".to_owned()],
        password: Some(Secret::new("a long enough password")),
        ..AccountDraft::new("users", "ann")
    };
    let created = ground.world.service().create_account(draft, By::gate(), ground.world.now());
    ground.world.block_on(created).unwrap();
    let (many, other) = (Session::agent(&ground), Session::new(&ground, "ann", "a long enough password"));
    many.operate(r#"{"operationName":"StartContactCenterSession","channels":["voice"]}"#).answered();
    let ready = r#"{"operationName":"Ready"}"#;
    other.operate(ready).refused(400);
    ground.world.keep_writers_waiting();
    let request = format!(
        "POST /api/v2/me HTTP/1.1\r\nHost: mounted.example\r\nCookie: JSESSIONID={}\r\nX-CSRF-TOKEN: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ready}",
        many.cookie,
        many.token,
        ready.len()
    );
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            let (tell, request, address) = (tell.clone(), request.as_bytes(), ground.world.address);
            scope.spawn(move || {
                let answer = Client::new(address).exchange(0, request).unwrap();
                tell.send(answer.head.status()).unwrap();
            });
        }
        assert_eq!(told.recv().unwrap(), 429, "one too many, while the others wait");
        // She has not logged in; that is what she is told, and not when he is done.
        other.operate(ready).refused(400);
        assert!(told.try_recv().is_err());
        ground.world.tell_writers();
    });
    let mut rest: Vec<u16> = told.try_iter().collect();
    rest.sort_unstable();
    assert_eq!(rest, [200, 200, 200, 200, 200, 200, 200, 200, 503]);
}

/// What waits is sent again until it is acknowledged, a mebibyte for a few bytes; and an HTTP/2 client need take nothing.
#[test]
fn bay11_no_more_is_made_for_whoever_takes_nothing_of_what_was() {
    let ground = Ground::of("genesys");
    let session = Session::agent(&ground);
    let hello = HELLO.replace("}]", ",\"ext\":{\"ack\":true}}]");
    let client = session.say(&hello).member("/0/clientId");
    let subscribe = json!([{ "channel": "/meta/subscribe", "clientId": client, "subscription": "/v2/me/*" }]);
    session.say(&subscribe.to_string()).answered();
    session.say(&connect(&client)).answered();
    let account = ground.world.service().account_named("users", "paveld@redwings.com").unwrap().account.id;
    let data = json!("x".repeat(60_000)).to_string();
    for _ in 0..17 {
        let channel = Channel::parse("/v2/me/calls").unwrap();
        let published = ground.world.push("mounted").publish(&Audience::Account(account), &channel, &data);
        assert_eq!(published.unwrap().reached, 1);
    }
    let cookie = format!("JSESSIONID={}", session.cookie);
    let post = fields(&[
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"mounted.example"),
        (b":path", b"/api/v2/notifications"),
        (b"cookie", cookie.as_bytes()),
        (b"x-csrf-token", session.token.as_bytes()),
        (b"content-type", b"application/json"),
    ]);
    let body = connect(&client);
    // Whether it is answered well; 200 has a place in the static table of names (RFC 7541 appendix A).
    let head = |stream: u32| frame(HEADERS, END_HEADERS, stream, &post);
    let end = |frames: &mut Frames, stream: u32| {
        frames.send(&frame(DATA, END_STREAM, stream, body.as_bytes())).unwrap();
        let head = std::iter::from_fn(|| frames.next()).find(|frame| frame.kind == HEADERS).unwrap();
        assert_eq!(head.stream, stream);
        head.payload.first() == Some(&0x88)
    };
    let ask = |frames: &mut Frames, stream: u32| {
        frames.send(&head(stream)).unwrap();
        end(frames, stream)
    };
    let mut frames = Frames::open(ground.world.address, &[]);
    // Its body is waited for while others are answered.
    frames.send(&head(1)).unwrap();
    // Eight are not quite eight mebibytes.
    for stream in (3..=19).step_by(2) {
        assert!(ask(&mut frames, stream), "{stream}");
    }
    let hearing = Hearing::begin();
    assert!(!end(&mut frames, 1));
    assert!(!ask(&mut frames, 21));
    assert!(ask(&mut Frames::open(ground.world.address, &[]), 1), "another connection");
    // It takes one.
    for stream in [0, 3] {
        frames.send(&frame(WINDOW_UPDATE, 0, stream, &2_000_000_u32.to_be_bytes())).unwrap();
    }
    assert_eq!(frames.ended(3), Ok(()));
    hearing.wait_for("answers to take before");
    assert!(ask(&mut frames, 23));
}

#[test]
fn bay_a_flood_of_handshakes_pushes_out_its_own_clients_alone() {
    let ground = Ground::of("genesys");
    let (flood, other) =
        (Session::agent(&ground), Session::new(&ground, "mikeb@redwings.com", "password-of-mike"));
    let (first, bystander) = (flood.client(), other.client());
    for _ in 0..100 {
        flood.say(HELLO).answered();
    }
    let push = ground.world.push("mounted");
    assert_eq!(push.clients(), 32 + 1, "so many a session may have, and the bystander's");
    assert!(flood.say(&connect(&first)).body().contains("402::Unknown client"));
    assert!(other.say(&connect(&bystander)).body().contains("\"successful\":true"));
}

#[test]
fn bay_after_a_restart_the_session_goes_on_and_its_client_shakes_hands_anew() {
    let ground = Ground::of("genesys");
    let session = Session::agent(&ground);
    let client = session.client();
    session.say(&connect(&client)).answered();
    session.operate(r#"{"operationName":"StartContactCenterSession","channels":["voice"]}"#).answered();
    session.operate(r#"{"operationName":"Ready"}"#).answered();
    let after = ground.still_loading();
    let session = Session { ground: &after, ..session };
    // The agent is in the state that he was in.
    assert_eq!(session.state(), "Ready");
    session.operate(r#"{"operationName":"NotReady"}"#).answered();
    assert_eq!(session.state(), "NotReady");
    let told = session.say(&connect(&client));
    assert_eq!(told.status(), 200, "{}", told.body());
    assert!(
        told.body().contains("402::Unknown client") && told.body().contains("\"reconnect\":\"handshake\"")
    );
    let again = session.client();
    assert!(session.say(&connect(&again)).body().contains("\"successful\":true"));
    // Whoever left has left.
    session.operate(r#"{"operationName":"EndContactCenterSession"}"#).answered();
    let later = ground.still_loading();
    let session = Session::agent(&later);
    session.operate(r#"{"operationName":"Ready"}"#).refused(400);
}
