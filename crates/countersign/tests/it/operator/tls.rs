//! Certificates that do not fit, and clients that do not get through a handshake.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{DEADLINE, edited, fails, problems};
use crate::process::{Gate, Site};
use crate::raw::Client;

fn made() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["crm.example".to_owned()]).unwrap()
}

/// A site whose one listener speaks TLS.
fn site() -> Site {
    let site = Site::new(Vec::new());
    let own = made();
    site.write("gate.pem", &own.cert.pem());
    site.write("gate.key", &own.signing_key.serialize_pem());
    let tls = "address = \"127.0.0.1:0\"\ntls = { certificate = \"gate.pem\", key = \"gate.key\" }";
    edited(&site, "address = \"127.0.0.1:0\"", tls);
    site
}

#[test]
fn a_key_of_another_certificate_is_told_before_the_start_and_while_it_runs() {
    let site = site();
    assert_eq!(problems(&site), []);
    let mut gate = site.start();
    site.write("gate.key", &made().signing_key.serialize_pem());
    let found = problems(&site);
    let [(key, 4, message)] = &found[..] else { panic!("{found:?}") };
    assert!(key == "listener[0].tls.key" && message.contains("gate.key"), "{found:?}");
    gate.hang_up();
    let told = gate.says_next(&[message.as_str()]);
    assert_eq!(
        (&told["config.key"], &told["config.line"]),
        (&"listener[0].tls.key".into(), &4.into()),
        "{told}"
    );
    assert!(told["config.hint"].as_str().is_some_and(|hint| hint.contains("certificate")), "{told}");
    gate.says_next(&["the configuration was not taken; the gate runs on as it was"]);
    gate.kill();
    assert!(fails(&site).contains("listener[0].tls.key"));
}

/// A handshake of a client who trusts nobody: it tells the gate so.
fn distrustful(address: SocketAddr) {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from("crm.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(client.complete_io(&mut stream).is_err());
    // The alert, and then until the gate has closed.
    while client.wants_write() {
        client.write_tls(&mut stream).unwrap();
    }
    let _ = stream.read_to_end(&mut Vec::new());
}

fn metrics(gate: &mut Gate) -> String {
    let listening = gate.said("listening for administration");
    let address: SocketAddr = listening["listener.address"].as_str().unwrap().parse().unwrap();
    let asked = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    String::from_utf8(Client::new(address).exchange(0, asked).unwrap().body).unwrap()
}

#[test]
fn handshakes_that_fail_are_counted_by_kind_and_told() {
    let site = site();
    let mut gate = site.start();
    distrustful(gate.address);
    for _ in 0..2 {
        let mut clear = TcpStream::connect(gate.address).unwrap();
        clear.write_all(b"GET / HTTP/1.1\r\nHost: crm.example\r\n\r\n").unwrap();
        let _ = clear.read_to_end(&mut Vec::new());
    }
    drop(TcpStream::connect(gate.address).unwrap());
    let wanted = [("refused-by-client", 1), ("not-tls", 2), ("gone", 1), ("incompatible", 0)];
    let until = Instant::now() + DEADLINE;
    loop {
        let page = metrics(&mut gate);
        let counted = |(kind, count): &(&str, u32)| {
            page.contains(&format!("countersign_tls_handshakes_failed_total{{kind=\"{kind}\"}} {count}\n"))
        };
        if wanted.iter().all(counted) {
            break;
        }
        assert!(Instant::now() < until, "{page}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = gate.says_next(&["could not finish TLS handshakes"]);
    assert!(told["level"] == "WARN" && told["tls.failure"].is_string() && told["clients"].is_u64(), "{told}");
}
