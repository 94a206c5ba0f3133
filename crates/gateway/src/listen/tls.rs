//! TLS towards clients: 1.2 and 1.3, no early data, certificates and authorities that can be read again while running.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;

use super::client::{self, Authorities};
use super::{Http2, TlsFiles};

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

/// What a listener shows to its clients and takes of them, as its files were when they were read.
pub(crate) struct Credentials {
    config: Arc<ServerConfig>,
    /// The certificate that is shown, in DER.
    certificate: Arc<[u8]>,
    /// Whose certificates clients may show.
    authorities: Option<Authorities>,
}

impl Credentials {
    fn read(files: &TlsFiles, http2: Http2) -> Result<Self, TlsError> {
        let shown = load(files)?;
        let certificate = shown.cert.first().map_or_else(|| Arc::from([]), |first| Arc::from(first.as_ref()));
        let (authorities, clients) = match &files.client_authorities {
            Some(file) => {
                let authorities = Authorities::read(file)?;
                let clients = client::verifier(&authorities, file)?;
                (Some(authorities), clients)
            }
            None => (None, WebPkiClientVerifier::no_client_auth()),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Setup)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
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
        Ok(Self { config: Arc::new(config), certificate, authorities })
    }

    /// Takes a connection with them.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// The certificate that is shown, in DER.
    pub(super) fn certificate(&self) -> Arc<[u8]> {
        Arc::clone(&self.certificate)
    }

    /// Whose certificates clients may show.
    pub(super) const fn authorities(&self) -> Option<&Authorities> {
        self.authorities.as_ref()
    }
}

/// Reads the files of a listener as its start does, and throws away what was read.
///
/// # Errors
/// What its start would fail with.
pub fn check(files: &TlsFiles, http2: Http2) -> Result<(), TlsError> {
    Credentials::read(files, http2).map(drop)
}

/// Takes TLS connections of one listener.
#[derive(Clone)]
pub(crate) struct Acceptor {
    files: TlsFiles,
    http2: Http2,
    present: Arc<ArcSwap<Credentials>>,
}

impl Acceptor {
    pub(crate) fn new(files: &TlsFiles, http2: Http2) -> Result<Self, TlsError> {
        let present = Arc::new(ArcSwap::from_pointee(Credentials::read(files, http2)?));
        Ok(Self { files: files.clone(), http2, present })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// If they cannot be used.
    pub(crate) fn read_again(&self) -> Result<Arc<Credentials>, TlsError> {
        let mut next = Credentials::read(&self.files, self.http2)?;
        if let (Some(next), Some(before)) = (&mut next.authorities, &self.present.load().authorities) {
            next.follow(before);
        }
        Ok(Arc::new(next))
    }

    /// Goes on with these. Connections that are open keep what they began with, but those whose certificate is of
    /// authorities of which one has gone: they prove nothing any more, and are closed. Sessions of before are not
    /// resumed, since they were begun with another certificate.
    pub(crate) fn replace(&self, credentials: Arc<Credentials>) {
        let before = self.present.swap(Arc::clone(&credentials));
        if let Some(authorities) = &before.authorities {
            authorities.give_way(credentials.authorities.as_ref());
        }
    }

    /// What a connection that comes now is taken with.
    pub(super) fn present(&self) -> Arc<Credentials> {
        self.present.load_full()
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
