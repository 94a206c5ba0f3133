//! Answers that cannot be read, and what is told to services.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{bind, send, world};
use crate::raw::{Answer, Client};
use crate::world::{ASSERTION, World};

const WORLD: &str = r#"
[[api]]
name = "shop"
dialect = "enactor"
at = ["/"]
[api.object.order]
owner = "customer"
[[api.route]]
at = "/plain/**"
allow = "authenticated"
[[api.route]]
at = "/orders/{order}"
allow = "authenticated"
ids = { order = "path order", "customer?" = "query customer" }
shows = { customer = "body /customerId" }
answer_bytes_max = 200
[[api.route]]
at = "POST /copies"
allow = "authenticated"
creates = { order = ["location /orders/{id}", "body /id"] }
[[api.route]]
at = "POST /orders"
allow = "authenticated"
ids = { "customer?" = "body /customerId" }
creates = { order = "body /id" }
body_bytes_max = 100
[issuer."http://www.enactor.co/"]
keys = ["issuer-1"]
[[jwt]]
name = "jane"
issuer = "http://www.enactor.co/"
key = "issuer-1"
header = { alg = "RS256" }
claims = { aud = "client", sub = "1", exp = "+3600" }
"#;

fn ask(world: &World, first: &str, lines: &[&str], body: &str, reply: &str) -> (Answer, Vec<Value>) {
    let (head, text) = reply.split_once("\n\n").unwrap_or((reply, ""));
    let head = head.replace('\n', "\r\n");
    world
        .upstream
        .reply(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes());
    let token = format!("Authorization: Bearer {}", world.bindings.value("jwt.jane").unwrap());
    let mut all = vec![token.as_str()];
    all.extend(lines);
    let answer = send(&mut Client::new(world.address), first, &all, body);
    let claims = |token: &str| {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice(&payload).unwrap()
    };
    let seen = world.upstream.take();
    (answer, seen.iter().map(|seen| claims(seen.head.header(ASSERTION).unwrap())).collect())
}

#[test]
fn an_answer_that_cannot_be_read_is_kept_back() {
    let world = world(WORLD);
    bind(&world, "order", "7", "1");
    let json = "Content-Type: application/json";
    for (reply, expected) in [
        (format!("200 OK\n{json}\n\n{{\"customerId\":1}}"), 200),
        (format!("200 OK\n{json}; charset=UTF-8\n\n{{\"customerId\":\"1\"}}"), 200),
        (format!("200 OK\n{json}\n\n{{}}"), 200),
        ("204 No Content".to_owned(), 204),
        ("200 OK".to_owned(), 200),
        (format!("200 OK\n{json}\n\n{{\"customerId\":2}}"), 502),
        (format!("200 OK\n{json}\n\n{{\"customerId\":[1]}}"), 502),
        (format!("200 OK\n{json}\n\n{{\"customerId\":1,\"customerId\":1}}"), 502),
        (format!("200 OK\n{json}\n\n{{\"customerId\":1"), 502),
        (format!("200 OK\n{json}\nContent-Encoding: gzip\n\n{{\"customerId\":1}}"), 502),
        ("200 OK\nContent-Type: text/html\n\n<p>2".to_owned(), 502),
        ("200 OK\n\ncustomer 2".to_owned(), 502),
        (format!("200 OK\n{json}\n\n{{\"x\":\"{}\",\"customerId\":1}}", "x".repeat(200)), 502),
        (format!("404 Not Found\n{json}\n\n{{\"customerId\":2}}"), 502),
    ] {
        let (answer, _) = ask(&world, "GET /orders/7", &[], "", &reply);
        assert_eq!(answer.head.status(), expected, "{reply}");
        if expected == 502 {
            assert!(!String::from_utf8_lossy(&answer.body).contains("customer"), "{reply}");
        }
    }
    let (answer, _) =
        ask(&world, "GET /orders/7", &[], "", "500 No\nContent-Type: text/html\n\n<p>order of 2");
    assert_eq!(
        (answer.head.status(), &answer.body[..]),
        (500, &b""[..]),
        "an error loses a body that cannot be read"
    );
    // What stands in its head is looked at all the same.
    bind(&world, "order", "8", "2");
    for (number, expected) in [("7", 303), ("8", 502)] {
        let reply = format!("303 See Other\nLocation: /orders/{number}\nContent-Type: text/html\n\n<p>order");
        let (answer, _) = ask(&world, "POST /copies", &[], "", &reply);
        let location = answer.head.header("location");
        assert_eq!((answer.head.status(), location.is_some()), (expected, expected == 303), "{number}");
        assert!(answer.body.is_empty() || expected == 502);
    }
}

#[test]
fn the_service_is_told_what_was_checked_for_this_request_alone() {
    let world = world(WORLD);
    bind(&world, "order", "7", "1");
    bind(&world, "order", "8", "1");
    let ok = "200 OK";
    let (_, first) = ask(&world, "GET /orders/7?customer=1", &[], "", ok);
    assert_eq!(first[0]["objects"], json!({ "order": ["7"], "customer": ["1"] }));
    let (_, second) = ask(&world, "GET /orders/8", &[], "", ok);
    assert_eq!(second[0]["objects"], json!({ "order": ["8"] }));
    let (_, plain) = ask(&world, "GET /plain/x", &[], "", ok);
    assert_eq!(plain[0]["objects"], Value::Null);
    assert_eq!(plain[0]["keys"]["customer"], "1");
}

#[test]
fn what_was_created_is_the_creators() {
    let world = world(WORLD);
    let json = "Content-Type: application/json";
    let created = format!("201 Created\n{json}\n\n{{\"id\":31}}");
    let (answer, _) = ask(&world, "GET /orders/31", &[], "", "200 OK");
    assert_eq!(answer.head.status(), 404);
    let (answer, _) = ask(&world, "POST /orders", &[json], r#"{"customerId":1}"#, &created);
    assert_eq!((answer.head.status(), &answer.body[..]), (201, &b"{\"id\":31}"[..]));
    let (answer, seen) = ask(&world, "GET /orders/31", &[], "", "200 OK");
    assert_eq!((answer.head.status(), seen.len()), (200, 1));
    let failed = format!("409 Conflict\n{json}\n\n{{\"id\":32}}");
    ask(&world, "POST /orders", &[json], "{}", &failed);
    assert_eq!(ask(&world, "GET /orders/32", &[], "", "200 OK").0.head.status(), 404);
}

#[test]
fn bodies_are_read_up_to_a_limit_and_sent_on_unchanged() {
    let world = world(WORLD);
    let json = "Content-Type: application/json";
    let pad = |n: usize| format!("{{ \"x\":\"{}\" , \"customerId\" : 1 }}", "x".repeat(n));
    let fits = pad(100 - pad(0).len());
    world.upstream.take();
    let (answer, seen) = ask(&world, "POST /orders", &[json], &fits, "200 OK");
    assert_eq!((answer.head.status(), seen.len()), (200, 1));
    let (answer, seen) = ask(&world, "POST /orders", &[json], &pad(101 - pad(0).len()), "200 OK");
    assert_eq!((answer.head.status(), seen.len()), (413, 0));
    // A route without rules for bodies passes them on unread.
    let (answer, _) =
        ask(&world, "POST /plain/x", &["Content-Type: text/plain"], &"x".repeat(500_000), "200 OK");
    assert_eq!(answer.head.status(), 200);
}
