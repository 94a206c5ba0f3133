//! F: a gate that cannot have what its configuration names does not start, rather than start without it.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;

use super::basic;
use crate::process::{CONFIG, Site};
use crate::raw::Client;
use crate::reload::{KEPT_OUT, TAKEN};

/// Longer than a start takes on a machine that compiles beside it.
const DEADLINE: Duration = Duration::from_secs(120);

/// How `serve` ended, and what it said; nothing where it did not end.
fn serve(site: &Site) -> Option<(bool, String)> {
    let mut command = site.command(&["serve"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text).unwrap_or_default()
    });
    let until = Instant::now() + DEADLINE;
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status.success());
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    let text = reading.join().unwrap();
    ended.map(|success| (success, text))
}

/// An API with more said of it, and of the gate.
fn site(upstream: &str, of_api: &str, of_gate: &str) -> Site {
    site_of(upstream, of_api, of_gate, Vec::new())
}

fn site_of(upstream: &str, of_api: &str, of_gate: &str, accounts: Vec<AccountDraft>) -> Site {
    let (upstream, of_api, of_gate) = (upstream.to_owned(), of_api.to_owned(), of_gate.to_owned());
    Site::with(
        move |address: SocketAddr| {
            let upstream = upstream.replace("ADDRESS", &address.to_string());
            format!(
                "{of_gate}\n[[api]]\nname = \"shop\"\ndialect = \"superoffice\"\nat = [\"a.example/\"]\nupstream = {upstream}\n{of_api}\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n"
            )
        },
        accounts,
    )
}

#[test]
fn f1_a_gate_without_its_secrets_and_authorities_does_not_start() {
    const PLAIN: &str = "\"http://ADDRESS\"";
    const ONLINE: &str = "deployment = \"online\"\n";
    let introspection = "deployment = \"online\"\n\
        introspection = { bearer = { url = \"https://issuer.example/ask\", client = \"gate\", secret_file = \"FILE\" } }";
    let front = "deployment = \"onsite\"\nenable = [\"front\"]\n\
        front = { networks = [\"127.0.0.1/32\"], secret_file = \"FILE\", domains = [\"CORP\"] }";
    let ca = "{ backends = [\"https://127.0.0.1:9\"], ca = \"FILE\" }";
    let listener = "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"FILE\", key = \"FILE\" }\n";
    // The file is not there, or holds nothing that can be used.
    for (what, upstream, of_api, of_gate) in [
        ("the secret for an issuer", PLAIN, introspection, ""),
        ("the secret of a front", PLAIN, front, ""),
        ("authorities of a service", ca, ONLINE, ""),
        ("the certificate of a listener", PLAIN, ONLINE, listener),
    ] {
        for contents in
            [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nbad\n-----END CERTIFICATE-----\n")]
        {
            // What is no certificate may well be a secret.
            if what.starts_with("the secret") && contents.is_some_and(|text| !text.is_empty()) {
                continue;
            }
            let site = site(upstream, of_api, of_gate);
            if let Some(contents) = contents {
                site.write("FILE", contents);
            }
            let Some((success, text)) = serve(&site) else { panic!("{what}, {contents:?}: it started") };
            assert!(!success, "{what}, {contents:?}: {text}");
            assert!(text.contains("FILE"), "{what}, {contents:?}: {text}");
            assert!(!text.contains("listening for clients"), "{what}, {contents:?}: {text}");
        }
    }
    // Nothing but the files is wrong with it.
    let site = site(PLAIN, introspection, "");
    site.write("FILE", "a secret of the issuer's, long enough");
    let gate = site.start();
    drop(gate);
}

/// Of all that a secret may be shown in: what checks and starts say of a configuration, a log with everything in it, and the
/// words of a panic.
#[test]
fn f3_what_is_configured_is_shown_without_its_secrets() {
    const ISSUERS: &str = "the-secret-of-an-issuer-17";
    const PASSWORD: &str = "wonderland-and-back-7";
    let introspection = "deployment = \"online\"\nenable = [\"basic\", \"bearer\"]\n\
        introspection = { bearer = { url = \"http://127.0.0.1:9/ask\", client = \"gate\", secret_file = \"FILE\" } }";
    let alice =
        || AccountDraft { password: Some(Secret::new(PASSWORD)), ..AccountDraft::new("users", "alice") };
    let site = site_of("\"http://ADDRESS\"", introspection, "", vec![alice()]);
    site.write("FILE", ISSUERS);
    let written = site.configuration().replace("access = false", "access = true\nlevel = \"trace\"");
    site.write(CONFIG, &written);
    let checked = site.command(&["check"]).output().unwrap();
    let mut shown = vec![
        String::from_utf8_lossy(&checked.stdout).into_owned(),
        String::from_utf8_lossy(&checked.stderr).into_owned(),
    ];
    assert!(checked.status.success(), "{shown:?}");
    let mut gate = site.start();
    let ask = |authorization: &str| {
        let request = format!(
            "GET /Cust1/api/v1/Contact/2 HTTP/1.1\r\nHost: a.example\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
        );
        Client::new(gate.address).exchange(0, request.as_bytes()).unwrap();
    };
    ask(&basic("alice", PASSWORD));
    ask(&basic("alice", "a wrong one"));
    ask("Bearer token-that-an-issuer-is-asked-about");
    // Read again: as it was, and without its file.
    gate.hang_up();
    gate.says_next(&[TAKEN, KEPT_OUT]);
    site.write(CONFIG, &written.replace("\"FILE\"", "\"NONE\""));
    gate.hang_up();
    gate.says_next(&[TAKEN, KEPT_OUT]);
    shown.push(gate.log());
    let fails = || -> Result<(), Box<AccountDraft>> { Err(Box::new(alice())) };
    let panicked = std::panic::catch_unwind(|| fails().unwrap()).unwrap_err();
    let words = panicked.downcast_ref::<String>().unwrap();
    assert!(words.contains("alice") && words.contains("[secret]"), "{words}");
    shown.push(words.clone());
    for secret in [ISSUERS, PASSWORD, "a wrong one", "token-that-an-issuer-is-asked-about"] {
        for shape in [secret.to_owned(), STANDARD.encode(secret), format!("{:?}", secret.as_bytes())] {
            let found = shown.iter().find(|text| text.contains(&shape));
            assert!(found.is_none(), "{secret}: {found:?}");
        }
    }
}
