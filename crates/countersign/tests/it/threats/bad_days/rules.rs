//! Rules of Bayeux, against the listener.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use super::{Audience, Channel, Duration, Ground, HELLO, Session, Value, connect, json};

/// All answers to these messages.
fn told(session: &Session<'_>, messages: &Value) -> Vec<Value> {
    serde_json::from_str(&session.say(&messages.to_string()).answered().body()).unwrap()
}

fn subscribe(client: &str, channel: &str) -> Value {
    json!({ "channel": "/meta/subscribe", "clientId": client, "subscription": channel, "id": "s" })
}

/// A client that listens to all that is its user's, and has connected once.
fn listening(session: &Session<'_>) -> String {
    let client = session.client();
    assert_eq!(told(session, &json!([subscribe(&client, "/v2/me/*")]))[0]["successful"], true);
    session.say(&connect(&client)).answered();
    client
}

/// Publishes to all sessions of the agent: how many clients it reached.
fn publish(ground: &Ground, channel: &str, data: &str) -> usize {
    let account = ground.world.service().account_named("users", "paveld@redwings.com").unwrap().account.id;
    let channel = Channel::parse(channel).unwrap();
    ground.world.push("mounted").publish(&Audience::Account(account), &channel, data).unwrap().reached
}

#[test]
fn bay3_nobody_learns_another_clients_id() {
    let ground = Ground::of("genesys");
    let (paul, again) = (Session::agent(&ground), Session::agent(&ground));
    let (his, other) = (listening(&paul), listening(&again));
    // Whatever is done in one session that the other hears of.
    paul.operate(r#"{"operationName":"StartContactCenterSession","channels":["voice"]}"#).answered();
    paul.operate(r#"{"operationName":"Ready"}"#).answered();
    told(&paul, &json!([{ "channel": "/v2/me/x", "clientId": his, "data": { "a": 1 } }]));
    assert_eq!(publish(&ground, "/v2/me/calls", r#"{"n":1}"#), 2);
    let heard = again.say(&connect(&other)).answered().body();
    assert!(heard.contains("/v2/me/calls"), "{heard}");
    assert!(!heard.contains(&his), "{heard}");
    assert!(his != other && his.len() >= 22, "128 bits at the least: {his}");
}

#[test]
fn bay4_each_pattern_is_authorized_and_a_wildcard_grants_nothing() {
    let ground = Ground::of("genesys");
    let paul = Session::agent(&ground);
    let client = paul.client();
    for pattern in ["/meta/*", "/meta/**", "/meta/connect", "/v3/*", "/v2/them/*", "/x"] {
        let answer = &told(&paul, &json!([subscribe(&client, pattern)]))[0];
        assert_eq!(answer["successful"], false, "{answer}");
        assert!(answer["error"].as_str().unwrap().starts_with("40"), "{answer}");
    }
    assert_eq!(told(&paul, &json!([subscribe(&client, "/**")]))[0]["successful"], true);
    paul.say(&connect(&client)).answered();
    // What is no channel of his reaches nobody, whatever the pattern matches.
    assert_eq!(publish(&ground, "/elsewhere/x", "1"), 0);
    assert_eq!(publish(&ground, "/v2/me/calls", "2"), 1);
    let heard = told(&paul, &serde_json::from_str(&connect(&client)).unwrap());
    let channels: Vec<&Value> = heard.iter().map(|message| &message["channel"]).collect();
    assert_eq!(channels, ["/meta/connect", "/v2/me/calls"], "{heard:?}");
}

#[test]
fn bay5_clients_do_not_publish() {
    let ground = Ground::of("genesys");
    let (paul, again) = (Session::agent(&ground), Session::agent(&ground));
    let (his, other) = (listening(&paul), listening(&again));
    for channel in ["/v2/me/calls", "/v2/me/x", "/x"] {
        let answer = &told(&paul, &json!([{ "channel": channel, "clientId": his, "data": "forged" }]))[0];
        assert_eq!(answer["error"], format!("403:{channel}:Publish denied"), "{answer}");
    }
    for channel in ["/meta/x", "/service/x"] {
        told(&paul, &json!([{ "channel": channel, "clientId": his, "data": "forged" }]));
    }
    assert_eq!(publish(&ground, "/v2/me/calls", "\"true\""), 2);
    let heard = again.say(&connect(&other)).answered().body();
    assert!(heard.contains("\"true\"") && !heard.contains("forged"), "{heard}");
}

#[test]
fn bay7_what_stands_beside_a_handshake_is_ignored() {
    let ground = Ground::of("genesys");
    let paul = Session::agent(&ground);
    let client = paul.client();
    paul.say(&connect(&client)).answered();
    let hello: Vec<Value> = serde_json::from_str(HELLO).unwrap();
    let beside = subscribe(&client, "/v2/me/*");
    let answers = told(&paul, &json!([beside, hello[0], beside]));
    assert_eq!(answers.iter().map(|answer| &answer["channel"]).collect::<Vec<_>>(), ["/meta/handshake"]);
    assert_eq!(publish(&ground, "/v2/me/calls", "1"), 0, "nobody has subscribed");
    assert_eq!(told(&paul, &json!([beside]))[0]["successful"], true);
    assert_eq!(publish(&ground, "/v2/me/calls", "1"), 1);
}

#[test]
fn bay9_no_script_of_another_page_is_answered_and_no_stranger_heard() {
    let ground = Ground::of("genesys");
    let paul = Session::agent(&ground);
    let mut hello: Value = serde_json::from_str(HELLO).unwrap();
    hello[0]["supportedConnectionTypes"] = json!(["callback-polling"]);
    let answer = &told(&paul, &hello)[0];
    assert_eq!((&answer["successful"], &answer["clientId"]), (&json!(false), &Value::Null), "{answer}");
    // What a page of anybody's would load as a script, with the cookies that the browser adds.
    let message = HELLO.replace('"', "%22").replace('[', "%5B").replace(']', "%5D");
    let message = message.replace('{', "%7B").replace('}', "%7D");
    let told_by_get = ground.send(&format!(
        "GET /api/v2/notifications/handshake?jsonp=alert&message={message} HTTP/1.1\nHost: mounted.example\nCookie: JSESSIONID={}",
        paul.cookie
    ));
    let body = told_by_get.body();
    assert!(!body.contains("alert(") && !body.contains("clientId"), "{}", told_by_get.bytes());
    // Without a client nothing is published.
    let heard = &told(&paul, &json!([{ "channel": "/v2/me/calls", "data": 1 }]))[0];
    assert_eq!(heard["successful"], false, "{heard}");
    assert!(heard["error"].as_str().unwrap().starts_with("402"), "{heard}");
}

/// A connect that is under way.
fn hold(session: &Session<'_>, client: &str) -> TcpStream {
    let body = connect(client);
    let mut stream = TcpStream::connect(session.ground.world.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = format!(
        "POST /api/v2/notifications HTTP/1.1\r\nHost: mounted.example\r\nConnection: close\r\nCookie: JSESSIONID={}\r\n\
         X-CSRF-TOKEN: {}\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
        session.cookie,
        session.token,
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

#[test]
fn bay10_a_newer_connect_takes_the_place_of_the_one_before() {
    let ground = Ground::of("genesys");
    let paul = Session::agent(&ground);
    let client = listening(&paul);
    let end = |mut stream: TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let (first, second) = (hold(&paul, &client), hold(&paul, &client));
    // One of the two, as they may come in either order, is told that it was replaced; the other is held.
    let (replaced, held) = {
        let until = Instant::now() + Duration::from_secs(60);
        let is_told = |stream: &TcpStream| {
            let before = stream.read_timeout().unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let is_told = stream.peek(&mut [0]).is_ok();
            stream.set_read_timeout(before).unwrap();
            is_told
        };
        loop {
            if is_told(&first) {
                break (first, second);
            }
            if is_told(&second) {
                break (second, first);
            }
            assert!(Instant::now() < until, "neither was replaced");
        }
    };
    let replaced = end(replaced);
    assert!(replaced.contains("409::Replaced by a newer connect"), "{replaced}");
    assert_eq!(publish(&ground, "/v2/me/calls", "\"to one\""), 1);
    let answer = end(held);
    assert!(answer.contains("to one") && !answer.contains("409"), "{answer}");
}
