//! What the tests of the data plane share: gates, rules in place of `admit`, raw upstreams and raw clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

pub(crate) mod client;
pub(crate) mod ports;
pub(crate) mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_auth::account::{Account, AccountId, Live};
use countersign_auth::api::Api;
use countersign_auth::assertion::Minted;
use countersign_auth::port::services::ServiceAnswer;
use countersign_auth::refusal::{Reason, Refusal};
use countersign_auth::time::Time;
use http::{HeaderMap, Response, StatusCode, request, response};

use crate::address::{Fronts, Networks, Peer};
use crate::admission::{Admission, Finishing, Forward, Handler, KeptBack, Upgrade};
use crate::body::{Body, Bound, Inbound, ReadError};
use crate::forward::ForwardError;
use crate::gate::{ApiOptions, Gate, GateError, GateOptions, Place};
use crate::hop::Protected;
use crate::limits::Limits;
use crate::listen::{Http2, Listener};
use crate::log::Tail;
use crate::metrics::Metrics;
use crate::serve::{Running, ServeOptions, start_with};
use crate::strict;
use crate::upstream::{Upstream, UpstreamOptions};

/// No test waits longer than this for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the rules read whole at most.
pub(crate) const BUFFER_MAX: usize = 8 * 1024 * 1024;

/// An account of which nothing is known but that it lives.
pub(crate) fn account(live: Live) -> Account {
    Account {
        id: AccountId(1),
        kind: "users".into(),
        minted: Minted::default(),
        live,
        proofs_from: Time::from_unix_secs(0),
        tenant: None,
        roles: Vec::new(),
        subject: String::new(),
        name: "".into(),
        full_name: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        keys: BTreeMap::new(),
        issuer: None,
    }
}

/// A gate with these APIs and places; their upstream is never asked.
pub(crate) fn gate(apis: Vec<(&str, Vec<Place>)>) -> Result<Gate, GateError> {
    gate_of(apis.into_iter().map(|(name, places)| (plain_api(name), places)).collect())
}

/// The same of these APIs.
pub(crate) fn gate_of(apis: Vec<(Api, Vec<Place>)>) -> Result<Gate, GateError> {
    let upstream = Upstream::new(UpstreamOptions::new("nowhere", "http://127.0.0.1:1").unwrap()).unwrap();
    let apis = apis
        .into_iter()
        .map(|(api, places)| ApiOptions {
            api: Arc::new(api),
            places,
            upstream: Arc::clone(&upstream),
            cors: None,
        })
        .collect();
    Gate::new(options(apis))
}

/// A gate's options with ports that nobody is behind.
pub(crate) fn options(apis: Vec<ApiOptions>) -> GateOptions {
    GateOptions {
        apis,
        lookups: Arc::new(ports::Nobody),
        operations: Arc::new(ports::Nobody),
        signer: Arc::new(ports::Nobody),
        negotiation: None,
        objects: Arc::new(ports::Nobody),
        services: Arc::new(countersign_auth::port::services::NoServices),
        clock: Arc::new(ports::Nobody),
        random: Arc::new(ports::Nobody),
        limits: Limits { tick: Duration::from_millis(5), ..Limits::default() },
        fronts: Fronts::default(),
        protected: Protected::new(["Countersign-Assertion", "X-User"]),
        metrics: Metrics::new(2),
        access: None,
        request_id: None,
    }
}

/// A data plane on loopback in front of one upstream, with rules in place of `admit`.
pub(crate) struct Setup {
    pub(crate) upstream: UpstreamOptions,
    pub(crate) gate: GateOptions,
    pub(crate) listener: Listener,
    pub(crate) rules: Rules,
    pub(crate) cores: usize,
}

impl Setup {
    /// In front of the servers at these addresses.
    pub(crate) fn before(backends: &[SocketAddr]) -> Self {
        let mut upstream = UpstreamOptions::new("test", "http://127.0.0.1:1").unwrap();
        upstream.backends = backends
            .iter()
            .map(|address| crate::upstream::BackendAddress {
                host: address.ip().to_string(),
                port: address.port(),
            })
            .collect();
        Self {
            upstream,
            gate: options(Vec::new()),
            listener: Listener {
                name: "main".into(),
                address: "127.0.0.1:0".parse().unwrap(),
                tls: None,
                proxy_protocol: Networks::default(),
                http2: Http2::On,
            },
            rules: Rules::default(),
            cores: 1,
        }
    }

    pub(crate) fn start(mut self) -> Plane {
        let upstream = Upstream::new(self.upstream).unwrap();
        self.gate.apis.push(ApiOptions {
            api: Arc::new(plain_api("test")),
            places: Vec::new(),
            upstream,
            cors: None,
        });
        let metrics = Arc::clone(&self.gate.metrics);
        let gate = Gate::new(self.gate).unwrap();
        let options = ServeOptions { listeners: vec![self.listener], cores: NonZeroUsize::new(self.cores) };
        let running = start_with(gate, options, self.rules).unwrap();
        let address = running.address("main").unwrap();
        Plane { running, address, metrics }
    }
}

/// A data plane that serves.
pub(crate) struct Plane {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
}

impl Plane {
    /// Stops it, and says how many connections had to be cut.
    pub(crate) fn stop(self) -> usize {
        self.running.shutdown(PATIENCE);
        self.running.wait().unwrap()
    }
}

/// Stands where `admit` stands.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// Set on every request.
    pub(crate) set: HeaderMap,
    /// Lets WebSocket through.
    pub(crate) websocket: bool,
    /// What channels hang on.
    pub(crate) live: Option<Live>,
    /// Reads the whole body before it goes on.
    pub(crate) buffered: bool,
    /// Answers requests for `/own` itself.
    pub(crate) own: Option<&'static str>,
}

impl Handler for Rules {
    type Finish = TestFinish;

    fn turned_away(
        &self,
        _gate: &Gate,
        _head: &request::Parts,
        _peer: &Peer,
        _tail: &mut Tail,
        _refusal: &Refusal,
    ) -> Option<Response<Bytes>> {
        None
    }

    async fn admit(
        &self,
        gate: &Gate,
        head: request::Parts,
        mut body: Inbound,
        peer: &Peer,
        tail: &mut Tail,
    ) -> Admission<TestFinish> {
        let api = &gate.apis()[0];
        tail.found(api);
        tail.at_path(head.uri.path().into());
        if let (Some(own), "/own") = (self.own, head.uri.path()) {
            return Admission::Answer(Response::new(Bytes::from_static(own.as_bytes())));
        }
        if head.uri.path() == "/peer" {
            let text =
                format!("{} {:?} {} {}", peer.address, peer.source, peer.scheme.as_str(), peer.listener());
            return Admission::Answer(Response::new(text.into()));
        }
        if gate.protected.nominated_by(&head.headers, &Protected::default()).is_some() {
            return Admission::Answer(status(StatusCode::BAD_REQUEST));
        }
        let upgrade =
            if self.websocket && strict::is_websocket(&head) { Upgrade::WebSocket } else { Upgrade::No };
        let body = if self.buffered {
            let max = Bound { bytes: BUFFER_MAX, key: "a test's own" };
            match crate::body::read(&mut body, max, gate.limits.own_body).await {
                Ok(bytes) => Body::full(bytes),
                Err(ReadError::TooLarge(_) | ReadError::Trailers(_)) => {
                    return Admission::Answer(status(StatusCode::PAYLOAD_TOO_LARGE));
                }
                Err(ReadError::Late | ReadError::Broken(_)) => {
                    return Admission::Answer(status(StatusCode::BAD_REQUEST));
                }
            }
        } else {
            Body::streaming(body)
        };
        Admission::Forward(Box::new(Forward {
            head,
            body,
            set: self.set.clone(),
            api: api.index,
            upstream: Arc::clone(&api.upstream),
            upgrade,
            watch: self.live.clone().map(Into::into),
            finish: TestFinish,
        }))
    }
}

/// Marks answers, and says why there are none.
pub(crate) struct TestFinish;

impl Finishing for TestFinish {
    async fn finish(&self, _gate: &Gate, head: &mut response::Parts) -> Result<(), Box<KeptBack>> {
        if head.headers.contains_key("x-replace") {
            let why = Refusal::new(Reason::Upstream, "a test replaces it");
            return Err(Box::new(KeptBack { why, instead: Response::new("replaced".into()) }));
        }
        head.headers.insert("x-finished", http::HeaderValue::from_static("yes"));
        Ok(())
    }

    async fn served(
        self,
        _gate: &Gate,
        answer: Result<ServiceAnswer, Refusal>,
    ) -> (Response<Bytes>, Option<Refusal>) {
        (Response::new(answer.map(|answer| answer.body).unwrap_or_default()), None)
    }

    fn failed(&self, _gate: &Gate, why: ForwardError) -> Response<Bytes> {
        let reason = why.reason();
        let mut response = status(StatusCode::from_u16(reason.status()).unwrap());
        *response.body_mut() = reason.name().into();
        response
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// An API that looks at nothing: the rules are not what these tests are about.
pub(crate) fn plain_api(name: &str) -> Api {
    api_with(name, "")
}

/// The same, with further lines of the dialect.
pub(crate) fn api_with(name: &str, lines: &str) -> Api {
    let text = r#"
schema = 1
name = "plain"
# lines
[surface.all]
at = "/**"
accepts = ["anonymous"]
errors = "all"
[errors.all.any]
text = "{{ message }}"
"#;
    let dialect = countersign_auth::dialect::Dialect::load("plain", &text.replace("# lines", lines)).unwrap();
    let options = countersign_auth::api::ApiOptions { name: name.to_owned(), ..Default::default() };
    Api::new(Arc::new(dialect), options).unwrap()
}
