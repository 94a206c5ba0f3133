//! TLS towards clients: 1.2 and 1.3, no early data, certificates that can be read again while running.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::{Http2, TlsFiles, client};

/// Why the TLS of a listener cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or is not PEM.
    #[error("could not read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// A file without a certificate.
    #[error("could not find a certificate in {0}")]
    NoCertificate(PathBuf),
    /// The key does not belong to the certificate, or its kind is not known.
    #[error("could not use the key {path} with its certificate")]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What was wrong with it.
        source: rustls::Error,
    },
    /// What is no certificate of an authority.
    #[error("could not use {path} as authority")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        source: rustls::Error,
    },
    /// The versions or algorithms do not fit together.
    #[error("could not set up TLS")]
    Setup(#[source] rustls::Error),
}

/// The certificate that a listener shows; the same for every name.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Takes TLS connections of one listener.
#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: TlsAcceptor,
    files: TlsFiles,
    shown: Arc<Shown>,
}

impl Acceptor {
    pub(crate) fn new(files: &TlsFiles, http2: Http2) -> Result<Self, TlsError> {
        let shown = Arc::new(Shown(ArcSwap::from_pointee(load(files)?)));
        let clients = match &files.client_authorities {
            Some(authorities) => client::verifier(authorities)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Setup)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        if files.client_authorities.is_some() {
            // A resumed session would bring a certificate with it that is verified no more.
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        // Early data can be replayed (T-G7). This is the default; it is said because it must stay.
        config.max_early_data_size = 0;
        config.alpn_protocols = match http2 {
            Http2::On => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Http2::Off => vec![b"http/1.1".to_vec()],
        };
        Ok(Self { tls: TlsAcceptor::from(Arc::new(config)), files: files.clone(), shown })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// If they cannot be used.
    pub(crate) fn read_again(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        load(&self.files).map(Arc::new)
    }

    /// Shows another certificate; connections that are open keep what they were shown.
    pub(crate) fn show(&self, certificate: Arc<CertifiedKey>) {
        self.shown.0.store(certificate);
    }

    pub(super) fn tls(&self) -> &TlsAcceptor {
        &self.tls
    }

    /// The certificate that is shown now, in DER.
    pub(super) fn certificate(&self) -> Arc<[u8]> {
        let shown = self.shown.0.load();
        shown.cert.first().map_or_else(|| Arc::from([]), |certificate| Arc::from(certificate.as_ref()))
    }
}

fn load(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|source| TlsError::File { path: files.key.clone(), source })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|source| TlsError::Key { path: files.key.clone(), source })
}

/// All certificates of a PEM file, in its order.
///
/// # Errors
/// If it cannot be read or holds none.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File { path: path.to_owned(), source };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}
