//! Kerberos with MIT's own KDC and curl: throwaway processes in a folder, and the gate as a process before them.
//!
//! Needs Debian's krb5-kdc, krb5-admin-server, krb5-user and curl, which `./test` installs.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::time::Clock as _;
use countersign_identity::accounts::AccountDraft;
use countersign_identity::world::WallClock;
use tempfile::TempDir;

use crate::process::{CONFIG, Gate, Site, free_port};
use crate::raw::{Answer, Client};
use crate::transcript::root;

const REALM: &str = "EXAMPLE.TEST";
/// Creating a database and reaching a new process take well under a second each where nothing else runs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A realm: its KDC, the keys of one service, and clients of it.
struct Realm {
    folder: TempDir,
    kdc: Option<Child>,
    port: u16,
}

impl Realm {
    /// Starts a realm with the users alice and mallory, and the service `HTTP/localhost`.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut realm = Self { folder, kdc: None, port };
        let at = |name: &str| realm.path(name).display().to_string();
        let client = format!(
            "[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\ndns_lookup_realm = false\n\
             rdns = false\ndns_canonicalize_hostname = false\nudp_preference_limit = 1\n\
             [realms]\n{REALM} = {{\n kdc = 127.0.0.1:{port}\n}}\n[domain_realm]\nlocalhost = {REALM}\n"
        );
        let server = format!(
            "[kdcdefaults]\nkdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}\n\
             [realms]\n{REALM} = {{\n database_name = {}\n key_stash_file = {}\n\
             supported_enctypes = aes256-cts-hmac-sha1-96:normal\n}}\n",
            at("principal"),
            at("stash")
        );
        std::fs::write(realm.path("krb5.conf"), client).unwrap();
        std::fs::write(realm.path("kdc.conf"), server).unwrap();
        realm.run("kdb5_util", "krb5-kdc", &["create", "-s", "-r", REALM, "-P", "masterpw"], "");
        let keytab = format!("ktadd -k {} HTTP/localhost", at("http.keytab"));
        for query in [
            "addprinc -pw alicepw alice",
            "addprinc -pw mallorypw mallory",
            "addprinc -randkey HTTP/localhost",
            &keytab,
        ] {
            realm.run("kadmin.local", "krb5-admin-server", &["-q", query], "");
        }
        realm.open();
        realm
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        // Debian's servers are where only root looks.
        let place = ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(program));
        let mut command = Command::new(place.iter().find(|path| path.exists()).unwrap_or(&place[1]));
        command
            .env("KRB5_CONFIG", self.path("krb5.conf"))
            .env("KRB5_KDC_PROFILE", self.path("kdc.conf"))
            .env("KRB5CCNAME", format!("FILE:{}", self.path("cache").display()));
        command
    }

    /// Runs a program of a Debian package to its end.
    #[track_caller]
    fn run(&self, program: &str, package: &str, arguments: &[&str], input: &str) {
        let child = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{program}, of Debian's package {package}: {error}"));
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the KDC and waits until it takes connections.
    fn open(&mut self) {
        let mut command = self.command("krb5kdc");
        command.arg("-n").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let kdc = command.spawn();
        let kdc = kdc.unwrap_or_else(|error| panic!("krb5kdc, of Debian's package krb5-kdc: {error}"));
        let kdc = self.kdc.insert(kdc);
        let until = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = kdc.try_wait().unwrap();
            assert!(ended.is_none(), "the KDC has ended: {ended:?}");
            assert!(Instant::now() < until, "the KDC takes no connections");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the KDC.
    fn close(&mut self) {
        if let Some(mut kdc) = self.kdc.take() {
            kdc.kill().unwrap();
            kdc.wait().unwrap();
        }
    }

    /// Lets a user log in at his desk.
    #[track_caller]
    fn log_in(&self, user: &str, password: &str) {
        self.run("kinit", "krb5-user", &[user], &format!("{password}\n"));
    }

    /// A token for the service, bound to a TLS connection or not.
    fn token(&self, binding: Option<&[u8]>) -> String {
        let binding = binding.map(|data| data.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let mut command = self.command("python3");
        let output = command
            .arg(root().join("clients/python/ticket.py"))
            .arg("HTTP@localhost")
            .args(binding)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// `curl --negotiate` with what the user at the desk has: status, headers and body, and what curl sent.
    fn curl(&self, gate: SocketAddr, more: &[&str], path: &str) -> Curl {
        let output = self
            .command("curl")
            .args(["-s", "-i", "-v", "--negotiate", "-u", ":", "--max-time", "60"])
            .args(more)
            .arg(format!("http://localhost:{}{path}", gate.port()))
            .output()
            .expect("curl, of Debian's package curl");
        Curl {
            answer: String::from_utf8_lossy(&output.stdout).into_owned(),
            talk: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        self.close();
    }
}

/// What became of a run of curl.
struct Curl {
    answer: String,
    talk: String,
}

impl Curl {
    /// The last status.
    fn status(&self) -> u16 {
        let mut lines = self.answer.lines().filter(|line| line.starts_with("HTTP/"));
        lines
            .next_back()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    /// The last token that it sent.
    fn token(&self) -> Option<String> {
        let mut sent = self.talk.lines().filter_map(|line| line.split_once("uthorization: Negotiate "));
        sent.next_back().map(|(_, token)| token.trim().to_owned())
    }

    /// The server's own proof.
    fn proof(&self) -> Option<&str> {
        let mut lines = self.answer.lines().filter_map(|line| line.split_once(": Negotiate "));
        lines.next_back().map(|(_, token)| token.trim())
    }

    #[track_caller]
    fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status(), status, "{}\n{}", self.answer, self.talk);
        self
    }
}

/// An API beside others, told apart by its prefix; `kerberos` follows its keytab.
fn api(realm: &Realm, upstream: SocketAddr, name: &str, kerberos: &str) -> String {
    format!(
        "[[api]]\nname = \"{name}\"\ndialect = \"superoffice\"\nat = [\"/{name}\"]\nenable = [\"negotiate\"]\n\
         upstream = \"http://{upstream}\"\n[api.kerberos]\nkeytab = \"{}\"\n{kerberos}\n\
         [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n",
        realm.path("http.keytab").display()
    )
}

const PATH: &str = "/api/v1/Contact/2";

/// A gate with an account for alice, and none for mallory.
fn gate(realm: &Realm, replay_cache: &Path, more: &str) -> (Site, Gate) {
    let site = site(realm, more);
    let gate = started(&site, &realm.path("krb5.conf"), replay_cache);
    (site, gate)
}

fn started(site: &Site, settings: &Path, replay_cache: &Path) -> Gate {
    site.start_with(&[
        ("KRB5_CONFIG", settings.display().to_string()),
        ("KRB5RCACHENAME", format!("file2:{}", replay_cache.display())),
    ])
}

fn site(realm: &Realm, more: &str) -> Site {
    let mut alice = AccountDraft::new("users", "alice");
    alice.password = Some(countersign_auth::secret::Secret::new("wonderland-7"));
    Site::with(
        |upstream| {
            [
                more.to_owned(),
                api(realm, upstream, "desk", &format!("realms = [\"{REALM}\"]")),
                api(
                    realm,
                    upstream,
                    "open",
                    &format!("realms = [\"{REALM}\"]\ncreate = {{ roles = [\"guest\"] }}"),
                ),
                api(realm, upstream, "other", "realms = [\"OTHER.TEST\"]"),
                api(
                    realm,
                    upstream,
                    "bound",
                    &format!("realms = [\"{REALM}\"]\nchannel_binding = \"required\""),
                ),
                api(
                    realm,
                    upstream,
                    "lenient",
                    &format!("realms = [\"{REALM}\"]\nchannel_binding = \"if-present\""),
                ),
            ]
            .concat()
        },
        vec![alice],
    )
}

/// A request with a token, on a connection of its own.
fn shown(gate: &Gate, api: &str, token: &str) -> Answer {
    shown_at(gate.address, api, token)
}

fn shown_at(gate: SocketAddr, api: &str, token: &str) -> Answer {
    let request =
        format!("GET /{api}{PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Negotiate {token}\r\n\r\n");
    Client::new(gate).exchange(0, request.as_bytes()).unwrap()
}

#[test]
fn tickets_let_in_whom_they_name_once_and_where_his_realm_is_known() {
    let mut realm = Realm::start();
    let (_site, gate) = gate(&realm, &realm.path("replays"), "");
    let desk = format!("/desk{PATH}");
    // Nobody is logged in at the desk, or with a wrong password.
    realm.curl(gate.address, &[], &desk).is(401);
    realm.log_in("alice", "alicepw");
    let curl = realm.curl(gate.address, &[], &desk);
    assert!(STANDARD.decode(curl.is(200).proof().unwrap()).unwrap().len() > 16, "{}", curl.answer);
    // What curl sent is worth nothing to whoever heard it, here or at another API.
    let token = curl.token().unwrap();
    assert_eq!(shown(&gate, "desk", &token).head.status(), 401);
    assert_eq!(shown(&gate, "open", &token).head.status(), 401);
    // A POST, a second request on the connection without another proof, and HTTP/2.
    let twice = format!("http://localhost:{}{desk}", gate.address.port());
    realm.curl(gate.address, &["--data", "x=1"], &desk).is(200);
    let curl = realm.curl(gate.address, &[&twice], &desk);
    assert_eq!(curl.is(200).answer.matches(" 200 ").count(), 2, "{}", curl.answer);
    assert_eq!(curl.talk.matches("uthorization: Negotiate ").count(), 1, "{}", curl.talk);
    realm.curl(gate.address, &["--http2-prior-knowledge"], &desk).is(200);
    // So it is on a connection that others may use: curl is told to prove itself again, and does.
    let curl = realm.curl(gate.address, &["-H", "Via: 1.1 pool", &twice], &desk);
    assert_eq!(curl.is(200).answer.matches(" 200 ").count(), 2, "{}\n{}", curl.answer, curl.talk);
    let sent: Vec<&str> =
        curl.talk.lines().filter(|line| line.contains("uthorization: Negotiate ")).collect();
    assert!(sent.len() == 2 && sent[0] != sent[1], "{}", curl.talk);
    // Another realm's alice is not this one's; a channel binding cannot be had in clear.
    realm.curl(gate.address, &[], &format!("/other{PATH}")).is(401);
    realm.curl(gate.address, &[], &format!("/bound{PATH}")).is(401);
    // Whoever has no account is refused, or gets one where that is said.
    realm.log_in("mallory", "mallorypw");
    realm.curl(gate.address, &[], &desk).is(401);
    realm.curl(gate.address, &[], &format!("/open{PATH}")).is(200);
    realm.curl(gate.address, &[], &desk).is(200);
    // The KDC is gone: tickets that were given are still good, and so are the gate's own accounts.
    realm.log_in("alice", "alicepw");
    realm.curl(gate.address, &[], &desk).is(200);
    realm.close();
    realm.curl(gate.address, &[], &desk).is(200);
    let basic = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", "alice:wonderland-7"])
        .arg(&twice)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&basic.stdout), "200");
}

#[test]
fn a_ticket_that_is_bound_to_tls_is_good_there_alone() {
    let realm = Realm::start();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(realm.path("tls.pem"), certificate.cert.pem()).unwrap();
    std::fs::write(realm.path("tls.key"), certificate.signing_key.serialize_pem()).unwrap();
    let listener = format!(
        "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"{}\", key = \"{}\" }}\n",
        realm.path("tls.pem").display(),
        realm.path("tls.key").display()
    );
    let (_site, mut gate) = gate(&realm, &realm.path("replays"), &listener);
    let port = gate.listens_at("tls").port();
    realm.log_in("alice", "alicepw");
    // ECDSA with SHA-256 signed it (RFC 5929 section 4.1).
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.cert.der());
    let own = [b"tls-server-end-point:", hash.as_ref()].concat();
    let other = [&b"tls-server-end-point:"[..], &[7; 32]].concat();
    let check = |api: &str, binding: Option<&[u8]>, status: &str| {
        let token = realm.token(binding);
        let output = Command::new("curl")
            .args(["-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", "-H"])
            .arg(format!("Authorization: Negotiate {token}"))
            .arg(format!("https://localhost:{port}/{api}{PATH}"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), status, "{api} {binding:?}");
    };
    check("bound", Some(&own), "200");
    check("bound", Some(&other), "401");
    check("bound", None, "401");
    check("lenient", Some(&own), "200");
    check("lenient", Some(&other), "401");
    check("lenient", None, "200");
    check("desk", Some(&other), "200");
    // What was made for TLS is nothing in clear.
    assert_eq!(shown(&gate, "bound", &realm.token(Some(&own))).head.status(), 401);
}

#[test]
fn a_ticket_that_is_cut_or_changed_is_refused() {
    let realm = Realm::start();
    let (_site, gate) = gate(&realm, &realm.path("replays"), "");
    realm.log_in("alice", "alicepw");
    let token = realm.curl(gate.address, &[], &format!("/other{PATH}")).token().unwrap();
    let bytes = STANDARD.decode(&token).unwrap();
    for at in [1, 8, 20, 60, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(shown(&gate, "desk", &STANDARD.encode(&bytes[..at])).head.status(), 401, "{at} bytes");
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        assert_eq!(shown(&gate, "desk", &STANDARD.encode(&changed)).head.status(), 401, "byte {at}");
    }
    realm.curl(gate.address, &[], &format!("/desk{PATH}")).is(200);
}

#[test]
fn a_replay_that_could_not_be_seen_is_neither_let_in_nor_refused() {
    let realm = Realm::start();
    let (_site, gate) = gate(&realm, Path::new("/nowhere/replays"), "");
    realm.log_in("alice", "alicepw");
    let desk = format!("/desk{PATH}");
    realm.curl(gate.address, &[], &desk).is(503);
}

/// A gate that says in its log why it refuses.
fn talking(realm: &Realm, settings: &Path) -> (Site, Gate) {
    let site = site(realm, "");
    site.write(CONFIG, &site.configuration().replace("access = false", "access = true"));
    let gate = started(&site, settings, &realm.path("replays"));
    (site, gate)
}

/// Why the next request is refused.
#[track_caller]
fn refused(gate: &mut Gate, token: &str) -> String {
    assert_eq!(shown(gate, "desk", token).head.status(), 401);
    gate.says_next(&["request answered"])["auth.cause"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn keys_are_read_with_each_ticket_and_what_was_made_for_others_is_refused() {
    let realm = Realm::start();
    let (_site, mut gate) = talking(&realm, &realm.path("krb5.conf"));
    realm.log_in("alice", "alicepw");
    let before = realm.token(None);
    // The keys change at the KDC: the ticket at hand is good on, a new one is not before the keytab has the new keys.
    realm.run("kadmin.local", "krb5-admin-server", &["-q", "cpw -randkey HTTP/localhost"], "");
    assert_eq!(shown(&gate, "desk", &before).head.status(), 200);
    gate.says_next(&["request answered"]);
    realm.log_in("alice", "alicepw");
    let cause = refused(&mut gate, &realm.token(None));
    assert!(cause.contains("keytab"), "{cause}");
    let add = format!("ktadd -k {} HTTP/localhost", realm.path("http.keytab").display());
    realm.run("kadmin.local", "krb5-admin-server", &["-q", &add], "");
    realm.log_in("alice", "alicepw");
    assert_eq!(shown(&gate, "desk", &realm.token(None)).head.status(), 200, "without a restart");
    gate.says_next(&["request answered"]);
    // Nothing that the gate began with is another: its configuration can be read again.
    let taken = "took the configuration anew";
    gate.hang_up();
    let said = gate.says_next(&[taken, "the configuration was not taken; the gate runs on as it was"]);
    assert_eq!(said["message"], taken);
    // A keytab that is not there or not to be read says nothing about anybody.
    let (keytab, token) = (realm.path("http.keytab"), realm.token(None));
    let keys = std::fs::read(&keytab).unwrap();
    for content in [None, Some(&b""[..]), Some(b"\x05\x09 is no version"), Some(&keys[..2]), Some(b"<html>")]
    {
        match content {
            Some(content) => std::fs::write(&keytab, content).unwrap(),
            None => std::fs::remove_file(&keytab).unwrap(),
        }
        let answer = shown(&gate, "desk", &token);
        let cause = gate.says_next(&["request answered"])["auth.cause"].clone();
        assert_eq!(answer.head.status(), 503, "{content:?}: {cause}");
        assert!(cause.as_str().unwrap().contains("could not check a kerberos ticket"), "{cause}");
    }
    std::fs::write(&keytab, &keys).unwrap();
    assert_eq!(shown(&gate, "desk", &token).head.status(), 200, "it was not used up");
}

#[test]
fn a_clock_that_is_wrong_is_said_in_the_log() {
    let realm = Realm::start();
    // No second of difference is forgiven.
    let settings = std::fs::read_to_string(realm.path("krb5.conf")).unwrap();
    std::fs::write(realm.path("strict.conf"), settings.replacen('\n', "\nclockskew = 0\n", 1)).unwrap();
    let (_site, mut gate) = talking(&realm, &realm.path("strict.conf"));
    realm.log_in("alice", "alicepw");
    let token = realm.token(None);
    let made = WallClock.now().unix_secs();
    // The library asks time(2), which lags behind by a tick of the kernel: a tenth of a second into the next one.
    while WallClock.now().unix_secs() <= made {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
    let cause = refused(&mut gate, &token);
    assert!(cause.contains("Clock skew too great"), "{cause}");
}

#[test]
fn many_tickets_at_once_make_one_account() {
    let realm = Realm::start();
    let (site, gate) = gate(&realm, &realm.path("replays"), "");
    realm.log_in("mallory", "mallorypw");
    let tokens: Vec<String> = (0..8).map(|_| realm.token(None)).collect();
    std::thread::scope(|scope| {
        for token in &tokens {
            let at = gate.address;
            scope.spawn(move || assert_eq!(shown_at(at, "open", token).head.status(), 200, "{token}"));
        }
    });
    let users = site.command(&["user", "list"]).output().unwrap();
    let users = String::from_utf8_lossy(&users.stdout).into_owned();
    assert_eq!(users.lines().filter(|line| line.contains("mallory")).count(), 1, "{users}");
    // Each of them is used up, whichever thread looked at it.
    for token in &tokens {
        assert_eq!(shown(&gate, "open", token).head.status(), 401);
    }
}
