//! Prints what a client costs: `cargo run --release -p countersign-bayeux --example memory [CLIENTS]`.
//!
//! Each client is of a session and an account of its own and has one subscription. The figure is what the process
//! grew by, so it holds the allocator's share as well.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::time::Instant;

use countersign_bayeux::{Act, Authority, Channel, Options, Principal, Received, Server, To};

#[derive(Clone)]
struct Who(u64);

impl Principal for Who {
    // As long as a digest, which is what sessions are named by.
    type Session = [u8; 32];
    type Account = u64;

    fn session(&self) -> [u8; 32] {
        let mut name = [0; 32];
        name.iter_mut().zip(self.0.to_be_bytes()).for_each(|(to, from)| *to = from);
        name
    }

    fn account(&self) -> u64 {
        self.0
    }
}

struct Everybody;

impl Authority for Everybody {
    type Principal = Who;

    fn may(&self, _who: &Who, act: Act<'_>) -> bool {
        !matches!(act, Act::Publish(_))
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn say(server: &std::sync::Arc<Server<Everybody>>, who: &Who, body: &str) -> String {
    match server.receive(who, None, body.as_bytes(), 0).unwrap() {
        Received::Answer(answer) | Received::Greeting { answer, .. } => answer,
        Received::Held(_) => String::new(),
    }
}

fn main() {
    let clients: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let mut count = 0_u128;
    let random = move |bytes: &mut [u8]| {
        count += 1;
        // Spread like random ones.
        bytes.copy_from_slice(&(count.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)).to_be_bytes());
        Ok(())
    };
    let server = Server::new(Options::default(), Everybody, random);
    let before = resident();
    let began = Instant::now();
    for number in 0..clients {
        let who = Who(number);
        let hello =
            r#"{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}"#;
        let answer = say(&server, &who, hello);
        let id = answer.split(r#""clientId":""#).nth(1).unwrap().split('"').next().unwrap();
        say(
            &server,
            &who,
            &format!(r#"{{"channel":"/meta/subscribe","clientId":"{id}","subscription":"/v2/me/*"}}"#),
        );
        say(
            &server,
            &who,
            &format!(r#"{{"channel":"/meta/connect","clientId":"{id}","connectionType":"long-polling"}}"#),
        );
    }
    let took = began.elapsed();
    let bytes = resident() - before;
    println!(
        "{clients} clients: {} bytes each; {:?} for each client's three messages",
        bytes / clients,
        took / u32::try_from(clients).unwrap()
    );
    let channel = Channel::parse("/v2/me/devices").unwrap();
    let began = Instant::now();
    let rounds = 1000;
    for number in 0..rounds {
        let published =
            server.publish(&To::Account(number * (clients / rounds).max(1)), &channel, r#"{"n":1}"#).unwrap();
        assert_eq!(published.reached, 1);
    }
    println!("an event for one account: {:?}", began.elapsed() / 1000);
    let began = Instant::now();
    let reached = server.publish(&To::Everybody, &channel, r#"{"n":2}"#).unwrap().reached;
    println!("an event for all {reached}: {:?}", began.elapsed());
    let began = Instant::now();
    let swept = server.sweep(31_000);
    println!("a sweep that takes {swept} out: {:?}", began.elapsed());
}
