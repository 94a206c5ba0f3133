//! E8, E9, F2, F6, F8, G7: what stands beside a session, and what listens beside the gate.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_auth::secret::Secret;
use countersign_gateway::limits::Limits;
use countersign_identity::accounts::{AccountDraft, AccountError, AccountView};
use countersign_identity::service::By;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use serde_json::Value;

use super::{Ground, Told, all, basic, claims};
use crate::process::{Gate, Site};
use crate::raw::{Answer, Client};
use crate::upstream::Received;
use crate::world::ASSERTION;

const PASSWORD: &str = "wonderland-7";
/// Longer than a line of the log waits for its second, on a machine that compiles beside it.
const DEADLINE: Duration = Duration::from_secs(60);

/// Contacts are for sellers, and Ann is one.
const SELLERS: &str = r#"
[[api]]
name = "crm"
dialect = "superoffice"
deployment = "onsite"
at = ["crm.example/"]
[[api.route]]
at = "/api/v1/Contact/**"
allow = { roles = ["seller"] }
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "ann"
password = "wonderland-7"
roles = ["seller"]

[[account]]
name = "bob"
password = "hatter-and-hare-3"
roles = ["seller"]
"#;

/// A session in a browser: its cookie, and the proof that belongs to it.
fn sign_in(ground: &Ground, user: &str, password: &str) -> (String, String) {
    let told = ground
        .send(&format!("POST /login HTTP/1.1\nHost: crm.example\nContent-Type: application/x-www-form-urlencoded\n\nuserName={user}&password={password}"))
        .answered();
    (told.cookie("SuperOffice-Session"), told.cookie("XSRF-TOKEN"))
}

#[test]
fn e5_a_right_that_was_taken_away_is_gone_with_the_next_request() {
    let ground = Ground::with("superoffice", SELLERS);
    let (id, csrf) = sign_in(&ground, "ann", PASSWORD);
    let ask = |path: &str, more: &str| {
        ground.send(&format!("GET /api/v1/{path} HTTP/1.1\nHost: crm.example\n{more}"))
    };
    let cookie = format!("Cookie: SuperOffice-Session={id}\nX-XSRF-TOKEN: {csrf}");
    let password = format!("Authorization: {}", basic("ann", PASSWORD));
    for shown in [&cookie, &password] {
        assert_eq!(claims(&ask("Contact/2", shown).passed())["roles"], serde_json::json!(["seller"]));
    }
    let account = ground.world.service().account_named("users", "ann").unwrap().account.id;
    let become_one = |roles: &[&str]| {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let change = |view: &AccountView| {
            Ok::<_, AccountError>(AccountDraft { roles, ..AccountDraft::of(&view.account) })
        };
        let update = ground.world.service().update_account(account, change, By::gate(), ground.world.now());
        ground.world.block_on(update).unwrap();
    };
    become_one(&["buyer"]);
    // What was proven before ends with it; the password proves the same person, who may less.
    ask("Contact/2", &cookie).refused(401);
    ask("Product/2", &cookie).refused(401);
    ask("Contact/2", &password).refused(403);
    assert_eq!(claims(&ask("Product/2", &password).passed())["roles"], serde_json::json!(["buyer"]));
    // Another's right stays, and hers comes back.
    ask("Contact/2", &format!("Authorization: {}", basic("bob", "hatter-and-hare-3"))).passed();
    become_one(&["seller"]);
    ask("Contact/2", &password).passed();
    ask("Contact/2", &cookie).refused(401);
}

#[test]
fn e8_a_cookie_does_not_hide_behind_an_authorization_header() {
    let ground = Ground::with("superoffice", SELLERS);
    let (id, csrf) = sign_in(&ground, "ann", PASSWORD);
    let ask_from = |page: &str, more: &str| {
        ground.send(&format!(
            "POST /api/v1/Contact HTTP/1.1\nHost: crm.example\nContent-Type: application/json\n\
             Origin: {page}\nCookie: SuperOffice-Session={id}{more}\n\n{{}}"
        ))
    };
    let ask = |more: &str| ask_from("http://evil.example", more);
    let refused = |what: &str, told: Told| {
        assert!(matches!(told.status(), 400 | 401 | 403), "{what}: {}", told.bytes());
        assert!(told.seen.is_empty(), "{what}");
    };
    let right = format!("\nX-XSRF-TOKEN: {csrf}");
    refused("the cookie alone", ask(""));
    for (what, header) in [
        ("nothing in the header", String::new()),
        ("a scheme that nobody knows", "Unheard-Of x".to_owned()),
        ("a scheme without anything", "Basic".to_owned()),
        ("a broken credential", "Basic %%%".to_owned()),
        ("a wrong password", basic("ann", "wonderland-8")),
        ("nobody's password", basic("nobody", PASSWORD)),
        ("another's password", basic("bob", "hatter-and-hare-3")),
        ("a token that is none", "Bearer x".to_owned()),
        ("another user's ticket that is none", "SOTicket 7T:x".to_owned()),
    ] {
        refused(what, ask(&format!("\nAuthorization: {header}")));
        // A wrong credential is wrong also beside a proof that is right; only what is the same caller's goes on.
        refused(what, ask(&format!("\nAuthorization: {header}{right}")));
    }
    assert_eq!(claims(&ask(&right).passed())["sub"], "ann");
    // A password that the browser remembers is good for the gate's own pages alone, whatever stands beside it.
    let remembered = format!("\nAuthorization: {}{right}", basic("ann", PASSWORD));
    refused("her password, from a foreign page", ask(&remembered));
    let seen = ask_from("http://crm.example", &remembered).passed();
    assert_eq!(claims(&seen)["sub"], "ann");
    assert!(all(&seen, "authorization").is_empty() && all(&seen, "cookie").is_empty());
    // A program that sends no cookie needs no proof.
    let program = format!(
        "POST /api/v1/Contact HTTP/1.1\nHost: crm.example\nContent-Type: application/json\nAuthorization: {}\n\n{{}}",
        basic("ann", PASSWORD)
    );
    ground.send(&program).passed();
}

/// A gate with its administration, and a user.
fn administered() -> (Site, Gate, SocketAddr) {
    let ann = AccountDraft { password: Some(Secret::new(PASSWORD)), ..AccountDraft::new("users", "ann") };
    let site = Site::new(vec![ann]);
    let mut gate = site.start();
    let line = gate.said("listening for administration");
    let address = line["listener.address"].as_str().unwrap().parse().unwrap();
    (site, gate, address)
}

#[test]
fn e9_whoever_asks_the_administration_under_another_host_is_in_the_log_once_a_second() {
    const REFUSED: &str =
        "refused whoever asked the administration under a host that `administration.hosts` does not list";
    let (_site, mut gate, administration) = administered();
    let ask = |host: &str| {
        let answer = exchange(administration, &format!("GET /live HTTP/1.1\r\nHost: {host}"));
        assert_eq!(answer.head.status(), 421, "{host}");
    };
    // What is no host is in no line.
    ask("no host at all");
    let first = gate.says_next(&[REFUSED]);
    assert_eq!(
        (&first["level"], &first["http.host"], &first["requests"]),
        (&"WARN".into(), &"".into(), &1.into()),
        "{first}"
    );
    // The rest of the second is counted, and told with the first of the next one.
    let until = Instant::now() + DEADLINE;
    let mut asked = 0_u64;
    while gate.times_said(REFUSED) < 2 {
        assert!(Instant::now() < until, "{asked} were refused and not told");
        asked += 1;
        ask(&format!("Evil-{asked}.Example:8080"));
    }
    let log = gate.log();
    let second = log.lines().filter(|line| line.contains(REFUSED)).nth(1).unwrap();
    let second: Value = serde_json::from_str(second).unwrap();
    let told = second["requests"].as_u64().unwrap();
    assert_eq!(second["http.host"], format!("evil-{told}.example"), "{second}");
}

fn exchange(address: SocketAddr, request: &str) -> Answer {
    let answer = Client::new(address).exchange(0, format!("{request}\r\n\r\n").as_bytes());
    answer.unwrap_or_else(|error| panic!("{request}: {error}"))
}

/// The gate's client, with a password; what the service got.
fn called(site: &Site, gate: &Gate) -> Received {
    let request = format!(
        "GET /api/v1/Contact/2 HTTP/1.1\r\nHost: crm.example\r\nAuthorization: {}",
        basic("ann", PASSWORD)
    );
    assert_eq!(exchange(gate.address, &request).head.status(), 200);
    site.upstream.take().remove(0)
}

#[test]
fn e9_a_page_reaches_nothing_of_the_administration() {
    let (site, gate, administration) = administered();
    let assertion = called(&site, &gate).head.header(ASSERTION).unwrap().to_owned();
    let told = |line: &str, more: &str| exchange(administration, &format!("{line} HTTP/1.1\r\n{more}"));
    let port = administration.port();
    let own = format!("Host: 127.0.0.1:{port}");
    for path in ["/live", "/ready", "/metrics", "/jwks/assertion", "/jwks/token"] {
        // By a name that was made to point here; the nearest is the address itself.
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "crm.example"] {
            for method in ["GET", "POST", "OPTIONS"] {
                let answer = told(&format!("{method} {path}"), &format!("Host: {host}:{port}"));
                assert_eq!(answer.head.status(), 421, "{host} {path}");
            }
        }
        let answer = told(&format!("GET {path}"), &format!("{own}\r\nOrigin: http://evil.example"));
        assert_eq!(answer.head.status(), 200, "{path}");
        // No page of another origin may read what a simple request is answered, and none is let ask for more.
        assert_eq!(answer.head.header("access-control-allow-origin"), None, "{path}");
        let answer = told(
            &format!("POST {path}"),
            &format!("{own}\r\nOrigin: http://evil.example\r\nContent-Length: 0"),
        );
        assert_eq!(answer.head.status(), 405, "{path}");
        let preflight =
            format!("{own}\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: POST");
        let answer = told(&format!("OPTIONS {path}"), &preflight);
        assert_eq!(answer.head.status(), 405, "{path}");
        assert_eq!(answer.head.header("access-control-allow-origin"), None, "{path}");
    }
    // What changes something wants a service's key, which is none of what clients and services have.
    for path in ["/events/push", "/objects/crm/order"] {
        for shown in [
            String::new(),
            format!("\r\nAuthorization: {}", basic("ann", PASSWORD)),
            format!("\r\nAuthorization: Bearer {assertion}"),
            "\r\nCookie: SuperOffice-Session=x".to_owned(),
        ] {
            let request = format!(
                "{own}\r\nOrigin: http://evil.example\r\nContent-Type: text/plain\r\nContent-Length: 2{shown}\r\n\r\n{{}}"
            );
            let answer = Client::new(administration)
                .exchange(0, format!("POST {path} HTTP/1.1\r\n{request}").as_bytes())
                .unwrap();
            assert_eq!(answer.head.status(), 401, "{path}{shown}");
        }
    }
}

#[test]
fn f6_paths_of_the_administration_are_what_they_are() {
    let (_site, _gate, administration) = administered();
    let told = |line: &str| exchange(administration, &format!("{line} HTTP/1.1\r\nHost: localhost"));
    for path in [
        "/events/../metrics",
        "/metrics/",
        "//metrics",
        "/%6detrics",
        "/metrics/..",
        "/METRICS",
        "/debug",
        "/",
        "/jwks",
    ] {
        let answer = told(&format!("GET {path}"));
        assert!(matches!(answer.head.status(), 401 | 404), "{path}: {}", answer.head.status());
        assert!(!String::from_utf8_lossy(&answer.body).contains("# EOF"), "{path}");
    }
    for path in
        ["/events/%2e%2e/live", "/objects/../live", "/objects//x", "/events/", "/objects/crm/../../live"]
    {
        let answer = told(&format!("GET {path}"));
        assert_eq!(answer.head.status(), 401, "{path}");
    }
    let metrics = told("GET /metrics?x=/events/y");
    assert!(String::from_utf8_lossy(&metrics.body).ends_with("# EOF\n"));
}

#[test]
fn f8_what_is_told_to_monitors_is_told_on_loopback_and_holds_no_secret() {
    let (site, gate, administration) = administered();
    assert!(administration.ip().is_loopback());
    let assertion = called(&site, &gate).head.header(ASSERTION).unwrap().to_owned();
    let encoded = basic("ann", PASSWORD);
    let secrets = [
        PASSWORD,
        encoded.trim_start_matches("Basic "),
        assertion.rsplit('.').next().unwrap(),
        "PRIVATE",
        "\"d\"",
    ];
    for path in ["/live", "/ready", "/metrics", "/jwks/assertion", "/jwks/token"] {
        let answer = exchange(administration, &format!("GET {path} HTTP/1.1\r\nHost: localhost"));
        let body = String::from_utf8(answer.body).unwrap();
        assert!(!body.is_empty(), "{path}");
        for secret in secrets {
            assert!(!body.contains(secret), "{path}: {secret}");
        }
        // Clients get none of it: where they call, it is a path of the service's.
        let request = format!("GET {path} HTTP/1.1\r\nHost: crm.example");
        assert!(matches!(exchange(gate.address, &request).head.status(), 401 | 404), "{path}");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost");
        assert_eq!(exchange(gate.address, &request).head.status(), 404, "{path}");
    }
    // Where nobody says where to listen, it is there as well: the page of the configuration is made from its types.
    let schema = std::fs::read_to_string(crate::transcript::root().join("docs/config.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let listen = schema["properties"]["administration"]["default"]["listen"].as_str().unwrap();
    assert!(listen.parse::<SocketAddr>().unwrap().ip().is_loopback(), "{listen}");
}

/// Whether the gate has said something, or closed.
fn is_over(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let over = match stream.peek(&mut [0]) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).unwrap();
    over
}

/// Sends pieces until the gate says something or closes; how many bytes that took, and what it said.
fn until_over(ground: &Ground, head: &str, piece: &[u8], pieces: usize) -> (usize, String) {
    let mut stream = TcpStream::connect(ground.world.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut sent = 0;
    for _ in 0..pieces {
        if is_over(&stream) || stream.write_all(piece).is_err() {
            break;
        }
        sent += piece.len();
    }
    let mut said = Vec::new();
    let _reset = stream.read_to_end(&mut said);
    (sent, String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn f2_what_does_not_end_is_ended() {
    let limits =
        Limits { head: Duration::from_secs(3), tick: Duration::from_millis(20), ..Limits::default() };
    let most = limits.call_bytes;
    let ground = Ground::limited("superoffice", SELLERS, limits);
    let head =
        "POST /login HTTP/1.1\r\nHost: crm.example\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    // A body of chunks that never ends: 5 GB are on offer.
    let chunk = [b"4000\r\n".as_slice(), &[b'a'; 0x4000], b"\r\n"].concat();
    let (sent, said) = until_over(
        &ground,
        &format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
        &chunk,
        5_000_000_000 / 0x4000,
    );
    println!("{sent} bytes of a body were taken, {most} are read");
    assert!(said.starts_with("HTTP/1.1 413 ") || said.is_empty(), "{said}");
    // What the systems between keep, and no more.
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes");
    // One that says that it is as long is not waited for.
    let (sent, said) = until_over(&ground, &format!("{head}Content-Length: 5368709120\r\n\r\n"), b"", 1);
    assert!(said.starts_with("HTTP/1.1 413 "), "{sent}: {said}");
    // A head that comes byte by byte, and one whose next byte never comes.
    let request = "GET /api/v1/Contact/2 HTTP/1.1\r\nHost: crm.example\r\nX: ";
    let mut stream = TcpStream::connect(ground.world.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut drips = 0;
    while drips < 2000 && !is_over(&stream) {
        std::thread::park_timeout(Duration::from_millis(10));
        if stream.write_all(b"x").is_err() {
            break;
        }
        drips += 1;
    }
    println!("cut off after {drips} bytes");
    assert!(drips < 2000, "a head may take for ever");
    let (_, said) = until_over(&ground, request, b"", 1);
    assert!(!said.starts_with("HTTP/1.1 2"), "{said}");
    assert!(ground.world.upstream.take().is_empty());
    // What ends in time is answered.
    let form = "userName=ann&password=wonderland-7";
    let whole = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{form}\r\n0\r\n\r\n", form.len());
    let answer = Client::new(ground.world.address).exchange(0, whole.as_bytes()).unwrap();
    assert!((200..400).contains(&answer.head.status()), "{answer:?}");
}

#[test]
fn g7_nothing_is_taken_before_the_handshake_has_ended() {
    let own = rcgen::generate_simple_self_signed(["crm.example".to_owned()]).unwrap();
    let site = Site::with(
        |upstream| {
            format!(
                "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"gate.pem\", key = \"gate.key\" }}\n\
                 [[api]]\nname = \"crm\"\ndialect = \"enactor\"\nat = [\"/\"]\nupstream = \"http://{upstream}\"\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n"
            )
        },
        Vec::new(),
    );
    site.write("gate.pem", &own.cert.pem());
    site.write("gate.key", &own.signing_key.serialize_pem());
    let mut gate = site.start();
    let address = gate.listens_at("tls");
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    // A client that would send early data, had it been told that it may.
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let name = ServerName::try_from("crm.example").unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
        assert!(
            client.early_data().is_none(),
            "the gate's ticket lets a client send before the handshake ended"
        );
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut tls = StreamOwned::new(client, stream);
        tls.write_all(
            b"POST /x HTTP/1.1\r\nHost: crm.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        )
        .unwrap();
        let mut answer = String::new();
        let _unclean = tls.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        kinds.push(tls.conn.handshake_kind());
    }
    // The tickets are good for all else.
    assert_eq!(kinds.last(), Some(&Some(HandshakeKind::Resumed)), "{kinds:?}");
    assert_eq!(site.upstream.take().len(), 3);
}
