//! Events from services behind the gate: where they may publish, and what a request says.

use std::sync::Arc;

use countersign_auth::port::Lookups;
use countersign_bayeux::PublishError;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use countersign_bayeux::{Channel, Pattern};

use crate::mounted::Mounted;
use crate::push::Audience;

/// Which accounts events are for, unless they say otherwise.
const KIND: &str = "users";

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

/// What a service is answered: a status, and JSON.
pub type PublishAnswer = (StatusCode, String);

/// Where the events of services go.
pub struct Publishing {
    mounted: Arc<Mounted>,
    lookups: Arc<dyn Lookups>,
}

impl Publishing {
    /// To the push channels of `mounted`; `lookups` knows who the subjects are.
    pub fn new(mounted: Arc<Mounted>, lookups: Arc<dyn Lookups>) -> Self {
        Self { mounted, lookups }
    }

    /// Takes an event for an API, from a service that may publish on `channels` alone.
    pub fn post(&self, api: &str, channels: &[Pattern], body: &[u8]) -> PublishAnswer {
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
        if !channels.iter().any(|pattern| pattern.matches(&channel)) {
            return refused(StatusCode::FORBIDDEN, "the key is not for this channel");
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
