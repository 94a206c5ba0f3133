//! Whose certificates are believed when the gate asks somebody.

use std::sync::Arc;

use countersign_auth::port::Unavailable;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// What a client believes: these authorities, or the system's if there are none.
///
/// # Errors
/// If no certificate can be used.
pub fn client(authorities: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, Unavailable> {
    let mut roots = RootCertStore::empty();
    if authorities.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for authority in authorities {
        let added = roots.add(authority.clone());
        added.map_err(|error| Unavailable(format!("a certificate cannot be used: {error}")))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| Unavailable(format!("could not set TLS up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
