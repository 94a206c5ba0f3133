//! Requests whose objects are checked: the body is read where ids may be in it, references become ids.

use bytes::Bytes;
use countersign_auth::objects::answer::{Answered, Follow};
use countersign_auth::objects::forget_body;
use countersign_auth::objects::settle::{Cleared, Pending, Rewritten};
use countersign_auth::policy::Permit;
use countersign_auth::refusal::{Reason, Refusal};
use http::header::{ACCEPT_ENCODING, Entry, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Uri, response};

use super::{Finish, Visit, call_body, canonical_uri};
use crate::body::{Body, Bound, ReadError};
use crate::gate::Gate;

/// A request that may go on, and what follows from its objects.
pub(super) struct Checked {
    pub(super) permit: Permit,
    /// Where it goes on to.
    pub(super) uri: Uri,
    pub(super) follow: Option<Follow>,
}

impl Visit<'_> {
    /// Checks the objects of a request, and puts the service's ids in the place of references. What is remembered
    /// of the request for its answer still says what the client said.
    pub(super) async fn check_objects(&mut self, pending: Pending) -> Result<Checked, Refusal> {
        let mut body = None;
        if self.body.as_ref().is_some_and(|body| !body.is_empty())
            && let Some(bytes) = pending.body_bytes_max(&self.at.head.headers)?
            && let Some(unread) = self.body.take()
        {
            let max = Bound { bytes, key: "body_bytes_max of the route" };
            let bytes = call_body::read(self.at.gate, &mut self.now, unread, max).await?;
            self.body = Some(Body::full(bytes.clone()));
            body = Some(bytes);
        }
        let cleared = pending
            .clear(&self.at.request(None, None), body.as_ref(), &*self.at.gate.objects, self.now)
            .await?;
        let Cleared { permit, rewritten, follow } = cleared;
        let Rewritten { path, query, headers, body } = rewritten.unwrap_or_default();
        if let Some(body) = body {
            self.body = Some(Body::full(body));
            forget_body(&mut self.at.head.headers);
        }
        for (name, nth, value) in headers {
            if let Entry::Occupied(mut entry) = self.at.head.headers.entry(name)
                && let Some(old) = entry.iter_mut().nth(nth)
            {
                *old = value;
            }
        }
        if follow.as_ref().is_some_and(Follow::reads_bodies) {
            ask_for_whole_text(&mut self.at.head.headers);
        }
        let path = path.map(|path| format!("{}{path}", self.at.prefix));
        let query = query.as_deref().or(self.at.head.uri.query());
        let uri = canonical_uri(&self.at.mount.api, path.as_deref().unwrap_or(&self.at.path), query)?;
        Ok(Checked { permit, uri, follow })
    }
}

/// What is compressed or a piece cannot be read.
fn ask_for_whole_text(headers: &mut HeaderMap) {
    for name in [RANGE, IF_RANGE] {
        headers.remove(name);
    }
    // Without a word any coding would do (RFC 9110 section 12.5.3).
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

impl Finish {
    /// Works on the objects of an answer: see [`crate::admission::Finishing::follow`].
    pub(super) async fn follow_objects(
        &self,
        follow: &Follow,
        gate: &Gate,
        head: &mut response::Parts,
        body: Option<Result<Bytes, ReadError>>,
    ) -> Result<Option<Bytes>, Refusal> {
        let body = body.transpose().map_err(|error| {
            Refusal::new(Reason::Upstream, format!("the service's answer shows objects: {error}"))
        })?;
        let answered = Answered {
            method: &self.head.method,
            prefix: &self.prefix,
            status: head.status,
            headers: &mut head.headers,
            body,
        };
        follow.answer(answered, &*gate.objects, gate.clock.now()).await
    }
}
