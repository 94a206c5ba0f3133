//! What is done to the upstream's answer.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign_auth::api::{Api, Located};
use countersign_auth::identity::Identity;
use countersign_auth::link::Sharing;
use countersign_auth::objects::answer::Follow;
use countersign_auth::port::services::{After, ServiceAnswer};
use countersign_auth::refusal::{Reason, Refusal};
use countersign_auth::render::Here;
use countersign_auth::serve;
use countersign_auth::time::Time;
use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode, request, response};

use super::seen::{Arrival, below, here, world};
use super::{empty_head, response as answer, service};
use crate::address::Scheme;
use crate::admission::{Finishing, KeptBack};
use crate::body::ReadError;
use crate::forward::ForwardError;
use crate::gate::{ApiIndex, Gate};
use crate::strict;

/// What is remembered of a request until its answer comes.
pub(crate) struct Finish {
    api: ApiIndex,
    located: Option<Located>,
    identity: Identity,
    /// Its method and target, and of its fields those that the form of an answer depends on.
    pub(super) head: request::Parts,
    path: Arc<str>,
    pub(super) prefix: Arc<str>,
    scheme: Scheme,
    sharing: Sharing,
    /// The page that asked, where its origin matters.
    origin: Option<HeaderValue>,
    /// What its objects ask of the answer.
    pub(super) follow: Option<Follow>,
    address: IpAddr,
}

/// What says how a client wants to be answered.
const TELLING: [HeaderName; 3] =
    [ACCEPT, HeaderName::from_static("sec-fetch-mode"), HeaderName::from_static("sec-fetch-site")];

/// A value that shares its bytes with nothing.
pub(super) fn copied(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

impl Finish {
    pub(super) fn new(at: &Arrival<'_>, located: Option<Located>, identity: Identity) -> Self {
        let mut head = empty_head();
        head.method = at.head.method.clone();
        head.uri = at.head.uri.clone();
        for name in TELLING {
            if let Some(value) = at.head.headers.get(&name) {
                head.headers.insert(name, value.clone());
            }
        }
        Self {
            api: at.mount.index,
            located,
            identity,
            head,
            path: Arc::clone(&at.path),
            prefix: Arc::clone(at.prefix),
            scheme: at.peer.scheme,
            sharing: at.sharing,
            origin: None,
            follow: None,
            address: at.peer.address,
        }
    }

    /// The same with copies of what lies in the connection's read buffer, which would be kept as a whole otherwise.
    pub(super) fn detached(mut self) -> Self {
        if let Ok(uri) = self.head.uri.to_string().parse() {
            self.head.uri = uri;
        }
        for value in self.head.headers.values_mut() {
            if let Some(copy) = copied(value) {
                *value = copy;
            }
        }
        self
    }

    /// Notes the origin of the page that asked, for an API that pages of other origins may call.
    pub(super) fn asked_by(&mut self, origin: Option<HeaderValue>) {
        self.origin = origin;
    }

    fn tell_pages(&self, gate: &Gate, headers: &mut HeaderMap) {
        if let Some(mount) = gate.api(self.api) {
            mount.cors.finish(self.origin.as_ref(), headers);
        }
    }

    fn here<'h>(&'h self, gate: &'h Gate, now: Time) -> Here<'h> {
        here(gate, &self.head, (&self.path, &self.prefix), self.scheme, self.sharing, now)
    }

    fn refuse(&self, gate: &Gate, refusal: &Refusal) -> Response<Bytes> {
        match gate.api(self.api) {
            Some(mount) => {
                let mut response = answer(mount.api.refuse_at(
                    self.located.as_ref(),
                    refusal,
                    &self.here(gate, gate.clock.now()),
                ));
                self.tell_pages(gate, response.headers_mut());
                response
            }
            None => Response::new(Bytes::new()),
        }
    }

    fn keep_back(&self, gate: &Gate, why: Refusal) -> Box<KeptBack> {
        Box::new(KeptBack { instead: self.refuse(gate, &why), why })
    }

    /// What a named service says, with what the dialect adds to every answer.
    async fn service_answer(
        &self,
        gate: &Gate,
        answer: Result<ServiceAnswer, Refusal>,
    ) -> Result<Response<Bytes>, Refusal> {
        let ServiceAnswer { status, mut headers, body, after } = answer?;
        let mount = gate
            .api(self.api)
            .ok_or_else(|| Refusal::new(Reason::Internal, "the api of a service is not there"))?;
        let budget = gate.openings.of(self.address);
        let now = gate.clock.now();
        let world = world(gate, &budget, now);
        match after {
            After::GoOn => {}
            After::EndSession => serve::end(&self.identity, world).await?,
        }
        strict::kept_by_nobody(&mut headers);
        let path = below(&self.path, &self.prefix);
        mount.api.stamp(
            &self.head.method,
            path,
            &self.identity,
            world,
            &self.here(gate, now),
            &mut headers,
        )?;
        self.tell_pages(gate, &mut headers);
        Ok(service::answer(status, headers, body))
    }

    /// A call that the upstream answers ends the session once it succeeded.
    async fn end(&self, gate: &Gate, head: &response::Parts) -> Result<(), Refusal> {
        if self.is_last_of_session(head.status) {
            let budget = gate.openings.of(self.address);
            serve::end(&self.identity, world(gate, &budget, gate.clock.now())).await?;
        }
        Ok(())
    }
}

impl Finishing for Finish {
    fn body_bytes_max(&self, head: &response::Parts) -> Option<usize> {
        self.follow.as_ref()?.body_bytes_max(&self.head.method, head.status)
    }

    async fn follow(
        &self,
        gate: &Gate,
        head: &mut response::Parts,
        body: Option<Result<Bytes, ReadError>>,
    ) -> Result<Option<Bytes>, Box<KeptBack>> {
        let Some(follow) = &self.follow else { return Ok(None) };
        let followed = Box::pin(self.follow_objects(follow, gate, head, body)).await;
        followed.map_err(|refusal| self.keep_back(gate, refusal))
    }

    async fn finish(&self, gate: &Gate, head: &mut response::Parts) -> Result<(), Box<KeptBack>> {
        let Some(mount) = gate.api(self.api) else { return Ok(()) };
        mount.remove_own_names(&mut head.headers);
        Api::remove_challenges(&mut head.headers);
        self.end(gate, head).await.map_err(|refusal| self.keep_back(gate, refusal))?;
        let budget = gate.openings.of(self.address);
        let now = gate.clock.now();
        let world = world(gate, &budget, now);
        let path = below(&self.path, &self.prefix);
        let here = self.here(gate, now);
        let stamped =
            mount.api.stamp(&self.head.method, path, &self.identity, world, &here, &mut head.headers);
        stamped.map_err(|error| self.keep_back(gate, error.into()))?;
        self.tell_pages(gate, &mut head.headers);
        Ok(())
    }

    fn is_last_of_session(&self, status: StatusCode) -> bool {
        status.is_success() && self.located.as_ref().is_some_and(|located| located.endpoint().is_some())
    }

    async fn served(
        self,
        gate: &Gate,
        answer: Result<ServiceAnswer, Refusal>,
    ) -> (Response<Bytes>, Option<Refusal>) {
        match self.service_answer(gate, answer).await {
            Ok(response) => (response, None),
            Err(refusal) => (self.refuse(gate, &refusal), Some(refusal)),
        }
    }

    fn failed(&self, gate: &Gate, why: ForwardError) -> Response<Bytes> {
        self.refuse(gate, &Refusal::new(why.reason(), why.to_string()))
    }
}
