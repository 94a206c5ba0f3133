//! One canonical request: what was decided is what is forwarded.
//!
//! Requests are put together from what gateways were confused with, and sent over HTTP/1.1 and HTTP/2. Most are
//! refused. Of each that reaches the service, what the service got is compared three times: with what the gate says
//! that it decided on, in the request's access line; with what was sent, read by the letter; and with what this
//! caller may do, at the API whose name the assertion says, when a careless server reads it.

mod asked;
mod readers;
mod strange;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use countersign_auth::canonical::path::CanonicalPath;
use countersign_auth::dialect::Dialect;
use countersign_gateway::limits::Limits;
use countersign_gateway::upstream::Times;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::net::TcpSocket;

use self::asked::{Asked, METHODS, NUMBER, OWN, SUM, connection};
use self::readers::{by_the_letter, careless, target};
use self::strange::{Fate, shown};
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

/// Credentials that ride in a query and in a cookie. No API here accepts them; they stay behind nevertheless.
const RIDES: &str = r#"
[token.ride]
kind = "session"
form = "{base64url:43}"
lifetime = "1h"

[credential.ticket]
scheme      = "token"
token       = "ride"
accounts    = "customers"
from        = "query ticket"
deployments = []

[credential.crumb]
scheme      = "token"
token       = "ride"
accounts    = "customers"
from        = "cookie Crumb"
deployments = []

[csrf]
from     = "header X-Proof"
form     = "{base64url:43}"
bound_to = "ride"
for      = ["crumb"]
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

/// A line is written right after its answer; what takes longer is not written.
const LINE_DEADLINE: Duration = Duration::from_secs(60);

impl Decided {
    /// Whether the log says so of a request that came from there; several may have come on one connection, of which some differ by their host
    /// alone.
    fn logged(
        hearing: &Hearing,
        client: Ipv4Addr,
        method: &str,
        path: &str,
        api: &str,
    ) -> Result<(), String> {
        let (whose, deadline) = (format!("peer.address={client} listener="), Instant::now() + LINE_DEADLINE);
        loop {
            let lines = hearing.so_far().into_iter().filter(|line| line.contains(&whose));
            let lines: Vec<Self> = lines.map(|line| Self { line }).collect();
            let is_it = |one: &Self| {
                (one.word("http.method"), one.word("http.path"), one.word("api")) == (method, path, api)
            };
            match lines.iter().find(|one| is_it(one)) {
                Some(_) => return Ok(()),
                None if Instant::now() > deadline => {
                    let lines: Vec<_> = lines.iter().map(|one| one.line.as_str()).collect();
                    return Err(format!(
                        "{method} {path} at {api}: no line of the log says so, but {lines:?}"
                    ));
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
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
    hearing: &Hearing,
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
    let (api, _) = api_at(all(seen, "host").first().unwrap_or(&""))?;
    Decided::logged(hearing, client, method, path, api)?;
    // What was sent.
    let (authority, sent_path, sent_query) = target(&asked.target, version == Version::Http2);
    equal("method", method, asked.method)?;
    if !METHODS[..7].contains(&method) {
        return Err(format!("no rule is about {method}"));
    }
    equal("path", by_the_letter(path), by_the_letter(sent_path))?;
    equal("query", query, without_tickets(&shown(sent_query)))?;
    // The engine drops it where it stands in the first part of a block; then it means nothing, as all that follows shows.
    if version == Version::Http2 && asked.pseudo.is_some() && !asked.is_in_parts() {
        return Err(format!("{:?} is no head of HTTP/2", asked.pseudo));
    }
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
    is_allowed(asked, seen, method, path, host)
}

/// A query without the parameter that is a credential, as a service reads its names.
fn without_tickets(query: &str) -> String {
    let is_ticket = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        matches!(&by_the_letter(name)[..], [name] if name == b"ticket")
    };
    query.split('&').filter(|pair| !is_ticket(pair)).collect::<Vec<_>>().join("&")
}

/// The name and the port of a host that stands at one of the APIs.
fn place(host: &str) -> Result<(String, u16), String> {
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let port = if port.is_empty() { Ok(80) } else { port.parse() };
    let port = port.map_err(|_| format!("{host:?} has no port that everybody reads"))?;
    Ok((name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(), port))
}

/// The API at a host, and how many segments its prefix has.
fn api_at(host: &str) -> Result<(&'static str, usize), String> {
    match host.split(':').next().unwrap_or_default() {
        "a.example" => Ok(("shop", 0)),
        "b.example" => Ok(("depot", 1)),
        other => Err(format!("nobody is at {other}")),
    }
}

/// Everything in the head is the gate's, or was sent so and is nobody's business.
fn fields_are_as_sent(
    asked: &Asked,
    seen: &Received,
    version: Version,
    host: &str,
    client: Ipv4Addr,
) -> Result<(), String> {
    let sent = |wanted: &str| -> Vec<String> {
        asked.fields.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| shown(value)).collect()
    };
    equal(NUMBER, all(seen, NUMBER), [asked.number.as_str()])?;
    if let Some(field) = &asked.strange {
        let wanted = match field.fate() {
            Fate::Refused => return Err(format!("{field:?} reached the service")),
            Fate::Gone => Vec::new(),
            Fate::Kept => vec![shown(&field.value).trim_matches([' ', '\t']).to_owned()],
        };
        // What the gate says by these names is looked at below.
        if !["X-Forwarded-For", "Countersign-Assertion"].contains(&field.name.as_str()) {
            equal(&field.name, all(seen, &field.name), wanted)?;
        }
    }
    cookies_are_as_sent(asked, seen)?;
    // In HTTP/2 nobody nominates, and `TE` that says more than `trailers` is dropped.
    let nominated =
        version == Version::Http1 && sent("Connection").iter().any(|value| value == "x-nominated");
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
        "trailer",
        "cookie",
        NUMBER,
    ];
    let strange = asked.strange.as_ref().map(|field| field.name.as_str());
    let known = |name: &str| {
        OWN.iter().chain(&gates).copied().chain(strange).any(|known| known.eq_ignore_ascii_case(name))
    };
    match seen.head.headers.iter().find(|(name, _)| !known(name)) {
        Some((name, value)) => Err(format!("`{name}: {value}` went on")),
        None => Ok(()),
    }
}

/// One field of all cookies that are no credentials, in their order.
fn cookies_are_as_sent(asked: &Asked, seen: &Received) -> Result<(), String> {
    let pairs = |text: &str| -> Vec<String> { text.split("; ").map(str::to_owned).collect() };
    let mut wanted: Vec<String> = asked.cookies.iter().flat_map(|cookies| pairs(cookies)).collect();
    wanted.retain(|pair| !pair.starts_with("Crumb="));
    match &all(seen, "cookie")[..] {
        [] => equal("cookies", Vec::<String>::new(), wanted),
        [one] => equal("cookies", pairs(one), wanted),
        several => Err(format!("several fields of cookies: {several:?}")),
    }
}

/// This caller may do what a careless server takes the request for.
fn is_allowed(asked: &Asked, seen: &Received, method: &str, path: &str, host: &str) -> Result<(), String> {
    let [assertion] = all(seen, ASSERTION)[..] else { return Err("not one assertion".to_owned()) };
    let claims = crate::threats::claims_of(assertion);
    let (api, below) = api_at(host)?;
    equal("audience", &claims["aud"], api)?;
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
    let text = Setting::dialect_text("enactor") + RIDES;
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
fn hold(version: Version, send: impl Fn(TcpStream, &[Asked])) {
    let world = world();
    let [tried, reached, bodies, trailers, strange, tickets, crumbs, followed] =
        [const { Cell::new(0_u32) }; 8];
    let count = |cell: &Cell<u32>, is_one: bool| cell.set(cell.get() + u32::from(is_one));
    let cases = Config::default().cases.max(CASES);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&connection(), |mut asked| {
        count(&tried, true);
        for (at, one) in asked.iter_mut().enumerate() {
            one.number = format!("{}-{at}", tried.get());
        }
        let client = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + tried.get());
        let hearing = Hearing::begin();
        send(connected(&world, client), &asked);
        let mut numbers = BTreeSet::new();
        for seen in &world.upstream.take() {
            let number = seen.head.header(NUMBER).unwrap_or_default();
            let earlier = format!("{}-", tried.get() - 1);
            let Some(one) = asked.iter().find(|one| one.number == number) else {
                // One that came later than its answer, of the case before this: its address is another.
                if number.starts_with(&earlier) {
                    continue;
                }
                return Err(TestCaseError::fail(format!("nobody asked for {seen:?}")));
            };
            if !numbers.insert(number) {
                return Err(TestCaseError::fail(format!("{seen:?} came twice")));
            }
            count(&reached, true);
            count(&bodies, !seen.body.is_empty());
            count(&trailers, !seen.trailers.is_empty());
            count(&strange, one.strange.is_some());
            count(&tickets, one.target.contains("icket=hush"));
            count(&followed, !number.ends_with("-0"));
            count(&crumbs, one.cookies.iter().any(|cookie| cookie.contains("Crumb=")));
            check(one, seen, version, client, &hearing).map_err(TestCaseError::fail)?;
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let counts = [
        ("requests", &reached, cases / 20),
        ("bodies", &bodies, cases / 100),
        ("trailers", &trailers, cases / 500),
        ("strange fields", &strange, cases / 500),
        ("queries with a credential", &tickets, cases / 750),
        ("requests behind another", &followed, cases / 500),
        ("cookies that are credentials", &crumbs, cases / 500),
    ];
    for (what, seen, least) in counts {
        println!("{} {what} of {cases} cases reached the service", seen.get());
        assert!(seen.get() > least, "only {} {what} were looked at", seen.get());
    }
}

#[test]
fn what_was_decided_is_what_is_forwarded_over_http1() {
    hold(Version::Http1, |stream, asked| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut wire = Wire::new(stream);
        let _closed = wire.send(&asked.iter().flat_map(Asked::http1).collect::<Vec<_>>());
        // The answer's head comes after the service has been asked.
        for (at, one) in asked.iter().enumerate() {
            let Ok(Some(head)) = wire.head() else { break };
            let ends = head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let is_last = ends || at + 1 == asked.len();
            if is_last || (one.method != "HEAD" && wire.body(&head, false).is_err()) {
                break;
            }
        }
    });
}

#[test]
fn what_was_decided_is_what_is_forwarded_over_http2() {
    hold(Version::Http2, |stream, asked| {
        let mut frames = Frames::over(stream, &[]);
        for (one, stream) in asked.iter().zip([1, 3, 5]) {
            if frames.send(&one.http2(stream)).is_err() || frames.ended(stream) == Err(u32::MAX) {
                break;
            }
        }
    });
}
