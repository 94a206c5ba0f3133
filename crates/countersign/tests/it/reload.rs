//! SIGHUP: another configuration takes the place of the running one, or is kept out whole.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;
use serde_json::{Value, json};

use crate::digest::{Challenge, Response};
use crate::ntlm;
use crate::process::{CONFIG, Gate, Site};
use crate::raw::{self, Client};
use crate::threats::{basic, claims_of};
use crate::upstream::Upstream;
use crate::world::setting::Setting;

pub(crate) const TAKEN: &str = "took the configuration anew";
pub(crate) const KEPT_OUT: &str = "the configuration was not taken; the gate runs on as it was";
const ROUTE: &str = "[[api.route]]\nat = \"/api/v1/Contact/**\"\nallow = \"authenticated\"\n";
const PERSON: &str = "[[api.route]]\nat = \"/api/v1/Person/**\"\nallow = \"authenticated\"\n";

fn site() -> Site {
    let alice =
        AccountDraft { password: Some(Secret::new("wonderland-7")), ..AccountDraft::new("users", "alice") };
    let apis = |upstream| {
        format!(
            "[[api]]\nname = \"crm\"\ndialect = \"./mine.toml\"\ndeployment = \"onsite\"\nat = [\"crm.example/\"]\n\
             upstream = \"http://{upstream}\"\n{ROUTE}"
        )
    };
    let site = Site::with(apis, vec![alice]);
    site.write("mine.toml", &Setting::dialect_text("superoffice"));
    site
}

fn request(path: &str) -> Vec<u8> {
    let lines = [
        format!("GET {path} HTTP/1.1"),
        "Host: crm.example".to_owned(),
        format!("Authorization: {}", basic("alice", "wonderland-7")),
    ];
    raw::bytes(&lines, "")
}

fn ask(client: &mut Client, path: &str) -> (u16, String) {
    let answer = client.exchange(0, &request(path)).unwrap();
    (answer.head.status(), String::from_utf8_lossy(&answer.body).into_owned())
}

/// Has the gate read its configuration again; what it says of it last, and the errors before that.
fn hang_up(gate: &mut Gate) -> (String, Vec<Value>) {
    let before = gate.errors().len();
    gate.hang_up();
    let last = gate.says_next(&[TAKEN, KEPT_OUT]);
    let mut errors = gate.errors().split_off(before);
    errors.retain(|line| line["message"] != KEPT_OUT);
    (last["message"].as_str().unwrap().to_owned(), errors)
}

/// The gate takes what it signs, also where a reload changes in whose name it does.
#[test]
fn tokens_of_the_gates_own_go_by_the_dialect_that_is_in_force() {
    let ann =
        AccountDraft { password: Some(Secret::new("wonderland-7")), ..AccountDraft::new("customers", "ann") };
    let apis = |upstream| {
        format!(
            "[[api]]\nname = \"shop\"\ndialect = \"./mine.toml\"\nat = [\"/\"]\nupstream = \"http://{upstream}\"\n{}",
            "[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
        )
    };
    let site = Site::with(apis, vec![ann]);
    let dialect = Setting::dialect_text("enactor");
    site.write("mine.toml", &dialect);
    let mut gate = site.start();
    let address = gate.address;
    let send = |lines: &[&str], body: &str| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Client::new(address).exchange(0, &raw::bytes(&lines, body)).unwrap()
    };
    let log_in = || {
        let head = ["POST /identity/token HTTP/1.1", "Host: a.example", "Content-Type: application/json"];
        let told = send(&head, "{\"userName\":\"ann\",\"password\":\"wonderland-7\"}");
        let told: Value = serde_json::from_slice(&told.body).unwrap();
        format!("Authorization: Bearer {}", told["access_token"].as_str().unwrap())
    };
    let ask = |token: &str| send(&["GET /x HTTP/1.1", "Host: a.example", token], "").head.status();
    let old = log_in();
    assert_eq!(ask(&old), 200);
    let issuer = "\"http://www.enactor.co/\"";
    assert!(dialect.contains(issuer));
    site.write("mine.toml", &dialect.replace(issuer, "\"https://id.shop.example/\""));
    gate.hang_up();
    assert_eq!(gate.says_next(&[TAKEN, KEPT_OUT])["message"], TAKEN);
    assert_eq!(ask(&log_in()), 200);
    assert_eq!(ask(&old), 401, "in another's name");
}

#[test]
fn a_route_is_added_and_what_was_begun_ends_as_it_began() {
    let site = site();
    let mut gate = site.start();
    let mut client = Client::new(gate.address);
    assert_eq!(ask(&mut client, "/api/v1/Contact/1").0, 200);
    assert_eq!(ask(&mut client, "/api/v1/Person/1").0, 403);
    // Half of a request is on its way to the service.
    let mut begun = TcpStream::connect(gate.address).unwrap();
    begun.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /api/v1/Contact/2 HTTP/1.1\r\nHost: crm.example\r\nAuthorization: {}\r\nContent-Length: 8\r\n\r\nhalf",
        basic("alice", "wonderland-7")
    );
    begun.write_all(head.as_bytes()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while site.upstream.halves() == 0 {
        assert!(Instant::now() < until, "it was not admitted");
        std::thread::sleep(Duration::from_millis(5));
    }

    let text = site.configuration();
    site.write(CONFIG, &text.replace(ROUTE, PERSON));
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    // On a connection that is open, and on a new one.
    for client in [&mut client, &mut Client::new(gate.address)] {
        assert_eq!(ask(client, "/api/v1/Person/1").0, 200);
        assert_eq!(ask(client, "/api/v1/Contact/1").0, 403, "a rule that is gone admits nobody");
    }
    begun.write_all(b"half").unwrap();
    let mut answer = [0; 12];
    begun.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200", "it was admitted by the rule that was there when it began");
}

#[test]
fn what_is_wrong_is_kept_out_whole_and_told_with_line_and_hint() {
    let site = site();
    let mut gate = site.start();
    let mut client = Client::new(gate.address);
    let (text, dialect) = (site.configuration(), Setting::dialect_text("superoffice"));
    let line_of =
        |text: &str, part: &str| 1 + text.lines().position(|line| line.contains(part)).unwrap() as u64;
    let typo = text.replace(ROUTE, &format!("{PERSON}alow = 1\n"));
    let twice = format!("{text}[lockout]\nfailures = 9\n");
    let issuer = text.replace(ROUTE, &format!("issuers.\"http://x.example/\" = \"self\"\n{PERSON}"));
    let broken = dialect.replace("scheme", "sheme");
    for (config, dialect, key, line, hint) in [
        (&typo, &dialect, "api[0].route[0].alow", line_of(&typo, "alow"), "allow"),
        (&twice, &dialect, "lockout", line_of(&twice, "[lockout]"), "restart"),
        (&issuer, &dialect, "api[0].issuers", line_of(&issuer, "issuers"), "restart"),
        (&text, &broken, "api[0]", line_of(&text, "[[api]]"), ""),
    ] {
        site.write(CONFIG, config);
        site.write("mine.toml", dialect);
        let (last, errors) = hang_up(&mut gate);
        assert_eq!(last, KEPT_OUT, "{key}");
        let first = errors.first().unwrap_or_else(|| panic!("{key}: no error was told"));
        assert_eq!(first["config.key"], key, "{first}");
        assert_eq!(first["config.line"], line, "{first}");
        assert!(first["config.file"].as_str().unwrap().ends_with(CONFIG), "{first}");
        assert!(first["config.hint"].as_str().unwrap().contains(hint), "{first}");
        assert_eq!(ask(&mut client, "/api/v1/Contact/1").0, 200, "{key}");
        assert_eq!(ask(&mut client, "/api/v1/Person/1").0, 403, "{key}");
    }
    // And what is mended is taken.
    site.write("mine.toml", &dialect);
    site.write(CONFIG, &text.replace(ROUTE, PERSON));
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert_eq!(ask(&mut client, "/api/v1/Person/1").0, 200);
}

/// A secret that has leaked is replaced in its file: nobody may believe that this was enough.
#[test]
fn f9_another_content_of_a_file_is_never_taken_for_nothing() {
    let front =
        "enable = [\"front\"]\n[api.front]\nnetworks = [\"127.0.0.0/8\"]\nsecret_file = \"front.secret\"\n";
    let apis = |upstream| {
        format!(
            "[[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"crm.example/\"]\n\
             upstream = \"http://{upstream}\"\n{front}{ROUTE}\
             [[api]]\nname = \"push\"\ndialect = \"voltmx\"\nat = [\"push.example/\"]\nupstream = \"http://{upstream}\"\n\
             shared.device = {{ file = \"device.secret\" }}\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
        )
    };
    let site = Site::with(apis, Vec::new());
    let secret = |word: &str| format!("{word}-{}\n", "0123456789abcdef".repeat(2));
    site.write("front.secret", &secret("front"));
    site.write("device.secret", &secret("device"));
    let mut gate = site.start();
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    for (file, key) in
        [("front.secret", "api[0].front.secret_file"), ("device.secret", "api[1].shared.device.file")]
    {
        let word = file.split('.').next().unwrap();
        site.write(file, &secret("another"));
        let (last, errors) = hang_up(&mut gate);
        assert_eq!(last, KEPT_OUT, "{key}");
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0]["config.key"], key);
        assert_eq!(errors[0]["config.hint"], "restart the gate for that");
        let log = gate.log();
        assert!(!log.contains("0123456789abcdef"), "{log}");
        site.write(file, &secret(word));
        assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()), "{key}");
    }
}

/// Nobody has changed the key of the store where the gate made it.
#[test]
fn a_key_that_the_gate_makes_is_no_other_and_another_one_in_its_place_is() {
    let apis = |upstream| {
        format!(
            "[[api]]\nname = \"shop\"\ndialect = \"enactor\"\nat = [\"/\"]\nupstream = \"http://{upstream}\"\n\
             enable = [\"digest\"]\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
        )
    };
    let site = Site::with(apis, Vec::new());
    site.write(CONFIG, &site.configuration().replace("[store]\n", "[store]\nkey = \"seal.key\"\n"));
    let mut gate = site.start();
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    site.write("password", "wonderland-7\n");
    let [password, key] = ["password", "seal.key"].map(|file| site.store().with_file_name(file));
    let add = ["user", "add", "dora", "--password-file", password.to_str().unwrap(), "--keep-for", "digest"];
    let added = site.command(&add).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let made = std::fs::read_to_string(&key).unwrap();
    let mut kept_out = || {
        site.write("seal.key", &format!("{}=\n", "A".repeat(43)));
        let (last, errors) = hang_up(&mut gate);
        assert_eq!((last.as_str(), &errors[0]["config.key"]), (KEPT_OUT, &"store.key".into()));
        site.write("seal.key", &made);
        assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    };
    // Before the gate was told to read what it has made, and after.
    kept_out();
    kept_out();
}

/// What the identity service was told of an API holds for as long as that is served.
#[test]
fn an_api_that_has_gone_comes_back_with_another_secret_and_a_directory() {
    let stays = |upstream| {
        format!(
            "[directory.portal]\ncreate = true\n[directory.portal.http]\nurl = \"http://{upstream}/login\"\n\
             body = \"json\"\nuser_field = \"user\"\npassword_field = \"password\"\n\
             [[api]]\nname = \"shop\"\ndialect = \"enactor\"\nat = [\"shop.example/\"]\nupstream = \"http://{upstream}\"\n{ROUTE}"
        )
    };
    let site = Site::with(stays, Vec::new());
    let own = Upstream::start();
    own.speak(Arc::new(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()));
    site.upstream.speak(Arc::new(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec()));
    let push = |more: &str| {
        format!(
            "{}[[api]]\nname = \"push\"\ndialect = \"voltmx\"\nat = [\"push.example/\"]\nupstream = \"http://{}\"\n\
             shared.device = {{ file = \"device.secret\" }}\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n{more}",
            site.configuration(),
            own.address()
        )
    };
    let (without, secret) = (site.configuration(), |word: &str| format!("{word}-0123456789abcdef"));
    site.write("device.secret", &secret("first"));
    let (before, after) = (push(""), push("[[api.directory]]\nname = \"portal\"\n"));
    site.write(CONFIG, &before);
    let mut gate = site.start();
    let address = gate.address;
    let device = |word: &str| {
        let lines = ["GET /api/v1/subscribers/8123 HTTP/1.1", "Host: push.example"].map(str::to_owned);
        let lines = [&lines[..], &[format!("X-Device-AuthToken: {}", secret(word))]].concat();
        Client::new(address).exchange(0, &raw::bytes(&lines, "")).unwrap().head.status()
    };
    let person = || {
        let proof = basic("dora", "of-the-portal");
        show(&mut Client::new(address), "push.example", "/api/v1/messages", Some(&proof)).0
    };
    assert_eq!((device("first"), device("second"), person()), (200, 401, 401));
    site.write(CONFIG, &without);
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    site.write("device.secret", &secret("second"));
    site.write(CONFIG, &after);
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert_eq!((device("first"), device("second"), person()), (401, 200, 200));
    // Back again without the directory: nobody of it is let in.
    for text in [&without, &before] {
        site.write(CONFIG, text);
        assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    }
    assert_eq!((device("second"), person()), (200, 401));
    // While it is served nothing of this changes.
    site.write(CONFIG, &after);
    let (last, errors) = hang_up(&mut gate);
    assert_eq!((last.as_str(), &errors[0]["config.key"]), (KEPT_OUT, &"api[1].directory".into()));
}

#[test]
fn a_dialect_is_read_again_and_proofs_by_its_old_rules_are_none() {
    let site = site();
    let mut gate = site.start();
    let mut client = Client::new(gate.address);
    let (text, dialect) = (site.configuration(), Setting::dialect_text("superoffice"));
    let said = "Access denied";
    assert!(ask(&mut client, "/api/v1/Person/1").1.contains(said));
    site.write("mine.toml", &dialect.replace(said, "Not for you"));
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert!(ask(&mut client, "/api/v1/Person/1").1.contains("Not for you"));
    // The password was verified a moment ago, and is remembered.
    assert_eq!(ask(&mut client, "/api/v1/Contact/1").0, 200);
    let of_others = dialect.replace("\nscheme ", "\naccounts = \"customers\"\nscheme ");
    site.write("mine.toml", &of_others);
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert_eq!(ask(&mut client, "/api/v1/Contact/1").0, 401, "no partner is called alice");
    site.write("mine.toml", &dialect);
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert_eq!(ask(&mut client, "/api/v1/Contact/1").0, 200);
    let without_basic =
        text.replace("deployment = \"onsite\"\n", "deployment = \"onsite\"\ndisable = [\"basic\"]\n");
    site.write(CONFIG, &without_basic);
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert_eq!(ask(&mut client, "/api/v1/Contact/1").0, 401);
    site.write(CONFIG, &text);
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert_eq!(ask(&mut client, "/api/v1/Contact/1").0, 200);
}

/// Sends a request, with what proves somebody if anything does; the answer's status and challenges.
fn show(client: &mut Client, host: &str, path: &str, proof: Option<&str>) -> (u16, Vec<String>) {
    let lines = [format!("GET {path} HTTP/1.1"), format!("Host: {host}")];
    let proof = proof.map(|proof| format!("Authorization: {proof}"));
    let lines: Vec<String> = lines.into_iter().chain(proof).collect();
    let head = client.exchange(0, &raw::bytes(&lines, "")).unwrap().head;
    let challenges = head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    (head.status(), challenges.map(|(_, value)| value.clone()).collect())
}

#[test]
fn what_a_connection_or_a_nonce_proved_by_old_rules_is_none() {
    let apis = |upstream| {
        let api = |name: &str, more: &str| {
            format!(
                "[[api]]\nname = \"{name}\"\ndialect = \"./{name}.toml\"\nat = [\"{name}.example/\"]\n\
                 upstream = \"http://{upstream}\"\n{more}\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
            )
        };
        let crm = "deployment = \"onsite\"\nenable = [\"ntlm\"]\nntlm = { domain = \"CRM\", dns_domain = \"crm.example\" }";
        let shop = "enable = [\"digest\"]\ndigest = { algorithms = [\"SHA-256\", \"SHA-256-sess\"] }";
        [api("crm", crm), api("shop", shop)].concat()
    };
    let site = Site::with(apis, Vec::new());
    let dialects = [("crm.toml", "superoffice"), ("shop.toml", "enactor")];
    let dialects = dialects.map(|(file, name)| (file, Setting::dialect_text(name)));
    dialects.iter().for_each(|(file, text)| site.write(file, text));
    let mut gate = site.start();
    // The gate knows which realms a password is to be kept for.
    site.write("password", "wonderland-7\n");
    let password = site.store().with_file_name("password").display().to_string();
    let kept = ["--key", "customer=7", "--keep-for", "digest", "--keep-for", "ntlm"];
    let add = [&["user", "add", "alice", "--password-file", &password], &kept[..]].concat();
    let added = site.command(&add).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let [mut ntlm_client, mut digest_client] = [(); 2].map(|()| Client::new(gate.address));

    let contact =
        |client: &mut Client, proof: Option<&str>| show(client, "crm.example", "/api/v1/Contact/1", proof);
    let log_in = |client: &mut Client| {
        let (_, challenges) = contact(client, Some(&format!("NTLM {}", ntlm::begin())));
        let challenge = challenges.iter().find_map(|line| line.strip_prefix("NTLM ")).unwrap();
        let answer = ntlm::answer(challenge, "alice", "wonderland-7");
        contact(client, Some(&format!("NTLM {answer}"))).0
    };
    let basket = |client: &mut Client, proof: Option<&str>| show(client, "shop.example", "/x", proof);
    // Each has a nonce of its own.
    let mut responses: Vec<Response> = ["SHA-256", "SHA-256-sess"]
        .map(|algorithm| {
            let (_, challenges) = basket(&mut digest_client, None);
            let digests = challenges.iter().filter(|line| line.starts_with("Digest "));
            let mut challenges = digests.map(|line| Challenge::parse(line));
            let challenge = challenges.find(|challenge| challenge.value("algorithm") == algorithm);
            Response::to(&challenge.unwrap(), "alice", "wonderland-7", "GET", "/x")
        })
        .into();
    // A client whose session has the key of its first request.
    for response in &mut responses {
        response.first_cnonce = Some(response.cnonce.clone());
    }
    let mut respond = |keys: &Value| {
        for response in &mut responses {
            let (status, _) = basket(&mut digest_client, Some(&response.field()));
            assert_eq!(status, 200, "{}", response.algorithm);
            let seen = site.upstream.take().pop().unwrap();
            assert_eq!(claims_of(seen.head.header("countersign-assertion").unwrap())["keys"], *keys);
            response.count += 1;
            response.cnonce = format!("another-{}", response.count);
        }
    };

    assert_eq!((log_in(&mut ntlm_client), contact(&mut ntlm_client, None).0), (200, 200));
    let (none, own) = (json!({}), json!({ "customer": "7" }));
    (0..2).for_each(|_| respond(&none));
    let changes = [("Access denied", "Not for you"), ("keys        = false", "keys        = true")];
    for ((file, text), (was, is)) in dialects.iter().zip(changes) {
        assert!(text.contains(was));
        site.write(file, &text.replace(was, is));
    }
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert_eq!(contact(&mut ntlm_client, None).0, 401);
    assert_eq!((log_in(&mut ntlm_client), contact(&mut ntlm_client, None).0), (200, 200));
    // Whoever goes on under a nonce is looked up anew, by the rules that are now.
    (0..2).for_each(|_| respond(&own));
    dialects.iter().for_each(|(file, text)| site.write(file, text));
    assert_eq!(hang_up(&mut gate), (TAKEN.to_owned(), Vec::new()));
    assert_eq!(contact(&mut ntlm_client, None).0, 401);
    (0..2).for_each(|_| respond(&none));
}

#[test]
fn a_command_reaches_a_gate_that_has_just_started_or_is_about_to() {
    let site = site();
    for number in 0..5 {
        // With the start, and as soon as the gate says that it listens.
        let name = format!("early-{number}");
        let mut early = site.command(&["user", "add", &name, "--generate"]);
        let early = std::thread::spawn(move || early.output());
        let gate = site.start();
        let name = format!("late-{number}");
        let late = site.command(&["user", "add", &name, "--generate"]).output();
        for output in [early.join().unwrap(), late] {
            let output = output.unwrap();
            assert!(output.status.success(), "{number}: {}", String::from_utf8_lossy(&output.stderr));
        }
        gate.kill();
    }
    let listed = site.command(&["user", "list"]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for number in 0..5 {
        assert!(
            listed.contains(&format!("early-{number}")) && listed.contains(&format!("late-{number}")),
            "{listed}"
        );
    }
}
