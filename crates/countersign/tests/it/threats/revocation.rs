//! E4 and P-BAY8: every way in which a session can end, against everything that can be open in it.
//!
//! One row for each cause, one column for each channel; each is timed from the moment that the cause is acknowledged,
//! and the worst of all is printed. What is promised is one second.

use std::fmt;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use countersign_auth::account::AccountId;
use countersign_auth::port::Operations;
use countersign_auth::secret::Secret;
use countersign_identity::accounts::{AccountDraft, Standing};
use countersign_identity::service::By;
use countersign_identity::service::equivalents::NewPassword;

use super::{Ground, basic};
use crate::raw::Wire;
use crate::transcript::Manners;

/// What is promised.
const BOUND: Duration = Duration::from_secs(1);
/// What a machine may take on top that runs other tests beside.
const SLACK: Duration = Duration::from_secs(4);

const WORLD: &str = r#"
[[api]]
name    = "centre"
dialect = "genesys"
at      = ["/api/v2"]

[[api.route]]
at      = "/channel"
allow   = "authenticated"
upgrade = true

[[api.route]]
at    = "/**"
allow = "authenticated"
"#;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    EndContactCenterSession,
    OwnSessionEnded,
    AdministratorEndsSession,
    AdministratorEndsAllSessions,
    PasswordSet,
    RoleRemoved,
    AccountDisabled,
    AccountDeleted,
}

impl Cause {
    const ALL: [Cause; 8] = [
        Self::EndContactCenterSession,
        Self::OwnSessionEnded,
        Self::AdministratorEndsSession,
        Self::AdministratorEndsAllSessions,
        Self::PasswordSet,
        Self::RoleRemoved,
        Self::AccountDisabled,
        Self::AccountDeleted,
    ];

    /// Whether the password is no longer good afterwards.
    fn ends_the_password(self) -> bool {
        matches!(self, Self::PasswordSet | Self::AccountDisabled | Self::AccountDeleted)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A user with a session, and what is open in it.
struct Agent<'g> {
    ground: &'g Ground,
    name: String,
    id: AccountId,
    cookie: String,
    token: String,
    client: String,
}

impl<'g> Agent<'g> {
    fn new(ground: &'g Ground, name: &str) -> Self {
        let draft = AccountDraft {
            roles: vec!["ROLE_AGENT".to_owned()],
            password: Some(Secret::new("a long enough password")),
            ..AccountDraft::new("users", name)
        };
        let (service, now) = (ground.world.service(), ground.world.now());
        let id = ground.world.block_on(service.create_account(draft, By::gate(), now)).unwrap().id;
        let mut agent = Self {
            ground,
            name: name.to_owned(),
            id,
            cookie: String::new(),
            token: String::new(),
            client: String::new(),
        };
        let told = ground
            .send(&format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nAuthorization: {}", agent.basic()))
            .answered();
        agent.cookie = told.cookie("JSESSIONID");
        agent.token = told.header("x-csrf-token");
        let hello =
            r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
        agent.client = ground.send(&agent.post("/notifications/handshake", hello)).member("/0/clientId");
        // The first connect is answered at once.
        ground.send(&agent.post("/notifications/connect", &agent.connect()));
        agent
    }

    fn basic(&self) -> String {
        basic(&self.name, "a long enough password")
    }

    fn connect(&self) -> String {
        format!(
            r#"[{{"channel":"/meta/connect","clientId":"{}","connectionType":"long-polling"}}]"#,
            self.client
        )
    }

    /// A POST in the session.
    fn post(&self, path: &str, body: &str) -> String {
        let Self { cookie, token, .. } = self;
        format!(
            "POST /api/v2{path} HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={cookie}\nX-CSRF-TOKEN: {token}\nContent-Type: application/json\n\n{body}"
        )
    }

    /// Sends a request of the session and leaves its answer to come.
    fn open(&self, what: &str, request: &str, body: &str) -> Wire {
        let stream = TcpStream::connect(self.ground.world.address).unwrap();
        stream.set_read_timeout(Some(BOUND + SLACK)).unwrap();
        let mut wire = Wire::new(stream);
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let (cookie, token) = (&self.cookie, &self.token);
        let text = format!(
            "{request} HTTP/1.1\r\nHost: a.example\r\nCookie: JSESSIONID={cookie}\r\nX-CSRF-TOKEN: {token}\r\nContent-Type: application/json\r\n{length}\r\n{body}"
        );
        wire.send(text.as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
        wire
    }

    /// A push connect, a WebSocket, an answer that goes on and on, and one that has not begun.
    fn channels(&self) -> Vec<(&'static str, Wire)> {
        let upstream = &self.ground.world.upstream;
        upstream.reply(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        );
        let stream = TcpStream::connect(self.ground.world.address).unwrap();
        stream.set_read_timeout(Some(BOUND + SLACK)).unwrap();
        let mut socket = Wire::new(stream);
        let upgrade = format!(
            "GET /api/v2/channel HTTP/1.1\r\nHost: a.example\r\nCookie: JSESSIONID={}\r\nOrigin: http://a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.cookie
        );
        socket.send(upgrade.as_bytes()).unwrap();
        assert_eq!(socket.head().unwrap().unwrap().status(), 101);
        upstream.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec());
        let mut events = self.open("a stream", "GET /api/v2/events", "");
        assert_eq!(events.head().unwrap().unwrap().status(), 200);
        upstream.behave(Manners::Silent);
        let waiting = self.open("a request that waits", "GET /api/v2/slow", "");
        let until = Instant::now() + SLACK;
        while upstream.waiting() == 0 {
            assert!(Instant::now() < until, "the request never reached the service");
            std::thread::yield_now();
        }
        upstream.behave(Manners::Up);
        let mut push = self.open("a push client", "POST /api/v2/notifications/connect", &self.connect());
        assert!(push.is_silent(Duration::from_millis(30)), "the connect was not held");
        vec![
            ("a push client", push),
            ("a WebSocket", socket),
            ("a stream", events),
            ("a request that waits", waiting),
        ]
    }

    /// Lets the session end. Returns when whoever asked for that knows that it has.
    fn end(&self, cause: Cause) {
        let world = &self.ground.world;
        let (service, now, by) = (world.service(), world.now(), By::gate());
        let reference = || {
            let sessions =
                world.block_on(Operations::sessions(service, self.id, "centre".into(), now)).unwrap();
            assert_eq!(sessions.len(), 1);
            sessions[0].reference
        };
        match cause {
            Cause::EndContactCenterSession => {
                let body = r#"{"operationName":"EndContactCenterSession"}"#;
                assert_eq!(self.ground.send(&self.post("/me", body)).status(), 200);
            }
            Cause::OwnSessionEnded => {
                let path = format!("DELETE /api/v2/me/sessions/{} HTTP/1.1", reference());
                let request = self.post("", "").replacen("POST /api/v2 HTTP/1.1", &path, 1);
                assert_eq!(self.ground.send(&request).status(), 200);
            }
            Cause::AdministratorEndsSession => {
                assert!(world.block_on(service.end_named(self.id, reference(), now)).unwrap());
            }
            Cause::AdministratorEndsAllSessions => {
                world.block_on(service.end_sessions(self.id, by, now)).unwrap();
            }
            Cause::PasswordSet => {
                let password = NewPassword::Lasting(Secret::new("quite another password"));
                world.block_on(service.set_password(self.id, password, Vec::new(), by, now)).unwrap();
            }
            Cause::RoleRemoved => {
                let draft = AccountDraft::new("users", &self.name);
                world.block_on(service.update_account(self.id, draft, by, now)).unwrap();
            }
            Cause::AccountDisabled => {
                world.block_on(service.set_standing(self.id, Standing::Disabled, by, now)).unwrap();
            }
            Cause::AccountDeleted => world.block_on(service.delete_account(self.id, by, now)).unwrap(),
        }
    }

    /// What is over when it should be. Returns how long it took.
    fn is_over(&self, what: &str, mut wire: Wire, since: Instant) -> Duration {
        match what {
            "a push client" => {
                let head = wire.head().unwrap().unwrap();
                let body = String::from_utf8(wire.body(&head, true).unwrap()).unwrap();
                assert_eq!(head.status(), 200);
                assert!(
                    body.contains(r#""reconnect":"none""#) && body.contains("402::Unknown client"),
                    "{body}"
                );
            }
            "a request that waits" => assert_eq!(wire.head().unwrap().unwrap().status(), 403),
            _ => {
                let answer = wire.rest().unwrap_or_else(|error| panic!("{what}: {error}"));
                let answer = String::from_utf8_lossy(&answer).into_owned();
                assert!(!answer.ends_with("0\r\n\r\n"), "{what} must not look whole: {answer}");
            }
        }
        since.elapsed()
    }

    /// Whatever comes now is refused.
    fn is_locked_out(&self, cause: Cause) {
        let word = self.ground.send(&self.post("/notifications/connect", &self.connect()));
        assert!(word.body().contains(r#""reconnect":"none""#), "{cause}: {}", word.body());
        let cookie = self.ground.send(&self.post("/calls", "{}")).refused(403);
        assert!(cookie.body().contains("Missing or invalid Csrf token"), "{cause}: {}", cookie.body());
        let get = format!("GET /api/v2/calls HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={}", self.cookie);
        self.ground.send(&get).refused(403);
        let basic = format!("GET /api/v2/calls HTTP/1.1\nHost: a.example\nAuthorization: {}", self.basic());
        let basic = self.ground.send(&basic);
        if cause.ends_the_password() {
            basic.refused(403);
        } else {
            basic.passed();
        }
    }
}

#[test]
fn e4_whatever_ends_a_session_ends_all_that_is_open_in_it_within_a_second() {
    let ground = Ground::with("genesys", WORLD);
    let bystander = Agent::new(&ground, "bystander");
    let mut others = bystander.channels();
    ground.world.upstream.take();
    let mut worst = (Duration::ZERO, String::new());
    for cause in Cause::ALL {
        let agent = Agent::new(&ground, &format!("agent-{cause}"));
        let channels = agent.channels();
        ground.world.upstream.take();
        agent.end(cause);
        let since = Instant::now();
        let mut row = Vec::new();
        for (what, wire) in channels {
            let took = agent.is_over(what, wire, since);
            row.push(format!("{what} {} ms", took.as_millis()));
            if took > worst.0 {
                worst = (took, format!("{what} after {cause}"));
            }
            assert!(took <= BOUND + SLACK, "{what} after {cause} took {took:?}");
        }
        println!("{cause}: {}", row.join(", "));
        ground.world.upstream.take();
        agent.is_locked_out(cause);
    }
    println!("worst of all: {} ms, {}; promised: {} ms", worst.0.as_millis(), worst.1, BOUND.as_millis());
    // Whoever else is there notices nothing.
    for (what, wire) in &mut others {
        assert!(wire.is_silent(Duration::from_millis(50)), "{what} of another account");
    }
}
