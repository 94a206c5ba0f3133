//! A: which resource was asked for? Path, host, query.

mod methods;

use super::{Ground, basic};
use crate::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, fields, frame};

/// Public paths, administrators' paths, and all others for whoever is authenticated.
const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
enable  = ["basic"]
at      = ["/"]

[[api.route]]
at    = "/public/**"
allow = "anonymous"

[[api.route]]
at    = "/admin/**"
allow = { roles = ["administrator"] }

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "ann"
password = "administers-it-1"
roles    = ["administrator"]

[[account]]
name     = "bob"
password = "looks-at-it-2"
"#;

fn ground() -> Ground {
    Ground::with("enactor", WORLD)
}

fn ann() -> String {
    basic("ann", "administers-it-1")
}

fn bob() -> String {
    basic("bob", "looks-at-it-2")
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\nHost: a.example")
}

fn get_as(target: &str, who: &str) -> String {
    format!("GET {target} HTTP/1.1\nHost: a.example\nAuthorization: {who}")
}

/// All of them are 400, whoever asks.
fn refused(ground: &Ground, targets: &[&str]) {
    for target in targets {
        ground.send(&get(target)).refused(400);
        ground.send(&get_as(target, &ann())).refused(400);
    }
}

/// All of them pass without log-in, and the service sees that path.
fn passed(ground: &Ground, targets: &[(&str, &str)]) {
    for (target, seen) in targets {
        let received = ground.send(&get(target)).passed();
        assert_eq!(received.head.start, format!("GET {seen} HTTP/1.1"), "{target}");
    }
}

#[test]
fn a1_dot_segments_are_resolved_before_the_rules_and_forwarded_so() {
    let ground = ground();
    for target in [
        "/public/../admin/x",
        "/public/./../admin/x",
        "/public/../../admin/x",
        "/./admin/x",
        "/public/y/../../admin/x",
    ] {
        ground.send(&get(target)).refused(401);
        ground.send(&get_as(target, &bob())).refused(403);
        let received = ground.send(&get_as(target, &ann())).passed();
        assert_eq!(received.head.start, "GET /admin/x HTTP/1.1", "{target}");
    }
    passed(
        &ground,
        &[
            ("/public/x", "/public/x"),
            ("/public/./x", "/public/x"),
            ("/admin/../public/x", "/public/x"),
            ("/public/...", "/public/..."),
        ],
    );
}

#[test]
fn a2_encoded_dots_and_double_encodings_are_refused() {
    let ground = ground();
    refused(
        &ground,
        &[
            "/public/%2e%2e/admin/x",
            "/public/%2E%2E/admin/x",
            "/public/%2E./admin/x",
            "/public/.%2e/admin/x",
            "/public/%2e/x",
            "/public/%252e%252e/admin/x",
            "/public/%25%32%65%25%32%65/admin/x",
            "/public/..%00/admin/x",
            "/public/x%00",
            "/public/%c0%ae%c0%ae/admin/x",
        ],
    );
    passed(
        &ground,
        &[
            ("/public/a%2eb", "/public/a.b"),
            ("/%70ublic/x", "/public/x"),
            ("/public/100%25", "/public/100%25"),
        ],
    );
    // One decoding also on the way in: an encoded letter does not lead past a rule.
    ground.send(&get("/%61dmin/x")).refused(401);
}

#[test]
fn a3_path_parameters_are_refused() {
    let ground = ground();
    refused(
        &ground,
        &[
            "/public/..;/admin/x",
            "/public;x/y",
            "/public/x;jsessionid=1",
            "/admin;/x",
            "/public/..%3b/admin/x",
        ],
    );
    passed(&ground, &[("/public/x,y=1", "/public/x,y=1")]);
}

#[test]
fn a4_encoded_separators_are_refused_in_both_cases() {
    let ground = ground();
    refused(
        &ground,
        &[
            "/public/..%2fadmin/x",
            "/public/..%2Fadmin/x",
            "/public%2fx",
            "/public%2Fx",
            "/public/..%5cadmin/x",
            "/public/..%5Cadmin/x",
            "/public/..\\admin/x",
            "/public\\x",
        ],
    );
    passed(&ground, &[("/public/x%3ay", "/public/x:y"), ("/public/x%3Ay", "/public/x:y")]);
}

#[test]
fn a5_empty_segments_are_refused_and_never_an_authority() {
    let ground = ground();
    refused(
        &ground,
        &[
            "//admin",
            "///admin",
            "//admin/x",
            "//public/x",
            "//a.example/public/x",
            "/public//x",
            "/public/..//admin/x",
            "/public//",
        ],
    );
    passed(&ground, &[("/public/", "/public/"), ("/public/x/", "/public/x/")]);
}

#[test]
fn a6_hosts_are_one_whatever_their_case_and_number() {
    const HOSTS: usize = 150;
    let names = (0..HOSTS).map(|number| format!("\"h{number}.Example.com/\""));
    let names: Vec<String> = names.chain(["\"a.b.example.com/\"".to_owned()]).collect();
    let world = format!(
        "{}\n[[api]]\nname = \"open\"\ndialect = \"enactor\"\nat = [\"/\"]\n[[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n",
        WORLD
            .replace("[\"/\"]", &format!("[{}]", names.join(", ")))
            .replace("[\"administrator\"]", "[\"none\"]"),
    );
    let ground = Ground::with("enactor", &world);
    let ask = |host: &str, who: &str| ground.send(&format!("GET /other HTTP/1.1\nHost: {host}{who}"));
    let bob = format!("\nAuthorization: {}", bob());
    for host in [
        "a.b.example.com",
        "a.B.example.com",
        "A.B.EXAMPLE.COM",
        "a.b.example.com.",
        "A.b.Example.com.:8080",
        "h0.example.com",
        "H149.EXAMPLE.com.",
        "h149.example.com:80",
    ] {
        ask(host, "").refused(401);
        assert_eq!(claims_audience(&ask(host, &bob).passed()), "shop", "{host}");
    }
    for host in ["h150.example.com", "xa.b.example.com", "a.b.example.com.evil.example", "b.example.com"] {
        assert_eq!(claims_audience(&ask(host, "").passed()), "open", "{host}");
    }
    for host in [
        "a.b.example.com@evil.example",
        "a.b.example.com, evil.example",
        "a.b.example.com/evil",
        "a.b.example.com#",
    ] {
        ask(host, "").refused(400);
    }
}

fn claims_audience(received: &crate::upstream::Received) -> String {
    super::claims(received)["aud"].as_str().unwrap().to_owned()
}

#[test]
fn a7_rules_see_the_path_without_the_query() {
    let ground = ground();
    for target in [
        "/admin/x?=/public/x",
        "/admin/x?/public/x",
        "/admin/x?/../../public/x",
        "/admin/x?a#/public",
        "/admin/x?",
    ] {
        let told = ground.send(&get(target));
        assert!(matches!(told.status(), 400 | 401), "{target}: {}", told.status());
        assert!(told.seen.is_empty(), "{target}");
    }
    passed(
        &ground,
        &[
            ("/public/x?=/admin/x", "/public/x?=/admin/x"),
            ("/public/x?/../../admin/x", "/public/x?/../../admin/x"),
            ("/public/x?next=%2Fadmin", "/public/x?next=%2Fadmin"),
        ],
    );
    // A question mark that is part of the path stays in it.
    ground.send(&get("/admin/x%3F/public")).refused(401);
}

#[test]
fn a8_a_fragment_on_the_wire_is_refused() {
    let ground = ground();
    refused(
        &ground,
        &[
            "/admin/x#/public/x",
            "/admin/x#/../../public/x",
            "/admin/x#?/public",
            "/public/x#",
            "/public/x#/../../admin/x",
            "/public/x?a=1#/admin",
            "/#",
        ],
    );
    passed(&ground, &[("/public/x%23/admin", "/public/x%23/admin"), ("/public/x?a=%23", "/public/x?a=%23")]);
}

#[test]
fn a9_a_prefix_is_cut_off_where_it_was_matched() {
    let ground = Ground::with("enactor", &WORLD.replace("[\"/\"]", "[\"/api\", \"/api2/deep\"]"));
    refused(&ground, &["/api/%2e%2e/admin/x", "/api/%2e/admin/x", "/api/x;/admin/x", "/api//admin/x"]);
    for target in ["/api%2e/admin/x", "/api%2fadmin/x", "/api;/admin/x", "/api%252e/public/x"] {
        let told = ground.send(&get_as(target, &ann()));
        assert!(matches!(told.status(), 400 | 404) && told.seen.is_empty(), "{target}: {}", told.status());
    }
    passed(
        &ground,
        &[
            ("/api/public/x", "/api/public/x"),
            ("/%61pi/public/x", "/api/public/x"),
            ("/a%70%69/%70ublic/x", "/api/public/x"),
            ("/api/admin/../public/x", "/api/public/x"),
            ("/other/../api/public/x", "/api/public/x"),
            ("/api2/deep/public/x", "/api2/deep/public/x"),
        ],
    );
    for target in ["/api/admin/x", "/%61pi/admin/x", "/api2/deep/admin/x", "/api/public/../admin/x"] {
        ground.send(&get(target)).refused(401);
        ground.send(&get_as(target, &ann())).passed();
    }
    // What only begins like a prefix is another path, and nobody's.
    for target in ["/apis/public/x", "/api.public/x", "/api2/public/x", "/api/../public/x", "/API/public/x"] {
        ground.send(&get_as(target, &ann())).refused(404);
    }
}

#[test]
fn a10_two_hosts_are_none() {
    let ground = ground();
    let ask = |line: &str, hosts: &str| ground.send(&format!("GET {line} HTTP/1.1{hosts}"));
    for (line, hosts) in [
        ("http://b.example/public/x", "\nHost: a.example"),
        ("http://a.example:81/public/x", "\nHost: a.example"),
        ("http://u@a.example/public/x", "\nHost: a.example"),
        ("/public/x", "\nHost: a.example\nHost: b.example"),
        ("/public/x", "\nHost: a.example\nHost: a.example"),
        ("/public/x", "\nHost: a.example, b.example"),
        ("/public/x", "\nHost: a.example b.example"),
        ("/public/x", ""),
        ("http://a.example/public/x", ""),
        ("/public/x", "\nHost:"),
        ("http://a.example/public/x", "\nHost:"),
        ("http://a.example:81/public/x", "\nHost: a.example:80"),
    ] {
        ask(line, hosts).refused(400);
    }
    // What one reader takes for a port is the end of another's name.
    for host in NO_HOSTS {
        ask("/public/x", &format!("\nHost: {host}")).refused(400);
        ask("http://a.example/public/x", &format!("\nHost: {host}")).refused(400);
    }
    for (line, host, seen_as) in [
        ("http://A.example/public/x", "a.example", "a.example"),
        ("http://a.example:80/public/x", "a.example", "a.example:80"),
        ("/public/x", "A.Example.:8080", "a.example:8080"),
        ("/public/x", "a.example:", "a.example"),
        ("/public/x", "a.example:0080", "a.example:80"),
        ("/public/x", "[2001:DB8:0::1]:80", "[2001:db8::1]:80"),
    ] {
        let seen = ask(line, &format!("\nHost: {host}")).passed();
        assert_eq!(seen.head.start, "GET /public/x HTTP/1.1");
        assert_eq!(super::all(&seen, "host"), [seen_as]);
        assert_eq!(super::all(&seen, "x-forwarded-host"), [seen_as]);
    }
}

/// Some reader finds a host in each of them.
const NO_HOSTS: [&str; 12] = [
    "a.example:x.evil",
    "a.example:80:81",
    "a.example:80.evil",
    "a.example:-1",
    "a.example:65536",
    "[a.example",
    "a.example]",
    "[a.example]",
    "a.example..",
    ".a.example",
    "a..example",
    ":80",
];

#[test]
fn a10_two_hosts_are_none_over_http2() {
    let ground = ground();
    let ask = |authority: &[u8], host: Option<&[u8]>| {
        let mut list: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", authority),
            (b":path", b"/public/x"),
        ];
        list.extend(host.map(|host| (&b"host"[..], host)));
        let mut frames = Frames::open(ground.world.address, &[]);
        frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&list))).unwrap();
        let _ended = frames.ended(1);
        ground.world.upstream.take()
    };
    for host in NO_HOSTS.iter().map(|host| host.as_bytes()) {
        assert!(ask(host, None).is_empty());
        assert!(ask(b"a.example", Some(host)).is_empty());
    }
    assert!(ask(b"a.example", Some(b"b.example")).is_empty());
    assert!(ask(b"a.example", Some(b"")).is_empty());
    for (authority, host) in [(&b"A.Example."[..], None), (b"a.example", Some(&b"A.EXAMPLE:80"[..]))] {
        let seen = ask(authority, host);
        assert_eq!(super::all(seen.first().unwrap(), "host"), ["a.example"]);
        assert_eq!(super::all(seen.first().unwrap(), "x-forwarded-host"), ["a.example"]);
    }
}

/// A rule is about what it names, however that is spelled: a laxer one never decides in its place.
#[test]
fn a12_a_rule_is_about_its_path_in_every_spelling() {
    const NAMED: [(&str, &[&str]); 8] = [
        ("/müller/**", &["/m%C3%BCller/x", "/m%c3%bcller", "/m%C3%BCl%6Cer/"]),
        ("/a[0]/**", &["/a%5B0%5D/x", "/a%5b0]", "/a[0]"]),
        ("/x|y", &["/x|y", "/x%7cy", "/x%7Cy/"]),
        ("/\"q\"", &["/%22q%22", "/%22q%22/"]),
        ("/caf%c3%a9/%7Ehome", &["/caf%C3%A9/~home", "/caf%c3%a9/%7ehome"]),
        ("/two%20words", &["/two%20words", "/two%20wo%72ds/"]),
        ("/adm/", &["/adm/", "/adm"]),
        ("/", &["/", ""]),
    ];
    let rules: String = NAMED
        .iter()
        .map(|(at, _)| format!("[[api.route]]\nat = '{at}'\nallow = {{ roles = [\"administrator\"] }}\n\n"))
        .collect();
    let world = WORLD.replacen("at      = [\"/\"]", "at      = [\"/api/v2\"]", 1).replacen(
        "[[api.route]]",
        &format!("{rules}[[api.route]]"),
        1,
    );
    let ground = Ground::with("enactor", &world);
    for (at, targets) in NAMED {
        for target in targets {
            let target = format!("/api/v2{target}");
            ground.send(&get_as(&target, &bob())).refused(403);
            assert_eq!(ground.send(&get_as(&target, &ann())).passed().body, b"", "{at}");
        }
    }
    ground.send(&get_as("/api/v2/m%C3%BCllers", &bob())).passed();
}
