//! Whom lines of the log name.

use countersign_identity::accounts::AccountDraft;
use serde_json::Value;

use super::{PASSWORD, Secret, Site, by_password, edited};
use crate::process::Gate;
use crate::raw::{self, Answer, Client};

fn people(names: &[&str]) -> Vec<AccountDraft> {
    let account = |name: &&str| AccountDraft {
        password: Some(Secret::new(PASSWORD)),
        ..AccountDraft::new("users", name)
    };
    names.iter().map(account).collect()
}

/// A request on a connection of its own, and its access line.
fn asks(gate: &mut Gate, lines: &[&str]) -> (Answer, Value) {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let answer = Client::new(gate.address).exchange(0, &raw::bytes(&lines, "")).unwrap();
    (answer, gate.says_next(&["request answered"]))
}

/// Credential, account and cause of a refusal.
#[track_caller]
fn tried(line: &Value, expected: (&str, Option<&str>, &str)) {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let found = (text("auth.credential"), text("auth.tried.name"), text("auth.cause"));
    assert_eq!(found, (Some(expected.0), expected.1, Some(expected.2)), "{line}");
    assert!(line.get("account.name").is_none(), "{line}");
}

const NO_SESSION: &str = "no live session came with the request, so its csrf token proves nothing";
const MISSING: &str = "the csrf token is missing";
const ANOTHERS: &str = "the csrf token is not the session's";
const BESIDE: &str = "the session beside the credential is another account's";

#[test]
fn an_administrator_reads_who_lacked_a_csrf_token() {
    let apis = |upstream| {
        let api = |name: &str, dialect: &str| {
            format!(
                "[[api]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nat = [\"{name}.example/\"]\n\
                 upstream = \"http://{upstream}\"\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
            )
        };
        // One asks for the token first, the other for the proof.
        let crm = api("crm", "superoffice").replace("at = [\"crm", "deployment = \"onsite\"\nat = [\"crm");
        [api("centre", "genesys"), crm].concat()
    };
    let site = Site::with(apis, people(&["ann", "bob"]));
    edited(&site, "access = false", "access = true");
    let mut gate = site.start();
    let (ann, bob) = (by_password("ann", PASSWORD), by_password("bob", PASSWORD));

    let (post, host) = ("POST /api/v2/queues HTTP/1.1", "Host: centre.example");
    let (told, _) = asks(&mut gate, &["GET /api/v2/me HTTP/1.1", host, &ann]);
    let csrf = format!("X-CSRF-TOKEN: {}", told.head.header("x-csrf-token").unwrap());
    let set = told.head.header("set-cookie").unwrap();
    let cookie = format!("Cookie: {}", set.split(';').next().unwrap());
    let (_, line) = asks(&mut gate, &[post, host, &ann]);
    tried(&line, ("basic", None, NO_SESSION));
    let (_, line) = asks(&mut gate, &[post, host, &cookie]);
    tried(&line, ("session", Some("ann"), MISSING));
    let (_, line) = asks(&mut gate, &[post, host, &cookie, "X-CSRF-TOKEN: wrong"]);
    tried(&line, ("session", Some("ann"), ANOTHERS));
    let (_, line) = asks(&mut gate, &[post, host, &cookie, &csrf, &bob]);
    tried(&line, ("basic", Some("bob"), BESIDE));

    let (post, host) = ("POST /api/v1/Contact HTTP/1.1", "Host: crm.example");
    let log_in = "POST /login HTTP/1.1\nContent-Type: application/x-www-form-urlencoded";
    let mut lines: Vec<String> = log_in.lines().map(str::to_owned).collect();
    lines.push(host.to_owned());
    let request = raw::bytes(&lines, &format!("userName=ann&password={PASSWORD}"));
    let told = Client::new(gate.address).exchange(0, &request).unwrap();
    gate.says_next(&["request answered"]);
    let mut set = told.head.headers.iter().map(|(_, value)| value);
    let set = set.find(|value| value.starts_with("SuperOffice-Session=")).unwrap();
    let cookie = format!("Cookie: {}", set.split(';').next().unwrap());
    let (_, line) = asks(&mut gate, &[post, host, &cookie, "X-XSRF-TOKEN: wrong"]);
    tried(&line, ("session", Some("ann"), ANOTHERS));
}

#[test]
fn no_line_says_an_e_mail_address_where_an_account_is_locked() {
    let site = Site::new(people(&["ann@example.com", "bob"]));
    edited(&site, "[store]", "[lockout]\nfailures = 3\nfirst = \"10m\"\n[store]");
    let mut gate = site.start();
    for (user, name) in [("ann@example.com", Value::Null), ("bob", "bob".into())] {
        (0..3).for_each(|_| {
            super::ask(gate.address, "crm.example", &by_password(user, "not-right-at-all"));
        });
        let line = gate.says_next(&["locked after failed attempts"]);
        let shown = super::told(&site, &["user", "show", user]);
        assert_eq!((&line["account.kind"], &line["account.id"]), (&"users".into(), &shown["id"]), "{line}");
        assert_eq!(line["account.name"], name, "{line}");
    }
    let log = gate.log();
    assert!(!log.contains("example.com"), "{log}");
    let audit = super::told(&site, &["audit"]);
    assert!(audit.to_string().contains("users/ann@example.com"), "{audit}");
}

/// Whoever guesses keys of services is seen, and so is a service that asks for what its key is not for.
#[test]
fn an_administrator_reads_which_services_were_refused() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, KEY.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let apis = |upstream| {
        format!(
            "[[api]]\nname = \"shop\"\ndialect = \"enactor\"\nat = [\"/\"]\nupstream = \"http://{upstream}\"\n\
             service_key = [{{ name = \"till\", sha256 = \"{hex}\", objects = [\"basket\"] }}]\nobject.basket = {{}}\n\
             [[api.route]]\nat = \"/baskets/{{id}}\"\nallow = \"authenticated\"\nids = {{ basket = \"path id\" }}\n"
        )
    };
    let site = Site::with(apis, Vec::new());
    let mut gate = site.start();
    let address = gate.said("listening for administration")["listener.address"].clone();
    let address = address.as_str().unwrap().parse().unwrap();
    let put = |path: &str, key: Option<&str>| {
        let mut lines = vec![format!("PUT {path} HTTP/1.1"), "Host: 127.0.0.1".to_owned()];
        lines.extend(key.map(|key| format!("Authorization: Bearer {key}")));
        let request = raw::bytes(&lines, "{\"owner\":\"4711\"}");
        Client::new(address).exchange(0, &request).unwrap().head.status()
    };
    assert_eq!(put("/objects/shop/basket/9001", Some(KEY)), 204);
    let till = Value::from("till");
    let cases = [
        ("/objects/shop/basket/9001", None, 401, "shop".into(), &Value::Null),
        ("/objects/shop/basket/9001", Some("guessed-guessed-guessed"), 401, "shop".into(), &Value::Null),
        ("/objects/strangers-word/basket/9001", Some(KEY), 401, Value::Null, &Value::Null),
        ("/objects/shop/order/9001", Some(KEY), 403, "shop".into(), &till),
    ];
    for (path, key, status, api, service) in cases {
        assert_eq!(put(path, key), status, "{path}");
        let line = gate.says_next(&["refused a call of a service"]);
        assert_eq!((&line["api"], &line["service"]), (&api, service), "{line}");
        assert_eq!(
            (&line["http.status"], &line["client.address"]),
            (&status.into(), &"127.0.0.1".into()),
            "{line}"
        );
    }
    // What is not read to its end is no service's secret.
    let large = format!("{{\"owner\":\"{}\"}}", "4".repeat(300 * 1024));
    let head = [
        "PUT /objects/shop/basket/9001 HTTP/1.1".to_owned(),
        "Host: 127.0.0.1".to_owned(),
        format!("Authorization: Bearer {KEY}"),
    ];
    let told = Client::new(address).exchange(0, &raw::bytes(&head, &large)).unwrap();
    assert_eq!(told.head.status(), 413);
    let line = gate.says_next(&["refused a call of a service"]);
    assert_eq!((&line["http.status"], &line["service"]), (&413.into(), &till), "{line}");
    let log = gate.log();
    assert!(!log.contains("guessed") && !log.contains("strangers-word") && !log.contains(KEY), "{log}");
    let (_, metrics) = gate.administration("/metrics");
    for (class, count) in [("2xx", 1), ("4xx", 5), ("5xx", 0)] {
        let line = format!("countersign_service_calls_total{{status=\"{class}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}
