//! D: passwords, and how often they may be guessed.

use std::time::Duration;

use countersign_gateway::address::ForwardingFields;
use countersign_identity::accounts::Standing;
use countersign_identity::service::By;

use super::{Ground, Told, basic, fronts};

/// Failures until an account is locked.
pub(super) const FAILURES: usize = 5;

/// Failures a minute until an address has no attempts left.
const ADDRESS_FAILURES: usize = 50;

/// One place where a password is taken.
struct Door {
    name: &'static str,
    dialect: &'static str,
    /// The account behind it, and its password.
    right: (&'static str, &'static str),
    request: fn(&str, &str) -> String,
    refusal: u16,
}

const DOORS: [Door; 6] = [
    Door {
        name: "Basic",
        dialect: "superoffice",
        right: ("alice", "wonderland-7"),
        request: |user, password| {
            format!(
                "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nAuthorization: {}",
                basic(user, password)
            )
        },
        refusal: 401,
    },
    Door {
        name: "a form",
        dialect: "superoffice",
        right: ("alice", "wonderland-7"),
        request: |user, password| {
            format!(
                "POST /login HTTP/1.1\nHost: crm.example\nContent-Type: application/x-www-form-urlencoded\n\nuserName={user}&password={password}"
            )
        },
        refusal: 401,
    },
    Door {
        name: "a ticket's call",
        dialect: "superoffice",
        right: ("alice", "wonderland-7"),
        request: |user, password| {
            format!(
                "POST /api/v1/Agents/User/CreateTicket HTTP/1.1\nHost: crm.example\nContent-Type: application/json\n\n{{\"userName\":\"{user}\",\"password\":\"{password}\"}}"
            )
        },
        refusal: 401,
    },
    Door {
        name: "a log-in's JSON",
        dialect: "voltmx",
        right: ("alice", "wonderland-7"),
        request: |user, password| {
            format!(
                "POST /authService/accounts/login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{{\"userid\":\"{user}\",\"password\":\"{password}\"}}"
            )
        },
        refusal: 401,
    },
    Door {
        name: "a log-in's XML",
        dialect: "egain",
        right: ("alice", "wonderland-7"),
        request: |user, password| {
            format!(
                "POST /system/ws/v12/authentication/user/login HTTP/1.1\nHost: a.example\nContent-Type: application/xml\n\n<userCredential><userName>{user}</userName><password>{password}</password></userCredential>"
            )
        },
        refusal: 401,
    },
    Door {
        name: "a token's call",
        dialect: "enactor",
        right: ("jane", "basket-case-8"),
        request: |user, password| {
            format!(
                "POST /WebRestApi/rest/identity/token HTTP/1.1\nHost: own.enactor\nContent-Type: application/json\n\n{{\"userName\":\"{user}\",\"password\":\"{password}\"}}"
            )
        },
        refusal: 401,
    },
];

/// Sends it, and says how often the KDF ran.
fn cost(ground: &Ground, request: &str) -> (Told, u64) {
    let before = ground.world.service().password_runs();
    let told = ground.send(request);
    (told, ground.world.service().password_runs() - before)
}

#[track_caller]
fn is_right(told: &Told) -> bool {
    matches!(told.status(), 200..400)
}

pub(super) fn account(ground: &Ground, kind: &str, name: &str) -> countersign_auth::account::AccountId {
    ground.world.service().account_named(kind, name).unwrap().account.id
}

#[test]
fn d1_unknown_users_cost_and_look_like_wrong_passwords() {
    for Door { name, dialect, right, request, refusal } in DOORS {
        let ground = Ground::of(dialect);
        let (user, password) = right;
        let kind = if dialect == "enactor" { "customers" } else { "users" };
        let (wrong, runs) = cost(&ground, &request(user, "not-the-password-1"));
        assert_eq!(runs, 1, "{name}");
        let wrong = wrong.refused(refusal).bytes();
        for (unknown, tried) in
            [("nobody", "not-the-password-1"), ("nobody", password), ("*", "x"), ("x'--", password)]
        {
            let (told, runs) = cost(&ground, &request(unknown, tried));
            assert_eq!(runs, 1, "{name}: {unknown}");
            assert_eq!(told.refused(refusal).bytes(), wrong, "{name}: {unknown}");
        }
        // Nor is a disabled account told from an unknown one, by its right password.
        let id = account(&ground, kind, user);
        let (service, now) = (ground.world.service(), ground.world.now());
        ground.world.block_on(service.set_standing(id, Standing::Disabled, By::gate(), now)).unwrap();
        let (told, runs) = cost(&ground, &request(user, password));
        assert_eq!((told.refused(refusal).bytes(), runs), (wrong, 1), "{name}: disabled");
        ground.world.block_on(service.set_standing(id, Standing::Enabled, By::gate(), now)).unwrap();
        let (told, runs) = cost(&ground, &request(user, password));
        assert!(is_right(&told), "{name}: {}", told.bytes());
        assert_eq!(runs, 1, "{name}: right");
    }
}

/// `ab` and `a` are accounts of two kinds of users, so that a memory that joins its parts would mix them up.
const MIXED: &str = r#"
[[api]]
name       = "push"
dialect    = "voltmx"
deployment = "onprem"
at         = ["/"]

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "ab"
password = "cdefghij-123"

[[account]]
name     = "a"
password = "entirely-else-9"

[[account]]
kind     = "oauth-clients"
name     = "ab"
password = "of-another-kind-5"
"#;

#[test]
fn d2_remembered_proofs_are_of_whole_credentials() {
    let ground = Ground::with("voltmx", MIXED);
    let api = |user: &str, password: &str| {
        ground.send(&format!(
            "GET /api/v1/applications HTTP/1.1\nHost: a.example\nAuthorization: {}",
            basic(user, password)
        ))
    };
    let pair = |user: &str, password: &str| {
        ground.send(&format!(
            "GET /api/v1/oauth/accesstoken HTTP/1.1\nHost: a.example\nAuthorization: {}",
            basic(user, password)
        ))
    };
    api("ab", "cdefghij-123").passed();
    let runs = ground.world.service().password_runs();
    api("ab", "cdefghij-123").passed();
    assert_eq!(ground.world.service().password_runs(), runs, "it is remembered");
    for (user, password) in [
        ("a", "bcdefghij-123"),
        ("abc", "defghij-123"),
        ("ab", "cdefghij-1234"),
        ("ab", "cdefghij-12"),
        ("", "abcdefghij-123"),
    ] {
        api(user, password).refused(401);
    }
    // Another credential on the same carrier, with accounts of its own.
    pair("ab", "cdefghij-123").refused(401);
    pair("ab", "of-another-kind-5").answered();
    api("ab", "of-another-kind-5").refused(401);
    api("a", "entirely-else-9").passed();
    // At once: one check under way is joined by nobody who sent something else.
    let ground = Ground::with("voltmx", MIXED);
    let answers: Vec<(&str, u16)> = std::thread::scope(|scope| {
        let ask = |password: &'static str| {
            let address = ground.world.address;
            scope.spawn(move || {
                let request = format!(
                    "GET /api/v1/applications HTTP/1.1\r\nHost: a.example\r\nAuthorization: {}\r\n\r\n",
                    basic("ab", password)
                );
                (
                    password,
                    crate::raw::Client::new(address).exchange(0, request.as_bytes()).unwrap().head.status(),
                )
            })
        };
        let asked: Vec<_> =
            ["cdefghij-123", "cdefghij-124", "cdefghij-123", "cdefghij-12"].into_iter().map(ask).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for (password, status) in answers {
        assert_eq!(status == 200, password == "cdefghij-123", "{password}: {status}");
    }
}

fn wrong(ground: &Ground, user: &str) -> Told {
    ground.send(&(DOORS[0].request)(user, "not-the-password-1"))
}

fn right(ground: &Ground, user: &str, password: &str) -> Told {
    ground.send(&(DOORS[0].request)(user, password))
}

#[test]
fn d3_spellings_of_a_name_share_one_bucket() {
    let ground = Ground::of("superoffice");
    ground.world.stop_clock();
    for user in ["alice", "Alice", "ALICE", "alice@example.com", "ALICE@Example.com"] {
        wrong(&ground, user).refused(401);
    }
    for user in ["alice", "aLiCe", "alice@example.com"] {
        right(&ground, user, "wonderland-7").refused(401);
    }
    right(&ground, "bob", "hatter-and-hare-3").passed();
    ground.world.wait(Duration::from_secs(20 * 60));
    right(&ground, "ALICE", "wonderland-7").passed();
    // One address that tries many names has a bucket of its own.
    let ground = Ground::of("superoffice");
    ground.world.stop_clock();
    let statuses: Vec<u16> =
        (0..60).map(|number| wrong(&ground, &format!("user-{number}")).status()).collect();
    assert!(statuses[..50].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses[50..].iter().all(|status| *status == 429), "{statuses:?}");
    right(&ground, "bob", "hatter-and-hare-3").refused(429);
    ground.world.wait(Duration::from_secs(61));
    right(&ground, "bob", "hatter-and-hare-3").passed();
}

#[test]
fn d4_whoever_is_locked_at_one_door_is_locked_at_all() {
    for Door { name: first, request: ask, .. } in &DOORS[..3] {
        let ground = Ground::of("superoffice");
        ground.world.stop_clock();
        for _ in 0..FAILURES {
            ground.send(&ask("alice", "not-the-password-1")).refused(401);
        }
        for Door { name, request, .. } in &DOORS[..3] {
            let told = ground.send(&request("alice", "wonderland-7"));
            assert_eq!(told.refused(401).seen.len(), 0, "{name} after {first}");
        }
        ground.send(&ask("bob", "hatter-and-hare-3"));
    }
    // One failure at each of several doors counts five in all, a change of password among them.
    let ground = Ground::of("voltmx");
    ground.world.stop_clock();
    let log_in = |password: &str| ground.send(&(DOORS[3].request)("dinah", password));
    let claims = log_in("milk-and-mice-5").answered().member("/claims_token/value");
    let change = |old: &str| {
        ground.send(&format!("POST /change_password HTTP/1.1\nHost: push.example\nAuthorization: {claims}\nContent-Type: application/json\n\n{{\"old_password\":\"{old}\",\"new_password\":\"cream-and-larks-6\"}}"))
    };
    let api = |password: &str| {
        ground.send(&format!(
            "GET /api/v1/applications HTTP/1.1\nHost: push.example\nAuthorization: {}",
            basic("dinah", password)
        ))
    };
    change("wrong-one-1").refused(401);
    api("wrong-one-2").refused(401);
    log_in("wrong-one-3").refused(401);
    change("wrong-one-4").refused(401);
    api("wrong-one-5").refused(401);
    change("milk-and-mice-5").refused(401);
    api("milk-and-mice-5").refused(401);
    log_in("milk-and-mice-5").refused(401);
    ground.world.wait(Duration::from_secs(20 * 60));
    log_in("milk-and-mice-5").answered();
}

#[test]
fn d4_a_value_that_an_operator_set_is_guessed_no_faster_than_a_password() {
    let ground = Ground::behind("voltmx", fronts(ForwardingFields::XForwarded));
    ground.world.stop_clock();
    let device = |address: &str, value: &str| {
        ground.send(&format!(
            "GET /api/v1/subscribers/8123 HTTP/1.1\nHost: push.example\nX-Forwarded-For: {address}\nX-Device-AuthToken: {value}"
        ))
    };
    let log_in = |address: &str| {
        ground.send(&format!(
            "GET /api/v1/applications HTTP/1.1\nHost: push.example\nX-Forwarded-For: {address}\nAuthorization: {}",
            basic("dinah", "milk-and-mice-5")
        ))
    };
    let (guesser, other) = ("198.51.100.9", "192.0.2.7");
    // Right values are no attempts.
    for _ in 0..=ADDRESS_FAILURES {
        device(guesser, "1234abc").passed();
    }
    for guess in 0..ADDRESS_FAILURES {
        device(guesser, &format!("guess-{guess}")).refused(401);
    }
    // No attempt is left: the right value looks like any other, and the next door is shut as well.
    let wrong = device(guesser, "guess-again").refused(429).bytes();
    assert_eq!(device(guesser, "1234abc").refused(429).bytes(), wrong);
    log_in(guesser).refused(429);
    device(other, "1234abc").passed();
    device(other, "guess-1").refused(401);
    log_in(other).passed();
    ground.world.wait(Duration::from_secs(60));
    device(guesser, "1234abc").passed();
    device(guesser, "guess-1").refused(401);
    log_in(guesser).passed();
}

#[test]
fn d4_an_applications_secret_is_guessed_no_faster_than_a_password() {
    let ground = Ground::behind("superoffice", fronts(ForwardingFields::XForwarded));
    ground.world.stop_clock();
    let ticket = ground.send("POST /SuperOffice/api/v1/Agents/User/CreateTicket HTTP/1.1\nHost: mixed.example\nContent-Type: application/json\n\n{\"userName\":\"alice\",\"password\":\"wonderland-7\"}").answered();
    let ticket = ticket.body().trim_matches('"').to_owned();
    let with = |address: &str, secret: &str| {
        ground.send(&format!(
            "GET /SuperOffice/api/v1/Contact/2 HTTP/1.1\nHost: mixed.example\nX-Forwarded-For: {address}\nAuthorization: SOTicket {ticket}\nSO-AppToken: {secret}"
        ))
    };
    let (guesser, other, right) = ("198.51.100.9", "192.0.2.7", "qw123f4c56770bc278017796cd16bd11");
    for _ in 0..=ADDRESS_FAILURES {
        with(guesser, right).passed();
    }
    for guess in 0..ADDRESS_FAILURES {
        with(guesser, &format!("guess-{guess}")).refused(401);
    }
    let wrong = with(guesser, "guess-again").refused(429).bytes();
    assert_eq!(with(guesser, right).refused(429).bytes(), wrong);
    with(other, right).passed();
    ground.world.wait(Duration::from_secs(60));
    with(guesser, right).passed();
}

#[test]
fn d15_odd_bytes_in_basic_have_one_reading() {
    let long = "x".repeat(90);
    let account =
        |name: &str, password: &str| format!("[[account]]\nname = \"{name}\"\npassword = \"{password}\"\n");
    let world = [
        "[[api]]\nname = \"shop\"\ndialect = \"enactor\"\nenable = [\"basic\"]\nat = [\"/\"]\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n".to_owned(),
        account("colons", "a:colon:in:it"),
        account("letters", "p\u{e4}ssw\u{f6}rter-7"),
        account("long", &format!("{long}-one")),
    ];
    let ground = Ground::with("enactor", &world.concat());
    let ask = |credentials: &[u8]| {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        ground.send(&format!("GET /x HTTP/1.1\nHost: a.example\nAuthorization: Basic {encoded}"))
    };
    ask(b"colons:a:colon:in:it").passed();
    ask("letters:p\u{e4}ssw\u{f6}rter-7".as_bytes()).passed();
    ask(format!("long:{long}-one").as_bytes()).passed();
    let refused: Vec<Vec<u8>> = vec![
        b"colons:a".to_vec(),
        b"colons:a:colon:in:it:".to_vec(),
        b"colons:a:colon:in:it\0".to_vec(),
        b"colons\0:a:colon:in:it".to_vec(),
        b"colons".to_vec(),
        b"".to_vec(),
        b":".to_vec(),
        b"letters:p\xe4ssw\xf6rter-7".to_vec(),
        // Equal in the first 72 bytes, and in all that a shorter hash would see.
        format!("long:{long}-two").into_bytes(),
        format!("long:{long}").into_bytes(),
        format!("long:{long}-one\0more").into_bytes(),
    ];
    for credentials in refused {
        let told = ask(&credentials);
        assert!(
            matches!(told.status(), 400 | 401) && told.seen.is_empty(),
            "{}: {}",
            String::from_utf8_lossy(&credentials),
            told.bytes()
        );
    }
}
