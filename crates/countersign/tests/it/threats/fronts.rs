//! B: identities that a front proved.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_auth::port::foreign::{FrontProof, FrontTerms};
use countersign_auth::secret::Secret;
use countersign_identity::accounts::AccountDraft;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

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

/// A gate that asks clients for certificates of an authority, and where.
fn asking(
    fronts: &Authority,
    gate: &rcgen::CertifiedKey<rcgen::KeyPair>,
    certificate: &str,
) -> (Site, Gate, SocketAddr) {
    let site = Site::with(
        |upstream| {
            format!(
                "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
                 tls = {{ certificate = \"gate.pem\", key = \"gate.key\", client_ca = \"fronts.pem\" }}\n\
                 [[api]]\nname = \"crm\"\ndialect = \"superoffice\"\ndeployment = \"onsite\"\nat = [\"/\"]\n\
                 enable = [\"front\"]\nupstream = \"http://{upstream}\"\n\
                 [api.front]\nnetworks = [\"127.0.0.0/8\"]\ncertificate = \"{certificate}\"\n\
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
    site.write("fronts.pem", &fronts.0.pem());
    let mut running = site.start();
    let line = running.says_next(&["listening for clients"]);
    let address: SocketAddr = line["listener.address"].as_str().unwrap().parse().unwrap();
    (site, running, address)
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
        let taken =
            ["took the configuration anew", "the configuration was not taken; the gate runs on as it was"];
        assert_eq!(running.says_next(&taken)["message"], expected);
    };
    // Both, while fronts change over; then the new one alone.
    reloaded(&[fronts.0.pem(), others.0.pem()].concat(), "took the configuration anew");
    assert_eq!((ask(&front), ask(&next)), (Ok(200), Ok(200)));
    assert_eq!(ask_on(&mut open, ann), Ok(200), "none of its authorities has gone");
    let mut idle = connect(address, gate.cert.der(), Some(&front));
    assert_eq!(ask_on(&mut idle, ann), Ok(200));
    reloaded(&others.0.pem(), "took the configuration anew");
    // What is open proves nothing any more, and is closed.
    assert!(matches!(ask_on(&mut open, ann), Ok(401) | Err(_)));
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0, "closed without being asked");
    assert!(ask(&front).is_err());
    assert_eq!(ask(&next), Ok(200));
    // A file that names nobody changes nothing.
    reloaded("", "the configuration was not taken; the gate runs on as it was");
    assert!(ask(&front).is_err());
    assert_eq!(ask(&next), Ok(200));
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
