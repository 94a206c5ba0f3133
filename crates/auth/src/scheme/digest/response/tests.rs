#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::{any, proptest};

use super::*;

const GOOD: &str = r#"username="ann", realm="Shop", nonce="N", uri="/x?a=1", algorithm=SHA-256, qop=auth, nc=0000001f, cnonce="C=", response="00ff""#;

#[test]
fn what_clients_send_is_read() {
    let expected = Response {
        user: User::Named("ann".into()),
        realm: "Shop".into(),
        nonce: "N".into(),
        uri: "/x?a=1".into(),
        algorithm: Algorithm::Sha256,
        protection: Protection::Auth,
        cnonce: "C=".into(),
        nc: "0000001f".into(),
        count: 31,
        response: "00ff".into(),
        has_opaque: false,
    };
    let check = |value: &str, expected: &Response<'_>| {
        assert_eq!(Response::parse(value).as_ref(), Ok(expected), "{value}");
    };
    check(GOOD, &expected);
    let all_quoted = GOOD.replace("SHA-256", "\"SHA-256\"").replace("=auth", "=\"auth\"");
    check(&all_quoted, &expected);
    check(&all_quoted.replace("0000001f", "\"0000001f\""), &expected);
    check(&GOOD.replace(", ", ","), &expected);
    check(
        &GOOD.replace(", ", " ,\t, ").replace('=', " = ").replace("a = 1", "a=1").replace("C = ", "C="),
        &expected,
    );
    check(&GOOD.replace("username", "UserName").replace("qop", "QOP"), &expected);
    check(&GOOD.replace("\"C=\"", "C="), &expected);
    check(&GOOD.replace("\"ann\"", r#""a\nn""#), &expected);
    check(&format!("{GOOD}, userhash=false, stale=x, next=\"\""), &expected);
    check(&format!("{GOOD}, opaque=\"\""), &Response { has_opaque: true, ..expected.clone() });
    let no_algorithm = Response { algorithm: Algorithm::Md5, ..expected.clone() };
    check(&GOOD.replace("algorithm=SHA-256, ", ""), &no_algorithm);
    let escaped = Response { user: User::Named("a\"b\\c".into()), ..expected.clone() };
    check(&GOOD.replace("\"ann\"", r#""a\"b\\c""#), &escaped);
    let umlaut = Response { user: User::Named("J\u{e4}s\u{f8}n, Doe".into()), ..expected.clone() };
    check(&GOOD.replace("\"ann\"", "\"J\u{e4}s\u{f8}n, Doe\""), &umlaut);
    let extended = GOOD.replace("username=\"ann\"", "username*=utf-8'en'J%C3%A4s%C3%B8n%2C%20Doe");
    check(&extended, &umlaut);
    let hashed = Response { user: User::Hashed("ann".into()), ..expected };
    check(&format!("{GOOD}, userhash=\"TRUE\""), &hashed);
}

#[test]
fn what_cannot_be_is_refused() {
    use ResponseError::{Invalid, Malformed, Missing, Repeated, TooLong, TwoUsers};
    let check = |value: &str, expected| assert_eq!(Response::parse(value), Err(expected), "{value}");
    check("", Missing("username"));
    check("negotiate", Malformed);
    for name in ["realm", "nonce", "uri", "response", "cnonce", "qop", "nc"] {
        let renamed = GOOD.replacen(&format!(" {name}="), " other=", 1);
        check(&renamed, Missing(name));
    }
    for (from, to, expected) in [
        ("0000001f", "1f", Invalid("nc")),
        ("0000001f", "00000001f", Invalid("nc")),
        ("0000001f", "+000001f", Invalid("nc")),
        ("0000001f", "0000001g", Invalid("nc")),
        ("0000001f", "00000000", Invalid("nc")),
        ("SHA-256", "SHA-1", Invalid("algorithm")),
        ("SHA-256", "\"\"", Invalid("algorithm")),
        ("qop=auth", "qop=none", Invalid("qop")),
        ("qop=auth", "qop=\"auth,auth-int\"", Invalid("qop")),
        ("\"ann\"", "\"\"", Invalid("username")),
        ("\"ann\"", "\"a\tn\"", Invalid("username")),
        ("\"ann\"", "ann\"", Malformed),
        ("\"ann\"", "\"ann", Malformed),
        ("\"00ff\"", "\"00ff", Malformed),
        ("\"00ff\"", "\"00ff\\", Malformed),
        ("\"00ff\"", "", Malformed),
        ("realm=", "=", Malformed),
        ("realm=", "re alm=", Malformed),
        ("qop=auth, ", "qop=auth ", Malformed),
        ("\"N\", ", "\"N\"", Malformed),
        ("nc=", "nonce=\"N\", nc=", Repeated),
        ("nc=", "NC=00000001, nc=", Repeated),
        ("nc=", "x=1, X=2, nc=", Repeated),
        ("nc=", "username*=UTF-8''ann, nc=", TwoUsers),
        ("nc=", "userhash=maybe, nc=", Invalid("userhash")),
        ("username=\"ann\"", "username*=\"UTF-8''ann\"", Invalid("username*")),
        ("username=\"ann\"", "username*=ISO-8859-1''ann", Invalid("username*")),
        ("username=\"ann\"", "username*=UTF-8'ann", Invalid("username*")),
        ("username=\"ann\"", "username*=UTF-8''%FF", Invalid("username*")),
        ("username=\"ann\"", "username*=UTF-8''%00", Invalid("username")),
        ("username=\"ann\"", "userhash=true, username*=UTF-8''ann", Invalid("username*")),
    ] {
        assert!(GOOD.contains(from), "{from}");
        check(&GOOD.replacen(from, to, 1), expected);
    }
    check(&format!("{GOOD}, x=\"{}\"", "y".repeat(RESPONSE_BYTES_MAX)), TooLong);
    let many: String = (0..30).map(|number| format!(", x{number}=1")).collect();
    check(&format!("{GOOD}{many}"), TooLong);
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(value in any::<String>(), list in "([a-z*]{1,9}=(\"[ -~]{0,9}\"|[!-~]{0,9}),? ?){0,12}") {
        let _ = Response::parse(&value);
        let _ = Response::parse(&list);
        let _ = Response::parse(&format!("{GOOD}, {list}"));
    }

    #[test]
    fn quoted_values_come_back(user in "[^\\p{Cc}]{1,20}", uri in "/[!-~]{0,30}") {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let value = GOOD.replace("ann", &quoted(&user)).replace("/x?a=1", &quoted(&uri));
        let response = Response::parse(&value).unwrap();
        assert_eq!(response.user.text(), user);
        assert_eq!(&*response.uri, uri);
    }
}
