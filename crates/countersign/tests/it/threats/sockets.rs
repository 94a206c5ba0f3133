//! E: WebSockets. A browser opens one for any page, and sends along what proves its user; the page is told of by `Origin`
//! alone.

use super::{Ground, Told, all, basic};
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
    // A cookie, and a password that the browser remembers.
    for proof in [&cookie, &ann] {
        for origin in FOREIGN {
            ask(&ground, "/api/v2/channel", &format!("{proof}\nOrigin: {origin}")).refused(403);
        }
        ask(&ground, "/api/v2/channel", proof).refused(403);
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
