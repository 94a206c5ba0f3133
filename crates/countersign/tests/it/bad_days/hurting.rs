//! Heads and bodies that are made to hurt: each is refused in the dialect's words, and the log says which limit it was.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::{ANSWERED_WITHIN, ASKED, GROWN_KIB_MAX, SLOW_MIN, connected, others, site};
use crate::process::{CONFIG, runtime};
use crate::raw::Wire;

/// What is made to hurt, and what must come of it.
struct Hurting {
    what: &'static str,
    request: String,
    status: u16,
    /// In the dialect.
    told: &'static str,
    /// What the log says.
    cause: &'static str,
}

fn hurting() -> [Hurting; 8] {
    let head = "GET /api/v1/Contact/1 HTTP/1.1\r\nHost: crm.example\r\n";
    let login = |body: &str| {
        format!(
            "POST /api/v1/Agents/User/CreateTicket HTTP/1.1\r\nHost: crm.example\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let many = (0..5000).map(|number| format!("X-{number}: {number}\r\n")).collect::<String>();
    let hurting = |what, request, status, told, cause| Hurting { what, request, status, told, cause };
    let form = "Content-Type: application/x-www-form-urlencoded";
    [
        hurting(
            "64 KB of cookies",
            format!("{head}Cookie: {}\r\n\r\n", "a=b; ".repeat(13_000)),
            400,
            "\"SoException\"",
            "cookie",
        ),
        hurting(
            "a cookie of 64 KB",
            format!("{head}Cookie: SuperOffice-Session={}\r\n\r\n", "A".repeat(65_000)),
            401,
            "\"SoAuthenticationException\"",
            "not of the form that is issued",
        ),
        hurting("JSON that is 10,000 deep", login(&"[".repeat(10_000)), 413, "\"SoException\"", "deep"),
        hurting(
            "members that are 10,000 deep",
            login(&"{\"a\":".repeat(10_000)),
            413,
            "\"SoException\"",
            "deep",
        ),
        hurting("a header bomb", format!("{head}{many}\r\n"), 431, "\"SoException\"", "limits.header_count"),
        hurting(
            "a head of a megabyte",
            format!("{head}X: {}\r\n\r\n", "x".repeat(1_000_000)),
            431,
            "\"SoException\"",
            "limits.header_bytes",
        ),
        hurting(
            "a target of 64 KB",
            format!("GET /{} HTTP/1.1\r\nHost: crm.example\r\n\r\n", "x".repeat(65_000)),
            400,
            "could not be understood",
            "path is too long",
        ),
        hurting(
            "a body that says 5 GB",
            format!(
                "POST /login HTTP/1.1\r\nHost: crm.example\r\n{form}\r\nContent-Length: 5368709120\r\n\r\n"
            ),
            413,
            "Something went wrong",
            "the body is longer than limits.call_bytes, 65536 bytes",
        ),
    ]
}

/// What is said to a request; `None` if that was lost because the gate closed with bytes unread.
fn heard(stream: TcpStream, request: &str) -> Option<(u16, String)> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(request.as_bytes()));
        let mut wire = Wire::new(stream);
        let head = wire.head().ok()??;
        let body = wire.body(&head, true).ok()?;
        Some((head.status(), String::from_utf8_lossy(&body).into_owned()))
    })
}

#[test]
fn what_is_made_to_hurt_costs_little() {
    let site = site(SLOW_MIN);
    site.write(CONFIG, &site.configuration().replace("access = false", "access = true"));
    let mut gate = site.start();
    gate.said("listening for clients");
    others(&gate);
    let before = gate.resident_kib();
    let runtime = runtime();
    let mut mistakes = Vec::new();
    for (number, Hurting { what, request, status, told, cause }) in hurting().iter().enumerate() {
        let from = Ipv4Addr::new(127, 0, 2, u8::try_from(number + 1).unwrap());
        let mut answers = 0;
        for _ in 0..20 {
            match heard(connected(&runtime, from, gate.address).unwrap(), request) {
                Some((said, body)) => {
                    if said != *status || !body.contains(told) {
                        mistakes.push(format!("{what}: {said} {body}"));
                    }
                    answers += 1;
                }
                // What was answered may be lost on the way where the gate closed with bytes unread.
                None => assert!(request.len() > 60_000, "{what}: no answer"),
            }
        }
        let mut lines = 0;
        while lines < 20 {
            let line = gate.says_next(&["request answered"]);
            if line["peer.address"].as_str().and_then(|peer| peer.split(':').next())
                == Some(&from.to_string())
            {
                lines += 1;
                if line["auth.cause"].as_str().is_none_or(|said| !said.contains(cause)) {
                    mistakes.push(format!("{what}: {line}"));
                }
            }
        }
        println!("{what}: {answers} of 20 answers were heard");
        assert!(answers > 0, "{what}: no answer was heard");
    }
    mistakes.dedup();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert_eq!(site.upstream.take().len(), ASKED, "nothing of that came to the service");
    let worst = others(&gate);
    assert!(worst < ANSWERED_WITHIN, "{worst:?}");
    if let (Some(before), Some(after)) = (before, gate.resident_kib()) {
        println!("resident: {before} KiB before, {after} KiB after; others waited {worst:?} at worst");
        assert!(after.saturating_sub(before) < GROWN_KIB_MAX, "{before} KiB before, {after} KiB after");
    }
}
