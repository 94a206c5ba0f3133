//! Push channels on bad days: strangers, bombs, floods, and a gate that starts anew.

use serde_json::json;

use super::{Ground, Told, basic};

/// A session of the agent of the transcripts' world, on the API whose push channels are the gate's.
struct Session<'g> {
    ground: &'g Ground,
    cookie: String,
    token: String,
}

impl<'g> Session<'g> {
    fn new(ground: &'g Ground, user: &str, password: &str) -> Self {
        let authorization = basic(user, password);
        let told = ground
            .send(&format!("GET /api/v2/me HTTP/1.1\nHost: mounted.example\nAuthorization: {authorization}"))
            .answered();
        Self { ground, cookie: told.cookie("JSESSIONID"), token: told.header("x-csrf-token") }
    }

    fn agent(ground: &'g Ground) -> Self {
        Self::new(ground, "paveld@redwings.com", "password-of-paul")
    }

    fn say(&self, body: &str) -> Told {
        let Self { cookie, token, .. } = self;
        self.ground.send(&format!(
            "POST /api/v2/notifications HTTP/1.1\nHost: mounted.example\nCookie: JSESSIONID={cookie}\nX-CSRF-TOKEN: {token}\nContent-Type: application/json;charset=UTF-8\n\n{body}"
        ))
    }

    fn client(&self) -> String {
        self.say(HELLO).member("/0/clientId")
    }
}

const HELLO: &str =
    r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;

fn connect(client: &str) -> String {
    json!([{ "channel": "/meta/connect", "clientId": client, "connectionType": "long-polling", "id": "1" }])
        .to_string()
}

#[test]
fn bay_without_session_or_proof_nobody_shakes_hands() {
    let ground = Ground::of("genesys");
    let session = Session::agent(&ground);
    let post = |fields: &str| {
        ground.send(&format!(
            "POST /api/v2/notifications/handshake HTTP/1.1\nHost: mounted.example\nContent-Type: application/json{fields}\n\n{HELLO}"
        ))
    };
    let authorization = basic("paveld@redwings.com", "password-of-paul");
    let other = Session::new(&ground, "mikeb@redwings.com", "password-of-mike");
    let refused = [
        String::new(),
        format!("\nAuthorization: {authorization}"),
        format!("\nCookie: JSESSIONID={}", session.cookie),
        format!("\nX-CSRF-TOKEN: {}", session.token),
        format!("\nCookie: JSESSIONID={}\nX-CSRF-TOKEN: {}", session.cookie, other.token),
    ];
    for fields in refused {
        assert!(post(&fields).refused(403).body().contains("Missing or invalid Csrf token"), "{fields}");
    }
    // A session that nobody logged in to has no channels, though its proof is right.
    let told = ground.send("GET /api/v2/diagnostics/version HTTP/1.1\nHost: mounted.example").answered();
    let nobody =
        Session { ground: &ground, cookie: told.cookie("JSESSIONID"), token: told.header("x-csrf-token") };
    assert!(nobody.say(HELLO).refused(403).body().contains("\"statusCode\":20"));
    session.say(HELLO).answered();
}

#[test]
fn bay_bombs_are_refused_and_others_are_undisturbed() {
    let ground = Ground::of("genesys");
    let session = Session::agent(&ground);
    let client = session.client();
    let deep = "[".repeat(60_000);
    let wide = format!("[{}]", vec!["{}"; 5000].join(","));
    let long = format!(r#"[{{"channel":"/{}","clientId":"{client}"}}]"#, "x".repeat(1024 * 1024));
    for (bomb, status) in [(deep.as_str(), 400), (wide.as_str(), 400), ("", 400), (long.as_str(), 413)] {
        let told = session.say(bomb).refused(status);
        assert!(told.body().starts_with("{\"statusCode\":10,"), "{}", told.body());
    }
    let channel = format!("/{}", "x".repeat(5000));
    let body =
        json!([{ "channel": "/meta/subscribe", "clientId": client, "subscription": channel, "id": "7" }]);
    let told = session.say(&body.to_string()).answered();
    assert!(
        told.body().contains("the channel name is too long") && told.body().len() < 300,
        "{}",
        told.body()
    );
    let told = session.say(&connect(&client)).answered();
    assert!(told.body().contains("\"successful\":true"), "{}", told.body());
}

#[test]
fn bay_a_flood_of_handshakes_pushes_out_its_own_clients_alone() {
    let ground = Ground::of("genesys");
    let (flood, other) =
        (Session::agent(&ground), Session::new(&ground, "mikeb@redwings.com", "password-of-mike"));
    let (first, bystander) = (flood.client(), other.client());
    for _ in 0..100 {
        flood.say(HELLO).answered();
    }
    assert!(flood.say(&connect(&first)).body().contains("402::Unknown client"));
    assert!(other.say(&connect(&bystander)).body().contains("\"successful\":true"));
}

#[test]
fn bay_after_a_restart_the_session_goes_on_and_its_client_shakes_hands_anew() {
    let ground = Ground::of("genesys");
    let session = Session::agent(&ground);
    let client = session.client();
    session.say(&connect(&client)).answered();
    let after = ground.still_loading();
    let session = Session { ground: &after, ..session };
    let told = session.say(&connect(&client));
    assert_eq!(told.status(), 200, "{}", told.body());
    assert!(
        told.body().contains("402::Unknown client") && told.body().contains("\"reconnect\":\"handshake\"")
    );
    let again = session.client();
    assert!(session.say(&connect(&again)).body().contains("\"successful\":true"));
}
