//! What a log-in with an issuer tells, and whom.

use super::super::heard::Hearing;
use super::super::{claims, lines_with};
use super::{COOKIE, call, come_back, ground, leave, whole};
use crate::provider::{Manners, SECRET};

#[test]
fn f3_what_a_log_in_with_an_issuer_holds_is_not_told() {
    let (ground, provider) = ground();
    let hearing = Hearing::begin();
    let away = leave(&ground, "corp", "");
    let told = come_back(&ground, "corp", Some(&away.browser), &away.answer("ann")).answered();
    let bad = leave(&ground, "corp", "");
    provider.behave(Manners::Answer("500 Internal Server Error", String::new()));
    let failed = come_back(&ground, "corp", Some(&bad.browser), &bad.answer("ann"));
    hearing.wait_for("/login/from/{issuer}");
    let log = hearing.so_far();
    for secret in [&away.code("ann"), &away.state, &away.browser, &bad.code("ann"), &bad.state] {
        assert!(!log.iter().any(|line| line.contains(secret.as_str())), "{secret}");
    }
    for text in [told.bytes(), failed.bytes(), ground.world.metrics()] {
        for secret in [&away.code("ann"), &bad.code("ann"), &bad.state, "8A:nobody's", SECRET] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    // As a credential of the service's own, `code` and `state` mean nothing elsewhere: they go on as they are.
    let (session, token) = (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"));
    let request = format!(
        "GET /api/v1/Product?code=4711&state=sold HTTP/1.1\nHost: crm.example\nX-XSRF-TOKEN: {token}\n\
         Cookie: SuperOffice-Session={session}; {COOKIE}={}",
        away.browser
    );
    let received = ground.send(&request).passed();
    assert_eq!(received.head.start, "GET /api/v1/Product?code=4711&state=sold HTTP/1.1");
    assert!(lines_with(&received, &away.browser).is_empty());
}

#[test]
fn c12_nobody_is_told_the_tokens_of_an_issuer() {
    let (ground, _provider) = ground();
    let told = whole(&ground, "ann").answered();
    let (session, token) = (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"));
    let passed = call(&ground, &session, &token);
    let refused = call(&ground, &session, "wrong").refused(401);
    for text in [told.bytes(), passed.bytes(), refused.bytes()] {
        assert!(!text.contains("8A:nobody's") && !text.contains("eyJ"), "{text}");
    }
    // The service is told by an assertion of the gate's own, and by no other token.
    let received = passed.passed();
    assert_eq!(lines_with(&received, "eyJ").len(), 1);
    assert!(lines_with(&received, "nobody's").is_empty());
    assert_eq!(claims(&received)["iss"], "countersign");
}
