//! D: Digest.

use std::time::Duration;

use countersign_auth::secret::Secret;
use countersign_identity::equivalents::WeakerScheme;
use countersign_identity::service::By;
use countersign_identity::service::equivalents::NewPassword;

use super::{Ground, Told, basic, claims};
use crate::digest::{Challenge, Response};

/// One API for each way of offering Digest.
const WORLD: &str = r#"
[[api]]
name = "plain"
dialect = "enactor"
enable = ["digest", "basic"]
at = ["plain.example/"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[api]]
name = "all"
dialect = "enactor"
enable = ["digest"]
at = ["all.example/"]
[api.digest]
algorithms = ["MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess", "SHA-512-256-sess"]
auth_int = true
userhash = true
[[api.route]]
at = "/**"
allow = "authenticated"

[[api]]
name = "md5"
dialect = "enactor"
enable = ["digest"]
at = ["md5.example/"]
[api.digest]
algorithms = ["MD5"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "till"
password = "drawer-open-5"
weaker = ["digest"]
keys = { customer = "1" }

[[account]]
name = "strong"
password = "drawer-open-6"

[[account]]
name = "due"
password = "drawer-open-7"
weaker = ["digest"]
due = true

[[account]]
name = "Jörg, \"J\""
password = "schub:lade-8"
weaker = ["digest"]
"#;

const TILL: (&str, &str) = ("till", "drawer-open-5");
const URI: &str = "/devices/pos1?a=1&b=%7e";

/// Its clock is turned by hand alone: an account that was guessed at is locked for a while.
fn ground() -> Ground {
    let ground = Ground::with("enactor", WORLD);
    ground.world.stop_clock();
    ground
}

fn ask(
    ground: &Ground,
    host: &str,
    method: &str,
    uri: &str,
    authorization: Option<&str>,
    body: &str,
) -> Told {
    let field = authorization.map(|value| format!("\nAuthorization: {value}")).unwrap_or_default();
    let body = if body.is_empty() { String::new() } else { format!("\n\n{body}") };
    ground.send(&format!("{method} {uri} HTTP/1.1\nHost: {host}{field}{body}"))
}

/// All Digest challenges of a 401.
fn challenges(told: &Told) -> Vec<Challenge> {
    let lines =
        told.answer.head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    let lines = lines.map(|(_, value)| value.as_str()).filter(|value| value.starts_with("Digest "));
    lines.map(Challenge::parse).collect()
}

/// A fresh challenge with an algorithm.
fn challenge(ground: &Ground, host: &str, algorithm: &str) -> Challenge {
    let told = ask(ground, host, "GET", URI, None, "").refused(401);
    let mut all = challenges(&told).into_iter();
    all.find(|challenge| challenge.value("algorithm") == algorithm).unwrap()
}

fn plain(ground: &Ground) -> Challenge {
    challenge(ground, "plain.example", "SHA-256")
}

fn right(challenge: &Challenge) -> Response {
    Response::to(challenge, TILL.0, TILL.1, "GET", URI)
}

fn send(ground: &Ground, response: &Response) -> Told {
    ask(ground, "plain.example", "GET", URI, Some(&response.field()), "")
}

/// Refused as a wrong password, with new challenges of which none is `stale`.
#[track_caller]
fn wrong(told: Told) -> Told {
    let told = told.refused(401);
    assert!(told.body().contains("wrong-password"), "{}", told.bytes());
    let challenges = challenges(&told);
    assert!(!challenges.is_empty(), "{}", told.bytes());
    assert!(challenges.iter().all(|challenge| challenge.value("stale").is_empty()), "{}", told.bytes());
    told
}

/// Refused because of the nonce alone: the client may answer the new challenge by itself.
#[track_caller]
fn stale(told: Told) -> Challenge {
    let told = told.refused(401);
    let challenge = challenges(&told).remove(0);
    assert_eq!(challenge.value("stale"), "true", "{}", told.bytes());
    challenge
}

#[test]
fn d6_a_counter_is_taken_once_and_out_of_order_within_the_window() {
    let ground = ground();
    let challenge = plain(&ground);
    let with = |count| Response { count, ..right(&challenge) };
    for count in [1, 3, 2, 300, 200] {
        let told = send(&ground, &with(count));
        let info = told.header("authentication-info");
        assert!(info.contains(&format!("rspauth=\"{}\"", with(count).rspauth())), "{info}");
        told.passed();
    }
    // The last one was not used, but whether it was is no longer known.
    for count in [1, 3, 2, 300, 200, 11] {
        wrong(send(&ground, &with(count)));
    }
    send(&ground, &with(45)).passed();
    // A nonce of the other API, and of another start.
    let other = Ground::with("enactor", WORLD);
    let foreign = Response { nonce: plain(&other).value("nonce").to_owned(), ..with(1) };
    wrong(send(&ground, &foreign));
    let elsewhere = Response {
        nonce: self::challenge(&ground, "all.example", "SHA-256").value("nonce").to_owned(),
        ..with(1)
    };
    wrong(send(&ground, &elsewhere));
}

#[test]
fn d6_a_nonce_of_another_node_is_stale_once_the_response_verified() {
    let ground = ground();
    let node = ground.still_loading();
    let challenge = plain(&ground);
    send(&ground, &right(&challenge)).passed();
    let wrong_there = Response { password: "wrong".to_owned(), count: 2, ..right(&challenge) };
    wrong(send(&node, &wrong_there));
    // The very counter that the first node has seen, and one that it has not.
    for count in [1, 2] {
        let next = stale(send(&node, &Response { count, ..right(&challenge) }));
        send(&node, &right(&next)).passed();
    }
    // One clock, later: the same on one node.
    ground.world.wait(Duration::from_secs(5 * 60));
    let next = stale(send(&ground, &Response { count: 2, ..right(&challenge) }));
    wrong(send(&ground, &Response { password: "wrong".to_owned(), count: 3, ..right(&challenge) }));
    send(&ground, &right(&next)).passed();
}

#[test]
fn d6_a_client_is_told_the_next_nonce_in_time() {
    let ground = ground();
    let challenge = plain(&ground);
    let told = send(&ground, &right(&challenge));
    assert!(!told.header("authentication-info").contains("nextnonce"));
    ground.world.wait(Duration::from_secs(151));
    let told = send(&ground, &Response { count: 2, ..right(&challenge) });
    let info = told.header("authentication-info");
    let next = info.split("nextnonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    ground.world.wait(Duration::from_secs(200));
    send(&ground, &Response { nonce: next.to_owned(), ..right(&challenge) }).passed();
    stale(send(&ground, &Response { count: 3, ..right(&challenge) }));
}

#[test]
fn d7_a_wrong_response_uses_no_counter_up() {
    let ground = ground();
    let challenge = plain(&ground);
    let guess = Response { password: "guess".to_owned(), ..right(&challenge) };
    wrong(send(&ground, &guess));
    send(&ground, &right(&challenge)).passed();
    wrong(send(&ground, &Response { count: 2, ..guess.clone() }));
    send(&ground, &Response { count: 2, ..right(&challenge) }).passed();
    // And one that was right for something else.
    let other = Response { method: "DELETE".to_owned(), count: 3, ..right(&challenge) };
    wrong(send(&ground, &other));
    send(&ground, &Response { count: 3, ..right(&challenge) }).passed();
}

#[test]
fn d8_what_lacks_a_parameter_or_has_one_twice_is_refused() {
    let ground = ground();
    for (from, to, status) in [
        (", qop=auth", "", 401),
        (", nc=00000001", "", 401),
        (", cnonce=\"0a4f113b=\"", "", 401),
        ("username=\"till\", ", "", 401),
        ("\"till\"", "\"\"", 401),
        ("nc=00000001", "nc=1", 401),
        ("nc=00000001", "nc=00000000", 401),
        ("nc=00000001", "nc=0000000g", 401),
        ("nc=00000001", "nc=00000001, nc=00000002", 400),
        ("nc=00000001", "nc=00000001, NONCE=\"x\"", 400),
        ("username=", "username*=UTF-8''till, username=", 400),
        ("uri=", "uri", 401),
        ("qop=auth", "qop=auth-int", 401),
        ("realm=\"Enactor\"", "realm=\"enactor\"", 401),
        ("realm=", "opaque=\"x\", realm=", 401),
        ("response=\"", "response=\"0", 401),
        ("response=", "other=", 401),
    ] {
        let challenge = plain(&ground);
        let good = right(&challenge).field();
        assert!(good.contains(from), "{from}");
        ask(&ground, "plain.example", "GET", URI, Some(&good.replacen(from, to, 1)), "").refused(status);
        ask(&ground, "plain.example", "GET", URI, Some(&good), "").passed();
    }
    for value in
        ["Digest", "Digest ", "Digest x", "Digest ,,,", "Digest \"", "Digest =", "Digest username=\u{fc}"]
    {
        ask(&ground, "plain.example", "GET", URI, Some(value), "").refused(401);
    }
    // Real clients quote what others do not.
    let quoted = right(&plain(&ground)).field();
    let quoted = quoted.replace("=SHA-256", "=\"SHA-256\"").replace("qop=auth", "qop=\"auth\"");
    ask(&ground, "plain.example", "GET", URI, Some(&quoted), "").passed();
}

#[test]
fn d9_a_response_is_good_for_its_target_and_method_alone() {
    let ground = ground();
    for uri in [
        "/devices/pos2?a=1&b=%7e",
        "/devices/pos1",
        "/devices/pos1?a=1&b=~",
        "/devices/pos1?a=1&b=%7E",
        "/devices/./pos1?a=1&b=%7e",
        "http://plain.example/devices/pos1?a=1&b=%7e",
        "",
        "*",
    ] {
        let other = Response { uri: uri.to_owned(), ..right(&plain(&ground)) };
        send(&ground, &other).refused(400);
    }
    // Right for the other target, and sent there.
    let other = Response { uri: "/devices/./pos1".to_owned(), ..right(&plain(&ground)) };
    let passed = ask(&ground, "plain.example", "GET", "/devices/./pos1", Some(&other.field()), "").passed();
    assert_eq!(passed.head.start, "GET /devices/pos1 HTTP/1.1");
    let challenge = plain(&ground);
    wrong(ask(&ground, "plain.example", "DELETE", URI, Some(&right(&challenge).field()), ""));
    let delete = Response { method: "DELETE".to_owned(), ..right(&challenge) };
    ask(&ground, "plain.example", "DELETE", URI, Some(&delete.field()), "").passed();
    // Clients of proxies send an absolute target: there is none that a response could be for.
    let absolute = Response { uri: format!("http://plain.example{URI}"), ..right(&plain(&ground)) };
    let target = format!("http://plain.example{URI}");
    ask(&ground, "plain.example", "GET", &target, Some(&absolute.field()), "").refused(400);
}

#[test]
fn d10_only_what_was_offered_is_taken_and_a_wrong_password_is_never_stale() {
    let ground = ground();
    let told = ask(&ground, "all.example", "GET", URI, None, "").refused(401);
    let offered: Vec<String> =
        challenges(&told).iter().map(|challenge| challenge.value("algorithm").to_owned()).collect();
    assert_eq!(offered, ["SHA-512-256-sess", "SHA-512-256", "SHA-256-sess", "SHA-256", "MD5-sess", "MD5"]);
    for algorithm in ["MD5", "MD5-sess", "SHA-512-256", "SHA-256-sess"] {
        let weaker = Response { algorithm: algorithm.to_owned(), ..right(&plain(&ground)) };
        wrong(send(&ground, &weaker));
    }
    let unnamed = Response { algorithm: "MD5".to_owned(), ..right(&plain(&ground)) };
    let unnamed = unnamed.field().replace("algorithm=MD5, ", "");
    wrong(ask(&ground, "plain.example", "GET", URI, Some(&unnamed), ""));
    // Where it is all that is offered, it is what a client means that names none.
    let old = right(&challenge(&ground, "md5.example", "MD5"));
    let old = old.field().replace("algorithm=MD5, ", "");
    ask(&ground, "md5.example", "GET", URI, Some(&old), "").passed();
    ground.world.wait(Duration::from_secs(60 * 60));
    let late = plain(&ground);
    ground.world.wait(Duration::from_secs(60 * 60));
    wrong(send(&ground, &Response { password: "wrong".to_owned(), ..right(&late) }));
    stale(send(&ground, &right(&late)));
}

#[test]
fn d10_every_algorithm_with_sessions_hashed_users_and_bodies() {
    let ground = ground();
    let send = |response: &Response, body: &str| {
        ask(&ground, "all.example", &response.method, URI, Some(&response.field()), body)
    };
    for algorithm in ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"] {
        let challenge = challenge(&ground, "all.example", algorithm);
        assert_eq!((challenge.value("qop"), challenge.value("userhash")), ("auth,auth-int", "true"));
        let first = right(&challenge);
        send(&first, "").passed();
        // Another `cnonce`: a client makes the key of the session anew, or keeps it.
        let anew = Response { cnonce: "other".to_owned(), count: 2, ..first.clone() };
        send(&anew, "").passed();
        let kept = Response { first_cnonce: Some(first.cnonce.clone()), count: 3, ..anew.clone() };
        send(&kept, "").passed();
        let never = Response { first_cnonce: Some("never seen".to_owned()), count: 4, ..anew.clone() };
        let told = send(&never, "");
        if algorithm.ends_with("-sess") {
            drop(wrong(told))
        } else {
            drop(told.passed())
        }

        let hashed = Response { hashes_user: true, count: 5, ..first.clone() };
        send(&hashed, "").passed();
        wrong(send(&Response { user: "strong".to_owned(), count: 6, ..hashed.clone() }, ""));
        wrong(send(&Response { user: "nobody".to_owned(), count: 6, ..hashed }, ""));
        let body = "{\"a\":1,\"a\":2} or anything else";
        let signed = Response {
            qop: "auth-int".to_owned(),
            method: "PUT".to_owned(),
            body: body.to_owned(),
            count: 7,
            ..first
        };
        wrong(send(&signed, "{\"a\":1}"));
        let passed = send(&signed, body).passed();
        assert_eq!(String::from_utf8_lossy(&passed.body), body);
        let none = Response { body: String::new(), method: "GET".to_owned(), count: 8, ..signed };
        send(&none, "").passed();
    }
    let long = "x".repeat(64 * 1024 + 1);
    let signed = Response {
        qop: "auth-int".to_owned(),
        method: "PUT".to_owned(),
        body: long.clone(),
        ..right(&challenge(&ground, "all.example", "SHA-256"))
    };
    send(&signed, &long).refused(413);
}

#[test]
fn d11_floods_of_challenges_cost_nothing_that_a_client_would_miss() {
    let ground = ground();
    let before = plain(&ground);
    for _ in 0..2000 {
        plain(&ground);
    }
    send(&ground, &right(&before)).passed();
    // Garbage in the place of nonces, and nonces with a bit changed.
    for nonce in ["", "x", &"A".repeat(5000), &before.value("nonce").replacen(|_: char| true, "-", 1)] {
        wrong(send(&ground, &Response { nonce: nonce.to_owned(), ..right(&before) }));
    }
}

#[test]
fn d14_a_scheme_that_cannot_be_read_is_refused_once_with_what_is_taken() {
    let ground = ground();
    for value in ["Negotiate badvalue", "NTLM AAAA", "Digestx y", "Basic !"] {
        let told = ask(&ground, "plain.example", "GET", URI, Some(value), "").refused(401);
        let lines: Vec<&str> = told
            .answer
            .head
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
            .map(|(_, value)| value.split(' ').next().unwrap())
            .collect();
        assert_eq!(lines, ["Bearer", "Digest", "Basic"], "{value}");
    }
    let (user, password) = TILL;
    ask(&ground, "plain.example", "GET", URI, Some(&basic(user, password)), "").passed();
}

#[test]
fn d1_nobody_can_be_told_from_a_wrong_password_by_digest() {
    let ground = ground();
    let answer = |user: &str, password: &str| {
        let response = Response::to(&plain(&ground), user, password, "GET", URI);
        let told = wrong(send(&ground, &response));
        let nonce = challenges(&told)[0].value("nonce").to_owned();
        assert_eq!(nonce.len(), 51);
        told.bytes().replace(&nonce, "N")
    };
    let expected = answer("nobody", "drawer-open-5");
    // Opted out, as unknown as anybody; with another case than it was kept for; locked.
    for (user, password) in
        [("till", "wrong"), ("strong", "drawer-open-6"), ("strong", "wrong"), ("TILL", TILL.1)]
    {
        assert_eq!(answer(user, password), expected, "{user}");
    }
    for _ in 0..6 {
        assert_eq!(answer("till", "wrong"), expected);
        assert_eq!(answer("nobody", "wrong"), expected);
    }
    assert_eq!(answer(TILL.0, TILL.1), expected, "locked");
}

#[test]
fn d4_guesses_by_digest_and_by_basic_are_one_count() {
    let ground = ground();
    let by_digest =
        |password: &str| send(&ground, &Response { password: password.to_owned(), ..right(&plain(&ground)) });
    let by_basic =
        |password: &str| ask(&ground, "plain.example", "GET", URI, Some(&basic(TILL.0, password)), "");
    let recorded = right(&plain(&ground));
    send(&ground, &recorded).passed();
    let mut guesses = 0;
    for guess in 0..3 {
        by_digest(&format!("guess {guess}")).refused(401);
        by_basic(&format!("guess {guess}")).refused(401);
        // A recorded response that is played again must not empty the count.
        wrong(send(&ground, &recorded));
        guesses += 2;
    }
    assert!(guesses >= 5);
    by_basic(TILL.1).refused(401);
    wrong(by_digest(TILL.1));
    // Also under a nonce that was proven before.
    wrong(send(&ground, &Response { count: 2, ..recorded.clone() }));
    ground.world.wait(Duration::from_secs(120));
    by_digest(TILL.1).passed();
    by_basic(TILL.1).passed();
}

#[test]
fn d6_stale_answers_of_many_connections_lock_nobody() {
    let ground = ground();
    let challenge = plain(&ground);
    ground.world.wait(Duration::from_secs(5 * 60));
    for count in 1..=12 {
        stale(send(&ground, &Response { count, ..right(&challenge) }));
    }
    send(&ground, &right(&plain(&ground))).passed();
}

#[test]
fn d4_what_digest_proved_ends_with_the_account_and_the_switch() {
    let ground = ground();
    let service = ground.world.service();
    let till = service.account_named("users", TILL.0).unwrap().account.id;
    let challenge = plain(&ground);
    let with = |count, password: &str| Response { count, password: password.to_owned(), ..right(&challenge) };
    let now = || ground.world.now();
    let set = |password: &str, weaker| {
        let password = NewPassword::Lasting(Secret::new(password));
        ground.world.block_on(service.set_password(till, password, weaker, By::gate(), now())).unwrap();
    };
    send(&ground, &with(1, TILL.1)).passed();
    set("another word 1", vec![WeakerScheme::Digest]);
    wrong(send(&ground, &with(2, TILL.1)));
    send(&ground, &with(2, "another word 1")).passed();
    ground.world.block_on(service.strengthen(till, By::gate(), now())).unwrap();
    wrong(send(&ground, &with(3, "another word 1")));
    ask(&ground, "plain.example", "GET", URI, Some(&basic(TILL.0, "another word 1")), "").passed();
    set("another word 2", vec![]);
    wrong(send(&ground, &with(4, "another word 2")));
    let due = Response::to(&plain(&ground), "due", "drawer-open-7", "GET", URI);
    assert!(send(&ground, &due).refused(403).body().contains("password-due"));
}

#[test]
fn d8_a_user_may_have_any_letters_and_proves_no_keys() {
    let ground = ground();
    let (user, password) = ("Jörg, \"J\"", "schub:lade-8");
    let good = Response::to(&plain(&ground), user, password, "GET", URI);
    let escaped = good.field().replacen(&format!("\"{user}\""), "\"Jörg, \\\"J\\\"\"", 1);
    ask(&ground, "plain.example", "GET", URI, Some(&escaped), "").passed();
    let good = Response::to(&plain(&ground), user, password, "GET", URI);
    let extended = "username*=UTF-8''J%C3%B6rg%2C%20%22J%22";
    let extended = good.field().replacen(&format!("username=\"{user}\""), extended, 1);
    ask(&ground, "plain.example", "GET", URI, Some(&extended), "").passed();

    let told = claims(&send(&ground, &right(&plain(&ground))).passed());
    assert_eq!((told["sub"].as_str(), told["scheme"].as_str()), (Some("till"), Some("digest")));
    assert_eq!(told["keys"], serde_json::json!({}), "the account's keys are for the Identity Service to say");
}
