//! Limits that no key changes, at their edge.

use countersign_auth::secret::Secret;
use countersign_gateway::limits::Limits;
use countersign_identity::accounts::AccountDraft;
use countersign_identity::service::By;
use serde_json::{Value, json};

use super::{CUSTOMER, PATIENCE, WORLD, get, refused};
use crate::digest::{Challenge, Response};
use crate::process::{CONFIG, Site};
use crate::raw::Client;
use crate::threats::{Ground, basic};
use crate::world::keys;

fn ground_of(dialect: &str, world: &str) -> Ground {
    Ground::limited_in(dialect, world, Limits::default(), PATIENCE)
}

/// The world that the transcripts of a dialect assume.
fn usual(dialect: &str) -> Ground {
    let path = crate::transcript::root().join(format!("dialects/{dialect}/transcripts/world.toml"));
    ground_of(dialect, &std::fs::read_to_string(path).unwrap())
}

#[test]
fn paths_are_bounded_in_bytes_and_segments() {
    let ground = ground_of("enactor", WORLD);
    let ask = |path: &str| get("").replacen("/x", path, 1);
    let long = |bytes: usize| ask(&format!("/{}", "a".repeat(bytes - 1)));
    ground.send(&long(8 * 1024)).passed();
    refused(&ground, &long(8 * 1024 + 1), 400, "", "path is too long");
    // What counts is how it is spelt in the end.
    let spelt = |escapes: usize, plain: usize| ask(&format!("/{}{}", "{".repeat(escapes), "a".repeat(plain)));
    ground.send(&spelt(2730, 1)).passed();
    refused(&ground, &spelt(2730, 2), 400, "", "path is too long");
    let segments = |count: usize| ask(&"/a".repeat(count));
    ground.send(&segments(128)).passed();
    refused(&ground, &segments(129), 400, "", "path is too long");
}

#[test]
fn cookies_are_counted_and_four_of_a_name_tried() {
    let ground = usual("genesys");
    let me = basic("paveld@redwings.com", "password-of-paul");
    let get = |cookies: &str| format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nCookie: {cookies}");
    let told = ground.send(&format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nAuthorization: {me}"));
    let session = format!("JSESSIONID={}", told.cookie("JSESSIONID"));
    let many = |others: usize| get(&format!("{}{session}", "a=1; ".repeat(others)));
    ground.send(&many(199)).passed();
    refused(&ground, &many(200), 400, "", "too many cookies");
    let wrong = format!("JSESSIONID={}; ", "a".repeat(told.cookie("JSESSIONID").len()));
    let after = |wrongs: usize| get(&format!("{}{session}", wrong.repeat(wrongs)));
    ground.send(&after(3)).passed();
    ground.send(&after(4)).refused(403);
}

#[test]
fn ranges_of_accept_are_read_up_to_a_number() {
    let ground = usual("superoffice");
    let media = |before: usize| {
        let accept = format!("{}application/xml", "x/y, ".repeat(before));
        let ask = format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nAccept: {accept}");
        ground.send(&ask).refused(401).header("content-type")
    };
    assert_eq!(media(63), "application/xml");
    assert_eq!(media(64), "application/json");
}

#[test]
fn lines_of_a_part_are_counted() {
    let ground = ground_of("egain", CUSTOMER);
    let login = |lines: usize| {
        let part = |name: &str, more: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{more}\r\n{value}\r\n")
        };
        let known =
            part("userName", &"X: 1\r\n".repeat(lines - 1), "jane") + &part("password", "", "basket-case-8");
        format!(
            "POST /ws/v12/context/authentication/user/login HTTP/1.1\nHost: a.example\n\
             Content-Type: multipart/form-data; boundary=x\n\n{known}--x--"
        )
    };
    ground.send(&login(16)).answered();
    refused(&ground, &login(17), 400, "", "a part has too many header lines");
}

#[test]
fn names_and_passwords_of_basic_are_bounded() {
    let ground = ground_of("enactor", WORLD);
    let password = "p".repeat(4096);
    let draft = AccountDraft {
        password: Some(Secret::new(password.as_str())),
        ..AccountDraft::new("users", "longwinded")
    };
    let (service, now) = (ground.world.service(), ground.world.now());
    ground.world.block_on(service.create_account(draft, By::gate(), now)).unwrap();
    let ask = |user: &str, password: &str| {
        format!("GET /x HTTP/1.1\nHost: a.example\nAuthorization: {}", basic(user, password))
    };
    ground.send(&ask("longwinded", &password)).passed();
    let told = |user: &str, password: &str| {
        let runs = ground.world.service().password_runs();
        ground.send(&ask(user, password)).refused(401);
        ground.world.service().password_runs() - runs
    };
    // Whoever asks with more is told what he is told otherwise, and nothing is hashed.
    assert_eq!(told("longwinded", &format!("{password}p")), 0);
    refused(&ground, &ask("longwinded", &format!("{password}p")), 401, "", "too long");
    // Nobody has so long a name; up to the limit it is a name all the same.
    assert_eq!(told(&"u".repeat(1024), "a password that is none"), 1);
    assert_eq!(told(&"u".repeat(1025), "a password that is none"), 0);
    refused(&ground, &ask(&"u".repeat(1025), "x"), 401, "", "too long");
}

const ISSUED: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
at      = ["/"]

[[api.route]]
at    = "/**"
allow = "authenticated"

[issuer."http://www.enactor.co/"]
keys = ["other-1", "other-2", "other-3", "other-4", "other-5", "other-6", "other-7", "tried-last", "tried-never"]
"#;

/// A token with one more claim.
fn token(ground: &Ground, key: &str, more: &Value) -> String {
    let exp = ground.world.now().unix_secs() + 3600;
    let claims =
        json!({ "iss": "http://www.enactor.co/", "aud": "client", "sub": "1", "exp": exp, "more": more });
    keys::minted(key, &json!({ "alg": "RS256" }), &claims)
}

#[test]
fn jwts_are_bounded_in_bytes_depth_and_keys() {
    let ground = ground_of("enactor", ISSUED);
    let ask = |token: &str| format!("GET /x HTTP/1.1\nHost: a.example\nAuthorization: Bearer {token}");
    // Three bytes of claims are four of the token.
    let around = token(&ground, "tried-last", &json!("")).len();
    let with = |bytes: usize| token(&ground, "tried-last", &json!("x".repeat(bytes)));
    let fits = (0..8).map(|more| with((16 * 1024 - around) * 3 / 4 + more - 4)).collect::<Vec<_>>();
    let fits = fits.iter().find(|token| token.len() == 16 * 1024).expect("a token of just that length");
    ground.send(&ask(fits)).passed();
    refused(&ground, &ask(&format!("{fits}A")), 401, "", "too long");
    let deep = |depth: usize| {
        token(&ground, "tried-last", &(1..depth).fold(json!(0), |inner, _| Value::Array(vec![inner])))
    };
    ground.send(&ask(&deep(32))).passed();
    refused(&ground, &ask(&deep(33)), 401, "", "payload");
    // Of keys without an id each may be meant.
    refused(&ground, &ask(&token(&ground, "tried-never", &json!(0))), 401, "", "signature");
}

#[test]
fn responses_of_digest_are_bounded() {
    let world = r#"
        [[api]]
        name    = "shop"
        dialect = "enactor"
        enable  = ["digest"]
        at      = ["/"]

        [[api.route]]
        at    = "/**"
        allow = "authenticated"

        [[account]]
        name     = "till"
        password = "drawer-open-5"
        weaker   = ["digest"]
    "#;
    let ground = ground_of("enactor", world);
    let field = || {
        let told = ground.send("GET /x HTTP/1.1\nHost: a.example").refused(401);
        let offered = told.answer.head.headers.iter().map(|(_, value)| value.as_str());
        let challenge =
            Challenge::parse(offered.into_iter().find(|value| value.starts_with("Digest ")).unwrap());
        Response::to(&challenge, "till", "drawer-open-5", "GET", "/x").field()
    };
    let ask = |field: &str| format!("GET /x HTTP/1.1\nHost: a.example\nAuthorization: {field}");
    let long = |bytes: usize| {
        let field = field();
        let begun = format!("{field}, x=\"");
        format!("{begun}{}\"", "y".repeat("Digest ".len() + bytes - begun.len() - 1))
    };
    ground.send(&ask(&long(12 * 1024))).passed();
    refused(&ground, &ask(&long(12 * 1024 + 1)), 401, "", "too long");
    let many = |count: usize| {
        let field = field();
        // No value of ours has a comma.
        let own = field.split(", ").count();
        field + &(own..count).map(|number| format!(", x{number}=1")).collect::<String>()
    };
    ground.send(&ask(&many(24))).passed();
    refused(&ground, &ask(&many(25)), 401, "", "too long");
}

#[test]
fn bodies_of_push_requests_are_bounded() {
    let world = r#"
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
    let ground = ground_of("genesys", world);
    let ann = basic("ann", "administers-it-1");
    let told = ground.send(&format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nAuthorization: {ann}"));
    let (session, token) = (told.cookie("JSESSIONID"), told.header("x-csrf-token"));
    let push = |body: &str| {
        ground.send(&format!(
            "POST /api/v2/notifications HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={session}\n\
             X-CSRF-TOKEN: {token}\nContent-Type: application/json\n\n{body}"
        ))
    };
    let message = |member: &str| format!(r#"[{{"channel":"/meta/unknown","x":{member}}}]"#);
    let long = |bytes: usize| message(&format!("\"{}\"", "x".repeat(bytes - message("\"\"").len())));
    // The message itself and the list that it stands in are two.
    let deep = |depth: usize| message(&format!("{}{}", "[".repeat(depth - 2), "]".repeat(depth - 2)));
    let many = |count: usize| format!("[{}]", vec![r#"{"channel":"/meta/unknown"}"#; count].join(","));
    for (fits, beyond) in [(long(64 * 1024), long(64 * 1024 + 1)), (deep(64), deep(65)), (many(64), many(65))]
    {
        push(&fits).answered();
        let told = push(&beyond);
        assert!(matches!(told.status(), 400 | 413), "{}", told.bytes());
        assert!(told.seen.is_empty());
    }
}

#[test]
fn heads_at_the_administration_listener_are_bounded() {
    let site = Site::new(Vec::new());
    let mut gate = site.start();
    let line = gate.said("listening for administration");
    let address = line["listener.address"].as_str().unwrap().parse().unwrap();
    let ask = |bytes: usize| {
        let around = "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \r\n\r\n";
        let head = around.replace("X: ", &format!("X: {}", "x".repeat(bytes - around.len())));
        Client::new(address).exchange(0, head.as_bytes()).map(|answer| answer.head.status())
    };
    assert_eq!(ask(16 * 1024), Ok(200));
    assert_eq!(ask(16 * 1024 + 1), Ok(431));
}

/// Bodies are read before anybody is asked for his key: nobody without one gets further than to 401.
#[test]
fn bodies_of_calls_of_services_are_bounded() {
    let site = Site::new(Vec::new());
    // SHA-256 of `k`.
    let key = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a";
    let key = format!("service_key = [{{ name = \"till\", sha256 = \"{key}\", publish = [\"/x/*\"] }}]");
    let configuration = site.configuration();
    site.write(CONFIG, &configuration.replacen("name = \"crm\"\n", &format!("name = \"crm\"\n{key}\n"), 1));
    let mut gate = site.start();
    let line = gate.said("listening for administration");
    let address = line["listener.address"].as_str().unwrap().parse().unwrap();
    let ask = |path: &str, key: &str, bytes: usize| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Length: {bytes}\r\n\r\n"
        );
        let request = [head.into_bytes(), vec![b' '; bytes]].concat();
        Client::new(address).exchange(0, &request).unwrap().head.status()
    };
    // The API has no push channels, and the key is for no objects.
    for (path, most, status) in [("/events/crm", 96 * 1024, 404), ("/objects/crm/order", 256 * 1024, 403)] {
        assert_eq!(ask(path, "k", most), status, "{path}");
        assert_eq!(ask(path, "k", most + 1), 413, "{path}");
        // Of whoever has no key nothing is read.
        assert_eq!(ask(path, "other", most), 401, "{path}");
        assert_eq!(ask(path, "other", most + 1), 401, "{path}");
    }
}
