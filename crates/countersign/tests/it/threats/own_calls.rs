//! F: rules about calls that the gate answers itself.

use super::{Ground, basic};

const WORLD: &str = r#"
[[account]]
kind = "users"
name = "ann"
password = "Correct-horse-9"
roles = ["ROLE_SUPERVISOR", "ADMIN"]
[[account]]
kind = "users"
name = "sue"
password = "Correct-horse-9"
roles = ["ROLE_SUPERVISOR"]
[[api]]
name = "centre"
dialect = "genesys"
at = ["/"]
[[api.route]]
at = "/users/**"
allow = { roles = ["ADMIN"] }
[[api.route]]
at = "GET /me/sessions"
allow = { roles = ["ADMIN"] }
[[api.route]]
at = "/**"
allow = { roles = ["NOBODY"] }
"#;

#[test]
fn f11_a_route_is_about_what_the_gate_answers_itself_as_well() {
    let ground = Ground::with("genesys", WORLD);
    let ask = |user: &str, path: &str| {
        let line = format!("Authorization: {}", basic(user, "Correct-horse-9"));
        ground.send(&format!("GET {path} HTTP/1.1\nHost: a.example\n{line}"))
    };
    for path in ["/users", "/users/", "/me/sessions"] {
        ask("sue", path).refused(403);
    }
    ask("ann", "/users").answered();
    ask("ann", "/me/sessions").answered();
    // The route about everything says nothing of them: the dialect does.
    ask("sue", "/me").answered();
    ask("sue", "/anything").refused(403);
}

/// Whoever may do nothing may still log in.
#[test]
fn f11_what_people_log_in_by_stays_everybodys() {
    let world = WORLD.replace("genesys", "enactor").replace("users\"\n", "customers\"\n");
    let world = world.replace("/users/**", "/identity/**").replace("GET /me/sessions", "/none");
    let world = world.replace("at = [\"/\"]", "at = [\"/\"]\nissuers.\"http://www.enactor.co/\" = \"self\"");
    let ground = Ground::with("enactor", &world);
    let told = ground.send(
        "POST /identity/token HTTP/1.1\nHost: a.example\nContent-Type: application/json\n\n\
         {\"userName\":\"sue\",\"password\":\"Correct-horse-9\"}",
    );
    let token = told.answered().member("/access_token");
    let line = format!("Host: a.example\nAuthorization: Bearer {token}");
    ground.send(&format!("GET /anything HTTP/1.1\n{line}")).refused(403);
}

/// A ticket for who is let in already is no log-in.
#[test]
fn f11_what_is_handed_to_who_is_let_in_is_a_routes_to_give() {
    let world = r#"
[[account]]
name = "ann"
password = "Correct-horse-9"
roles = ["boss"]
[[account]]
name = "sue"
password = "Correct-horse-9"
[[api]]
name = "crm"
dialect = "superoffice"
deployment = "onsite"
at = ["/"]
[[api.route]]
at = "/api/v1/User/**"
allow = { roles = ["boss"] }
[[api.route]]
at = "/api/v1/Agents/**"
allow = { roles = ["boss"] }
[[api.route]]
at = "/**"
allow = "authenticated"
"#;
    let ground = Ground::with("superoffice", world);
    let ask = |user: &str, start: &str| {
        let line = format!("Authorization: {}", basic(user, "Correct-horse-9"));
        ground.send(&format!("{start} HTTP/1.1\nHost: a.example\nContent-Length: 0\n{line}"))
    };
    for start in [
        "GET /api/v1/User/currentTicket",
        "GET /api/v1/User/currentToken",
        "POST /api/v1/Agents/User/GetAccessToken",
    ] {
        ask("sue", start).refused(403);
        ask("ann", start).answered();
    }
    // Whoever proves himself for it logs in.
    let told = ground.send(
        "POST /api/v1/Agents/User/CreateTicket HTTP/1.1\nHost: a.example\nContent-Type: application/json\n\n\
         {\"userName\":\"sue\",\"password\":\"Correct-horse-9\"}",
    );
    told.answered();
}
