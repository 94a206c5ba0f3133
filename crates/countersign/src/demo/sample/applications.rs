//! Applications, messages and subscribers, as Volt MX Foundry Engagement Services shows them.

use std::sync::Mutex;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::lock;
use crate::demo::service::{Answer, Call, Sample};
use crate::entropy;

/// So many messages are remembered, the latest.
const MESSAGES_MAX: usize = 100;

/// The service.
#[derive(Debug, Default)]
pub(crate) struct Applications {
    messages: Mutex<Vec<Value>>,
}

impl Sample for Applications {
    fn answer(&self, call: &Call) -> Option<Answer> {
        let segments = call.segments();
        let path = match segments.as_slice() {
            ["vpns", "api", "v1", rest @ ..] | ["api", "v1", rest @ ..] => rest,
            _ => return None,
        };
        match path {
            ["applications"] if call.method == Method::GET => Some(good(json!({
                "applications": [
                    { "appId": "demo-app", "appName": "Demo", "platforms": ["android", "ios"] },
                    { "appId": "till", "appName": "Till", "platforms": ["web"] },
                ],
                "requestedBy": call.caller.subject(),
            }))),
            ["messages", "push" | "sms" | "email"] | ["bulkmessage"] if call.method == Method::POST => {
                Some(self.send(call))
            }
            ["messages"] if call.method == Method::GET => {
                Some(good(json!({ "messages": *lock(&self.messages) })))
            }
            ["messages", "fetch"] if call.method == Method::POST => {
                Some(good(json!({ "messages": *lock(&self.messages) })))
            }
            ["subscribers"] if call.method == Method::POST => Some(subscribe(call)),
            _ => None,
        }
    }
}

impl Applications {
    fn send(&self, call: &Call) -> Answer {
        let Ok(id) = entropy::reference() else { return Answer::empty(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut messages = lock(&self.messages);
        if messages.len() >= MESSAGES_MAX {
            messages.remove(0);
        }
        messages.push(json!({ "id": id, "from": call.caller.subject(), "bytes": call.body.len() }));
        good(json!({ "id": id, "message": "Request Queued" }))
    }
}

fn subscribe(call: &Call) -> Answer {
    let body = call.json();
    let Some(subscription) = body.pointer("/subscriptionService/subscribe") else {
        return Answer::text(StatusCode::BAD_REQUEST, "text/plain", "Invalid Request. SID Cannot be empty");
    };
    for (field, message) in [
        ("appId", "Invalid Volt MX application ID"),
        ("sid", "Invalid Request. SID Cannot be empty"),
        ("deviceId", "Invalid Request. DEVICEID Cannot be empty"),
    ] {
        if subscription.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Answer::text(StatusCode::BAD_REQUEST, "text/plain", message);
        }
    }
    let Ok(id) = entropy::reference() else { return Answer::empty(StatusCode::INTERNAL_SERVER_ERROR) };
    good(json!({ "id": id, "message": "Subscription successful" }))
}

fn good(body: Value) -> Answer {
    Answer::json(StatusCode::OK, &body)
}
