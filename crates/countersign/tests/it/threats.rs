//! The attacks of `THREATS.md`, each tried against a real gate: what the client gets, and what the service behind
//! the gate sees of it.
//!
//! Tests are called after the ids of that file: `a1_...` is T-A1. For every refusal there is the nearest request
//! that passes.

mod addressed;
mod answers;
mod bad_days;
mod beside;
mod centres;
mod challenges;
mod claims;
mod descriptors;
mod directories;
mod failing;
mod floods;
mod forwarding;
mod framing;
mod fronts;
#[cfg(target_os = "linux")]
mod full;
pub(crate) mod heard;
mod held;
mod holders;
mod hops;
mod issuers;
mod lasting;
mod lockouts;
mod logins;
mod neighbours;
mod origins;
mod own_calls;
mod pages;
mod people;
mod proofs;
mod realms;
mod renewals;
mod revocation;
mod sessions;
mod sockets;
mod starting;
mod table;
mod tokens;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::dialect::Dialect;
use countersign_gateway::address::{ForwardingFields, Fronts, Networks};
use countersign_gateway::limits::Limits;
use countersign_gateway::upstream::Times;

use crate::raw::{Answer, Client};
use crate::upstream::Received;
use crate::world::setting::Setting;
use crate::world::{ASSERTION, Keeping, World};

/// A gate under attack.
pub(crate) struct Ground {
    pub(crate) world: World,
    setting: Setting,
    dialect: Arc<Dialect>,
}

/// What came of a request.
pub(crate) struct Told {
    /// Its first line, for messages.
    asked: String,
    pub(crate) answer: Answer,
    pub(crate) seen: Vec<Received>,
}

fn dialect_of(name: &str, text: &str) -> Arc<Dialect> {
    Dialect::load(&format!("dialects/{name}/dialect.toml"), text)
        .map(Arc::new)
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Fronts on the loopback interface, with these fields.
fn fronts(fields: ForwardingFields) -> Fronts {
    Fronts { networks: Networks::new(["127.0.0.0/8".parse().unwrap()]), fields }
}

/// The value of an `Authorization` header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl Ground {
    /// The world that the transcripts of a dialect assume.
    fn of(dialect: &str) -> Self {
        Self::made(dialect, Setting::of(dialect), &Setting::dialect_text(dialect), Fronts::default())
    }

    /// The same behind fronts that are believed.
    fn behind(dialect: &str, fronts: Fronts) -> Self {
        Self::made(dialect, Setting::of(dialect), &Setting::dialect_text(dialect), fronts)
    }

    /// Another world, behind other limits; a service that says nothing is waited for as long as by default.
    pub(crate) fn limited(dialect: &str, world: &str, limits: Limits) -> Self {
        Self::limited_in(dialect, world, limits, Times::default().head)
    }

    /// The same, with a service that may say nothing for so long.
    pub(crate) fn limited_in(dialect: &str, world: &str, limits: Limits, silence: Duration) -> Self {
        let setting = Setting::from_text(dialect, "a test's world", world);
        let loaded = dialect_of(dialect, &Setting::dialect_text(dialect));
        let world = World::limited(&setting, &loaded, limits, silence).unwrap();
        Self { world, setting, dialect: loaded }
    }

    /// Another world.
    fn with(dialect: &str, world: &str) -> Self {
        let setting = Setting::from_text(dialect, "a test's world", world);
        Self::made(dialect, setting, &Setting::dialect_text(dialect), Fronts::default())
    }

    /// Another world, some of whose APIs speak other dialects: names and texts.
    fn with_others(dialect: &str, world: &str, others: &[(&str, String)]) -> Self {
        let others = others.iter().map(|(name, text)| dialect_of(name, text)).collect();
        let setting = Setting::with_others(dialect, "a test's world", world, others);
        Self::made(dialect, setting, &Setting::dialect_text(dialect), Fronts::default())
    }

    fn made(name: &str, setting: Setting, text: &str, fronts: Fronts) -> Self {
        let dialect = dialect_of(name, text);
        let world = World::behind(&setting, &dialect, Keeping::Memory, fronts).unwrap();
        Self { world, setting, dialect }
    }

    /// A second gate over the same store that has not loaded its tokens.
    fn still_loading(&self) -> Self {
        let world = self.world.still_loading(&self.setting, &self.dialect).unwrap();
        let setting = Setting::from_text(&self.dialect.name, "nothing", "api = []");
        Self { world, setting, dialect: Arc::clone(&self.dialect) }
    }

    /// Sends a request on a connection of its own: lines end with `\n` here, a body follows the empty line, and
    /// its length is told unless the request says how it is framed.
    pub(crate) fn send(&self, request: &str) -> Told {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines: Vec<String> = head.split('\n').map(str::to_owned).collect();
        let lower = head.to_ascii_lowercase();
        if !body.is_empty() && !lower.contains("\ncontent-length:") && !lower.contains("\ntransfer-encoding:")
        {
            lines.push(format!("Content-Length: {}", body.len()));
        }
        self.send_bytes(format!("{}\r\n\r\n{body}", lines.join("\r\n")).as_bytes())
    }

    /// Sends these bytes on a connection of its own.
    pub(crate) fn send_bytes(&self, request: &[u8]) -> Told {
        let text = String::from_utf8_lossy(request);
        let asked: String = text.chars().take(160).collect();
        let answer = Client::new(self.world.address).exchange(0, request);
        let answer = answer.unwrap_or_else(|error| panic!("{asked}: {error}"));
        Told { asked, answer, seen: self.world.upstream.take() }
    }
}

impl Told {
    pub(crate) fn status(&self) -> u16 {
        self.answer.head.status()
    }

    pub(crate) fn body(&self) -> String {
        String::from_utf8_lossy(&self.answer.body).into_owned()
    }

    /// The answer, but for what differs from one moment to the next.
    pub(crate) fn bytes(&self) -> String {
        let lines = self.answer.head.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
        let lines: Vec<String> = lines.map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{}\n{}\n\n{}", self.answer.head.start, lines.join("\n"), self.body())
    }

    /// It was refused so, and the service saw nothing.
    #[track_caller]
    pub(crate) fn refused(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{}\n{}", self.asked, self.bytes());
        let seen: Vec<&str> = self.seen.iter().map(|received| received.head.start.as_str()).collect();
        assert!(seen.is_empty(), "{}: reached the service as {seen:?}", self.asked);
        self
    }

    /// The gate answered it itself, well.
    #[track_caller]
    pub(crate) fn answered(self) -> Self {
        assert!((200..400).contains(&self.status()), "{}\n{}", self.asked, self.bytes());
        assert!(self.seen.is_empty(), "{}: reached the service", self.asked);
        self
    }

    /// It reached the service once, with an assertion, and the service's answer came back.
    #[track_caller]
    pub(crate) fn passed(mut self) -> Received {
        assert_eq!(self.status(), 200, "{}\n{}", self.asked, self.bytes());
        assert_eq!(self.seen.len(), 1, "{}: times that it reached the service", self.asked);
        let received = self.seen.remove(0);
        assert_eq!(all(&received, ASSERTION).len(), 1, "{}: assertions", self.asked);
        received
    }

    /// The value of a cookie that the answer sets.
    #[track_caller]
    pub(crate) fn cookie(&self, name: &str) -> String {
        let wanted = format!("{name}=");
        let set = self.answer.head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let value =
            set.filter_map(|(_, value)| value.strip_prefix(&wanted)).find_map(|rest| rest.split(';').next());
        value.unwrap_or_else(|| panic!("{}: sets no {name}\n{}", self.asked, self.bytes())).to_owned()
    }

    /// The text of a member of the answer's JSON that is a string, wherever it stands.
    #[track_caller]
    pub(crate) fn member(&self, name: &str) -> String {
        let value: serde_json::Value = serde_json::from_slice(&self.answer.body).unwrap();
        let found = value.pointer(name).and_then(|value| value.as_str());
        found.unwrap_or_else(|| panic!("{}: has no {name}\n{}", self.asked, self.bytes())).to_owned()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        let value = self.answer.head.header(name);
        value.unwrap_or_else(|| panic!("{}: has no {name}\n{}", self.asked, self.bytes())).to_owned()
    }
}

/// All values of a header that the service saw.
pub(crate) fn all<'r>(received: &'r Received, name: &str) -> Vec<&'r str> {
    let same = received.head.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    same.map(|(_, value)| value.as_str()).collect()
}

/// The lines of the head that the service saw with these words in them.
fn lines_with(received: &Received, words: &str) -> Vec<String> {
    let lines = received.head.headers.iter().map(|(name, value)| format!("{name}: {value}"));
    lines.filter(|line| line.contains(words)).collect()
}

/// The claims of the assertion that the service saw.
fn claims(received: &Received) -> serde_json::Value {
    claims_of(received.head.header(ASSERTION).unwrap())
}

/// The claims of an assertion.
pub(crate) fn claims_of(assertion: &str) -> serde_json::Value {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}
