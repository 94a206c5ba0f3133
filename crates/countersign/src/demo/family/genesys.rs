//! Genesys Web Services: Basic on a GET opens a session, which then needs cookie and token.

use std::sync::Arc;

use super::{Family, Seed, Shown, header, member};
use crate::demo::sample::calls::Calls;

const USER: Seed = Seed::new("users", "paveld@redwings.com", ["Pavel", "D"]);

pub(super) const FAMILY: Family = Family {
    name: "contact-centre",
    dialect: "genesys",
    about: "agents, users and devices of a contact centre; the service behind it has their calls",
    prefix: "/api/v2",
    people: "users",
    sample: || Arc::new(Calls::default()),
    settings: r#"
[[api.route]]
at = "/**"
allow = "authenticated"
"#,
    accounts: &[
        Seed { roles: &["ROLE_AGENT"], ..USER },
        Seed {
            user: "mikeb@redwings.com",
            first_name: "Mike",
            last_name: "B",
            roles: &["ROLE_ADMIN"],
            ..USER
        },
    ],
    secrets: &[],
    lines,
    knock,
};

fn open(shown: &Shown, at: usize, jar: &str, path: &str) -> String {
    let (user, password) = shown.login("users", at);
    format!(
        "{jar}=$(mktemp); {jar}_TOKEN=$(curl -s -D - -o /dev/null -c \"${jar}\" -u {user}:{password} {}{path} | {})\n",
        shown.base_url,
        header("x-csrf-token")
    )
}

fn lines(shown: &Shown) -> String {
    let base = &shown.base_url;
    let call = |jar: &str| {
        format!("curl -s -b \"${jar}\" -H \"X-CSRF-TOKEN: ${jar}_TOKEN\" -H 'Content-Type: application/json'")
    };
    let (agent, admin) = (call("AGENT"), call("ADMIN"));
    format!(
        "{}\
         {agent} {base}/me -d '{{\"operationName\":\"StartContactCenterSession\",\"channels\":[\"voice\"]}}'\n\
         {agent} {base}/me -d '{{\"operationName\":\"Ready\"}}'\n\
         curl -s -b \"$AGENT\" '{base}/me?subresources=*'\n\
         {agent} {base}/me/calls -d '{{\"destination\":\"5019\"}}'\n\
         {agent} {base}/notifications/handshake -d '[{{\"channel\":\"/meta/handshake\",\"version\":\"1.0\",\"supportedConnectionTypes\":[\"long-polling\"]}}]'\n\
         # no token: 403\n\
         curl -s -b \"$AGENT\" {base}/me -d '{{\"operationName\":\"Ready\"}}'\n\
         {}\
         BOB=$({admin} {base}/users -d '{{\"userName\":\"bobp@redwings.com\",\"password\":\"a secret of his\",\"firstName\":\"Bob\",\"lastName\":\"Probert\",\"roles\":[\"ROLE_AGENT\"]}}' | {})\n\
         {admin} {base}/users/$BOB/devices -d '{{\"phoneNumber\":\"5019\"}}'\n\
         curl -s {base}/diagnostics/version\n",
        open(shown, 0, "AGENT", "/me"),
        open(shown, 1, "ADMIN", "/me"),
        member("id")
    )
}

fn knock(shown: &Shown) -> String {
    let (user, password) = shown.login("users", 0);
    format!("curl -si -u {user}:{password} {}/\n", shown.base_url)
}
