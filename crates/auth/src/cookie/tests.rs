#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use http::HeaderValue;
use proptest::prelude::{any, proptest};

use super::{
    Attributes, CookieError, PAIRS_MAX, Rest, SameSite, ScriptAccess, Transport, decoded, set_cookie, take,
};

fn lines(lines: &[&str]) -> Vec<HeaderValue> {
    lines.iter().map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap()).collect()
}

#[test]
fn wanted_pairs_are_taken_out() {
    let check = |sent: &[&str], taken: &[&str], rest: &str| {
        let sent = lines(sent);
        let found = take(&sent, |name| name == "SID").unwrap();
        let pairs: Vec<_> = found.pairs.iter().map(|pair| pair.value).collect();
        assert_eq!(pairs, taken, "{sent:?}");
        let left = match found.rest {
            Rest::Unchanged => "(unchanged)".to_owned(),
            Rest::Nothing => String::new(),
            Rest::Line(line) => String::from_utf8_lossy(line.as_bytes()).into_owned(),
        };
        assert_eq!(left, rest, "{sent:?}");
    };
    check(&["SID=1"], &["1"], "");
    check(&["a=1; SID=x; b=2"], &["x"], "a=1; b=2");
    check(&["a=1;SID=x ;b=2"], &["x"], "a=1; b=2");
    check(&["SID=x", "a=1", "b=2"], &["x"], "a=1; b=2");
    check(&["SID=x; a=1; SID=y"], &["x", "y"], "a=1");
    check(&["SID=\"x y\"; a=\"1\""], &["x y"], "a=\"1\"");
    check(&["SID=\"x"], &["\"x"], "");
    check(&["SID=a=b=="], &["a=b=="], "");
    check(&["SID = x"], &["x"], "");
    check(&["SID="], &[""], "");
    check(&["SID"], &[""], "");
    check(&["a=1; Path=/; SID=x"], &["x"], "a=1; Path=/");
    check(&["a=1; =SID; caf\u{e9}=\u{e9}; SID=x"], &["x"], "a=1; =SID; caf\u{e9}=\u{e9}");
    check(&["sid=1; XSID=2; a=SID=3"], &[], "(unchanged)");
    check(&["a=1;;b=2"], &[], "(unchanged)");
    check(&[""], &[], "(unchanged)");
    check(&[], &[], "(unchanged)");
    check(&[" ; SID=x; ;"], &["x"], "");
}

#[test]
fn limits_and_characters() {
    let outcome = |line: &str| take(&lines(&[line]), |name| name == "SID").map(|found| found.pairs.len());
    assert_eq!(outcome(&["a=1"; PAIRS_MAX].join(";")), Ok(0));
    assert_eq!(outcome(&["a=1"; PAIRS_MAX + 1].join(";")), Err(CookieError::TooMany));
    assert_eq!(outcome(&";".repeat(PAIRS_MAX)), Err(CookieError::TooMany));
    assert_eq!(outcome("SID=caf\u{e9}"), Err(CookieError::Character));
    assert_eq!(outcome("SID=a\tb"), Err(CookieError::Character));
    assert_eq!(outcome("a=caf\u{e9}; SID=1"), Ok(1));
}

#[test]
fn escapes_are_decoded_once() {
    assert_eq!(decoded("a%2Bb%253D").as_deref(), Some("a+b%3D"));
    assert_eq!(decoded("a+b").as_deref(), Some("a+b"));
    assert_eq!(decoded("%"), None);
}

const PLAIN: Attributes<'_> = Attributes {
    path: "/api",
    script: ScriptAccess::Hidden,
    same_site: Some(SameSite::Lax),
    transport: Transport::TlsOnly,
    max_age: None,
};

#[test]
fn lines_that_are_set() {
    let check = |attributes: Attributes<'_>, expected: &str| {
        assert_eq!(set_cookie("SID", "x", &attributes).unwrap(), expected);
    };
    check(PLAIN, "SID=x; Path=/api; Secure; HttpOnly; SameSite=Lax");
    check(
        Attributes {
            script: ScriptAccess::Readable,
            same_site: None,
            transport: Transport::Any,
            max_age: Some(Duration::from_secs(60)),
            ..PLAIN
        },
        "SID=x; Path=/api; Max-Age=60",
    );
    check(
        Attributes { same_site: Some(SameSite::None), ..PLAIN },
        "SID=x; Path=/api; Secure; HttpOnly; SameSite=None",
    );
}

#[test]
fn nothing_is_smuggled_into_a_line() {
    for value in ["a; Path=/x", "a b", "a,b", "a\"b", "a\\b", "a\r\nX: y", "caf\u{e9}", "\0"] {
        assert!(set_cookie("SID", value, &PLAIN).is_err(), "{value}");
        assert!(set_cookie(value, "x", &PLAIN).is_err(), "{value}");
    }
    assert!(set_cookie("", "x", &PLAIN).is_err());
    assert!(set_cookie("a=b", "x", &PLAIN).is_err());
    for path in ["/;Domain=x", "/\r\nX: y", "/\u{e9}"] {
        assert!(set_cookie("SID", "x", &Attributes { path, ..PLAIN }).is_err(), "{path}");
    }
}

proptest! {
    #[test]
    fn what_is_taken_does_not_stay(line in any::<Vec<u8>>(), odd in "(SID|sid|a|=|;| |\"|\t){0,12}") {
        for bytes in [line, odd.into_bytes()] {
            let Ok(line) = HeaderValue::from_bytes(&bytes) else { continue };
            let Ok(found) = take([&line], |name| name == "SID") else { continue };
            let left = match &found.rest {
                Rest::Unchanged => line.clone(),
                Rest::Line(line) => line.clone(),
                Rest::Nothing => continue,
            };
            assert!(take([&left], |name| name == "SID").unwrap().pairs.is_empty());
        }
    }
}
