//! B9, E10, E12: what is printed where others read it, and values that nobody may guess.

use std::collections::BTreeSet;

use countersign_identity::accounts::AccountDraft;
use countersign_identity::service::By;

use super::tokens::{HEADER, KEY, payload, show, signed};
use super::{Ground, Told, all, basic, claims};

/// Names that would be more than names where somebody forgot to escape them.
const MARKUP: &str = r#"Mad "<script>alert(1)</script>' & </strong><b onload=x> Hätter"#;

/// An on-site API, with a person whose name is markup, and others whose keys are no header values.
fn crm() -> Ground {
    let account = |name: &str, full_name: &str, key: &str| {
        format!(
            "[[account]]\nname = \"{name}\"\npassword = \"wonderland-7\"\nfull_name = {}\nkeys = {{ associate_id = {}, person_id = \"7\", contact_id = \"2\", group_id = \"1\" }}\n",
            serde_json::Value::from(full_name),
            serde_json::Value::from(key),
        )
    };
    let world = [
        "[[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"/\"]\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n".to_owned(),
        account("hatter", MARKUP, "5"),
        account("letters", "Letters", "5\u{e4}\u{1f407}"),
        account("percent", "Percent", "5%0D%0A"),
    ];
    Ground::with("superoffice", &world.concat())
}

fn signed_in(ground: &Ground, user: &str) -> (String, String) {
    let told = ground
        .send(&format!("POST /login HTTP/1.1\nHost: a.example\nContent-Type: application/x-www-form-urlencoded\n\nuserName={user}&password=wonderland-7"))
        .answered();
    (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"))
}

#[test]
fn b9_what_is_no_header_value_is_encoded_and_never_cut() {
    let ground = crm();
    for (user, told) in [("hatter", "5"), ("letters", "5%C3%A4%F0%9F%90%87"), ("percent", "5%250D%250A")] {
        let seen = ground
            .send(&format!(
                "GET /api/v1/Contact/2 HTTP/1.1\nHost: a.example\nAuthorization: {}",
                basic(user, "wonderland-7")
            ))
            .passed();
        assert_eq!(all(&seen, "X-SuperOffice-Associate"), [told], "{user}");
        assert_eq!(claims(&seen)["sub"], user);
    }
    // An account of the gate has no control characters; what an issuer signs may have any.
    let (service, now) = (ground.world.service(), ground.world.now());
    for name in ["a\r\nX: 1", "a\rb", "a\0b", "a\nb", "a\u{85}b"] {
        let draft = AccountDraft { subject: Some(name.to_owned()), ..AccountDraft::new("users", "new") };
        assert!(ground.world.block_on(service.create_account(draft, By::gate(), now)).is_err(), "{name:?}");
    }
    let ground = Ground::of("enactor");
    for (sub, told) in [
        ("1", "1"),
        ("1\r\nX-Role: admin", "1%0D%0AX-Role: admin"),
        ("1\rX-Role: admin", "1%0DX-Role: admin"),
        ("1\nX-Role: admin", "1%0AX-Role: admin"),
        ("1\u{0}2", "1%002"),
        ("1\u{e4}\u{1f407}\u{2028}", "1%C3%A4%F0%9F%90%87%E2%80%A8"),
        ("1%0D", "1%250D"),
    ] {
        let payload = payload(&ground, &[("sub", &serde_json::Value::from(sub).to_string())]);
        let told_by = show(&ground, &signed(HEADER, &payload, KEY));
        if sub.contains(char::is_control) {
            // Refused as a whole: nobody is called so.
            assert!(told_by.seen.is_empty() || all(&told_by.seen[0], "subject") == [told], "{sub:?}");
            assert!(matches!(told_by.status(), 401 | 200), "{sub:?}: {}", told_by.status());
        } else {
            let seen = told_by.passed();
            assert_eq!(all(&seen, "subject"), [told], "{sub:?}");
        }
    }
}

/// A page says what it may do, and that is next to nothing.
fn is_page(told: &Told) {
    assert!(told.header("content-type").starts_with("text/html"), "{}", told.bytes());
    let policy = told.header("content-security-policy");
    for word in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(word), "{policy}");
    }
    assert!(!policy.contains("unsafe-eval") && !policy.contains("script-src"), "{policy}");
    assert_eq!(told.header("x-content-type-options"), "nosniff");
}

#[test]
fn e10_names_are_text_wherever_they_are_printed() {
    let ground = crm();
    let (session, csrf) = signed_in(&ground, "hatter");
    let home = ground
        .send(&format!("GET /login/home HTTP/1.1\nHost: a.example\nCookie: SuperOffice-Session={session}"))
        .answered();
    is_page(&home);
    let body = home.body();
    assert!(body.contains("Mad &quot;&lt;script&gt;alert(1)&lt;/script&gt;"), "{body}");
    assert!(body.contains("H\u{e4}tter"), "{body}");
    for live in ["<script", "<b ", "</strong><", "onload=x>"] {
        let after = body.split("signed in as").nth(1).unwrap();
        assert!(!after.split("</main>").next().unwrap().contains(live), "{live}: {after}");
    }
    let principal = ground
        .send(&format!(
            "GET /api/v1/User/currentPrincipal HTTP/1.1\nHost: a.example\nAccept: application/json\nCookie: SuperOffice-Session={session}\nX-XSRF-TOKEN: {csrf}"
        ))
        .answered();
    assert_eq!(principal.header("content-type"), "application/json");
    assert_eq!(principal.member("/FullName"), MARKUP);
}

#[test]
fn e10_what_a_request_says_is_not_printed_or_is_text() {
    let ground = crm();
    let markup = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let mut pages = 0;
    for target in [
        format!("/login?return_to={markup}"),
        format!("/login?return_to=/{markup}&error_hint={markup}&state={markup}"),
        format!("/pages/x?{markup}"),
        format!("/pages/{markup}"),
    ] {
        for accept in ["text/html", "application/json", "application/xml", "*/*"] {
            let told = ground.send(&format!("GET {target} HTTP/1.1\nHost: a.example\nAccept: {accept}\nUser-Agent: <script>alert(1)</script>\nReferer: http://a.example/<script>"));
            let bytes = told.bytes();
            assert!(!bytes.contains("<script"), "{target} {accept}: {bytes}");
            if told.answer.head.header("content-type").is_some_and(|media| media.starts_with("text/html")) {
                is_page(&told);
                pages += 1;
            }
        }
    }
    assert!(pages > 4, "{pages} pages");
    // A place to go back to is a path of this site, or none at all.
    for (place, location) in [
        ("/crm/x", "/crm/x"),
        ("//evil.example", "/login/home"),
        ("/%5Cevil.example", "/login/home"),
        ("javascript:alert(1)", "/login/home"),
        ("/x%0D%0ASet-Cookie:%20a=b", "/login/home"),
        ("/crm/%22%3E%3Cscript%3E", "/login/home"),
        ("/crm/x?q=a,b(c)", "/crm/x?q=a,b(c)"),
        // Escapes stay what they were, once; what they may hide is looked for as the gate looks for it in requests.
        ("/crm/a%2520b?c=d%2526e%253Df%23g", "/crm/a%20b?c=d%26e%3Df#g"),
        ("/crm/%25C3%25A9", "/crm/%C3%A9"),
        ("/crm/x?q=100%25", "/crm/x?q=100%25"),
        ("/crm/x?y=%250d%250aSet-Cookie:a=b", "/crm/x?y=%0d%0aSet-Cookie:a=b"),
        ("/crm/100%25", "/login/home"),
        ("/crm/%C3%A9", "/login/home"),
        ("///evil.example", "/login/home"),
        ("/crm//evil.example", "/login/home"),
        ("/%252f%252fevil.example", "/login/home"),
        ("/%252F/evil.example", "/login/home"),
        ("/%255cevil.example", "/login/home"),
        ("/crm/%252e%252E/x", "/login/home"),
        ("/crm/.%252e/x", "/login/home"),
        ("/crm/../x", "/login/home"),
        ("/crm/x%250d%250aSet-Cookie:a=b", "/login/home"),
        ("/crm/x%2500", "/login/home"),
        ("/crm/x%09", "/login/home"),
        ("%09//evil.example", "/login/home"),
        ("/%09/evil.example", "/login/home"),
        ("/crm/x%257F", "/login/home"),
        ("/crm/x%252525", "/login/home"),
        ("https:evil.example", "/login/home"),
        ("%2F%2Fevil.example", "/login/home"),
    ] {
        let told = ground.send(&format!("POST /login?return_to={place} HTTP/1.1\nHost: a.example\nContent-Type: application/x-www-form-urlencoded\n\nuserName=hatter&password=wonderland-7"));
        let found = told.header("location");
        assert_eq!(found, location, "{place}");
        assert_eq!(told.answer.head.header("set-cookie").map(|line| line.starts_with("a=")), Some(false));
    }
}

#[test]
fn e6_a_browser_comes_back_to_the_very_address() {
    let ground = crm();
    for address in ["/pages/a%20b?x=1%262&y=%2525", "/pages/start?q=%C3%A9+z", "/pages/x?back=%2Fy%3Fz"] {
        let told = ground.send(&format!(
            "GET {address} HTTP/1.1\nHost: a.example\nAccept: text/html\nSec-Fetch-Mode: navigate"
        ));
        let sign_in = told.header("location");
        assert!(sign_in.starts_with("/login?return_to="), "{sign_in}");
        let told = ground.send(&format!("POST {sign_in} HTTP/1.1\nHost: a.example\nContent-Type: application/x-www-form-urlencoded\n\nuserName=hatter&password=wonderland-7"));
        assert_eq!(told.header("location"), address);
    }
}

/// The distance of a count from what chance expects, in standard deviations.
fn deviation(count: usize, of: usize, chance: f64) -> f64 {
    let (count, of) = (count as f64, of as f64);
    (count - of * chance) / (of * chance * (1.0 - chance)).sqrt()
}

/// Six standard deviations come up once in five hundred million draws; some thousands are looked at.
const DEVIATIONS_MAX: f64 = 6.0;

#[test]
fn e12_ids_are_random_in_every_place() {
    const IDS: usize = 2000;
    let ground = crm();
    let ids: Vec<String> = (0..IDS).map(|_| signed_in(&ground, "hatter").0).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), IDS, "no id twice");
    let places = ids[0].len();
    assert!(places * 6 >= 128, "{places} characters of base64 hold fewer than 128 bits");
    let value = |byte: u8| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        alphabet.iter().position(|letter| *letter == byte).unwrap()
    };
    let bits: Vec<Vec<bool>> = ids
        .iter()
        .map(|id| id.bytes().flat_map(|byte| (0..6).map(move |bit| value(byte) >> bit & 1 == 1)).collect())
        .collect();
    let mut worst: f64 = 0.0;
    for place in 0..places * 6 {
        // As often one as zero, whatever came before it in the same id, and in the same place of the id before.
        let ones = bits.iter().filter(|id| id[place]).count();
        let kept = bits.windows(2).filter(|pair| pair[0][place] == pair[1][place]).count();
        let next = bits.iter().filter(|id| id[place] == id[(place + 1) % (places * 6)]).count();
        for (count, of) in [(ones, IDS), (kept, IDS - 1), (next, IDS)] {
            worst = worst.max(deviation(count, of, 0.5).abs());
        }
    }
    for place in 0..places {
        for letter in 0..64 {
            let count = ids.iter().filter(|id| value(id.as_bytes()[place]) == letter).count();
            worst = worst.max(deviation(count, IDS, 1.0 / 64.0).abs());
        }
    }
    println!("the worst of all counts is {worst:.2} standard deviations from what chance expects");
    assert!(worst < DEVIATIONS_MAX, "{worst}");
    // The test sees what it should: a counter, and a clock, in an id.
    assert!(deviation(0, IDS, 0.5).abs() > DEVIATIONS_MAX);
}
