//! Events from services behind the gate: who may publish, and what a request says.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use countersign_auth::port::Lookups;
use countersign_bayeux::{Channel, PublishError};
use hashbrown::HashMap;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use countersign_bayeux::Pattern;

use crate::mounted::Mounted;
use crate::push::Audience;

/// Which accounts events are for, unless they say otherwise.
const KIND: &str = "users";

/// A service that may publish.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// What the log calls it.
    pub name: String,
    /// SHA-256 of its key.
    pub key_sha256: [u8; 32],
    /// Where it may publish.
    pub channels: Vec<Pattern>,
}

/// What a service posts: on which channel, for whom, what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted<'b> {
    channel: String,
    /// The subject of an account, as assertions name it.
    subject: Option<String>,
    /// Of which kind; users if it is not said.
    kind: Option<String>,
    /// Or: everybody with that role.
    role: Option<String>,
    /// Of that tenant alone.
    tenant: Option<String>,
    #[serde(borrow)]
    data: &'b RawValue,
}

/// What a publisher is answered: a status, and JSON.
pub type PublishAnswer = (StatusCode, String);

/// The publishers of all APIs, and where their events go.
pub struct Publishing {
    mounted: Arc<Mounted>,
    lookups: Arc<dyn Lookups>,
    publishers: HashMap<String, Vec<Publisher>>,
}

impl Publishing {
    /// Publishers by the name of their API.
    pub fn new(
        mounted: Arc<Mounted>,
        lookups: Arc<dyn Lookups>,
        publishers: impl IntoIterator<Item = (String, Vec<Publisher>)>,
    ) -> Self {
        Self { mounted, lookups, publishers: publishers.into_iter().collect() }
    }

    /// Takes an event for an API. `key` is what came as `Authorization: Bearer`.
    ///
    /// An unknown API and a wrong key are answered alike: nobody learns which APIs there are.
    pub fn post(&self, api: &str, key: Option<&str>, body: &[u8]) -> PublishAnswer {
        let Some(publisher) = key.and_then(|key| self.publisher(api, key)) else {
            return refused(StatusCode::UNAUTHORIZED, "the key is no publisher's of this api");
        };
        let answer = self.publish(api, publisher, body);
        let (status, _) = &answer;
        tracing::debug!(api, publisher = publisher.name, http.status = status.as_u16(), "took an event");
        answer
    }

    fn publisher(&self, api: &str, key: &str) -> Option<&Publisher> {
        let shown = digest(&SHA256, key.as_bytes());
        let is_his =
            |publisher: &&Publisher| verify_slices_are_equal(&publisher.key_sha256, shown.as_ref()).is_ok();
        self.publishers.get(api)?.iter().find(is_his)
    }

    fn publish(&self, api: &str, publisher: &Publisher, body: &[u8]) -> PublishAnswer {
        let Some(push) = self.mounted.push(api) else {
            return refused(StatusCode::NOT_FOUND, "the api has no push channels");
        };
        let posted: Posted<'_> = match serde_json::from_slice(body) {
            Ok(posted) => posted,
            Err(error) => return refused(StatusCode::BAD_REQUEST, &format!("the body is no event: {error}")),
        };
        let Ok(channel) = Channel::parse(&posted.channel) else {
            return refused(StatusCode::BAD_REQUEST, "the channel is malformed");
        };
        if !publisher.channels.iter().any(|pattern| pattern.matches(&channel)) {
            return refused(StatusCode::FORBIDDEN, "the publisher may not publish on this channel");
        }
        let audience = match (&posted.subject, &posted.role) {
            (Some(subject), None) => {
                let kind = posted.kind.as_deref().unwrap_or(KIND);
                let account = self.lookups.account_by_subject(kind, subject);
                let is_meant = |tenant: &Option<String>| posted.tenant.is_none() || *tenant == posted.tenant;
                match account.filter(|account| is_meant(&account.tenant)) {
                    Some(account) => Audience::Account(account.id),
                    None => return refused(StatusCode::NOT_FOUND, "there is no such subject"),
                }
            }
            (None, Some(role)) => Audience::Role { role: role.clone(), tenant: posted.tenant.clone() },
            (Some(_), Some(_)) | (None, None) => {
                return refused(StatusCode::BAD_REQUEST, "an event is for a subject or for a role");
            }
        };
        match push.publish(&audience, &channel, posted.data.get()) {
            Ok(published) => {
                let text = format!(r#"{{"reached":{},"dropped":{}}}"#, published.reached, published.dropped);
                (StatusCode::OK, text)
            }
            Err(error @ (PublishError::Channel | PublishError::Data)) => {
                refused(StatusCode::BAD_REQUEST, &error.to_string())
            }
        }
    }
}

fn refused(status: StatusCode, why: &str) -> PublishAnswer {
    (status, serde_json::json!({ "error": why }).to_string())
}
