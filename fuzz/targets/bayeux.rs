//! What a stranger may send to a Bayeux server, and what must not come of it for whoever else is there.

#![allow(unreachable_pub, reason = "public for the target, which is a crate of its own")]

use std::sync::Arc;

use countersign_bayeux::{Act, Authority, Channel, Options, Principal, Received, Server, To};
use serde_json::{Value, json};

/// Account and session.
#[derive(Clone)]
struct Who(u64);

const STRANGER: Who = Who(1);
const VICTIM: Who = Who(2);

impl Principal for Who {
    type Session = u64;
    type Account = u64;

    fn session(&self) -> u64 {
        self.0
    }

    fn account(&self) -> u64 {
        self.0
    }
}

/// What is secret is the victim's; anybody may publish on `/chat/**`.
struct House;

impl Authority for House {
    type Principal = Who;

    fn may(&self, who: &Who, act: Act<'_>) -> bool {
        let is_secret = |name: &str| name.starts_with("/secret");
        match act {
            Act::Handshake => true,
            Act::Subscribe(pattern) => who.0 == VICTIM.0 || !is_secret(pattern.as_str()),
            Act::Receive(channel) => who.0 == VICTIM.0 || !is_secret(channel.as_str()),
            Act::Publish(channel) => channel.as_str().starts_with("/chat/"),
        }
    }
}

fn answer(server: &Arc<Server<House>>, who: &Who, body: &[u8]) -> Option<String> {
    match server.receive(who, Some("0123456789abcdef0123456789abcdef"), body, 1000).ok()? {
        Received::Answer(answer) | Received::Greeting { answer, .. } => Some(answer),
        Received::Held(held) => Some(held.time_out()),
    }
}

fn said(server: &Arc<Server<House>>, who: &Who, message: &Value) -> Vec<Value> {
    let answer = answer(server, who, message.to_string().as_bytes()).expect("a message that is one");
    serde_json::from_str(&answer).expect("an array")
}

fn connect(id: &str) -> Value {
    json!({"channel": "/meta/connect", "clientId": id, "connectionType": "long-polling"})
}

/// A client that has connected once.
fn client(server: &Arc<Server<House>>, who: &Who) -> String {
    let handshake =
        json!({"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"]});
    let id = said(server, who, &handshake)[0]["clientId"].as_str().expect("a client").to_owned();
    assert_eq!(said(server, who, &connect(&id))[0]["successful"], true);
    id
}

/// The body of a stranger's request; `MINE` and `THEIRS` in it become the ids of the stranger's and of another client.
pub fn bayeux(bytes: &[u8]) {
    let mut count = 0_u128;
    let random = move |bytes: &mut [u8]| {
        count += 1;
        bytes.copy_from_slice(&count.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_be_bytes());
        Ok(())
    };
    let server = Server::new(Options::default(), House, random);
    let (mine, theirs) = (client(&server, &STRANGER), client(&server, &VICTIM));
    let subscribe =
        json!({"channel": "/meta/subscribe", "clientId": theirs, "subscription": ["/secret/**", "/news"]});
    assert_eq!(said(&server, &VICTIM, &subscribe)[0]["successful"], true);

    let body = match std::str::from_utf8(bytes) {
        Ok(text) => text.replace("MINE", &mine).replace("THEIRS", &theirs).into_bytes(),
        Err(_) => bytes.to_vec(),
    };
    let named = body.windows(theirs.len()).any(|window| window == theirs.as_bytes());
    if let Some(answer) = answer(&server, &STRANGER, &body) {
        let replies: Vec<Value> = serde_json::from_str(&answer).expect("an answer is an array");
        assert!(replies.iter().all(|reply| reply["channel"].is_string()), "{answer}");
        assert!(named || !answer.contains(&theirs), "the stranger learns another's id: {answer}");
        let acts = |reply: &Value| reply["successful"] == true && reply["clientId"] == theirs.as_str();
        assert!(!replies.iter().any(acts), "the stranger acts in another's name: {answer}");
    }
    assert!(server.clients() <= 3, "one body makes one client");

    // The other is there, still listens, and hears nothing that the stranger said.
    let channel = Channel::parse("/secret/x").expect("a channel");
    let published = server.publish(&To::Everybody, &channel, "\"for the victim\"").expect("an event");
    assert_eq!(published.reached, 1, "whoever may not receive it does not");
    let heard = said(&server, &VICTIM, &connect(&theirs));
    let events: Vec<&Value> = heard.iter().filter(|message| message.get("data").is_some()).collect();
    assert_eq!(events, [&json!({"data": "for the victim", "channel": "/secret/x"})], "{heard:?}");
    let gained = answer(&server, &STRANGER, connect(&mine).to_string().as_bytes()).unwrap_or_default();
    assert!(!gained.contains("for the victim"), "{gained}");
}
