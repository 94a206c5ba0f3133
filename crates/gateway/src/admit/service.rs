//! Calls that a named service answers.

use std::sync::Arc;

use bytes::Bytes;
use countersign_auth::identity::Identity;
use countersign_auth::policy;
use countersign_auth::port::services::{ServiceAnswer, ServiceCall};
use countersign_auth::refusal::{Reason, Refusal};
use http::header::HOST;
use http::{HeaderMap, Response};

use super::{Finish, Visit, call_body};
use crate::admission::{Admission, Later};

impl Visit<'_> {
    /// Hands a call to the service that its endpoint mounts, once its caller is known. Its answer is waited for when
    /// the visit is over.
    pub(super) async fn mounted(
        &mut self,
        endpoint: Arc<str>,
        identity: Identity,
    ) -> Result<Admission<Finish>, Refusal> {
        let (gate, api) = (self.at.gate, &*self.at.mount.api);
        policy::admits(api, &identity)?;
        let body = self.whole_body().await?;
        // Asked late: bodies of many calls may have been waited for at once. One client of a front is not to be told what
        // another one left.
        let connection = &self.at.peer.connection;
        if connection.is_owed_much() && !gate.is_front(connection.address.ip()) {
            return Err(Refusal::new(Reason::TooMany, "the connection's client has answers to take before"));
        }
        let host = self.at.head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let call = ServiceCall {
            api: Arc::clone(api.name()),
            endpoint,
            method: self.at.head.method.clone(),
            path: self.at.path_below().to_owned(),
            query: self.at.head.uri.query().map(|query| api.query_without_credentials(query).into_owned()),
            base: format!("{}://{host}{}", self.at.peer.scheme.as_str(), self.at.prefix),
            headers: self.at.head.headers.clone(),
            body,
            identity: identity.clone(),
            address: self.at.peer.address,
            now: self.now,
        };
        let answer = gate.services.serve(call);
        let finish = Finish::new(&self.at, self.located.take(), identity);
        Ok(Admission::Later(Box::new(Later { answer, finish: finish.detached() })))
    }

    /// What a service says in place of a refusal to whoever held something there: a push client whose session was
    /// ended would try again and again otherwise.
    pub(super) async fn last_word(&mut self, refusal: &Refusal) -> Option<Admission<Finish>> {
        let endpoint = self.located.as_ref()?.service()?;
        let api = &*self.at.mount.api;
        if !is_about_the_session(refusal.reason) || !self.at.gate.services.has_last_word(api.name(), endpoint)
        {
            return None;
        }
        let endpoint = Arc::clone(endpoint);
        let body = self.whole_body().await.ok()?;
        let word = self.at.gate.services.last_word(api.name(), &endpoint, &body, self.now)?;
        self.tail.refused(refusal);
        let ServiceAnswer { status, headers, body, after: _ } = word;
        Some(Admission::Answer(answer(status, headers, body)))
    }

    async fn whole_body(&mut self) -> Result<Bytes, Refusal> {
        match self.body.take() {
            Some(body) => {
                let max = call_body::of_call(self.at.gate);
                call_body::read(self.at.gate, &mut self.now, body, max).await
            }
            None => Ok(Bytes::new()),
        }
    }
}

/// Whether a refusal may mean that a session is over.
fn is_about_the_session(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Csrf | Reason::NoCredential | Reason::BadToken | Reason::Expired | Reason::Unauthenticated
    )
}

pub(super) fn answer(status: http::StatusCode, headers: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
