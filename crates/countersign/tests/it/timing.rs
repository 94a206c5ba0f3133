//! How long Digest takes for nobody and for a wrong password: printed, since a machine that does other things besides
//! decides nothing.

use std::time::Instant;

use countersign_auth::dialect::Dialect;
use countersign_gateway::address::Fronts;
use countersign_identity::service::By;

use crate::digest::{Challenge, Response};
use crate::raw::Client;
use crate::world::setting::Setting;
use crate::world::{Keeping, World};

const WORLD: &str = r#"
[[api]]
name = "plain"
dialect = "enactor"
enable = ["digest"]
at = ["plain.example/"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "till-0000"
password = "drawer-open-5"
weaker = ["digest"]
"#;

const PAIRS: usize = 600;
/// Addresses have fifty failures a minute.
const PAIRS_A_MINUTE: usize = 20;
/// Of the standard normal distribution, for 95 %.
const Z: f64 = 1.96;

fn ask(client: &mut Client, authorization: &str) -> (u16, String) {
    let field =
        if authorization.is_empty() { String::new() } else { format!("Authorization: {authorization}\r\n") };
    let request = format!("GET /devices/pos1 HTTP/1.1\r\nHost: plain.example\r\n{field}\r\n");
    let answer = client.exchange(0, request.as_bytes()).unwrap();
    let lines = answer.head.headers.iter();
    let mut challenges =
        lines.filter(|(_, value)| value.starts_with("Digest ")).map(|(_, value)| value.clone());
    (answer.head.status(), challenges.next().unwrap_or_default())
}

/// The median of sorted values, and the order statistics between which it lies with 95 %.
fn median(sorted: &[i128]) -> (i128, i128, i128) {
    let half = sorted.len() as f64 / 2.0;
    let spread = Z * (sorted.len() as f64).sqrt() / 2.0;
    let at = |place: f64| sorted[(place.max(0.0) as usize).min(sorted.len() - 1)];
    (at(half), at(half - spread), at(half + spread))
}

#[test]
fn nobody_and_a_wrong_password_take_digest_as_long() {
    let setting = Setting::from_text("enactor", "a test's world", WORLD);
    let dialect =
        Dialect::load("enactor", &Setting::dialect_text("enactor")).map(std::sync::Arc::new).unwrap();
    let world = World::behind(&setting, &dialect, Keeping::Memory, Fronts::default()).unwrap();
    world.stop_clock();
    let till = world.service().account_named("users", "till-0000").unwrap().account.id;
    let mut client = Client::new(world.address);
    let mut differences = Vec::with_capacity(PAIRS);
    let runs = world.service().password_runs();
    for pair in 0..PAIRS {
        if pair % PAIRS_A_MINUTE == 0 {
            world.wait(std::time::Duration::from_secs(61));
        }
        world.block_on(world.service().unlock(till, By::gate(), world.now())).unwrap();
        let (_, challenge) = ask(&mut client, "");
        let challenge = Challenge::parse(&challenge);
        let mut took = [0_i128; 2];
        // Which of the two comes first, changes from pair to pair.
        for turn in [pair % 2, 1 - pair % 2] {
            let user = if turn == 0 { "till-0000".to_owned() } else { format!("nobo-{pair:04}") };
            let field = Response::to(&challenge, &user, "wrong", "GET", "/devices/pos1").field();
            let start = Instant::now();
            let (status, _) = ask(&mut client, &field);
            took[turn] = i128::try_from(start.elapsed().as_nanos()).unwrap();
            assert_eq!(status, 401, "{user}");
        }
        differences.push(took[1] - took[0]);
    }
    // Neither runs the password's KDF, which would take a hundred times as long as all the rest.
    assert_eq!(world.service().password_runs(), runs);
    differences.sort_unstable();
    let (median, low, high) = median(&differences);
    println!(
        "Digest, nobody less a wrong password: median {median} ns, 95 % interval {low} to {high} ns, {PAIRS} pairs"
    );
}
