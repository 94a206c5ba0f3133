//! B: who says so? Headers between hops.

use countersign_gateway::address::Fronts;

use super::{Ground, all, basic, claims, lines_with};
use crate::world::setting::Setting;

/// Anybody may look at `/public`; `ann` may look at all.
pub(super) const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
enable  = ["basic"]
at      = ["/"]

[[api.route]]
at    = "/public/**"
allow = "anonymous"

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "ann"
password = "administers-it-1"
"#;

/// An on-site API; `nobody` has none of the keys that the service is told.
pub(super) const CRM: &str = r#"
[[api]]
name       = "crm"
dialect    = "superoffice"
deployment = "onsite"
at         = ["/"]

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "alice"
password = "wonderland-7"
keys     = { associate_id = "5", person_id = "7", contact_id = "2", group_id = "1" }

[[account]]
name     = "nobody"
password = "nothing-to-say-1"
"#;

/// What forged headers say; nothing that the service sees may hold it.
pub(super) const FORGED: &str = "forged";

/// Names that services behind gateways believe, as senders may spell them.
const IDENTITIES: [&str; 24] = [
    "Countersign-Assertion",
    "countersign_assertion",
    "COUNTERSIGN.ASSERTION",
    "Countersign-Anything",
    "subject",
    "SUBJECT",
    "Remote-User",
    "REMOTE-USER",
    "REMOTE_USER",
    "Remote_Groups",
    "Remote-Email",
    "X-Remote-User",
    "X_Remote_User",
    "X-Forwarded-User",
    "X_Forwarded_User",
    "X-Forwarded_Groups",
    "X.Forwarded.Email",
    "X-Forwarded-Access-Token",
    "X-Auth-Request-User",
    "X-Auth_Request-User",
    "x_auth_request_email",
    "X-Auth-Request-Preferred-Username",
    "X_Auth-Request.Access_Token",
    "X-Authenticated-User",
];

fn ann() -> String {
    basic("ann", "administers-it-1")
}

#[test]
fn b2_identity_headers_are_stripped_in_every_spelling_and_in_trailers() {
    let ground = Ground::with("enactor", WORLD);
    for name in IDENTITIES {
        let seen =
            ground.send(&format!("GET /public/x HTTP/1.1\nHost: a.example\n{name}: {FORGED}")).passed();
        assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new(), "{name}");
        let seen = ground
            .send(&format!("GET /x HTTP/1.1\nHost: a.example\nAuthorization: {}\n{name}: {FORGED}", ann()))
            .passed();
        assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new(), "{name}");
        assert_eq!(all(&seen, "subject"), ["ann"]);
        let seen = ground
            .send(&format!(
                "POST /public/x HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\nTrailer: {name}, X-Checksum\n\n1\r\na\r\n0\r\n{name}: {FORGED}\r\nX-Checksum: kept\r\n\r\n"
            ))
            .passed();
        assert_eq!(seen.body, b"a");
        let trailers: Vec<String> = seen.trailers.iter().map(|line| line.to_ascii_lowercase()).collect();
        assert_eq!(trailers, ["x-checksum: kept"], "{name}");
    }
    let seen = ground.send(&format!("GET /public/x HTTP/1.1\nHost: a.example\nX-Users: {FORGED}")).passed();
    assert_eq!(lines_with(&seen, FORGED).len(), 1, "what is nobody's goes through");
}

/// Some servers of the CGI family make one `_` of whatever is neither letter nor digit.
#[test]
fn b2_names_are_one_whatever_stands_between_their_words() {
    const NAMES: [&str; 10] = [
        "Countersign-Assertion",
        "Remote-User",
        "X-Auth-Request-User",
        "X-Forwarded-For",
        "X-Real-IP",
        "Client-IP",
        "X-Envoy-Internal",
        "X-HTTP-Method-Override",
        "Proxy-Authorization",
        "Transfer-Encoding",
    ];
    let world = CRM.replacen(
        "[[api.route]]",
        "[[api.route]]\nat = \"/api/v1/Mine/**\"\nallow = \"authenticated\"\nids = { contact_id = \"header x-customer\" }\n\n[[api.route]]",
        1,
    );
    let ground = Ground::with("superoffice", &world);
    let alice = basic("alice", "wonderland-7");
    let ask = |path: &str, field: &str| {
        ground.send(&format!(
            "GET {path} HTTP/1.1\nHost: a.example\nAuthorization: {alice}\nX-Customer: 2\n{field}"
        ))
    };
    for between in "!#$%&'*+.^_`|~".chars() {
        let spelled = |name: &str| name.replace('-', &between.to_string());
        // One request each for all of them: what is seen of any is seen. The dialect's own names are among them.
        let told: Vec<String> = NAMES
            .iter()
            .chain(&["SO-AppToken", "X-XSRF-TOKEN", "X-Windows-User"])
            .map(|name| spelled(name))
            .collect();
        let lines: Vec<String> = told.iter().map(|name| format!("{name}: {FORGED}")).collect();
        let near = spelled("X-Note-1");
        let seen = ask("/api/v1/Contact/2", &format!("{}\n{near}: kept", lines.join("\n"))).passed();
        assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new(), "{between}");
        assert_eq!(all(&seen, &near), ["kept"], "what is nobody's goes through");
        let seen = ground
            .send(&format!(
                "POST /api/v1/Contact/2 HTTP/1.1\nHost: a.example\nAuthorization: {alice}\nTransfer-Encoding: chunked\nTrailer: {}, {near}\n\n1\r\na\r\n0\r\n{}\r\n{}: {FORGED}\r\n{near}: kept\r\n\r\n",
                told.join(", "),
                lines.join("\r\n"),
                spelled("X-Customer"),
            ))
            .passed();
        let trailers: Vec<String> = seen.trailers.iter().map(|line| line.to_ascii_lowercase()).collect();
        assert_eq!(trailers, [format!("{near}: kept").to_ascii_lowercase()], "{between}");
        // What says whose something is, is the caller's in every spelling.
        let customer = spelled("X-Customer");
        ask("/api/v1/Mine/x", &format!("{customer}: 2")).passed();
        ask("/api/v1/Mine/x", &format!("{customer}: 8")).refused(404);
        ask("/api/v1/Mine/x", &format!("Connection: close, {customer}")).refused(400);
    }
}

/// A service that merges trailers into its headers would believe them as if they had been looked at.
#[test]
fn b2_trailers_carry_nothing_that_counts_in_a_head() {
    let world = CRM.replacen(
        "[[api.route]]",
        "[[api.route]]\nat = \"POST /api/v1/Mine/**\"\nallow = \"authenticated\"\nids = { contact_id = \"header x-customer\" }\n\n[[api.route]]",
        1,
    );
    let ground = Ground::with("superoffice", &world);
    let alice = basic("alice", "wonderland-7");
    for name in [
        // The dialect's credentials, whether they are on here or not, its proof against foreign pages, what it passes on.
        "Authorization",
        "Cookie",
        "Proxy-Authorization",
        "SO-AppToken",
        "so_apptoken",
        "X-Windows-User",
        "X.Front.Proof",
        "X-XSRF-TOKEN",
        "SO-Language",
        // What an id was read from.
        "X-Customer",
        "x_customer",
        // What fronts say.
        "Client-IP",
        "X-Forwarded-Host",
    ] {
        let seen = ground
            .send(&format!(
                "POST /api/v1/Mine/x HTTP/1.1\nHost: a.example\nAuthorization: {alice}\nX-Customer: 2\nTransfer-Encoding: chunked\nTrailer: {name}, X-Checksum\n\n1\r\na\r\n0\r\n{name}: {FORGED}\r\nX-Checksum: kept\r\n\r\n"
            ))
            .passed();
        let trailers: Vec<String> = seen.trailers.iter().map(|line| line.to_ascii_lowercase()).collect();
        assert_eq!(trailers, ["x-checksum: kept"], "{name}");
    }
}

#[test]
fn b3_what_the_identity_does_not_say_is_not_left_to_the_client() {
    let ground = Ground::with("superoffice", CRM);
    let ask = |who: &str, more: &str| {
        ground
            .send(&format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: a.example\nAuthorization: {who}{more}"))
            .passed()
    };
    let alice = basic("alice", "wonderland-7");
    let nobody = basic("nobody", "nothing-to-say-1");
    let forged = "\nX-SuperOffice-Associate: forged-1\nX-Countersign-Csrf: forged";
    assert_eq!(all(&ask(&alice, ""), "X-SuperOffice-Associate"), ["5"]);
    let seen = ask(&alice, forged);
    assert_eq!(all(&seen, "X-SuperOffice-Associate"), ["5"]);
    assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new());
    for seen in [ask(&nobody, forged), ask(&nobody, "")] {
        assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new());
        assert!(all(&seen, "X-SuperOffice-Associate").iter().all(|value| value.is_empty()));
        assert_eq!(claims(&seen)["sub"], "nobody");
    }
}

#[test]
fn b4_an_output_header_has_one_name_and_one_value() {
    let text = Setting::dialect_text("superoffice").replace("X-SuperOffice-Associate:", "x-TOLD-Associate:");
    let setting = Setting::from_text("superoffice", "a test's world", CRM);
    let ground = Ground::made("superoffice", setting, &text, Fronts::default());
    let alice = basic("alice", "wonderland-7");
    for sent in [
        "",
        "\nX-Told-Associate: 6",
        "\nx-TOLD-Associate: 6",
        "\nX-Told-Associate: 6\nx-told-associate: 7",
        "\nX-Told-Associate: 5, 6",
        "\nX_Told_Associate: 6",
        "\nX-Told.Associate: 6",
    ] {
        let seen = ground
            .send(&format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: a.example\nAuthorization: {alice}{sent}"))
            .passed();
        assert_eq!(all(&seen, "X-Told-Associate"), ["5"], "{sent}");
        let folded = seen
            .head
            .headers
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().replace(['_', '.'], "-") == "x-told-associate");
        assert_eq!(folded.count(), 1, "{sent}");
    }
}

#[test]
fn b5_connection_takes_out_nothing_that_counts() {
    let ground = Ground::with("enactor", WORLD);
    let ask = |connection: &str, more: &str| {
        ground.send(&format!(
            "GET /x HTTP/1.1\nHost: a.example\nAuthorization: {}\nConnection: {connection}{more}",
            ann()
        ))
    };
    for nominated in [
        "close, Countersign-Assertion",
        "close, countersign_assertion",
        "subject",
        "keep-alive, SUBJECT",
        "x-real-ip",
        "X-Forwarded-For",
        "close, X-Forwarded-Host",
        "x_forwarded_proto",
        "Forwarded",
        "Authorization",
        "cookie",
        "Host",
        "content-length",
        "keep-alive\nConnection: subject",
    ] {
        ask(nominated, "").refused(400);
    }
    let seen = ask("keep-alive, X-Hop", "\nX-Hop: 1\nX-End: 2").passed();
    assert!(all(&seen, "X-Hop").is_empty());
    assert_eq!(all(&seen, "X-End"), ["2"]);
    assert_eq!(all(&seen, "subject"), ["ann"]);
    assert_eq!(all(&seen, "x-forwarded-for"), ["127.0.0.1"]);
}

/// Object rules read a header: whose customer it names was checked, so that it must arrive. `x-note` is nobody's.
#[test]
fn b5_connection_takes_out_no_header_that_a_rule_read() {
    let world = WORLD.replacen(
        "[[api.route]]",
        "[[api.route]]\nat = \"/mine/**\"\nallow = \"authenticated\"\nids = { customer = \"header x-customer\" }\n\n[[api.route]]",
        1,
    );
    let world = world.replace("password =", "keys     = { customer = \"7\" }\npassword =");
    let ground = Ground::with("enactor", &world);
    let ask = |path: &str, connection: &str| {
        ground.send(&format!(
            "GET {path} HTTP/1.1\nHost: a.example\nAuthorization: {}\nX-Customer: 7\nX-Note: 1\nConnection: {connection}",
            ann()
        ))
    };
    for nominated in
        ["x-customer", "close, X-CUSTOMER", "x_customer", "keep-alive\nConnection: x-note, x.customer"]
    {
        ask("/mine/x", nominated).refused(400);
        // Elsewhere as well: which route a path is for is not the connection's to know.
        ask("/x", nominated).refused(400);
    }
    let seen = ask("/mine/x", "keep-alive, x-note").passed();
    assert_eq!((all(&seen, "x-customer"), all(&seen, "x-note")), (vec!["7"], Vec::new()));

    // What a dialect passes on means something to its services.
    let ground = Ground::with("superoffice", CRM);
    let alice = basic("alice", "wonderland-7");
    let ask = |nominated: &str| {
        ground.send(&format!(
            "GET /api/v1/Contact/2 HTTP/1.1\nHost: a.example\nAuthorization: {alice}\nSO-Language: 1\nConnection: {nominated}"
        ))
    };
    ask("SO-Language").refused(400);
    assert_eq!(all(&ask("x-other").passed(), "SO-Language"), ["1"]);
}

#[test]
fn b7_forged_headers_are_stripped_where_nobody_logs_in() {
    let ground = Ground::with("enactor", WORLD);
    let forged: String = IDENTITIES.iter().map(|name| format!("\n{name}: {FORGED}")).collect();
    for method in ["GET", "HEAD", "OPTIONS", "POST"] {
        let seen = ground
            .send(&format!(
                "{method} /public/health HTTP/1.1\nHost: a.example\nOrigin: https://b.example{forged}"
            ))
            .passed();
        assert_eq!(lines_with(&seen, FORGED), Vec::<String>::new(), "{method}");
        assert!(
            all(&seen, "subject").iter().all(|value| value.is_empty()),
            "{method}: anonymous has no subject"
        );
    }
    // Forged headers log nobody in, and are not handed back in an error's page.
    let told = ground.send(&format!("GET /x HTTP/1.1\nHost: a.example{forged}")).refused(401);
    assert!(!told.bytes().contains(FORGED));
    // The other dialects' calls that need nobody.
    for (dialect, request) in [
        ("genesys", "GET /api/v2/diagnostics/version HTTP/1.1\nHost: a.example"),
        ("superoffice", "GET /api HTTP/1.1\nHost: crm.example"),
        ("egain", "GET /system/ws/v12/interaction/hello HTTP/1.1\nHost: a.example"),
        ("voltmx", "POST /api/v1/subscribers HTTP/1.1\nHost: open.example"),
    ] {
        let ground = Ground::of(dialect);
        let seen = ground.send(&format!("{request}{forged}\nX-SuperOffice-Associate: {FORGED}")).passed();
        let left = lines_with(&seen, FORGED);
        // Only Enactor's services believe `subject`, only SuperOffice's an associate.
        let left: Vec<&String> = left
            .iter()
            .filter(|line| {
                dialect == "superoffice" || !line.to_ascii_lowercase().starts_with("x-superoffice-associate")
            })
            .filter(|line| !line.to_ascii_lowercase().starts_with("subject"))
            .collect();
        assert!(left.is_empty(), "{dialect}: {left:?}");
        assert_eq!(claims(&seen).get("scheme"), None, "{dialect}: nobody logged in");
    }
}

/// What probes and pages say of themselves.
const PROBES: [&str; 12] = [
    "User-Agent: kube-probe/1.31",
    "User-Agent: ELB-HealthChecker/2.0",
    "User-Agent: GoogleHC/1.0",
    "User-Agent: GoogleStackdriverMonitoring-UptimeChecks",
    "X-Health-Check: 1",
    "X-Forwarded-For: 127.0.0.1",
    "X-Real-IP: 127.0.0.1",
    "Referer: http://a.example/public/x",
    "X-Original-URL: /public/x",
    "X-Requested-With: XMLHttpRequest",
    "Sec-Fetch-Mode: navigate",
    "Purpose: prefetch",
];

#[test]
fn b8_no_header_lets_anybody_in() {
    let ground = Ground::with("enactor", WORLD);
    let ask = |method: &str, path: &str, field: &str| {
        ground.send(&format!("{method} {path} HTTP/1.1\nHost: a.example\n{field}"))
    };
    for field in PROBES {
        for method in ["GET", "HEAD", "OPTIONS"] {
            ask(method, "/private", field).refused(401);
        }
        // By its path, whoever says what.
        ask("GET", "/public/x", field).passed();
    }
    // A preflight is answered by the gate, as its list of pages says; the service does not see it.
    let preflight = "Origin: https://desk.example\nAccess-Control-Request-Method: DELETE";
    ask("OPTIONS", "/private", preflight).refused(403);
    ask("OPTIONS", "/private", "Origin: https://desk.example").refused(401);
    let pages = Ground::of("genesys");
    let told = pages.send(&format!("OPTIONS /api/v2/devices/1 HTTP/1.1\nHost: pages.example\n{preflight}"));
    assert!(told.seen.is_empty() && told.status() < 300, "{}", told.bytes());
    for (method, fields) in [("GET", preflight), ("OPTIONS", "Access-Control-Request-Method: DELETE")] {
        pages
            .send(&format!("{method} /api/v2/devices/1 HTTP/1.1\nHost: pages.example\n{fields}"))
            .refused(403);
    }
}
