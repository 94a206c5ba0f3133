//! Whoever guesses is slowed down, and nobody else.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::Duration;

use countersign_gateway::address::ForwardingFields;
use countersign_identity::service::By;

use super::proofs::{FAILURES, account};
use super::{Ground, basic, fronts};
use crate::raw::Wire;

#[test]
fn d5_a_lock_is_a_delay_that_neither_shows_nor_shuts_the_owner_out() {
    let ground = Ground::behind("superoffice", fronts(ForwardingFields::XForwarded));
    ground.world.stop_clock();
    let at = |address: &str, user: &str, password: &str| {
        ground.send(&format!(
            "POST /login HTTP/1.1\nHost: crm.example\nX-Forwarded-For: {address}\nContent-Type: application/x-www-form-urlencoded\n\nuserName={user}&password={password}"
        ))
    };
    let (owner, stranger) = ("192.0.2.7", "198.51.100.9");
    let session = at(owner, "alice", "wonderland-7").answered();
    let (id, token) = (session.cookie("SuperOffice-Session"), session.cookie("XSRF-TOKEN"));
    let plain = at(stranger, "alice", "not-the-password-1").refused(401).bytes();
    for _ in 1..FAILURES {
        assert_eq!(at(stranger, "alice", "not-the-password-1").refused(401).bytes(), plain);
    }
    // Locked for strangers: even the right password looks wrong, at the same cost.
    let runs = ground.world.service().password_runs();
    assert_eq!(at(stranger, "alice", "wonderland-7").refused(401).bytes(), plain);
    assert_eq!(at(stranger, "alice", "not-the-password-1").refused(401).bytes(), plain);
    assert_eq!(ground.world.service().password_runs(), runs + 2);
    // The owner gets in from where she was before, and what she has goes on.
    at(owner, "alice", "wonderland-7").answered();
    ground
        .send(&format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={id}\nX-XSRF-TOKEN: {token}"))
        .passed();
    // It ends by itself, ...
    ground.world.wait(Duration::from_secs(20 * 60));
    at(stranger, "alice", "wonderland-7").answered();
    // ... or an administrator ends it.
    let elsewhere = "203.0.113.5";
    for _ in 0..FAILURES {
        at(elsewhere, "bob", "not-the-password-1").refused(401);
    }
    at(elsewhere, "bob", "hatter-and-hare-3").refused(401);
    let (service, now) = (ground.world.service(), ground.world.now());
    ground.world.block_on(service.unlock(account(&ground, "users", "bob"), By::gate(), now)).unwrap();
    at(elsewhere, "bob", "hatter-and-hare-3").answered();
}

#[test]
fn d5_whoever_shares_an_account_is_shut_out_nowhere_that_it_was_proven() {
    for hosts in [2, 30] {
        let ground = Ground::behind("voltmx", fronts(ForwardingFields::XForwarded));
        ground.world.stop_clock();
        let ask = |address: &str, password: &str| {
            ground.send(&format!(
                "GET /api/v1/applications HTTP/1.1\nHost: push.example\nX-Forwarded-For: {address}\nAuthorization: {}",
                basic("dinah", password)
            ))
        };
        let fleet = || (1..=hosts).map(|host| format!("192.0.2.{host}"));
        let all_pass = || fleet().for_each(|host| drop(ask(&host, "milk-and-mice-5").passed()));
        let stranger = "198.51.100.9";
        let guess = |number: usize| ask(stranger, &format!("guess-{number}"));
        let runs = ground.world.service().password_runs();
        // One of them has it verified, and the others have what is remembered of it.
        all_pass();
        assert_eq!(ground.world.service().password_runs(), runs + 1);
        for number in 0..FAILURES {
            guess(number).refused(401);
        }
        all_pass();
        // Where it was not proven, the right one is told by nothing from a wrong one.
        let wrong = guess(FAILURES).refused(401).bytes();
        for address in [stranger, "192.0.2.99"] {
            assert_eq!(ask(address, "milk-and-mice-5").refused(401).bytes(), wrong);
        }
        // Also when it is verified again, and the stranger goes on as often as he may.
        for round in 1..=4 {
            ground.world.wait(Duration::from_secs(15 * 60 + 1));
            guess(FAILURES + round).refused(401);
            all_pass();
            ask(stranger, "milk-and-mice-5").refused(401);
        }
        // What comes from one of them counts for it alone.
        for number in 0..FAILURES {
            ask("192.0.2.1", &format!("guess-{number}")).refused(401);
        }
        ask("192.0.2.1", "milk-and-mice-5").refused(401);
        ask("192.0.2.2", "milk-and-mice-5").passed();
    }
}

#[test]
fn d5_a_right_password_that_many_requests_share_is_no_attack() {
    // A run of the KDF takes as long as it takes all requests to arrive.
    let world = [
        "kdf_kib = 65536\n[[api]]\nname = \"shop\"\ndialect = \"enactor\"\nenable = [\"basic\"]\nat = [\"/\"]\n",
        "[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n",
        "[[account]]\nname = \"ann\"\npassword = \"open-sesame-1\"\n",
    ];
    let ground = Ground::with("enactor", &world.concat());
    ground.world.stop_clock();
    let ask = |password: &str| {
        let head = format!(
            "GET /x HTTP/1.1\r\nHost: a.example\r\nAuthorization: {}\r\n\r\n",
            basic("ann", password)
        );
        let connect = || Wire::new(TcpStream::connect(ground.world.address).unwrap());
        let mut wires: Vec<Wire> = (0..200).map(|_| connect()).collect();
        wires.iter_mut().for_each(|wire| wire.send(head.as_bytes()).unwrap());
        let statuses = wires.iter_mut().map(|wire| wire.head().unwrap().unwrap().status());
        statuses.collect::<BTreeSet<u16>>()
    };
    // Neither the first time, nor when it was forgotten: 200 requests, and an address may fail 50 times a minute.
    for _ in 0..2 {
        assert_eq!(ask("open-sesame-1"), [200].into());
        ground.world.wait(Duration::from_secs(301));
    }
    // A wrong one is wrong, however often it comes at once: one guess is one guess.
    assert_eq!(ask("open-sesame-2"), [401].into());
}
