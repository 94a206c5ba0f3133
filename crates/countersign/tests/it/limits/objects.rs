//! Limits of what is read for object rules, at their edge.

use countersign_auth::objects::kind::Owner;
use countersign_auth::port::objects::{NewBinding, ObjectName};
use countersign_gateway::limits::Limits;
use countersign_identity::service::By;

use super::{PATIENCE, refused};
use crate::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, WINDOW_UPDATE, fields, frame};
use crate::threats::{Ground, basic};

const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
enable  = ["basic"]
at      = ["/"]

[api.object.order]
owner = "customer"

[[api.route]]
at    = "/search"
allow = "authenticated"
ids   = { customer = "query customerId" }

[[api.route]]
at    = "/document"
allow = "authenticated"
ids   = { customer = "body /customerId" }

[[api.route]]
at    = "/batch"
allow = "authenticated"
ids   = { order = "body /*/id" }

[[api.route]]
at    = "/orders/{order}"
allow = "authenticated"
ids   = { order = "path order" }

[[api.route]]
at      = "POST /orders"
allow   = "authenticated"
creates = { order = "body /id" }

[[api.route]]
at    = "/list"
allow = "authenticated"
shows = { order = "body /*/id" }

[[api.route]]
at      = "/filtered"
allow   = "authenticated"
shows   = { order = "body /*/id" }
foreign = "filter"

[[account]]
name     = "ann"
password = "administers-it-1"
keys     = { customer = "1" }
"#;

/// Orders that are the customer's.
const ORDERS: usize = 1001;

fn ground() -> Ground {
    Ground::limited_in("enactor", WORLD, Limits::default(), PATIENCE)
}

fn ask(first: &str, media: &str, body: &str) -> String {
    let ann = basic("ann", "administers-it-1");
    format!("{first} HTTP/1.1\nHost: a.example\nAuthorization: {ann}\nContent-Type: {media}\n\n{body}")
}

fn json(first: &str, body: &str) -> String {
    ask(first, "application/json", body)
}

/// A list of orders, each another one.
fn orders(count: usize) -> String {
    let orders: Vec<String> = (0..count).map(|order| format!("{{\"id\":{order}}}")).collect();
    format!("[{}]", orders.join(","))
}

fn owns_orders(ground: &Ground) {
    let bindings = (0..ORDERS).map(|order| NewBinding {
        name: ObjectName { api: "shop".into(), kind: "order".into(), id: order.to_string() },
        owner: Some(Owner::named("customer").written("1")),
        tenant: None,
        lifetime: None,
    });
    let world = &ground.world;
    world.block_on(world.service().put_objects(bindings.collect(), By::gate(), world.now())).unwrap();
}

/// The service answers so.
fn says(ground: &Ground, body: &str) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    ground.world.upstream.reply(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes());
}

#[test]
fn ids_of_a_request_are_counted() {
    let ground = ground();
    owns_orders(&ground);
    ground.send(&json("POST /batch", &orders(100))).passed();
    refused(&ground, &json("POST /batch", &orders(101)), 413, "too-large", "too many ids");
    // The same one again is one.
    let again = orders(100).replace(']', ",{\"id\":7},{\"id\":\"8\"}]");
    ground.send(&json("POST /batch", &again)).passed();
}

#[test]
fn objects_of_an_answer_are_counted() {
    let ground = ground();
    owns_orders(&ground);
    let list = |count: usize| {
        says(&ground, &orders(count));
        ground.send(&json("GET /list", ""))
    };
    let told = list(1000);
    assert_eq!((told.status(), told.body()), (200, orders(1000)));
    let told = list(1001);
    assert_eq!(told.status(), 502, "{}", told.bytes());
    assert!(!told.body().contains("id"), "{}", told.body());
}

/// No line is compared with all others: that would be hundreds of millions of comparisons, on the core of everybody.
#[test]
fn a_page_may_show_its_objects_very_often() {
    const LINES: usize = 30_000;
    let ground = ground();
    owns_orders(&ground);
    let page = |ids: &dyn Fn(usize) -> Option<usize>| {
        let lines = (0..LINES).filter_map(ids).map(|id| format!("{{\"id\":{id}}}"));
        format!("[{}]", lines.collect::<Vec<_>>().join(","))
    };
    let own = |line: usize| Some(line % 1000);
    says(&ground, &page(&own));
    let told = ground.send(&json("GET /list", ""));
    assert_eq!((told.status(), told.body() == page(&own)), (200, true));
    // Every other line is of an order that is nobody's.
    let some = |line: usize| Some(if line.is_multiple_of(2) { line % 500 } else { 5000 + line % 500 });
    says(&ground, &page(&some));
    let told = ground.send(&json("GET /filtered", ""));
    let left = page(&|line| some(line).filter(|id| *id < 5000));
    assert_eq!((told.status(), told.body() == left), (200, true));
}

#[test]
fn pairs_of_a_query_and_a_form_are_counted() {
    let ground = ground();
    let pairs = |count: usize| format!("{}customerId=1", "a&".repeat(count - 1));
    ground.send(&json(&format!("GET /search?{}", pairs(1000)), "")).passed();
    refused(&ground, &json(&format!("GET /search?{}", pairs(1001)), ""), 413, "too-large", "cannot be read");
    let form = |count: usize| ask("POST /document", "application/x-www-form-urlencoded", &pairs(count));
    ground.send(&form(1000)).passed();
    refused(&ground, &form(1001), 413, "too-large", "cannot be read");
}

#[test]
fn parts_of_a_body_with_ids_are_counted() {
    let ground = ground();
    let parts = |count: usize| {
        let part =
            |name: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n1\r\n");
        let others: String = (1..count).map(|number| part(&format!("n{number}"))).collect();
        let body = format!("{others}{}--x--", part("customerId"));
        ask("POST /document", "multipart/form-data; boundary=x", &body)
    };
    ground.send(&parts(100)).passed();
    refused(&ground, &parts(101), 413, "too-large", "too many parts");
}

#[test]
fn json_with_ids_is_bounded_in_depth() {
    let ground = ground();
    // The object itself is one.
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        json("POST /document", &format!("{{\"customerId\":1,\"x\":{open}{close}}}"))
    };
    ground.send(&deep(64)).passed();
    refused(&ground, &deep(65), 413, "too-large", "deep");
}

#[test]
fn bodies_and_answers_with_ids_are_bounded_in_bytes() {
    let ground = ground();
    owns_orders(&ground);
    let body = |bytes: usize| {
        let around = "{\"customerId\":1,\"x\":\"\"}";
        around.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - around.len())))
    };
    let fits = body(256 * 1024);
    assert_eq!(ground.send(&json("POST /document", &fits)).passed().body, fits.as_bytes());
    refused(&ground, &json("POST /document", &body(256 * 1024 + 1)), 413, "too-large", "262144");
    let answer = |bytes: usize| {
        let around = "[{\"id\":1,\"x\":\"\"}]";
        around.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - around.len())))
    };
    let list = |answer: &str| {
        says(&ground, answer);
        ground.send(&json("GET /list", ""))
    };
    let fits = answer(1024 * 1024);
    let told = list(&fits);
    assert_eq!(told.status(), 200);
    assert_eq!(told.body(), fits);
    let told = list(&answer(1024 * 1024 + 1));
    assert_eq!(told.status(), 502, "{}", told.bytes());
    assert!(!told.body().contains("xxx"));
}

/// It is in memory until its client has taken it, whose connection has windows for a part of it.
#[test]
fn an_answer_that_was_read_counts_until_it_was_taken() {
    // Both that may be under way.
    let limits = Limits { upstream_requests: 2, ..Limits::default() };
    let ground = Ground::limited_in("enactor", WORLD, limits, PATIENCE);
    owns_orders(&ground);
    let answer = format!("[{{\"id\":1,\"x\":\"{}\"}}]", "x".repeat(500_000));
    let ann = basic("ann", "administers-it-1");
    let list = fields(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"a.example"),
        (b":path", b"/list"),
        (b"authorization", ann.as_bytes()),
    ]);
    let mut clients: Vec<Frames> = (0..2).map(|_| Frames::open(ground.world.address, &[])).collect();
    for client in &mut clients {
        says(&ground, &answer);
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &list)).unwrap();
        let begun = client.next().unwrap();
        assert_eq!((begun.kind, begun.flags & END_STREAM), (HEADERS, 0));
    }
    assert_eq!(ground.world.upstream.take().len(), 2);
    refused(&ground, &json("GET /search?customerId=1", ""), 503, "unavailable", "limits.upstream_requests");
    for client in &mut clients {
        for stream in [0, 1] {
            client.send(&frame(WINDOW_UPDATE, 0, stream, &500_000_u32.to_be_bytes())).unwrap();
        }
        assert_eq!(client.ended(1), Ok(()));
    }
    ground.send(&json("GET /search?customerId=1", "")).passed();
}

#[test]
fn an_id_is_bounded_in_bytes() {
    let ground = ground();
    let created = |bytes: usize| {
        let id = "7".repeat(bytes);
        says(&ground, &format!("{{\"id\":\"{id}\"}}"));
        let told = ground.send(&json("POST /orders", "{}"));
        (told.status(), ground.send(&json(&format!("GET /orders/{id}"), "")).status())
    };
    assert_eq!(created(256), (200, 200));
    // What cannot be bound is nobody's, and its maker is told that it went wrong.
    assert_eq!(created(257), (502, 404));
}
