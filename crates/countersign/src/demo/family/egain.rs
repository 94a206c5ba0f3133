//! eGain / Cisco ECE: a session by header for programs, by cookie with a token for the console.

use std::sync::Arc;

use super::{Family, Seed, Shown, header};
use crate::demo::sample::activities::Activities;

const USER: Seed = Seed::new("users", "anna", ["Anna", "Agent"]);

pub(super) const FAMILY: Family = Family {
    name: "activities",
    dialect: "egain",
    about: "activities of agents",
    prefix: "/system",
    people: "users",
    sample: || Arc::new(Activities),
    settings: r#"
[[api.route]]
at = "GET /ws/{ver}/**/hello"
allow = "anonymous"
[[api.route]]
at = "/**"
allow = "authenticated"
"#,
    accounts: &[
        Seed { roles: &["agent"], ..USER },
        Seed { user: "ben", first_name: "Ben", roles: &["agent"], ..USER },
        Seed {
            user: "pa",
            first_name: "Petra",
            last_name: "Administrator",
            roles: &["partition-administrator"],
            ..USER
        },
        Seed::new("clients", "reporting-client", ["Reporting", "Client"]),
        Seed::new("customers", "carla", ["Carla", "Customer"]),
    ],
    secrets: &[],
    lines,
    knock,
};

fn login(shown: &Shown) -> String {
    let (user, password) = shown.login("users", 0);
    format!(
        "SESSION=$(curl -s -D - -o /dev/null {}/ws/v12/authentication/user/login -H 'Content-Type: application/json' \\\n  \
         -d '{{\"userName\":\"{user}\",\"password\":\"{password}\"}}' | {})\n",
        shown.base_url,
        header("x-egain-session")
    )
}

fn lines(shown: &Shown) -> String {
    let base = &shown.base_url;
    let (client, secret) = shown.login("clients", 0);
    format!(
        "{}\
         curl -s '{base}/ws/v12/interaction/activity?assignedTo=anna' -H \"X-egain-session: $SESSION\" -H 'Accept: application/json'\n\
         # without a session: 401 in XML\n\
         curl -s '{base}/ws/v12/interaction/activity?assignedTo=anna'\n\
         curl -s -u {client}:{secret} {base}/ws/v19/clientapplications/authentication/oauth2/token -d grant_type=client_credentials\n\
         curl -si -X DELETE {base}/ws/v12/authentication/user/logout -H \"X-egain-session: $SESSION\"\n\
         # in a browser: {base}/web/custom/view/my_activities.html\n",
        login(shown)
    )
}

fn knock(shown: &Shown) -> String {
    format!("{}curl -si {}/ws/v12/ -H \"X-egain-session: $SESSION\"\n", login(shown), shown.base_url)
}
