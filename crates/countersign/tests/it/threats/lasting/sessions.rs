//! E4: what a session opened, when its time is over and when it is ended.

use std::net::TcpStream;
use std::time::Duration;

use super::super::basic;
use super::{DEADLINE, MOMENT, Open, SILENCE, UNTOLD, ends, ground_of};
use crate::raw::Wire;

/// Sessions that end by themselves.
const SESSIONS: &str = r#"
[[api]]
name    = "desk"
dialect = "egain"
at      = ["/"]

[[api.route]]
at      = "/channel"
allow   = "authenticated"
upgrade = true

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "ann"
password = "basket-case-8"
"#;
/// Without use.
const IDLE: Duration = Duration::from_secs(1800);

#[test]
fn e4_what_a_session_opened_and_ends_by_itself_outlives_its_time() {
    let ground = ground_of("egain", SESSIONS);
    let log_in = "POST /ws/v12/authentication/user/login HTTP/1.1\nHost: a.example\n\
        Content-Type: application/json\n\n{\"userName\":\"ann\",\"password\":\"basket-case-8\"}";
    let session = || format!("X-egain-session: {}", ground.send(log_in).answered().header("X-egain-session"));
    let (left, ended) = (session(), session());
    let mut open = [&left, &ended].map(|line| Open::showing(&ground, line));
    ground.world.wait(IDLE - MOMENT);
    open.iter_mut().for_each(Open::goes_on);
    // Revoked, it cuts whatever it opened.
    let bye = "DELETE /ws/v12/authentication/user/logout HTTP/1.1\nHost: a.example\n";
    ground.send(&format!("{bye}{ended}")).answered();
    let [mut open, Open { socket, stream, export, download, waiting }] = open;
    for (what, mut wire) in
        [("socket", socket), ("stream", stream), ("export", export), ("download", download)]
    {
        ends(what, &mut wire);
    }
    let mut waiting = waiting;
    assert_eq!(waiting.head().unwrap().unwrap().status(), 401);
    ground.world.wait(2 * MOMENT);
    open.has_expired();
    let asked = format!("GET /x HTTP/1.1\nHost: a.example\n{left}");
    ground.send(&asked).refused(401);
    ground.world.wait(UNTOLD - 3 * MOMENT);
    open.is_exported();
    open.is_answered();
    // Nothing is known of it any more.
    ground.world.wait(4 * MOMENT);
    ends("export", &mut open.export);
    ends("download", &mut open.download);
}

/// A service confirms the end of a session, and goes on speaking: that is the answer to whoever ended it.
#[test]
fn e4_what_is_said_of_a_sessions_end_outlives_it() {
    let world = "[[api]]\nname = \"centre\"\ndialect = \"genesys\"\nat = [\"/api/v2\"]\n\
        [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n\
        [[account]]\nname = \"ann\"\npassword = \"basket-case-8\"\n";
    let ground = ground_of("genesys", world);
    let basic = basic("ann", "basket-case-8");
    let first = ground.send(&format!("GET /api/v2/calls HTTP/1.1\nHost: a.example\nAuthorization: {basic}"));
    let cookie = first.cookie("JSESSIONID");
    let shown = format!("Cookie: JSESSIONID={cookie}\r\nX-CSRF-TOKEN: {}", first.header("X-CSRF-TOKEN"));
    first.passed();
    let open = |head: &str, body: &str| {
        ground.world.upstream.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst".to_vec());
        let stream = TcpStream::connect(ground.world.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut wire = Wire::new(stream);
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: a.example\r\n{shown}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        wire.send(request.as_bytes()).unwrap();
        assert_eq!(wire.head().unwrap().unwrap().status(), 200, "{head}");
        let _first = wire.is_silent(SILENCE);
        wire
    };
    let mut other = open("GET /api/v2/file", "");
    let mut last = open("POST /api/v2/me", "{\"operationName\":\"EndContactCenterSession\"}");
    ends("what the session opened before", &mut other);
    assert!(last.is_silent(SILENCE), "the answer was cut");
    ground.world.upstream.take();
    let again = format!("GET /api/v2/calls HTTP/1.1\nHost: a.example\n{}", shown.replace('\r', ""));
    ground.send(&again).refused(403);
}
