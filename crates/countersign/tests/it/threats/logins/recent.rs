//! A route that asks for a recent log-in, where an issuer logs people in whose session there may be old.

use std::time::Duration;

use serde_json::json;

use super::{Ground, WORLD, call, come_back, leave, log_in, options};
use crate::provider::{Manners, Provider};

#[test]
fn oidc_a_recent_log_in_is_one_that_the_issuer_says_is_recent() {
    let recent = "[[api.route]]\nat = \"/api/v1/Contact/**\"\nallow = { max_age = \"1m\" }\n";
    let world = WORLD.replacen("[[api.route]]", &format!("{recent}[[api.route]]"), 1);
    let (ground, provider) = (Ground::with("superoffice", &world), Provider::start());
    ground.world.stop_clock();
    assert!(log_in(&ground, "corp", options(&provider)));
    let sent =
        |host: &str| ground.send(&format!("GET /login/to/corp HTTP/1.1\nHost: {host}")).header("location");
    assert!(sent("crm.example").ends_with("&max_age=60"), "{}", sent("crm.example"));
    let asks = || {
        let away = leave(&ground, "corp", "");
        let told = come_back(&ground, "corp", Some(&away.browser), &away.answer("ann")).answered();
        call(&ground, &told.cookie("SuperOffice-Session"), &told.cookie("XSRF-TOKEN"))
    };
    // His account is made at first sight, and nothing that is older than an account counts as older.
    asks().passed();
    ground.world.wait(Duration::from_secs(120));
    // Whoever was asked and does not say is not believed.
    asks().refused(401);
    let says = |ago: i64| {
        let at = ground.world.now().unix_secs() - ago;
        provider.behave(Manners::Claims(Box::new(move |claims| {
            claims.insert("auth_time".to_owned(), json!(at));
        })));
    };
    says(10);
    asks().passed();
    says(90);
    asks().refused(401);
}
