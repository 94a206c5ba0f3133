//! What is in front of HTTP: PROXY headers, TLS, HTTP/2.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::address::Networks;
use crate::listen::{Http2, TlsFiles};
use crate::testing::client::Wire;
use crate::testing::upstream::Server;
use crate::testing::{PATIENCE, Setup, until};
use crate::upstream::UpstreamTls;

const PEER: &str = "GET /peer HTTP/1.1\r\nHost: a\r\n\r\n";

fn binary_header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    header.extend(body);
    header
}

fn first_answer(address: SocketAddr, pieces: &[&[u8]]) -> Option<String> {
    let mut client = Wire::connect(address);
    for piece in pieces {
        // A gate that has closed already takes no more.
        let _closed = client.stream.get_mut().write_all(piece);
    }
    client.message().map(|answer| format!("{} {}", answer.status(), answer.text()))
}

#[test]
fn proxy_headers_of_a_named_network() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.proxy_protocol = Networks::new(["127.0.0.0/8".parse().unwrap()]);
    let plane = setup.start();
    let ask = |pieces: &[&[u8]]| first_answer(plane.address, pieces);
    let v4 = binary_header(1, 0x11, &[192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80]);
    let v4_more = binary_header(1, 0x11, &[192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80, 4, 0, 1, 0]);
    let mut mapped = vec![0; 10];
    mapped.extend([0xff, 0xff, 192, 0, 2, 9]);
    mapped.extend([0; 16]);
    mapped.extend([0x12, 0x67, 0, 80]);
    let mapped = binary_header(1, 0x21, &mapped);
    let local = binary_header(0, 0, &[]);
    let expected = Some("200 192.0.2.9 Connection http main".to_owned());
    let peer = PEER.as_bytes();

    assert_eq!(ask(&[b"PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n", peer]), expected);
    assert_eq!(
        ask(&[
            b"PROXY TCP4 192.0.2.9 10.",
            b"0.0.1 4711 80\r",
            b"\nGET /pe",
            b"er HTTP/1.1\r\nHost: a\r\n\r\n"
        ]),
        expected
    );
    assert_eq!(ask(&[b"PROXY TCP6 ::ffff:192.0.2.9 ::1 4711 80\r\n", peer]), expected);
    assert_eq!(ask(&[&v4, peer]), expected);
    assert_eq!(ask(&[&v4_more, peer]), expected);
    assert_eq!(ask(&[&v4[..13], &v4[13..], peer]), expected);
    assert_eq!(ask(&[&mapped, peer]), expected);
    let own = Some("200 127.0.0.1 Connection http main".to_owned());
    assert_eq!(ask(&[&local, peer]), own);
    assert_eq!(ask(&[b"PROXY UNKNOWN\r\n", peer]), own);

    assert_eq!(ask(&[peer]), None, "a balancer without a header is not guessed about");
    assert_eq!(ask(&[b"PROXY TCP4 999.0.2.9 10.0.0.1 4711 80\r\n", peer]), None);
    assert_eq!(ask(&[b"PROXY TCP4 192.0.2.9", &[b'x'; 200], b"\r\n", peer]), None);
    assert_eq!(ask(&[&binary_header(1, 0x11, &[1, 2, 3]), peer]), None);
    assert_eq!(ask(&[&binary_header(1, 0x11, &[0; 2000]), peer]), None);
    assert_eq!(ask(&[b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\0", peer]), None);
}

#[test]
fn proxy_headers_are_bounded() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.proxy_protocol = Networks::new(["127.0.0.0/8".parse().unwrap()]);
    let plane = setup.start();
    let ask = |header: &[u8]| first_answer(plane.address, &[header, PEER.as_bytes()]);
    let own = Some("200 127.0.0.1 Connection http main".to_owned());
    // The longest that its text knows: nobody's, with two ends that are to be ignored.
    let end = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let text = |more: &str| format!("PROXY UNKNOWN {end} {end} 65535 65535{more}\r\n");
    assert_eq!(text("").len(), 107);
    assert_eq!(ask(text("").as_bytes()), own);
    assert_eq!(ask(text("0").as_bytes()), None);
    let ends = [192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
    let binary = |bytes: usize| {
        // Behind the ends stands one thing more that nobody asks for (type, length).
        let rest = u16::try_from(bytes - ends.len() - 3).unwrap().to_be_bytes();
        let mut body = [&ends[..], &[4], &rest].concat();
        body.resize(bytes, 0);
        binary_header(1, 0x11, &body)
    };
    assert_eq!(ask(&binary(1024)), Some("200 192.0.2.9 Connection http main".to_owned()));
    assert_eq!(ask(&binary(1025)), None);
}

#[test]
fn proxy_headers_from_elsewhere_are_no_http() {
    let upstream = Server::echo();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.proxy_protocol = Networks::new(["10.0.0.0/8".parse().unwrap()]);
    let plane = setup.start();
    let header: &[u8] = b"PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n";
    assert_eq!(first_answer(plane.address, &[header, PEER.as_bytes()]).as_deref(), Some("400 "));
    let expected = "200 127.0.0.1 Connection http main";
    assert_eq!(first_answer(plane.address, &[PEER.as_bytes()]).as_deref(), Some(expected));
}

/// A certificate for `localhost` in files, and a client's configuration that believes it.
pub(super) struct Pki {
    folder: tempfile::TempDir,
    pub(super) roots: RootCertStore,
}

impl Pki {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut this = Self { folder, roots: RootCertStore::empty() };
        this.renew();
        this
    }

    /// Writes another certificate over the first one; both are believed.
    fn renew(&mut self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(self.files().certificate, made.cert.pem()).unwrap();
        std::fs::write(self.files().key, made.signing_key.serialize_pem()).unwrap();
        self.roots.add(made.cert.der().clone()).unwrap();
    }

    pub(super) fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.folder.path().join("cert.pem"),
            key: self.folder.path().join("key.pem"),
            client_authorities: None,
        }
    }

    pub(super) fn client(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    async fn connect(
        &self,
        address: SocketAddr,
        alpn: &[&str],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(self.client(alpn)).connect(name, tcp).await
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("in time") })
}

async fn two_at_once<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    scheme: &str,
) -> [String; 2] {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ask = |path: &str, body: &'static str| {
        let request = Request::post(format!("{scheme}://localhost{path}"))
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .unwrap();
        let mut sender = sender.clone();
        async move {
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
        }
    };
    let (one, two) = tokio::join!(ask("/one?q=1", "first"), ask("/two", "second"));
    [one, two]
}

fn check_told(told: &[String; 2], scheme: &str) {
    let first: Vec<&str> = told[0].lines().collect();
    assert_eq!(first[0], "POST /one?q=1 HTTP/1.1");
    for line in ["host: localhost", "cookie: a=1; b=2", "te: trailers", "connection: te", "content-length: 5"]
    {
        assert!(first.contains(&line), "{line} is not in {first:?}");
    }
    assert!(first.contains(&format!("x-forwarded-proto: {scheme}").as_str()), "{first:?}");
    assert!(told[0].ends_with("\n\nfirst") && told[1].ends_with("\n\nsecond"), "{told:?}");
}

#[test]
fn http2_through_tls() {
    let upstream = Server::echo();
    let pki = Pki::new();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.tls = Some(pki.files());
    let plane = setup.start();
    run(async {
        let stream = pki.connect(plane.address, &["h2", "http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        check_told(&two_at_once(stream, "https").await, "https");
        let connections = upstream.connections();
        let stream = pki.connect(plane.address, &["h2"]).await.unwrap();
        check_told(&two_at_once(stream, "https").await, "https");
        assert_eq!(upstream.connections(), connections, "bodies of HTTP/2 keep the upstream's connections");
        let stream = pki.connect(plane.address, &["http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert!(pki.connect(plane.address, &["spdy/1"]).await.is_err());
    });
    assert_eq!(plane.stop(), 0);
}

#[test]
fn http2_in_clear_by_prior_knowledge() {
    let upstream = Server::echo();
    let plane = Setup::before(&[upstream.address]).start();
    run(async {
        let stream = TcpStream::connect(plane.address).await.unwrap();
        check_told(&two_at_once(stream, "http").await, "http");
    });
    // Its first bytes may come one by one, and other methods begin with P as well.
    assert_eq!(
        first_answer(plane.address, &[b"P", b"UT /own HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"])
            .unwrap()[..3],
        *"200"
    );
    for (begin, rest) in [("P", "RI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ("PRI", " * HTTP/2.0\r\n\r\nSM\r\n\r\n")]
    {
        let mut client = Wire::connect(plane.address);
        client.send(begin);
        // Until it has been looked at.
        assert_eq!(Wire::connect(plane.address).get("/peer").status(), 200);
        client.send(rest);
        client.send(b"\0\0\0\x04\0\0\0\0\0");
        let mut settings = [0; 9];
        client.stream.read_exact(&mut settings).unwrap();
        assert_eq!(settings[3], 4, "the gate's SETTINGS come first");
    }
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.http2 = Http2::Off;
    let plane = setup.start();
    assert_ne!(first_answer(plane.address, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).as_deref(), Some("200 "));
}

#[test]
fn who_has_said_a_byte_and_gone_keeps_no_place() {
    let mut setup = Setup::before(&[Server::echo().address]);
    setup.gate.limits.connections_per_address = 1;
    setup.gate.limits.head = PATIENCE * 10;
    let plane = setup.start();
    for begun in ["", "P", "PR"] {
        let mut gone = Wire::connect(plane.address);
        gone.send(begun);
        until("it is counted", || Wire::connect(plane.address).is_closed());
        drop(gone);
        until("there is room again", || {
            let mut next = Wire::connect(plane.address);
            let _closed = next.stream.get_mut().write_all(PEER.as_bytes());
            next.message().is_some()
        });
    }
}

/// Clients of HTTP/2 may take a length where there is no content for an error (RFC 9113 section 8.1.1).
#[test]
fn an_answer_that_has_no_content_says_no_length_over_http2() {
    let upstream = Server::saying("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\nX-Kept: 1\r\n\r\n");
    let plane = Setup::before(&[upstream.address]).start();
    run(async {
        let stream = TcpStream::connect(plane.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::delete("http://localhost/x").body(Full::new(Bytes::new())).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers()["x-kept"], "1");
        assert_eq!(answer.headers().get("content-length"), None);
    });
}

/// Without TLS's own word a client cannot tell an end from somebody who cut the connection.
#[test]
fn tls_ends_with_a_word_whatever_was_wanted() {
    let upstream = Server::echo();
    let pki = Pki::new();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.tls = Some(pki.files());
    let plane = setup.start();
    for wanted in ["Connection: close", "Connection: Upgrade\r\nUpgrade: websocket"] {
        let tls = rustls::ClientConnection::new(pki.client(&[]), "localhost".try_into().unwrap()).unwrap();
        let mut client = rustls::StreamOwned::new(tls, std::net::TcpStream::connect(plane.address).unwrap());
        client.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(format!("GET /x HTTP/1.1\r\nHost: a\r\n{wanted}\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{wanted}: {error}"));
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    }
}

#[test]
fn certificates_are_read_again() {
    let upstream = Server::echo();
    let mut pki = Pki::new();
    let mut setup = Setup::before(&[upstream.address]);
    setup.listener.tls = Some(pki.files());
    let plane = setup.start();
    let shown = |pki: &Pki| {
        run(async {
            let stream = pki.connect(plane.address, &[]).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
        })
    };
    let before = shown(&pki);
    pki.renew();
    assert_eq!(shown(&pki), before);
    plane.running.read_certificates().unwrap().show();
    assert_ne!(shown(&pki), before);
    std::fs::write(pki.files().key, "no key").unwrap();
    let after = shown(&pki);
    assert!(plane.running.read_certificates().is_err());
    assert_eq!(shown(&pki), after, "a bad file leaves what is there");
}

#[test]
fn upstreams_through_tls_are_verified() {
    // The upstream is another plane: TLS in front, plain behind.
    let upstream = Server::echo();
    let pki = Pki::new();
    let mut inner = Setup::before(&[upstream.address]);
    inner.listener.tls = Some(pki.files());
    let inner = inner.start();
    let outer = |server_name: &str, roots: std::path::PathBuf| {
        let mut outer = Setup::before(&[inner.address]);
        outer.upstream.tls = Some(UpstreamTls { roots: Some(roots), server_name: Some(server_name.into()) });
        outer.start()
    };
    let good = outer("localhost", pki.files().certificate);
    let answer = Wire::connect(good.address).get("/x");
    assert_eq!(answer.status(), 200);
    assert!(answer.text().starts_with("GET /x HTTP/1.1\n"));
    let other_name = outer("other.example", pki.files().certificate);
    assert_eq!(Wire::connect(other_name.address).get("/x").status(), 502);
    let stranger = Pki::new();
    let other_root = outer("localhost", stranger.files().certificate);
    assert_eq!(Wire::connect(other_root.address).get("/x").status(), 502);
}
