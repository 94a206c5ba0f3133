//! A user with everything that there is to end.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use countersign_auth::account::AccountId;
use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;
use countersign_identity::service::By;

use super::{BOUND, Cause, Channel, Fate, LOOK, SLACK};
use crate::raw::Wire;
use crate::threats::{Ground, Told, basic, claims};
use crate::transcript::Manners;
use crate::world::setting::Setting;

const PASSWORD: &str = "a long enough password";
const ROLE: &str = "ROLE_AGENT";

/// A world in which tokens that the third dialect signs are for users as well.
pub(super) fn ground(world: &str) -> Ground {
    let signed = Setting::dialect_text("enactor").replace("\"customers\"", "\"users\"");
    let others = [("voltmx", Setting::dialect_text("voltmx")), ("enactor", signed)];
    Ground::with_others("genesys", world, &others)
}

/// A user, with a session and what is open in it, a log-in with its tokens, a signed token, and a password.
pub(super) struct Agent<'g> {
    pub(super) ground: &'g Ground,
    pub(super) name: String,
    pub(super) id: AccountId,
    /// The access token of the log-in.
    pub(super) access: String,
    cookie: String,
    token: String,
    client: String,
    refresh: String,
    signed: String,
    open: BTreeMap<Channel, Wire>,
}

impl<'g> Agent<'g> {
    pub(super) fn new(ground: &'g Ground, name: &str) -> Self {
        let draft = AccountDraft {
            roles: vec![ROLE.to_owned()],
            password: Some(Secret::new(PASSWORD)),
            ..AccountDraft::new("users", name)
        };
        let (service, now) = (ground.world.service(), ground.world.now());
        let id = ground.world.block_on(service.create_account(draft, By::gate(), now)).unwrap().id;
        let authorization = basic(name, PASSWORD);
        let told = ground
            .send(&format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nAuthorization: {authorization}"))
            .answered();
        let (cookie, token) = (told.cookie("JSESSIONID"), told.header("x-csrf-token"));
        let told = ground
            .send(&format!("POST /login HTTP/1.1\nHost: push.example\nContent-Type: application/json\n\n{{\"userid\":\"{name}\",\"password\":\"{PASSWORD}\"}}"))
            .answered();
        let (access, refresh) = (told.member("/claims_token/value"), told.member("/refresh_token"));
        let signed = ground
            .send(&format!("POST /identity/token HTTP/1.1\nHost: shop.example\nContent-Type: application/json\n\n{{\"userName\":\"{name}\",\"password\":\"{PASSWORD}\"}}"))
            .answered()
            .member("/access_token");
        let mut agent = Self {
            ground,
            name: name.to_owned(),
            id,
            access,
            cookie,
            token,
            client: String::new(),
            refresh,
            signed,
            open: BTreeMap::new(),
        };
        let hello =
            r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
        agent.client = ground.send(&agent.post("/notifications/handshake", hello)).member("/0/clientId");
        // The first connect is answered at once.
        ground.send(&agent.post("/notifications/connect", &agent.connect()));
        // Whatever is presented with each request has been, so that it is remembered.
        for channel in [Channel::Cookie, Channel::AccessToken, Channel::SignedToken, Channel::Password] {
            ground.send(&agent.presented(channel)).passed();
        }
        agent.open_all();
        agent
    }

    fn connect(&self) -> String {
        format!(
            r#"[{{"channel":"/meta/connect","clientId":"{}","connectionType":"long-polling"}}]"#,
            self.client
        )
    }

    /// A POST in the session.
    pub(super) fn post(&self, path: &str, body: &str) -> String {
        let Self { cookie, token, .. } = self;
        format!(
            "POST /api/v2{path} HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={cookie}\nX-CSRF-TOKEN: {token}\nContent-Type: application/json\n\n{body}"
        )
    }

    /// A request that presents something.
    fn presented(&self, channel: Channel) -> String {
        match channel {
            Channel::AccessToken => format!(
                "GET /api/v1/applications HTTP/1.1\nHost: push.example\nX-VoltMX-Authorization: {}",
                self.access
            ),
            Channel::RefreshToken => {
                format!("POST /claims HTTP/1.1\nHost: push.example\nAuthorization: {}", self.refresh)
            }
            Channel::SignedToken => {
                format!("GET /orders HTTP/1.1\nHost: shop.example\nAuthorization: Bearer {}", self.signed)
            }
            Channel::Password => format!(
                "GET /orders HTTP/1.1\nHost: shop.example\nAuthorization: {}",
                basic(&self.name, PASSWORD)
            ),
            Channel::Cookie
            | Channel::PushClient
            | Channel::WebSocket
            | Channel::Stream
            | Channel::Waiting
            | Channel::TokenStream
            | Channel::PasswordStream => self.post("/calls", "{}"),
        }
    }

    /// Sends a request and leaves its answer to come.
    fn send(&self, request: &str) -> Wire {
        let stream = TcpStream::connect(self.ground.world.address).unwrap();
        stream.set_read_timeout(Some(BOUND + SLACK)).unwrap();
        let mut wire = Wire::new(stream);
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let length =
            if body.is_empty() { String::new() } else { format!("\r\nContent-Length: {}", body.len()) };
        let text = format!("{}{length}\r\n\r\n{body}", head.replace('\n', "\r\n"));
        wire.send(text.as_bytes()).unwrap_or_else(|error| panic!("{request}: {error}"));
        wire
    }

    /// Opens everything that can be open.
    fn open_all(&mut self) {
        let upstream = &self.ground.world.upstream;
        upstream.reply(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        );
        let mut socket = self.send(&format!(
            "GET /api/v2/channel HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={}\nOrigin: http://a.example\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            self.cookie
        ));
        assert_eq!(socket.head().unwrap().unwrap().status(), 101);
        let stream = |request: &str| {
            upstream.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec());
            let mut wire = self.send(request);
            assert_eq!(wire.head().unwrap().unwrap().status(), 200);
            wire
        };
        let events = stream(&format!(
            "GET /api/v2/events HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={}\nX-CSRF-TOKEN: {}",
            self.cookie, self.token
        ));
        let by_token = stream(&self.presented(Channel::SignedToken));
        let by_password = stream(&self.presented(Channel::Password));
        upstream.behave(Manners::Silent);
        let waiting = self.send(&self.post("/slow", "{}"));
        let until = Instant::now() + SLACK;
        while upstream.waiting() == 0 {
            assert!(Instant::now() < until, "the request never reached the service");
            std::thread::yield_now();
        }
        upstream.behave(Manners::Up);
        let mut push = self.send(&self.post("/notifications/connect", &self.connect()));
        assert!(push.is_silent(Duration::from_millis(30)), "the connect was not held");
        let open = [
            (Channel::PushClient, push),
            (Channel::WebSocket, socket),
            (Channel::Stream, events),
            (Channel::Waiting, waiting),
            (Channel::TokenStream, by_token),
            (Channel::PasswordStream, by_password),
        ];
        self.open = open.into();
        upstream.take();
    }

    /// Waits until something is over. Returns how long it took.
    pub(super) fn is_over(&mut self, channel: Channel, since: Instant) -> Duration {
        let Some(mut wire) = self.open.remove(&channel) else { return self.is_refused(channel, since) };
        match channel {
            Channel::PushClient => {
                let head = wire.head().unwrap().unwrap();
                let body = String::from_utf8(wire.body(&head, true).unwrap()).unwrap();
                assert_eq!(head.status(), 200);
                assert!(
                    body.contains(r#""reconnect":"none""#) && body.contains("402::Unknown client"),
                    "{body}"
                );
            }
            Channel::Waiting => assert_eq!(wire.head().unwrap().unwrap().status(), 403),
            Channel::WebSocket
            | Channel::Stream
            | Channel::TokenStream
            | Channel::PasswordStream
            | Channel::Cookie
            | Channel::AccessToken
            | Channel::RefreshToken
            | Channel::SignedToken
            | Channel::Password => {
                let answer = wire.rest().unwrap_or_else(|error| panic!("{channel:?}: {error}"));
                let answer = String::from_utf8_lossy(&answer).into_owned();
                assert!(!answer.ends_with("0\r\n\r\n"), "{channel:?} must not look whole: {answer}");
            }
        }
        since.elapsed()
    }

    /// Presents something until it is refused.
    fn is_refused(&self, channel: Channel, since: Instant) -> Duration {
        let request = self.presented(channel);
        loop {
            let told = self.ground.send(&request);
            if matches!(told.status(), 401 | 403) {
                assert!(told.seen.is_empty(), "{channel:?}: refused, and the service saw it");
                return since.elapsed();
            }
            assert!(since.elapsed() < BOUND + SLACK, "{channel:?} is still good: {}", told.bytes());
            std::thread::sleep(LOOK);
        }
    }

    /// What nobody has ended.
    pub(super) fn goes_on(&mut self, channel: Channel) {
        if let Some(mut wire) = self.open.remove(&channel) {
            assert!(wire.is_silent(Duration::from_millis(20)), "{channel:?} of {}", self.name);
            return;
        }
        let told = self.ground.send(&self.presented(channel));
        if channel == Channel::RefreshToken {
            let told = told.answered();
            (self.access, self.refresh) = (told.member("/claims_token/value"), told.member("/refresh_token"));
        } else {
            told.passed();
        }
    }

    /// What whoever comes again is told, and what those may who still may something.
    pub(super) fn is_told(&self, cause: Cause) {
        let send = |request: &str| -> Told { self.ground.send(request) };
        if cause.to(Channel::PushClient) == Fate::Ends {
            let word = send(&self.post("/notifications/connect", &self.connect()));
            assert!(word.body().contains(r#""reconnect":"none""#), "{cause}: {}", word.body());
            let cookie = send(&self.post("/calls", "{}")).refused(403);
            assert!(cookie.body().contains("Missing or invalid Csrf token"), "{cause}: {}", cookie.body());
            let get =
                format!("GET /api/v2/calls HTTP/1.1\nHost: a.example\nCookie: JSESSIONID={}", self.cookie);
            send(&get).refused(403);
        }
        if cause.to(Channel::Password) == Fate::GoesOn {
            let roles = claims(&send(&self.presented(Channel::Password)).passed())["roles"].clone();
            let expected = if cause == Cause::RoleRemoved { vec![] } else { vec![ROLE] };
            assert_eq!(roles, serde_json::json!(expected), "{cause}: the roles that a password gives");
        }
    }
}
