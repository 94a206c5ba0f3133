//! Users and their devices, as Genesys Web Services shows them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::lock;
use crate::demo::service::{Answer, Call, Sample};
use crate::entropy;

/// The version that the vendor's documents show.
const VERSION: &str = "8.5.200.50";

/// So many users or devices are kept; a sample that anybody may call must not grow without bound.
const KEPT_MAX: usize = 10_000;

/// The service.
#[derive(Debug, Default)]
pub(crate) struct Users {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    users: BTreeMap<String, Value>,
    devices: BTreeMap<String, Value>,
    states: BTreeMap<String, String>,
}

impl Sample for Users {
    fn answer(&self, call: &Call) -> Option<Answer> {
        let segments = call.segments();
        let ["api", "v2", rest @ ..] = segments.as_slice() else { return None };
        let method = &call.method;
        let mut kept = lock(&self.kept);
        match rest {
            ["diagnostics", "version"] if method == Method::GET => {
                Some(good(json!({ "statusCode": 0, "version": VERSION })))
            }
            ["me"] if method == Method::GET => Some(me(call, &kept)),
            ["me"] | ["me", "channels", _] if method == Method::POST => Some(operate(call, &mut kept)),
            ["me", "devices"] if method == Method::GET => Some(devices(&kept, subject(call))),
            ["me", "devices"] if method == Method::POST => Some(add_device(call, &mut kept, subject(call))),
            ["users"] if method == Method::GET => Some(users(call, &kept)),
            ["users"] if method == Method::POST => Some(add_user(call, &mut kept)),
            ["users", id] if method == Method::GET => Some(user(&kept, id)),
            ["users", id] if method == Method::DELETE => Some(delete_user(&mut kept, id)),
            ["users", id, "devices"] if method == Method::GET => Some(devices(&kept, id)),
            ["users", id, "devices"] if method == Method::POST => {
                if kept.users.contains_key(*id) {
                    Some(add_device(call, &mut kept, id))
                } else {
                    Some(no_user())
                }
            }
            _ => None,
        }
    }
}

fn subject(call: &Call) -> &str {
    call.caller.subject().unwrap_or("")
}

fn me(call: &Call, kept: &Kept) -> Answer {
    let user = json!({
        "id": subject(call),
        "userName": subject(call),
        "roles": call.caller.roles(),
        "enabled": true,
        "state": kept.states.get(subject(call)).map_or("LoggedOut", String::as_str),
        "uri": format!("http://{}/api/v2/me", call.host()),
        "path": "/me",
    });
    good(json!({ "statusCode": 0, "user": user }))
}

fn operate(call: &Call, kept: &mut Kept) -> Answer {
    let body = call.json();
    let state = match body.get("operationName").and_then(Value::as_str) {
        Some("StartContactCenterSession") => "LoggedIn",
        Some("Ready") => "Ready",
        Some("NotReady") => "NotReady",
        Some("EndContactCenterSession") => "LoggedOut",
        Some(_) => return bad(2, "Parameter not valid: operationName"),
        None => return bad(1, "Required parameter missing: operationName"),
    };
    kept.states.insert(subject(call).to_owned(), state.to_owned());
    good(json!({ "statusCode": 0 }))
}

fn users(call: &Call, kept: &Kept) -> Answer {
    if call.parameter("fields").is_some() {
        return good(json!({ "statusCode": 0, "users": kept.users.values().collect::<Vec<_>>() }));
    }
    let uris: Vec<String> =
        kept.users.keys().map(|id| format!("http://{}/api/v2/users/{id}", call.host())).collect();
    good(json!({ "statusCode": 0, "uris": uris }))
}

fn user(kept: &Kept, id: &str) -> Answer {
    kept.users.get(id).map_or_else(no_user, |user| good(json!({ "statusCode": 0, "user": user })))
}

fn add_user(call: &Call, kept: &mut Kept) -> Answer {
    let body = call.json();
    for field in ["userName", "password", "firstName", "lastName", "roles"] {
        if body.get(field).is_none_or(Value::is_null) {
            return bad(1, &format!("Required parameter missing: {field}"));
        }
    }
    let name = body.get("userName").and_then(Value::as_str).unwrap_or("");
    if kept.users.values().any(|user| user.get("userName").and_then(Value::as_str) == Some(name)) {
        return refused(
            StatusCode::FORBIDDEN,
            18,
            &format!("Failed to create user. User '{name}' already exists."),
        );
    }
    let Some(id) = id(kept.users.len()) else { return full() };
    let uri = format!("http://{}/api/v2/users/{id}", call.host());
    let path = format!("/users/{id}");
    // The password is the one field that nobody gets to see again.
    let user = json!({
        "id": id,
        "userName": name,
        "firstName": body.get("firstName"),
        "lastName": body.get("lastName"),
        "roles": body.get("roles"),
        "enabled": true,
        "uri": uri,
        "path": path,
    });
    kept.users.insert(id.clone(), user);
    good(json!({ "statusCode": 0, "path": path, "id": id, "uri": uri }))
}

fn delete_user(kept: &mut Kept, id: &str) -> Answer {
    match kept.users.remove(id) {
        Some(_) => {
            kept.devices.retain(|_, device| device.get("owner").and_then(Value::as_str) != Some(id));
            good(json!({ "statusCode": 0 }))
        }
        None => no_user(),
    }
}

fn devices(kept: &Kept, owner: &str) -> Answer {
    let of_owner = |device: &&Value| device.get("owner").and_then(Value::as_str) == Some(owner);
    let devices: Vec<&Value> = kept.devices.values().filter(of_owner).collect();
    good(json!({ "statusCode": 0, "devices": devices }))
}

fn add_device(call: &Call, kept: &mut Kept, owner: &str) -> Answer {
    let body = call.json();
    let Some(number) = body.get("phoneNumber").and_then(Value::as_str) else {
        return bad(1, "Required parameter missing: phoneNumber");
    };
    let Some(id) = id(kept.devices.len()) else { return full() };
    let uri = format!("http://{}/api/v2/devices/{id}", call.host());
    let device = json!({
        "id": id,
        "owner": owner,
        "phoneNumber": number,
        "deviceState": "Inactive",
        "telephonyNetwork": "Private",
        "model": "CloudDevice",
        "vendor": "Genesys",
        "uri": uri,
    });
    kept.devices.insert(id.clone(), device);
    good(json!({ "statusCode": 0, "id": id, "uri": uri }))
}

/// A new id, as long as there is room.
fn id(kept: usize) -> Option<String> {
    if kept >= KEPT_MAX { None } else { entropy::reference().ok() }
}

fn good(body: Value) -> Answer {
    Answer::json(StatusCode::OK, &body)
}

fn bad(code: u8, message: &str) -> Answer {
    refused(StatusCode::BAD_REQUEST, code, message)
}

fn no_user() -> Answer {
    refused(StatusCode::NOT_FOUND, 6, "User not found")
}

fn full() -> Answer {
    refused(StatusCode::INTERNAL_SERVER_ERROR, 4, "Internal error")
}

fn refused(status: StatusCode, code: u8, message: &str) -> Answer {
    Answer::json(status, &json!({ "statusCode": code, "statusMessage": message }))
}
