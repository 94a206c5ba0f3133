//! D13, D14 and their like: NTLM, against accounts that opted in.

mod rules;

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use countersign_auth::account::AccountId;
use countersign_gateway::address::ForwardingFields;
use countersign_identity::accounts::Standing;
use countersign_identity::service::By;
use countersign_negotiate::ntlm::NtHash;

use super::{Ground, Told, basic, claims, fronts};
use crate::ntlm;
use crate::raw::{Client, Wire, bytes};

const RIGHT: (&str, &str) = ("alice", "wonderland-7");
const GET: &str = "GET /api/v1/Contact/2 HTTP/1.1\nHost: windows.example";

/// A client with its connections, before a gate.
struct Desk<'g> {
    ground: &'g Ground,
    client: Client,
}

impl<'g> Desk<'g> {
    fn at(ground: &'g Ground) -> Self {
        Self { ground, client: Client::new(ground.world.address) }
    }

    /// Sends a request on one of the connections.
    #[track_caller]
    fn ask(&mut self, connection: u8, request: &str) -> Told {
        let bytes = format!("{}\r\n\r\n", request.replace('\n', "\r\n"));
        let answer = self.client.exchange(connection, bytes.as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{request}: {error}"));
        Told { asked: request.to_owned(), answer, seen: self.ground.world.upstream.take() }
    }

    #[track_caller]
    fn show(&mut self, connection: u8, authorization: &str) -> Told {
        self.ask(connection, &format!("{GET}\nAuthorization: {authorization}"))
    }

    /// Begins an exchange; the challenge.
    #[track_caller]
    fn challenge(&mut self, connection: u8, word: &str) -> String {
        let told = self.show(connection, &format!("{word} {}", ntlm::begin())).refused(401);
        let challenge = told.header("www-authenticate");
        challenge.strip_prefix(&format!("{word} ")).unwrap_or_else(|| panic!("{challenge}")).to_owned()
    }

    /// A whole exchange.
    #[track_caller]
    fn log_in(&mut self, connection: u8, (user, password): (&str, &str)) -> Told {
        let challenge = self.challenge(connection, "NTLM");
        self.show(connection, &format!("NTLM {}", ntlm::answer(&challenge, user, password)))
    }
}

/// All challenges of a refusal.
fn challenges(told: &Told) -> Vec<String> {
    let headers = told.answer.head.headers.iter();
    let challenges = headers.filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    challenges.map(|(_, value)| value.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn d13_ntlm_proves_who_has_the_connection_and_nobody_else() {
    let ground = Ground::of("superoffice");
    let mut desk = Desk::at(&ground);
    let seen = desk.log_in(0, RIGHT).passed();
    assert_eq!((&claims(&seen)["sub"], &claims(&seen)["scheme"]), (&"AL".into(), &"ntlm".into()));
    assert_eq!(claims(&desk.ask(0, GET).passed())["sub"], "AL");
    // Another connection of the same client is anybody's.
    desk.ask(1, GET).refused(401);
    // So is another API on the same one.
    desk.ask(0, "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example").refused(401);
    desk.ask(0, GET).passed();
    // Somebody else's proof on it counts, and a wrong one leaves nobody.
    desk.show(0, &basic("bob", "hatter-and-hare-3")).passed();
    desk.log_in(0, ("alice", "guess")).refused(401);
    desk.ask(0, GET).refused(401);
    desk.log_in(0, RIGHT).passed();
}

#[test]
fn d13_a_body_that_is_sent_with_a_handshake_does_not_end_its_connection() {
    const BODY: usize = 100_000;
    let ground = Ground::of("superoffice");
    let stream = TcpStream::connect(ground.world.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut wire = Wire::new(stream);
    let mut post = |token: &str| {
        let head = format!(
            "POST /api/v1/Contact HTTP/1.1\r\nHost: windows.example\r\nAuthorization: NTLM {token}\r\n\
             Content-Length: {BODY}\r\n\r\n"
        );
        wire.send(head.as_bytes()).unwrap();
        wire.send(&vec![b'x'; BODY]).unwrap();
        let head = wire.head().unwrap().expect("an answer");
        wire.body(&head, true).unwrap();
        head
    };
    let head = post(&ntlm::begin());
    assert_eq!(head.status(), 401);
    let challenge = head.header("www-authenticate").unwrap().strip_prefix("NTLM ").unwrap();
    assert_eq!(post(&ntlm::answer(challenge, RIGHT.0, RIGHT.1)).status(), 200);
    let seen = ground.world.upstream.take();
    assert_eq!(seen.iter().map(|received| received.body.len()).collect::<Vec<_>>(), [BODY]);
}

#[test]
fn d13_a_challenge_is_for_one_answer_on_one_connection() {
    let ground = Ground::of("superoffice");
    let mut desk = Desk::at(&ground);
    let challenge = desk.challenge(0, "NTLM");
    let answer = format!("NTLM {}", ntlm::answer(&challenge, RIGHT.0, RIGHT.1));
    desk.show(1, &answer).refused(401);
    desk.show(0, &answer).passed();
    desk.show(0, &answer).refused(401);
    desk.ask(0, GET).refused(401);
    // Nor is it for an answer under the other word, or after half a minute.
    let challenge = desk.challenge(0, "NTLM");
    desk.show(0, &format!("Negotiate {}", ntlm::answer(&challenge, RIGHT.0, RIGHT.1))).refused(401);
    let challenge = desk.challenge(0, "Negotiate");
    ground.world.wait(std::time::Duration::from_secs(31));
    desk.show(0, &format!("Negotiate {}", ntlm::answer(&challenge, RIGHT.0, RIGHT.1))).refused(401);
    let challenge = desk.challenge(0, "Negotiate");
    desk.show(0, &format!("Negotiate {}", ntlm::answer(&challenge, RIGHT.0, RIGHT.1))).passed();
}

#[test]
fn d13_a_connection_that_others_may_use_is_not_for_ntlm() {
    let ground = Ground::of("superoffice");
    for field in [
        "Via: 1.1 pool",
        "X-Forwarded-For: 192.0.2.7",
        "Forwarded: for=192.0.2.7",
        "X-Real-IP: 192.0.2.7",
        "X-Forwarded-Proto: https",
        "True-Client-IP: 192.0.2.7",
        "X-Envoy-External-Address: 192.0.2.7",
    ] {
        let mut desk = Desk::at(&ground);
        let begin = format!("{GET}\n{field}\nAuthorization: NTLM {}", ntlm::begin());
        assert_eq!(challenges(&desk.ask(0, &begin).refused(401)), ["Basic"], "{field}");
        // What was proven before somebody else spoke is not his.
        desk.log_in(0, RIGHT).passed();
        desk.ask(0, &format!("{GET}\n{field}")).refused(401);
        desk.ask(0, GET).passed();
    }
    let behind = Ground::behind("superoffice", fronts(ForwardingFields::XForwarded));
    let mut desk = Desk::at(&behind);
    assert_eq!(challenges(&desk.ask(0, GET).refused(401)), ["Basic"]);
    assert_eq!(challenges(&desk.show(0, &format!("NTLM {}", ntlm::begin())).refused(401)), ["Basic"]);
    desk.show(0, &format!("Negotiate {}", ntlm::begin())).refused(401);
    desk.show(0, &basic(RIGHT.0, RIGHT.1)).passed();
    // HTTP/2 mixes the requests of whoever is behind its other end.
    let over_http2 = Command::new("curl")
        .args(["-s", "-i", "--http2-prior-knowledge", "-H", "Host: windows.example", "-H"])
        .arg(format!("Authorization: NTLM {}", ntlm::begin()))
        .arg(format!("http://{}/api/v1/Contact/2", ground.world.address))
        .output()
        .expect("curl, of Debian's package curl");
    let text = String::from_utf8_lossy(&over_http2.stdout).to_ascii_lowercase();
    assert!(text.starts_with("http/2 401"), "{text}");
    assert!(!text.contains("ntlm") && !text.contains("negotiate") && text.contains("basic"), "{text}");
}

#[test]
fn b11_whether_a_proof_lasts_is_the_gates_word_alone() {
    let ground = Ground::of("superoffice");
    let mut desk = Desk::at(&ground);
    let challenge = desk.challenge(0, "Negotiate");
    let reply =
        ["HTTP/1.1 200 OK", "Persistent-Auth: forged", "Authentication-Info: forged"].map(str::to_owned);
    ground.world.upstream.reply(bytes(&reply, "a"));
    let told = desk.show(0, &format!("Negotiate {}", ntlm::answer(&challenge, RIGHT.0, RIGHT.1)));
    let headers = told.answer.head.headers.iter();
    let words = headers.filter(|(_, value)| value == "forged" || value == "true");
    let words: Vec<_> = words.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    assert_eq!(words, [("persistent-auth".to_owned(), "true")]);
    told.passed();
}

#[test]
fn d13_whoever_is_disabled_is_off_his_connection() {
    let ground = Ground::of("superoffice");
    let mut desk = Desk::at(&ground);
    desk.log_in(0, RIGHT).passed();
    desk.log_in(1, RIGHT).passed();
    let id = ground.world.service().account_named("users", RIGHT.0).unwrap().account.id;
    let stand = |standing| {
        let done =
            ground.world.service().set_standing(AccountId(id.0), standing, By::gate(), ground.world.now());
        ground.world.block_on(done).unwrap();
    };
    stand(Standing::Disabled);
    desk.ask(0, GET).refused(401);
    desk.log_in(0, RIGHT).refused(401);
    // He is back, and his old connection is still nobody's.
    stand(Standing::Enabled);
    desk.ask(1, GET).refused(401);
    desk.log_in(1, RIGHT).passed();
}

#[test]
fn d13_exchanges_on_a_connection_end_sometime() {
    let ground = Ground::of("superoffice");
    let mut desk = Desk::at(&ground);
    for _ in 0..10 {
        desk.challenge(0, "NTLM");
        desk.show(0, &format!("NTLM {}", ntlm::forged("nobody"))).refused(401);
    }
    desk.show(0, &format!("NTLM {}", ntlm::begin())).refused(429);
    desk.log_in(1, RIGHT).passed();
}

#[test]
fn d14_a_malformed_message_is_refused_and_the_rest_is_still_offered() {
    let ground = Ground::of("superoffice");
    let mut desk = Desk::at(&ground);
    let long = "A".repeat(66_000);
    let tokens = ["badvalue", "!", "", "TlRMTVNTUAA=", "YIIBAAYGKwYBBQUC", "oYH/MIH8", &long];
    for (word, token) in ["Negotiate", "NTLM"].iter().flat_map(|word| tokens.map(|token| (word, token))) {
        let told = desk.show(0, &format!("{word} {token}")).refused(401);
        assert_eq!(challenges(&told), ["Negotiate", "NTLM", "Basic"], "{word} {:.20}", token);
        desk = Desk::at(&ground);
    }
    desk.log_in(0, RIGHT).passed();
}

#[test]
fn d14_forged_proofs_are_refused_whoever_they_name() {
    let ground = Ground::of("superoffice");
    for user in ["alice", "bob", "Administrator", ""] {
        let mut desk = Desk::at(&ground);
        desk.challenge(0, "NTLM");
        desk.show(0, &format!("NTLM {}", ntlm::forged(user))).refused(401);
    }
    let mut desk = Desk::at(&ground);
    // One's name with another's password; a right password of an account that did not opt in.
    desk.log_in(0, ("alice", "hatter-and-hare-3")).refused(401);
    desk.log_in(0, ("bob", "hatter-and-hare-3")).refused(401);
    desk.log_in(0, ("ALICE@crm.example", RIGHT.1)).passed();
    desk.log_in(0, ("alice@other.example", RIGHT.1)).refused(401);
}

#[test]
fn d1_ntlm_answers_alike_whatever_is_wrong() {
    let ground = Ground::of("superoffice");
    let refusal =
        |user: &str, password: &str| Desk::at(&ground).log_in(0, (user, password)).refused(401).bytes();
    let wrong = refusal("alice", "guess");
    assert_eq!(wrong, refusal("nobody", "guess"));
    assert_eq!(wrong, refusal("bob", "hatter-and-hare-3"));
}

#[test]
fn d14_what_is_put_in_the_place_of_nobodys_hash_proves_nothing() {
    let ground = Ground::of("superoffice");
    let mut desk = Desk::at(&ground);
    for user in ["nobody", "bob", ""] {
        let challenge = desk.challenge(0, "NTLM");
        let answer = ntlm::answer_with(&challenge, user, &NtHash::from_bytes([0; 16]));
        desk.show(0, &format!("NTLM {answer}")).refused(401);
        desk.log_in(0, (user, "")).refused(401);
    }
    desk.log_in(0, RIGHT).passed();
}

#[test]
fn d14_odd_names_and_passwords_are_wrong_ones() {
    let ground = Ground::of("superoffice");
    let wrong = Desk::at(&ground).log_in(0, ("alice", "guess")).refused(401).bytes();
    let long = "a".repeat(10_000);
    for (user, password) in [
        ("alice", ""),
        ("alice", "\0"),
        ("alice", "wonderland-7\0"),
        ("alice\0", RIGHT.1),
        ("alice ", RIGHT.1),
        ("alice@", RIGHT.1),
        ("@crm.example", RIGHT.1),
        (&long, RIGHT.1),
    ] {
        let told = Desk::at(&ground).log_in(0, (user, password)).refused(401);
        assert_eq!(told.bytes(), wrong, "{user} {password}");
    }
}

#[test]
fn d4_guesses_by_ntlm_lock_every_door() {
    let ground = Ground::of("superoffice");
    // The lock is a second's.
    ground.world.stop_clock();
    for _ in 0..5 {
        Desk::at(&ground).log_in(0, ("alice", "guess")).refused(401);
    }
    let mut desk = Desk::at(&ground);
    desk.log_in(0, RIGHT).refused(401);
    desk.show(1, &basic(RIGHT.0, RIGHT.1)).refused(401);
    ground.world.wait(std::time::Duration::from_secs(60));
    desk.log_in(0, RIGHT).passed();
}

#[test]
fn e7_a_foreign_page_cannot_use_who_is_logged_in_to_the_desktop() {
    let ground = Ground::of("superoffice");
    let mut desk = Desk::at(&ground);
    desk.log_in(0, RIGHT).passed();
    let post = "POST /api/v1/Contact HTTP/1.1\nHost: windows.example\nContent-Length: 0";
    desk.ask(0, &format!("{post}\nSec-Fetch-Site: cross-site")).refused(401);
    desk.ask(0, &format!("{post}\nSec-Fetch-Site: same-origin")).passed();
    // In clear a browser says no more than this.
    for origin in ["http://evil", "http://crm.windows.example", "null"] {
        desk.ask(0, &format!("{post}\nOrigin: {origin}")).refused(401);
    }
    desk.ask(0, &format!("{post}\nOrigin: http://windows.example")).passed();
    desk.ask(0, post).passed();
}
