//! What clients are answered.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::client::ClientId;
use crate::limits::QUEUE_BYTES_MAX;
use crate::message::Subscription;

/// The one way of being connected that is offered.
pub(crate) const LONG_POLLING: &str = "long-polling";
/// The protocol's version.
pub(crate) const VERSION: &str = "1.0";

/// One message to a client: the answer to one of his. Errors are `code:arguments:text` (Bayeux 1.0 section 3.3).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reply<'r> {
    pub(crate) channel: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'r RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minimum_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) supported_connection_types: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subscription: Option<&'r Subscription>,
    pub(crate) successful: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<Advice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ext: Option<ExtReply>,
}

impl<'r> Reply<'r> {
    /// An answer that says yes.
    pub(crate) fn done(channel: &'r str, id: Option<&'r RawValue>) -> Self {
        Self { channel, id, successful: true, ..Self::default() }
    }

    /// An answer that says no, and why.
    pub(crate) fn failed(channel: &'r str, id: Option<&'r RawValue>, error: impl Into<String>) -> Self {
        Self { channel, id, error: Some(error.into()), ..Self::default() }
    }

    /// The answer to a client that is not there, or is not this principal's: the two look alike.
    pub(crate) fn unknown_client(channel: &'r str, id: Option<&'r RawValue>, reconnect: Reconnect) -> Self {
        let advice = Some(Advice { reconnect, interval: 0, timeout: None, multiple_clients: None });
        Self { advice, ..Self::failed(channel, id, "402::Unknown client") }
    }
}

/// What a client is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reconnect {
    /// Connect again.
    Retry,
    /// Shake hands anew.
    Handshake,
    /// Stay away.
    None,
}

/// Milliseconds throughout.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Advice {
    pub(crate) reconnect: Reconnect,
    /// Wait that long before the next connect.
    pub(crate) interval: u64,
    /// A connect is held that long at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<u64>,
    #[serde(rename = "multiple-clients", skip_serializing_if = "Option::is_none")]
    pub(crate) multiple_clients: Option<bool>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ExtReply {
    pub(crate) ack: AckReply,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum AckReply {
    On(bool),
    Batch(u64),
}

impl Serialize for ClientId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

/// The body of an answer while it is written: a JSON array.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    /// Bytes of the events in it.
    event_bytes: usize,
}

impl Answer {
    pub(crate) fn new() -> Self {
        Self { text: "[".to_owned(), event_bytes: 0 }
    }

    pub(crate) fn push(&mut self, reply: &Reply<'_>) {
        // Texts, numbers and booleans alone: there is nothing in a reply that JSON cannot say.
        if let Ok(text) = serde_json::to_string(reply) {
            self.push_text(&text);
        }
    }

    /// Adds an event, which is JSON already; false if that would be more events than one client may have waiting.
    pub(crate) fn push_event(&mut self, event: &str) -> bool {
        let event_bytes = self.event_bytes.saturating_add(event.len());
        if event_bytes > QUEUE_BYTES_MAX {
            return false;
        }
        self.event_bytes = event_bytes;
        self.push_text(event);
        true
    }

    fn push_text(&mut self, message: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(message);
    }

    pub(crate) fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }
}
