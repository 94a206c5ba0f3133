//! Handshake, connect, subscribe, publish, disconnect: what each is answered.

use serde_json::{Value, json};

use crate::world::{Who, connect, handshake, world};

const ANN: Who = Who(1, 11);

#[test]
fn a_handshake_names_the_client_and_says_how_to_go_on() {
    let world = world();
    let (answers, browser) = world.say_from(ANN, None, &json!([handshake()]));
    let id = answers[0]["clientId"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(
        answers,
        [json!({"channel":"/meta/handshake","id":"1","version":"1.0","minimumVersion":"1.0",
            "supportedConnectionTypes":["long-polling"],"clientId":id,"successful":true,
            "advice":{"interval":0,"timeout":20000,"reconnect":"retry"}})]
    );
    let browser = browser.unwrap();
    assert_ne!(browser, id);
    assert_eq!(world.say_from(ANN, Some(&browser), &handshake()).1, None, "named already");
}

#[test]
fn a_handshake_is_refused_with_a_reason() {
    let cases = [
        (json!({"version":"2.0"}), "400::Unsupported version"),
        (json!({"version":null}), "400::Unsupported version"),
        (
            json!({"supportedConnectionTypes":["callback-polling","websocket"]}),
            "412::No connection type in common",
        ),
        (json!({"supportedConnectionTypes":[]}), "412::No connection type in common"),
    ];
    for (change, error) in cases {
        let mut message = handshake();
        message.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answers = world().say(ANN, &message);
        assert_eq!((&answers[0]["successful"], &answers[0]["error"]), (&json!(false), &json!(error)));
        assert_eq!(answers[0]["advice"]["reconnect"], "none");
        assert_eq!(answers[0]["clientId"], Value::Null);
    }
    let answers = world().say(Who(0, 0), &handshake());
    assert_eq!(answers[0]["error"], "403::Handshake denied");
}

#[test]
fn what_stands_beside_a_handshake_is_ignored() {
    let world = world();
    let id = world.client(ANN);
    let subscribe = json!({"channel":"/meta/subscribe","clientId":id,"subscription":"/a"});
    let answers = world.say(ANN, &json!([subscribe, handshake(), subscribe]));
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["channel"], "/meta/handshake");
}

#[test]
fn the_first_connect_is_answered_at_once_and_the_next_is_held() {
    let world = world();
    let id = world.say(ANN, &handshake())[0]["clientId"].as_str().unwrap().to_owned();
    let first = world.say(ANN, &json!([connect(&id, 2)]));
    assert_eq!(
        first,
        [json!({"channel":"/meta/connect","id":"2","successful":true,
            "advice":{"interval":0,"timeout":20000,"reconnect":"retry"}})]
    );
    let held = world.hold(ANN, &id);
    assert_eq!(held.deadline(), world.now + 20_000);
    assert_eq!(held.time_out(), [json!({"channel":"/meta/connect","id":"7","successful":true})]);
}

#[test]
fn a_client_may_ask_for_less_patience_and_not_for_more() {
    let world = world();
    let id = world.client(ANN);
    for (timeout, expected) in [(500, 500), (3_600_000, 20_000)] {
        let mut message = connect(&id, 3);
        message["advice"] = json!({"timeout":timeout});
        assert_eq!(world.hold_from(ANN, None, &message).deadline(), world.now + expected);
    }
    let mut message = connect(&id, 3);
    message["advice"] = json!({"timeout":0});
    assert_eq!(world.say(ANN, &message)[0]["successful"], true);
    // Other fields of the wrong kind do not make a client anybody else.
    message["connectionType"] = json!("websocket");
    assert_eq!(world.say(ANN, &message)[0]["error"], "400::Unsupported connection type");
}

#[test]
fn a_connect_beside_other_messages_does_not_keep_them_waiting() {
    let world = world();
    let id = world.client(ANN);
    let subscribe = json!({"id":"4","channel":"/meta/subscribe","clientId":id,"subscription":["/a","/b/*"]});
    let answers = world.say(ANN, &json!([connect(&id, 3), subscribe]));
    assert_eq!(answers[0]["channel"], "/meta/connect");
    assert_eq!(
        answers[1],
        json!({"channel":"/meta/subscribe","id":"4","clientId":id,"subscription":["/a","/b/*"],"successful":true})
    );
}

#[test]
fn while_a_connect_is_held_everything_else_is_answered() {
    let world = world();
    let id = world.client(ANN);
    let mut held = world.hold(ANN, &id);
    world.subscribe(ANN, &id, "/a");
    let answers =
        world.say(ANN, &json!({"channel":"/meta/unsubscribe","clientId":id,"subscription":"/a","id":5}));
    assert_eq!(
        answers,
        [json!({"channel":"/meta/unsubscribe","clientId":id,"id":5,"subscription":"/a","successful":true})]
    );
    assert!(held.still_waits());
}

#[test]
fn a_newer_connect_takes_the_place_of_the_one_before() {
    let world = world();
    let id = world.client(ANN);
    world.subscribe(ANN, &id, "/a");
    let first = world.hold(ANN, &id);
    let second = world.hold(ANN, &id);
    let answers = first.answer();
    assert_eq!(answers[0]["error"], "409::Replaced by a newer connect");
    world.publish(&countersign_bayeux::To::Everybody, "/a", &json!(1));
    assert_eq!(second.answer()[1]["data"], 1);
}

#[test]
fn what_cannot_be_read_is_said_message_by_message() {
    let world = world();
    let id = world.client(ANN);
    let answers = world.say(
        ANN,
        &json!([
            {"id":"a","channel":7,"clientId":id},
            {"id":"b","channel":"/meta/subscribe","clientId":id},
            {"id":"c","channel":"/meta/subscribe","clientId":id,"subscription":"no/slash"},
            {"id":"d","channel":"/meta/unheard","clientId":id},
            {"id":"e","channel":"/chat/*","clientId":id,"data":1},
            {"id":"f","channel":"/chat/x","clientId":id},
            {"id":"g","channel":"/meta/subscribe","subscription":"/a"},
            {"id":"h","channel":"/chat/x","clientId":id,"data":{"fine":true}},
        ]),
    );
    let told: Vec<(&str, &str)> = answers
        .iter()
        .map(|answer| (answer["id"].as_str().unwrap(), answer["error"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        told,
        [
            ("a", "400::Malformed message"),
            ("b", "400::Missing subscription"),
            ("c", "400:no/slash:the channel name is malformed"),
            ("d", "404:/meta/unheard:Unknown meta channel"),
            ("e", "400:/chat/*:a wildcard stands where none may"),
            ("f", "400:/chat/x:Missing data"),
            ("g", "402::Unknown client"),
            ("h", ""),
        ]
    );
}

#[test]
fn a_disconnect_answers_the_held_connect_and_ends_the_client() {
    let world = world();
    let id = world.client(ANN);
    let held = world.hold(ANN, &id);
    let answers = world.say(ANN, &json!({"id":"9","channel":"/meta/disconnect","clientId":id}));
    assert_eq!(answers, [json!({"channel":"/meta/disconnect","id":"9","clientId":id,"successful":true})]);
    let told = held.answer();
    assert_eq!((&told[0]["successful"], &told[0]["advice"]["reconnect"]), (&json!(true), &json!("none")));
    let answers = world.say(ANN, &connect(&id, 10));
    assert_eq!(
        answers,
        [json!({"channel":"/meta/connect","id":"10","successful":false,"error":"402::Unknown client",
            "advice":{"interval":0,"reconnect":"handshake"}})]
    );
    assert_eq!(world.server.clients(), 0);
}

#[test]
fn only_one_client_of_a_browser_is_held() {
    let world = world();
    let (first, browser) = world.client_from(ANN, None);
    let (second, _) = world.client_from(ANN, Some(&browser));
    let held = world.hold_from(ANN, Some(&browser), &connect(&first, 3));
    let told = world.say(ANN, &connect(&second, 3));
    assert_eq!(
        told[0]["advice"],
        json!({"interval":2000,"timeout":20000,"reconnect":"retry","multiple-clients":true})
    );
    // Told once; and told again once it has changed.
    assert_eq!(world.say(ANN, &connect(&second, 4))[0]["advice"], Value::Null);
    drop(held);
    let alone = world.hold_from(ANN, Some(&browser), &connect(&second, 5));
    assert_eq!(alone.time_out()[0]["advice"]["multiple-clients"], false);
    // Another browser of the same user is held beside it.
    let (third, other) = world.client_from(ANN, None);
    assert_ne!(other, browser);
    let _both = (world.hold(ANN, &second), world.hold(ANN, &third));
}
