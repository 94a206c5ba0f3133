//! What whoever runs a gate does with the binary, and what it tells him.

mod lines;
mod store;
mod tls;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;
use countersign_identity::equivalents::WeakerScheme;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::ntlm;
use crate::process::{CONFIG, Gate, Site, free_port};
use crate::raw::{self, Client};
use crate::slapd::{BASE, SEARCHER, Slapd, person};
use crate::threats::basic;

/// Longer than a gate waits for anything when it ends, on a machine that compiles beside it.
const DEADLINE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "wonderland-7";
const MADE: &str = "made the first administrator; the password is in the file, for its owner alone: delete it when it is read";

/// What a command answers on standard output, as JSON.
fn told(site: &Site, arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } =
        site.command(&[arguments, &["--output", "json"]].concat()).output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

#[test]
fn a_stolen_key_goes_before_its_application_comes_back() {
    let site = Site::new(vec![AccountDraft::new("applications", "till")]);
    let key = |label: &str| {
        let made = told(&site, &["key", "create", "--api", "push", "--owner", "till", "--label", label]);
        made["key"]["id"].as_str().unwrap().to_owned()
    };
    let (stolen, kept) = (key("stolen"), key("kept"));
    told(&site, &["user", "disable", "till", "--kind", "applications"]);
    let keys = told(&site, &["key", "list", "--api", "push"]);
    let states: Vec<_> = keys.as_array().unwrap().iter().map(|key| (&key["id"], &key["state"])).collect();
    assert_eq!(states.len(), 2);
    assert!(states.iter().all(|(_, state)| **state == "disabled"), "{keys}");
    let refused = site.command(&["key", "create", "--api", "push", "--owner", "till"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("the application till is disabled"), "{why}");
    told(&site, &["key", "delete", "--api", "push", &stolen]);
    let rotated = told(&site, &["key", "rotate", "--api", "push", &kept]);
    assert_eq!(rotated["key"]["state"], "disabled");
    told(&site, &["user", "enable", "till", "--kind", "applications"]);
    let left = told(&site, &["key", "list", "--api", "push"]);
    assert_eq!((left.as_array().unwrap().len(), &left[0]["state"]), (1, &Value::from("enabled")), "{left}");
}

fn alice() -> Vec<AccountDraft> {
    vec![AccountDraft { password: Some(Secret::new(PASSWORD)), ..AccountDraft::new("users", "alice") }]
}

/// A site whose configuration says something else in one place.
fn edited(site: &Site, from: &str, to: &str) {
    let text = site.configuration();
    assert!(text.contains(from), "{text}");
    site.write(CONFIG, &text.replacen(from, to, 1));
}

/// Asks for a contact; the status.
fn ask(address: SocketAddr, host: &str, proof: &str) -> u16 {
    let lines = ["GET /api/v1/Contact/2 HTTP/1.1".to_owned(), format!("Host: {host}"), proof.to_owned()];
    Client::new(address).exchange(0, &raw::bytes(&lines, "")).unwrap().head.status()
}

fn by_password(user: &str, password: &str) -> String {
    format!("Authorization: {}", basic(user, password))
}

/// What a start that fails says, and nothing else.
fn fails(site: &Site) -> String {
    let Output { status, stdout, stderr } = site.command(&["serve"]).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && stdout.is_empty(), "{said}");
    said
}

/// A service manager writes down what a program prints: that is a log.
#[test]
fn the_first_password_is_in_a_file_and_in_no_log() {
    let site = Site::new(Vec::new());
    // Whoever cannot listen makes nobody: his password would be lost.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    edited(&site, "address = \"127.0.0.1:0\"", &format!("address = \"{port}\""));
    let said = fails(&site);
    assert!(said.contains(&port.to_string()) && !said.contains(MADE), "{said}");
    assert_eq!(told(&site, &["user", "list"]), Value::Array(Vec::new()));
    edited(&site, &port.to_string(), "127.0.0.1:0");
    let mut gate = site.start();
    let made = gate.said(MADE);
    let file = made["file"].as_str().unwrap().to_owned();
    assert!(file.starts_with(site.store().to_str().unwrap()), "{file}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let password = std::fs::read_to_string(&file).unwrap();
    let password = password.trim_end();
    assert_eq!(ask(gate.address, "crm.example", &by_password("admin", password)), 200);
    assert_eq!(ask(gate.address, "crm.example", &by_password("admin", "something-else-9")), 401);
    gate.terminate();
    gate.said("stopped");
    assert!(!gate.log().contains(password), "{}", gate.log());
    // The next start makes nobody, and touches nothing.
    std::fs::remove_file(&file).unwrap();
    let mut gate = site.start();
    gate.terminate();
    gate.said("stopped");
    assert!(!gate.log().contains(MADE) && !std::path::Path::new(&file).exists());
}

/// A terminal: its near end, for a program, and the lines that come out of the other one.
fn terminal() -> (Stdio, Receiver<String>) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let far = openpt(flags).unwrap();
    grantpt(&far).unwrap();
    unlockpt(&far).unwrap();
    let near = ptsname(&far, Vec::new()).unwrap();
    let near = File::options().read(true).write(true).open(near.to_str().unwrap()).unwrap();
    let (said, lines) = channel();
    std::thread::spawn(move || {
        // Once nobody has the near end, reading is an error.
        let lines = BufReader::new(File::from(far)).lines().map_while(Result::ok);
        lines.take_while(|line| said.send(line.clone()).is_ok()).for_each(drop);
    });
    (near.into(), lines)
}

/// Whoever sits at a terminal reads the password once, and nothing keeps it.
#[test]
fn the_first_password_is_shown_at_a_terminal_and_nowhere_else() {
    let site = Site::new(Vec::new());
    let (near, lines) = terminal();
    let mut gate = site.start_at(near);
    let shown = lines.recv_timeout(DEADLINE).unwrap();
    let password = shown.strip_prefix("The first administrator is made: user admin with password ");
    let password = password.and_then(|rest| rest.strip_suffix("   (shown only now)"));
    let password = password.unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(ask(gate.address, "crm.example", &by_password("admin", password)), 200);
    assert_eq!(ask(gate.address, "crm.example", &by_password("admin", "something-else-9")), 401);
    gate.terminate();
    gate.said("stopped");
    let log = gate.log();
    assert!(!log.contains(password) && !log.contains(MADE), "{log}");
    let beside = site.store().parent().unwrap().read_dir().unwrap();
    for file in beside.map(|file| file.unwrap().path()) {
        assert!(!file.display().to_string().contains("first-administrator"), "{}", file.display());
        let kept = std::fs::read(&file).unwrap_or_default();
        let is_in_it = kept.windows(password.len()).any(|bytes| bytes == password.as_bytes());
        assert!(!is_in_it, "{}", file.display());
    }
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), Vec::<String>::new(), "shown once");
    // The next start shows nothing.
    let (near, lines) = terminal();
    let mut gate = site.start_at(near);
    gate.terminate();
    gate.said("stopped");
    drop(gate);
    assert_eq!(lines.iter().collect::<Vec<_>>(), Vec::<String>::new());
}

/// What a check says of a configuration: keys with lines and messages.
fn problems(site: &Site) -> Vec<(String, u64, String)> {
    let checked = site.command(&["check", "--output", "json"]).output().unwrap();
    let text = if checked.stdout.is_empty() { checked.stderr } else { checked.stdout };
    let answer: Value =
        serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&text)));
    let problem = |problem: &Value| {
        let text = |key: &str| problem[key].as_str().unwrap().to_owned();
        (text("key"), problem["line"].as_u64().unwrap(), text("message"))
    };
    answer["problems"].as_array().unwrap().iter().map(problem).collect()
}

#[test]
fn what_is_called_good_can_be_started() {
    let site = Site::new(Vec::new());
    assert_eq!(problems(&site), []);
    let good = site.configuration();
    site.write("notes.txt", "no database at all\n");
    site.write("short", "x");
    site.write("empty.db", "");
    let long = format!("{}.db", "x".repeat(110));
    for (path, why) in [
        (&*long, "no socket can be made"),
        ("none/gate.db", "could not look into the folder"),
        (".", "is a folder"),
        ("notes.txt", "is no database"),
        ("short", "is no database"),
        ("notes.txt/gate.db", "is no folder"),
    ] {
        site.write(CONFIG, &good.replace("path = \"gate.db\"", &format!("path = \"{path}\"")));
        let found = problems(&site);
        let [(key, line, message)] = &found[..] else { panic!("{path}: {found:?}") };
        assert!(key == "store.path" && message.contains(why), "{path}: {found:?}");
        let written = site.configuration();
        assert!(
            written.lines().nth(usize::try_from(*line).unwrap() - 1).unwrap().contains(path),
            "{found:?}"
        );
        assert!(fails(&site).contains(why), "{path}");
    }
    assert!(!site.store().with_file_name(&long).exists(), "nothing is made before it is told");
    for path in ["empty.db", "new.db"] {
        site.write(CONFIG, &good.replace("path = \"gate.db\"", &format!("path = \"{path}\"")));
        assert_eq!(problems(&site), [], "{path}");
    }
    // A port that nobody has, twice.
    let free = free_port();
    for (one, other) in [
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("[::]", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        let second = format!("[[listener]]\nname = \"more\"\naddress = \"{other}:{free}\"\n[administration]");
        let text = good.replace("127.0.0.1:0\"\n[administration]", &format!("{one}:{free}\"\n{second}"));
        site.write(CONFIG, &text);
        let found = problems(&site);
        assert!(
            matches!(&found[..], [(key, 6, _)] if key == "listener[1].address"),
            "{one} {other}: {found:?}"
        );
    }
    let second = format!("[[listener]]\nname = \"more\"\naddress = \"127.0.0.2:{free}\"\n[administration]");
    site.write(
        CONFIG,
        &good.replace("127.0.0.1:0\"\n[administration]", &format!("127.0.0.1:{free}\"\n{second}")),
    );
    assert_eq!(problems(&site), [], "two addresses of one machine");
}

#[test]
fn a_port_of_the_administration_that_is_taken_is_named_with_its_key() {
    let site = Site::new(Vec::new());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    edited(&site, "listen = \"127.0.0.1:0\"", &format!("listen = \"{port}\""));
    let said = fails(&site);
    assert!(said.contains(&port.to_string()) && said.contains("administration.listen"), "{said}");
}

/// Whoever reads a log stops now and then. The gate goes on, says how much was lost, and ends when it is told to.
#[test]
fn a_log_that_nobody_reads_keeps_no_gate_from_ending() {
    let site = Site::new(alice());
    edited(&site, "access = false", "access = true");
    let mut child = site.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut address = None;
    while address.is_none() {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "listening for clients" {
            address = line["listener.address"].as_str().unwrap().parse::<SocketAddr>().ok();
        }
    }
    // More than a pipe holds.
    let path = "x".repeat(4000);
    let mut client = Client::new(address.unwrap());
    for _ in 0..64 {
        let lines = [
            format!("GET /api/v1/{path} HTTP/1.1"),
            "Host: crm.example".to_owned(),
            by_password("alice", PASSWORD),
        ];
        assert_eq!(client.exchange(0, &raw::bytes(&lines, "")).unwrap().head.status(), 200);
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let until = Instant::now() + DEADLINE;
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.success();
        }
        if Instant::now() >= until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it waits for who reads its log");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended);
    drop(said);
}

/// The access line of the next request.
fn line_of(gate: &mut Gate, host: &str, proof: &str) -> Value {
    ask(gate.address, host, proof);
    gate.says_next(&["request answered"])
}

#[test]
fn an_administrator_reads_who_it_was_and_who_was_tried() {
    let site = Site::new(alice());
    edited(&site, "access = false", "access = true");
    edited(&site, "[store]", "[lockout]\nfailures = 3\nfirst = \"10m\"\n[store]");
    let mut gate = site.start();
    let shown = |site: &Site| told(site, &["user", "show", "alice"]);
    let right = line_of(&mut gate, "crm.example", &by_password("alice", PASSWORD));
    assert_eq!(
        (&right["account.kind"], &right["account.name"]),
        (&"users".into(), &"alice".into()),
        "{right}"
    );
    assert_eq!(right["account.id"], shown(&site)["id"], "{right}");
    assert_eq!(
        (&right["auth.credential"], &right["auth.scheme"]),
        (&"basic".into(), &"password".into()),
        "{right}"
    );
    assert!(right.get("auth.tried.name").is_none() && right.get("http.host").is_none(), "{right}");
    assert!(shown(&site)["locked_until"].is_null());
    for cause in ["wrong password", "wrong password", "wrong password", "locked after failed attempts"] {
        let wrong = line_of(&mut gate, "crm.example", &by_password("Alice", "not-hers-at-all"));
        assert_eq!(
            (&wrong["auth.reason"], &wrong["auth.cause"]),
            (&"wrong-password".into(), &cause.into()),
            "{wrong}"
        );
        assert_eq!(
            (&wrong["auth.tried.kind"], &wrong["auth.tried.name"]),
            (&"users".into(), &"alice".into()),
            "{wrong}"
        );
        assert_eq!(wrong["auth.credential"], "basic", "{wrong}");
        assert!(wrong.get("account.name").is_none() && wrong.get("account.id").is_none(), "{wrong}");
    }
    // What nobody has is a stranger's word: a password that was typed into the wrong field, perhaps.
    let nobody = line_of(&mut gate, "crm.example", &by_password("hunter2-hunter2", "x-x-x-x-x-x"));
    assert_eq!(nobody["auth.cause"], "no such user", "{nobody}");
    assert!(nobody.get("auth.tried.name").is_none() && !nobody.to_string().contains("hunter2"), "{nobody}");
    let lost = line_of(&mut gate, "nowhere.example", "Accept: */*");
    assert_eq!(
        (&lost["http.host"], &lost["auth.reason"]),
        (&"nowhere.example".into(), &"not-found".into()),
        "{lost}"
    );
    let until = shown(&site)["locked_until"].as_str().unwrap().to_owned();
    let text = String::from_utf8(site.command(&["user", "show", "alice"]).output().unwrap().stdout).unwrap();
    assert!(text.contains(&format!("locked until {until}")), "{text}");

    told(&site, &["user", "disable", "alice"]);
    let events = told(&site, &["audit"]);
    let events: Vec<_> =
        events.as_array().unwrap().iter().map(|event| (&event["event"], &event["actor"])).collect();
    assert_eq!(events[0], (&"account.disabled".into(), &"command line".into()), "{events:?}");
    assert_eq!(events[1], (&"account.locked".into(), &"anonymous".into()), "{events:?}");
    let last = told(&site, &["audit", "--limit", "2"]);
    assert_eq!(last.as_array().unwrap().len(), 2);
    assert_eq!(
        (&last[1]["object"], &last[1]["address"]),
        (&"users/alice".into(), &"127.0.0.1".into()),
        "{last}"
    );
    let text = String::from_utf8(site.command(&["audit", "--limit", "1"]).output().unwrap().stdout).unwrap();
    assert!(text.contains("account.disabled") && !text.contains("account.locked"), "{text}");
}

/// The access line of a whole exchange of NTLM.
fn line_of_ntlm(gate: &mut Gate, user: &str, password: &str) -> Value {
    let mut client = Client::new(gate.address);
    let mut show = |token: &str| {
        let lines = ["GET /api/v1/Contact/2 HTTP/1.1".to_owned(), "Host: crm.example".to_owned()];
        let lines = [&lines[..], &[format!("Authorization: NTLM {token}")]].concat();
        client.exchange(0, &raw::bytes(&lines, "")).unwrap().head
    };
    let head = show(&ntlm::begin());
    let challenge = head.header("www-authenticate").unwrap().strip_prefix("NTLM ").unwrap().to_owned();
    let begun = gate.says_next(&["request answered"]);
    assert!(begun.get("auth.tried.name").is_none(), "it named nobody yet: {begun}");
    show(&ntlm::answer(&challenge, user, password));
    gate.says_next(&["request answered"])
}

#[test]
fn an_administrator_reads_whom_ntlm_named() {
    let account = |name: &str| AccountDraft {
        password: Some(Secret::new(PASSWORD)),
        weaker: vec![WeakerScheme::Ntlm],
        ..AccountDraft::new("users", name)
    };
    let site = Site::new(vec![account("alice"), account("bob@example.com")]);
    edited(&site, "access = false", "access = true");
    edited(&site, "deployment = \"onsite\"", "deployment = \"onsite\"\nenable = [\"ntlm\"]");
    edited(&site, "[[api.route]]", "[api.ntlm]\ndomain = \"CORP\"\n[[api.route]]");
    let mut gate = site.start();
    let right = line_of_ntlm(&mut gate, "alice", PASSWORD);
    assert_eq!((&right["account.name"], &right["auth.scheme"]), (&"alice".into(), &"ntlm".into()), "{right}");
    assert!(right.get("auth.tried.name").is_none(), "{right}");
    let wrong = line_of_ntlm(&mut gate, "Alice", "not-hers-at-all");
    assert_eq!(
        (&wrong["auth.credential"], &wrong["auth.cause"]),
        (&"ntlm".into(), &"ntlm: the proof is wrong".into()),
        "{wrong}"
    );
    assert_eq!(
        (&wrong["auth.tried.kind"], &wrong["auth.tried.name"]),
        (&"users".into(), &"alice".into()),
        "{wrong}"
    );
    assert!(wrong.get("account.name").is_none(), "{wrong}");
    let addressed = line_of_ntlm(&mut gate, "bob@example.com", "not-his-at-all");
    assert_eq!(addressed["auth.tried.kind"], "users", "{addressed}");
    let nobody = line_of_ntlm(&mut gate, "hunter2-hunter2", "x-x-x-x-x-x");
    assert!(nobody.get("auth.tried.kind").is_none(), "{nobody}");
    for line in [addressed, nobody] {
        assert!(line.get("auth.tried.name").is_none(), "{line}");
        assert!(!line.to_string().contains("hunter2") && !line.to_string().contains("bob"), "{line}");
    }
}

/// Where a gate runs, what a file says goes through its socket in pieces.
#[test]
fn a_long_file_of_objects_is_imported_beside_a_running_gate() {
    let apis = |upstream| {
        format!(
            "[[api]]\nname = \"shop\"\ndialect = \"voltmx\"\ndeployment = \"onprem\"\nat = [\"/\"]\n\
             upstream = \"http://{upstream}\"\n[[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n\
             [api.object.order]\nowner = \"customer\"\n"
        )
    };
    let site = Site::with(apis, Vec::new());
    let gate = site.start();
    // Short ones, more than one order holds, and long ones, of which the texts alone are too many.
    let long = "ö\"".repeat(60);
    let line = |number: usize| match number {
        0..6000 => format!("{number},4711\n"),
        _ => format!("{number}-{long},{long}\n"),
    };
    let text: String = (0..8000).map(line).collect();
    assert!(text.len() > 256 * 1024);
    site.write("orders.csv", &text);
    let file = site.store().with_file_name("orders.csv");
    let of = ["--api", "shop", "--kind", "order"];
    let import = [&["object", "import"], &of[..], &[file.to_str().unwrap()]].concat();
    assert_eq!(told(&site, &import)["imported"], 8000);
    for (number, owner) in [(0, "4711"), (4999, "4711"), (5999, "4711"), (7999, &long)] {
        let id = line(number).split(',').next().unwrap().to_owned();
        let shown = told(&site, &[&["object", "show"], &of[..], &[&id]].concat());
        assert_eq!(
            (&shown["id"], &shown["owner"]),
            (&Value::from(id), &Value::from(format!("customer={owner}")))
        );
    }
    drop(gate);
}

#[test]
fn who_is_known_elsewhere_gets_an_account_without_a_password() {
    let slapd = Slapd::start(&[person("rosa", "rosapw"), person("alice", "alicepw")]);
    let (name, secret) = SEARCHER;
    let directory = format!(
        "[directory.corp.ldap]\nservers = [\"ldap://{}\"]\nbase = \"{BASE}\"\nfilter = \"(uid={{user}})\"\n\
         search_as = {{ name = \"{name}\", password_file = \"ldap.password\" }}\n",
        slapd.address()
    );
    let api = |upstream| {
        format!(
            "{directory}[[api]]\nname = \"push\"\ndialect = \"voltmx\"\nat = [\"push.example/\"]\n\
             upstream = \"http://{upstream}\"\n[[api.directory]]\nname = \"corp\"\n\
             [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
        )
    };
    let site = Site::with(api, Vec::new());
    site.write("ldap.password", &format!("{secret}\n"));
    let gate = site.start();
    let log_in = |user: &str, password: &str| {
        let body = serde_json::json!({ "userid": user, "password": password }).to_string();
        let head = "POST /authService/accounts/login HTTP/1.1\r\nHost: push.example\r\nContent-Type: application/json";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        Client::new(gate.address).exchange(0, request.as_bytes()).unwrap().head.status()
    };
    assert_eq!(log_in("rosa", "rosapw"), 401, "nobody made an account, and the directory may not");
    let added = told(&site, &["user", "add", "rosa", "--no-password"]);
    assert_eq!(added, serde_json::json!({ "kind": "users", "name": "rosa" }));
    assert_eq!([log_in("rosa", "x"), log_in("rosa", "rosapw")], [401, 200]);
    told(&site, &["user", "add", "alice", "--generate"]);
    assert_eq!(log_in("alice", "alicepw"), 401, "hers has a password of its own");
    let events = told(&site, &["audit"]);
    let tied = events.as_array().unwrap().iter().filter(|event| event["event"] == "account.tied");
    assert_eq!(tied.map(|event| event["object"].clone()).collect::<Vec<_>>(), ["users/rosa"]);
}
