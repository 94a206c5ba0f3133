//! F: failing open, leaking.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::heard::Hearing;
use super::{Ground, Told, basic};
use crate::transcript::Reach;
use crate::upstream::Upstream;

/// Nothing is let in, and nobody is told that his proof is wrong.
#[track_caller]
fn unavailable(told: Told) {
    // Genesys and Volt MX have their words for it, all have the status.
    told.refused(503);
}

#[test]
fn f1_what_cannot_be_checked_is_neither_right_nor_wrong() {
    // Passwords, at every kind of door.
    let doors = [
        ("superoffice", format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nAuthorization: {}", basic("alice", "wonderland-7"))),
        ("superoffice", "POST /login HTTP/1.1\nHost: crm.example\nContent-Type: application/x-www-form-urlencoded\n\nuserName=alice&password=wonderland-7".to_owned()),
        ("voltmx", "POST /authService/accounts/login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{\"userid\":\"alice\",\"password\":\"wonderland-7\"}".to_owned()),
        ("egain", "POST /system/ws/v12/authentication/user/login HTTP/1.1\nHost: a.example\nContent-Type: application/json\n\n{\"userName\":\"alice\",\"password\":\"wonderland-7\"}".to_owned()),
        ("enactor", "POST /WebRestApi/rest/identity/token HTTP/1.1\nHost: own.enactor\nContent-Type: application/json\n\n{\"userName\":\"jane\",\"password\":\"basket-case-8\"}".to_owned()),
        ("genesys", format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nAuthorization: {}", basic("paveld@redwings.com", "password-of-paul"))),
    ];
    for (dialect, request) in doors {
        let ground = Ground::of(dialect);
        ground.world.reach(Reach::Down);
        unavailable(ground.send(&request));
        let (wrong, was) =
            (request.replace("wonderland-7", "wonderland-8"), request.contains("wonderland-7"));
        if was {
            unavailable(ground.send(&wrong));
        }
        ground.world.reach(Reach::Up);
        assert!(matches!(ground.send(&request).status(), 200..400), "{dialect}");
    }
    // Sessions, where memory does not hold them yet: also where they are asked for by CSRF.
    let ground = Ground::of("superoffice");
    let told = ground.send("POST /login HTTP/1.1\nHost: crm.example\nContent-Type: application/x-www-form-urlencoded\n\nuserName=alice&password=wonderland-7").answered();
    let (id, csrf) = (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"));
    let again = ground.still_loading();
    let ask = |id: &str, csrf: &str| {
        again.send(&format!("POST /api/v1/Contact HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={id}\nX-XSRF-TOKEN: {csrf}"))
    };
    again.world.reach(Reach::Down);
    unavailable(ask(&id, &csrf));
    unavailable(ask(&id, "wrong"));
    unavailable(ask(&"A".repeat(43), &csrf));
    again.world.reach(Reach::Up);
    ask(&"A".repeat(43), &csrf).refused(401);
    ask(&id, "wrong").refused(401);
    ask(&id, &csrf).passed();
    let ground = Ground::of("genesys");
    let told = ground.send(&format!(
        "GET /api/v2/me HTTP/1.1\nHost: a.example\nAuthorization: {}",
        basic("paveld@redwings.com", "password-of-paul")
    ));
    let (id, csrf) = (told.cookie("JSESSIONID"), told.header("X-CSRF-TOKEN"));
    // Sessions that a GET opened are kept once they are presented.
    ground.send(&format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={id}")).passed();
    let again = ground.still_loading();
    again.world.reach(Reach::Down);
    for request in [
        format!("POST /api/v2/me HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={id}\nX-CSRF-TOKEN: {csrf}"),
        format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={id}"),
        format!("GET /api/v2/diagnostics/version HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={id}"),
    ] {
        unavailable(again.send(&request));
    }
    again.world.reach(Reach::Up);
    again
        .send(&format!(
            "POST /api/v2/me HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={id}\nX-CSRF-TOKEN: {csrf}"
        ))
        .passed();
    // Tokens.
    let ground = Ground::of("voltmx");
    let claims = ground
        .send("POST /authService/accounts/login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{\"userid\":\"alice\",\"password\":\"wonderland-7\"}")
        .answered()
        .member("/claims_token/value");
    let again = ground.still_loading();
    again.world.reach(Reach::Down);
    let ask = |claims: &str| {
        again.send(&format!(
            "GET /api/v1/applications HTTP/1.1\nHost: push.example\nX-VoltMX-Authorization: {claims}"
        ))
    };
    unavailable(ask(&claims));
    again.world.reach(Reach::Up);
    ask(&claims).passed();
}

/// Everything that was said to somebody who should not learn a secret.
struct Leaks {
    hearing: Hearing,
    refusals: Vec<String>,
    metrics: Vec<String>,
    secrets: Vec<(String, String)>,
}

impl Leaks {
    fn secret(&mut self, what: &str, value: &str) {
        assert!(value.len() >= 6, "{what} would be found by chance");
        self.secrets.push((what.to_owned(), value.to_owned()));
    }

    /// Sends a request that is refused, and keeps the answer.
    fn refused(&mut self, ground: &Ground, request: &str) {
        let told = ground.send(request);
        assert!(told.status() >= 400, "{}: {}", told.asked, told.bytes());
        self.refusals.push(told.bytes());
    }

    fn done(&mut self, ground: &Ground) {
        self.metrics.push(ground.world.metrics());
    }
}

/// A value as it may lie around.
fn shapes(value: &str) -> Vec<String> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    vec![
        value.to_owned(),
        STANDARD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        hex(value.as_bytes()),
        hex(digest.as_ref()),
        STANDARD.encode(digest.as_ref()),
        URL_SAFE_NO_PAD.encode(digest.as_ref()),
        format!("{:?}", digest.as_ref()),
        format!("{:?}", value.as_bytes()),
    ]
}

#[test]
fn f3_no_secret_is_logged_or_shown() {
    let mut leaks =
        Leaks { hearing: Hearing::begin(), refusals: Vec::new(), metrics: Vec::new(), secrets: Vec::new() };
    superoffice(&mut leaks);
    genesys(&mut leaks);
    egain(&mut leaks);
    voltmx(&mut leaks);
    enactor(&mut leaks);
    let logged = leaks.hearing.so_far();
    assert!(
        logged.iter().filter(|line| line.contains(" INFO access: ")).count() > 30,
        "{} lines",
        logged.len()
    );
    assert!(leaks.refusals.len() > 20 && leaks.secrets.len() > 20);
    let mut found = Vec::new();
    for (what, value) in &leaks.secrets {
        for shape in shapes(value) {
            let places =
                [("the log", &logged), ("a refusal", &leaks.refusals), ("the metrics", &leaks.metrics)];
            for (place, texts) in places {
                if let Some(text) = texts.iter().find(|text| text.contains(&shape)) {
                    found.push(format!("{what} ({value}) in {place} as {shape}:\n{text}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn superoffice(leaks: &mut Leaks) {
    let ground = Ground::of("superoffice");
    let form = |user: &str, password: &str| {
        format!(
            "POST /login HTTP/1.1\nHost: crm.example\nContent-Type: application/x-www-form-urlencoded\n\nuserName={user}&password={password}"
        )
    };
    let told = ground.send(&form("alice", "wonderland-7")).answered();
    let (id, csrf) = (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"));
    leaks.secret("a password", "wonderland-7");
    leaks.secret("a session", &id);
    leaks.secret("a CSRF token", &csrf);
    let api = |more: &str| format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\n{more}");
    ground.send(&api(&format!("Cookie: SuperOffice-Session={id}\nX-XSRF-TOKEN: {csrf}"))).passed();
    leaks.secret("Basic", basic("alice", "wonderland-7").trim_start_matches("Basic "));
    ground.send(&api(&format!("Authorization: {}", basic("alice", "wonderland-7")))).passed();
    let ticket = ground.send("POST /api/v1/Agents/User/CreateTicket HTTP/1.1\nHost: crm.example\nContent-Type: application/json\n\n{\"userName\":\"alice\",\"password\":\"wonderland-7\"}").answered();
    let ticket = ticket.body().trim_matches('"').to_owned();
    leaks.secret("a ticket", &ticket);
    ground.send(&api(&format!("Authorization: SOTicket {ticket}"))).passed();
    for (what, wrong) in
        [("a wrong password", "guessed-password-1"), ("another wrong password", "guessed-password-2")]
    {
        leaks.secret(what, wrong);
        leaks.refused(&ground, &form("alice", wrong));
        leaks.refused(&ground, &api(&format!("Authorization: {}", basic("alice", wrong))));
        leaks.refused(&ground, &api(&format!("Authorization: Unheard-Of {wrong}")));
        leaks.refused(&ground, &api(&format!("Authorization: SOTicket 7T:{wrong}")));
        leaks.refused(&ground, &api(&format!("Cookie: SuperOffice-Session={wrong}\nX-XSRF-TOKEN: {wrong}")));
    }
    // Refused though the secrets are right.
    leaks.refused(&ground, &api(&format!("Cookie: SuperOffice-Session={id}")));
    leaks.refused(
        &ground,
        &api(&format!(
            "Cookie: SuperOffice-Session={id}; SuperOffice-Session={}\nX-XSRF-TOKEN: {csrf}",
            "B".repeat(43)
        )),
    );
    leaks.refused(
        &ground,
        &api(&format!("Authorization: SOTicket {ticket}\nAuthorization: SOTicket {ticket}")),
    );
    leaks.refused(&ground, &format!("GET /api/v1/Contact/2?password=wonderland-7&XSRF_TOKEN={csrf} HTTP/1.1\nHost: crm.example\nCookie: SuperOffice-Session={id}"));
    leaks.refused(&ground, "POST /login HTTP/1.1\nHost: crm.example\nContent-Type: application/json\n\n{\"userName\":\"alice\",\"password\":\"wonderland-7\"");
    leaks.refused(&ground, "POST /api/v1/Agents/User/CreateTicket HTTP/1.1\nHost: crm.example\nContent-Type: application/json\n\n{\"userName\":\"alice\",\"password\":\"wonderland-7\",\"password\":\"wonderland-7\"}");
    // The application's secret, right with a ticket and wrong.
    let secret = "qw123f4c56770bc278017796cd16bd11";
    leaks.secret("an application's secret", secret);
    let online =
        |more: &str| format!("GET /Cust26759/api/v1/Contact/2 HTTP/1.1\nHost: online.example\n{more}");
    leaks.refused(&ground, &online(&format!("Authorization: SOTicket {ticket}\nSO-AppToken: {secret}")));
    leaks.refused(&ground, &online(&format!("SO-AppToken: {secret}")));
    ground.world.reach(Reach::Down);
    leaks.refused(&ground, &form("alice", "wonderland-7"));
    ground.world.reach(Reach::Up);
    leaks.done(&ground);
}

fn genesys(leaks: &mut Leaks) {
    let ground = Ground::of("genesys");
    let me = |more: &str| format!("GET /api/v2/me HTTP/1.1\nHost: a.example\n{more}");
    let told =
        ground.send(&me(&format!("Authorization: {}", basic("paveld@redwings.com", "password-of-paul"))));
    let (id, csrf) = (told.cookie("JSESSIONID"), told.header("X-CSRF-TOKEN"));
    leaks.secret("a password", "password-of-paul");
    leaks.secret("a session", &id);
    leaks.secret("a CSRF token", &csrf);
    leaks.refused(&ground, &format!("POST /api/v2/me HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={id}"));
    leaks.refused(&ground, &format!("POST /api/v2/me HTTP/1.1\nHost: a.example\nX-CSRF-TOKEN: {csrf}"));
    leaks.refused(
        &ground,
        &format!(
            "DELETE /api/v2/users/1 HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={id}\nX-CSRF-TOKEN: {csrf}"
        ),
    );
    leaks.refused(&ground, &me(&format!("Authorization: Bearer {id}")));
    leaks.done(&ground);
}

fn egain(leaks: &mut Leaks) {
    let ground = Ground::of("egain");
    let told = ground.send("POST /system/ws/v12/authentication/user/login HTTP/1.1\nHost: a.example\nContent-Type: application/json\n\n{\"userName\":\"alice\",\"password\":\"wonderland-7\"}").answered();
    let id = told.header("X-egain-session");
    leaks.secret("a session in a header", &id);
    let api = |more: &str| format!("GET /system/ws/v12/acl/x HTTP/1.1\nHost: a.example\n{more}");
    leaks.refused(&ground, &api(&format!("X-egain-session: {id}")));
    leaks.refused(&ground, &api(&format!("X-egain-session: {id}\nX-egain-session: {id}")));
    leaks.refused(&ground, &api(&format!("X-egain-session: {id}\nAuthorization: Bearer {id}")));
    leaks.secret("a client's secret", "jabberwocky-99");
    let token = |secret: &str| {
        format!(
            "POST /system/ws/v12/clientapplications/authentication/oauth2/token HTTP/1.1\nHost: a.example\nAuthorization: {}\nContent-Type: application/x-www-form-urlencoded\n\ngrant_type=client_credentials",
            basic("reports", secret)
        )
    };
    leaks.secret(
        "a client's token",
        &ground.send(&token("jabberwocky-99")).answered().member("/access_token"),
    );
    leaks.secret("a client's wrong secret", "jabberwocky-98");
    leaks.refused(&ground, &token("jabberwocky-98"));
    leaks.done(&ground);
}

fn voltmx(leaks: &mut Leaks) {
    let ground = Ground::of("voltmx");
    let told = ground.send("POST /authService/accounts/login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{\"userid\":\"Aladdin\",\"password\":\"open sesame\"}").answered();
    let (claims, refresh) = (told.member("/claims_token/value"), told.member("/refresh_token"));
    leaks.secret("a password", "open sesame");
    leaks.secret("a claims token", &claims);
    leaks.secret("a refresh token", &refresh);
    let with = format!("X-VoltMX-Authorization: {claims}");
    let key = ground.send(&format!("POST /api/v1/applications/key HTTP/1.1\nHost: push.example\n{with}\nContent-Type: application/x-www-form-urlencoded\n\nappId=app-7001&neverExpires=true&description=Kiosk")).answered().member("/id");
    leaks.secret("an API key", &key);
    // Keys stand in paths here.
    ground
        .send(&format!("GET /api/v1/applications/key/{key} HTTP/1.1\nHost: push.example\n{with}"))
        .answered();
    leaks.refused(&ground, &format!("GET /api/v1/applications/key/{key} HTTP/1.1\nHost: push.example"));
    leaks.refused(&ground, &format!("PUT /api/v1/applications/key/{key} HTTP/1.1\nHost: push.example"));
    leaks.refused(
        &ground,
        &format!("GET /api/v1/applications/key/{key}/nothing-here HTTP/1.1\nHost: push.example"),
    );
    ground
        .send(&format!("GET /api/v1/messages HTTP/1.1\nHost: push.example\nX-VoltMX-App-API-Key: {key}"))
        .passed();
    leaks.refused(
        &ground,
        &format!("GET /api/v1/messages HTTP/1.1\nHost: push.example\nX-VoltMX-App-API-Key: {key}\n{with}"),
    );
    leaks.secret("a device's token", "1234abc");
    leaks.refused(&ground, "GET /api/v1/messages HTTP/1.1\nHost: push.example\nX-Device-AuthToken: 1234abc");
    let pair = ground
        .send(&format!(
            "GET /api/v1/oauth/accesstoken HTTP/1.1\nHost: push.example\nAuthorization: {}",
            basic("messenger", "queen-of-hearts-9")
        ))
        .answered();
    let (value, second) = (pair.member("/AccessToken"), pair.member("/AccessSecret"));
    leaks.secret("a pair's token", &value);
    leaks.secret("a pair's secret", &second);
    leaks.refused(
        &ground,
        &format!(
            "GET /api/v1/messages HTTP/1.1\nHost: push.example\nAccessToken: {value}\nAccessSecret: {second}x"
        ),
    );
    leaks.refused(
        &ground,
        &format!("GET /api/v1/messages HTTP/1.1\nHost: push.example\nAccessSecret: {second}"),
    );
    // A spent refresh token ends its family, which is logged.
    let renew = format!("POST /claims HTTP/1.1\nHost: push.example\nAuthorization: {refresh}");
    leaks.secret("its successor", &ground.send(&renew).answered().member("/refresh_token"));
    ground.world.wait(std::time::Duration::from_secs(120));
    leaks.refused(&ground, &renew);
    leaks.done(&ground);
}

fn enactor(leaks: &mut Leaks) {
    let ground = Ground::of("enactor");
    let token = ground.send("POST /WebRestApi/rest/identity/token HTTP/1.1\nHost: own.enactor\nContent-Type: application/json\n\n{\"userName\":\"jane\",\"password\":\"basket-case-8\"}").answered().member("/access_token");
    leaks.secret("a password", "basket-case-8");
    leaks.secret("a JWT", &token);
    leaks.secret("a JWT's signature", token.rsplit('.').next().unwrap());
    let at = |host: &str, path: &str, token: &str| {
        format!("GET /WebRestApi/rest{path} HTTP/1.1\nHost: {host}\nAuthorization: Bearer {token}")
    };
    ground.send(&at("own.enactor", "/baskets/PRIMARY", &token)).passed();
    leaks.refused(&ground, &at("api.james.enactor", "/baskets/PRIMARY", &token));
    leaks.refused(&ground, &at("own.enactor", "/baskets/PRIMARY", &token[..token.len() - 6]));
    leaks.refused(
        &ground,
        &format!("{}\nAuthorization: Bearer {token}", at("own.enactor", "/baskets/PRIMARY", &token)),
    );
    // With traces for developers, too.
    leaks.refused(&ground, &at("dev.enactor", "/baskets/PRIMARY", &token));
    leaks.done(&ground);
}

#[test]
fn f4_answers_that_point_elsewhere_lead_the_gate_nowhere() {
    let elsewhere = Upstream::start();
    let ground = Ground::of("superoffice");
    let password = basic("alice", "wonderland-7");
    for answer in [
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{}/x\r\nContent-Length: 0\r\n\r\n",
            elsewhere.address()
        ),
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/x\r\nContent-Length: 0\r\n\r\n",
            elsewhere.address()
        ),
        format!(
            "HTTP/1.1 305 Use Proxy\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
            elsewhere.address()
        ),
        format!(
            "HTTP/1.1 200 OK\r\nX-Accel-Redirect: http://{}/\r\nX-Sendfile: /etc/passwd\r\nContent-Length: 2\r\n\r\nok",
            elsewhere.address()
        ),
        "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno".to_owned(),
        "HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"elsewhere\"\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
    ] {
        ground.world.upstream.reply(answer.clone().into_bytes());
        let told = ground.send(&format!(
            "GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example\nAuthorization: {password}\nCookie: SuperOffice-Session={}; lang=en",
            "A".repeat(43)
        ));
        assert_eq!(told.seen.len(), 1, "{answer}: asked once, and nobody else");
        let seen = &told.seen[0];
        assert_eq!(super::all(seen, "authorization"), Vec::<&str>::new(), "{answer}");
        assert_eq!(super::all(seen, "cookie"), ["lang=en"], "{answer}");
        assert_eq!(super::lines_with(seen, password.trim_start_matches("Basic ")), Vec::<String>::new());
        assert_eq!(
            told.answer.head.header("www-authenticate"),
            None,
            "{answer}: the service's challenge is not the gate's"
        );
    }
    assert!(elsewhere.take().is_empty());
}
