//! One line for each request.

mod line;
mod lines;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use countersign_auth::dialect::Scheme;
use countersign_auth::identity::Identity;
use countersign_auth::refusal::{Cause, Reason, Refusal, Tried};
use http::{Method, StatusCode, Version};
use tokio::time::Instant;

use crate::address::{Peer, RequestId};
use crate::body::BodyError;
use crate::forward::ForwardError;
use crate::gate::{ApiIndex, ApiMount};
use crate::listen::{Connection, Untaken};
use crate::metrics::{ApiMetrics, UpstreamFault};
use crate::worker::{LocalGate, Worker};

pub use self::line::LineFormat;
pub(crate) use self::lines::Lines;
pub use self::lines::{Access, AccessLog};

use self::line::LineWriter;

/// What access lines say that they are, as `tracing` names the place that a line comes from.
pub const TARGET: &str = "access";

/// The end of a request: whenever and however that comes, it is counted and logged once, when this is dropped.
pub(crate) struct Tail {
    worker: Rc<Worker>,
    gate: Rc<LocalGate>,
    connection: Arc<Connection>,
    started: Instant,
    status: Option<StatusCode>,
    upstream: Option<Duration>,
    /// How long its answer took, if it goes on after that.
    answered_in: Option<Duration>,
    sent_bytes: u64,
    facts: Facts,
    /// Whether the request was counted as begun, at the API that it turned out to be for.
    begun: bool,
    broke_off: Option<&'static str>,
    /// Whether the head of the answer is all that is asked for.
    is_head: bool,
    /// `None` where nobody reads.
    line: Option<Line>,
}

/// What is known of a request. Whatever is not known stays empty.
#[derive(Debug, Default)]
struct Facts {
    /// Which API it is for.
    api: Option<ApiIndex>,
    /// Why it was refused, or the service failed.
    reason: Option<Reason>,
    /// What administrators should know beside that.
    cause: Option<Cause>,
    /// Whose request it is, and how that was proven. This and what follows is only set where the gate keeps an access log.
    who: Option<Identity>,
    /// What a refused credential was to prove: nobody has proven that.
    tried: Option<Box<Tried>>,
    /// The name of the API's dialect.
    dialect: Option<Arc<str>>,
    /// The host that was asked for, where no API is there.
    host: Option<Box<str>>,
    /// The path with secrets cut.
    path: Option<Arc<str>>,
}

struct Line {
    id: RequestId,
    method: Method,
    peer: std::net::IpAddr,
    version: Version,
}

impl Tail {
    /// Begins a request.
    pub(crate) fn new(worker: &Rc<Worker>, gate: &Rc<LocalGate>, connection: &Arc<Connection>) -> Self {
        connection.request_began();
        Self {
            worker: Rc::clone(worker),
            gate: Rc::clone(gate),
            connection: Arc::clone(connection),
            started: Instant::now(),
            status: None,
            upstream: None,
            answered_in: None,
            sent_bytes: 0,
            facts: Facts::default(),
            begun: false,
            broke_off: None,
            is_head: false,
            line: None,
        }
    }

    /// Whether nothing may follow the answer's head that the engine would send: over HTTP/2 it does not look at the method.
    pub(crate) fn ends_with_head(&self) -> bool {
        self.is_head && self.connection.is_shared()
    }

    /// Notes what is asked, and by whom where somebody reads that.
    pub(crate) fn asked(&mut self, method: &Method, peer: &Peer) {
        self.is_head = *method == Method::HEAD;
        if self.gate.access.is_some() {
            self.line = Some(Line {
                id: peer.request,
                method: method.clone(),
                peer: peer.address,
                version: peer.version,
            });
        }
    }

    /// The connection that it came on.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The core's list of what was not taken, where the answer shares its connection with others.
    pub(crate) fn untaken(&self) -> Option<&Rc<Untaken>> {
        self.connection.is_shared().then(|| self.worker.untaken())
    }

    /// Whether somebody reads what is noted here.
    pub(crate) fn is_read(&self) -> bool {
        self.line.is_some()
    }

    /// Notes which API it is for: it counts as begun there.
    pub(crate) fn found(&mut self, mount: &ApiMount) {
        if self.begun {
            return;
        }
        self.facts.api = Some(mount.index);
        if self.is_read() {
            self.facts.dialect = Some(Arc::clone(&mount.api.dialect().name));
        }
        mount.metrics.begun(self.worker.index());
        self.begun = true;
    }

    /// Notes the host that was asked for, where no API is there.
    pub(crate) fn at_nobodys_host(&mut self, host: &str) {
        self.facts.host = self.is_read().then(|| host.into());
    }

    /// Notes the path, secrets cut.
    pub(crate) fn at_path(&mut self, path: Arc<str>) {
        self.facts.path = Some(path);
    }

    /// Whether the path is noted.
    pub(crate) fn has_path(&self) -> bool {
        self.facts.path.is_some()
    }

    /// Notes who has proven to be its caller.
    pub(crate) fn is_by(&mut self, identity: &Identity) {
        self.facts.who = self.is_read().then(|| identity.clone());
    }

    /// Notes why it is refused, and what was tried.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        if self.is_read() {
            self.facts.tried.clone_from(&refusal.tried);
        }
        self.metrics().refused(self.worker.index(), refusal.reason);
        self.because(refusal.reason, refusal.cause.clone());
    }

    /// Notes why the client does not get the upstream's answer.
    pub(crate) fn kept_back(&mut self, why: &Refusal) {
        if why.reason == Reason::Upstream {
            self.metrics().fault(self.worker.index(), UpstreamFault::Broken);
        } else {
            self.metrics().refused(self.worker.index(), why.reason);
        }
        self.because(why.reason, why.cause.clone());
    }

    /// Notes how the upstream failed.
    pub(crate) fn upstream_failed(&mut self, error: &ForwardError) {
        match error.fault() {
            Some(fault) => self.metrics().fault(self.worker.index(), fault),
            None => self.metrics().refused(self.worker.index(), error.reason()),
        }
        self.because(error.reason(), error.chain().into());
    }

    fn because(&mut self, reason: Reason, cause: Cause) {
        (self.facts.reason, self.facts.cause) = (Some(reason), Some(cause));
    }

    /// Notes how long the upstream took to answer.
    pub(crate) fn upstream_took(&mut self, took: Duration) {
        self.upstream = Some(took);
    }

    /// Notes the status that the client gets.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Notes that what comes now is no answer any more: how long that takes says nothing of how quick answers are.
    pub(crate) fn leaves_http(&mut self) {
        self.answered_in = Some(self.started.elapsed());
    }

    /// Notes a piece of the body.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// How much of the body was handed out.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Notes that the answer ends before its end.
    pub(crate) fn broke_off(&mut self, error: &BodyError) {
        let fault = match error {
            BodyError::Broken(_) | BodyError::Trailers(_) => Some(UpstreamFault::Broken),
            BodyError::Stalled(_) => Some(UpstreamFault::Late),
            BodyError::Revoked => None,
        };
        if let Some(fault) = fault {
            self.metrics().fault(self.worker.index(), fault);
        }
        self.ended(match error {
            BodyError::Broken(_) | BodyError::Trailers(_) => "the upstream broke off in its answer",
            BodyError::Stalled(_) => {
                "the upstream stood still in its answer for longer than upstream.body_timeout"
            }
            BodyError::Revoked => "the session was revoked",
        });
    }

    /// Notes why it does not go on.
    pub(crate) fn ended(&mut self, why: &'static str) {
        self.broke_off = Some(why);
    }

    fn metrics(&self) -> &ApiMetrics {
        match self.facts.api.and_then(|api| self.gate.api(api)) {
            Some(mount) => &mount.metrics,
            None => &self.gate.metrics.none,
        }
    }

    fn log(&self, line: &Line, took: Duration) {
        let Some(access) = &self.gate.access else { return };
        let message =
            if self.status.is_some() { "request answered" } else { "request abandoned by its client" };
        self.worker
            .lines()
            .add(access, self.gate.clock.now(), message, |writer| self.write(line, took, writer));
    }

    fn write(&self, line: &Line, took: Duration, to: &mut LineWriter<'_>) {
        let facts = &self.facts;
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        to.word("request.id", &line.id.digits());
        to.word("http.method", line.method.as_str().as_bytes());
        if let Some(path) = &facts.path {
            to.text("http.path", path);
        }
        if let Some(status) = self.status {
            to.number("http.status", status.as_u16().into());
        }
        to.word("http.version", version_name(line.version).as_bytes());
        to.number("sent.bytes", self.sent_bytes);
        to.number("micros", micros(took));
        if let Some(took) = self.upstream {
            to.number("upstream.micros", micros(took));
        }
        if line.peer == self.connection.address.ip() {
            to.word("peer.address", self.connection.forwarded_for.as_bytes());
        } else {
            to.word("peer.address", line.peer.to_string().as_bytes());
        }
        to.text("listener", &self.connection.listener);
        if let Some(mount) = facts.api.and_then(|api| self.gate.api(api)) {
            to.text("api", mount.api.name());
        }
        let who = facts.who.as_ref();
        let account = who.and_then(Identity::account);
        // Whoever was tried proved nothing: his account has other names than that of whoever did.
        let credential = facts.tried.as_ref().and_then(|tried| tried.credential.as_deref());
        let tried = facts.tried.as_ref().and_then(|tried| tried.account.as_ref());
        let texts = [
            ("http.host", facts.host.as_deref()),
            ("dialect", facts.dialect.as_deref()),
            ("auth.credential", credential.or_else(|| Some(who?.credential()))),
            ("auth.scheme", who.and_then(Identity::scheme).map(Scheme::name)),
            ("auth.reason", facts.reason.map(Reason::name)),
            ("auth.cause", facts.cause.as_deref()),
            ("auth.tried.kind", tried.map(|account| &*account.kind)),
            ("auth.tried.name", tried.and_then(|account| account.logged_name())),
            ("account.kind", account.map(|account| &*account.kind)),
            ("account.name", account.and_then(|account| account.logged_name())),
            ("account.issuer", account.and_then(|account| Some(&*account.issuer.as_ref()?.name))),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                to.text(name, text);
            }
        }
        // The number of somebody who has no account here says nothing.
        for (name, account) in [("auth.tried.id", tried), ("account.id", account)] {
            if let Some(account) = account.filter(|account| !account.is_foreign()) {
                to.number(name, account.id.0);
            }
        }
        if let Some(broke_off) = self.broke_off {
            to.text("broke_off", broke_off);
        }
    }
}

/// As `http` prints it.
fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP",
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let now_ms = self.worker.pulse().now_ms();
        // A front takes back what many people take back, or what a service that hangs leaves it waiting for: its connection
        // is not ended over that, with all others' requests on it.
        let is_answered = self.status.is_some() || self.gate.is_front(self.connection.address.ip());
        self.connection.request_closed(is_answered, now_ms);
        self.connection.request_ended(now_ms);
        let took = self.started.elapsed();
        // nginx's number for a client that went away before its answer.
        let status = self.status.or_else(|| StatusCode::from_u16(499).ok()).unwrap_or_default();
        if !self.begun {
            self.metrics().begun(self.worker.index());
        }
        self.metrics().ended(self.worker.index(), status, self.answered_in.unwrap_or(took));
        if self.worker.untaken().ends_left() {
            self.broke_off =
                Some("the client took nothing of the answer for longer than limits.write_timeout");
        }
        if let Some(line) = &self.line {
            self.log(line, took);
        }
    }
}
