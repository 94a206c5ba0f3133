//! Activities of agents, as eGain's Interaction API shows them, and the console page that asks for them.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::demo::service::{Answer, Call, Sample};

/// Activities by number and who they are assigned to.
const ACTIVITIES: [(u32, &str, &str); 5] = [
    (1000, "anna", "Where is my order?"),
    (1011, "anna", "Refund for order 4711"),
    (1012, "ben", "Cannot log in"),
    (1015, "anna", "Change of address"),
    (1020, "pa", "Complaint about a delay"),
];

const PAGE: &str = include_str!("my_activities.html");

/// The service.
#[derive(Debug, Default)]
pub(crate) struct Activities;

impl Sample for Activities {
    fn answer(&self, call: &Call) -> Option<Answer> {
        if call.method != Method::GET {
            return None;
        }
        match call.segments().as_slice() {
            ["system", "web"] => Some(home(call)),
            ["system", "web", "custom", "view", "my_activities.html"] => Some(page(call)),
            ["system", "ws", _, "interaction", "activity"] => Some(list(call)),
            ["system", "ws", _, "interaction", "activity", ids] => Some(some(call, ids)),
            _ => None,
        }
    }
}

fn list(call: &Call) -> Answer {
    let Some(user) = call.parameter("assignedTo") else {
        let message =
            "At least one of the following API specific query parameters is required: 'assignedTo'.";
        let error = json!({ "code": "400-245", "developerMessage": message });
        return Answer::json(StatusCode::BAD_REQUEST, &error);
    };
    let found: Vec<_> = ACTIVITIES.iter().filter(|(_, assigned, _)| *assigned == user).collect();
    written(call, &found)
}

fn some(call: &Call, ids: &str) -> Answer {
    let ids: Vec<&str> = ids.split(',').collect();
    let found: Vec<_> =
        ACTIVITIES.iter().filter(|(id, _, _)| ids.contains(&id.to_string().as_str())).collect();
    if found.is_empty() {
        let message =
            format!("The following IDs supplied in the URI path were not found: '{}'", ids.join(","));
        let error = json!({ "code": "404-100", "developerMessage": message });
        return Answer::json(StatusCode::NOT_FOUND, &error);
    }
    written(call, &found)
}

fn written(call: &Call, found: &[&(u32, &str, &str)]) -> Answer {
    if found.is_empty() {
        return Answer::empty(StatusCode::NO_CONTENT);
    }
    let path = |id: &u32| format!("/system/ws/v12/interaction/activity/{id}");
    if call.prefers("application/json") {
        let items: Vec<Value> = found
            .iter()
            .map(|(id, _, subject)| json!({ "link": { "rel": "self", "href": path(id) }, "id": id, "subject": subject }))
            .collect();
        return Answer::json(StatusCode::OK, &json!({ "activity": items }));
    }
    let items: String = found
        .iter()
        .map(|(id, _, subject)| {
            format!("<activity id=\"{id}\"><link rel=\"self\" href=\"{}\"/><subject>{subject}</subject></activity>", path(id))
        })
        .collect();
    let space = "http://bindings.egain.com/ws/model/v12/gen/interaction/activity";
    Answer::text(
        StatusCode::OK,
        "application/xml",
        format!("<activities xmlns=\"{space}\">{items}</activities>"),
    )
}

fn page(call: &Call) -> Answer {
    // A subject is plain letters here; anything else is left out of the page rather than escaped into it.
    let subject: String = call
        .caller
        .subject()
        .unwrap_or("")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '.')
        .collect();
    Answer::text(StatusCode::OK, "text/html; charset=utf-8", PAGE.replace("@USER@", &subject))
}

fn home(call: &Call) -> Answer {
    let name: String = call.caller.name().chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect();
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Console</title><script src=\"/system/web/security.js\"></script>\
         <p>Signed in as {name}.</p><p><a href=\"/system/web/custom/view/my_activities.html\">My activities</a></p></html>"
    );
    Answer::text(StatusCode::OK, "text/html; charset=utf-8", html)
}
