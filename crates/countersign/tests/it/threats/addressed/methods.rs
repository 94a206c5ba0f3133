//! A: what was to be done with it? Methods.

use super::{WORLD, ann, bob, ground};
use crate::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, fields, frame};
use crate::threats::heard::Hearing;
use crate::threats::{Ground, lines_with};
use crate::upstream::Received;

#[test]
fn a11_methods_are_what_they_are() {
    let ground = ground();
    for method in ["TRACE", "CONNECT"] {
        ground.send(&format!("{method} /public/x HTTP/1.1\nHost: a.example")).refused(405);
    }
    ground.send("CONNECT a.example:80 HTTP/1.1\nHost: a.example:80").refused(405);
    for field in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_METHOD_OVERRIDE"] {
        let seen = ground.send(&format!("GET /public/x HTTP/1.1\nHost: a.example\n{field}: DELETE")).passed();
        assert_eq!(lines_with(&seen, "DELETE"), Vec::<String>::new(), "{field}");
    }
    // Services that do not mind case run `delete` as DELETE, which a rule is about; nobody wrote one about `delete`.
    for method in ODD {
        for (target, who) in [("/public/x", ""), ("/other", &*bob()), ("/admin/x", &*ann())] {
            let told =
                ground.send(&format!("{method} {target} HTTP/1.1\nHost: a.example\nAuthorization: {who}"));
            told.refused(405);
        }
    }
    let told = ground.send("get /public/x HTTP/1.1\nHost: a.example").refused(405);
    assert_eq!(told.header("allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    assert_eq!(told.member("/errorCode"), "method");
    ground.send("G@T /public/x HTTP/1.1\nHost: a.example").refused(400);
    ground.send("GET  /public/x HTTP/1.1\nHost: a.example").refused(400);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let seen = ground.send(&format!("{method} /public/x HTTP/1.1\nHost: a.example")).passed();
        assert_eq!(seen.head.start, format!("{method} /public/x HTTP/1.1"));
    }
}

/// No rule is about these, however a service may read them.
const ODD: [&str; 9] = ["get", "Get", "delete", "DELETe", "post", "PROPFIND", "XGET", "trace", "DELTE"];

/// What an HTTP/2 client asks as `who`; what of it reached the service.
fn over_http2(ground: &Ground, method: &str, target: &str, who: &str) -> Vec<Received> {
    let head = fields(&[
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"a.example"),
        (b":path", target.as_bytes()),
        (b"authorization", who.as_bytes()),
    ]);
    let mut frames = Frames::open(ground.world.address, &[]);
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).unwrap();
    assert_eq!(frames.ended(1), Ok(()), "{method} {target}");
    ground.world.upstream.take()
}

#[test]
fn a11_methods_are_what_they_are_over_http2() {
    let ground = ground();
    for method in ODD {
        let hearing = Hearing::begin();
        assert!(over_http2(&ground, method, "/other", &ann()).is_empty(), "{method}");
        hearing.wait_for("the method is not a standard one");
    }
    let seen = over_http2(&ground, "DELETE", "/other", &ann());
    assert_eq!(seen.first().unwrap().head.start, "DELETE /other HTTP/1.1");
}

#[test]
fn a11_another_method_is_let_through_where_its_path_names_it() {
    let rules = r#"
[[api.route]]
at    = "PROPFIND|VERSION-CONTROL /files/**"
allow = "authenticated"

[[api.route]]
at    = "/files/**"
allow = "authenticated"

[[api.route]]
at    = "/files/secret/**"
allow = { roles = ["administrator"] }

[[account]]
name     = "ann""#;
    let world = WORLD.replacen("[[account]]\nname     = \"ann\"", rules, 1);
    let ground = Ground::with("enactor", &world);
    let ask = |method: &str, target: &str, who: &str| {
        ground.send(&format!("{method} {target} HTTP/1.1\nHost: a.example\nAuthorization: {who}"))
    };
    for method in ["PROPFIND", "VERSION-CONTROL"] {
        let seen = ask(method, "/files/x", &bob()).passed();
        assert_eq!(seen.head.start, format!("{method} /files/x HTTP/1.1"));
        let seen = over_http2(&ground, method, "/files/x", &bob());
        assert_eq!(seen.first().unwrap().head.start, format!("{method} /files/x HTTP/1.1"));
        ground.send(&format!("{method} /files/x HTTP/1.1\nHost: a.example")).refused(401);
        // The rule of a path that is more exact is silent about it, and no wider one speaks in its place.
        for target in ["/files/secret/x", "/other", "/public/x"] {
            ask(method, target, &ann()).refused(405);
        }
    }
    let told = ask("COPY", "/files/x", &ann()).refused(405);
    assert!(told.header("allow").ends_with("OPTIONS, PROPFIND, VERSION-CONTROL"), "{}", told.bytes());
    for method in ["propfind", "Propfind", "version-control", "VERSION_CONTROL"] {
        ask(method, "/files/x", &ann()).refused(405);
        assert!(over_http2(&ground, method, "/files/x", &ann()).is_empty(), "{method}");
    }
    ask("DELETE", "/files/x", &bob()).passed();
}
