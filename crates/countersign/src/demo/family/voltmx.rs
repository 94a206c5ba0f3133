//! HCL Volt MX Foundry Engagement Services: five credentials side by side.

use std::sync::Arc;

use super::{Family, SecretSeed, Seed, Shown, member};
use crate::demo::sample::applications::Applications;

const USER: Seed = Seed::new("users", "vmadmin", ["Vera", "Admin"]);

pub(super) const FAMILY: Family = Family {
    name: "engagement",
    dialect: "voltmx",
    about: "applications and messages",
    prefix: "",
    people: "users",
    sample: || Arc::new(Applications::default()),
    settings: r#"
shared.device = { file = "device.txt" }
[[api.route]]
at = "/**"
allow = "authenticated"
"#,
    accounts: &[
        Seed { roles: &["administrator"], ..USER },
        Seed { user: "erin", first_name: "Erin", last_name: "User", roles: &["user"], ..USER },
        Seed::new("oauth-clients", "oauth-client", ["OAuth", "Client"]),
    ],
    secrets: &[
        SecretSeed::Shared { name: "device_token", word: "device" },
        SecretSeed::Application { name: "application_secret", application: "demo-app" },
        SecretSeed::Key { name: "api_key", application: "demo-app" },
    ],
    lines,
    knock,
};

fn login(shown: &Shown) -> String {
    let (user, password) = shown.login("users", 0);
    format!(
        "CLAIMS=$(curl -s {}/authService/accounts/login -H 'Content-Type: application/json;charset=UTF-8;charset=UTF-8' \\\n  \
         -d '{{\"userid\":\"{user}\",\"password\":\"{password}\"}}' | sed -n 's/.*\"claims_token\":{{\"value\":\"\\([^\"]*\\)\".*/\\1/p')\n",
        shown.base_url
    )
}

fn lines(shown: &Shown) -> String {
    let base = &shown.base_url;
    let (user, password) = shown.login("users", 0);
    let (client, secret) = shown.login("oauth-clients", 0);
    format!(
        "{}\
         curl -s {base}/api/v1/applications -H \"X-VoltMX-Authorization: $CLAIMS\"\n\
         curl -s -u {user}:{password} {base}/api/v1/applications\n\
         PAIR=$(curl -s -u {client}:{secret} {base}/api/v1/oauth/accesstoken)\n\
         curl -s -X POST {base}/vpns/api/v1/messages/push -d '{{}}' -H \"AccessToken: $(echo \"$PAIR\" | {})\" -H \"AccessSecret: $(echo \"$PAIR\" | {})\"\n\
         curl -s {base}/api/v1/subscribers -H 'X-Device-AuthToken: {}' -H 'Content-Type: application/json' \\\n  \
         -d '{{\"subscriptionService\":{{\"subscribe\":{{\"sid\":\"1\",\"appId\":\"demo-app\",\"deviceId\":\"7\"}}}}}}'\n\
         curl -s {base}/api/v1/applications -H 'X-VoltMX-App-API-Key: {}'\n\
         curl -s {base}/api/v1/applications/key -H \"X-VoltMX-Authorization: $CLAIMS\" -d appId=demo-app -d neverExpires=true\n",
        login(shown),
        member("AccessToken"),
        member("AccessSecret"),
        shown.secret("device_token"),
        shown.secret("api_key"),
    )
}

fn knock(shown: &Shown) -> String {
    format!("{}curl -si {}/api/v1/ -H \"X-VoltMX-Authorization: $CLAIMS\"\n", login(shown), shown.base_url)
}
