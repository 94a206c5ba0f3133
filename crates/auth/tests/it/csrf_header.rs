//! `csrf_header` of an API: what it may be called, and that no service says it.

use std::sync::Arc;

use countersign_auth::api::{Api, ApiOptions};
use countersign_auth::dialect::Dialect;
use http::HeaderMap;

use super::common::dialect_text;

const FROM: &str = "from     = [\"header X-Harbour-Csrf\", \"body csrf\"]";

/// An API of harbour with another place for its proofs.
fn api(from: &str, header: &str) -> Result<Api, Vec<String>> {
    let text = dialect_text("harbour");
    assert_eq!(text.matches(FROM).count(), 1);
    settled(&text.replace(FROM, from), header)
}

fn settled(text: &str, header: &str) -> Result<Api, Vec<String>> {
    let dialect = Dialect::load("harbour", text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let options =
        ApiOptions { name: "port".to_owned(), csrf_header: Some(header.to_owned()), ..ApiOptions::default() };
    let told = |problems: Vec<_>| -> Vec<String> { problems.iter().map(ToString::to_string).collect() };
    Api::new(Arc::new(dialect), options).map_err(told)
}

#[test]
fn a_name_that_carries_something_else_or_nothing_is_a_mistake() {
    let check = |from: &str, header: &str, why: &str| {
        let told = api(from, header).err().unwrap_or_default();
        let expected = (!why.is_empty()).then(|| format!("api `port`: {why}"));
        assert_eq!(told, Vec::from_iter(expected), "{from}, {header}");
    };
    check(FROM, "X-Port-Csrf", "");
    check(FROM, "X-Harbour-Csrf", "");
    check(FROM, "X-Buoy", "`X-Buoy` carries `buoy`; name another header in `csrf_header`");
    check(FROM, "X_Pair.Secret", "`X_Pair.Secret` carries `pair`; name another header in `csrf_header`");
    check(
        FROM,
        "X-Trace",
        "`X-Trace` carries what the service is told by clients (`passes`); name another header in `csrf_header`",
    );
    check(
        "from = \"body csrf\"",
        "X-Port-Csrf",
        "`X-Port-Csrf` would carry no CSRF proof: `csrf.from` of the dialect names no header; leave `csrf_header` out",
    );
    let none = "schema = 1\nname = \"plain\"\n[surface.all]\nat = \"/**\"\naccepts = [\"anonymous\"]\nerrors = \"all\"\n\
                [errors.all.any]\ntext = \"{{ message }}\"\n";
    let told = settled(none, "X-Port-Csrf").err().unwrap_or_default();
    let expected = "api `port`: `X-Port-Csrf` would carry no CSRF proof: the dialect has no [csrf]; leave `csrf_header` out";
    assert_eq!(told, [expected]);
}

#[test]
fn a_service_sets_the_header_by_neither_name() {
    let answer = || {
        let mut headers = HeaderMap::new();
        for name in ["x-port-csrf", "x-harbour-csrf", "x-else"] {
            headers.insert(name, "of-the-service".parse().unwrap());
        }
        headers
    };
    let left = |api: Result<Api, Vec<String>>| {
        let mut headers = answer();
        api.unwrap().remove_own_names(&mut headers, &[]);
        headers.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(left(api(FROM, "X-Port-Csrf")), ["x-else"]);
    assert_eq!(left(api(FROM, "X-Harbour-Csrf")), ["x-port-csrf", "x-else"]);
}
