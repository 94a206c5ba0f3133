//! Calls of agents, as Genesys Web Services shows them. Users, devices and states are the gate's own there.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::lock;
use crate::demo::service::{Answer, Call, Sample};
use crate::entropy;

/// So many calls are kept; a sample that anybody may call must not grow without bound.
const KEPT_MAX: usize = 10_000;

/// The service: calls by their ids, each with whose it is.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    kept: Mutex<BTreeMap<String, (String, Value)>>,
}

impl Sample for Calls {
    fn answer(&self, call: &Call) -> Option<Answer> {
        let segments = call.segments();
        let ["api", "v2", "me", "calls"] = segments.as_slice() else { return None };
        let subject = call.caller.subject().unwrap_or_default();
        let mut kept = lock(&self.kept);
        if call.method == Method::GET {
            let own: Vec<&Value> =
                kept.values().filter(|(whose, _)| whose == subject).map(|(_, call)| call).collect();
            return Some(Answer::json(StatusCode::OK, &json!({ "statusCode": 0, "calls": own })));
        }
        if call.method != Method::POST {
            return None;
        }
        let body = call.json();
        let Some(destination) = body.get("destination").and_then(Value::as_str) else {
            return Some(failed(StatusCode::BAD_REQUEST, 1, "Required parameter missing: destination"));
        };
        let Some(id) = (kept.len() < KEPT_MAX).then(|| entropy::reference().ok()).flatten() else {
            return Some(failed(StatusCode::INTERNAL_SERVER_ERROR, 4, "Internal error"));
        };
        let uri = format!("http://{}/api/v2/calls/{id}", call.host());
        let made = json!({ "id": id, "state": "Dialing", "destination": destination, "uri": uri });
        kept.insert(id.clone(), (subject.to_owned(), made));
        Some(Answer::json(StatusCode::OK, &json!({ "statusCode": 0, "id": id, "uri": uri })))
    }
}

fn failed(status: StatusCode, code: u8, message: &str) -> Answer {
    Answer::json(status, &json!({ "statusCode": code, "statusMessage": message }))
}
