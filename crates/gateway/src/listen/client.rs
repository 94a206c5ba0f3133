//! Certificates that clients show: fronts prove themselves so.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_auth::account::Live;
use countersign_auth::link::PeerCertificate;
use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use webpki::EndEntityCert;

use super::tls::{TlsError, certificates};

/// Authorities that are believed in what clients show, until their file no longer names one of them.
pub(super) struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    /// Falls when they give way, and what was opened under them with it.
    believed: Live,
}

impl Authorities {
    /// As a file names them.
    pub(super) fn read(file: &Path) -> Result<Self, TlsError> {
        Ok(Self { certificates: certificates(file)?, believed: Live::new() })
    }

    /// Those that come after `before`: whoever was let in by them still is, if none of them has gone.
    pub(super) fn follow(&mut self, before: &Self) {
        if before.certificates.iter().all(|authority| self.certificates.contains(authority)) {
            self.believed = before.believed.clone();
        }
    }

    /// No longer believes what connections have shown, unless `next` goes on with it.
    pub(super) fn give_way(&self, next: Option<&Self>) {
        if next.is_none_or(|next| !self.believed.is(&next.believed)) {
            self.believed.fall();
        }
    }
}

/// A certificate that a client showed and has the key of; it was good when the connection was opened.
#[derive(Clone)]
pub struct ClientCertificate {
    der: CertificateDer<'static>,
    sha256: [u8; 32],
    believed: Live,
}

impl ClientCertificate {
    /// The first of what a client showed, if it showed any, which one of these vouches for.
    pub(super) fn of(shown: Option<&[CertificateDer<'_>]>, by: Option<&Authorities>) -> Option<Self> {
        let der = shown?.first()?.clone().into_owned();
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, &der).as_ref());
        Some(Self { der, sha256, believed: by?.believed.clone() })
    }

    /// Whether its authority is still one of the listener's.
    pub(crate) const fn believed(&self) -> &Live {
        &self.believed
    }
}

impl PeerCertificate for ClientCertificate {
    fn is_for(&self, name: &str) -> bool {
        match ServerName::try_from(name) {
            // A wildcard is for servers: whoever has a certificate for all hosts of a domain is none of them (RFC 9525
            // section 6.3 lets whoever compares refuse wildcards).
            Ok(ServerName::DnsName(name)) => EndEntityCert::try_from(&self.der).is_ok_and(|certificate| {
                certificate.valid_dns_names().any(|own| own.eq_ignore_ascii_case(name.as_ref()))
            }),
            Ok(name) => ParsedCertificate::try_from(&self.der)
                .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok()),
            Err(_) => false,
        }
    }

    fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}

/// Takes certificates of these authorities, which stand in `file`, and clients without one.
pub(super) fn verifier(
    authorities: &Authorities,
    file: &Path,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable = |source| TlsError::Authority { path: file.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for authority in &authorities.certificates {
        roots.add(authority.clone()).map_err(unusable)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let unusable = |error: rustls::server::VerifierBuilderError| {
        TlsError::Setup(rustls::Error::General(error.to_string()))
    };
    builder.allow_unauthenticated().build().map_err(unusable)
}
