//! One canonical request: what was decided is what is forwarded.
//!
//! Requests are put together from what gateways were confused with, and sent over HTTP/1.1 and HTTP/2. Most are
//! refused. Of each that reaches the service, what the service got is compared three times: with what the gate says
//! that it decided on, in the request's access line; with what was sent, read by the letter; and with what this
//! caller may do, at the API whose name the assertion says, when a careless server reads it.

mod asked;
mod readers;

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use countersign_auth::canonical::path::CanonicalPath;
use countersign_auth::dialect::Dialect;
use countersign_gateway::limits::Limits;
use countersign_gateway::upstream::Times;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::net::TcpSocket;

use self::asked::{Asked, METHODS, OWN, SUM, asked};
use self::readers::{by_the_letter, careless, target};
use crate::frames::Frames;
use crate::raw::Wire;
use crate::threats::heard::Hearing;
use crate::upstream::Received;
use crate::world::setting::Setting;
use crate::world::{ASSERTION, World};

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

/// How a request is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// What an access line says that was decided on.
struct Decided {
    line: String,
}

impl Decided {
    /// Of the request that came from there.
    fn of(hearing: &Hearing, client: Ipv4Addr) -> Self {
        Self { line: hearing.wait_for(&format!("peer.address={client} listener=")) }
    }

    fn word(&self, name: &str) -> &str {
        let value = self.line.split_once(&format!(" {name}=")).map(|(_, value)| value).unwrap_or_default();
        match value.strip_prefix('"') {
            Some(text) => text.split('"').next().unwrap_or_default(),
            None => value.split(' ').next().unwrap_or_default(),
        }
    }
}

/// All values of a field that the service got, in their order.
fn all<'r>(seen: &'r Received, name: &str) -> Vec<&'r str> {
    let same = seen.head.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    same.map(|(_, value)| value.as_str()).collect()
}

/// The first thing that is not as it should be, as an error.
fn equal<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    what: &str,
    got: T,
    wanted: U,
) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}: the service got {got:?}, not {wanted:?}")) }
}

/// What must hold of a request that reached the service.
fn check(
    asked: &Asked,
    seen: &Received,
    version: Version,
    client: Ipv4Addr,
    decided: &Decided,
) -> Result<(), String> {
    let parts: Vec<&str> = seen.head.start.split(' ').collect();
    let [method, received, "HTTP/1.1"] = parts[..] else {
        return Err(format!("{:?} is no start", seen.head.start));
    };
    let (path, query) = received.split_once('?').unwrap_or((received, ""));
    match CanonicalPath::parse(path) {
        Ok(canonical) if canonical.as_str() == path => {}
        other => return Err(format!("{path} is not canonical: {other:?}")),
    }
    // What the gate says that it decided on.
    equal("method and the log's", method, decided.word("http.method"))?;
    equal("path and the log's", path, decided.word("http.path"))?;
    // What was sent.
    let (authority, sent_path, sent_query) = target(&asked.target, version == Version::Http2);
    equal("method", method, asked.method)?;
    if !METHODS[..7].contains(&method) {
        return Err(format!("no rule is about {method}"));
    }
    equal("path", by_the_letter(path), by_the_letter(sent_path))?;
    equal("query", query, sent_query)?;
    let [host] = all(seen, "host")[..] else { return Err("not one host".to_owned()) };
    for sent in asked.hosts.iter().copied().chain(authority) {
        equal("host", place(host)?, place(sent)?)?;
    }
    let (name, port) = place(host)?;
    if host != name && host != format!("{name}:{port}") {
        return Err(format!("the host is not in its one spelling: {host}"));
    }
    if asked.hosts.is_empty() {
        return Err(format!("nobody named {host}"));
    }
    fields_are_as_sent(asked, seen, version, host, client)?;
    let body = asked.body(version == Version::Http2).ok_or("the framing says two things")?;
    equal("body", &seen.body, &body)?;
    match (&all(seen, "content-length")[..], &all(seen, "transfer-encoding")[..]) {
        ([length], []) => equal("length", *length, body.len().to_string())?,
        ([], ["chunked"]) => {}
        // Whoever expects content is told that there is none.
        ([], []) if matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS") => {}
        framings => return Err(format!("{method} is framed by {framings:?}")),
    }
    for line in &seen.trailers {
        equal("trailer", line.to_ascii_lowercase(), format!("{}: {}", SUM.0, SUM.1))?;
    }
    is_allowed(asked, seen, method, path, host, decided)
}

/// The name and the port of a host that stands at one of the APIs.
fn place(host: &str) -> Result<(String, u16), String> {
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let port = if port.is_empty() { Ok(80) } else { port.parse() };
    let port = port.map_err(|_| format!("{host:?} has no port that everybody reads"))?;
    Ok((name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(), port))
}

/// Everything in the head is the gate's, or was sent so and is nobody's business.
fn fields_are_as_sent(
    asked: &Asked,
    seen: &Received,
    version: Version,
    host: &str,
    client: Ipv4Addr,
) -> Result<(), String> {
    let sent = |wanted: &str| -> Vec<&str> {
        asked.fields.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| *value).collect()
    };
    // In HTTP/2 nobody nominates, and `TE` that says more than `trailers` is dropped.
    let nominated = version == Version::Http1 && sent("Connection").contains(&"x-nominated");
    for name in OWN {
        let wanted = if nominated && name == "X-Nominated" { Vec::new() } else { sent(name) };
        equal(name, all(seen, name), wanted)?;
    }
    let client = client.to_string();
    equal("subject", all(seen, "subject"), if asked.is_known() { vec!["bob"] } else { vec![] })?;
    equal("X-Forwarded-For", all(seen, "x-forwarded-for"), [client.as_str()])?;
    equal("X-Forwarded-Proto", all(seen, "x-forwarded-proto"), ["http"])?;
    equal("X-Forwarded-Host", all(seen, "x-forwarded-host"), [host])?;
    let te = if version == Version::Http2 || sent("TE").is_empty() { vec![] } else { vec!["trailers"] };
    equal("TE", all(seen, "te"), te)?;
    let gates = [
        "host",
        ASSERTION,
        "subject",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "te",
        "connection",
        "content-length",
        "transfer-encoding",
    ];
    let known = |name: &str| OWN.iter().chain(&gates).any(|known| known.eq_ignore_ascii_case(name));
    match seen.head.headers.iter().find(|(name, _)| !known(name)) {
        Some((name, value)) => Err(format!("`{name}: {value}` went on")),
        None => Ok(()),
    }
}

/// This caller may do what a careless server takes the request for.
fn is_allowed(
    asked: &Asked,
    seen: &Received,
    method: &str,
    path: &str,
    host: &str,
    decided: &Decided,
) -> Result<(), String> {
    let [assertion] = all(seen, ASSERTION)[..] else { return Err("not one assertion".to_owned()) };
    let claims = crate::threats::claims_of(assertion);
    let (api, below) = match host.split(':').next().unwrap_or_default() {
        "a.example" => ("shop", 0),
        "b.example" => ("depot", 1),
        other => return Err(format!("nobody is at {other}")),
    };
    equal("audience", &claims["aud"], api)?;
    equal("API and the log's", api, decided.word("api"))?;
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
    if asked.is_known() {
        equal("caller", &claims["sub"], "bob")
    } else {
        equal("caller", &claims["anonymous"], true)
    }
}

fn world() -> World {
    let setting = Setting::from_text("enactor", "the properties' world", WORLD);
    let text = Setting::dialect_text("enactor");
    let dialect = std::sync::Arc::new(Dialect::load("dialect.toml", &text).unwrap());
    // Access lines are handed over on each beat, and waited for.
    let limits = Limits { tick: Duration::from_millis(2), ..Limits::default() };
    World::limited(&setting, &dialect, limits, Times::default().head).unwrap()
}

/// A connection from an address that nobody else has, so that the request's access line can be told.
fn connected(world: &World, client: Ipv4Addr) -> TcpStream {
    let stream = world.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((client, 0))).unwrap();
        socket.connect(world.address).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Cases of each protocol; some thousand more are tried where `PROPTEST_CASES` says so.
const CASES: u32 = 1500;

/// Sends what `send` sends, for every case, and checks what reached the service; at least some must.
fn hold(version: Version, send: impl Fn(TcpStream, &Asked)) {
    let world = world();
    let (tried, reached, bodies) = (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let cases = Config::default().cases.max(CASES);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&asked(), |asked| {
        tried.set(tried.get() + 1);
        let client = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + tried.get());
        let hearing = Hearing::begin();
        send(connected(&world, client), &asked);
        let seen = world.upstream.take();
        for one in &seen {
            reached.set(reached.get() + 1);
            bodies.set(bodies.get() + u32::from(!one.body.is_empty()));
            let decided = Decided::of(&hearing, client);
            check(&asked, one, version, client, &decided).map_err(TestCaseError::fail)?;
        }
        // One that comes later than the answer is the next case's: it came from another address.
        if seen.len() > 1 { Err(TestCaseError::fail(format!("{seen:?} for one request"))) } else { Ok(()) }
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(world.upstream.take().is_empty());
    println!("{} of {cases} reached the service, {} with a body", reached.get(), bodies.get());
    assert!(reached.get() > cases / 20, "only {} requests were good enough to be looked at", reached.get());
    assert!(bodies.get() > cases / 100, "only {} bodies were looked at", bodies.get());
}

#[test]
fn what_was_decided_is_what_is_forwarded_over_http1() {
    hold(Version::Http1, |stream, asked| {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut wire = Wire::new(stream);
        let _closed = wire.send(&asked.http1());
        // The answer's head comes after the service has been asked.
        let _answer = wire.head();
    });
}

#[test]
fn what_was_decided_is_what_is_forwarded_over_http2() {
    hold(Version::Http2, |stream, asked| {
        let mut frames = Frames::over(stream, &[]);
        let _closed = frames.send(&asked.http2());
        let _ended = frames.ended(1);
    });
}
