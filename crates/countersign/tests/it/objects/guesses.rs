//! Guessing costs the store a read each, and an address has so many guesses a minute.

use std::sync::Arc;
use std::time::Duration;

use countersign_auth::dialect::Dialect;
use countersign_gateway::address::{ForwardingFields, Fronts, Networks};
use countersign_identity::lockout::Patience;

use super::{CALLERS, bind, customer, order, send, tokens, world_text};
use crate::raw::{Client, Held};
use crate::world::World;
use crate::world::setting::Setting;

const GUESSES: u32 = 5;

fn impatient_world() -> World {
    let setting = Setting::from_text("enactor", "a test's world", &world_text());
    let dialect = Dialect::load("dialects/enactor/dialect.toml", &Setting::dialect_text("enactor"));
    let dialect = Arc::new(dialect.unwrap_or_else(|problems| panic!("{problems:?}")));
    let patience = Patience { address_guesses: GUESSES, ..Patience::default() };
    let fronts = Fronts {
        networks: Networks::new(["127.0.0.0/8".parse().unwrap()]),
        fields: ForwardingFields::XForwarded,
    };
    let world = World::patient(&setting, &dialect, patience, fronts).unwrap();
    for caller in 0..CALLERS {
        bind(&world, "order", &order(caller), &customer(caller));
    }
    world
}

#[test]
fn an_address_has_so_many_guesses_a_minute_and_what_is_the_callers_own_is_none() {
    let world = impatient_world();
    world.stop_clock();
    let tokens = tokens(&world);
    let mut client = Client::new(world.address);
    let mut show = |caller: usize, id: &str, from: &str| {
        let (authorization, from) =
            (format!("Authorization: {}", tokens[caller]), format!("X-Forwarded-For: {from}"));
        let answer = send(&mut client, &format!("GET /orders/{id}"), &[&authorization, &from], "");
        (answer.head.status(), answer.body)
    };
    // Twenty callers behind one address fetch what is theirs from the store, and from memory.
    for _ in 0..2 {
        for caller in 0..CALLERS {
            assert_eq!(show(caller, &order(caller), "192.0.2.1").0, 200);
        }
    }
    let unknown = show(0, "1", "192.0.2.1");
    assert_eq!(unknown.0, 404);
    for _ in 1..GUESSES {
        assert_eq!(show(0, &order(1), "192.0.2.1"), unknown);
    }
    // Now all guesses look alike, whatever they are about.
    let spent = show(0, "1", "192.0.2.1");
    assert_eq!(spent.0, 429);
    assert_eq!(show(0, &order(1), "192.0.2.1"), spent, "another's");
    assert_eq!(show(1, "2", "192.0.2.1"), spent, "another caller behind the same address");
    // What is his, and in memory, costs nothing; nor do others pay.
    assert_eq!(show(0, &order(0), "192.0.2.1").0, 200);
    assert_eq!(show(0, "1", "192.0.2.2").0, 404, "another address");
    assert_eq!(show(0, "1", "2001:db8:1::1").0, 404, "another address");
    world.wait(Duration::from_secs(60));
    assert_eq!(show(0, "1", "192.0.2.1").0, 404, "another minute");
}

#[test]
fn guesses_that_were_held_back_count_in_the_minute_in_which_they_end() {
    let world = impatient_world();
    world.stop_clock();
    let tokens = tokens(&world);
    let held: Vec<Held> = (0..GUESSES)
        .map(|guess| {
            let head = format!(
                "POST /orders HTTP/1.1\r\nHost: shop.example\r\nAuthorization: {}\r\n\
                 Content-Type: application/json\r\n",
                tokens[0]
            );
            Held::begin(world.address, &head, &format!("{{\"order\":\"{guess}\"}}"))
        })
        .collect();
    world.wait(Duration::from_secs(29));
    for held in held {
        assert_eq!(held.end(), 404);
    }
    let mut client = Client::new(world.address);
    let mut guess = || {
        let authorization = format!("Authorization: {}", tokens[0]);
        send(&mut client, "GET /orders/1", &[&authorization], "").head.status()
    };
    assert_eq!(guess(), 429);
    // The minute began with the first that ended.
    world.wait(Duration::from_secs(31));
    assert_eq!(guess(), 429);
    world.wait(Duration::from_secs(29));
    assert_eq!(guess(), 404);
}
