//! D: realms that are hard to write, and users that are nobody by construction.

use super::{Ground, basic};
use crate::digest::{Challenge, Response};

/// The realm has what a quoted string escapes (RFC 9110 section 5.6.4).
const WORLD: &str = r#"
[[api]]
name = "shop"
dialect = "enactor"
enable = ["digest", "basic"]
realm = 'The "Shop", \ and co = 1'
at = ["shop.example/"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "till"
password = "drawer-open-5"
weaker = ["digest"]
"#;
const REALM: &str = r#"The "Shop", \ and co = 1"#;
const WRITTEN: &str = r#"realm="The \"Shop\", \\ and co = 1""#;
const URI: &str = "/devices/pos1";

fn ask(ground: &Ground, authorization: &str) -> super::Told {
    ground.send(&format!("GET {URI} HTTP/1.1\nHost: shop.example{authorization}"))
}

/// What the gate offers, with the realm in words that a simple reader understands.
fn challenge(ground: &Ground) -> Challenge {
    let told = ask(ground, "").refused(401);
    let lines = told.answer.head.headers.iter();
    let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    let lines: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
    assert!(lines.len() >= 3 && lines.iter().all(|line| line.contains(WRITTEN)), "{lines:?}");
    let digest = lines.iter().find(|line| line.starts_with("Digest ")).unwrap();
    Challenge::parse(&digest.replacen(WRITTEN, "realm=\"R\"", 1))
}

#[test]
fn d8_a_realm_with_quotes_is_one_realm() {
    let ground = Ground::with("enactor", WORLD);
    let answer = |user: &str, password: &str, realm: &str| {
        let right = Response::to(&challenge(&ground), user, password, "GET", URI);
        let field = Response { realm: realm.to_owned(), ..right }.field();
        let (plain, written) =
            (format!("realm=\"{realm}\""), realm.replace('\\', "\\\\").replace('"', "\\\""));
        assert!(field.contains(&plain));
        ask(
            &ground,
            &format!("\nAuthorization: {}", field.replacen(&plain, &format!("realm=\"{written}\""), 1)),
        )
    };
    answer("till", "drawer-open-5", REALM).passed();
    answer("till", "wrong", REALM).refused(401);
    answer("till", "drawer-open-5", "The Shop").refused(401);
    ask(&ground, &format!("\nAuthorization: {}", basic("till", "drawer-open-5"))).passed();
}

#[test]
fn d1_what_is_put_in_the_place_of_nobodys_hash_proves_nothing() {
    let ground = Ground::with("enactor", &WORLD.replace("'The \"Shop\", \\ and co = 1'", "\"R\""));
    for (user, password) in [("", ""), ("nobody", ""), ("till", ""), (&*"n".repeat(9000), "x")] {
        let told = ask(&ground, "").refused(401);
        let line = told.answer.head.headers.iter().find(|(_, value)| value.starts_with("Digest ")).unwrap();
        let right = Response::to(&Challenge::parse(&line.1), user, password, "GET", URI);
        ask(&ground, &format!("\nAuthorization: {}", right.field())).refused(401);
    }
}
