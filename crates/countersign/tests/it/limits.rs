//! Limits at their edge: the last that is accepted, the first that is refused, how the client is told, and that the
//! access line says which limit it was.

mod fixed;
mod http2;
mod objects;
mod page;
mod times;

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use countersign_gateway::limits::Limits;

use crate::raw::{Client, Wire};
use crate::threats::heard::Hearing;
use crate::threats::{Ground, basic};

/// Whose log-in may be a multipart body.
const CUSTOMER: &str = r#"
[[api]]
name    = "console"
dialect = "egain"
at      = ["/"]

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
kind     = "customers"
name     = "jane"
password = "basket-case-8"
"#;

const WORLD: &str = r#"
[[api]]
name    = "shop"
dialect = "enactor"
enable  = ["basic"]
at      = ["/"]
issuers = { "http://www.enactor.co/" = "self" }

[[api.route]]
at    = "/**"
allow = "authenticated"

[[account]]
name     = "ann"
password = "administers-it-1"

[[account]]
kind     = "customers"
name     = "jane"
password = "basket-case-8"
"#;

/// The service is not what is tried here; it may take its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Small ones, so that their edges are easily reached.
fn ground() -> Ground {
    let limits = Limits {
        header_bytes: 16 * 1024,
        header_count: 50,
        call_bytes: 4096,
        anonymous_sessions: 3,
        ..Limits::default()
    };
    Ground::limited("enactor", WORLD, limits)
}

fn get(more: &str) -> String {
    let ann = basic("ann", "administers-it-1");
    format!("GET /x HTTP/1.1\nHost: a.example\nAuthorization: {ann}{more}")
}

/// A log-in whose body is this.
fn login(media: &str, more: &str, body: &str) -> String {
    format!("POST /identity/token HTTP/1.1\nHost: a.example\nContent-Type: {media}{more}\n\n{body}")
}

/// The log-in with a member that makes it longer or deeper.
fn login_with(member: &str) -> String {
    login(
        "application/json",
        "",
        &format!("{{\"userName\":\"jane\",\"password\":\"basket-case-8\",\"x\":{member}}}"),
    )
}

/// Refused in the dialect's words, with a line that names the limit.
#[track_caller]
fn refused(ground: &Ground, request: &str, status: u16, code: &str, cause: &str) {
    let hearing = Hearing::begin();
    let told = ground.send(request).refused(status);
    if !code.is_empty() {
        assert_eq!(told.member("/errorCode"), code, "{}", told.body());
    }
    hearing.wait_for(cause);
}

#[test]
fn fields_of_a_head_are_counted() {
    let ground = ground();
    // Host, Authorization, and forty-eight more.
    let fields = |count: usize| (0..count).map(|number| format!("\nX-{number}: 1")).collect::<String>();
    ground.send(&get(&fields(48))).passed();
    let hearing = Hearing::begin();
    let told = ground.send(&get(&fields(49)));
    assert_eq!((told.status(), told.seen.len()), (431, 0), "{}", told.bytes());
    hearing.wait_for("limits.header_count");
}

#[test]
fn bytes_of_a_head_are_counted() {
    let ground = ground();
    let head = get("\nX: ").replace('\n', "\r\n").len() + 4;
    let fill = |length: usize| get(&format!("\nX: {}", "x".repeat(length)));
    ground.send(&fill(16 * 1024 - head)).passed();
    let hearing = Hearing::begin();
    let told = ground.send(&fill(16 * 1024 - head + 1));
    assert_eq!((told.status(), told.seen.len()), (431, 0), "{}", told.bytes());
    hearing.wait_for("limits.header_bytes");
}

/// A body with so many fields behind it, in the form that the gate passes on or reads itself.
fn with_trailers(head: &str, body: &str, trailers: &str) -> Vec<u8> {
    let length = body.len();
    let head = head.replace('\n', "\r\n");
    format!("{head}\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n{trailers}\r\n")
        .into_bytes()
}

#[test]
fn what_stands_behind_a_body_is_bounded_as_a_head_is() {
    let ground = ground();
    let ann = basic("ann", "administers-it-1");
    let passes_on = format!("POST /x HTTP/1.1\nHost: a.example\nAuthorization: {ann}");
    let reads = "POST /identity/token HTTP/1.1\nHost: a.example\nContent-Type: application/json";
    let login = login_with("\"\"").split_once("\n\n").unwrap().1.to_owned();
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    // With the empty line that ends them.
    let bytes = |length: usize| format!("X: {}\r\n", "x".repeat(length - 7));
    for (limit, last, more) in [
        ("limits.header_count", fields(50), [fields(51), fields(101), fields(3000)]),
        ("limits.header_bytes", bytes(16 * 1024), [bytes(16 * 1024 + 1), bytes(60_000), bytes(1024 * 1024)]),
    ] {
        ground.send_bytes(&with_trailers(&passes_on, "abc", &last)).passed();
        ground.send_bytes(&with_trailers(reads, &login, &last)).answered();
        for (at, trailers) in more.iter().enumerate() {
            for (head, body, status, code) in
                [(passes_on.as_str(), "abc", 431, "bad-request"), (reads, &login, 413, "too-large")]
            {
                let hearing = Hearing::begin();
                let told = ground.send_bytes(&with_trailers(head, body, trailers));
                assert_eq!(
                    (told.status(), told.member("/errorCode").as_str()),
                    (status, code),
                    "{limit} {at}"
                );
                hearing.wait_for(limit);
            }
        }
    }
}

/// With what a gate has where nothing is configured: the HTTP engine, which has limits of its own and no dialect, is asked
/// for nothing beyond them.
#[test]
fn heads_beyond_the_usual_limits_are_refused_in_the_dialects_words() {
    let limits = Limits::default();
    let ground = Ground::limited("enactor", WORLD, limits.clone());
    let fields = |count: usize| (2..count).map(|number| format!("\nX-{number}: 1")).collect::<String>();
    let head = get("\nX: ").replace('\n', "\r\n").len() + 4;
    let long = |length: usize| get(&format!("\nX: {}", "x".repeat(length - head)));
    ground.send(&get(&fields(limits.header_count))).passed();
    ground.send(&long(limits.header_bytes)).passed();
    for more in [1, 2, 100, 10_000] {
        refused(
            &ground,
            &get(&fields(limits.header_count + more)),
            431,
            "bad-request",
            "limits.header_count",
        );
    }
    for length in [limits.header_bytes + 1, 2 * limits.header_bytes, 1024 * 1024] {
        refused(&ground, &long(length), 431, "bad-request", "limits.header_bytes");
    }
    // A body that was announced is not waited for.
    let post = format!("POST{}\nContent-Length: 3{}\n\nabc", &get("")[3..], fields(200));
    refused(&ground, &post, 431, "bad-request", "limits.header_count");
}

#[test]
fn request_lines_beyond_a_limit_are_refused_in_the_dialects_words() {
    let line = |bytes: usize| get("").replacen("/x", &format!("/x?{}", "q".repeat(bytes - 3)), 1);
    let usual = Ground::limited("enactor", WORLD, Limits::default());
    usual.send(&line(65_534)).passed();
    let told = "target is longer than 65534 bytes";
    for bytes in [65_535, 65_536, 73_728, 1024 * 1024] {
        refused(&usual, &line(bytes), 414, "bad-request", told);
    }
    let small = ground();
    for bytes in [16 * 1024, 20_000, 65_535, 1024 * 1024] {
        refused(&small, &line(bytes), 431, "bad-request", "limits.header_bytes");
    }
    // Alone or in pieces, and where the path itself does not end.
    let path = format!("GET /x/{} HTTP/1.1\r\nHost: a.example\r\n\r\n", "y".repeat(100_000));
    let mut wire = Wire::new(TcpStream::connect(small.world.address).unwrap());
    let hearing = Hearing::begin();
    for piece in path.as_bytes().chunks(5000) {
        wire.send(piece).unwrap();
        std::thread::yield_now();
    }
    let head = wire.head().unwrap().unwrap();
    let body = String::from_utf8(wire.body(&head, true).unwrap()).unwrap();
    assert!(head.status() == 431 && body.contains("\"errorCode\":\"bad-request\""), "{head:?} {body}");
    hearing.wait_for("limits.header_bytes");
}

#[test]
fn a_request_line_that_is_cut_off_is_answered_by_who_is_there_for_all_hosts() {
    let api = |name: &str, dialect: &str, at: &str| {
        format!(
            "[[api]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nat = [\"{at}\"]\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
        )
    };
    let world = [
        api("first", "enactor", "a.example/both"),
        api("second", "enactor", "b.example/both"),
        api("third", "enactor", "a.example/one"),
    ];
    let ground = Ground::limited("enactor", &world.concat(), Limits::default());
    let ask = |target: &str| {
        let long = format!("GET {target}?{} HTTP/1.1\nHost: a.example", "q".repeat(65_534));
        ground.send(&long).refused(414).body()
    };
    assert!(ask("/one/x").contains("\"errorCode\":\"bad-request\""));
    assert!(ask("http://b.example/both/x").contains("\"errorCode\":\"bad-request\""));
    for nobodys in ["/both/x", "/none"] {
        assert_eq!(ask(nobodys), "the request's target is longer than 65534 bytes", "{nobodys}");
    }
}

#[test]
fn names_in_connection_are_counted() {
    let ground = ground();
    let names = |count: usize| format!("\nConnection: {}", vec!["x"; count].join(","));
    ground.send(&get(&names(32))).passed();
    refused(&ground, &get(&names(33)), 431, "bad-request", "too many fields");
    // In fields of their own they are as many.
    let fields = |count: usize| "\nConnection: x".repeat(count);
    ground.send(&get(&fields(32))).passed();
    refused(&ground, &get(&fields(33)), 431, "bad-request", "too many fields");
}

#[test]
fn bodies_that_the_gate_reads_are_bounded() {
    let ground = ground();
    let around = login_with("\"\"").split("\n\n").nth(1).unwrap().len();
    let long = |length: usize| login_with(&format!("\"{}\"", "x".repeat(length - around)));
    ground.send(&long(4096)).answered();
    refused(&ground, &long(4097), 413, "too-large", "longer than limits.call_bytes, 4096 bytes");
    // What goes on to the service is its own business.
    let ann = basic("ann", "administers-it-1");
    let mut big = format!("POST /x HTTP/1.1\r\nHost: a.example\r\nAuthorization: {ann}\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n").into_bytes();
    big.write_all(&[b' '; 100_000]).unwrap();
    assert_eq!(ground.send_bytes(&big).passed().body.len(), 100_000);
}

#[test]
fn json_is_bounded_in_depth_and_members() {
    let ground = ground();
    let deep = |depth: usize| login_with(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    // The object itself is one.
    ground.send(&deep(31)).answered();
    refused(&ground, &deep(32), 413, "too-large", "limits.call_depth");
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|_| "\"\":0".to_owned()).collect();
        let body = format!("{{\"userName\":\"jane\",\"password\":\"basket-case-8\",{}}}", members.join(","));
        login("application/json", "", &body)
    };
    let wide = Ground::limited("enactor", WORLD, Limits::default());
    wide.send(&members(998)).answered();
    refused(&wide, &members(999), 413, "too-large", "limits.call_fields");
}

/// Nothing is ever decompressed: what would have to be is refused, and what goes on stays as it is.
#[test]
fn encoded_bodies_are_not_read() {
    let ground = ground();
    let body = "{\"userName\":\"jane\",\"password\":\"basket-case-8\"}";
    ground.send(&login("application/json", "", body)).answered();
    ground.send(&login("application/json", "\nContent-Encoding: identity", body)).answered();
    for coding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "GZIP", "x"] {
        refused(
            &ground,
            &login("application/json", &format!("\nContent-Encoding: {coding}"), body),
            415,
            "media-type",
            "content coding",
        );
    }
    let seen = ground.send(&format!("POST {}\nContent-Encoding: gzip\n\nabc", &get("")[4..])).passed();
    assert_eq!(super::threats::all(&seen, "content-encoding"), ["gzip"]);
    assert_eq!(seen.body, b"abc");
}

#[test]
fn anonymous_sessions_of_one_address_are_bounded() {
    let path = crate::transcript::root().join("dialects/genesys/transcripts/world.toml");
    let limits = Limits { anonymous_sessions: 3, ..Limits::default() };
    let ground = Ground::limited("genesys", &std::fs::read_to_string(path).unwrap(), limits);
    let opens = || {
        let told = ground.send("GET /api/v2/diagnostics/version HTTP/1.1\nHost: a.example");
        let set = told.answer.head.header("set-cookie").is_some_and(|line| line.starts_with("JSESSIONID="));
        told.passed();
        set
    };
    assert_eq!([opens(), opens(), opens(), opens(), opens()], [true, true, true, false, false]);
    // Whoever proves who he is has his own limits.
    let me = basic("paveld@redwings.com", "password-of-paul");
    let told = ground.send(&format!("GET /api/v2/me HTTP/1.1\nHost: a.example\nAuthorization: {me}"));
    assert!(told.answer.head.header("set-cookie").is_some(), "{}", told.bytes());
    // Another minute, another budget.
    ground.world.wait(Duration::from_secs(60));
    assert!(opens());
}

#[test]
fn multipart_bodies_are_bounded_in_parts() {
    let ground = Ground::limited("egain", CUSTOMER, Limits::default());
    let parts = |count: usize| {
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let more: String = (0..count - 2).map(|number| part(&format!("n{number}"), "")).collect();
        let known = part("userName", "jane") + &part("password", "basket-case-8");
        format!(
            "POST /ws/v12/context/authentication/user/login HTTP/1.1\nHost: a.example\n\
             Content-Type: multipart/form-data; boundary=x\n\n{known}{more}--x--"
        )
    };
    ground.send(&parts(100)).answered();
    refused(&ground, &parts(101), 413, "", "limits.call_parts");
}

/// The fewest bytes with which a request is answered so; one less is another answer.
fn fewest(request: &str, status: u16) -> usize {
    let answered = |bytes: usize| {
        let limits = Limits { answer_bytes: bytes, ..Limits::default() };
        Ground::limited("enactor", WORLD, limits).send(request).status() == status
    };
    let (mut short, mut enough) = (0, 8 * 1024);
    assert!(answered(enough));
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        if answered(middle) { enough = middle } else { short = middle }
    }
    enough
}

#[test]
fn answers_of_templates_are_bounded() {
    let login = login_with("\"\"");
    let fewest_bytes = fewest(&login, 200);
    let at =
        |answer_bytes: usize| Ground::limited("enactor", WORLD, Limits { answer_bytes, ..Limits::default() });
    let told = at(fewest_bytes).send(&login);
    assert!(told.body().len() <= fewest_bytes, "{}", told.bytes());
    told.answered();
    let cause = format!("longer than limits.answer_bytes, {}", fewest_bytes - 1);
    refused(&at(fewest_bytes - 1), &login, 500, "internal", &cause);

    // A refusal that is too long has no words left to say it in.
    let nobody = "GET /x HTTP/1.1\nHost: a.example";
    let fewest_bytes = fewest(nobody, 401);
    let told = at(fewest_bytes).send(nobody);
    assert!(told.body().len() <= fewest_bytes, "{}", told.bytes());
    told.refused(401);
    let hearing = Hearing::begin();
    let told = at(fewest_bytes - 1).send(nobody);
    assert_eq!((told.status(), told.body().as_str()), (500, ""), "{}", told.bytes());
    hearing.wait_for(&format!("longer than limits.answer_bytes, {}", fewest_bytes - 1));
}

#[test]
fn heads_of_services_are_bounded() {
    let limits = Limits { answer_header_bytes: 16 * 1024, ..Limits::default() };
    let ground = Ground::limited("enactor", WORLD, limits);
    let head = |length: usize| {
        let around = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \r\n\r\n";
        around.replace("X: ", &format!("X: {}", "x".repeat(length - around.len())))
    };
    ground.world.upstream.reply(head(16 * 1024).into_bytes());
    assert_eq!(ground.send(&get("")).status(), 200);
    ground.world.upstream.reply(head(16 * 1024 + 1).into_bytes());
    let hearing = Hearing::begin();
    let told = ground.send(&get(""));
    assert_eq!((told.status(), told.member("/errorCode").as_str()), (502, "upstream"));
    hearing.wait_for("limits.upstream_header_bytes");
}

/// Every connection counts, whoever it is of: the first that is too many is closed without a word.
#[test]
fn fields_of_services_answers_are_counted() {
    let answer = |count: usize| {
        let fields: String = (1..count).map(|number| format!("X-{number}: 1\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n").into_bytes()
    };
    for count in [20, Limits::default().answer_header_count, 200] {
        let limits = Limits { answer_header_count: count, ..Limits::default() };
        let ground = Ground::limited("enactor", WORLD, limits);
        ground.world.upstream.reply(answer(count));
        assert_eq!(ground.send(&get("")).status(), 200, "{count}");
        ground.world.upstream.reply(answer(count + 1));
        let hearing = Hearing::begin();
        let told = ground.send(&get(""));
        assert_eq!((told.status(), told.member("/errorCode").as_str()), (502, "upstream"), "{count}");
        hearing.wait_for("limits.upstream_header_count");
    }
}

#[test]
fn requests_at_one_service_are_counted() {
    let limits = Limits { upstream_requests: 2, ..Limits::default() };
    let ground = Ground::limited_in("enactor", WORLD, limits, PATIENCE);
    let request = format!("{}\r\n\r\n", get("").replace('\n', "\r\n")).into_bytes();
    for _ in 0..4 {
        ground.send(&get("")).passed();
    }
    ground.world.behave(crate::transcript::Manners::Silent);
    let ask = || {
        let mut stream = std::net::TcpStream::connect(ground.world.address).unwrap();
        stream.write_all(&request).unwrap();
        stream
    };
    let [first, second] = [ask(), ask()];
    let until = Instant::now() + PATIENCE;
    let mut waiting = 0;
    while waiting < 2 {
        waiting += ground.world.upstream.waiting();
        assert!(Instant::now() < until, "{waiting} requests reached the service");
        std::thread::yield_now();
    }
    ground.world.behave(crate::transcript::Manners::Up);
    refused(&ground, &get(""), 503, "unavailable", "limits.upstream_requests");
    assert!(ground.world.metrics().contains("fault=\"full\"} 1"));
    // Whoever goes away makes room.
    drop(first);
    while ground.send(&get("")).status() != 200 {
        assert!(Instant::now() < until, "a request that was abandoned makes no room");
    }
    drop(second);
}

#[test]
fn connections_are_counted() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let ground = Ground::limited("enactor", WORLD, limits);
    let request = format!("{}\r\n\r\n", get("").replace('\n', "\r\n")).into_bytes();
    let mut clients = [Client::new(ground.world.address), Client::new(ground.world.address)];
    for client in &mut clients {
        assert_eq!(client.exchange(0, &request).unwrap().head.status(), 200);
    }
    assert!(Client::new(ground.world.address).exchange(0, &request).is_err());
    assert!(ground.world.metrics().contains("connections_cut_total{limit=\"connections\"} 1"));
    for client in &mut clients {
        assert_eq!(client.exchange(0, &request).unwrap().head.status(), 200, "those that are open stay");
    }
    let [first, _second] = clients;
    drop(first);
    let until = Instant::now() + Duration::from_secs(60);
    while Client::new(ground.world.address).exchange(0, &request).is_err() {
        assert!(Instant::now() < until, "a connection that ended makes no room");
    }
}
