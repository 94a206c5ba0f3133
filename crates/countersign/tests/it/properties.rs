//! One canonical request: what was decided is what is forwarded.
//!
//! Requests are put together from what gateways were confused with, and sent over HTTP/1.1 and HTTP/2. Most are
//! refused. Of each that reaches the service, the service is asked: it reads the request as a careless server would,
//! and what it reads must be something that this caller may do, at the API whose name the assertion says.

use std::cell::Cell;
use std::net::TcpStream;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use proptest::{collection, option};

use crate::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, fields, frame};
use crate::raw::Wire;
use crate::upstream::Received;
use crate::world::setting::Setting;
use crate::world::{ASSERTION, Keeping, World};
use countersign_auth::canonical::path::CanonicalPath;
use countersign_auth::dialect::Dialect;
use countersign_gateway::address::Fronts;

/// Two APIs at two hosts, each with paths for anybody, for everybody who is known, and for administrators; the caller
/// is known, and no administrator.
const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
enable  = ["basic"]
at      = ["a.example/"]
[[api.route]]
at    = "/public/**"
allow = "anonymous"
[[api.route]]
at    = "/admin/**"
allow = { roles = ["administrator"] }
[[api.route]]
at    = "GET /read/**"
allow = "authenticated"

[[api]]
name    = "depot"
dialect = "enactor"
enable  = ["basic"]
at      = ["b.example/deep"]
[[api.route]]
at    = "/public/**"
allow = "anonymous"
[[api.route]]
at    = "/admin/**"
allow = { roles = ["administrator"] }

[[account]]
name     = "bob"
password = "looks-at-it-2"
"#;

/// `bob:looks-at-it-2`.
const BOB: &str = "Basic Ym9iOmxvb2tzLWF0LWl0LTI=";

/// Pieces of targets.
const PIECES: [&str; 44] = [
    "public",
    "admin",
    "read",
    "deep",
    "x",
    "..",
    ".",
    "...",
    "",
    "%2e%2e",
    "%2E%2e",
    ".%2e",
    "%2e",
    "%252e%252e",
    "%61dmin",
    "%70ublic",
    "a%2fb",
    "..%2fadmin",
    "%2Fadmin",
    "a%5cb",
    "..\\admin",
    "a;b=c",
    "..;",
    ";x",
    "%3b",
    "a%00",
    "%00",
    "#",
    "#/public",
    "?",
    "?x=/public",
    "%3f",
    "%23",
    "%25",
    "%",
    "%zz",
    "%c0%ae%c0%ae",
    "\u{e4}",
    "%C3%A4",
    "a b",
    "a%20b",
    "~",
    "ADMIN",
    "a:b@c",
];

const HOSTS: [&str; 14] = [
    "a.example",
    "A.EXAMPLE",
    "a.example.",
    "a.example:80",
    "b.example",
    "B.example:8080",
    "c.example",
    "a.example, b.example",
    "a.example@b.example",
    "b.example/a.example",
    "a.example#b.example",
    "",
    "[::1]",
    "b.example\tx",
];

const METHODS: [&str; 14] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "delete", "PATCh",
    "PROPFIND", "G T",
];

/// Fields that confuse; each must not get past the gate, or mean nothing.
const FIELDS: [(&str, &str); 26] = [
    ("Authorization", BOB),
    ("X-Forwarded-Uri", "/public/forged"),
    ("X-Original-URL", "/public/forged"),
    ("X-Rewrite-URL", "/admin/forged"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Http-Method", "DELETE"),
    ("X-Forwarded-Host", "forged.example"),
    ("X-Forwarded-For", "forged"),
    ("Forwarded", "for=forged"),
    ("subject", "forged"),
    ("SUBJECT", "forged"),
    ("X-Forwarded-User", "forged"),
    ("X_Remote_User", "forged"),
    ("Countersign-Assertion", "forged"),
    ("Countersign.Assertion", "forged"),
    ("countersign_assertion", "forged"),
    ("Connection", "close"),
    ("Connection", "countersign-assertion"),
    ("Connection", "host, subject"),
    ("Keep-Alive", "timeout=5"),
    ("TE", "trailers, gzip"),
    ("Upgrade", "h2c"),
    ("Transfer-Encoding", "chunked"),
    ("Content-Length", "0"),
    ("Content-Length", "5"),
    ("X-Own", "kept"),
];

/// A request as it is to be sent.
#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    target: String,
    hosts: Vec<&'static str>,
    fields: Vec<(&'static str, &'static str)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let odd = proptest::prop_oneof![9 => select(&PIECES[..]).prop_map(str::to_owned), 1 => "[ -~]{0,4}"];
    let plain = select(&["x", "y.z", "..", "%61", "a%20b", "public"][..]).prop_map(str::to_owned);
    // Most requests have one odd piece or none: those are the ones that get through.
    let pieces = proptest::prop_oneof![
        3 => collection::vec(plain.clone(), 0..4),
        3 => (collection::vec(plain, 0..3), odd.clone()).prop_map(|(mut pieces, odd)| {
            pieces.push(odd);
            pieces
        }),
        1 => collection::vec(odd, 0..5),
    ];
    let begin = proptest::prop_oneof![
        6 => select(&["/public", "/read", "/deep/public", "/admin"][..]),
        1 => select(&["/deep", "", "/", "//a.example", "http://a.example/public"][..]),
    ];
    let path = (begin, pieces, proptest::bool::weighted(0.2)).prop_map(|(begin, pieces, slash)| {
        let rest: String = pieces.iter().map(|piece| format!("/{piece}")).collect();
        format!("{begin}{rest}{}", if slash { "/" } else { "" })
    });
    let query =
        option::weighted(0.2, select(&["x=1", "a=/admin", "/../../admin", "a=%2e%2e", "a#b", "?"][..]));
    let target = (path, query).prop_map(|(path, query)| match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    });
    let hosts = proptest::prop_oneof![
        8 => Just(vec!["a.example"]),
        4 => Just(vec!["b.example"]),
        1 => collection::vec(select(&HOSTS[..]), 0..3),
    ];
    let method = proptest::prop_oneof![4 => Just("GET"), 2 => select(&METHODS[..])];
    let fields = collection::vec(select(&FIELDS[..]), 0..3);
    (method, target, hosts, fields, any::<bool>()).prop_map(|(method, target, hosts, mut fields, known)| {
        if known {
            fields.retain(|(name, _)| *name != "Authorization");
            fields.push(("Authorization", BOB));
        }
        Asked { method, target, hosts, fields }
    })
}

impl Asked {
    /// In HTTP/1.1; the end of the connection ends the answer.
    fn http1(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for host in &self.hosts {
            text.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n0\r\n\r\n");
        text.into_bytes()
    }

    /// In HTTP/2: the first host is the authority, others are `host` fields.
    fn http2(&self) -> Vec<u8> {
        let mut list: Vec<(String, &str)> = vec![(":method".into(), self.method), (":scheme".into(), "http")];
        let mut hosts = self.hosts.iter();
        if let Some(authority) = hosts.next() {
            list.push((":authority".into(), authority));
        }
        list.push((":path".into(), &self.target));
        list.extend(hosts.map(|host| ("host".to_owned(), *host)));
        list.extend(self.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)));
        let list: Vec<(&[u8], &[u8])> =
            list.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        fields(&list)
    }

    fn is_known(&self) -> bool {
        self.fields.iter().any(|(name, _)| *name == "Authorization")
    }
}

/// A path as a careless server reads it: everything decoded, again and again, separators of all kinds, parameters cut
/// off, dots resolved.
fn careless(path: &str) -> Vec<String> {
    let mut text = path.to_owned();
    for _ in 0..3 {
        let decoded = percent_decoded(&text);
        text = String::from_utf8_lossy(&decoded).into_owned();
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in text.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment.to_ascii_lowercase()),
        }
    }
    segments
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// What must hold of a request that reached the service.
fn check(asked: &Asked, seen: &Received) -> Result<(), String> {
    let parts: Vec<&str> = seen.head.start.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(format!("{:?} is no start", seen.head.start));
    };
    if method != asked.method {
        return Err(format!("{} became {method}", asked.method));
    }
    if !METHODS[..7].contains(&method) {
        return Err(format!("no rule is about {method}"));
    }
    let path = target.split('?').next().unwrap_or_default();
    match CanonicalPath::parse(path) {
        Ok(canonical) if canonical.as_str() == path => {}
        other => return Err(format!("{path} is not canonical: {other:?}")),
    }
    if target.contains('#') {
        return Err(format!("a fragment went on: {target}"));
    }
    let all = |name: &str| -> Vec<&str> {
        let same = seen.head.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    };
    let [host] = all("host")[..] else { return Err("not one host".to_owned()) };
    let [assertion] = all(ASSERTION)[..] else { return Err("not one assertion".to_owned()) };
    let claims = crate::threats::claims_of(assertion);
    let name = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let (api, below) = match name.as_str() {
        "a.example" => ("shop", 0),
        "b.example" => ("depot", 1),
        other => return Err(format!("nobody is at {other}")),
    };
    if claims["aud"] != api {
        return Err(format!("{host} is told an assertion for {}", claims["aud"]));
    }
    let read = careless(path);
    if below == 1 && read.first().map(String::as_str) != Some("deep") {
        return Err(format!("{path} is not below the prefix"));
    }
    let may = match read.get(below).map(String::as_str) {
        Some("public") => true,
        Some("read") => asked.is_known() && below == 0 && matches!(method, "GET" | "HEAD"),
        Some(_) | None => false,
    };
    if !may {
        return Err(format!("{method} {path} is {read:?} to a careless server, which this caller may not"));
    }
    if asked.is_known() && read[below] == "read" && claims["sub"] != "bob" {
        return Err(format!("{} is not the caller", claims["sub"]));
    }
    let lines = seen.head.headers.iter().map(|(name, value)| format!("{name}: {value}"));
    for line in lines {
        let lower = line.to_ascii_lowercase();
        let gone =
            ["forged", "ym9iom", "authorization", "keep-alive", "upgrade", "override", "x-http-method"];
        if let Some(word) = gone.iter().find(|word| lower.contains(*word)) {
            return Err(format!("`{word}` went on in `{line}`"));
        }
    }
    if all("content-length").len() + all("transfer-encoding").len() > 1 {
        return Err("two framings".to_owned());
    }
    let own = asked.fields.iter().filter(|(name, _)| *name == "X-Own").count();
    if all("x-own").len() != own {
        return Err("what is nobody's business did not go on".to_owned());
    }
    Ok(())
}

fn world() -> World {
    let setting = Setting::from_text("enactor", "the properties' world", WORLD);
    let text = Setting::dialect_text("enactor");
    let dialect = std::sync::Arc::new(Dialect::load("dialect.toml", &text).unwrap());
    World::behind(&setting, &dialect, Keeping::Memory, Fronts::default()).unwrap()
}

/// Cases of each protocol; some thousand more are tried where `PROPTEST_CASES` says so.
const CASES: u32 = 600;

/// Sends what `send` sends, for every case, and checks what reached the service; at least some must.
fn hold(send: impl Fn(&World, &Asked)) {
    let world = world();
    let reached = Cell::new(0);
    let cases = Config::default().cases.max(CASES);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&asked(), |asked| {
        send(&world, &asked);
        for seen in world.upstream.take() {
            reached.set(reached.get() + 1);
            check(&asked, &seen).map_err(proptest::test_runner::TestCaseError::fail)?;
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    println!("{} of {cases} reached the service", reached.get());
    assert!(reached.get() > cases / 20, "only {} requests were good enough to be looked at", reached.get());
}

#[test]
fn what_was_decided_is_what_is_forwarded_over_http1() {
    hold(|world, asked| {
        let stream = TcpStream::connect(world.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut wire = Wire::new(stream);
        let _closed = wire.send(&asked.http1());
        // The answer's head comes after the service has been asked.
        let _answer = wire.head();
    });
}

#[test]
fn what_was_decided_is_what_is_forwarded_over_http2() {
    hold(|world, asked| {
        let mut frames = Frames::open(world.address, &[]);
        let _closed = frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &asked.http2()));
        let _ended = frames.ended(1);
    });
}

#[test]
fn a_careless_server_reads_what_it_should() {
    assert_eq!(careless("/public/..;/%61dmin\\x/./y"), ["admin", "x", "y"]);
    assert_eq!(careless("/a/%252e%252e/b%2fc"), ["b", "c"]);
    assert_eq!(careless("//A///"), ["a"]);
}
