//! E: WebSockets. A browser opens one for any page, and sends along what proves its user; the page is told of by `Origin`
//! alone.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::heard::Hearing;
use super::{Ground, Told, all, basic};
use crate::process::Site;
use crate::world::setting::Setting;

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

[[api]]
name    = "shop"
dialect = "enactor"
enable  = ["basic"]
at      = ["/shop"]
issuers = { "http://www.enactor.co/" = "self" }

[[api.route]]
at      = "/channel"
allow   = "authenticated"
upgrade = true

[[api.route]]
at      = "/open"
allow   = "anonymous"
upgrade = true

[[account]]
name     = "ann"
password = "administers-it-1"

[[account]]
kind     = "customers"
name     = "jane"
password = "basket-case-8"
"#;

/// What pages of other origins say, and those that have none: a document in a sandbox, a file, a redirect.
pub(super) const FOREIGN: [&str; 14] = [
    "http://evil.example",
    "https://a.example",
    "http://a.example:8080",
    "http://a.example:80",
    "http://b.a.example",
    "http://a.example.evil.example",
    "http://a.exampl",
    "http://evil.example/http://a.example",
    "http://a.example@evil.example",
    "http://a.example/",
    "a.example",
    "null",
    "file://",
    "",
];

/// Asks for a WebSocket; the service behind the gate answers as it answers everything.
fn ask(ground: &Ground, target: &str, more: &str) -> Told {
    ground.send(&format!(
        "GET {target} HTTP/1.1\nHost: a.example\nConnection: Upgrade\nUpgrade: websocket\n\
         Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=={more}"
    ))
}

#[track_caller]
fn passed(told: Told) {
    let seen = told.passed();
    assert_eq!(all(&seen, "upgrade"), ["websocket"]);
}

#[test]
fn e7_a_page_of_another_origin_opens_no_websocket() {
    let ground = Ground::with_others("genesys", WORLD, &[("enactor", Setting::dialect_text("enactor"))]);
    let ann = format!("\nAuthorization: {}", basic("ann", "administers-it-1"));
    let opened = ground.send(&format!("GET /api/v2/me HTTP/1.1\nHost: a.example{ann}"));
    let cookie = format!("\nCookie: JSESSIONID={}", opened.cookie("JSESSIONID"));
    let hearing = Hearing::begin();
    // A cookie, and a password that the browser remembers.
    for proof in [&cookie, &ann] {
        for origin in FOREIGN {
            ask(&ground, "/api/v2/channel", &format!("{proof}\nOrigin: {origin}")).refused(403);
        }
        ask(&ground, "/api/v2/channel", proof).refused(403);
        let _said = hearing.wait_for("a page that names no origin asks for a WebSocket");
        let _said = hearing.wait_for("a page of another origin than http://a.example asks for a WebSocket");
        let own = "\nOrigin: http://a.example";
        ask(&ground, "/api/v2/channel", &format!("{proof}{own}\nOrigin: http://evil.example")).refused(403);
        ask(&ground, "/api/v2/channel", &format!("{proof}\nOrigin: http://evil.example{own}")).refused(403);
        passed(ask(&ground, "/api/v2/channel", &format!("{proof}{own}")));
    }
    // What no browser sends by itself needs no page, but a page that is named must be the right one.
    let told = ground.send(
        "POST /shop/identity/token HTTP/1.1\nHost: a.example\nContent-Type: application/json\n\n\
         {\"userName\":\"jane\",\"password\":\"basket-case-8\"}",
    );
    let token = format!("\nAuthorization: Bearer {}", told.answered().member("/access_token"));
    passed(ask(&ground, "/shop/channel", &token));
    passed(ask(&ground, "/shop/open", ""));
    for origin in FOREIGN {
        ask(&ground, "/shop/channel", &format!("{token}\nOrigin: {origin}")).refused(403);
        ask(&ground, "/shop/open", &format!("\nOrigin: {origin}")).refused(403);
    }
}

/// Longer than anything takes that a limit ends.
const DEADLINE: Duration = Duration::from_secs(60);

/// Reads a head.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Talks until the other end takes no more; whether it closed.
fn floods(stream: &mut TcpStream) -> bool {
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let until = Instant::now() + DEADLINE;
    let piece = [b'x'; 64 * 1024];
    while Instant::now() < until {
        if let Err(error) = stream.write_all(&piece) {
            return !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        }
    }
    false
}

#[test]
fn f2_a_websocket_of_which_one_end_takes_nothing_is_closed() {
    let service = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address: SocketAddr = service.local_addr().unwrap();
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in service.incoming() {
            let Ok(mut stream) = stream else { return };
            let said = said.clone();
            std::thread::spawn(move || {
                let asked = head(&mut stream);
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                    .unwrap();
                if asked.starts_with("GET /floods ") {
                    said.send(floods(&mut stream)).unwrap();
                } else if asked.starts_with("GET /echoes ") {
                    let mut byte = [0];
                    while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                        stream.write_all(&byte).unwrap();
                    }
                } else {
                    // Takes nothing.
                    std::thread::park_timeout(DEADLINE);
                }
            });
        }
    });
    let site = Site::with(
        |_| {
            format!(
                "[[api]]\nname = \"a\"\ndialect = \"enactor\"\nat = [\"/\"]\nupstream = \"http://{address}\"\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\nupgrade = true\n\
                 [limits]\nwrite_timeout = \"1s\"\n"
            )
        },
        Vec::new(),
    );
    let gate = site.start();
    let open = |path: &str| {
        let mut stream = TcpStream::connect(gate.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 101 "), "{path}");
        stream
    };
    let mut idle = open("/echoes");
    let _deaf = open("/floods");
    assert!(heard.recv_timeout(2 * DEADLINE).unwrap(), "a client that takes nothing keeps its WebSocket");
    assert!(floods(&mut open("/takes-nothing")), "a service that takes nothing keeps its WebSocket");
    // On one that nobody uses everybody is as good as at the beginning.
    idle.write_all(b"a").unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"a");
}
