//! The one HTTP client of the control plane: for login services, key sets and token introspection.
//!
//! It speaks https, or http to this machine; it follows no redirect, sends no cookie, and reads answers up to a bound
//! and within a time. Nothing of a request or an answer goes to the log but the place that was asked.

use std::sync::Arc;
use std::time::Duration;

use countersign_auth::port::Unavailable;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::timeout;

/// Connections that wait for the next request; longer than this servers often close them.
const IDLE: Duration = Duration::from_secs(30);
/// Per host.
const IDLE_MOST: usize = 8;
/// The head of an answer to a question of the gate's own: services behind portals set many cookies.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const CONNECT: Duration = Duration::from_secs(5);

/// A place that may be asked: https, or http on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// Why a URL is no [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No URL with a host.
    #[error("is no url with a host")]
    NoUrl,
    /// In clear to another machine.
    #[error("must be https; http is for this machine alone")]
    Clear,
    /// A user or password in it would end up in logs.
    #[error("has a user in it")]
    User,
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let uri: Uri = url.parse().map_err(|_| EndpointError::NoUrl)?;
        let authority = uri.authority().ok_or(EndpointError::NoUrl)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::User);
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(authority.host()) => Ok(Self(uri)),
            Some("http") => Err(EndpointError::Clear),
            Some(_) | None => Err(EndpointError::NoUrl),
        }
    }

    /// Reads a URL that the answer of this place names: in clear only if this place was asked so itself, since what
    /// comes from elsewhere must not make the gate ask a port of this machine.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn names(&self, url: &str) -> Result<Self, EndpointError> {
        let named = Self::parse(url)?;
        let is_clear = |endpoint: &Self| endpoint.0.scheme_str() == Some("http");
        if is_clear(&named) && !is_clear(self) { Err(EndpointError::Clear) } else { Ok(named) }
    }

    /// The URL.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl std::fmt::Display for Endpoint {
    /// Without its query, which may hold what is nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}{}", self.0.scheme_str().unwrap_or_default(), self.0.path())
    }
}

/// Whether a host is this machine: `localhost`, or an address of loopback.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Bounds on one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From connecting to the last byte.
    pub time: Duration,
    /// Of the answer's body.
    pub bytes: usize,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Heard {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// See the module's words. Clones share connections.
#[derive(Clone)]
pub struct Outbound {
    client: Arc<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
}

impl Outbound {
    /// A client that believes what `tls` believes.
    pub fn new(tls: &Arc<ClientConfig>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        connector.enforce_http(false);
        let mut tls = ClientConfig::clone(tls);
        // The builder wants to say itself which protocols are spoken.
        tls.alpn_protocols.clear();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MOST)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        Self { client: Arc::new(client) }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// If there is no answer within the bounds.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        mut request: Request<Full<Bytes>>,
        bounds: Bounds,
    ) -> Result<Heard, Unavailable> {
        let failed = |why: &str| Unavailable(format!("could not ask {endpoint}: {why}"));
        *request.uri_mut() = endpoint.0.clone();
        request.headers_mut().insert(http::header::USER_AGENT, HeaderValue::from_static("countersign"));
        let exchange = async {
            let answer = self
                .client
                .request(request)
                .await
                .map_err(|error| failed(&countersign_auth::causes::chain(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, bounds.bytes).collect().await;
            let body = body.map_err(|error| failed(&error.to_string()))?.to_bytes();
            Ok(Heard { status: head.status, body })
        };
        timeout(bounds.time, exchange).await.map_err(|_| failed("no whole answer in time"))?
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn clear_text_is_for_this_machine() {
        for url in [
            "https://issuer.example/keys",
            "http://127.0.0.1:9/x",
            "http://[::1]:9/x",
            "http://LOCALHOST/",
            "http://127.8.8.8/",
        ] {
            assert!(Endpoint::parse(url).is_ok(), "{url}");
        }
        let check = |url: &str, expected| assert_eq!(Endpoint::parse(url), Err(expected), "{url}");
        check("http://issuer.example/keys", EndpointError::Clear);
        check("http://127.0.0.1.evil.example/", EndpointError::Clear);
        check("http://localhost.evil.example/", EndpointError::Clear);
        check("http://10.0.0.1/", EndpointError::Clear);
        check("https://user:geheim@issuer.example/", EndpointError::User);
        check("http://127.0.0.1@evil.example/", EndpointError::User);
        check("ftp://issuer.example/", EndpointError::NoUrl);
        check("issuer.example", EndpointError::NoUrl);
        check("/keys", EndpointError::NoUrl);
        check("", EndpointError::NoUrl);
    }

    #[tokio::test]
    async fn heads_of_answers_are_read_up_to_a_length() {
        const BEGIN: &str = "HTTP/1.1 204 No Content\r\nX-Long: ";
        let ask = async |head: String| {
            let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", server.local_addr().unwrap());
            let serve = async {
                let (mut stream, _) = server.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(head.as_bytes()).await.unwrap();
                // Nothing more comes, and the connection stays: what is too long is known by what is there.
                std::future::pending::<()>().await;
            };
            let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ));
            let tls = tls.with_safe_default_protocol_versions().unwrap();
            let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
            let outbound = Outbound::new(&Arc::new(tls));
            let bounds = Bounds { time: Duration::from_secs(60), bytes: 0 };
            let endpoint = Endpoint::parse(&url).unwrap();
            tokio::select! {
                heard = outbound.send(&endpoint, Request::default(), bounds) => {
                    heard.map(|heard| heard.status.as_u16()).map_err(|error| error.0)
                }
                () = serve => unreachable!("it waits"),
            }
        };
        let filled =
            |bytes: usize, end: &str| format!("{BEGIN}{}{end}", "x".repeat(bytes - BEGIN.len() - end.len()));
        assert_eq!(ask(filled(HEAD_BYTES_MAX, "\r\n\r\n")).await, Ok(204));
        let error = ask(filled(HEAD_BYTES_MAX, "")).await.unwrap_err();
        assert!(error.contains("message head is too large"), "{error}");
    }

    #[test]
    fn a_query_is_not_told() {
        let endpoint = Endpoint::parse("https://a.example/x?key=geheim").unwrap();
        assert_eq!(endpoint.to_string(), "https://a.example/x");
    }
}
