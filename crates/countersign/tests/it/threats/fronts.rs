//! B: identities that a front proved.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_auth::port::foreign::{FrontProof, FrontTerms};
use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::revocation::{BOUND, SLACK};
use super::{Ground, all, claims};
use crate::process::{Gate, Site};

const SECRET: &str = "a secret of the front's own";

const WORLD: &str = r#"
[[api]]
name = "crm"
dialect = "superoffice"
deployment = "onsite"
at = ["crm.example/"]
enable = ["front"]
[[api.route]]
at = "/**"
allow = "authenticated"

[[account]]
name = "ann"
password = "wonderland-7"
"#;

fn ground(network: &str) -> Ground {
    let ground = Ground::with("superoffice", WORLD);
    let terms = FrontTerms {
        networks: vec![network.parse().unwrap()],
        proof: FrontProof::Secret(Secret::new(SECRET)),
        domains: vec!["CORP".to_owned()],
        create: false,
    };
    ground.world.service().believe_front("crm", terms);
    ground
}

fn request(headers: &[(&str, &str)]) -> String {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("\n{name}: {value}")).collect();
    format!("GET /api/v1/Contact/2 HTTP/1.1\nHost: crm.example{}", lines.concat())
}

#[test]
fn b10_a_front_is_believed_by_its_network_and_its_proof_alone() {
    let user = ("X-Windows-User", "CORP\\ann");
    let proof = ("X-Front-Proof", SECRET);
    let near = ground("127.0.0.0/8");
    let received = near.send(&request(&[user, proof])).passed();
    assert_eq!(claims(&received)["sub"], "ann");
    for name in ["X-Windows-User", "X-Front-Proof"] {
        assert!(all(&received, name).is_empty(), "{name} reached the service");
    }
    for headers in [
        vec![user],
        vec![user, ("X-Front-Proof", "")],
        vec![user, ("X-Front-Proof", "a secret of the front's owm")],
        vec![user, ("X_Front_Proof", SECRET)],
        vec![("X_Windows_User", "CORP\\ann"), proof],
        vec![("X-Windows-User", "ann"), proof],
        vec![("X-Windows-User", "LAB\\ann"), proof],
        vec![("X-Windows-User", "CORP\\root"), proof],
        vec![("SM_USER", "ann"), proof],
        vec![("Remote-User", "CORP\\ann"), proof],
        vec![proof],
    ] {
        near.send(&request(&headers)).refused(401);
    }
    near.send(&request(&[user, user, proof])).refused(400);
    let far = ground("10.0.0.0/8");
    far.send(&request(&[user, proof])).refused(401);
    far.send(&request(&[user, proof, ("X-Forwarded-For", "10.0.0.1")])).refused(401);
    // A page of another site makes the browser come through the front, which logs it in.
    let post = request(&[user, proof, ("Sec-Fetch-Site", "cross-site")]).replacen("GET", "POST", 1);
    near.send(&post).refused(401);
    near.send(&post.replace("cross-site", "same-origin")).passed();
}

/// An authority, and certificates that it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
struct Shown {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn signs(&self, name: &str) -> Shown {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Shown { certificate: params.signed_by(&key, &self.0).unwrap().der().clone(), key }
    }
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Asks over TLS, with a certificate or without; the status, or why there is none.
fn ask(
    address: SocketAddr,
    gate: &CertificateDer<'static>,
    shown: Option<&Shown>,
    lines: &str,
) -> Result<u16, String> {
    ask_on(&mut connect(address, gate, shown), &format!("Connection: close\r\n{lines}"))
}

/// Asks on a connection, and reads all of the answer; its status, or why there is none.
fn ask_on(tls: &mut Tls, lines: &str) -> Result<u16, String> {
    let request = format!("GET /api/v1/Contact/2 HTTP/1.1\r\nHost: crm.example\r\n{lines}\r\n");
    tls.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte).map_err(|error| error.to_string())?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head
        .split_once("content-length: ")
        .map_or(0, |(_, rest)| rest.split_once('\r').unwrap().0.parse().unwrap());
    tls.read_exact(&mut vec![0; length]).map_err(|error| error.to_string())?;
    Ok(head[9..12].parse().unwrap())
}

fn connect(address: SocketAddr, gate: &CertificateDer<'static>, shown: Option<&Shown>) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(gate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some(Shown { certificate, key }) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            config.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
    };
    let name = ServerName::try_from("crm.example").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// What was taken of a configuration that is read again.
const TAKEN: &str = "took the configuration anew";
const KEPT_OUT: &str = "the configuration was not taken; the gate runs on as it was";

/// A gate that asks clients for certificates of an authority, and where.
fn asking(
    fronts: &Authority,
    gate: &rcgen::CertifiedKey<rcgen::KeyPair>,
    certificate: &str,
) -> (Site, Gate, SocketAddr) {
    let (site, running, [address]) = asking_at([("fronts.pem", fronts)], gate, certificate);
    (site, running, address)
}

/// A gate with a listener for each of these files of authorities, and where each is.
fn asking_at<const N: usize>(
    authorities: [(&str, &Authority); N],
    gate: &rcgen::CertifiedKey<rcgen::KeyPair>,
    certificate: &str,
) -> (Site, Gate, [SocketAddr; N]) {
    let listener = |(file, _): (&str, &Authority)| {
        format!(
            "[[listener]]\nname = \"{file}\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificate = \"gate.pem\", key = \"gate.key\", client_ca = \"{file}\" }}\n"
        )
    };
    let listeners = authorities.map(listener).concat();
    let site = Site::with(
        |upstream| {
            format!(
                "{listeners}[[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"/\"]\n\
                 enable = [\"front\"]\nupstream = \"http://{upstream}\"\n\
                 [api.front]\nnetworks = [\"127.0.0.0/8\"]\ncertificate = \"{certificate}\"\n\
                 [[api.route]]\nat = \"/api/v1/Channel\"\nallow = \"authenticated\"\nupgrade = true\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"authenticated\"\n"
            )
        },
        vec![AccountDraft {
            password: Some(Secret::new("wonderland-7")),
            ..AccountDraft::new("users", "ann")
        }],
    );
    site.write("gate.pem", &gate.cert.pem());
    site.write("gate.key", &gate.signing_key.serialize_pem());
    for (file, authority) in authorities {
        site.write(file, &authority.0.pem());
    }
    let mut running = site.start();
    let addresses = authorities.map(|(file, _)| {
        let line = running.says_next(&["listening for clients"]);
        assert_eq!(line["listener.name"], file);
        line["listener.address"].as_str().unwrap().parse().unwrap()
    });
    (site, running, addresses)
}

#[test]
fn b10_authorities_of_fronts_are_read_again() {
    let (fronts, others) = (Authority::new(), Authority::new());
    let gate = rcgen::generate_simple_self_signed(["crm.example".to_owned()]).unwrap();
    let name = "front.corp.example";
    let (site, mut running, address) = asking(&fronts, &gate, name);
    let (front, next) = (fronts.signs(name), others.signs(name));
    let ann = "X-Windows-User: ann\r\n";
    let ask = |shown: &Shown| ask(address, gate.cert.der(), Some(shown), ann);
    assert_eq!(ask(&front), Ok(200));
    assert!(ask(&next).is_err());
    let mut open = connect(address, gate.cert.der(), Some(&front));
    assert_eq!(ask_on(&mut open, ann), Ok(200));
    let mut reloaded = |authorities: &str, expected: &str| {
        site.write("fronts.pem", authorities);
        running.hang_up();
        assert_eq!(running.says_next(&[TAKEN, KEPT_OUT])["message"], expected);
    };
    // Both, while fronts change over; then the new one alone.
    reloaded(&[fronts.0.pem(), others.0.pem()].concat(), TAKEN);
    assert_eq!((ask(&front), ask(&next)), (Ok(200), Ok(200)));
    assert_eq!(ask_on(&mut open, ann), Ok(200), "none of its authorities has gone");
    let mut idle = connect(address, gate.cert.der(), Some(&front));
    assert_eq!(ask_on(&mut idle, ann), Ok(200));
    reloaded(&others.0.pem(), TAKEN);
    // What is open proves nothing any more, and is closed.
    assert!(matches!(ask_on(&mut open, ann), Ok(401) | Err(_)));
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0, "closed without being asked");
    assert!(ask(&front).is_err());
    assert_eq!(ask(&next), Ok(200));
    // A file that names nobody changes nothing.
    reloaded("", KEPT_OUT);
    assert!(ask(&front).is_err());
    assert_eq!(ask(&next), Ok(200));
}

/// What a client has open.
struct Channel {
    what: &'static str,
    wire: Box<dyn Open>,
}

/// A connection of either kind.
trait Open: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Open for Tls {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

impl Open for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Channel {
    /// Asks for something that goes on and on, and reads its beginning.
    fn open(what: &'static str, mut wire: Box<dyn Open>, who: &str) -> Self {
        let (path, upgrade, begun) = if what.contains("WebSocket") {
            let scheme = if what.ends_with("in clear") { "http" } else { "https" };
            let upgrade = format!(
                "Origin: {scheme}://crm.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            );
            ("Channel", upgrade, "HTTP/1.1 101 ")
        } else {
            ("Contact/2", String::new(), "HTTP/1.1 200 ")
        };
        let request = format!("GET /api/v1/{path} HTTP/1.1\r\nHost: crm.example\r\n{who}{upgrade}\r\n");
        wire.write_all(request.as_bytes()).unwrap();
        let mut channel = Self { what, wire };
        let head = channel.until("first");
        assert!(head.starts_with(begun), "{what}: {head}");
        channel
    }

    /// Everything up to a word.
    fn until(&mut self, word: &str) -> String {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(word.as_bytes()) {
            let got = self.wire.read(&mut byte);
            let said = String::from_utf8_lossy(&read);
            assert!(matches!(got, Ok(1)), "{}: {got:?} after {said}", self.what);
            read.push(byte[0]);
        }
        String::from_utf8(read).unwrap()
    }

    /// Waits until it has ended, as what breaks off does; how long that took.
    fn ends(mut self, since: Instant) -> Duration {
        let mut rest = Vec::new();
        if let Err(error) = self.wire.read_to_end(&mut rest) {
            assert!(!is_late(&error), "{} goes on", self.what);
        }
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{} must not look whole", self.what);
        since.elapsed()
    }

    /// Nothing has ended it, and what it is for is possible.
    fn goes_on(&mut self) {
        if self.what.contains("WebSocket") {
            self.wire.write_all(b"ping\r\n\r\n").unwrap();
            self.until("pong");
        }
        // Longer than two looks at what it lives on are apart.
        self.wire.socket().set_read_timeout(Some(Duration::from_millis(600))).unwrap();
        let mut rest = [0; 64];
        loop {
            match self.wire.read(&mut rest) {
                Ok(0) => panic!("{} has ended", self.what),
                Ok(_) => {}
                Err(error) if is_late(&error) => return,
                Err(error) => panic!("{}: {error}", self.what),
            }
        }
    }
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn b10_what_a_front_has_open_ends_with_its_authority() {
    let (fronts, others, next) = (Authority::new(), Authority::new(), Authority::new());
    let gate = rcgen::generate_simple_self_signed(["crm.example".to_owned()]).unwrap();
    let name = "front.corp.example";
    let authorities = [("fronts.pem", &fronts), ("others.pem", &others)];
    let (site, mut running, [falls, stays]) = asking_at(authorities, &gate, name);
    site.upstream.speak(Arc::new(|received| {
        let answer = if received.head.start == "ping" {
            "pong"
        } else if received.head.header("upgrade").is_some() {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst"
        } else {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        };
        answer.as_bytes().to_vec()
    }));
    let (front, other) = (fronts.signs(name), others.signs(name));
    let plain = running.address;
    let tls = |address, shown| -> Box<dyn Open> { Box::new(connect(address, gate.cert.der(), shown)) };
    let clear = || -> Box<dyn Open> {
        let stream = TcpStream::connect(plain).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Box::new(stream)
    };
    let user = "X-Windows-User: ann\r\n";
    let basic = format!("Authorization: {}\r\n", super::basic("ann", "wonderland-7"));
    let mut ends = [
        Channel::open("the front's stream", tls(falls, Some(&front)), user),
        Channel::open("the front's WebSocket", tls(falls, Some(&front)), user),
    ];
    let mut go_on = [
        Channel::open("a stream of another front", tls(stays, Some(&other)), user),
        Channel::open("a WebSocket of another front", tls(stays, Some(&other)), user),
        Channel::open("a password's stream on the front's connection", tls(falls, Some(&front)), &basic),
        Channel::open("a stream beside the front", tls(falls, None), &basic),
        Channel::open("a WebSocket beside the front", tls(falls, None), &basic),
        Channel::open("a stream in clear", clear(), &basic),
        Channel::open("a WebSocket in clear", clear(), &basic),
    ];
    // An authority that is added ends nothing.
    let mut reload = |authorities: String| {
        site.write("fronts.pem", &authorities);
        running.hang_up();
        assert_eq!(running.says_next(&[TAKEN, KEPT_OUT])["message"], TAKEN);
        Instant::now()
    };
    reload([fronts.0.pem(), next.0.pem()].concat());
    ends.iter_mut().for_each(Channel::goes_on);
    for channel in &ends {
        channel.wire.socket().set_read_timeout(Some(BOUND + SLACK)).unwrap();
    }
    let since = reload(next.0.pem());
    for channel in ends {
        let what = channel.what;
        let took = channel.ends(since);
        println!("{what} ended after {} ms; promised: {} ms", took.as_millis(), BOUND.as_millis());
        assert!(took <= BOUND + SLACK, "{what} took {took:?}");
    }
    go_on.iter_mut().for_each(Channel::goes_on);
}

#[test]
fn b10_a_certificate_proves_a_front_if_it_is_the_fronts_own() {
    let (fronts, strangers) = (Authority::new(), Authority::new());
    let gate = rcgen::generate_simple_self_signed(["crm.example".to_owned()]).unwrap();
    let front = fronts.signs("front.corp.example");
    let hash: String =
        digest(&SHA256, &front.certificate).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let user = "X-Windows-User: ann\r\n";
    let basic = format!("Authorization: {}\r\n", super::basic("ann", "wonderland-7"));
    for named in ["front.corp.example".to_owned(), format!("sha256:{hash}")] {
        let (_site, running, address) = asking(&fronts, &gate, &named);
        let ask = |shown: Option<&Shown>, lines: &str| ask(address, gate.cert.der(), shown, lines);
        assert_eq!(ask(Some(&front), user), Ok(200), "{named}");
        // What somebody wrote for a secret adds nothing and spoils nothing.
        assert_eq!(ask(Some(&front), &format!("{user}X-Front-Proof: x\r\n")), Ok(200));
        // Another of the same authority, none at all, the front without a user, somebody unknown.
        let another = fronts.signs("printer.corp.example");
        assert_eq!(ask(Some(&another), user), Ok(401), "{named}");
        // Nor is one for whatever is in its domain the front's.
        let wild = fronts.signs("*.corp.example");
        assert_eq!(ask(Some(&wild), user), Ok(401), "{named}");
        assert_eq!(ask(None, user), Ok(401), "{named}");
        assert_eq!(ask(None, &format!("{user}X-Front-Proof: front.corp.example\r\n")), Ok(401), "{named}");
        assert_eq!(ask(Some(&front), ""), Ok(401), "{named}");
        assert_eq!(ask(Some(&front), "X-Windows-User: bob\r\n"), Ok(401), "{named}");
        // One that an authority of nobody's signed does not get as far as that, whatever name it has.
        let false_one = strangers.signs("front.corp.example");
        assert!(ask(Some(&false_one), user).is_err(), "{named}");
        assert!(ask(Some(&false_one), &basic).is_err(), "{named}");
        // Everybody else comes without, and is let in by what he has; in clear nobody can show one.
        assert_eq!(ask(None, &basic), Ok(200), "{named}");
        let plain = format!("GET /api/v1/Contact/2 HTTP/1.1\r\nHost: crm.example\r\n{user}\r\n");
        let answer = crate::raw::Client::new(running.address).exchange(0, plain.as_bytes()).unwrap();
        assert_eq!(answer.head.status(), 401);
    }
}
