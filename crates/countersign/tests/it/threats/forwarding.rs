//! B: who says so? What fronts may say of the requests that they pass on.

use countersign_gateway::address::{ForwardingFields, Fronts};

use super::heard::{self, Hearing};
use super::hops::{CRM, FORGED, WORLD};
use super::{Ground, all, basic, fronts, lines_with};
use crate::world::setting::Setting;

#[test]
fn b1_forwarding_fields_count_from_listed_fronts_alone() {
    const FIELDS: [&str; 42] = [
        "X-Forwarded-Uri: /public/forged",
        "X-Forwarded-Method: OPTIONS-forged",
        "X-Forwarded-Host: forged.example",
        "X-Forwarded-Proto: forged",
        "X-Forwarded-Port: 443-forged",
        "X-Forwarded-Prefix: /public-forged",
        "X-Forwarded-For: forged",
        "X-Original-URL: /public/forged",
        "X-Rewrite-URL: /public/forged",
        "X-Original-Method: forged",
        "Forwarded: for=192.0.2.1;host=forged.example;proto=https",
        "X-Real-IP: forged",
        "X-Forwarded: forged",
        "Forwarded-For: forged",
        "X-Original-Forwarded-For: forged",
        "X-Original-Host: forged.example",
        "X-Original-URI: /public/forged",
        "X-Host: forged.example",
        "X-HTTP-Host-Override: forged.example",
        "Client-IP: forged",
        "Client_IP: forged",
        "X-Client-IP: forged",
        "X-ProxyUser-IP: forged",
        "Proxy-Client-IP: forged",
        "WL-Proxy-Client-IP: forged",
        "True-Client-IP: forged",
        "CF-Connecting-IP: forged",
        "CF-Connecting-IPv6: forged",
        "CF-Pseudo-IPv4: forged",
        "Fastly-Client-IP: forged",
        "X-Originating-IP: forged",
        "X-Remote-IP: forged",
        "X-Remote-Addr: forged",
        "X-Cluster-Client-IP: forged",
        "X-Scheme: forged",
        "X-Url-Scheme: forged",
        "Front-End-Https: forged",
        "X-Envoy-External-Address: forged",
        "X-Envoy-Original-Path: /public/forged",
        "X_Envoy_Internal: forged",
        "X-Forwarded-Ssl: forged",
        "Proxy-Authorization: Basic forged",
    ];
    let ground = Ground::with("enactor", WORLD);
    for field in FIELDS {
        ground.send(&format!("GET /other HTTP/1.1\nHost: a.example\n{field}")).refused(401);
        let seen = ground.send(&format!("GET /public/x HTTP/1.1\nHost: a.example\n{field}")).passed();
        assert_eq!(seen.head.start, "GET /public/x HTTP/1.1", "{field}");
        assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new(), "{field}");
        assert_eq!(all(&seen, "x-forwarded-for"), ["127.0.0.1"], "{field}");
        assert_eq!(all(&seen, "x-forwarded-host"), ["a.example"], "{field}");
        assert_eq!(all(&seen, "x-forwarded-proto"), ["http"], "{field}");
        // Nor may the hop take it out, for what that would say of the name.
        let name = field.split(':').next().unwrap();
        ground
            .send(&format!("GET /public/x HTTP/1.1\nHost: a.example\nConnection: {name}\n{field}"))
            .refused(400);
    }
    let near =
        ["X-Forward: 1", "X-Hosts: 1", "Client-IPs: 1", "X-Scheme-Color: 1", "X-Envoys: 1", "Proxy-Color: 1"];
    for field in near {
        let seen = ground.send(&format!("GET /public/x HTTP/1.1\nHost: a.example\n{field}")).passed();
        assert_eq!(all(&seen, field.split(':').next().unwrap()), ["1"], "what is nobody's goes through");
    }
    // What a front says of the scheme decides whether cookies are for TLS alone.
    let is_secure = |whom: Fronts, field: &str| {
        let ground = Ground::behind("superoffice", whom);
        let told = ground.send(&format!(
            "POST /login HTTP/1.1\nHost: crm.example\n{field}\nContent-Type: application/x-www-form-urlencoded\n\nuserName=alice&password=wonderland-7"
        ));
        told.answered().header("set-cookie").contains("; Secure")
    };
    let (ours, theirs) =
        ("X-Forwarded-Proto: https\nX-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1;proto=https");
    assert!(!is_secure(Fronts::default(), ours));
    assert!(!is_secure(Fronts::default(), theirs));
    assert!(is_secure(fronts(ForwardingFields::XForwarded), ours));
    assert!(!is_secure(fronts(ForwardingFields::XForwarded), theirs), "the other family is never read");
    assert!(is_secure(fronts(ForwardingFields::Forwarded), theirs));
    assert!(!is_secure(fronts(ForwardingFields::Forwarded), ours), "the other family is never read");
}

/// A front that adds to one field of the family, and passes on what clients wrote into the others.
#[test]
fn b1_behind_a_front_the_service_is_told_what_was_decided_and_no_more() {
    const PASSED_ON: [&str; 8] = [
        "X-Forwarded-Host: forged.example",
        "X-Forwarded-Port: 443-forged",
        "X-Forwarded-Prefix: /forged",
        "X-Forwarded-Uri: /public/forged",
        "X-Forwarded-Server: forged",
        "X-Forwarded-Ssl: forged",
        "X-Forwarded-Scheme: forged",
        "X-Forwarded-Anything: forged",
    ];
    let ground = |fields| {
        let setting = Setting::from_text("enactor", "a test's world", WORLD);
        Ground::made("enactor", setting, &Setting::dialect_text("enactor"), fronts(fields))
    };
    let behind = ground(ForwardingFields::XForwarded);
    let front = "X-Forwarded-For: forged, 198.51.100.66, 192.0.2.9, 127.0.0.7\nX-Forwarded-Proto: https";
    for field in PASSED_ON.into_iter().chain([&*PASSED_ON.join("\n")]) {
        let seen =
            behind.send(&format!("GET /public/x HTTP/1.1\nHost: a.example\n{front}\n{field}")).passed();
        assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new(), "{field}");
        // From the client on that the gate took it for: what stands before it is the client's own word.
        assert_eq!(all(&seen, "x-forwarded-for"), ["192.0.2.9, 127.0.0.7, 127.0.0.1"]);
        assert_eq!(all(&seen, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(&seen, "x-forwarded-host"), ["a.example"]);
        let family =
            seen.head.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().contains("forwarded"));
        assert_eq!(family.count(), 3, "{field}");
    }
    // Of what cannot be read nothing is passed on; the front itself is known.
    let seen =
        behind.send("GET /public/x HTTP/1.1\nHost: a.example\nX-Forwarded-For: 192.0.2.9, forged").passed();
    assert_eq!(all(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    // In whichever words the front speaks, the service is told in its own.
    let behind = ground(ForwardingFields::Forwarded);
    let seen = behind
        .send(
            "GET /public/x HTTP/1.1\nHost: a.example\nX-Forwarded-For: forged\n\
             Forwarded: for=198.51.100.66;host=forged.example;proto=http, for=192.0.2.9;host=forged.example;proto=https",
        )
        .passed();
    assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new());
    assert_eq!(all(&seen, "x-forwarded-for"), ["192.0.2.9, 127.0.0.1"]);
    assert_eq!(all(&seen, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&seen, "x-forwarded-host"), ["a.example"]);
    assert!(all(&seen, "forwarded").is_empty());
}

/// A dialect may use a name that fronts use as well; then it is the client's to say.
#[test]
fn b1_a_name_that_the_dialect_passes_keeps_its_meaning() {
    let text =
        Setting::dialect_text("superoffice").replacen("\"SO-Language\"", "\"SO-Language\", \"X-Host\"", 1);
    let ground = |text: &str| {
        Ground::made(
            "superoffice",
            Setting::from_text("superoffice", "a test's world", CRM),
            text,
            Fronts::default(),
        )
    };
    let (passes, plain) = (ground(&text), ground(&Setting::dialect_text("superoffice")));
    let ask = |ground: &Ground, fields: &str| {
        let alice = basic("alice", "wonderland-7");
        ground
            .send(&format!(
                "GET /api/v1/Contact/2 HTTP/1.1\nHost: a.example\nAuthorization: {alice}\n{fields}"
            ))
            .passed()
    };
    let seen = ask(&passes, "X-Host: forged-1\nX_Host: forged-2\nX-Original-Host: forged-3");
    assert_eq!(lines_with(&seen, FORGED), ["x-host: forged-1"]);
    assert_eq!(lines_with(&ask(&plain, "X-Host: forged-1"), FORGED), Vec::<String>::new());
}

#[test]
fn b6_addresses_are_read_by_the_grammar_or_not_at_all() {
    use ForwardingFields::{Forwarded, XForwarded};
    let hearing = Hearing::begin();
    // The address that the gate takes for the client's: the front's own, where the field cannot be read.
    const CASES: [(ForwardingFields, &str, &str); 16] = [
        (XForwarded, "X-Forwarded-For: 192.0.2.9", "192.0.2.9"),
        (XForwarded, "X-Forwarded-For: a", "127.0.0.1"),
        (XForwarded, "X-Forwarded-For: unknown", "127.0.0.1"),
        (XForwarded, "X-Forwarded-For: 192.0.2.9, unknown", "127.0.0.1"),
        (XForwarded, "X-Forwarded-For: 198.51.100.1, 192.0.2.9", "192.0.2.9"),
        (XForwarded, "X-Forwarded-For: 198.51.100.1\nX-Forwarded-For: 192.0.2.9", "192.0.2.9"),
        (XForwarded, "X-Forwarded-For: ::ffff:192.0.2.9", "192.0.2.9"),
        (XForwarded, "X-Forwarded-For: 192.0.2.9, ::ffff:127.0.0.2", "192.0.2.9"),
        // Of several fronts, that one's own which sent what cannot be read.
        (XForwarded, "X-Forwarded-For: 192.0.2.9, unknown, 127.0.0.3, 127.0.0.2", "127.0.0.3"),
        (Forwarded, "Forwarded: for=192.0.2.9;=, for=127.0.0.3, for=127.0.0.2", "127.0.0.3"),
        (Forwarded, "Forwarded: for=unknown\nForwarded: for=127.0.0.3", "127.0.0.3"),
        (Forwarded, "Forwarded: for=192.0.2.9", "192.0.2.9"),
        (Forwarded, "Forwarded: for=\"1.1.1.1, for=2.2.2.2\"", "127.0.0.1"),
        (Forwarded, "Forwarded: for=\"[::ffff:192.0.2.9]:80\"", "192.0.2.9"),
        (Forwarded, "Forwarded: for=unknown", "127.0.0.1"),
        (Forwarded, "Forwarded: for=192.0.2.9;for=198.51.100.1", "127.0.0.1"),
    ];
    for (number, (fields, field, address)) in CASES.into_iter().enumerate() {
        let ground = Ground::behind("genesys", fronts(fields));
        let path = format!("/api/v2/diagnostics/version/b6-{number}");
        let told = ground.send(&format!("GET {path} HTTP/1.1\nHost: a.example\n{field}"));
        assert_eq!(told.status(), 403, "{field}");
        let line = hearing.wait_for(&format!("http.path=\"{path}\""));
        assert!(line.contains(&format!("peer.address={address} ")), "{field}: {line}");
    }
    // Whoever is no listed front has no say.
    let ground = Ground::of("genesys");
    ground
        .send("GET /api/v2/diagnostics/version/b6-x HTTP/1.1\nHost: a.example\nX-Forwarded-For: 192.0.2.9")
        .refused(403);
    let line = hearing.wait_for("http.path=\"/api/v2/diagnostics/version/b6-x\"");
    assert!(line.contains("peer.address=127.0.0.1 "), "{line}");
    assert!(!heard::anything_like(&line, "192.0.2.9"));
}

/// What clients may write so that what their front appends to it cannot be read.
const SPOILING: [&[u8]; 12] = [
    b"",
    b",",
    b"unknown",
    b"for=unknown",
    b"for=\"",
    b"for=\"198.51.100.1",
    b"for=\"198.51.100.1\\",
    b"\"",
    b"for=198.51.100.1;for=198.51.100.2",
    b"for 198.51.100.1;",
    b"\xe4\xff",
    b"for=\"[2001:db8::1]\", for=\"\\\"",
];

/// A request with what its client wrote into a field, and what the front appended to that, in the same field or in another.
fn appended(start: &str, name: &str, spoilt: &[u8], by: &str, own: &str, more: &str) -> Vec<u8> {
    let separator = if by == "field" { format!("\r\n{name}: ") } else { ", ".to_owned() };
    let (before, behind) = (
        format!("{start} HTTP/1.1\r\nHost: push.example\r\n{name}: "),
        format!("{separator}{own}\r\n{more}\r\n"),
    );
    [before.as_bytes(), spoilt, behind.as_bytes()].concat()
}

#[test]
fn b6_no_client_spoils_what_its_front_says_of_it() {
    use ForwardingFields::{Forwarded, XForwarded};
    let hearing = Hearing::begin();
    let families = [
        (XForwarded, "X-Forwarded-For", "192.0.2.9"),
        (Forwarded, "Forwarded", "for=192.0.2.9;proto=https"),
        (Forwarded, "Forwarded", "for=\"192.0.2.9:4711\";host=\"a\""),
    ];
    for (family, (fields, name, own)) in families.into_iter().enumerate() {
        let ground = Ground::behind("voltmx", fronts(fields));
        let path = |number: usize, by: &str| format!("/api/v1/b6-{family}-{number}-{by}");
        let asked = || SPOILING.into_iter().enumerate().flat_map(|one| [(one, "element"), (one, "field")]);
        for ((number, spoilt), by) in asked() {
            ground.send_bytes(&appended(&format!("GET {}", path(number, by)), name, spoilt, by, own, ""));
        }
        for ((number, spoilt), by) in asked() {
            let line = hearing.wait_for(&format!("http.path=\"{}\"", path(number, by)));
            let address = line.contains("peer.address=192.0.2.9 ");
            assert!(address, "{} and {own}: {line}", spoilt.escape_ascii());
        }
    }
}

#[test]
fn b6_no_client_has_its_failures_count_on_its_front() {
    use ForwardingFields::{Forwarded, XForwarded};
    const FAILURES: usize = 50;
    for (fields, name, prefix) in [(XForwarded, "X-Forwarded-For", ""), (Forwarded, "Forwarded", "for=")] {
        let ground = Ground::behind("voltmx", fronts(fields));
        ground.world.stop_clock();
        let device = |spoilt: &[u8], address: &str, value: &str| {
            let more = format!("X-Device-AuthToken: {value}\r\n");
            let own = format!("{prefix}{address}");
            ground.send_bytes(&appended("GET /api/v1/subscribers/8123", name, spoilt, "element", &own, &more))
        };
        for guess in 0..FAILURES {
            let spoilt = SPOILING[guess % SPOILING.len()];
            device(spoilt, "198.51.100.9", &format!("guess-{guess}")).refused(401);
        }
        for spoilt in SPOILING.into_iter().chain([b"192.0.2.7".as_slice()]) {
            device(spoilt, "198.51.100.9", "1234abc").refused(429);
        }
        // Nobody else is out of attempts, and least of all the front itself.
        device(b"for=198.51.100.9", "192.0.2.7", "1234abc").passed();
        let own = "GET /api/v1/subscribers/8123 HTTP/1.1\nHost: push.example\nX-Device-AuthToken: ";
        ground.send(&format!("{own}guess-again")).refused(401);
        ground.send(&format!("{own}1234abc")).passed();
    }
}
