//! Every position of an id, by every caller, for every object.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CALLERS, customer, full_world, order, send, tokens, told_of};
use crate::raw::Client;

/// What the owner of the object gets with the same request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twin {
    /// His data: so that another's refusal proves something.
    Served,
    /// Nothing either: the request has no one reading.
    Refused,
}
use Twin::{Refused, Served};

/// Methods, target, headers, body. `{id}` is the number asked for and `{own}` the caller's own, both of a customer;
/// `{order}` and `{mine}` likewise; `{pct}` and `{uni}` are `{id}` in percent encoding and in escapes of JSON.
type Shape = (&'static str, &'static str, &'static [&'static str], &'static str, Twin);

const JSON: &[&str] = &["Content-Type: application/json"];
const FORM: &[&str] = &["Content-Type: application/x-www-form-urlencoded"];
const PARTS: &[&str] = &["Content-Type: multipart/form-data; boundary=b"];
const ANY: &str = "GET POST PUT PATCH DELETE";
const WRITING: &str = "POST PUT PATCH";

const PATHS: &[Shape] = &[
    (ANY, "/customers/{id}", &[], "", Served),
    ("GET", "/customers/{id}/", &[], "", Served),
    ("GET", "/customers/{id}/addresses/1", &[], "", Served),
    ("GET", "/customers/{pct}", &[], "", Served),
    ("GET", "/customers/x/../{id}", &[], "", Served),
    ("GET", "/customers/./{id}", &[], "", Served),
    ("GET", "/CUSTOMERS/{id}", &[], "", Refused),
    ("GET", "/customers/{own};x={id}", &[], "", Refused),
    ("GET", "/customers/{own}%2f..%2f{id}", &[], "", Refused),
    ("GET", "/customers//{id}", &[], "", Refused),
    ("GET", "/customers/{id}%00", &[], "", Refused),
    ("GET", "/customers/%25{id}", &[], "", Refused),
    ("GET", "/customers/0{id}", &[], "", Refused),
    ("GET", "/customers/{id}%20", &[], "", Refused),
    (ANY, "/orders/{order}", &[], "", Served),
    ("GET", "/orders/0{order}", &[], "", Refused),
    ("GET", "/customers/{own}/orders/{order}", &[], "", Served),
    ("GET", "/customers/{id}/orders/{mine}", &[], "", Served),
];

const QUERIES: &[Shape] = &[
    (ANY, "/search?customerId={id}", &[], "", Served),
    ("GET", "/search?CustomerID={id}", &[], "", Served),
    ("GET", "/search?%63ustomerId={pct}", &[], "", Served),
    ("GET", "/search?a=1&customerId={id}&b=2", &[], "", Served),
    ("GET", "/search?customerId={own}&customerId={id}", &[], "", Served),
    ("GET", "/search?customerId={id}&customerid={own}", &[], "", Served),
    ("GET", "/search?customerId[]={id}", &[], "", Refused),
    ("GET", "/search?customerId={own}&customerId%5B0%5D={id}", &[], "", Refused),
    ("GET", "/search?customerId.x={id}&customerId={own}", &[], "", Refused),
    ("GET", "/search?customerId={own};customerId={id}", &[], "", Refused),
    ("GET", "/search?customerId={own}&x=1;customerId={id}", &[], "", Refused),
    ("GET", "/search?customerId={own},{id}", &[], "", Refused),
    ("GET", "/search?customerId=+{id}", &[], "", Refused),
    ("GET", "/search?customerId={id}%00", &[], "", Refused),
    ("GET", "/search?customerId={id}%", &[], "", Refused),
    ("GET", "/search?id={id}", &[], "", Refused),
    (WRITING, "/search?customerId={own}", FORM, "customerId={id}", Served),
    (WRITING, "/search?customerId={own}", FORM, "customerid={pct}", Served),
    ("GET", "/filter?filter[customer]={id}", &[], "", Served),
    ("GET", "/filter?filter%5Bcustomer%5D={own}&filter.Customer={id}", &[], "", Served),
    ("GET", "/filter?filter[customer]={own}&filter[customer][eq]={id}", &[], "", Refused),
    (WRITING, "/filter?filter[customer]={own}", FORM, "filter.customer={id}", Served),
    ("GET", "/escaped?filter[customer]={own}&filter[customer]={id}", &[], "", Served),
    ("GET", "/escaped?filter.customer={id}", &[], "", Served),
    ("GET", "/dotted?filter.customer={own}&filter%5bcustomer%5d={id}", &[], "", Served),
    ("GET", "/several?filter[customer][]={own}&filter[customer][]={id}", &[], "", Served),
    ("GET", "/several?filter[customer][]={own}&filter[customer][1]={id}", &[], "", Served),
    ("GET", "/several?filter[customer]={id}", &[], "", Refused),
    ("GET", "/orders?order={order}", &[], "", Served),
    ("GET", "/orders?order={mine}&order={order}", &[], "", Served),
    ("GET", "/header", &["X-Customer: {id}"], "", Served),
    ("GET", "/header", &["x-customer: {own}", "X-CUSTOMER: {id}"], "", Served),
    ("GET", "/header", &["x-customer: {own}", "X_Customer: {id}"], "", Served),
    ("GET", "/header", &["x-customer: {own}", "X~Customer: {id}"], "", Served),
    ("GET", "/header", &["x-customer: {own}, {id}"], "", Refused),
];

const BODIES: &[Shape] = &[
    ("POST PUT PATCH DELETE", "/document", JSON, r#"{"customerId":{id}}"#, Served),
    (WRITING, "/document", JSON, r#" { "customerId" : "{id}" } "#, Served),
    (WRITING, "/document", JSON, r#"{"customerId":"{uni}"}"#, Served),
    (WRITING, "/document", JSON, r#"{"\u0063ustomerId":"{id}"}"#, Served),
    (WRITING, "/document", JSON, r#"{"CUSTOMERID":{id}}"#, Served),
    ("POST", "/document", JSON, "{\"cu\u{17f}tomerId\":{id},\"customerId\":{own}}", Served),
    ("POST", "/document", JSON, r#"{"customerId":{own},"customerid":{id}}"#, Served),
    ("POST", "/document", JSON, r#"{"customerId":{own},"customerId":{id}}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":{id},"customerId":{own}}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":{own},"x":{"a":1,"a":{id}}}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":[{id}]}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":{"id":{id}}}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":{id}.0}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":{id}e0}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":" {id}"}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":{own}}{"customerId":{id}}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":{own},"customerId\u0000":{id}}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":{own}/*,"customerId":{id}*/}"#, Refused),
    ("POST", "/document", JSON, r#"{"customerId":null,"other":{id}}"#, Refused),
    ("POST", "/document", JSON, "\u{feff}{\"customerId\":{id}}", Served),
    ("PATCH", "/document", &["Content-Type: application/merge-patch+json"], r#"{"customerId":{id}}"#, Served),
    ("POST", "/document", &["Content-Type: text/plain"], r#"{"customerId":{id}}"#, Refused),
    ("POST", "/document", &[], r#"{"customerId":{id}}"#, Refused),
    (
        "POST",
        "/document",
        &["Content-Type: application/xml"],
        "<a><customerId>{id}</customerId></a>",
        Refused,
    ),
    (
        "POST",
        "/document",
        &["Content-Type: application/json; charset=utf-16"],
        r#"{"customerId":{id}}"#,
        Refused,
    ),
    (
        "POST",
        "/document",
        &["Content-Type: application/json", "Content-Encoding: gzip"],
        r#"{"customerId":{id}}"#,
        Refused,
    ),
    (
        "POST",
        "/document",
        &["Content-Type: application/json", "Content-Type: text/plain"],
        r#"{"customerId":{id}}"#,
        Refused,
    ),
    ("POST", "/document", FORM, "customerId={id}", Served),
    ("POST", "/document", FORM, "customerId={own}&customerid={id}", Served),
    ("POST", "/document?customerId={id}", FORM, "customerId={own}", Served),
    ("POST", "/document", FORM, "customerId[]={id}", Refused),
    (
        "POST",
        "/document",
        PARTS,
        "--b\r\nContent-Disposition: form-data; name=customerId\r\n\r\n{id}\r\n--b--\r\n",
        Served,
    ),
    (
        "POST",
        "/search?customerId={own}",
        PARTS,
        "--b\r\nContent-Disposition: form-data; name=\"customerID\"\r\n\r\n{id}\r\n--b--\r\n",
        Served,
    ),
    (
        "POST",
        "/document",
        PARTS,
        "--b\r\nContent-Disposition: form-data; name=customerId; filename=a\r\n\r\n{id}\r\n--b--\r\n",
        Refused,
    ),
    ("POST", "/nested", JSON, r#"{"customer":{"id":{id}}}"#, Served),
    ("POST", "/nested", FORM, "customer[id]={id}", Served),
    ("POST", "/nested", FORM, "customer.id={id}", Served),
    ("POST", "/nested", FORM, "customer%5Bid%5D={own}&customer.id={id}", Served),
    ("POST", "/deep", JSON, r#"{"a":{"b":[{"customerId":{id}}]},"customerId":{own}}"#, Served),
    ("POST", "/deep", JSON, r#"[[[{"customerId":{own}},{"x":{"customerId":{id}}}]]]"#, Served),
    ("POST", "/batch", JSON, r#"[{"customerId":{own}},{"customerId":{id}}]"#, Served),
    ("POST", "/batch", JSON, r#"{"a":{"customerId":{id}}}"#, Served),
    ("POST", "/both/{own}", JSON, r#"{"customerId":{id}}"#, Served),
    ("POST", "/both/{id}", JSON, r#"{"customerId":{own}}"#, Served),
    ("POST", "/both/{own}?customerId={id}", JSON, r#"{"customerId":{own}}"#, Served),
    ("GET", "/both/{own}?customerId={id}", &[], "", Served),
    ("POST", "/orders", JSON, r#"{"orders":[{"id":{mine}},{"id":{order}}]}"#, Served),
    ("POST", "/orders", JSON, r#"{"order":"{order}","orders":[]}"#, Served),
    ("POST", "/orders?order={mine}", JSON, r#"{"order":{order}}"#, Served),
    ("POST", "/orders", FORM, "order={order}", Served),
];

fn escaped(text: &str, with: impl Fn(u8) -> String) -> String {
    text.bytes().map(with).collect()
}

fn filled(template: &str, caller: usize, object: usize) -> String {
    let id = customer(object);
    template
        .replace("{id}", &id)
        .replace("{own}", &customer(caller))
        .replace("{order}", &order(object))
        .replace("{mine}", &order(caller))
        .replace("{pct}", &escaped(&id, |byte| format!("%{byte:02x}")))
        .replace("{uni}", &escaped(&id, |byte| format!("\\u{byte:04X}")))
}

/// How many requests there were, and what became of them.
#[derive(Default)]
struct Count {
    served: AtomicUsize,
    refused: AtomicUsize,
    anonymous: AtomicUsize,
}

/// Asks as one caller for every object in every shape.
fn asked_by(caller: usize, client: &mut Client, token: &str, count: &Count) {
    let authorization = format!("Authorization: {token}");
    for (methods, target, headers, body, twin) in PATHS.iter().chain(QUERIES).chain(BODIES) {
        for object in 0..CALLERS {
            for method in methods.split(' ') {
                let first = format!("{method} {}", filled(target, caller, object));
                let headers: Vec<String> = headers.iter().map(|line| filled(line, caller, object)).collect();
                let body = filled(body, caller, object);
                let mut lines: Vec<&str> = headers.iter().map(String::as_str).collect();
                lines.push(&authorization);
                let answer = send(client, &first, &lines, &body);
                let (status, told) = (answer.head.status(), told_of(&answer));
                let served = caller == object && *twin == Twin::Served;
                let asked = format!("caller {caller}: {first} {headers:?} {body}");
                if served {
                    assert_eq!((status, &told[..]), (200, &[caller][..]), "{asked}");
                    count.served.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert!((400..500).contains(&status) && told.is_empty(), "{asked}: {status} {told:?}");
                    count.refused.fetch_add(1, Ordering::Relaxed);
                }
                if caller == 0 {
                    lines.pop();
                    let answer = send(client, &first, &lines, &body);
                    let (status, told) = (answer.head.status(), told_of(&answer));
                    assert!(
                        (400..500).contains(&status) && told.is_empty(),
                        "nobody: {asked}: {status} {told:?}"
                    );
                    count.anonymous.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

#[test]
fn f5_no_position_of_an_id_gives_another_caller_anything() {
    let world = full_world();
    let tokens = tokens(&world);
    let count = Count::default();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::new(world.address);
                loop {
                    let caller = next.fetch_add(1, Ordering::SeqCst);
                    let Some(token) = tokens.get(caller) else { return };
                    asked_by(caller, &mut client, token, &count);
                }
            });
        }
    });
    let [served, refused, anonymous] =
        [count.served, count.refused, count.anonymous].map(AtomicUsize::into_inner);
    let shapes = PATHS.len() + QUERIES.len() + BODIES.len();
    println!(
        "{shapes} shapes, {CALLERS} callers, {CALLERS} objects: {refused} requests refused, {served} twins served, \
         {anonymous} without a credential refused, 0 leaks"
    );
    assert!(served >= CALLERS * 50 && refused >= CALLERS * CALLERS * 50 && anonymous >= 1000);
}
