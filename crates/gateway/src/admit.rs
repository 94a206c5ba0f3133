//! How a request flows: one function, [`admit`].

mod assertions;
mod call_body;
mod finish;
mod objects;
mod seen;
mod service;
mod turned_away;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use countersign_auth::api::{Api, Located};
use countersign_auth::authenticate::authenticate;
use countersign_auth::canonical::host::name_of;
use countersign_auth::canonical::path::{CanonicalPath, PathError};
use countersign_auth::fields::Fields;
use countersign_auth::intake::Taken;
use countersign_auth::link::Sharing;
use countersign_auth::objects::answer::Follow;
use countersign_auth::page::Page;
use countersign_auth::policy::{Decision, Permit, decide, decide_own, takes_method};
use countersign_auth::recognize::recognize;
use countersign_auth::refusal::{Reason, Refusal};
use countersign_auth::render::Rendered;
use countersign_auth::serve::serve;
use countersign_auth::time::Time;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, request};
use http_body::Body as _;

use crate::address::Peer;
use crate::admission::{Admission, Forward, Handler, Upgrade};
pub(crate) use crate::admit::assertions::forget_stale_assertions;
pub(crate) use crate::admit::finish::Finish;
use crate::admit::objects::Checked;
use crate::admit::seen::{Arrival, world};
use crate::body::{Body, Inbound};
use crate::cors::{Cors, ForeignPage};
use crate::gate::Gate;
use crate::log::Tail;
use crate::strict;
use crate::watch::Watch;

/// The gate's own handler.
pub(crate) struct Admit;

impl Handler for Admit {
    type Finish = Finish;

    async fn admit(
        &self,
        gate: &Gate,
        head: request::Parts,
        body: Inbound,
        peer: &Peer,
        tail: &mut Tail,
    ) -> Admission<Finish> {
        let now = gate.clock.now();
        let Some((mut visit, fault)) = Visit::arrive(gate, head, body, peer, tail, now) else {
            return plain(StatusCode::NOT_FOUND);
        };
        let cors = &visit.at.mount.cors;
        match cors.preflight(&visit.at.head) {
            None => {}
            Some(Ok(answer)) => return Admission::Answer(answer),
            Some(Err(ForeignPage { origin, answer })) => {
                let cause = format!("pages of {origin} are not among those of api.cors.origins");
                visit.note_refusal(&Refusal::new(Reason::Forbidden, cause));
                return Admission::Answer(answer);
            }
        }
        let origin = cors.asked_by(&visit.at.head.headers);
        let admitted = match fault {
            None => visit.admit().await,
            Some(error) => Err(Refusal::new(Reason::Malformed, error.to_string())),
        };
        let admission = match admitted {
            Ok(admission) => admission,
            Err(refusal) => match Box::pin(visit.last_word(&refusal)).await {
                Some(word) => word,
                None => visit.refuse(&refusal),
            },
        };
        told_to_pages(admission, cors, origin)
    }

    fn turned_away(
        &self,
        gate: &Gate,
        head: &request::Parts,
        peer: &Peer,
        tail: &mut Tail,
        refusal: &Refusal,
    ) -> Option<Response<Bytes>> {
        turned_away::words(gate, head, peer, tail, refusal)
    }
}

/// One request on its way through the rules.
struct Visit<'g> {
    at: Arrival<'g>,
    now: Time,
    body: Option<Body>,
    located: Option<Located>,
    /// Whether the path is one that was read, not what the client sent in its place.
    is_canonical: bool,
    tail: &'g mut Tail,
    upgrade: Upgrade,
}

impl<'g> Visit<'g> {
    /// Finds the API that a request is for, and what is wrong with its path, which is told in that API's words; `None` if no API
    /// is there.
    fn arrive(
        gate: &'g Gate,
        head: request::Parts,
        body: Inbound,
        peer: &'g Peer,
        tail: &'g mut Tail,
        now: Time,
    ) -> Option<(Self, Option<PathError>)> {
        let (path, fault): (Arc<str>, _) = match CanonicalPath::parse(head.uri.path()) {
            Ok(path) => (path.as_str().into(), None),
            Err(error) => (head.uri.path().into(), Some(error)),
        };
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let Some((mount, prefix)) = gate.find(peer.listener(), name_of(host), &path) else {
            tail.at_nobodys_host(host);
            tail.refused(&Refusal::new(Reason::NotFound, "no api is at this host and path"));
            return None;
        };
        tail.found(mount);
        let upgrade = if strict::is_websocket(&head) { Upgrade::WebSocket } else { Upgrade::No };
        let sharing =
            if mount.api.negotiates() { peer.sharing(&gate.fronts, &head) } else { Sharing::Shared };
        let visit = Self {
            at: Arrival { gate, mount, peer, sharing, head, path, prefix },
            now,
            located: None,
            is_canonical: fault.is_none(),
            tail,
            upgrade,
            body: Some(if body.is_end_stream() { Body::full(Bytes::new()) } else { Body::streaming(body) }),
        };
        Some((visit, fault))
    }

    /// The flow: take credentials out, locate, recognize, authenticate, then serve or authorize and forward.
    async fn admit(&mut self) -> Result<Admission<Finish>, Refusal> {
        let (gate, api) = (self.at.gate, &*self.at.mount.api);
        if let Some(name) = gate.protected.nominated_by(&self.at.head.headers, &self.at.mount.reads) {
            return Err(Refusal::new(Reason::Malformed, format!("the connection field nominates {name}")));
        }
        takes_method(api, &self.at.head.method, self.at.path_below())?;
        let taken = api.take(&mut self.at.head.headers, &self.at.mount.neighbours)?;
        let Read { fields, bytes } = self.read_body(&taken).await?;
        let now = self.now;
        let located = api.locate_request(&self.at.request(fields.as_ref(), bytes.as_deref()))?;
        let located = &*self.located.insert(located);
        note_path(self.tail, api.loggable_path(located, &self.at.path), &self.at.path);
        if fields.is_none() && located.reads_body() && self.body.as_ref().is_some_and(|body| !body.is_empty())
        {
            return Err(Refusal::new(
                Reason::MediaType,
                "the body is in an encoding that this call does not read",
            ));
        }
        let request = self.at.request(fields.as_ref(), bytes.as_deref());
        let presented = recognize(api, located, &request, &taken)?;
        let identity = authenticate(api, located, &request, &presented, &*gate.lookups, now).await?;
        self.tail.is_by(&identity);
        if !located.forwards() {
            decide_own(api, located, &identity, &self.at.head.method, self.at.path_below(), now)?;
        }
        if let Some(endpoint) = located.service().cloned() {
            return Box::pin(self.mounted(endpoint, identity)).await;
        }
        if !located.forwards() {
            let budget = gate.openings.of(self.at.peer.address);
            let world = world(gate, &budget, now);
            let here = self.at.here(now);
            let mut rendered =
                Box::pin(serve(api, located, &request, &taken, &identity, world, &here)).await?;
            let path = self.at.path_below();
            api.stamp(&self.at.head.method, path, &identity, world, &here, &mut rendered.headers)?;
            return Ok(Admission::Answer(response(rendered)));
        }
        let path = self.at.path_below();
        let Checked { permit, uri, follow } = match decide(api, identity, &self.at.head.method, path, now)? {
            Decision::Permit(permit) => Checked {
                permit,
                uri: canonical_target(api, &self.at.path, &self.at.head.uri)?,
                follow: None,
            },
            Decision::Objects(pending) => Box::pin(self.check_objects(pending)).await?,
        };
        self.admits_upgrade(&permit)?;
        let mut set = api.identity_headers(&permit, self.at.prefix, &*gate.lookups);
        set.insert(countersign_auth::assertion::HEADER, assertions::assertion(gate, api, &permit, self.now)?);
        Ok(self.forward(uri, &permit, set, follow))
    }

    /// Reads the body where something in it decides; it is sent on from memory then.
    async fn read_body(&mut self, taken: &Taken) -> Result<Read, Refusal> {
        let api = &self.at.mount.api;
        let content_type = self.at.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let path = self.at.path_below();
        let has_fields = api.reads_body(&self.at.head.method, path, taken, content_type);
        if !has_fields && !api.proof_covers_body(taken) {
            return Ok(Read::default());
        }
        // Nothing is ever decompressed: a few bytes could become gigabytes. What a proof covers is the bytes as sent.
        let mut codings = self.at.head.headers.get_all(CONTENT_ENCODING).iter();
        if has_fields && codings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::new(Reason::MediaType, "the body has a content coding, and is to be read"));
        }
        note_unlocated(self.tail, &self.at);
        let Some(body) = self.body.take() else { return Ok(Read::default()) };
        let limits = &self.at.gate.limits;
        let max = call_body::of_call(self.at.gate);
        let bytes = call_body::read(self.at.gate, &mut self.now, body, max).await?;
        let fields = if has_fields {
            call_body::fields(content_type, &api.encodings(&self.at.head.method, path), &bytes, limits.fields)
        } else {
            Ok(None)
        };
        self.body = Some(Body::full(bytes.clone()));
        Ok(Read { fields: fields?, bytes: Some(bytes) })
    }

    /// A browser opens a WebSocket for any page, with its cookies: only pages of this origin may (docs/recognition.md).
    fn admits_upgrade(&self, permit: &Permit) -> Result<(), Refusal> {
        if self.upgrade == Upgrade::No || !permit.upgrade() {
            return Ok(());
        }
        let pages = self.at.pages();
        let may = match pages.asking(&self.at.head.headers) {
            Page::Ours => true,
            // A browser names the page of every WebSocket.
            Page::Unnamed => !self.at.mount.api.is_ambient(permit.identity()),
            Page::Foreign => false,
        };
        if may { Ok(()) } else { Err(pages.refuse(&self.at.head.headers, "asks for a WebSocket")) }
    }

    fn forward(
        &mut self,
        uri: Uri,
        permit: &Permit,
        set: HeaderMap,
        follow: Option<Follow>,
    ) -> Admission<Finish> {
        let identity = permit.identity().clone();
        let watch = Watch::of(&identity, self.at.peer);
        let mut finish = Finish::new(&self.at, self.located.take(), identity);
        finish.follow = follow;
        let mut head = std::mem::replace(&mut self.at.head, empty_head());
        head.uri = uri;
        let upgrade = if permit.upgrade() { self.upgrade } else { Upgrade::No };
        Admission::Forward(Box::new(Forward {
            head,
            body: self.body.take().unwrap_or_else(|| Body::full(Bytes::new())),
            set,
            api: self.at.mount.index,
            upstream: Arc::clone(&self.at.mount.upstream),
            upgrade,
            watch,
            finish,
        }))
    }

    fn refuse(&mut self, refusal: &Refusal) -> Admission<Finish> {
        let here = self.at.here(self.now);
        let rendered = self.at.mount.api.refuse_at(self.located.as_ref(), refusal, &here);
        match &rendered.cause {
            None => self.note_refusal(refusal),
            Some(cause) => {
                let tried = refusal.tried.clone();
                self.note_refusal(&Refusal { tried, ..Refusal::new(Reason::Internal, cause.clone()) });
            }
        }
        Admission::Answer(response(rendered))
    }

    /// Notes why it is refused, and of what came before its call was found the path all the same.
    fn note_refusal(&mut self, refusal: &Refusal) {
        if self.is_canonical {
            note_unlocated(self.tail, &self.at);
        }
        self.tail.refused(refusal);
    }
}

/// Says in every answer whether the page that asked may read it.
fn told_to_pages(
    admission: Admission<Finish>,
    cors: &Cors,
    origin: Option<HeaderValue>,
) -> Admission<Finish> {
    match admission {
        Admission::Answer(mut response) => {
            cors.finish(origin.as_ref(), response.headers_mut());
            Admission::Answer(response)
        }
        Admission::Forward(mut forward) => {
            forward.finish.asked_by(origin);
            Admission::Forward(forward)
        }
        Admission::Later(mut later) => {
            later.finish.asked_by(origin.as_ref().and_then(finish::copied));
            Admission::Later(later)
        }
    }
}

/// What was read of a body.
#[derive(Default)]
struct Read {
    fields: Option<Fields>,
    /// All of it.
    bytes: Option<Bytes>,
}

/// [`canonical_uri`] of a target: itself, if nothing in it changes.
fn canonical_target(api: &Api, path: &str, target: &Uri) -> Result<Uri, Refusal> {
    let query = target.query();
    let is_query_kept =
        query.is_none_or(|query| !query.is_empty() && api.query_without_credentials(query) == query);
    match target.path_and_query() {
        Some(same) if is_query_kept && same.path() == path => Ok(Uri::from(same.clone())),
        Some(_) | None => canonical_uri(api, path, query),
    }
}

/// What was decided is what is forwarded: the canonical path, and the query without credentials.
///
/// # Errors
/// `malformed` if the canonical form, which escapes more, is longer than a target may be: the raw one never goes on.
fn canonical_uri(api: &Api, path: &str, query: Option<&str>) -> Result<Uri, Refusal> {
    let path = if path.is_empty() { "/" } else { path };
    let target = match query.map(|query| api.query_without_credentials(query)) {
        Some(query) if !query.is_empty() => format!("{path}?{query}").parse(),
        Some(_) | None => path.parse(),
    };
    target.map_err(|_invalid| {
        Refusal::new(Reason::Malformed, "the target has no canonical form that could be sent on")
    })
}

fn empty_head() -> request::Parts {
    http::Request::new(()).into_parts().0
}

/// Notes the path of a request whose call is not known yet, where nothing of it can be a secret.
fn note_unlocated(tail: &mut Tail, at: &Arrival<'_>) {
    if tail.is_read()
        && !tail.has_path()
        && let Some(shown) = at.mount.api.loggable_unlocated(&at.path, at.path_below())
    {
        note_path(tail, shown, &at.path);
    }
}

/// Notes a path as it may be shown.
fn note_path(tail: &mut Tail, shown: Cow<'_, str>, path: &Arc<str>) {
    if tail.is_read() {
        tail.at_path(match shown {
            Cow::Borrowed(_all) => Arc::clone(path),
            Cow::Owned(masked) => masked.into(),
        });
    }
}

fn plain(status: StatusCode) -> Admission<Finish> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    strict::kept_by_nobody(response.headers_mut());
    Admission::Answer(response)
}

fn response(rendered: Rendered) -> Response<Bytes> {
    let Rendered { status, phrase, headers, body, cause } = rendered;
    if let Some(cause) = cause {
        tracing::warn!(auth.cause = %cause, "sent an answer of its own in place of the dialect's");
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(phrase) =
        phrase.and_then(|phrase| hyper::ext::ReasonPhrase::try_from(phrase.into_bytes()).ok())
    {
        response.extensions_mut().insert(phrase);
    }
    response
}
