//! Early data of TLS 1.3 can be replayed by whoever copied it (T-G7): a gate that never takes any needs no rule about it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

use super::listeners::Pki;
use crate::testing::upstream::Server;
use crate::testing::{PATIENCE, Setup};

/// Asks once; whether the ticket of the time before allows early data, and how the handshake went.
fn ask(address: SocketAddr, config: &Arc<ClientConfig>) -> (bool, Option<HandshakeKind>) {
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let may = connection.early_data().is_some();
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut tls = rustls::Stream::new(&mut connection, &mut tcp);
    tls.write_all(b"GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // Tickets come after the handshake; a server may close without saying goodbye.
    let _end = tls.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    (may, connection.handshake_kind())
}

/// A client that sends early data wherever it may, and remembers tickets.
fn client(pki: &Pki) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(pki.roots.clone())
        .with_no_client_auth();
    config.enable_early_data = true;
    Arc::new(config)
}

#[test]
fn early_data_is_never_offered() {
    let upstream = Server::echo();
    let pki = Pki::new();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.tls = Some(pki.files());
    let plane = setup.start();
    let config = client(&pki);
    assert_eq!(ask(plane.address, &config), (false, Some(HandshakeKind::Full)));
    assert_eq!(ask(plane.address, &config), (false, Some(HandshakeKind::Resumed)));
}

/// The same client finds that another server takes it: the test above would see it.
#[test]
fn a_server_that_takes_early_data_is_told_apart() {
    let pki = Pki::new();
    let chain = vec![CertificateDer::from_pem_file(pki.files().certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pki.files().key).unwrap();
    let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    server.max_early_data_size = 1000;
    let server = Arc::new(server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut connection = ServerConnection::new(Arc::clone(&server)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut tcp);
            let mut asked = [0; 1024];
            while tls.read(&mut asked).unwrap() == 0 {}
            tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            connection.send_close_notify();
            connection.complete_io(&mut tcp).unwrap();
        }
    });
    let config = client(&pki);
    assert!(!ask(address, &config).0);
    assert!(ask(address, &config).0, "its ticket allows early data");
}
