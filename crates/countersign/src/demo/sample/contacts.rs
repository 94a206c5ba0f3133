//! Contacts, as SuperOffice's WebApi shows them: by REST and by agents.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::demo::service::{Answer, Call, Sample};

/// Contacts by number: name and department.
const CONTACTS: [(u32, &str, &str); 3] =
    [(1, "Your own company", ""), (2, "Superlative Widgets", "Sales"), (5, "North Sea Crabs", "")];

/// The service.
#[derive(Debug, Default)]
pub(crate) struct Contacts;

impl Sample for Contacts {
    fn answer(&self, call: &Call) -> Option<Answer> {
        if call.method == Method::GET && call.segments() == ["crm"] {
            return Some(page(call));
        }
        // Samples of the vendor write `contact/2` as well as `Contact/2`.
        let path = call.path.to_ascii_lowercase();
        let at = path.find("/api/v1/").map(|at| at + "/api/v1/".len())?;
        let rest: Vec<&str> = path.get(at..)?.split('/').collect();
        match rest.as_slice() {
            ["contact"] if call.method == Method::GET => {
                let all: Vec<Value> = CONTACTS.iter().map(|contact| entity(call, contact)).collect();
                Some(Answer::json(StatusCode::OK, &json!({ "value": all })))
            }
            ["contact", id] if call.method == Method::GET => Some(rest_contact(call, id)),
            ["agents", "contact", "getcontactentity"] if call.method == Method::POST => {
                Some(agent_contact(call))
            }
            _ => None,
        }
    }
}

/// A page for a browser with a session: it carries the token in the field where the vendor's scripts look for it.
fn page(call: &Call) -> Answer {
    // Both are plain letters here; anything else is left out of the page rather than escaped into it.
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect()
    };
    let user = plain(call.caller.subject().unwrap_or(""));
    let token = call
        .headers
        .get("x-countersign-csrf")
        .and_then(|value| value.to_str().ok())
        .map_or_else(String::new, plain);
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>CRM</title>\
         <input type=\"hidden\" id=\"XSRF_TOKEN\" name=\"XSRF_TOKEN\" value=\"{token}\">\
         <p>Signed in as {user}.</p><p><a href=\"/login/home\">Sign out</a></p></html>"
    );
    Answer::text(StatusCode::OK, "text/html; charset=utf-8", html)
}

fn find(id: &str) -> Option<&'static (u32, &'static str, &'static str)> {
    let id: u32 = id.parse().ok()?;
    CONTACTS.iter().find(|contact| contact.0 == id)
}

fn rest_contact(call: &Call, id: &str) -> Answer {
    match find(id) {
        Some(contact) => Answer::json(StatusCode::OK, &entity(call, contact)),
        None => {
            // What is repeated of the request is a number or nothing.
            let id = id.parse::<u32>().unwrap_or_default();
            let error = json!({
                "Error": true,
                "ErrorType": "SoNotFoundException",
                "ErrorMessage": format!("Contact id {id} not found"),
                "ErrorSource": "SuperOffice.Services.Implementation",
            });
            Answer::json(StatusCode::NOT_FOUND, &error)
        }
    }
}

fn agent_contact(call: &Call) -> Answer {
    let id = call.query.iter().find(|(name, _)| name.eq_ignore_ascii_case("contactEntityId"));
    let contact = id.and_then(|(_, id)| find(id));
    Answer::json(StatusCode::OK, &contact.map_or(Value::Null, |contact| entity(call, contact)))
}

fn entity(call: &Call, contact: &(u32, &str, &str)) -> Value {
    json!({
        "TableRight": { "Mask": "FULL", "Reason": "" },
        "FieldProperties": {},
        "ContactId": contact.0,
        "Name": contact.1,
        "Department": contact.2,
        "UpdatedDate": "2024-03-01T09:30:00Z",
        "CreatedDate": "2023-01-15T08:00:00Z",
        "Emails": [],
        "Associate": { "AssociateId": call.caller.key("associate_id").and_then(|id| id.parse::<u32>().ok()).unwrap_or(0), "Name": call.caller.subject() },
    })
}
