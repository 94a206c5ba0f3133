//! Who gets which event, and when.

use std::sync::atomic::Ordering;

use countersign_bayeux::{Channel, Options, PublishError, To};
use serde_json::{Value, json};

use crate::world::{Who, connect, handshake, world, world_with};

const ANN: Who = Who(1, 11);
const BOB: Who = Who(2, 22);
const EVE: Who = Who(9, 99);

fn data(answers: &[Value]) -> Vec<Value> {
    answers
        .iter()
        .filter(|answer| answer.get("data").is_some())
        .map(|answer| answer["data"].clone())
        .collect()
}

#[test]
fn an_event_answers_the_held_connects_of_those_who_listen() {
    let world = world();
    let (ann, bob) = (world.client(ANN), world.client(BOB));
    world.subscribe(ANN, &ann, "/news/*");
    world.subscribe(BOB, &bob, "/other");
    let (ann, mut bob) = (world.hold(ANN, &ann), world.hold(BOB, &bob));
    let published = world.publish(&To::Everybody, "/news/today", &json!({"text":"a \"quoted\" word"}));
    assert_eq!((published.reached, published.dropped), (1, 0));
    let answers = ann.answer();
    assert_eq!(answers[0], json!({"channel":"/meta/connect","id":"7","successful":true}));
    assert_eq!(answers[1], json!({"channel":"/news/today","data":{"text":"a \"quoted\" word"}}));
    assert!(bob.still_waits());
}

#[test]
fn overlapping_subscriptions_get_an_event_once() {
    let world = world();
    let ann = world.client(ANN);
    for pattern in ["/news/today", "/news/*", "/news/**", "/**", "/**"] {
        world.subscribe(ANN, &ann, pattern);
    }
    let held = world.hold(ANN, &ann);
    assert_eq!(world.publish(&To::Everybody, "/news/today", &json!(1)).reached, 1);
    assert_eq!(data(&held.answer()), [json!(1)]);
}

#[test]
fn an_event_for_an_account_reaches_all_its_sessions_and_nobody_else() {
    let world = world();
    let sessions = [ANN, Who(1, 12), BOB];
    let ids: Vec<String> = sessions.iter().map(|who| world.client(*who)).collect();
    for (who, id) in sessions.iter().zip(&ids) {
        world.subscribe(*who, id, "/me/*");
    }
    let mut held: Vec<_> = sessions.iter().zip(&ids).map(|(who, id)| world.hold(*who, id)).collect();
    assert_eq!(world.publish(&To::Account(1), "/me/x", &json!(1)).reached, 2);
    assert!(held.pop().unwrap().still_waits());
    assert!(held.into_iter().all(|held| data(&held.answer()) == [json!(1)]));
    let those = |who: &Who| who.0 == 2;
    assert_eq!(world.publish(&To::Those(&those), "/me/x", &json!(2)).reached, 1);
    assert_eq!(world.publish(&To::Account(7), "/me/x", &json!(3)).reached, 0);
}

#[test]
fn a_wildcard_grants_nothing() {
    let world = world();
    let (ann, eve) = (world.client(ANN), world.client(EVE));
    world.subscribe(ANN, &ann, "/**");
    world.subscribe(EVE, &eve, "/**");
    let denied =
        world.say(ANN, &json!({"channel":"/meta/subscribe","clientId":ann,"subscription":"/secret/*"}));
    assert_eq!(denied[0]["error"], "403:/secret/*:Subscription denied");
    assert_eq!(denied[0]["subscription"], "/secret/*");
    let (mut ann, eve) = (world.hold(ANN, &ann), world.hold(EVE, &eve));
    assert_eq!(world.publish(&To::Everybody, "/secret/x", &json!(1)).reached, 1);
    assert!(ann.still_waits());
    assert_eq!(data(&eve.answer()), [json!(1)]);
}

#[test]
fn who_may_no_longer_receive_does_not() {
    let world = world();
    let ann = world.client(ANN);
    world.subscribe(ANN, &ann, "/news");
    world.closed.store(true, Ordering::SeqCst);
    assert_eq!(world.publish(&To::Everybody, "/news", &json!(1)).reached, 0);
}

#[test]
fn nobody_listens_on_meta_and_nothing_on_service_is_passed_on() {
    let world = world();
    let eve = world.client(EVE);
    for pattern in ["/meta/**", "/meta/connect", "/meta/*"] {
        let told =
            world.say(EVE, &json!({"channel":"/meta/subscribe","clientId":eve,"subscription":pattern}));
        assert_eq!(told[0]["successful"], false, "{pattern}");
    }
    world.subscribe(EVE, &eve, "/service/x");
    world.subscribe(EVE, &eve, "/**");
    let mut held = world.hold(EVE, &eve);
    let told = world.say(EVE, &json!([{"channel":"/service/x","clientId":eve,"data":1}]));
    assert_eq!(told, [json!({"channel":"/service/x","successful":true})]);
    assert!(held.still_waits());
    for channel in ["/service/x", "/meta/connect"] {
        let channel = Channel::parse(channel).unwrap();
        assert_eq!(world.server.publish(&To::Everybody, &channel, "1"), Err(PublishError::Channel));
    }
}

#[test]
fn clients_publish_where_they_may_and_never_say_who_they_are() {
    let world = world();
    let (ann, bob) = (world.client(ANN), world.client(BOB));
    world.subscribe(BOB, &bob, "/**");
    let held = world.hold(BOB, &bob);
    let told = world.say(ANN, &json!({"id":"1","channel":"/news","clientId":ann,"data":1}));
    assert_eq!(told[0]["error"], "403:/news:Publish denied");
    let told = world.say(ANN, &json!({"id":"2","channel":"/chat/x","clientId":ann,"data":{"hi":1}}));
    assert_eq!(told, [json!({"channel":"/chat/x","id":"2","successful":true})]);
    assert_eq!(held.answer()[1], json!({"channel":"/chat/x","data":{"hi":1}}));
}

#[test]
fn an_event_rides_in_the_next_answer() {
    let world = world();
    let ann = world.client(ANN);
    world.subscribe(ANN, &ann, "/**");
    let mut held = world.hold(ANN, &ann);
    let told = world.say(ANN, &json!({"channel":"/chat/x","clientId":ann,"data":1}));
    assert_eq!(data(&told), [json!(1)]);
    assert!(held.waits_again());
    drop(held);
    world.publish(&To::Everybody, "/x", &json!(2));
    assert_eq!(data(&world.say(ANN, &connect(&ann, 3))), [json!(2)], "not held while something waits");
}

#[test]
fn before_its_first_connect_a_client_gets_nothing_but_misses_nothing() {
    let world = world();
    let id = world.say(ANN, &handshake())[0]["clientId"].as_str().unwrap().to_owned();
    world.subscribe(ANN, &id, "/a");
    world.publish(&To::Everybody, "/a", &json!(1));
    let told = world.say(ANN, &json!({"channel":"/meta/subscribe","clientId":id,"subscription":"/b"}));
    assert_eq!(told.len(), 1);
    assert_eq!(data(&world.say(ANN, &connect(&id, 2))), [json!(1)]);
}

#[test]
fn what_was_not_acknowledged_is_sent_again() {
    let world = world();
    let mut hello = handshake();
    hello["ext"] = json!({"ack":true});
    let greeted = world.say(ANN, &hello);
    assert_eq!(greeted[0]["ext"], json!({"ack":true}));
    let id = greeted[0]["clientId"].as_str().unwrap().to_owned();
    world.subscribe(ANN, &id, "/a");
    let acked = |number: u64, ack: i64| {
        let mut message = connect(&id, number);
        message["ext"] = json!({"ack":ack});
        message
    };
    assert_eq!(world.say(ANN, &acked(2, -1))[0]["ext"], json!({"ack":1}));
    world.publish(&To::Everybody, "/a", &json!("one"));
    // Not in the answer to anything but a connect: only that is acknowledged.
    assert_eq!(
        world.say(ANN, &json!({"channel":"/meta/subscribe","clientId":id,"subscription":"/b"})).len(),
        1
    );
    let told = world.say(ANN, &acked(3, 1));
    assert_eq!((&told[0]["ext"], data(&told)), (&json!({"ack":2}), vec![json!("one")]));
    // The answer was lost on its way: the client still knows batch 1.
    world.publish(&To::Everybody, "/a", &json!("two"));
    let told = world.say(ANN, &acked(4, 1));
    assert_eq!((&told[0]["ext"], data(&told)), (&json!({"ack":3}), vec![json!("one"), json!("two")]));
    let held = world.hold_from(ANN, None, &acked(5, 3));
    assert_eq!(data(&held.time_out()), [] as [Value; 0]);
}

#[test]
fn a_client_that_never_reads_is_dropped_when_its_queue_is_full() {
    let world = world_with(Options { queue_events_max: 3, ..Options::default() });
    let (ann, bob) = (world.client(ANN), world.client(BOB));
    for (who, id) in [(ANN, &ann), (BOB, &bob)] {
        world.subscribe(who, id, "/a");
    }
    for number in 0..3 {
        assert_eq!(world.publish(&To::Everybody, "/a", &json!(number)).reached, 2);
    }
    assert_eq!(data(&world.say(BOB, &connect(&bob, 3))).len(), 3);
    let published = world.publish(&To::Everybody, "/a", &json!(3));
    assert_eq!((published.reached, published.dropped), (1, 1));
    let told = world.say(ANN, &connect(&ann, 3));
    assert_eq!(
        (&told[0]["error"], &told[0]["advice"]["reconnect"]),
        (&json!("402::Unknown client"), &json!("handshake"))
    );
    assert_eq!(data(&world.say(BOB, &connect(&bob, 4))), [json!(3)]);
    let bytes = world_with(Options { queue_bytes_max: 100, ..Options::default() });
    let ann = bytes.client(ANN);
    bytes.subscribe(ANN, &ann, "/a");
    assert_eq!(bytes.publish(&To::Everybody, "/a", &json!("x".repeat(60))).reached, 1);
    assert_eq!(bytes.publish(&To::Everybody, "/a", &json!("x".repeat(60))).dropped, 1);
}
