//! Places of APIs, of which one may have what another one guards.

use std::path::Path;

use super::{DIALECT, GOOD, Loaded, folder};

#[test]
fn a14_places_that_hide_each_other_are_told() {
    let told = |one: &str, two: &str, dialect: &str| {
        let folder = folder();
        let cookie =
            "[credential.browser]\nscheme = \"token\"\nfrom = { value = [\"cookie S\", \"query s\"] }\n";
        std::fs::write(folder.path().join("dialect.toml"), format!("{DIALECT}{cookie}{dialect}")).unwrap();
        let text = GOOD.replacen("at = [\"/one\"]", &format!("at = [{one}]"), 1).replacen(
            "at = [\"two.example/\", \"two.example/one\"]",
            &format!("at = [{two}]"),
            1,
        );
        match Loaded::parse(Path::new("c.toml"), folder.path(), &text) {
            Ok(_) => Vec::new(),
            Err(mistakes) => {
                mistakes.iter().map(|mistake| format!("{}: {}", mistake.key, mistake.message)).collect()
            }
        }
    };
    let first_live = "repeated = \"first-live\"";
    let check = |one: &str, two: &str, expected: &[&str]| {
        let told = told(one, two, first_live);
        assert_eq!(told.len(), expected.len(), "{one} {two}: {told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{one} {two}: {told}");
        }
    };
    // In another letter case.
    check("\"/one\"", "\"/ONE\"", &["api[1].at[0]: `/ONE` is `/one` of api[0] but for letter case"]);
    check("\"/one\"", "\"a.example/ONE\"", &[]);
    // Hidden by a host.
    let hidden =
        ["api[0].at[0]: `/one` is not this API's on host a.example: there `a.example/` of api[1] has"];
    check("\"/one\"", "\"a.example/\"", &hidden);
    check("\"/one\"", "\"a.example/\", \"b.example/one\"", &hidden);
    check("\"/one\"", "\"a.example/\", \"a.example/one\"", &[]);
    check("\"/one\", \"a.example/one\"", "\"a.example/\"", &[]);
    check("\"/one/x\", \"a.example/one\"", "\"a.example/\"", &[]);
    check("\"/one/x\", \"a.example/\"", "\"a.example/one\"", &["there `a.example/one` of api[1]"]);
    check("\"/\"", "\"a.example/one\"", &[]);
    // Cookies.
    let check = |one: &str, two: &str, expected: &[&str]| {
        let told = told(one, two, "");
        assert_eq!(told.len(), expected.len(), "{one} {two}: {told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected) && told.contains("cookie `S`"), "{one} {two}: {told}");
        }
    };
    check("\"/\"", "\"/two\"", &["api[1].at[0]: `/two` is below `/` of api[0]"]);
    check("\"/two/x\"", "\"/two\"", &["api[0].at[0]: `/two/x` is below `/two` of api[1]"]);
    check(
        "\"/\", \"/one\"",
        "\"a.example/one\"",
        &["api[0].at[1]", "api[1].at[0]: `a.example/one` is below `/`"],
    );
    check("\"/\"", "\"a.example/\"", &[]);
    check("\"/one\"", "\"/two\"", &[]);
    check("\"/one\"", "\"/oneself\"", &[]);
    check("\"a.example/\"", "\"b.example/one\"", &[]);
}

/// What is noted of an API at these places in front of a service, and another one, which is at these places of this listener,
/// in front of the same.
fn noted(shop: &str, routes: &str, admin: &str, listener: &str) -> Vec<String> {
    let text = format!(
        r#"
[[listener]]
name = "public"
address = "127.0.0.1:8080"
[[listener]]
name = "internal"
address = "127.0.0.1:8081"
[[api]]
name = "shop"
dialect = "./dialect.toml"
at = [{shop}]
listeners = ["public"]
upstream = "http://127.0.0.1:9000"
[[api.route]]
at = "/**"
allow = "authenticated"
{routes}
[[api]]
name = "admin"
dialect = "./dialect.toml"
at = [{admin}]
listeners = ["{listener}"]
upstream = {{ backends = ["http://127.0.0.1:9001", "http://127.0.0.1:9000/"] }}
[[api.route]]
at = "/**"
allow = {{ roles = ["admin"] }}
"#
    );
    let loaded = Loaded::parse(Path::new("c.toml"), folder().path(), &text).unwrap();
    loaded.notes().iter().map(ToString::to_string).collect()
}

#[test]
fn what_another_api_has_of_a_service_elsewhere_is_noted() {
    assert_eq!(
        noted("\"/\"", "", "\"/admin\"", "internal"),
        [
            "c.toml:11: api[0].at[0]: `/admin` on listener `public` is the service of api[1] as well, which is at `/admin` and \
             not there: this API's routes decide; write a route at = \"/admin/**\" here that says who may"
        ]
    );
    let route = "[[api.route]]\nat = \"GET /Admin/**\"\nallow = { roles = [\"admin\"] }";
    assert_eq!(noted("\"/\"", route, "\"/admin\"", "internal"), [""; 0]);
    assert_eq!(noted("\"/\"", "", "\"/admin\"", "public"), [""; 0]);
    assert_eq!(noted("\"/shop\"", "", "\"/admin\"", "internal"), [""; 0]);
    // By host.
    let check = |shop: &str, admin: &str, expected: &[&str]| {
        let told = noted(shop, "", admin, "public");
        assert_eq!(told.len(), expected.len(), "{shop} {admin}: {told:#?}");
        assert!(told.iter().zip(expected).all(|(told, expected)| told.contains(expected)), "{told:#?}");
    };
    check("\"/\"", "\"in.example/admin\"", &["`/admin` on listener `public` is the service of api[1]"]);
    check("\"a.example/\"", "\"in.example/admin\"", &["`/admin of host a.example` on"]);
    check("\"in.example/\"", "\"in.example/admin\"", &[]);
    check("\"/x\"", "\"in.example/x/admin\"", &["write a route at = \"/admin/**\""]);
    check("\"/\"", "\"in.example/\"", &[]);
}
