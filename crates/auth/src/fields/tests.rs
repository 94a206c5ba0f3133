#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::{any, proptest};

use super::content_type::{ContentType, Encoding};
use super::{Bounds, Case, FIELDS, FieldError, Fields, FieldsError, PARTS};

const MULTIPART: &str = "multipart/form-data; boundary=XX";

/// `name=value` of each field asked for; `-` for absent, `?` for ambiguous, `!` for not plain.
fn read(content_type: &str, body: &[u8], names: &str, case: Case) -> Result<String, FieldsError> {
    let fields = Fields::parse(&ContentType::parse(content_type).unwrap(), body, Bounds::default())?;
    let shown = names.split(' ').map(|name| match fields.get(name, case) {
        Ok(Some(value)) => format!("{name}={value}"),
        Ok(None) => format!("{name}-"),
        Err(FieldError::Ambiguous) => format!("{name}?"),
        Err(FieldError::NotPlain) => format!("{name}!"),
    });
    Ok(shown.collect::<Vec<_>>().join(" "))
}

#[test]
fn content_types() {
    let check = |header: &str, expected: Option<Encoding>| {
        assert_eq!(ContentType::parse(header).map(|found| found.encoding()), expected, "{header}");
    };
    check("application/json", Some(Encoding::Json));
    check("application/json;charset=UTF-8;charset=UTF8", Some(Encoding::Json));
    check("Application/JSON ; charset=\"utf-8\";", Some(Encoding::Json));
    check("application/json; charset", Some(Encoding::Json));
    check("text/json", Some(Encoding::Json));
    check("application/problem+json", Some(Encoding::Json));
    check("text/xml", Some(Encoding::Xml));
    check("application/soap+xml; action=\"x;y\"", Some(Encoding::Xml));
    check("application/x-www-form-urlencoded", Some(Encoding::Form));
    check(MULTIPART, Some(Encoding::Multipart));
    check("multipart/mixed; boundary=x", None);
    check("text/plain", None);
    check("application/jsonp", None);
    check("json", None);
    check("", None);
    check("application/json; charset=\"utf-8", None);
    check("application/json; a=\"b\"c", None);
}

#[test]
fn charsets_that_would_be_read_otherwise_are_refused() {
    let body = r#"{"a":"x"}"#.as_bytes();
    let accented = "{\"a\":\"\u{e9}\"}".as_bytes();
    let check = |charset: &str, body: &[u8], good: bool| {
        let content_type = format!("application/json;charset={charset}");
        assert_eq!(read(&content_type, body, "a", Case::Exact).is_ok(), good, "{charset}");
    };
    check("UTF-8;charset=UTF8", accented, true);
    check("iso-8859-1", body, true);
    check("iso-8859-1", accented, false);
    check("utf-8;charset=iso-8859-1", accented, false);
    check("utf-7", body, false);
    check("utf-16", body, false);
}

#[test]
fn json_members() {
    let check = |body: &str, names: &str, expected: &str| {
        assert_eq!(
            read("application/json", body.as_bytes(), names, Case::Exact).unwrap(),
            expected,
            "{body}"
        );
    };
    check(
        r#"{"user":"alice","password":"p \"w\" \u00e9"}"#,
        "user password x",
        "user=alice password=p \"w\" \u{e9} x-",
    );
    check(r#"{"n":4711,"m":-1,"t":true,"z":null}"#, "n m t z", "n=4711 m=-1 t=true z-");
    check(r#"{"big":18446744073709551615}"#, "big", "big=18446744073709551615");
    check(
        r#"{"f":4711.0,"e":4711e0,"huge":18446744073709551616}"#,
        "f e huge",
        "f=4.711e3 e=4.711e3 huge=1.8446744073709552e19",
    );
    check(r#"{"o":{"a":1},"l":[1,{}],"s":""}"#, "o l s", "o! l! s=");
    check(r#"{"a":1,"a":1,"b":2}"#, "a b", "a? b=2");
    check(r#"{"a":null,"a":1}"#, "a", "a?");
    check(r#"{"a":1,"\u0061":2}"#, "a", "a?");
    check(r#"{"a":1,"A":2}"#, "a A", "a=1 A=2");
    check("{\"a\":\"x\\u0000y\"}", "a", "a!");
    check("\u{feff}{\"a\":1}", "a", "a=1");
    check("{}", "a", "a-");
    check("", "a", "a-");
    assert_eq!(read("application/json", br#"{"a":1,"A":2,"b":3}"#, "a B", Case::Ignore).unwrap(), "a? B=3");
}

#[test]
fn broken_json_is_refused() {
    let check = |body: &[u8], expected: &str| {
        let found = read("application/json", body, "a", Case::Exact).map_err(|error| error.to_string());
        assert_eq!(found, Err(expected.to_owned()), "{}", String::from_utf8_lossy(body));
    };
    let syntax = "body is not well-formed json: its syntax is broken";
    for body in [
        &b"{"[..],
        b"{\"a\":1",
        b"{\"a\":1}x",
        b"{'a':1}",
        b"{\"a\":1e400}",
        b"{\"a\":\"\\ud800\"}",
        b"[1,",
        b" ",
    ] {
        check(body, syntax);
    }
    check(b"[{\"a\":1}]", "body is no object");
    check(b"\"alice\"", "body is no object");
    check(b"4711", "body is no object");
    check(b"{\"a\":\"\xff\"}", "body is not well-formed json: it is not utf-8");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    check(deep.as_bytes(), "body is nested too deeply");
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|at| format!("\"m{at}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    check(members(FIELDS + 1).as_bytes(), "body has too many fields");
    assert!(read("application/json", members(FIELDS).as_bytes(), "a", Case::Exact).is_ok());
}

#[test]
fn forms() {
    let check = |body: &[u8], names: &str, expected: Result<&str, &str>| {
        let found = read("application/x-www-form-urlencoded", body, names, Case::Exact);
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{}", String::from_utf8_lossy(body));
    };
    check(b"userid=a%40b.c&password=p+w%2B", "userid password x", Ok("userid=a@b.c password=p w+ x-"));
    check(b"a=1&a=2&b", "a b", Ok("a? b="));
    check("a=caf\u{e9}".as_bytes(), "a", Ok("a=caf\u{e9}"));
    check(b"a=%", "a", Err("body is not well-formed form: it has a broken escape"));
    check(b"a=%FF", "a", Err("body is not well-formed form: it has escapes that are not utf-8"));
    check(b"a=%00", "a", Err("body is not well-formed form: it has a character that may not be there"));
    check("a&".repeat(FIELDS + 1).as_bytes(), "b", Err("body has too many fields"));
}

#[test]
fn xml_children() {
    let check = |body: &str, names: &str, expected: &str| {
        let found = read("application/xml", body.as_bytes(), names, Case::Exact);
        assert_eq!(found.map_err(|error| error.to_string()).as_deref(), Ok(expected), "{body}");
    };
    check(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<login xmlns=\"urn:x\">\n  <userName>alice</userName><password/></login>\n",
        "userName password",
        "userName=alice password=",
    );
    check("<l><p> a &lt;&amp;&#x41;&#66; </p></l>", "p", "p= a <&AB ");
    check("<l><p>x<![CDATA[<&amp;]]>y</p></l>", "p", "p=x<&amp;y");
    check("<x:l xmlns:x='u'><x:p>1</x:p></x:l>", "p", "p=1");
    check("<l><a:p xmlns:a='u'>1</a:p><b:p xmlns:b='v'>2</b:p></l>", "p", "p?");
    check("<l><p><q>1</q></p><r>2</r></l>", "p q r", "p! q- r=2");
    check("<l><p>1</p><!-- a note --><q>2</q></l>", "p q", "p=1 q=2");
    check("<l><p xmlns:i='u' i:nil='true'/><q>2</q></l>", "p q", "p- q=2");
    check("<l><p>a\r\nb</p></l>", "p", "p=a\nb");
    check("\u{feff}<l><p>1</p></l>", "p", "p=1");
    check("<l/>", "p", "p-");
    assert_eq!(read("text/xml", b"<l><P>1</P><p>2</p></l>", "p", Case::Ignore).unwrap(), "p?");
}

#[test]
fn broken_xml_is_refused() {
    let check = |body: &str, rule: &str| {
        let found =
            read("application/xml", body.as_bytes(), "a", Case::Exact).map_err(|error| error.to_string());
        assert_eq!(found, Err(format!("body is not well-formed xml: {rule}")), "{body}");
    };
    check("<!DOCTYPE l [<!ENTITY e 'x'>]><l><p>&e;</p></l>", "it has a document type");
    check("<l><p>&e;</p></l>", "it has an entity that is not one of the five");
    check("<l><p>&#0;</p></l>", "it has an entity that is not one of the five");
    check("<l><p>&#1;</p></l>", "it has an entity that is not one of the five");
    check("<l><p>\u{1}</p></l>", "it has a control character");
    check("<l><?php x?></l>", "it has a processing instruction");
    check(" <?xml version='1.0'?><l/>", "it has a processing instruction");
    check("<?xml version='1.0' encoding='iso-8859-1'?><l/>", "its declaration is not of utf-8 and 1.0");
    check("<?xml version='1.1'?><l/>", "its declaration is not of utf-8 and 1.0");
    check("<l><p>ali<!-- x -->ce</p></l>", "it has a comment inside a field");
    check("<l>text<p>1</p></l>", "it has text outside its fields");
    check("<l/>x", "it has text outside its fields");
    check("<l/><m/>", "it has two roots");
    check("<l><p>1</p>", "its root does not end");
    check("<l><p>1</l>", "its syntax is broken");
    check("<l a='1' a='2'/>", "its attributes are broken");
    check("alice", "it has text outside its fields");
    check("<l><p>a & b</p></l>", "its syntax is broken");
    let deep = format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
    assert_eq!(read("text/xml", deep.as_bytes(), "a", Case::Exact), Err(FieldsError::TooDeep));
    let many = format!("<l>{}</l>", "<a/>".repeat(FIELDS + 1));
    assert_eq!(read("text/xml", many.as_bytes(), "a", Case::Exact), Err(FieldsError::TooMany));
}

fn part(headers: &str, value: &str) -> String {
    format!("--XX\r\nContent-Disposition: {headers}\r\n\r\n{value}\r\n")
}

#[test]
fn multipart_parts() {
    let check = |parts: &[String], names: &str, expected: Result<&str, &str>| {
        let body = format!("{}--XX--\r\n", parts.concat());
        let found = read(MULTIPART, body.as_bytes(), names, Case::Exact).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{body}");
    };
    let named = |name: &str, value: &str| part(&format!("form-data; name=\"{name}\""), value);
    check(
        &[named("userName", "alice"), named("password", " p\r\nw ")],
        "userName password x",
        Ok("userName=alice password= p\r\nw  x-"),
    );
    check(&[part("form-data; name=plain", "1")], "plain", Ok("plain=1"));
    check(&[named("a", "1"), named("a", "1"), named("b", "")], "a b", Ok("a? b="));
    check(&[part("form-data; name=\"f\"; filename=\"x.txt\"", "1")], "f", Ok("f!"));
    check(&[part("form-data; name=\"f\"\r\nContent-Transfer-Encoding: base64", "MQ==")], "f", Ok("f!"));
    check(&[part("form-data; filename=\"; name=evil\"; name=\"good\"", "1")], "good evil", Ok("good! evil-"));
    let no_name = Err("body is not well-formed multipart: a part has no one name");
    check(&[part("form-data", "1")], "a", no_name);
    check(&[part("form-data; name=a; name=b", "1")], "a", no_name);
    check(&[part("form-data; name=a; name*=utf-8''b", "1")], "a", no_name);
    check(&[part("form-data; name=\"a\\\"b\"", "1")], "a", no_name);
    check(&[part("form-data; name=\"a\\b\"", "1")], "a", no_name);
    check(&[part("attachment; name=a", "1")], "a", no_name);
    check(&[part("form-data; name=a\r\nContent-Disposition: form-data; name=b", "1")], "a", no_name);
    check(&["--XX\r\nX: y\r\n\r\n1\r\n".to_owned()], "a", no_name);
    let no_headers = Err("body is not well-formed multipart: a part has broken headers");
    check(&["--XX\r\nX: y\r\n folded\r\n\r\n1\r\n".to_owned()], "a", no_headers);
    check(&[part("form-data; name=a\nX: y", "1")], "a", no_headers);
    check(
        &[part("form-data; name=a", "1\r\n--XXY")],
        "a",
        Err("body is not well-formed multipart: its parts are broken"),
    );
    let longer = part("form-data; name=a", "1").replace("--XX", "--XXY");
    let broken = Err("body is not well-formed multipart: its parts are broken");
    check(&[named("b", "2"), longer], "a", broken);
    check(&["--XX".to_owned()], "a", Err("body is not well-formed multipart: its parts are broken"));
    let many: Vec<_> = (0..=PARTS).map(|at| named(&format!("n{at}"), "1")).collect();
    check(&many, "n0", Err("body has too many parts"));
}

#[test]
fn broken_multipart_is_refused() {
    let check = |content_type: &str, body: &[u8]| {
        assert!(read(content_type, body, "a", Case::Exact).is_err(), "{content_type}");
    };
    let whole = format!("{}--XX--\r\n", part("form-data; name=a", "1"));
    assert_eq!(read(MULTIPART, whole.as_bytes(), "a", Case::Exact).unwrap(), "a=1");
    check("multipart/form-data", whole.as_bytes());
    check("multipart/form-data; boundary=XX; boundary=YY", whole.as_bytes());
    check("multipart/form-data; boundary=YY; boundary=XX", whole.as_bytes());
    check("multipart/form-data; boundary=\"\"", whole.as_bytes());
    check(MULTIPART, part("form-data; name=a", "1").as_bytes());
    check(MULTIPART, format!("x{whole}").as_bytes());
    for end in 1..whole.len() - 4 {
        check(MULTIPART, &whole.as_bytes()[..end]);
    }
}

#[test]
fn debug_prints_names_only() {
    let fields =
        Fields::parse(&Encoding::Json.into(), br#"{"user":"alice","password":"sesame"}"#, Bounds::default())
            .unwrap();
    assert_eq!(format!("{fields:?}"), r#"{"user", "password"}"#);
    assert!(
        fields.has("user", Case::Exact)
            && !fields.has("USER", Case::Exact)
            && fields.has("USER", Case::Ignore)
    );
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(body in any::<Vec<u8>>(), xmlish in "[<>/a\\[\\]!&;#-]{0,40}") {
        for content_type in ["text/json", "text/xml", "application/x-www-form-urlencoded", MULTIPART] {
            let _ = read(content_type, &body, "a", Case::Ignore);
            let _ = read(content_type, xmlish.as_bytes(), "a", Case::Ignore);
            let _ = read(content_type, format!("<l>{xmlish}</l>").as_bytes(), "a", Case::Ignore);
        }
        let mut parts = b"--XX\r\n".to_vec();
        parts.extend(&body);
        let _ = read(MULTIPART, &parts, "a", Case::Ignore);
    }

    #[test]
    fn any_header_is_read_or_refused(header in any::<String>(), odd in "multipart/form-data(;[a-z\"= \\\\]{0,8}){0,4}") {
        let _ = ContentType::parse(&header);
        let _ = ContentType::parse(&odd);
    }

    #[test]
    fn text_comes_back(value in "[^\0]{0,20}") {
        let expected = format!("a={value}");
        let json = serde_json::json!({ "a": value }).to_string();
        assert_eq!(read("text/json", json.as_bytes(), "a", Case::Exact).unwrap(), expected);
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("a", &value).finish();
        assert_eq!(read("application/x-www-form-urlencoded", form.as_bytes(), "a", Case::Exact).unwrap(), expected);
    }
}
