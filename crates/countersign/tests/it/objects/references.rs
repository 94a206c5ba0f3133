//! References in the place of a service's sequential ids: what clients see, hold, claim and lose.

use std::time::Duration;

use serde_json::{Value, json};

use super::{bind, send, world};
use crate::raw::{Answer, Client};
use crate::transcript::Reach;
use crate::upstream::Received;
use crate::world::World;

const WORLD: &str = r#"
[[api]]
name = "shop"
dialect = "enactor"
at = ["/rest"]
[api.object.basket]
owner = "customer"
references = "30d"
numeric = true
[[api.route]]
at = "POST /baskets"
allow = "anonymous"
creates = { basket = ["location /baskets/{id}/**", "body /basketReference"] }
[[api.route]]
at = "GET /baskets"
allow = "authenticated"
shows = { basket = "body /baskets/*/basketReference" }
foreign = "filter"
[[api.route]]
at = "GET /all-baskets"
allow = "authenticated"
shows = { basket = "body /baskets/*/basketReference" }
[[api.route]]
at = "POST /baskets/items"
allow = "anonymous"
ids = { "basket?" = ["query basket", "header x-basket", "body /basket", "body /baskets/*"] }
creates = { basket = ["location /baskets/{id}/**", "body /basketReference", "header x-basket"] }
[[api.route]]
at = "/baskets/{basket}/**"
allow = "anonymous"
ids = { basket = "path basket" }
shows = { basket = ["location /baskets/{id}/**", "body /basketReference", "body /**/basket"] }
[issuer."http://www.enactor.co/"]
keys = ["issuer-1"]
[[jwt]]
name = "jane"
issuer = "http://www.enactor.co/"
key = "issuer-1"
header = { alg = "RS256" }
claims = { aud = "client", sub = "1", exp = "+36000000" }
[[jwt]]
name = "john"
issuer = "http://www.enactor.co/"
key = "issuer-1"
header = { alg = "RS256" }
claims = { aud = "client", sub = "2", exp = "+36000000" }
"#;

const JSON: &str = "Content-Type: application/json";

/// A world with one client of it.
struct Shop {
    world: World,
    client: Client,
}

/// What a client got, and what the service saw.
struct Told {
    answer: Answer,
    seen: Vec<Received>,
}

impl Shop {
    fn open() -> Self {
        let world = world(WORLD);
        let client = Client::new(world.address);
        Self { world, client }
    }

    /// Who calls: nobody, or the holder of a token.
    fn authorization(&self, who: &str) -> String {
        match who {
            "nobody" => String::new(),
            who => {
                format!("Authorization: Bearer {}", self.world.bindings.value(&format!("jwt.{who}")).unwrap())
            }
        }
    }

    /// Sends a request; the service answers so.
    fn ask(&mut self, who: &str, first: &str, lines: &[&str], body: &str, reply: (&str, &str)) -> Told {
        let (head, reply) = reply;
        let mut text = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n", reply.len());
        if !reply.is_empty() {
            text.push_str("Content-Type: application/json\r\n");
        }
        self.world.upstream.reply(format!("{text}\r\n{reply}").into_bytes());
        let authorization = self.authorization(who);
        let mut all = vec![authorization.as_str()];
        all.extend(lines);
        let answer = send(&mut self.client, first, &all, body);
        Told { answer, seen: self.world.upstream.take() }
    }

    /// Creates a basket that the service calls by this number; returns its reference.
    fn create(&mut self, who: &str, number: u32) -> String {
        let head = format!("201 Created\r\nLocation: /baskets/{number}");
        let reply = json!({ "basketReference": number, "basketType": "BASKET" }).to_string();
        let told = self.ask(who, "POST /rest/baskets", &[JSON], "{}", (&head, &reply));
        let reference = told.json()["basketReference"].as_str().unwrap().to_owned();
        assert_eq!(told.answer.head.header("location").unwrap(), format!("/baskets/{reference}"));
        assert_eq!(reference.len(), 26, "{reference}");
        reference
    }

    fn show(&mut self, who: &str, reference: &str) -> Told {
        self.ask(who, &format!("GET /rest/baskets/{reference}"), &[], "", ("200 OK", ""))
    }
}

impl Told {
    fn status(&self) -> u16 {
        self.answer.head.status()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.answer.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.answer.body)))
    }

    /// The request line that the service saw.
    #[track_caller]
    fn line(&self) -> &str {
        assert_eq!(self.seen.len(), 1, "status {}", self.status());
        &self.seen[0].head.start
    }

    /// Everything of the answer that could differ between refusals.
    #[track_caller]
    fn refusal(&self) -> (String, Vec<(String, String)>, Vec<u8>) {
        assert!(self.seen.is_empty(), "reached the service");
        let headers = self.answer.head.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
        (self.answer.head.start.clone(), headers.cloned().collect(), self.answer.body.clone())
    }
}

fn body_of(told: &Told) -> String {
    String::from_utf8(told.seen[0].body.clone()).unwrap()
}

#[test]
fn an_anonymous_basket_is_held_by_its_reference_alone() {
    let mut shop = Shop::open();
    let one = shop.create("nobody", 17);
    let two = shop.create("nobody", 18);
    assert_ne!(one, two);
    assert_eq!(shop.show("nobody", &one).line(), "GET /rest/baskets/17 HTTP/1.1");
    assert_eq!(shop.show("nobody", &two).line(), "GET /rest/baskets/18 HTTP/1.1");
    for guess in ["17", "18", "19", &one[..25], &one.to_ascii_lowercase()] {
        assert_eq!(shop.show("nobody", guess).refusal().0, "HTTP/1.1 404 Not Found", "{guess}");
    }
    // Escapes that mean the same are the same.
    let escaped = format!("%{:02X}{}", one.as_bytes()[0], &one[1..]);
    assert_eq!(shop.show("nobody", &escaped).line(), "GET /rest/baskets/17 HTTP/1.1");
}

#[test]
fn ids_are_replaced_in_every_place_both_ways() {
    let mut shop = Shop::open();
    let basket = shop.create("nobody", 17);
    let path = format!("/rest/baskets/{basket}/items/1?a=b");
    let reply = r#"{"basketReference":17,"lines":[{"basket":"17","quantity":17}]}"#;
    let head = "200 OK\r\nLocation: http://internal:8080/rest/baskets/17/items/1?x=17\r\nETag: \"17\"";
    let told = shop.ask("nobody", &format!("PUT {path}"), &[JSON], r#"{"quantity":17}"#, (head, reply));
    assert_eq!(told.line(), "PUT /rest/baskets/17/items/1?a=b HTTP/1.1");
    assert_eq!(body_of(&told), r#"{"quantity":17}"#, "what no rule names is not touched");
    let location = format!("http://internal:8080/rest/baskets/{basket}/items/1?x=17");
    assert_eq!(told.answer.head.header("location"), Some(&*location));
    assert_eq!(told.answer.head.header("etag"), None, "it was that of another body");
    let expected =
        format!(r#"{{"basketReference":"{basket}","lines":[{{"basket":"{basket}","quantity":17}}]}}"#);
    assert_eq!(String::from_utf8(told.answer.body).unwrap(), expected);

    let nothing = ("200 OK", "");
    let json = format!(r#"{{"itemId":"a","basket":"{basket}","baskets":["{basket}",null]}}"#);
    let told = shop.ask("nobody", "POST /rest/baskets/items", &[JSON], &json, nothing);
    assert_eq!(body_of(&told), r#"{"itemId":"a","basket":17,"baskets":[17,null]}"#);
    let told = shop.ask("nobody", &format!("POST /rest/baskets/items?x=1&basket={basket}"), &[], "", nothing);
    assert_eq!(told.line(), "POST /rest/baskets/items?x=1&basket=17 HTTP/1.1");
    let header = format!("X-Basket: {basket}");
    let reply = ("200 OK\r\nX-Basket: 17", "");
    let told = shop.ask("nobody", "POST /rest/baskets/items", &[&header], "", reply);
    assert_eq!(told.seen[0].head.header("x-basket"), Some("17"));
    assert_eq!(told.answer.head.header("x-basket"), Some(&*basket));
    let form = "Content-Type: application/x-www-form-urlencoded";
    let body = format!("item=a&basket={basket}&b=c");
    let told = shop.ask("nobody", "POST /rest/baskets/items", &[form], &body, nothing);
    assert_eq!(body_of(&told), "item=a&basket=17&b=c");
    // All that is named must be held.
    let other = format!(r#"{{"basket":"{basket}","baskets":["17"]}}"#);
    assert_eq!(
        shop.ask("nobody", "POST /rest/baskets/items", &[JSON], &other, nothing).refusal().0,
        "HTTP/1.1 404 Not Found"
    );
}

#[test]
fn the_same_call_creates_a_basket_or_fills_the_one_that_it_names() {
    let mut shop = Shop::open();
    let reply = |number: u32| {
        (
            format!("201 Created\r\nLocation: /baskets/{number}/items/1"),
            format!(r#"{{"basketReference":{number}}}"#),
        )
    };
    let (head, body) = reply(40);
    let told = shop.ask("nobody", "POST /rest/baskets/items", &[JSON], r#"{"itemId":"a"}"#, (&head, &body));
    let basket = told.json()["basketReference"].as_str().unwrap().to_owned();
    assert_eq!(told.answer.head.header("location").unwrap(), format!("/baskets/{basket}/items/1"));
    let again = format!(r#"{{"itemId":"b","basket":"{basket}"}}"#);
    let told = shop.ask("nobody", "POST /rest/baskets/items", &[JSON], &again, (&head, &body));
    assert_eq!(body_of(&told), r#"{"itemId":"b","basket":40}"#);
    assert_eq!(told.json()["basketReference"], basket.as_str());
    // The service says that a basket was created which somebody else holds: it is kept back.
    let told = shop.ask("nobody", "POST /rest/baskets/items", &[JSON], r#"{"itemId":"c"}"#, (&head, &body));
    assert_eq!((told.status(), told.seen.len()), (502, 1));
    assert!(!String::from_utf8_lossy(&told.answer.body).contains(&basket));
    // And one that it creates in vain is nobody's.
    let told = shop.ask(
        "nobody",
        "POST /rest/baskets/items",
        &[JSON],
        "{}",
        ("409 Conflict", r#"{"basketReference":41}"#),
    );
    assert_eq!(told.status(), 502);
}

#[test]
fn an_anonymous_basket_becomes_the_customers_once() {
    let mut shop = Shop::open();
    let basket = shop.create("nobody", 17);
    let unknown = shop.show("nobody", "ABCDEFGHIJKLMNOPQRSTUVWXYZ").refusal();
    // Claimed by the first who is logged in and holds it.
    assert_eq!(shop.show("john", &basket).line(), "GET /rest/baskets/17 HTTP/1.1");
    assert_eq!(shop.show("john", &basket).seen[0].head.header("subject"), Some("2"));
    assert_eq!(shop.show("nobody", &basket).refusal(), unknown);
    assert_eq!(shop.show("jane", &basket).refusal(), unknown);
    assert_eq!(shop.show("john", &basket).status(), 200);
    // It no longer ends.
    shop.world.wait(Duration::from_secs(40 * 24 * 3600));
    assert_eq!(shop.show("john", &basket).status(), 200);

    let own = shop.create("jane", 18);
    assert_eq!(shop.show("jane", &own).line(), "GET /rest/baskets/18 HTTP/1.1");
    assert_eq!(shop.show("john", &own).refusal(), unknown);
    assert_eq!(shop.show("nobody", &own).refusal(), unknown);
}

#[test]
fn what_is_unknown_over_revoked_or_anothers_is_refused_in_the_same_bytes() {
    let mut shop = Shop::open();
    let (over, revoked, johns) = (shop.create("nobody", 1), shop.create("nobody", 2), shop.create("john", 3));
    assert_eq!(shop.show("nobody", &over).status(), 200);
    shop.world.wait(Duration::from_secs(30 * 24 * 3600));
    let name = countersign_auth::port::objects::ObjectName {
        api: "shop".into(),
        kind: "basket".into(),
        id: "2".into(),
    };
    let by = countersign_identity::service::By::gate();
    assert!(shop.world.block_on(shop.world.service().remove_object(name, by, shop.world.now())).unwrap());
    for who in ["nobody", "jane"] {
        let unknown = shop.show(who, "ABCDEFGHIJKLMNOPQRSTUVWXYZ").refusal();
        assert_eq!(unknown.0, "HTTP/1.1 404 Not Found");
        for reference in [&over, &revoked, &johns, &"1".to_owned()] {
            assert_eq!(shop.show(who, reference).refusal(), unknown, "{who}");
        }
    }
    assert_eq!(shop.show("john", &johns).status(), 200);
}

#[test]
fn what_cannot_be_looked_up_is_unavailable() {
    let mut shop = Shop::open();
    let basket = shop.create("nobody", 1);
    shop.world.reach(Reach::Down);
    assert_eq!(shop.show("nobody", &basket).status(), 200, "memory has it, and nobody can have changed it");
    assert_eq!(
        shop.show("nobody", "ABCDEFGHIJKLMNOPQRSTUVWXYZ").refusal().0,
        "HTTP/1.1 503 Service Unavailable"
    );
    assert_eq!(
        shop.show("john", &basket).refusal().0,
        "HTTP/1.1 503 Service Unavailable",
        "it cannot be claimed"
    );
    let reply = r#"{"basketReference":2}"#;
    let told = shop.ask("nobody", "POST /rest/baskets", &[JSON], "{}", ("201 Created", reply));
    assert_eq!((told.status(), told.seen.len()), (503, 1), "nothing is acknowledged that is not safe");
    shop.world.reach(Reach::Up);
    assert_eq!(shop.show("john", &basket).status(), 200);
}

#[test]
fn a_list_shows_the_callers_own() {
    let mut shop = Shop::open();
    let (jane, john) = (shop.create("jane", 1), shop.create("john", 2));
    bind(&shop.world, "basket", "5", "1");
    let list = |numbers: &[u32]| {
        let items: Vec<Value> = numbers.iter().map(|n| json!({ "basketReference": n, "x": [n] })).collect();
        json!({ "total": 3, "baskets": items }).to_string()
    };
    let shown = |told: &Told| -> Vec<String> {
        let items = told.json();
        let items = items["baskets"].as_array().unwrap();
        items.iter().map(|item| item["basketReference"].as_str().unwrap().to_owned()).collect()
    };
    let told = shop.ask(
        "jane",
        "GET /rest/baskets",
        &["Accept-Encoding: gzip", "Range: bytes=0-"],
        "",
        ("200 OK", &list(&[1, 2, 9, 5])),
    );
    assert_eq!(shown(&told)[0], jane);
    assert_eq!(shown(&told).len(), 2, "those of nobody and of others are left out");
    assert_eq!(told.seen[0].head.header("accept-encoding"), Some("identity"));
    assert_eq!(told.seen[0].head.header("range"), None);
    let told = shop.ask("john", "GET /rest/baskets", &[], "", ("200 OK", &list(&[1, 2, 9, 5])));
    assert_eq!(shown(&told), std::slice::from_ref(&john));
    for none in [&[][..], &[1], &[1, 5], &[9, 1, 5]] {
        let told = shop.ask("john", "GET /rest/baskets", &[], "", ("200 OK", &list(none)));
        assert_eq!(shown(&told), [""; 0], "{none:?}");
    }
    // Where it is not to be filtered, it is the service's fault.
    let told = shop.ask("john", "GET /rest/all-baskets", &[], "", ("200 OK", &list(&[2, 1])));
    assert_eq!(told.status(), 502);
    let told = shop.ask("john", "GET /rest/all-baskets", &[], "", ("200 OK", &list(&[2])));
    assert_eq!(shown(&told), [john]);
}
