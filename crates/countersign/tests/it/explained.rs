//! Whether an administrator finds out from access lines and metrics what became of a client's request.

use std::net::SocketAddr;
use std::time::Instant;

use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;
use serde_json::{Value, json};

use crate::process::{Gate, Site};
use crate::raw::{Answer, Client};
use crate::threats::basic;

/// Longer than anything takes here, on a machine that compiles beside it.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
const USER: &str = "paveld@redwings.com";
const PASSWORD: &str = "password-of-paul";

/// A contact centre in front of a service, with one agent, and its administration.
struct Centre {
    site: Site,
    gate: Gate,
    administration: SocketAddr,
}

impl Centre {
    fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more of `[log]`.
    fn start_with(log: &str) -> Self {
        let apis = |upstream: SocketAddr| {
            format!(
                "[[api]]\nname = \"centre\"\ndialect = \"genesys\"\nat = [\"/api/v2\"]\nupstream = \"http://{upstream}\"\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
            )
        };
        let paul = AccountDraft { password: Some(Secret::new(PASSWORD)), ..AccountDraft::new("users", USER) };
        let site = Site::with(apis, vec![paul]);
        let text = site.configuration().replace("access = false", &format!("access = true\n{log}"));
        site.write(crate::process::CONFIG, &text);
        let mut gate = site.start();
        let line = gate.said("listening for administration");
        let administration = line["listener.address"].as_str().unwrap().parse().unwrap();
        Self { site, gate, administration }
    }

    fn send(&self, lines: &[&str], body: &str) -> Answer {
        Client::new(self.gate.address).exchange(0, request(lines, body).as_bytes()).unwrap()
    }

    /// The access line of the next request.
    fn line(&mut self) -> Value {
        self.gate.says_next(&["request answered", "request abandoned by its client"])
    }

    fn metrics(&self) -> String {
        let page = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        String::from_utf8(Client::new(self.administration).exchange(0, page).unwrap().body).unwrap()
    }

    /// Waits until a sample is on the page of metrics.
    fn until_counted(&self, sample: &str) {
        let until = Instant::now() + DEADLINE;
        while !self.metrics().lines().any(|line| line == sample) {
            assert!(Instant::now() < until, "{sample} is not in\n{}", self.metrics());
        }
    }
}

fn request(lines: &[&str], body: &str) -> String {
    let lines = lines.join("\r\n");
    format!("{lines}\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn what_is_refused_before_anybody_is_known_says_where_and_why() {
    let mut centre = Centre::start();
    for (lines, status, reason, cause, path) in [
        (
            &["TRACE /api/v2/me HTTP/1.1"][..],
            405,
            "method",
            "the method is never served",
            "/api/v2/me".into(),
        ),
        (
            &["GET /api/v2/me HTTP/1.1", "Content-Type: a/b", "Content-Type: a/c"],
            400,
            "bad-request",
            "the request names two content types",
            "/api/v2/me".into(),
        ),
        (
            // As some clients write a session into a path that browsers keep.
            &["GET /api/v2/me;jsessionid=node01 HTTP/1.1"],
            400,
            "malformed",
            "path has a parameter",
            Value::Null,
        ),
        (
            &["PROPFIND /api/v2/me HTTP/1.1"],
            405,
            "method",
            "the method is not a standard one, and the path's route does not name it",
            "/api/v2/me".into(),
        ),
        (
            &[
                "OPTIONS /api/v2/me HTTP/1.1",
                "Origin: https://evil.example",
                "Access-Control-Request-Method: PUT",
            ],
            403,
            "forbidden",
            "pages of https://evil.example are not among those of api.cors.origins",
            "/api/v2/me".into(),
        ),
    ] {
        let told = centre.send(lines, "");
        assert_eq!(told.head.status(), status, "{lines:?}");
        let line = centre.line();
        let said = ["api", "dialect", "auth.reason", "auth.cause"].map(|field| line[field].as_str());
        assert_eq!(said, ["centre", "genesys", reason, cause].map(Some), "{line}");
        assert_eq!(line["http.path"], path, "{line}");
    }
    let metrics = centre.metrics();
    for sample in [
        "refusals_total{api=\"centre\",reason=\"method\"} 2",
        "refusals_total{api=\"centre\",reason=\"bad-request\"} 1",
        "refusals_total{api=\"centre\",reason=\"forbidden\"} 1",
        "requests_total{api=\"centre\",status=\"4xx\"} 5",
    ] {
        assert!(metrics.contains(sample), "{sample} is not in\n{metrics}");
    }
}

#[test]
fn a_key_in_a_path_is_in_no_line_whatever_stands_beside_it() {
    const KEY: &str = "6f1c5e0a-93b4-4c46-8a7e-2d1d1a0c6c11";
    let apis = |upstream: SocketAddr| {
        format!(
            "[[api]]\nname = \"shop\"\ndialect = \"voltmx\"\nat = [\"/\"]\nupstream = \"http://{upstream}\"\n\
             [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
        )
    };
    let site = Site::with(apis, Vec::new());
    let text = site.configuration().replace("access = false", "access = true");
    site.write(crate::process::CONFIG, &text);
    let mut gate = site.start();
    for lines in [
        format!("GET /api/v1/applications/key/{KEY};x HTTP/1.1"),
        format!("GET /api/v1/applications/key/{KEY}%0a HTTP/1.1"),
        format!("PROPFIND /api/v1/applications/key/{KEY}%20 HTTP/1.1"),
        format!("TRACE /api/v1/applications/key/{KEY}%20 HTTP/1.1"),
        format!("GET /api/v1/applications/key/{KEY} HTTP/1.1"),
        format!("TRACE /elsewhere/{KEY} HTTP/1.1"),
        format!("PROPFIND /elsewhere/{KEY} HTTP/1.1"),
    ] {
        let told = Client::new(gate.address).exchange(0, request(&[&lines], "").as_bytes()).unwrap();
        assert!((400..500).contains(&told.head.status()), "{lines}");
        let line = gate.says_next(&["request answered"]);
        assert_eq!(line["api"], "shop", "{line}");
        assert!(!line.to_string().contains("6f1c5e0a"), "{line}");
    }
}

#[test]
fn what_is_no_request_is_counted_and_told() {
    let mut centre = Centre::start();
    let told = centre.send(&["GET /api/v2/me HTTP/1.1", "Transfer-Encoding: gzip"], "");
    assert_eq!(told.head.status(), 400);
    let line = centre.gate.said("could not read heads of requests");
    assert_eq!((&line["kind"], &line["clients"]), (&"malformed".into(), &1.into()), "{line}");
    centre.until_counted("countersign_heads_unread_total{kind=\"malformed\"} 1");
    let unread = centre.metrics().contains("kind=\"too-large\"} 0");
    assert!(unread && !centre.gate.log().contains("request answered"));
}

#[test]
fn whose_password_was_wrong_is_said_by_number_where_the_name_is_an_e_mail_address() {
    let mut centre = Centre::start();
    let wrong = format!("Authorization: {}", basic(USER, "guessed"));
    assert_eq!(centre.send(&["GET /api/v2/me HTTP/1.1", &wrong], "").head.status(), 403);
    let line = centre.line();
    let shown = centre.site.command(&["user", "show", USER, "--output", "json"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert!(shown["id"].is_number(), "{shown}");
    assert_eq!((&line["auth.tried.kind"], &line["auth.tried.id"]), (&"users".into(), &shown["id"]), "{line}");
    assert!(!centre.gate.log().contains("redwings"), "{}", centre.gate.log());
}

#[test]
fn a_poll_whose_client_goes_is_in_flight_before_and_named_after() {
    let mut centre = Centre::start();
    let proof = format!("Authorization: {}", basic(USER, PASSWORD));
    let me = centre.send(&["GET /api/v2/me HTTP/1.1", &proof], "");
    let cookie = me.head.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let session =
        [format!("Cookie: {cookie}"), format!("X-CSRF-TOKEN: {}", me.head.header("X-CSRF-TOKEN").unwrap())];
    let post = |path: &str, body: &Value| {
        let first = format!("POST /api/v2/notifications{path} HTTP/1.1");
        request(&[&first, &session[0], &session[1], "Content-Type: application/json"], &body.to_string())
    };
    let ask = |text: String| {
        let answer = Client::new(centre.gate.address).exchange(0, text.as_bytes()).unwrap();
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let hello = json!([{ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"] }]);
    let hello = ask(post("/handshake", &hello));
    let connect = json!([{
        "channel": "/meta/connect", "clientId": hello[0]["clientId"], "connectionType": "long-polling"
    }]);
    assert_eq!(ask(post("/connect", &connect))[0]["successful"], true);
    let held = post("/connect", &connect);
    let (head, body) = held.split_once("\r\n\r\n").unwrap();
    let stream = std::net::TcpStream::connect(centre.gate.address).unwrap();
    std::io::Write::write_all(&mut &stream, format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    centre.until_counted("countersign_requests_in_flight{api=\"centre\"} 1");
    drop(stream);
    centre.until_counted("countersign_requests_in_flight{api=\"centre\"} 0");
    let line = centre.gate.says_next(&["request abandoned by its client"]);
    let said = ["api", "http.path", "account.kind"].map(|field| line[field].as_str());
    assert_eq!(said, ["centre", "/api/v2/notifications/connect", "users"].map(Some), "{line}");
    assert!(line["account.id"].is_number(), "{line}");
    centre.until_counted("countersign_requests_total{api=\"centre\",status=\"4xx\"} 1");
}

#[test]
fn the_id_of_a_request_is_told_to_its_service_and_its_client() {
    let mut centre = Centre::start_with("request_id = \"X-Request-Id\"\n");
    let right = format!("Authorization: {}", basic(USER, PASSWORD));
    let wrong = format!("Authorization: {}", basic(USER, "guessed"));
    let forged = "X-Request-Id: forged";
    let reply = "HTTP/1.1 200 OK\r\nX-Request-Id: the-services\r\nContent-Length: 0\r\n\r\n";
    for (lines, status) in [
        (&["GET /api/v2/queues HTTP/1.1", &right, forged][..], 200),
        (&["GET /api/v2/me HTTP/1.1", &right], 200),
        (&["GET /api/v2/me HTTP/1.1", &wrong], 403),
        (&["GET /nowhere HTTP/1.1", forged], 404),
        (&["TRACE /api/v2/me HTTP/1.1"], 405),
    ] {
        centre.site.upstream.reply(reply.into());
        let told = centre.send(lines, "");
        assert_eq!(told.head.status(), status, "{lines:?}");
        let ids: Vec<&str> = told
            .head
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("x-request-id"))
            .map(|(_, value)| value.as_str())
            .collect();
        let line = centre.line();
        assert_eq!(ids, [line["request.id"].as_str().unwrap()], "{lines:?}");
        for received in centre.site.upstream.take() {
            assert_eq!(received.head.header("X-Request-Id"), Some(ids[0]), "{lines:?}");
            assert!(!format!("{received:?}").contains("forged"), "{received:?}");
        }
    }
}

#[test]
fn a_header_that_decides_something_is_none_for_ids_of_requests() {
    let apis = |upstream: SocketAddr| {
        format!(
            "[[api]]\nname = \"shop\"\ndialect = \"voltmx\"\nat = [\"/\"]\nupstream = \"http://{upstream}\"\n\
             [api.object.order]\nowner = \"customer\"\n\
             [[api.route]]\nat = \"/orders\"\nallow = \"authenticated\"\nids = {{ order = \"header X-Order-Id\" }}\n"
        )
    };
    let site = Site::with(apis, Vec::new());
    let text = site.configuration().replace("access = false", "request_id = \"X-Order-ID\"");
    site.write(crate::process::CONFIG, &text);
    let told = site.command(&["check"]).output().unwrap();
    assert!(!told.status.success());
    let why = String::from_utf8(told.stderr).unwrap();
    assert!(why.contains("log.request_id: `x-order-id` is read or set by API `shop`"), "{why}");
    // Neither is one that clients are told something in.
    let text = site.configuration().replace("X-Order-ID", "X-Session-Id");
    let dialect = include_str!("../../../../dialects/voltmx/dialect.toml");
    let told = "[stamp.told]\nat = \"/**\"\nfor = []\nheaders = [\"X-Session-Id: no\"]\n";
    site.write("told.toml", &format!("{dialect}\n{told}"));
    site.write(crate::process::CONFIG, &text.replace("\"voltmx\"", "\"./told.toml\""));
    let told = site.command(&["check"]).output().unwrap();
    let why = String::from_utf8(told.stderr).unwrap();
    assert!(why.contains("log.request_id: `x-session-id` is read or set by API `shop`"), "{why}");
}
