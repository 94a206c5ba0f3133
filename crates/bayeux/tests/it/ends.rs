//! How clients end, and what they are told.

use std::time::Duration;

use countersign_bayeux::{Options, Received, To};
use serde_json::json;

use crate::world::{Who, connect, handshake, world, world_with};

const ANN: Who = Who(1, 11);
const BOB: Who = Who(2, 22);

#[test]
fn a_client_is_its_sessions_alone() {
    let world = world();
    let ann = world.client(ANN);
    let unknown = world.say(BOB, &connect(&"0".repeat(32), 3));
    // Another user's, another session's of the same user: the same answer as for one that never was.
    for other in [BOB, Who(1, 12)] {
        assert_eq!(world.say(other, &connect(&ann, 3)), unknown);
        let told = world.say(other, &json!({"channel":"/meta/disconnect","clientId":ann}));
        assert_eq!(told[0]["error"], "402::Unknown client");
    }
    for id in ["", "x", &ann.to_uppercase(), &format!("{ann} ")] {
        assert_eq!(world.say(ANN, &connect(id, 3))[0]["error"], "402::Unknown client", "{id}");
    }
    world.hold(ANN, &ann);
}

#[test]
fn when_a_session_ends_its_clients_are_told_to_stay_away() {
    let world = world();
    let ids = [world.client(ANN), world.client(ANN)];
    let other = world.client(Who(1, 12));
    let (held, mut others) = (world.hold(ANN, &ids[0]), world.hold(Who(1, 12), &other));
    assert_eq!(world.server.end_session(11, world.now), 2);
    let none = json!({"interval":0,"reconnect":"none"});
    let told = held.answer();
    assert_eq!((&told[0]["error"], &told[0]["advice"]), (&json!("402::Unknown client"), &none));
    // The one that was between two connects hears it when it comes, even if its session is not known any more.
    let told = world.say(ANN, &connect(&ids[1], 4));
    assert_eq!((&told[0]["id"], &told[0]["advice"]), (&json!("4"), &none));
    let last =
        world.server.last_word(json!([connect(&ids[1], 5)]).to_string().as_bytes(), |_| false, 0).unwrap();
    assert!(last.contains(r#""reconnect":"none""#) && last.contains(r#""id":"5""#));
    assert!(others.still_waits());
    assert_eq!(world.server.clients(), 1);
}

#[test]
fn there_is_a_last_word_for_ended_clients_alone() {
    let world = world();
    let (ann, bob) = (world.client(ANN), world.client(BOB));
    world.server.end_session(11, world.now);
    let body = |ids: &[&str]| {
        let messages: Vec<_> = ids.iter().map(|id| connect(id, 3)).collect();
        json!(messages).to_string()
    };
    assert!(world.server.last_word(body(&[&ann]).as_bytes(), |_| false, 0).is_some());
    for body in [body(&[&bob]), body(&[&ann, &bob]), body(&[]), "[".into(), handshake().to_string()] {
        assert_eq!(world.server.last_word(body.as_bytes(), |_| false, 0), None, "{body}");
    }
}

#[test]
fn when_an_account_ends_one_session_may_stay() {
    let mut world = world();
    let (kept, gone) = (world.client(ANN), world.client(Who(1, 12)));
    assert_eq!(world.server.end_account(1, |who| who.1 != 11, world.now), 1);
    world.hold(ANN, &kept);
    assert_eq!(world.say(Who(1, 12), &connect(&gone, 3))[0]["advice"]["reconnect"], "none");
    world.now += 10 * 60 * 1000;
    world.server.sweep(world.now);
    assert_eq!(world.say(Who(1, 12), &connect(&gone, 3))[0]["advice"]["reconnect"], "handshake", "forgotten");
    let bob = world.client(BOB);
    assert_eq!(world.server.end_where(|who| who.0 == 2, world.now), 1);
    assert_eq!(world.say(BOB, &connect(&bob, 3))[0]["advice"]["reconnect"], "none");
}

#[test]
fn a_silent_client_is_swept_and_a_held_one_is_not() {
    let mut world = world();
    let (silent, held) = (world.client(ANN), world.client(BOB));
    world.subscribe(ANN, &silent, "/a");
    let waiting = world.hold(BOB, &held);
    world.now += 30_000;
    assert_eq!(world.server.sweep(world.now), 0);
    world.now += 1;
    assert_eq!(world.server.sweep(world.now), 1);
    assert_eq!(world.say(ANN, &connect(&silent, 3))[0]["advice"]["reconnect"], "handshake");
    assert_eq!(world.publish(&To::Everybody, "/a", &json!(1)).reached, 0);
    // Its network broke: from the end of the hold on it is silent.
    drop(waiting);
    world.now += 20_000;
    assert_eq!(world.server.sweep(world.now), 1);
}

#[test]
fn the_one_longest_silent_makes_room() {
    let mut world =
        world_with(Options { session_clients_max: 2, account_clients_max: 3, ..Options::default() });
    let first = world.client(ANN);
    world.now += 1;
    let second = world.client(ANN);
    world.now += 1;
    let held = world.hold(ANN, &first);
    let third = world.client(ANN);
    assert_eq!(world.say(ANN, &connect(&second, 3))[0]["error"], "402::Unknown client");
    world.now += 1;
    let other = world.client(Who(1, 12));
    world.now += 1;
    let another = world.client(Who(1, 12));
    assert_eq!(world.server.clients(), 3);
    assert_eq!(world.say(ANN, &connect(&third, 3))[0]["error"], "402::Unknown client");
    let mut both = (world.hold(Who(1, 12), &other), world.hold(Who(1, 12), &another));
    assert!(both.0.still_waits() && both.1.still_waits());
    drop(held);
}

#[test]
fn ten_thousand_handshakes_of_one_session_are_its_own_affair() {
    let world = world();
    let bob = world.client(BOB);
    for _ in 0..10_000 {
        world.say(ANN, &handshake());
    }
    assert_eq!(world.server.clients(), 33);
    world.hold(BOB, &bob);
    let full = world_with(Options { clients_max: 1, ..Options::default() });
    full.client(BOB);
    let told = full.say(ANN, &handshake());
    assert_eq!(told[0]["error"], "503::Too many clients");
    assert_eq!(told[0]["advice"], json!({"reconnect":"handshake","interval":10000}));
}

#[test]
fn when_the_server_closes_everybody_is_answered() {
    let world = world_with(Options { hold: Duration::from_secs(60), ..Options::default() });
    let id = world.client(ANN);
    let held = world.hold(ANN, &id);
    world.server.close();
    assert_eq!(held.answer()[0]["successful"], true);
    assert_eq!(world.say(ANN, &connect(&id, 3))[0]["successful"], true, "not held any more");
}

/// A page that goes says so while its last connect is on its way.
#[test]
fn a_connect_that_meets_the_end_of_its_client_is_answered() {
    for _ in 0..500 {
        let world = world();
        let id = world.client(ANN);
        let go = std::sync::Barrier::new(2);
        let received = std::thread::scope(|scope| {
            scope.spawn(|| {
                go.wait();
                world.say(ANN, &json!({"channel":"/meta/disconnect","clientId":id}))
            });
            go.wait();
            world.server.receive(&ANN, None, connect(&id, 3).to_string().as_bytes(), world.now).unwrap()
        });
        match received {
            Received::Answer(answer) => assert!(answer.contains("402::Unknown client"), "{answer}"),
            // Told by the one who ended it.
            Received::Held(_) => {}
            Received::Greeting { answer, .. } => panic!("{answer}"),
        }
    }
}
