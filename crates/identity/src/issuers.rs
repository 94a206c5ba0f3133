//! Whose JWTs an API takes, and key sets as operators hand them in.

use std::sync::{Arc, PoisonError, RwLock};

use countersign_auth::port::{IssuerKey, IssuerKeys};
use hashbrown::HashMap;

/// Where the keys of an issuer are.
pub enum TrustedIssuer {
    /// The gate is the issuer: its own keys for tokens, as they are rotated.
    Ours,
    /// These keys.
    Keys(Vec<IssuerKey>),
}

enum Known {
    Ours,
    Keys(Arc<IssuerKeys>),
}

/// The issuers by API.
#[derive(Default)]
pub(crate) struct Issuers(RwLock<HashMap<String, HashMap<String, Known>>>);

impl Issuers {
    pub(crate) fn trust(&self, api: &str, issuer: &str, keys: TrustedIssuer) {
        let known = match keys {
            TrustedIssuer::Ours => Known::Ours,
            TrustedIssuer::Keys(keys) => Known::Keys(Arc::new(IssuerKeys { keys, ours: false })),
        };
        let mut issuers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        issuers.entry(api.to_owned()).or_default().insert(issuer.to_owned(), known);
    }

    pub(crate) fn keys(
        &self,
        api: &str,
        issuer: &str,
        ours: impl FnOnce() -> Arc<IssuerKeys>,
    ) -> Option<Arc<IssuerKeys>> {
        let issuers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match issuers.get(api)?.get(issuer)? {
            Known::Ours => Some(ours()),
            Known::Keys(keys) => Some(Arc::clone(keys)),
        }
    }
}
