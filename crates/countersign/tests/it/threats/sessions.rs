//! E: sessions, CSRF, browsers.

use std::fmt::Write as _;

use countersign_auth::account::AccountId;
use countersign_auth::secret::Secret;
use countersign_identity::accounts::Standing;
use countersign_identity::service::By;
use countersign_identity::service::equivalents::NewPassword;

use super::{Ground, Told, all, basic, claims};

/// A session of the browser.
struct Session {
    id: String,
    csrf: String,
}

fn sign_in(ground: &Ground, user: &str, password: &str, cookie: &str) -> Session {
    let told = ground
        .send(&format!("POST /login HTTP/1.1\nHost: crm.example{cookie}\nContent-Type: application/x-www-form-urlencoded\n\nuserName={user}&password={password}"))
        .answered();
    Session { id: told.cookie("SuperOffice-Session"), csrf: told.cookie("XSRF-TOKEN") }
}

fn alice(ground: &Ground) -> Session {
    sign_in(ground, "alice", "wonderland-7", "")
}

fn contact(ground: &Ground, id: &str, csrf: &str) -> Told {
    ground.send(&format!(
        "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={id}\nX-XSRF-TOKEN: {csrf}"
    ))
}

#[test]
fn e1_a_log_in_begins_a_session_of_its_own() {
    let ground = Ground::of("superoffice");
    let planted = "A".repeat(43);
    let fresh = sign_in(
        &ground,
        "alice",
        "wonderland-7",
        &format!("\nCookie: SuperOffice-Session={planted}; XSRF-TOKEN={planted}"),
    );
    assert!(fresh.id != planted && fresh.csrf != planted);
    contact(&ground, &planted, &planted).refused(401);
    contact(&ground, &planted, &fresh.csrf).refused(401);
    contact(&ground, &fresh.id, &fresh.csrf).passed();
    // The attacker plants a live session of his own: the victim gets another, and the attacker sees nothing of her.
    let his = sign_in(&ground, "bob", "hatter-and-hare-3", "");
    let hers = sign_in(
        &ground,
        "alice",
        "wonderland-7",
        &format!("\nCookie: SuperOffice-Session={}; XSRF-TOKEN={}", his.id, his.csrf),
    );
    assert!(hers.id != his.id && hers.csrf != his.csrf);
    assert_eq!(claims(&contact(&ground, &hers.id, &hers.csrf).passed())["sub"], "AL");
    let told = contact(&ground, &his.id, &his.csrf);
    assert!(told.status() == 401 || claims(&told.passed())["sub"] == "BH");
    contact(&ground, &his.id, &hers.csrf).refused(401);
    // Signing in again does not prolong the old session.
    let again =
        sign_in(&ground, "alice", "wonderland-7", &format!("\nCookie: SuperOffice-Session={}", hers.id));
    assert!(again.id != hers.id && again.csrf != hers.csrf);
    contact(&ground, &hers.id, &hers.csrf).refused(401);
    contact(&ground, &again.id, &again.csrf).passed();
    // A session that was nobody's never becomes somebody's.
    let ground = Ground::of("genesys");
    let told = ground.send("GET /api/v2/diagnostics/version HTTP/1.1\nHost: a.example");
    let (nobodys, nobodys_csrf) = (told.cookie("JSESSIONID"), told.header("X-CSRF-TOKEN"));
    told.passed();
    let told = ground.send(&format!(
        "GET /api/v2/me HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={nobodys}\nAuthorization: {}",
        basic("paveld@redwings.com", "password-of-paul")
    ));
    let (his, his_csrf) = (told.cookie("JSESSIONID"), told.header("X-CSRF-TOKEN"));
    told.passed();
    assert!(his != nobodys && his_csrf != nobodys_csrf);
    let me =
        |id: &str| ground.send(&format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={id}"));
    me(&nobodys).refused(403);
    me(&his).passed();
}

#[test]
fn e2_cookies_that_cannot_be_read_prove_nothing() {
    let ground = Ground::of("superoffice");
    let session = alice(&ground);
    let (id, csrf) = (&session.id, &session.csrf);
    let ask = |cookies: &[u8]| {
        let mut request = b"GET /api/v1/Contact/2 HTTP/1.1\r\nHost: crm.example\r\nX-XSRF-TOKEN: ".to_vec();
        request.extend_from_slice(csrf.as_bytes());
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(cookies);
        request.extend_from_slice(b"\r\n\r\n");
        ground.send_bytes(&request)
    };
    let mut many = String::from("Cookie: ");
    for number in 0..300 {
        write!(many, "c{number}=1; ").unwrap();
    }
    let refused: Vec<Vec<u8>> = [
        "Cookie: SuperOffice-Session=".to_owned(),
        format!("Cookie: SuperOffice-Session={}", &id[..42]),
        format!("Cookie: SuperOffice-Session={id}A"),
        format!("Cookie: SuperOffice-Session={}", id.to_lowercase()),
        format!("Cookie: superoffice-session={id}"),
        format!("Cookie: SuperOffice-Session {id}"),
        format!("Cookie: SuperOffice-Session=={id}"),
        format!("Cookie: =SuperOffice-Session={id}"),
        format!("Cookie: SuperOffice-Session=%00{id}"),
        format!("Cookie: SuperOffice-Session={id}%"),
        format!("Cookie: SuperOffice-Session={}", "A".repeat(43)),
        format!("Cookie: SuperOffice-Session={}", "A".repeat(4000)),
        format!("Cookie: {}SuperOffice-Session={id}", "x=".to_owned() + &"A".repeat(100_000) + "; "),
        format!("{many}SuperOffice-Session={id}"),
        format!("Cookie: SuperOffice-Session={id}; SuperOffice-Session={}", "A".repeat(43)),
        format!("Cookie: SuperOffice-Session={}; SuperOffice-Session={id}", "A".repeat(43)),
        format!("Cookie: SuperOffice-Session={id}\r\nCookie: SuperOffice-Session={id}x"),
        format!("X-Cookie: SuperOffice-Session={id}"),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([[b"Cookie: SuperOffice-Session=".as_slice(), b"\xff\xfe", id.as_bytes()].concat()])
    .collect();
    for cookies in refused {
        let told = ask(&cookies);
        assert!(
            matches!(told.status(), 400 | 401 | 431),
            "{}\n{}",
            String::from_utf8_lossy(&cookies[..cookies.len().min(200)]),
            told.bytes()
        );
        assert!(told.seen.is_empty(), "{}", String::from_utf8_lossy(&cookies));
    }
    for cookies in [
        format!("Cookie: SuperOffice-Session={id}"),
        format!("Cookie: a=1; SuperOffice-Session={id}; b"),
        format!("Cookie: ;; SuperOffice-Session=\"{id}\" ;"),
    ] {
        let seen = ask(cookies.as_bytes()).passed();
        assert!(!all(&seen, "cookie").concat().contains(id.as_str()));
    }
}

/// What somebody may hold, as requests that show it.
type Shown = Vec<(&'static str, String)>;

fn all_pass(ground: &Ground, shown: &Shown) {
    for (what, request) in shown {
        let told = ground.send(request);
        assert_eq!((told.status(), told.seen.len()), (200, 1), "{what}: {}", told.bytes());
    }
}

fn all_dead(ground: &Ground, shown: &Shown, after: &str) {
    for (what, request) in shown {
        let told = ground.send(request);
        assert!(matches!(told.status(), 401 | 403), "{what} after {after}: {}", told.bytes());
        assert!(told.seen.is_empty(), "{what} after {after}");
    }
}

fn account(ground: &Ground, kind: &str, name: &str) -> AccountId {
    ground.world.service().account_named(kind, name).unwrap().account.id
}

fn by_cookie(session: &Session) -> String {
    format!(
        "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={}\nX-XSRF-TOKEN: {}",
        session.id, session.csrf
    )
}

fn by(authorization: &str) -> String {
    format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nAuthorization: {authorization}")
}

fn ticket(ground: &Ground, user: &str, password: &str) -> String {
    let told = ground
        .send(&format!("POST /api/v1/Agents/User/CreateTicket HTTP/1.1\nHost: crm.example\nContent-Type: application/json\n\n{{\"userName\":\"{user}\",\"password\":\"{password}\"}}"))
        .answered();
    told.body().trim_matches('"').to_owned()
}

fn crm(ground: &Ground, user: &str, password: &str) -> (Session, Shown) {
    let session = sign_in(ground, user, password, "");
    let shown = vec![
        ("a cookie", by_cookie(&session)),
        ("a ticket", by(&format!("SOTicket {}", ticket(ground, user, password)))),
        ("a remembered password", by(&basic(user, password))),
    ];
    all_pass(ground, &shown);
    (session, shown)
}

fn foundry(ground: &Ground) -> Shown {
    let told = ground
        .send("POST /authService/accounts/login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{\"userid\":\"dinah\",\"password\":\"milk-and-mice-5\"}")
        .answered();
    let (claims, refresh) = (told.member("/claims_token/value"), told.member("/refresh_token"));
    let shown = vec![
        (
            "a claims token",
            format!(
                "GET /api/v1/applications HTTP/1.1\nHost: push.example\nX-VoltMX-Authorization: {claims}"
            ),
        ),
        (
            "Basic",
            format!(
                "GET /api/v1/applications HTTP/1.1\nHost: push.example\nAuthorization: {}",
                basic("dinah", "milk-and-mice-5")
            ),
        ),
    ];
    all_pass(ground, &shown);
    let mut shown = shown;
    shown.push((
        "a refresh token",
        format!("POST /claims HTTP/1.1\nHost: push.example\nAuthorization: {refresh}"),
    ));
    shown
}

fn own_jwt(ground: &Ground) -> Shown {
    let token = ground
        .send("POST /WebRestApi/rest/identity/token HTTP/1.1\nHost: own.enactor\nContent-Type: application/json\n\n{\"userName\":\"jane\",\"password\":\"basket-case-8\"}")
        .answered()
        .member("/access_token");
    let shown = vec![(
        "a JWT of the gate",
        format!(
            "GET /WebRestApi/rest/baskets/PRIMARY HTTP/1.1\nHost: own.enactor\nAuthorization: Bearer {token}"
        ),
    )];
    all_pass(ground, &shown);
    shown
}

#[test]
fn e4_what_was_issued_on_a_session_ends_with_it() {
    let ground = Ground::of("superoffice");
    let on = |head: &str, fields: &str| {
        ground.send(&format!("{head} HTTP/1.1\nHost: mixed.example\n{fields}")).answered()
    };
    let text = |told: &Told| told.body().trim_matches('"').to_owned();
    let held = || {
        let told = on(
            "POST /SuperOffice/login",
            "Content-Type: application/x-www-form-urlencoded\n\nuserName=alice&password=wonderland-7",
        );
        let (id, csrf) = (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"));
        let session = format!("Cookie: SuperOffice-Session={id}\nX-XSRF-TOKEN: {csrf}");
        let ticket = text(&on("GET /SuperOffice/api/v1/User/currentTicket", &session));
        let ticket =
            format!("Authorization: SOTicket {ticket}\nSO-AppToken: qw123f4c56770bc278017796cd16bd11");
        let access = |by: &str| {
            format!("Authorization: Bearer {}", text(&on("GET /SuperOffice/api/v1/User/currentToken", by)))
        };
        let tokens = [access(&session), access(&ticket), ticket];
        (session, tokens)
    };
    let contact = |by: &str| {
        ground.send(&format!("GET /SuperOffice/api/v1/Contact/2 HTTP/1.1\nHost: mixed.example\n{by}"))
    };
    let (first, of_first) = held();
    let (second, of_second) = held();
    let all = || of_first.iter().chain([&first]);
    let others = || of_second.iter().chain([&second]);
    all().chain(others()).for_each(|by| drop(contact(by).passed()));
    on("POST /SuperOffice/login/out", &first);
    all().for_each(|by| drop(contact(by).refused(401)));
    others().for_each(|by| drop(contact(by).passed()));
    // A ticket that is given back leaves the session, but not what was asked for with it.
    let [by_session, by_ticket, ticket] = &of_second;
    on("DELETE /SuperOffice/api/v1/User/currentTicket", ticket);
    [by_ticket, ticket].into_iter().for_each(|by| drop(contact(by).refused(401)));
    [by_session, &second].into_iter().for_each(|by| drop(contact(by).passed()));
}

/// The next request; what is open, WebSockets and held polls, is in `revocation`.
#[test]
fn e4_what_was_ended_is_dead_on_the_next_request() {
    let ground = Ground::of("superoffice");
    // Logging out ends that session, and no other.
    let first = alice(&ground);
    let second = alice(&ground);
    contact(&ground, &first.id, &first.csrf).passed();
    ground
        .send(&format!("POST /login/out HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={}\nContent-Type: application/x-www-form-urlencoded\n\nXSRF_TOKEN={}", first.id, first.csrf))
        .answered();
    contact(&ground, &first.id, &first.csrf).refused(401);
    contact(&ground, &first.id, &second.csrf).refused(401);
    contact(&ground, &second.id, &second.csrf).passed();
    let held = ticket(&ground, "alice", "wonderland-7");
    let by_ticket = by(&format!("SOTicket {held}"));
    ground.send(&by_ticket).passed();
    ground
        .send(&format!(
            "DELETE /api/v1/User/currentTicket HTTP/1.1\nHost: crm.example\nAuthorization: SOTicket {held}"
        ))
        .answered();
    ground.send(&by_ticket).refused(401);
    // A change of the password ends what was there before, but for the session that asked.
    let (_, shown) = crm(&ground, "dinah", "milk-and-mice-5");
    let asking = sign_in(&ground, "dinah", "milk-and-mice-5", "");
    let told = ground
        .send(&format!("POST /api/v1/Agents/User/ChangeOwnPassword HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={}\nX-XSRF-TOKEN: {}\nContent-Type: application/json\n\n{{\"oldPassword\":\"milk-and-mice-5\",\"newPassword\":\"cream-and-larks-6\"}}", asking.id, asking.csrf))
        .answered();
    assert_eq!(told.body(), "true");
    all_dead(&ground, &shown, "a change of the password");
    contact(&ground, &asking.id, &asking.csrf).passed();
    // Whatever an administrator does ends all.
    type Act = fn(&Ground, AccountId);
    let acts: [(&str, Act); 3] = [
        ("disabling", |ground, id| {
            let (service, now) = (ground.world.service(), ground.world.now());
            ground.world.block_on(service.set_standing(id, Standing::Disabled, By::gate(), now)).unwrap();
        }),
        ("a new password", |ground, id| {
            let (service, now) = (ground.world.service(), ground.world.now());
            let password = NewPassword::Lasting(Secret::new("chosen-by-others-1"));
            ground.world.block_on(service.set_password(id, password, Vec::new(), By::gate(), now)).unwrap();
        }),
        ("deleting", |ground, id| {
            let (service, now) = (ground.world.service(), ground.world.now());
            ground.world.block_on(service.delete_account(id, By::gate(), now)).unwrap();
        }),
    ];
    for (name, act) in acts {
        let ground = Ground::of("superoffice");
        let (_, shown) = crm(&ground, "alice", "wonderland-7");
        let (_, others) = crm(&ground, "bob", "hatter-and-hare-3");
        let id = account(&ground, "users", "alice");
        act(&ground, id);
        all_dead(&ground, &shown, name);
        all_pass(&ground, &others);
        if name == "disabling" {
            let (service, now) = (ground.world.service(), ground.world.now());
            ground.world.block_on(service.set_standing(id, Standing::Enabled, By::gate(), now)).unwrap();
            all_dead(&ground, &shown[..2].to_vec(), "enabling again");
        }
        let ground = Ground::of("voltmx");
        let shown = foundry(&ground);
        act(&ground, account(&ground, "users", "dinah"));
        all_dead(&ground, &shown, name);
        let ground = Ground::of("enactor");
        let shown = own_jwt(&ground);
        // Tokens say when they were issued in whole seconds.
        ground.world.wait(std::time::Duration::from_secs(1));
        act(&ground, account(&ground, "customers", "jane"));
        all_dead(&ground, &shown, name);
    }
    let ground = Ground::of("voltmx");
    let shown = foundry(&ground);
    let bearer = shown[0].1.rsplit(' ').next().unwrap().to_owned();
    ground.send(&format!("POST /logout HTTP/1.1\nHost: push.example\nAuthorization: {bearer}")).answered();
    all_dead(&ground, &vec![shown[0].clone(), shown[2].clone()], "logging out");
}

#[test]
fn e7_a_cookie_alone_changes_nothing() {
    // Every method, GET too, and one that a route names; the dialect's own refusal: 401.
    let world = std::fs::read_to_string(
        crate::transcript::root().join("dialects/superoffice/transcripts/world.toml"),
    );
    let merge = "[[api.route]]\nat = \"MERGE /api/v1/Contact/**\"\nallow = \"authenticated\"\n[[api.route]]";
    let ground = Ground::with("superoffice", &world.unwrap().replacen("[[api.route]]", merge, 1));
    let (ours, other) = (alice(&ground), alice(&ground));
    let his = sign_in(&ground, "bob", "hatter-and-hare-3", "");
    let (id, csrf) = (&ours.id, &ours.csrf);
    for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "MERGE"] {
        let ask = |target: &str, more: &str| {
            ground.send(&format!("{method} /api/v1/Contact/2{target} HTTP/1.1\nHost: crm.example\nContent-Type: text/plain\n{more}"))
        };
        let cookie = format!("Cookie: SuperOffice-Session={id}; XSRF-TOKEN={csrf}");
        ask("", &cookie).refused(401);
        ask("", &format!("{cookie}\nX-XSRF-TOKEN: ")).refused(401);
        ask("", &format!("{cookie}\nX-XSRF-TOKEN: {}", other.csrf)).refused(401);
        ask("", &format!("{cookie}\nX-XSRF-TOKEN: {}", his.csrf)).refused(401);
        ask("", &format!("{cookie}\nX-XSRF-TOKEN: {}", &csrf[1..])).refused(401);
        ask("", &format!("{cookie}\nX-XSRF-TOKEN: {csrf}{csrf}")).refused(401);
        ask("", &format!("{cookie}\nX_XSRF_TOKEN: {csrf}")).refused(401);
        ask("", &format!("{cookie}\nReferer: http://crm.example/\nOrigin: http://crm.example")).refused(401);
        ask(&format!("?X-XSRF-TOKEN={csrf}&XSRF_TOKEN={csrf}"), &cookie).refused(401);
        ask("", &format!("X-XSRF-TOKEN: {csrf}")).refused(401);
        let twice = ask("", &format!("{cookie}\nX-XSRF-TOKEN: {csrf}\nX-XSRF-TOKEN: {}", other.csrf));
        assert!(matches!(twice.status(), 400 | 401) && twice.seen.is_empty(), "{method}: {}", twice.bytes());
        for name in ["X-XSRF-TOKEN", "x-xsrf-token", "X-Xsrf-Token"] {
            // The same proof again and again: it is the session's, not one request's.
            ask("", &format!("{cookie}\n{name}: {csrf}")).passed();
        }
    }
    // Safe methods are free where the dialect says so, and only truly safe ones: 403.
    let ground = Ground::of("genesys");
    let open = || {
        let told = ground.send(&format!(
            "GET /api/v2/me HTTP/1.1\nHost: a.example\nAuthorization: {}",
            basic("mikeb@redwings.com", "password-of-mike")
        ));
        (told.cookie("JSESSIONID"), told.header("X-CSRF-TOKEN"))
    };
    let ((id, csrf), (_, other)) = (open(), open());
    let cookie = format!("Cookie: JSESSIONID={id}");
    for method in ["POST", "PUT", "PATCH", "DELETE", "get", "Get", "PROPFIND", "XGET"] {
        let ask = |target: &str, more: &str| {
            ground.send(&format!("{method} /api/v2/devices/1{target} HTTP/1.1\nHost: a.example\nContent-Type: text/plain\n{more}"))
        };
        for told in [
            ask("", &cookie),
            ask("", &format!("{cookie}\nX-CSRF-TOKEN: {other}")),
            ask("", &format!("X-CSRF-TOKEN: {csrf}")),
            ask(&format!("?X-CSRF-TOKEN={csrf}"), &cookie),
            ask("", &format!("{cookie}; X-CSRF-TOKEN={csrf}")),
            ask("", &format!("{cookie}\nX-HTTP-Method-Override: GET")),
        ] {
            assert!(matches!(told.status(), 400 | 403 | 405 | 501), "{method}: {}", told.bytes());
            assert!(told.seen.is_empty(), "{method}");
        }
    }
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        ground
            .send(&format!(
                "{method} /api/v2/devices/1 HTTP/1.1\nHost: a.example\n{cookie}\nx-csrf-token: {csrf}"
            ))
            .passed();
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x_http_method_override"]
        {
            let seen = ground
                .send(&format!(
                    "{method} /api/v2/devices/1 HTTP/1.1\nHost: a.example\n{cookie}\n{name}: DELETE"
                ))
                .passed();
            assert!(seen.head.start.starts_with(&format!("{method} ")));
            assert_eq!(
                super::lines_with(&seen, "DELETE"),
                Vec::<String>::new(),
                "{method} would become DELETE behind the gate"
            );
        }
    }
}

#[test]
fn e3_cookies_that_announce_parts_are_cookies_like_others() {
    let ground = Ground::of("superoffice");
    let session = alice(&ground);
    let ask = |cookies: &str, csrf: &str| {
        ground.send(&format!(
            "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nCookie: {cookies}\nX-XSRF-TOKEN: {csrf}"
        ))
    };
    let (id, csrf) = (&session.id, &session.csrf);
    let (first, second) = id.split_at(20);
    // No cookie is put together from others, however many it says that there are.
    for parts in [
        "SuperOffice-Session=chunks-99999999".to_owned(),
        format!(
            "SuperOffice-Session=chunks:2; SuperOffice-SessionC1={first}; SuperOffice-SessionC2={second}"
        ),
        format!("SuperOffice-Session-chunks=99999999; SuperOffice-Session-0={first}"),
        format!("SuperOffice-Session.0={first}; SuperOffice-Session.1={second}"),
        format!("SuperOffice-Session_0={first}; SuperOffice-Session_1={second}"),
    ] {
        ask(&parts, csrf).refused(401);
    }
    let announced = "x-chunks=99999999; x_0=a; x_99999998=b";
    let seen = ask(&format!("{announced}; SuperOffice-Session={id}"), csrf).passed();
    assert_eq!(all(&seen, "cookie"), [announced], "they are the service's own");
}
