//! Whose JWTs an API takes, and key sets as operators hand them in.

pub mod introspection;
pub mod login;
pub mod remote;

use std::sync::{Arc, PoisonError, RwLock};

use countersign_auth::port::foreign::IssuerTerms;
use countersign_auth::port::{IssuerKey, IssuerKeys, Unavailable};
use hashbrown::HashMap;

use self::introspection::Introspection;
use self::login::Login;
use self::remote::{RemoteKeys, RemoteOptions};
use crate::outbound::Outbound;

/// Where the keys of an issuer are.
pub enum TrustedIssuer {
    /// The gate is the issuer: its own keys for tokens, as they are rotated.
    Ours,
    /// These keys.
    Keys(Vec<IssuerKey>),
    /// Keys that are fetched.
    Remote(Box<RemoteOptions>, Outbound),
}

#[derive(Clone)]
enum Source {
    Ours,
    Keys(Arc<IssuerKeys>),
    Remote(Arc<RemoteKeys>),
}

struct Known {
    source: Source,
    terms: Option<Arc<IssuerTerms>>,
}

/// The issuers by API, and whom to ask about tokens that only their issuer can read.
#[derive(Default)]
pub(crate) struct Issuers {
    known: RwLock<HashMap<String, HashMap<String, Known>>>,
    introspections: RwLock<HashMap<(String, String), Arc<Introspection>>>,
    logins: RwLock<HashMap<(String, String), Arc<Login>>>,
}

impl Issuers {
    /// Says whose tokens an API takes; what is fetched is handed back, so that somebody fetches it.
    pub(crate) fn trust(
        &self,
        api: &str,
        issuer: &str,
        keys: TrustedIssuer,
        terms: Option<IssuerTerms>,
    ) -> Option<Arc<RemoteKeys>> {
        let source = match keys {
            TrustedIssuer::Ours => Source::Ours,
            TrustedIssuer::Keys(keys) => Source::Keys(Arc::new(IssuerKeys { keys, ours: false })),
            TrustedIssuer::Remote(options, outbound) => {
                Source::Remote(Arc::new(RemoteKeys::new(*options, outbound)))
            }
        };
        let remote = match &source {
            Source::Remote(remote) => Some(Arc::clone(remote)),
            Source::Ours | Source::Keys(_) => None,
        };
        let known = Known { source, terms: terms.map(Arc::new) };
        let mut issuers = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = issuers.entry(api.to_owned()).or_default().insert(issuer.to_owned(), known);
        match replaced.map(|known| known.source) {
            Some(Source::Keys(keys)) => keys.fall(None),
            Some(Source::Remote(remote)) => remote.fall(),
            Some(Source::Ours) | None => {}
        }
        remote
    }

    pub(crate) fn keys(
        &self,
        api: &str,
        issuer: &str,
        ours: impl FnOnce() -> Arc<IssuerKeys>,
    ) -> Result<Option<Arc<IssuerKeys>>, Unavailable> {
        match self.source(api, issuer) {
            None => Ok(None),
            Some(Source::Ours) => Ok(Some(ours())),
            Some(Source::Keys(keys)) => Ok(Some(keys)),
            Some(Source::Remote(remote)) => remote.at_hand().map(Some),
        }
    }

    /// The keys of an issuer that are fetched.
    pub(crate) fn remote(&self, api: &str, issuer: &str) -> Option<Arc<RemoteKeys>> {
        match self.source(api, issuer)? {
            Source::Remote(remote) => Some(remote),
            Source::Ours | Source::Keys(_) => None,
        }
    }

    pub(crate) fn terms(&self, api: &str, issuer: &str) -> Option<Arc<IssuerTerms>> {
        let issuers = self.known.read().unwrap_or_else(PoisonError::into_inner);
        issuers.get(api)?.get(issuer)?.terms.clone()
    }

    fn source(&self, api: &str, issuer: &str) -> Option<Source> {
        let issuers = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Some(issuers.get(api)?.get(issuer)?.source.clone())
    }

    /// Says who is asked about tokens that come as a credential.
    pub(crate) fn ask(&self, api: &str, credential: &str, whom: Introspection) {
        let mut introspections = self.introspections.write().unwrap_or_else(PoisonError::into_inner);
        introspections.insert((api.to_owned(), credential.to_owned()), Arc::new(whom));
    }

    /// Says how people log in at an API by a name.
    pub(crate) fn log_in(&self, api: &str, name: &str, login: Login) {
        let mut logins = self.logins.write().unwrap_or_else(PoisonError::into_inner);
        logins.insert((api.to_owned(), name.to_owned()), Arc::new(login));
    }

    pub(crate) fn login(&self, api: &str, name: &str) -> Option<Arc<Login>> {
        let logins = self.logins.read().unwrap_or_else(PoisonError::into_inner);
        logins.get(&(api.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn introspection(&self, api: &str, credential: &str) -> Option<Arc<Introspection>> {
        let introspections = self.introspections.read().unwrap_or_else(PoisonError::into_inner);
        if introspections.is_empty() {
            return None;
        }
        introspections.get(&(api.to_owned(), credential.to_owned())).cloned()
    }
}
