//! P-OIDC, E, F: log-ins with a foreign issuer in a browser.

mod recent;
mod told;
mod turns;

use std::time::Duration;

use countersign_identity::accounts::{AccountDraft, Standing};
use countersign_identity::directory::FirstSight;
use countersign_identity::issuers::TrustedIssuer;
use countersign_identity::issuers::login::{LoginEndpoints, LoginOptions};
use countersign_identity::issuers::remote::{Location, RemoteOptions};
use countersign_identity::outbound::Endpoint;
use countersign_identity::service::By;
use serde_json::{Value, json};

use super::{Ground, Told, claims};
use crate::provider::{CLIENT, ISSUER, KEY, Manners, Provider, code};
use crate::world::{keys, logins};

const WORLD: &str = r#"
[[api]]
name = "crm"
dialect = "superoffice"
at = ["crm.example/"]
[api.login.corp]
title = "Corp"
redirect = "https://crm.example/login/from/corp"
[api.login.other]
title = "Other"
redirect = "https://crm.example/login/from/other"
[[api.route]]
at = "/**"
allow = "authenticated"

[[api]]
name = "other-crm"
dialect = "superoffice"
at = ["other.example/"]
[api.login.corp]
title = "Corp"
redirect = "https://other.example/login/from/corp"
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "alice"
password = "wonderland-7"
"#;

const COOKIE: &str = "__Host-Countersign-Login";

/// A browser that was sent away.
struct Away {
    browser: String,
    state: String,
    nonce: String,
    challenge: String,
}

impl Away {
    fn code(&self, subject: &str) -> String {
        code(subject, &self.nonce, &self.challenge)
    }

    /// What the issuer sends it back with.
    fn answer(&self, subject: &str) -> String {
        format!("code={}&state={}", self.code(subject), self.state)
    }
}

/// A gate, and a provider of its own for both log-ins.
fn ground() -> (Ground, Provider) {
    let (ground, provider) = (Ground::with("superoffice", WORLD), Provider::start());
    for name in ["corp", "other"] {
        assert!(log_in(&ground, name, options(&provider)));
    }
    (ground, provider)
}

fn options(provider: &Provider) -> LoginOptions {
    let mut options = logins::options("https://crm.example/login/from/corp");
    options.endpoints = LoginEndpoints::Given {
        authorization: Endpoint::parse("https://id.example/authorize").unwrap(),
        token: Endpoint::parse(&format!("http://{}/token", provider.address)).unwrap(),
    };
    options
}

fn log_in(ground: &Ground, name: &str, mut options: LoginOptions) -> bool {
    options.terms.redirect = format!("https://crm.example/login/from/{name}");
    ground.world.service().log_in_with("crm", name, options, &logins::outbound())
}

fn leave(ground: &Ground, name: &str, more: &str) -> Away {
    let told = ground.send(&format!("GET /login/to/{name} HTTP/1.1\nHost: crm.example{more}")).answered();
    let location = told.header("location");
    let (_, query) = location.split_once('?').unwrap();
    let said = |name: &str| {
        let found = form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name);
        found.unwrap_or_else(|| panic!("{location}: no {name}")).1.into_owned()
    };
    assert_eq!(
        (said("response_type"), said("code_challenge_method")),
        ("code".to_owned(), "S256".to_owned())
    );
    assert_eq!(said("redirect_uri"), format!("https://crm.example/login/from/{name}"));
    let (state, nonce, challenge) = (said("state"), said("nonce"), said("code_challenge"));
    Away { browser: told.cookie(COOKIE), state, nonce, challenge }
}

/// A browser comes back, from a page of the issuer's.
fn come_back(ground: &Ground, name: &str, browser: Option<&str>, query: &str) -> Told {
    let cookie = browser.map_or_else(String::new, |browser| format!("\nCookie: {COOKIE}={browser}"));
    ground.send(&format!(
        "GET /login/from/{name}?{query} HTTP/1.1\nHost: crm.example\nAccept: text/html\nSec-Fetch-Site: cross-site\n\
         Sec-Fetch-Mode: navigate{cookie}"
    ))
}

fn whole(ground: &Ground, subject: &str) -> Told {
    let away = leave(ground, "corp", "");
    come_back(ground, "corp", Some(&away.browser), &away.answer(subject))
}

/// Refused, and no session begins.
#[track_caller]
fn refused(told: Told, status: u16) {
    let told = told.refused(status);
    assert!(told.answer.head.header("set-cookie").is_none(), "{}", told.bytes());
}

fn call(ground: &Ground, session: &str, token: &str) -> Told {
    ground.send(&format!(
        "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={session}; XSRF-TOKEN={token}\n\
         X-XSRF-TOKEN: {token}"
    ))
}

#[test]
fn oidc_a_log_in_ends_in_the_browser_that_began_it() {
    let (ground, provider) = ground();
    let (own, other) = (leave(&ground, "corp", ""), leave(&ground, "corp", ""));
    assert_ne!(own.browser, other.browser);
    // An attacker's answer in somebody else's browser, and somebody's answer in the attacker's.
    refused(come_back(&ground, "corp", Some(&other.browser), &own.answer("mallory")), 401);
    refused(come_back(&ground, "corp", None, &own.answer("mallory")), 401);
    refused(come_back(&ground, "corp", Some(""), &own.answer("mallory")), 401);
    refused(come_back(&ground, "corp", Some("AAAA"), &own.answer("mallory")), 401);
    // A cookie that another host of the domain could plant is not the one.
    let planted = format!(
        "GET /login/from/corp?{} HTTP/1.1\nHost: crm.example\nCookie: Countersign-Login={}",
        own.answer("mallory"),
        own.browser
    );
    refused(ground.send(&planted), 401);
    for query in [
        format!("code={}", own.code("mallory")),
        format!("code={}&state=", own.code("mallory")),
        format!("code={}&state={}", own.code("mallory"), other.state),
        format!("code={}&state={}A", own.code("mallory"), own.state),
        format!("state={}", own.state),
        format!("error=access_denied&state={}", own.state),
        String::new(),
    ] {
        refused(come_back(&ground, "corp", Some(&own.browser), &query), 401);
    }
    let twice = format!("{}&state={}", own.answer("ann"), own.state);
    refused(come_back(&ground, "corp", Some(&own.browser), &twice), 400);
    let passing = format!("error=temporarily_unavailable&state={}", own.state);
    refused(come_back(&ground, "corp", Some(&own.browser), &passing), 503);
    // Nothing of all that was shown to the issuer.
    assert_eq!(provider.shown(), 0);
    // A code that was slipped into a log-in of his own fails at the issuer: it is of another verifier.
    let mixed = format!("code={}&state={}", other.code("mallory"), own.state);
    refused(come_back(&ground, "corp", Some(&own.browser), &mixed), 401);
    assert_eq!(provider.shown(), 1);

    let told = whole(&ground, "ann").answered();
    assert_eq!((told.status(), told.header("location")), (303, "/login/home".to_owned()));
    let (session, token) = (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"));
    let seen = claims(&call(&ground, &session, &token).passed());
    assert_eq!((&seen["sub"], &seen["scheme"]), (&json!("ann"), &json!("token")));
    // The session is what a password begins: it needs its CSRF proof, and its end is its end.
    call(&ground, &session, "").refused(401);
    let out = format!(
        "POST /login/out HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={session}\nX-XSRF-TOKEN: {token}"
    );
    ground.send(&out).answered();
    call(&ground, &session, &token).refused(401);
}

#[test]
fn oidc_tabs_of_one_browser_do_not_spoil_each_other() {
    let (ground, _provider) = ground();
    let first = leave(&ground, "corp", "");
    let second = leave(&ground, "corp", &format!("\nCookie: {COOKIE}={}", first.browser));
    assert_eq!(first.browser, second.browser);
    for tab in [second, first] {
        come_back(&ground, "corp", Some(&tab.browser), &tab.answer("ann")).answered();
    }
    // A name that was made up, or two of them: the browser gets another.
    for made_up in ["A", "Zm9v", &"=".repeat(43)] {
        assert_ne!(leave(&ground, "corp", &format!("\nCookie: {COOKIE}={made_up}")).browser, made_up);
    }
}

#[test]
fn oidc_an_issuer_ends_what_began_with_it_at_this_api_alone() {
    let (ground, provider) = ground();
    let away = leave(&ground, "corp", "");
    refused(come_back(&ground, "other", Some(&away.browser), &away.answer("ann")), 401);
    refused(come_back(&ground, "nobody", Some(&away.browser), &away.answer("ann")), 404);
    let elsewhere = format!(
        "GET /login/from/corp?{} HTTP/1.1\nHost: other.example\nCookie: {COOKIE}={}",
        away.answer("ann"),
        away.browser
    );
    refused(ground.send(&elsewhere), 401);
    // RFC 9207.
    let naming = |issuer: &str| format!("{}&iss={issuer}", away.answer("ann"));
    refused(come_back(&ground, "corp", Some(&away.browser), &naming("https://evil.example")), 401);
    assert_eq!(provider.shown(), 0);
    come_back(&ground, "corp", Some(&away.browser), &naming("https%3A%2F%2Fid.example")).answered();
    ground.send("GET /login/to/nobody HTTP/1.1\nHost: crm.example").refused(404);

    // One that promises its name says it with each answer; its secret goes where it wants it.
    let location = Location::Discovery {
        endpoint: Endpoint::parse(&format!("http://{}/discovery", provider.address)).unwrap(),
        issuer: ISSUER.to_owned(),
    };
    let hour = Duration::from_secs(3600);
    let remote = RemoteOptions { location, refresh: hour, stale: hour };
    let keys = TrustedIssuer::Remote(Box::new(remote), logins::outbound());
    ground.world.service().trust_issuer_on("crm", ISSUER, keys, None);
    assert!(log_in(
        &ground,
        "corp",
        LoginOptions { endpoints: LoginEndpoints::Discovered, ..options(&provider) }
    ));
    let away = leave(&ground, "corp", "");
    refused(come_back(&ground, "corp", Some(&away.browser), &away.answer("ann")), 401);
    let named = format!("{}&iss={ISSUER}", away.answer("ann"));
    come_back(&ground, "corp", Some(&away.browser), &named).answered();
}

#[test]
fn oidc_a_log_in_is_ended_once_and_in_time() {
    let (ground, provider) = ground();
    let away = leave(&ground, "corp", "");
    come_back(&ground, "corp", Some(&away.browser), &away.answer("ann")).answered();
    for _ in 0..3 {
        refused(come_back(&ground, "corp", Some(&away.browser), &away.answer("ann")), 401);
    }
    assert_eq!(provider.shown(), 1);
    let (early, late) = (leave(&ground, "corp", ""), leave(&ground, "corp", ""));
    ground.world.wait(Duration::from_secs(590));
    come_back(&ground, "corp", Some(&early.browser), &early.answer("ann")).answered();
    ground.world.wait(Duration::from_secs(20));
    refused(come_back(&ground, "corp", Some(&late.browser), &late.answer("ann")), 401);
    assert_eq!(provider.shown(), 2);
}

#[test]
fn oidc_an_id_token_is_for_this_client_and_this_log_in() {
    let (ground, provider) = ground();
    let check = |status: u16, name: &'static str, value: Value| {
        let asked = value.clone();
        provider.behave(Manners::Claims(Box::new(move |claims| {
            if value.is_null() {
                claims.remove(name)
            } else {
                claims.insert(name.to_owned(), value.clone())
            };
        })));
        let told = whole(&ground, "ann");
        assert_eq!(told.status(), status, "{name}: {asked}\n{}", told.bytes());
    };
    check(303, "nothing", json!(1));
    for (name, value) in [
        ("nonce", Value::Null),
        ("nonce", json!("of another log-in")),
        ("nonce", json!(7)),
        ("aud", json!("another-client")),
        ("aud", Value::Null),
        ("aud", json!([CLIENT, "another-client"])),
        ("azp", json!("another-client")),
        ("azp", json!(7)),
        ("iss", json!("https://evil.example")),
        ("iss", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("exp", json!(1_600_000_000)),
        ("exp", Value::Null),
        ("nbf", json!(9_000_000_000_i64)),
        ("auth_time", json!("1800000000")),
        ("auth_time", json!([])),
    ] {
        check(401, name, value);
    }
    check(303, "aud", json!([CLIENT]));
    check(303, "azp", json!(CLIENT));
    check(303, "auth_time", json!(1_600_000_000));
    check(303, "auth_time", json!(1_600_000_000_000_i64));
    let changed = |change: fn(String) -> String| provider.behave(Manners::Token(Box::new(change)));
    changed(|token| format!("{}.", token.rsplit_once('.').unwrap().0));
    refused(whole(&ground, "ann"), 401);
    changed(|token| format!("{}A{}", &token[..40], &token[41..]));
    assert!([401, 503].contains(&whole(&ground, "ann").status()));
    changed(|token| {
        let payload = token.split('.').nth(1).unwrap().to_owned();
        let header = keys::minted(KEY, &json!({ "alg": "none" }), &json!({}));
        format!("{}.{payload}.", header.split('.').next().unwrap())
    });
    refused(whole(&ground, "ann"), 401);
    let stranger = |token: String| {
        let decode = |part: &str| {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice::<Value>(&bytes).unwrap()
        };
        let parts: Vec<&str> = token.split('.').collect();
        keys::minted("a stranger", &decode(parts[0]), &decode(parts[1]))
    };
    changed(stranger);
    refused(whole(&ground, "ann"), 401);
    provider.behave(Manners::Good);
    whole(&ground, "ann").answered();
}

#[test]
fn f1_an_issuer_that_cannot_be_asked_is_no_wrong_log_in_and_nobody_elses_trouble() {
    let (ground, provider) = ground();
    let password = || {
        let form = "userName=alice&password=wonderland-7";
        let form_of = "Content-Type: application/x-www-form-urlencoded";
        ground.send(&format!("POST /login HTTP/1.1\nHost: crm.example\n{form_of}\n\n{form}")).answered();
    };
    let id_token = |text: &str| json!({ "id_token": text }).to_string();
    for (status, body) in [
        ("500 Internal Server Error", String::new()),
        ("302 Found", String::new()),
        ("200 OK", "no json".to_owned()),
        ("200 OK", "{}".to_owned()),
        ("200 OK", id_token("no token")),
        ("200 OK", id_token("a.b.c")),
        ("200 OK", id_token(&"x".repeat(1 << 20))),
        ("401 Unauthorized", json!({ "error": "invalid_client" }).to_string()),
        ("429 Too Many Requests", String::new()),
    ] {
        let away = leave(&ground, "corp", "");
        provider.behave(Manners::Answer(status, body.clone()));
        refused(come_back(&ground, "corp", Some(&away.browser), &away.answer("ann")), 503);
        password();
        provider.behave(Manners::Good);
        if !body.contains("id_token") {
            // Nobody took the code: whoever tries again gets in.
            come_back(&ground, "corp", Some(&away.browser), &away.answer("ann")).answered();
        }
    }
    // Nobody listens there, nor where the discovery document is.
    let nowhere = Endpoint::parse("http://127.0.0.1:1/").unwrap();
    let authorization = Endpoint::parse("https://id.example/authorize").unwrap();
    let given = LoginEndpoints::Given { authorization, token: nowhere.clone() };
    assert!(log_in(&ground, "corp", LoginOptions { endpoints: given, ..options(&provider) }));
    refused(whole(&ground, "ann"), 503);
    let location = Location::Discovery { endpoint: nowhere, issuer: ISSUER.to_owned() };
    let second = Duration::from_secs(1);
    let remote = RemoteOptions { location, refresh: second, stale: second };
    let keys = TrustedIssuer::Remote(Box::new(remote), logins::outbound());
    ground.world.service().trust_issuer_on("crm", ISSUER, keys, None);
    assert!(log_in(
        &ground,
        "corp",
        LoginOptions { endpoints: LoginEndpoints::Discovered, ..options(&provider) }
    ));
    ground.send("GET /login/to/corp HTTP/1.1\nHost: crm.example").refused(503);
    password();
}

#[test]
fn oidc_whoever_an_issuer_logs_in_has_his_own_account_and_nobody_elses() {
    let (ground, provider) = ground();
    // The name of an account with a password is taken, whatever an issuer says.
    refused(whole(&ground, "alice"), 401);
    whole(&ground, "ann").answered();
    whole(&ground, "ann").answered();
    let service = ground.world.service();
    let by = By::gate;
    let ann = service.accounts().into_iter().find(|account| account.account.name == "ann").unwrap();
    assert_eq!((ann.account.full_name.as_str(), ann.account.email.as_str()), ("ANN", "ann@id.example"));
    // Only who has an account already, where none are made; one that an operator made is his by its name.
    assert!(log_in(&ground, "corp", LoginOptions { first_sight: FirstSight::Refuse, ..options(&provider) }));
    refused(whole(&ground, "bob"), 401);
    let now = ground.world.now();
    let made =
        ground.world.block_on(service.create_account(AccountDraft::new("users", "bob"), by(), now)).unwrap();
    whole(&ground, "bob").answered();
    // An account that is disabled lets nobody in, and ends what it had.
    let told = whole(&ground, "bob").answered();
    let (session, token) = (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"));
    call(&ground, &session, &token).passed();
    ground.world.block_on(service.set_standing(made.id, Standing::Disabled, by(), now)).unwrap();
    call(&ground, &session, &token).refused(401);
    refused(whole(&ground, "bob"), 401);
    // A name that people choose themselves is none until the issuer has verified it.
    let mut by_email = options(&provider);
    by_email.terms.claims = vec![("subject".to_owned(), "email".to_owned())];
    assert!(log_in(&ground, "corp", by_email));
    refused(whole(&ground, "eve"), 401);
    provider.behave(Manners::Claims(Box::new(|claims| {
        claims.insert("email_verified".to_owned(), json!(true));
    })));
    whole(&ground, "eve").answered();
    provider.behave(Manners::Good);
    // Roles as the configuration says, and none where it names none.
    let mut with_roles = options(&provider);
    with_roles.terms.claims = vec![("roles".to_owned(), "groups".to_owned())];
    with_roles.terms.roles = Some([("sellers".to_owned(), vec!["agent".to_owned()])].into());
    assert!(log_in(&ground, "corp", with_roles));
    let told = whole(&ground, "ann").answered();
    let seen =
        claims(&call(&ground, &told.cookie("SuperOffice-Session"), &told.cookie("XSRF-TOKEN")).passed());
    assert_eq!(seen["roles"], json!(["agent"]));
}

#[test]
fn e6_a_log_in_with_an_issuer_leads_back_to_this_api_alone() {
    let (ground, _provider) = ground();
    for (asked, expected) in [
        ("%2Fcrm%2Fcontact%3Fid%3D2", "/crm/contact?id=2"),
        ("https%3A%2F%2Fevil.example", "/login/home"),
        ("%2F%2Fevil.example", "/login/home"),
        ("%2F%5Cevil.example", "/login/home"),
        ("%2Fx%0d%0aSet-Cookie%3A%20a%3Db", "/login/home"),
    ] {
        let told = ground.send(&format!("GET /login/to/corp?return_to={asked} HTTP/1.1\nHost: crm.example"));
        let location = told.header("location");
        let query: std::collections::HashMap<String, String> =
            form_urlencoded::parse(location.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
        assert!(!location.contains("evil"), "{location}");
        let code = code("ann", &query["nonce"], &query["code_challenge"]);
        // Nothing beside the sealed state says where to.
        let back = format!("code={code}&state={}&return_to=https%3A%2F%2Fevil.example", query["state"]);
        let told = come_back(&ground, "corp", Some(&told.cookie(COOKIE)), &back).answered();
        assert_eq!(told.header("location"), expected, "{asked}");
    }
}

#[test]
fn f2_answers_of_some_length_alone_end_a_log_in() {
    const MOST: usize = 128 * 1024;
    let (ground, provider) = ground();
    provider.behave(Manners::Padded(MOST));
    whole(&ground, "ann").answered();
    provider.behave(Manners::Padded(MOST + 1));
    refused(whole(&ground, "ann"), 503);
    assert_eq!(provider.shown(), 2);
}
