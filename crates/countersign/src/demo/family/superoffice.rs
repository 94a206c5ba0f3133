//! SuperOffice WebApi: onsite and online, with the same people.

use std::sync::Arc;

use super::{Family, SecretSeed, Seed, Shown};
use crate::demo::sample::contacts::Contacts;

const USER: Seed = Seed {
    tenant: Some("Cust26759"),
    roles: &["associate"],
    keys: &[("associate_id", "5"), ("person_id", "10"), ("contact_id", "2"), ("group_id", "3")],
    ..Seed::new("users", "sally", ["Sally", "Associate"])
};

const OTHER: Seed = Seed {
    user: "tom",
    first_name: "Tom",
    keys: &[("associate_id", "6"), ("person_id", "11"), ("contact_id", "2"), ("group_id", "3")],
    ..USER
};

pub(super) const ONSITE: Family = Family {
    name: "crm",
    dialect: "superoffice",
    about: "contacts, onsite",
    prefix: "",
    people: "users",
    sample: || Arc::new(Contacts),
    settings: r#"
deployment = "onsite"
[[api.route]]
at = "GET /api"
allow = "anonymous"
[[api.route]]
at = "GET /api/v1"
allow = "anonymous"
[[api.route]]
at = "/**"
allow = "authenticated"
"#,
    accounts: &[USER, OTHER],
    secrets: &[],
    lines: onsite,
    knock,
};

pub(super) const ONLINE: Family = Family {
    name: "crm-online",
    about: "contacts, online",
    settings: r#"
deployment = "online"
[[api.route]]
at = "/**"
allow = "authenticated"
"#,
    secrets: &[SecretSeed::Application { name: "app_token", application: "crm-panel" }],
    lines: online,
    ..ONSITE
};

fn ticket(shown: &Shown) -> String {
    let (user, password) = shown.login("users", 0);
    format!(
        "TICKET=$(curl -s {}/api/v1/Agents/User/CreateTicket -H 'Content-Type: application/json' -H 'Accept: application/json' \\\n  \
         -d '{{\"userName\":\"{user}\",\"password\":\"{password}\"}}' | tr -d '\"')\n",
        shown.base_url
    )
}

fn onsite(shown: &Shown) -> String {
    let base = &shown.base_url;
    let (user, password) = shown.login("users", 0);
    format!(
        "curl -s -u {user}:{password} {base}/api/v1/Contact/2\n\
         {}\
         curl -s {base}/api/v1/Contact/2 -H \"Authorization: SOTicket $TICKET\"\n\
         curl -s -u {user}:{password} {base}/api/v1/User/currentPrincipal\n\
         # 404, which is what the service itself answers\n\
         curl -s -u {user}:{password} {base}/api/v1/Contact/99999\n\
         # 401 with its challenge\n\
         curl -si {base}/api/v1/Contact/2\n\
         # in a browser: {base}/crm/\n",
        ticket(shown)
    )
}

/// Online a password goes to the sign-in page only; the page's session is given a ticket.
fn online(shown: &Shown) -> String {
    let base = &shown.base_url;
    let (user, password) = shown.login("users", 0);
    let app = shown.secret("app_token");
    format!(
        "JAR=$(mktemp); curl -s -o /dev/null -c \"$JAR\" {base}/login -d userName={user} -d password={password}\n\
         XSRF=$(sed -n 's/.*XSRF-TOKEN[[:space:]]*//p' \"$JAR\")\n\
         curl -s -b \"$JAR\" -H \"X-XSRF-TOKEN: $XSRF\" {base}/api/v1/Contact/2\n\
         TICKET=$(curl -s -b \"$JAR\" -H \"X-XSRF-TOKEN: $XSRF\" {base}/api/v1/User/currentTicket | tr -d '\"')\n\
         curl -s {base}/api/v1/Contact/2 -H \"Authorization: SOTicket $TICKET\" -H 'SO-AppToken: {app}'\n\
         TOKEN=$(curl -s -X POST {base}/api/v1/Agents/User/GetAccessToken -H \"Authorization: SOTicket $TICKET\" -H 'SO-AppToken: {app}' | tr -d '\"')\n\
         curl -s {base}/api/v1/Contact/2 -H \"Authorization: Bearer $TOKEN\"\n\
         # 401: the application did not prove itself\n\
         curl -si {base}/api/v1/Contact/2 -H \"Authorization: SOTicket $TICKET\"\n"
    )
}

fn knock(shown: &Shown) -> String {
    let (user, password) = shown.login("users", 0);
    // The root itself is documentation, for everybody.
    format!("curl -si -u {user}:{password} {}/api/v1/Contact/1\n", shown.base_url)
}
