//! A15, B13: what another route or another API of the same gate is about.

use std::net::SocketAddr;

use super::{Ground, all, basic};
use crate::process::Site;
use crate::raw::{Client, bytes};
use crate::world::setting::Setting;

/// What the log says of a cookie that a service loses.
const LOST: &str = "took a cookie out that the service sets: it is called like a credential of another API of the same host; give the two APIs hosts of their own";

/// Four APIs, three of them on one host, and one of these without cookies of its own.
const WORLD: &str = r#"
[[api]]
name = "centre"
dialect = "genesys"
at = ["a.example/api/v2"]
[[api.route]]
at = "/**"
allow = "authenticated"
[[api.route]]
at = "/queues/**"
allow = { roles = ["lead"] }

[[api]]
name = "crm"
dialect = "superoffice"
deployment = "onsite"
at = ["A.example/office"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[api]]
name = "apart"
dialect = "superoffice"
deployment = "onsite"
at = ["b.example/"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[api]]
name = "shop"
dialect = "enactor"
at = ["a.example/shop"]
[[api.route]]
at = "/**"
allow = "anonymous"

[[account]]
name = "ann"
password = "wonderland-7"

[[account]]
name = "lead"
password = "wonderland-8"
roles = ["lead"]
"#;

fn ground() -> Ground {
    let others = ["superoffice", "enactor"].map(|name| (name, Setting::dialect_text(name)));
    Ground::with_others("genesys", WORLD, &others)
}

#[test]
fn b13_a_neighbours_cookies_are_no_services_business() {
    let ground = ground();
    let ann = basic("ann", "wonderland-7");
    let lines = |host: &str, path: &str, cookies: &str| {
        format!("GET {path} HTTP/1.1\nHost: {host}\nAuthorization: {ann}\n{cookies}")
    };
    // What the service has of them.
    let cookies = "Cookie: theme=dark; JSESSIONID=node0\nCookie: jsessionid=own; JSESSIONID=again";
    let seen = ground.send(&lines("a.example", "/office/api/v1/Contact/2", cookies)).passed();
    assert_eq!(all(&seen, "Cookie"), ["theme=dark; jsessionid=own"]);
    let strangers = format!("GET /shop/products HTTP/1.1\nHost: a.example\n{cookies}");
    let seen = ground.send(&strangers).passed();
    assert_eq!(all(&seen, "Cookie"), ["theme=dark; jsessionid=own"], "of an api that has no cookies");
    let seen = ground.send(&lines("b.example", "/api/v1/Contact/2", "Cookie: JSESSIONID=its-own")).passed();
    assert_eq!(all(&seen, "Cookie"), ["JSESSIONID=its-own"]);
    let cookies = "Cookie: SuperOffice-Session=x; XSRF-TOKEN=y; theme=dark";
    let seen = ground.send(&lines("a.example", "/api/v2/me/calls", cookies)).passed();
    assert_eq!(all(&seen, "Cookie"), ["theme=dark"]);
    // What it can set: by name, and by a value that is sent without one.
    let told = |host: &str, path: &str| -> Vec<String> {
        let reply = [
            "HTTP/1.1 200 OK",
            "Set-Cookie: JSESSIONID=planted; Path=/",
            "Set-Cookie:  = JSESSIONID=planted",
            "Set-Cookie: Countersign-Login=planted; Path=/",
            "Set-Cookie: __Host-Countersign-Login=planted; Path=/; Secure",
            "Set-Cookie: JSESSIONIDS=1",
            "Set-Cookie: THEME=dark",
        ];
        ground.world.upstream.reply(bytes(&reply.map(str::to_owned), "a"));
        let told = ground.send(&lines(host, path, "Accept: */*"));
        assert_eq!(told.status(), 200, "{}", told.bytes());
        let set = told.answer.head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        set.map(|(_, value)| value.clone()).collect()
    };
    assert_eq!(told("a.example", "/office/api/v1/Contact/2"), ["JSESSIONIDS=1", "THEME=dark"]);
    let planted = |set: &[String]| set.iter().filter(|line| line.contains("planted")).count();
    assert_eq!(planted(&told("a.example", "/api/v2/me/calls")), 0);
    assert_eq!(planted(&told("b.example", "/api/v1/Contact/2")), 2);
}

#[test]
fn b13_a_cookie_that_a_service_loses_to_a_neighbour_is_told_once() {
    let apis = |upstream: SocketAddr| {
        let api = |name: &str, dialect: &str, at: &str, allow: &str| {
            format!(
                "[[api]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nat = [\"{at}\"]\nupstream = \"http://{upstream}\"\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"{allow}\"\n"
            )
        };
        api("centre", "genesys", "/api/v2", "authenticated") + &api("shop", "enactor", "/shop", "anonymous")
    };
    let site = Site::with(apis, Vec::new());
    let mut gate = site.start();
    let mut client = Client::new(gate.address);
    for _ in 0..2 {
        let reply = "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=secret-1\r\nSet-Cookie: theme=dark\r\nContent-Length: 0\r\n\r\n";
        site.upstream.reply(reply.into());
        let told = client.exchange(0, b"GET /shop/products HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        assert_eq!((told.head.status(), told.head.header("Set-Cookie")), (200, Some("theme=dark")));
    }
    let line = gate.said(LOST);
    assert_eq!((line["api"].as_str(), line["cookie"].as_str()), (Some("shop"), Some("JSESSIONID")));
    let log = gate.log();
    assert_eq!(log.matches(LOST).count(), 1, "{log}");
    assert!(!log.contains("secret-1"), "{log}");
}

#[test]
fn a15_a_strict_route_is_not_got_past_by_letter_case() {
    let ground = ground();
    let ask = |path: &str, user: &str, password: &str| {
        let shown = basic(user, password);
        ground.send(&format!("GET /api/v2{path} HTTP/1.1\nHost: a.example\nAuthorization: {shown}"))
    };
    ask("/Calls", "ann", "wonderland-7").passed();
    ask("/queues/7", "ann", "wonderland-7").refused(403);
    ask("/queues/7", "lead", "wonderland-8").passed();
    for path in ["/Queues/7", "/QUEUES", "/queueS/7/x", "/%51ueues/7"] {
        for (user, password) in [("ann", "wonderland-7"), ("lead", "wonderland-8")] {
            ask(path, user, password).refused(404);
        }
    }
    ask("/Queueing/7", "ann", "wonderland-7").passed();
}
