//! C14, E5: signed tokens that are got by a renewal, not by a proof.

use std::time::Duration;

use countersign_gateway::address::Fronts;

use super::{Ground, Told};
use crate::world::setting::Setting;

const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
at      = ["/"]
issuers = { "http://www.enactor.co/" = "self" }
[[api.route]]
at      = "/recent"
allow   = { max_age = "10m" }
[[api.route]]
at      = "/**"
allow   = "authenticated"

[[account]]
kind     = "customers"
name     = "ann"
password = "open-sesame-1"
"#;

/// Signed tokens for an hour, and no longer than 90 minutes after the log-in; a refresh token that buys them alone.
const RENEWAL: &str = r#"
[token.refresh]
kind     = "refresh"
form     = "{base64url:43}"
lifetime = "30d"

[credential.renewal]
scheme   = "token"
accounts = "customers"
token    = "refresh"
from     = "body refreshToken"

[endpoint.renew]
at        = "POST /identity/renew"
operation = "issue"
accepts   = ["renewal"]
reads     = ["json"]
issues    = ["access"]
answer    = { status = 200, json = '{"access_token":"{{ issued.access.value }}"}' }

[endpoint.token]"#;

fn ground() -> Ground {
    let text = Setting::dialect_text("enactor")
        .replacen("lifetime   = \"1h\"", "lifetime   = \"1h\"\nproof_lifetime = \"90m\"", 1)
        .replacen("issues    = [\"access\"]", "issues    = [\"access\", \"refresh\"]", 1)
        .replacen("{\"access_token\"", "{\"refresh\":\"{{ issued.refresh.value }}\",\"access_token\"", 1)
        .replacen("\n[endpoint.token]", RENEWAL, 1);
    let setting = Setting::from_text("enactor", "a test's world", WORLD);
    let ground = Ground::made("enactor", setting, &text, Fronts::default());
    ground.world.stop_clock();
    ground
}

fn post(ground: &Ground, path: &str, body: &str) -> Told {
    ground.send(&format!(
        "POST /identity/{path} HTTP/1.1\nHost: a.example\nContent-Type: application/json\n\n{body}"
    ))
}

/// A signed token and a refresh token.
fn log_in(ground: &Ground) -> (String, String) {
    let told = post(ground, "token", "{\"userName\":\"ann\",\"password\":\"open-sesame-1\"}").answered();
    (told.member("/access_token"), told.member("/refresh"))
}

fn renew(ground: &Ground, refresh: &str) -> Told {
    post(ground, "renew", &format!("{{\"refreshToken\":\"{refresh}\"}}"))
}

fn get(ground: &Ground, path: &str, token: &str) -> Told {
    ground.send(&format!("GET {path} HTTP/1.1\nHost: a.example\nAuthorization: Bearer {token}"))
}

#[test]
fn e5_a_token_that_a_renewal_signed_is_no_later_proof() {
    let ground = ground();
    let (first, refresh) = log_in(&ground);
    get(&ground, "/recent", &first).passed();
    ground.world.wait(Duration::from_secs(11 * 60));
    let stale = get(&ground, "/recent", &first).status();
    assert!(stale >= 400);
    let renewed = renew(&ground, &refresh).answered().member("/access_token");
    get(&ground, "/x", &renewed).passed();
    get(&ground, "/recent", &renewed).refused(stale);
    // A log-in is one.
    get(&ground, "/recent", &log_in(&ground).0).passed();
}

#[test]
fn e5_a_signed_token_reaches_no_further_than_its_proof_allows() {
    let ground = ground();
    let (first, refresh) = log_in(&ground);
    let (_, unused) = log_in(&ground);
    ground.world.wait(Duration::from_secs(59 * 60));
    get(&ground, "/x", &first).passed();
    let renewed = renew(&ground, &refresh).answered().member("/access_token");
    ground.world.wait(Duration::from_secs(30 * 60));
    get(&ground, "/x", &renewed).passed();
    // Clocks may differ by half a minute.
    ground.world.wait(Duration::from_secs(2 * 60));
    get(&ground, "/x", &renewed).refused(401);
    renew(&ground, &unused).refused(401);
}

#[test]
fn e5_a_refresh_token_that_buys_signed_tokens_alone_is_spent() {
    let ground = ground();
    let (_, refresh) = log_in(&ground);
    renew(&ground, &refresh).answered();
    // Two tabs of one client renew at once.
    ground.world.wait(Duration::from_secs(10));
    renew(&ground, &refresh).answered();
    ground.world.wait(Duration::from_secs(1));
    renew(&ground, &refresh).refused(401);
}
