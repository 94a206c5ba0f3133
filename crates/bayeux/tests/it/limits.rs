//! Bodies that are too much.

use countersign_bayeux::{BodyError, Channel, Options, PublishError, Received, To};
use proptest::prelude::{any, prop, proptest};
use serde_json::{Value, json};

use crate::world::{Who, connect, handshake, world, world_with};

const ANN: Who = Who(1, 11);

#[test]
fn bodies_that_are_no_messages_are_refused_as_a_whole() {
    let deep = format!(r#"[{{"channel":"/a","data":{}{}}}]"#, "[".repeat(63), "]".repeat(63));
    let not_so_deep = format!(r#"[{{"channel":"/a","data":{}{}}}]"#, "[".repeat(62), "]".repeat(62));
    let many = json!(vec![handshake(); 65]).to_string();
    let cases = [
        ("", Some(BodyError::Malformed)),
        ("[]", Some(BodyError::Malformed)),
        ("[1]", Some(BodyError::Malformed)),
        ("[[]]", Some(BodyError::Malformed)),
        ("[{\"channel\":\"/a\"}", Some(BodyError::Malformed)),
        ("message=%5B%5D", Some(BodyError::Malformed)),
        (deep.as_str(), Some(BodyError::TooDeep)),
        (not_so_deep.as_str(), None),
        (many.as_str(), Some(BodyError::TooMany)),
        ("  {\"channel\":\"[[[[[\\\"[[[\"}", None),
    ];
    for (body, expected) in cases {
        let got = world().server.receive(&ANN, None, body.as_bytes(), 0).err();
        assert_eq!(got, expected, "{}", body.get(..body.len().min(60)).unwrap());
    }
    assert_eq!(world().server.receive(&ANN, None, b"[\"\xff\"]", 0).err(), Some(BodyError::Malformed));
    let bomb = "[".repeat(64 * 1024);
    assert_eq!(world().server.receive(&ANN, None, bomb.as_bytes(), 0).err(), Some(BodyError::TooDeep));
    let name = format!(r#"[{{"channel":"/{}"}}]"#, "x".repeat(1024 * 1024));
    assert_eq!(world().server.receive(&ANN, None, name.as_bytes(), 0).err(), Some(BodyError::TooLong));
}

#[test]
fn a_long_channel_is_refused_in_few_words() {
    let world = world();
    let id = world.client(ANN);
    let long = format!("/{}", "x".repeat(60_000));
    for message in [
        json!({"id":"1","channel":long,"clientId":id,"data":1}),
        json!({"id":"1","channel":"/meta/subscribe","clientId":id,"subscription":long}),
        json!({"id":"1","channel":long,"clientId":"nobody"}),
    ] {
        let told = world.say(ANN, &message);
        assert_eq!(told[0]["successful"], false);
        assert!(told[0].to_string().len() < 400, "{told:?}");
    }
}

#[test]
fn ids_that_are_no_ids_are_not_repeated() {
    let world = world();
    let id = world.client(ANN);
    let (fits, long) = ("9".repeat(62), "9".repeat(63));
    for (given, echoed) in [
        (json!("5"), json!("5")),
        (json!(5), json!(5)),
        (json!({"a":1}), json!(null)),
        (json!(null), json!(null)),
        (json!(fits), json!(fits)),
        (json!(long), json!(null)),
    ] {
        let mut message = connect(&id, 1);
        message["id"] = given;
        message["advice"] = json!({"timeout":0});
        assert_eq!(world.say(ANN, &message)[0]["id"], echoed);
    }
}

#[test]
fn events_are_bounded_in_bytes_and_depth() {
    let world = world();
    let channel = Channel::parse("/a").unwrap();
    let publish = |data: &str| world.server.publish(&To::Everybody, &channel, data).map(|_| ());
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(publish(&long(64 * 1024)), Ok(()));
    assert_eq!(publish(&long(64 * 1024 + 1)), Err(PublishError::Data));
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(publish(&deep(64)), Ok(()));
    assert_eq!(publish(&deep(65)), Err(PublishError::Data));
}

#[test]
fn half_of_a_surrogate_pair_spoils_no_answer() {
    let world = world();
    let id = world.client(ANN);
    world.subscribe(ANN, &id, "/chat/x");
    let say = |message_id: &str, data: &str| {
        let body = format!(r#"{{"channel":"/chat/x","clientId":"{id}","id":{message_id},"data":{data}}}"#);
        match world.server.receive(&ANN, None, body.as_bytes(), world.now).unwrap() {
            Received::Answer(answer) => serde_json::from_str::<Vec<Value>>(&answer).unwrap(),
            Received::Greeting { .. } | Received::Held(_) => panic!("neither"),
        }
    };
    let told = say(r#""\ud83d""#, r#""\ud83d\ude00""#);
    assert_eq!((&told[0]["successful"], told[0].get("id")), (&json!(true), None), "it is not echoed");
    assert_eq!(told[1]["data"], "\u{1f600}");
    for half in [r#""\ud83d""#, r#"{"a":["\ude00\ud83d"]}"#, r#"{"\uD83Dx":1}"#] {
        let told = say("1", half);
        assert_eq!((&told[0]["successful"], told.len()), (&json!(false), 1), "{half}");
    }
    assert_eq!(say("2", r#""\u0041\\ud83d""#)[1]["data"], "A\\ud83d");
}

/// What is not acknowledged is sent again with each connect, and 64 connects of a client are 7 KB.
#[test]
fn a_client_connects_once_in_a_request() {
    let world = world();
    let mut hello = handshake();
    hello["ext"] = json!({"ack":true});
    let id = world.say(ANN, &hello)[0]["clientId"].as_str().unwrap().to_owned();
    world.subscribe(ANN, &id, "/a");
    world.say(ANN, &connect(&id, 2));
    world.publish(&To::Everybody, "/a", &json!("x".repeat(60_000)));
    let told = world.say(ANN, &json!((3..67).map(|number| connect(&id, number)).collect::<Vec<_>>()));
    let events = told.iter().filter(|told| told.get("data").is_some()).count();
    let connected = told.iter().filter(|told| told["successful"] == true).count();
    assert_eq!((told.len(), connected, events), (65, 1, 1));
    assert_eq!(told[64]["error"], "409::Connected in this request already");
    assert_eq!(world.say(ANN, &connect(&id, 67)).len(), 2, "not acknowledged yet, and sent again");
}

/// A session has so many clients, with a mebibyte each that waits.
#[test]
fn an_answer_holds_no_more_events_than_one_client_may_have_waiting() {
    let world = world();
    let ids: Vec<String> = (0..8).map(|_| world.client(ANN)).collect();
    ids.iter().for_each(|id| world.subscribe(ANN, id, "/a"));
    let most = 1024 * 1024 / 60_000;
    for _ in 0..most {
        assert_eq!(world.publish(&To::Everybody, "/a", &json!("x".repeat(60_000))).reached, 8);
    }
    // The rest waits for the next connects.
    for round in 0..8 {
        let connects: Vec<Value> = ids.iter().map(|id| connect(id, round)).collect();
        let told = world.say(ANN, &json!(connects));
        assert_eq!(told.iter().filter(|told| told["successful"] == true).count(), 8);
        assert_eq!(told.iter().filter(|told| told.get("data").is_some()).count(), most, "{round}");
    }
    assert_eq!(world.say(ANN, &json!(ids.iter().map(|id| connect(id, 9)).collect::<Vec<_>>())).len(), 8);
}

#[test]
fn subscriptions_are_counted() {
    let world = world_with(Options { subscriptions_max: 2, ..Options::default() });
    let id = world.client(ANN);
    world.subscribe(ANN, &id, "/a");
    world.subscribe(ANN, &id, "/b");
    let told = world.say(ANN, &json!({"channel":"/meta/subscribe","clientId":id,"subscription":"/c"}));
    assert_eq!(told[0]["error"], "403:/c:Too many subscriptions");
    world.say(ANN, &json!({"channel":"/meta/unsubscribe","clientId":id,"subscription":"/a"}));
    world.subscribe(ANN, &id, "/c");
    assert_eq!(world.publish(&To::Everybody, "/c", &json!(1)).reached, 1);
    assert_eq!(world.publish(&To::Everybody, "/a", &json!(1)).reached, 0);
}

proptest! {
    /// Whatever bytes come, the server says something that is JSON, or why not.
    #[test]
    fn no_body_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:a-z0-9/*]{0,200}") {
        let world = world();
        let id = world.client(ANN);
        for body in [bytes.as_slice(), text.as_bytes()] {
            let _ = world.server.receive(&ANN, None, body, 0);
            let _ = world.server.last_word(body, |_| false, 0);
        }
        let told = world.say(ANN, &json!({"channel":"/meta/subscribe","clientId":id,"subscription":text}));
        assert!(told[0]["successful"].is_boolean());
    }
}
