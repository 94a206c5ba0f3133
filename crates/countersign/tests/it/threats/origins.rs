//! E: pages of other origins. What a browser proves by itself it proves for any page; only what the request says of its page
//! tells them apart, and over clear text that is `Origin` alone.

use countersign_auth::dialect::Dialect;
use countersign_auth::port::foreign::{FrontProof, FrontTerms};
use countersign_auth::secret::Secret;
use countersign_gateway::address::{ForwardingFields, Fronts};

use super::heard::Hearing;
use super::sockets::FOREIGN;
use super::{Ground, Told, all, basic, fronts};
use crate::digest::{Challenge, Response};
use crate::raw::bytes;
use crate::world::setting::Setting;

const SECRET: &str = "a secret of the front's own";

/// An API that some pages may call with what a browser knows, and one that none may.
const WORLD: &str = r#"
[[api]]
name = "crm"
dialect = "superoffice"
deployment = "onsite"
at = ["a.example/"]
enable = ["front"]
pages = ["http://desk.example"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[api]]
name = "closed"
dialect = "superoffice"
deployment = "onsite"
at = ["closed.example/"]
[[api.route]]
at = "/api"
allow = "anonymous"
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "ann"
password = "wonderland-7"
"#;

/// An API with Digest.
pub(super) const TILL: &str = r#"
[[api]]
name = "till"
dialect = "enactor"
at = ["/"]
enable = ["digest"]
pages = ["http://desk.example"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "till"
password = "drawer-open-5"
weaker = ["digest"]
"#;

fn ground() -> Ground {
    let ground = Ground::with("superoffice", WORLD);
    let terms = FrontTerms {
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        proof: FrontProof::Secret(Secret::new(SECRET)),
        domains: vec!["CORP".to_owned()],
        create: false,
    };
    ground.world.service().believe_front("crm", terms);
    ground
}

/// One page after the other asks; `proof` is what the browser adds to a request with this method for this path.
fn pages_ask(ground: &Ground, path: &str, status: u16, proof: &dyn Fn(&str) -> String) {
    let ask = |method: &str, page: &str| -> Told {
        let proof = proof(method);
        ground.send(&format!("{method} {path} HTTP/1.1\nHost: a.example\nContent-Length: 0\n{proof}{page}"))
    };
    let (own, desk, evil) =
        ("\nOrigin: http://a.example", "\nOrigin: http://desk.example", "\nOrigin: http://evil.example");
    for origin in FOREIGN {
        ask("POST", &format!("\nOrigin: {origin}")).refused(status);
    }
    for foreign in [
        format!("{own}{evil}"),
        format!("{desk}{evil}"),
        format!("{own}\nSec-Fetch-Site: cross-site"),
        format!("{evil}\nSec-Fetch-Site: same-site"),
        "\nOrigin: http://b.a.example\nSec-Fetch-Site: same-site".to_owned(),
        "\nSec-Fetch-Site: same-site".to_owned(),
        "\nSec-Fetch-Site: cross-site".to_owned(),
        "\nSec-Fetch-Site: same-origin\nSec-Fetch-Site: cross-site".to_owned(),
        format!("{own}\nSec-Fetch-Site: anything"),
    ] {
        for method in ["POST", "DELETE"] {
            ask(method, &foreign).refused(status);
        }
    }
    // A page of the gate's own, one that is trusted, the user himself, and a program.
    for ours in [
        own,
        desk,
        "\nSec-Fetch-Site: same-origin",
        "\nOrigin: null\nSec-Fetch-Site: same-origin",
        "\nSec-Fetch-Site: none",
        "\nOrigin: http://desk.example\nSec-Fetch-Site: cross-site",
        "",
    ] {
        ask("POST", ours).passed();
    }
    // What changes nothing shows nothing to the page that asks either.
    ask("GET", evil).passed();
}

/// The first Digest challenge of a 401.
pub(super) fn digest_challenge(told: &Told) -> Challenge {
    let headers = &told.answer.head.headers;
    let offered = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    let offered = offered.map(|(_, value)| value).find(|value| value.starts_with("Digest "));
    Challenge::parse(offered.unwrap_or_else(|| panic!("no Digest: {}", told.bytes())))
}

#[test]
fn e7_a_foreign_page_uses_nothing_that_a_browser_repeats_also_in_clear() {
    let ground = ground();
    let ann = format!("Authorization: {}", basic("ann", "wonderland-7"));
    pages_ask(&ground, "/api/v1/Contact", 401, &|_method| ann.clone());
    let front = format!("X-Windows-User: CORP\\ann\nX-Front-Proof: {SECRET}");
    pages_ask(&ground, "/api/v1/Contact", 401, &|_method| front.clone());
    let ground = Ground::with("enactor", TILL);
    pages_ask(&ground, "/devices", 403, &|method| {
        let told = ground.send("GET /devices HTTP/1.1\nHost: a.example").refused(401);
        let challenge = digest_challenge(&told);
        let response = Response::to(&challenge, "till", "drawer-open-5", method, "/devices");
        format!("Authorization: {}", response.field())
    });
}

/// What nobody proves any page could say: of what a browser asks for, the API's own pages alone may, under its own names.
#[test]
fn e7_what_is_unproven_is_no_foreign_pages_to_say() {
    let world = |at: &str| {
        format!(
            "[[api]]\nname = \"shop\"\ndialect = \"enactor\"\ndeployment = \"trusting\"\n\
             dangerous = [\"subject\"]\nat = [\"{at}\"]\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
        )
    };
    for (at, known, unknown) in [
        ("/", "127.0.0.1:8080", "evil.example:8080"),
        ("/", "localhost:8080", "localhost.evil.example"),
        ("/", "[::1]:8080", "127.0.0.1.evil.example"),
        ("till.corp/", "till.corp:8080", "evil.example"),
    ] {
        let ground = Ground::with("enactor", &world(at));
        let ask = |method: &str, host: &str, lines: &str| {
            ground
                .send(&format!("{method} /x HTTP/1.1\nHost: {host}\nSubject: kim\nContent-Length: 0{lines}"))
        };
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            // A program, the API's own page, an address that was typed.
            ask(method, known, "").passed();
            ask(method, known, &format!("\nOrigin: http://{known}\nSec-Fetch-Site: same-origin")).passed();
            ask(method, known, "\nSec-Fetch-Site: none").passed();
            for page in [
                "\nOrigin: http://evil.example\nSec-Fetch-Site: cross-site",
                "\nOrigin: http://evil.example",
                "\nSec-Fetch-Site: cross-site",
                "\nSec-Fetch-Site: same-site",
                "\nOrigin: null",
            ] {
                assert!([401, 403].contains(&ask(method, known, page).status()), "{method} {known}{page}");
                assert_eq!(ground.world.upstream.take().len(), 0, "{method} {known}{page}");
            }
            // A name that somebody lets point here is its page's own host.
            let own = format!("\nOrigin: http://{unknown}\nSec-Fetch-Site: same-origin");
            for page in ["", own.as_str()] {
                let told = ask(method, unknown, page);
                let status = told.status();
                assert!([401, 403, 404].contains(&status), "{method} {unknown}{page}: {status}");
                assert!(told.seen.is_empty(), "{method} {unknown}{page}");
            }
        }
    }
}

/// How the client speaks is what the front says of it.
#[test]
fn e7_the_pages_of_a_host_are_those_of_its_scheme() {
    let ground = Ground::behind("superoffice", fronts(ForwardingFields::XForwarded));
    let ask = |proto: &str, origin: &str| {
        ground.send(&format!(
            "POST /api/v1/Contact HTTP/1.1\nHost: crm.example\nContent-Length: 0\nX-Forwarded-For: 192.0.2.1\n\
             X-Forwarded-Proto: {proto}\nX-Forwarded-Host: evil.example\nAuthorization: {}\nOrigin: {origin}",
            basic("alice", "wonderland-7")
        ))
    };
    ask("https", "https://crm.example").passed();
    ask("http", "http://crm.example").passed();
    ask("https", "http://crm.example").refused(401);
    ask("http", "https://crm.example").refused(401);
    // Whose host it is, the address says that was asked.
    ask("https", "https://evil.example").refused(401);
}

/// Whoever runs the gate behind a proxy that ends TLS, and has not listed it, learns from the log what is amiss.
#[test]
fn e7_the_log_says_which_origin_a_page_was_expected_to_be_of() {
    let hearing = Hearing::begin();
    let check = |ground: &Ground, path: &str, page: &str, expected: &str| {
        let told = ground.send(&format!(
            "POST /api/v1/Contact/{path} HTTP/1.1\nContent-Length: 0\nX-Forwarded-For: 192.0.2.1\n\
             X-Forwarded-Proto: https\nAuthorization: {}\n{page}",
            basic("alice", "wonderland-7")
        ));
        let told = told.refused(401);
        assert!(!told.bytes().contains("another origin"), "{}", told.bytes());
        let line = hearing.wait_for(&format!("http.path=\"/api/v1/Contact/{path}\""));
        let cause = format!("a page of another origin{expected} makes the browser prove who its user is");
        assert!(line.contains(&cause), "{path}: {line}");
    };
    let own = "Host: crm.example\nOrigin: https://crm.example";
    let unlisted = Ground::of("superoffice");
    check(&unlisted, "expected-1", own, " than http://crm.example");
    let listed = Ground::behind("superoffice", fronts(ForwardingFields::XForwarded));
    let evil = "Origin: https://evil.example";
    check(&listed, "expected-2", &format!("Host: crm.example\n{evil}"), " than https://crm.example");
    check(&listed, "expected-3", &format!("Host: CRM.example:443\n{evil}"), " than https://crm.example");
    // What the browser says itself was not compared.
    check(&listed, "expected-4", &format!("{own}\nSec-Fetch-Site: cross-site"), "");
    let log_in = ground().send(
        "POST /login HTTP/1.1\nHost: a.example\nContent-Type: application/x-www-form-urlencoded\n\
         Origin: https://a.example\n\nuserName=ann&password=wonderland-7",
    );
    log_in.refused(403);
    hearing.wait_for("a page of another origin than http://a.example sent the form");
}

#[test]
fn e7_no_foreign_page_logs_its_visitor_in() {
    let ground = ground();
    let log_in = |page: &str| {
        ground.send(&format!(
            "POST /login HTTP/1.1\nHost: a.example\nContent-Type: application/x-www-form-urlencoded{page}\n\n\
             userName=ann&password=wonderland-7"
        ))
    };
    for foreign in [
        "\nOrigin: http://evil.example",
        "\nOrigin: https://a.example",
        "\nOrigin: null",
        "\nOrigin: http://b.a.example\nSec-Fetch-Site: same-site",
        "\nSec-Fetch-Site: same-site",
        "\nOrigin: http://a.example\nOrigin: http://evil.example",
    ] {
        let told = log_in(foreign).refused(403);
        assert!(told.answer.head.header("set-cookie").is_none(), "{foreign}: {}", told.bytes());
    }
    for ours in
        ["\nOrigin: http://a.example", "\nOrigin: http://desk.example\nSec-Fetch-Site: cross-site", ""]
    {
        log_in(ours).answered().cookie("SuperOffice-Session");
    }
}

/// What tells a service who asks is taken out of requests before anything is decided; so is whatever else a dialect names.
#[test]
fn b12_no_header_that_a_service_is_told_by_hides_what_is_decided_by() {
    let told_by = |name: &str| {
        let text = Setting::dialect_text("superoffice");
        let told = "headers = [\"X-SuperOffice-Associate:";
        assert!(text.contains(told));
        text.replace(
            told,
            &format!("headers = [\"{name}: {{{{ identity.subject }}}}\", \"X-SuperOffice-Associate:"),
        )
    };
    for name in [
        "Origin",
        "Sec-Fetch-Site",
        "sec_fetch_site",
        "Sec.Fetch.Mode",
        "Host",
        "Cookie",
        "Content-Type",
        "Accept",
        "Authorization",
        "X-Forwarded-For",
        "X_Forwarded_Proto",
        "Forwarded",
        "Sec-WebSocket-Key",
        "Access-Control-Request-Method",
    ] {
        let problems = Dialect::load("superoffice.toml", &told_by(name)).expect_err(name);
        let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(
            said.len() == 1
                && said[0]
                    .contains(&format!("assertion: headers: the gate or HTTP itself decides by `{name}`")),
            "{said:?}"
        );
    }
    // The nearest names that are good: they are the gate's to set, and the page that asks is seen.
    for name in ["X-Origin", "Origins", "Sec-Fetch", "X-Host"] {
        let setting = Setting::from_text("superoffice", "a test's world", WORLD);
        let ground = Ground::made("superoffice", setting, &told_by(name), Fronts::default());
        let ask = |page: &str| {
            let ann = basic("ann", "wonderland-7");
            ground.send(&format!(
                "POST /api/v1/Contact HTTP/1.1\nHost: a.example\nContent-Length: 0\nAuthorization: {ann}\n{name}: forged{page}"
            ))
        };
        let seen = ask("\nOrigin: http://a.example").passed();
        assert!(seen.head.header(name).is_some_and(|value| value != "forged"), "{name}");
        ask("\nOrigin: http://evil.example").refused(401);
        ask("\nSec-Fetch-Site: cross-site").refused(401);
    }
}

/// A service that lets every page read everything, in the words of the CORS protocol.
const GENEROUS: [&str; 7] = [
    "Access-Control-Allow-Origin: http://evil.example",
    "Access-Control-Allow-Credentials: true",
    "Access-Control-Allow-Methods: GET, POST",
    "Access-Control-Allow-Headers: authorization",
    "Access-Control-Expose-Headers: x-told",
    "Access-Control-Max-Age: 600",
    "Access-Control-Allow-Private-Network: true",
];

/// The headers of an answer that speak to pages of other origins.
fn told_to_pages(told: &Told) -> Vec<String> {
    let names = told.answer.head.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[test]
fn e13_what_a_service_says_to_pages_of_other_origins_is_taken_out() {
    let ground = ground();
    let ann = format!("\nAuthorization: {}", basic("ann", "wonderland-7"));
    let ask = |host: &str, start: &str, more: &str| {
        let lines: Vec<String> = ["HTTP/1.1 200 OK", "X-Told: 1", "Vary: Accept"]
            .into_iter()
            .chain(GENEROUS)
            .map(str::to_owned)
            .collect();
        ground.world.upstream.reply(bytes(&lines, "{}"));
        ground.send(&format!("{start} HTTP/1.1\nHost: {host}{more}"))
    };
    for origin in ["", "\nOrigin: http://evil.example", "\nOrigin: http://closed.example", "\nOrigin: null"] {
        let told = ask("closed.example", "GET /api/v1/Contact/2", &format!("{ann}{origin}"));
        assert_eq!(told_to_pages(&told), Vec::<String>::new(), "{origin}: {}", told.bytes());
        assert_eq!((told.header("x-told"), told.header("vary")), ("1".to_owned(), "Accept".to_owned()));
        told.passed();
    }
    // Where some pages are listed, those are told, and by the gate.
    let told = ask("a.example", "GET /api/v1/Contact/2", &format!("{ann}\nOrigin: http://desk.example"));
    assert_eq!(told.header("access-control-allow-origin"), "http://desk.example");
    let told = told_to_pages(&told);
    for left in
        ["access-control-allow-methods", "access-control-max-age", "access-control-allow-private-network"]
    {
        assert!(!told.iter().any(|name| name == left), "{told:?}");
    }
    // A preflight asks the gate, which lets nobody; what only looks like one is a request like others.
    let preflight = "\nOrigin: http://evil.example\nAccess-Control-Request-Method: POST";
    for path in ["/api/v1/Contact/2", "/api", "/nowhere"] {
        let told = ask("closed.example", &format!("OPTIONS {path}"), preflight).refused(403);
        assert_eq!(told_to_pages(&told), Vec::<String>::new(), "{path}");
    }
    for fields in ["", "\nOrigin: http://evil.example", "\nAccess-Control-Request-Method: POST"] {
        let told = ask("closed.example", "OPTIONS /api/v1/Contact/2", &format!("{ann}{fields}"));
        assert_eq!(told_to_pages(&told), Vec::<String>::new(), "{fields}");
        let seen = told.passed();
        assert_eq!(all(&seen, "access-control-request-method").len(), fields.matches("Request").count());
    }
}
