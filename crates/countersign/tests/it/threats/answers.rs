//! B: who says so? Answers: what only the gate may say in them, in their heads and behind their bodies.

use std::net::TcpStream;

use super::origins::{TILL, digest_challenge};
use super::{Ground, basic};
use crate::digest::Response;
use crate::raw::{Head, Wire, bytes};

const WORLD: &str = r#"
[[api]]
name    = "centre"
dialect = "genesys"
at      = ["/api/v2"]
[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "ann"
password = "administers-it-1"
"#;

/// What the service says in the gate's place.
const FORGED: [&str; 10] = [
    "WWW-Authenticate: Basic realm=\"forged\"",
    "Proxy-Authenticate: Basic realm=\"forged\"",
    "Authentication-Info: nextnonce=\"forged\"",
    "Proxy-Authentication-Info: nextnonce=\"forged\"",
    "Persistent-Auth: forged",
    "X-CSRF-TOKEN: forged",
    "X-CSRF-HEADER: forged",
    "Set-Cookie: JSESSIONID=forged; Path=/",
    "Access-Control-Allow-Origin: forged",
    "Countersign-Assertion: forged",
];

/// Asks as a client that takes trailers; the head, and the trailers in lower case.
fn ask(ground: &Ground, lines: &[String]) -> (Head, Vec<String>) {
    let mut wire = Wire::new(TcpStream::connect(ground.world.address).unwrap());
    wire.send(&bytes(lines, "")).unwrap();
    let head = wire.head().unwrap().unwrap();
    assert_eq!(head.status(), 200, "{head:?}");
    assert_eq!(wire.body(&head, true).unwrap(), b"a");
    (head, wire.trailers.iter().map(|line| line.to_ascii_lowercase()).collect())
}

fn values<'h>(head: &'h Head, name: &str) -> Vec<&'h str> {
    let same = head.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    same.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn b11_a_service_says_nothing_in_the_gates_place() {
    let ground = Ground::with("genesys", WORLD);
    let ann = format!("Authorization: {}", basic("ann", "administers-it-1"));
    let lines = ["GET /api/v2/me/calls HTTP/1.1", "Host: a.example", "TE: trailers", &ann].map(str::to_owned);
    let names: Vec<&str> = FORGED.iter().filter_map(|line| line.split(':').next()).collect();
    let trailer = format!("Trailer: X-Checksum, {}", names.join(", "));
    // In the head, and behind the body.
    let head = FORGED.iter().filter(|line| !line.starts_with("Countersign")).copied();
    let in_head: Vec<&str> = head.chain(["Set-Cookie: THEME=dark"]).collect();
    for (head, behind) in [(in_head, vec![]), (vec![], FORGED.to_vec())] {
        let section = |lines: &[&str]| lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
        let reply = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{trailer}\r\nX-Told: 1\r\n{}\r\n1\r\na\r\n0\r\n{}X-Checksum: kept\r\n\r\n",
            section(&head),
            section(&behind)
        );
        ground.world.upstream.reply(reply.into_bytes());
        let (told, trailers) = ask(&ground, &lines);
        let forged: Vec<_> = told
            .headers
            .iter()
            .filter(|(name, value)| value.contains("forged") && !name.eq_ignore_ascii_case("trailer"))
            .collect();
        assert!(forged.is_empty(), "{forged:?}");
        assert_eq!(trailers, ["x-checksum: kept"]);
        // The gate's own words are there, once each, and so is what is the service's to say.
        assert_eq!((values(&told, "x-csrf-token").len(), values(&told, "x-told")), (1, vec!["1"]));
        let cookies = values(&told, "set-cookie");
        assert_eq!(cookies.iter().filter(|cookie| cookie.starts_with("JSESSIONID=")).count(), 1);
        assert_eq!(cookies.contains(&"THEME=dark"), !head.is_empty());
    }
}

#[test]
fn b11_what_proves_the_gate_to_a_client_stands_alone() {
    let ground = Ground::with("enactor", TILL);
    let told = ground.send("GET /devices HTTP/1.1\nHost: a.example").refused(401);
    let challenge = digest_challenge(&told);
    let response = Response::to(&challenge, "till", "drawer-open-5", "GET", "/devices");
    let lines: Vec<String> =
        std::iter::once("HTTP/1.1 200 OK").chain(FORGED.into_iter().take(5)).map(str::to_owned).collect();
    ground.world.upstream.reply(bytes(&lines, "a"));
    let asked = ["GET /devices HTTP/1.1", "Host: a.example", &format!("Authorization: {}", response.field())]
        .map(str::to_owned);
    let (head, _) = ask(&ground, &asked);
    let info = values(&head, "authentication-info");
    assert_eq!(info.len(), 1, "{info:?}");
    assert!(info[0].contains(&format!("rspauth=\"{}\"", response.rspauth())), "{info:?}");
    for name in ["www-authenticate", "proxy-authenticate", "proxy-authentication-info", "persistent-auth"] {
        assert_eq!(values(&head, name), Vec::<&str>::new());
    }
}
