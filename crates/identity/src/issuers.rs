//! Whose JWTs an API takes, and key sets as operators hand them in.

mod described;
pub mod introspection;
pub mod login;
pub mod remote;

use std::sync::Arc;

use countersign_auth::port::foreign::IssuerTerms;
use countersign_auth::port::{IssuerKey, IssuerKeys, Unavailable};
use hashbrown::HashMap;

use self::described::Described;
use self::introspection::Introspection;
use self::login::Login;
use self::remote::{RemoteKeys, RemoteOptions};
use crate::outbound::Outbound;
use crate::rcu::Rcu;

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

impl Source {
    /// Ends what was verified by these keys, unless they are the gate's own.
    fn fall(&self) {
        match self {
            Self::Ours => {}
            Self::Keys(keys) => keys.fall(None),
            Self::Remote(remote) => remote.fall(),
        }
    }
}

#[derive(Clone)]
struct Known {
    source: Source,
    terms: Option<Arc<IssuerTerms>>,
}

/// By API, and by a name there.
type ByApi<T> = HashMap<String, HashMap<String, T>>;

fn put<T: Clone>(all: &Rcu<ByApi<T>>, api: &str, name: &str, what: T) -> Option<T> {
    all.change(|all| all.entry(api.to_owned()).or_default().insert(name.to_owned(), what))
}

fn find<T: Clone>(all: &Rcu<ByApi<T>>, api: &str, name: &str) -> Option<T> {
    all.read().get(api)?.get(name).cloned()
}

/// The issuers by API, and whom to ask about tokens that only their issuer can read.
#[derive(Default)]
pub(crate) struct Issuers {
    known: Rcu<ByApi<Known>>,
    introspections: Rcu<ByApi<Arc<Introspection>>>,
    logins: Rcu<ByApi<Arc<Login>>>,
    pub(crate) described: Described,
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
        if let Some(before) = put(&self.known, api, issuer, known) {
            before.source.fall();
        }
        remote
    }

    /// Forgets what was said of an API; what its issuers' keys proved falls.
    pub(crate) fn forget(&self, api: &str) {
        let known = self.known.change(|all| all.remove(api));
        known.iter().flat_map(HashMap::values).for_each(|known| known.source.fall());
        self.introspections.change(|all| all.remove(api));
        self.logins.change(|all| all.remove(api));
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
        self.known.read().get(api)?.get(issuer)?.terms.clone()
    }

    fn source(&self, api: &str, issuer: &str) -> Option<Source> {
        Some(self.known.read().get(api)?.get(issuer)?.source.clone())
    }

    /// Says who is asked about tokens that come as a credential.
    pub(crate) fn ask(&self, api: &str, credential: &str, whom: Introspection) {
        put(&self.introspections, api, credential, Arc::new(whom));
    }

    /// Says how people log in at an API by a name.
    pub(crate) fn log_in(&self, api: &str, name: &str, login: Login) {
        put(&self.logins, api, name, Arc::new(login));
    }

    pub(crate) fn login(&self, api: &str, name: &str) -> Option<Arc<Login>> {
        find(&self.logins, api, name)
    }

    pub(crate) fn introspection(&self, api: &str, credential: &str) -> Option<Arc<Introspection>> {
        find(&self.introspections, api, credential)
    }
}
