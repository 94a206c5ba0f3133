//! New connections to backends.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Backend, Sender, Upstream, UpstreamTls};
use crate::body::Outgoing;
use crate::gather;
use crate::limits::{ANSWER_HEADER_COUNT, Limits};
use crate::worker::Worker;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("could not connect to {backend}")]
    Tcp { backend: String, source: io::Error },
    #[error("could not speak TLS with {backend}")]
    Tls { backend: String, source: io::Error },
    #[error("could not begin HTTP with {backend}")]
    Http { backend: String, source: hyper::Error },
    #[error("could not connect to {backend} within upstream.connect_timeout")]
    Late { backend: String },
}

/// Why the certificates that are to be believed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file.
    #[error(transparent)]
    File(#[from] crate::listen::TlsError),
    /// A certificate in it.
    #[error("could not use a certificate authority of {}", .file.display())]
    Root {
        /// Where it stands.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The system has none.
    #[error("could not find certificate authorities on this system: {0}")]
    NoRoots(String),
    /// The versions or algorithms do not fit together.
    #[error("could not set up TLS")]
    Setup(#[source] rustls::Error),
}

/// Connects to a backend and runs the connection on this core.
pub(crate) async fn connect(
    upstream: &Upstream,
    backend: &Backend,
    worker: &Worker,
    limits: &Limits,
) -> Result<Sender, ConnectError> {
    let name = || format!("{}:{}", backend.address.host, backend.address.port);
    let connecting = async {
        let tcp = match backend.socket {
            Some(address) => TcpStream::connect(address).await,
            None => match worker
                .lookups()
                .find(&backend.address.host, backend.address.port, worker.pulse().now_ms())
                .await
            {
                Ok(addresses) => TcpStream::connect(&*addresses).await,
                Err(error) => Err(error),
            },
        };
        let tcp = tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp));
        let tcp = tcp.map_err(|source| ConnectError::Tcp { backend: name(), source })?;
        let (Some(connector), Some(server_name)) = (&upstream.tls, &backend.server_name) else {
            return Ok(Transport::Plain(tcp));
        };
        let tls = connector.connect(server_name.clone(), tcp).await;
        let tls = tls.map_err(|source| ConnectError::Tls { backend: name(), source })?;
        Ok(Transport::Tls(Box::new(tls)))
    };
    let transport = match worker.pulse().within(upstream.times.connect, connecting).await {
        Ok(transport) => transport?,
        Err(_late) => return Err(ConnectError::Late { backend: name() }),
    };
    let trace = Arc::<Trace>::default();
    let stream = Stream { transport, trace: Arc::clone(&trace), is_deaf: false, is_mute: false };
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(false)
        .max_buf_size(limits.answer_header_bytes.max(8 * 1024))
        .max_header_size(limits.answer_header_bytes);
    // The engine's own limit is the default, and cheaper where it is not asked for.
    if limits.answer_header_count != ANSWER_HEADER_COUNT {
        builder.max_headers(limits.answer_header_count);
    }
    let (requests, connection) = builder
        .handshake::<_, Outgoing>(TokioIo::new(stream))
        .await
        .map_err(|source| ConnectError::Http { backend: name(), source })?;
    let task = tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = %countersign_auth::causes::chain(&error), "a connection to an upstream ended with an error");
        }
    });
    Ok(Sender::new(requests, task.abort_handle(), trace))
}

/// TLS with the system's certificate authorities, or those of a file.
pub(super) fn connector(tls: &UpstreamTls) -> Result<TlsConnector, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &tls.roots {
        for certificate in crate::listen::certificates(path)? {
            let unusable = |source| TlsSetupError::Root { file: path.clone(), source };
            roots.add(certificate).map_err(unusable)?;
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        // A system's store may hold a relic or two that nobody can read; an empty one is an error.
        if roots.add_parsable_certificates(found.certs).0 == 0 {
            let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
            return Err(TlsSetupError::NoRoots(errors.join(", ")));
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsSetupError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What passed on a connection. The engine's errors do not say; it wants its parts to be `Send`.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Whether a byte came since the last request.
    is_heard: AtomicBool,
}

impl Trace {
    /// A request is sent.
    pub(crate) fn asks(&self) {
        self.is_heard.store(false, Ordering::Relaxed);
    }

    /// Whether anything came of an answer to it.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }
}

/// The byte stream of a backend. One that takes nothing more may have answered before: what could not be written is an
/// error only when nothing is left to read, which comes soon, as it has closed.
struct Stream {
    transport: Transport,
    trace: Arc<Trace>,
    /// Whether the backend takes nothing more.
    is_deaf: bool,
    /// Whether nothing more comes of it.
    is_mute: bool,
}

/// With or without TLS.
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Writes to a backend that takes nothing more.
    fn take_nothing<T>(&self) -> Poll<io::Result<T>> {
        if self.is_mute { Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) } else { Poll::Pending }
    }

    /// What is waited for in the place of an error of a backend that takes nothing more: reading says how it ends.
    fn wrote<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(Err(error))
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                self.is_deaf = true;
                self.take_nothing()
            }
            polled @ (Poll::Ready(_) | Poll::Pending) => polled,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = match &mut this.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        if buffer.filled().len() > before {
            this.trace.is_heard.store(true, Ordering::Relaxed);
        } else if polled.is_ready() && buffer.remaining() > 0 {
            this.is_mute = true;
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_deaf {
            return this.take_nothing();
        }
        let polled = match &mut this.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        this.wrote(polled)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_deaf {
            return this.take_nothing();
        }
        let polled = match &mut this.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.wrote(polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_deaf {
            return this.take_nothing();
        }
        let polled = match &mut this.transport {
            Transport::Plain(stream) => gather::poll_write(Pin::new(stream), cx, pieces),
            Transport::Tls(stream) => gather::poll_write(Pin::new(stream), cx, pieces),
        };
        this.wrote(polled)
    }
}
