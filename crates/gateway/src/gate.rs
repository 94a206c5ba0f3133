//! What all cores share: the APIs, the ports, the limits. Replaced as a whole when the configuration changes.

mod neighbours;
mod places;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign_auth::api::Api;
use countersign_auth::policy::headers_checked;
use countersign_auth::port::negotiation::Negotiation;
use countersign_auth::port::objects::Objects;
use countersign_auth::port::services::Services;
use countersign_auth::port::{Lookups, Operations, Signer};
use countersign_auth::time::{Clock, Random};
use http::{HeaderMap, HeaderName};

use crate::address::Fronts;
use crate::cors::{Cors, CorsOptions};
use crate::gate::neighbours::Cookies;
use crate::gate::places::Places;
use crate::hop::{self, Protected};
use crate::limits::Limits;
use crate::log::Access;
use crate::metrics::{ApiMetrics, Metrics};
use crate::openings::Openings;
use crate::upstream::Upstream;

/// Where an API is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The listener that it is on; on all if `None`.
    pub listener: Option<String>,
    /// The host that it answers for; all others' if `None`.
    pub host: Option<String>,
    /// The canonical path that it begins with, e.g. `/api/v2`; `/` or nothing for all.
    pub prefix: String,
}

/// The place of an API in its gate's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiIndex(usize);

/// An API with its places and its upstream.
#[derive(Debug)]
pub struct ApiMount {
    /// Where it stands in the list.
    pub index: ApiIndex,
    /// What it is.
    pub api: Arc<Api>,
    /// Where it is to be found.
    pub places: Vec<Place>,
    /// Where its requests go.
    pub upstream: Arc<Upstream>,
    /// Which pages of other origins may call it.
    pub(crate) cors: Cors,
    /// Names of fields that decide something here, or mean something to the service: no client may have them taken out.
    pub(crate) reads: Protected,
    /// Names that fronts use as well, but that mean something else here: its dialect passes them on, or an object rule
    /// reads them.
    pub(crate) own_meaning: Vec<HeaderName>,
    /// The hosts that its places name.
    pub(crate) hosts: Vec<String>,
    /// Names of cookies that are credentials of other APIs and come here as well, in the order of their bytes.
    pub(crate) neighbours: Vec<Arc<str>>,
    /// Which of them it was told that the service sets as well.
    told: Vec<AtomicBool>,
    /// Its counters.
    pub(crate) metrics: Arc<ApiMetrics>,
}

impl ApiMount {
    /// Takes out of an answer of the service what only the gate may say. A cookie of the service's own that is called like
    /// another API's session is lost by that: said once for each name, until the configuration changes.
    pub(crate) fn remove_own_names(&self, headers: &mut HeaderMap) {
        for cookie in self.api.remove_own_names(headers, &self.neighbours) {
            let told = self.neighbours.binary_search(&cookie).ok().and_then(|at| self.told.get(at));
            if told.is_some_and(|told| !told.swap(true, Ordering::Relaxed)) {
                let api = self.api.name();
                tracing::warn!(
                    api = &**api,
                    cookie = &*cookie,
                    "took a cookie out that the service sets: it is called like a credential of another API of the same host; give the two APIs hosts of their own"
                );
            }
        }
    }
}

/// An API as the configuration mounts it.
#[derive(Debug)]
pub struct ApiOptions {
    /// What it is.
    pub api: Arc<Api>,
    /// Where it is to be found.
    pub places: Vec<Place>,
    /// Where its requests go.
    pub upstream: Arc<Upstream>,
    /// Which pages of other origins may call it; none if `None`.
    pub cors: Option<CorsOptions>,
}

/// What a gate is made of.
pub struct GateOptions {
    /// The APIs.
    pub apis: Vec<ApiOptions>,
    /// Who holds what.
    pub lookups: Arc<dyn Lookups>,
    /// What endpoints make happen.
    pub operations: Arc<dyn Operations>,
    /// Signs assertions and tokens.
    pub signer: Arc<dyn Signer>,
    /// Checks Kerberos and NTLM; `None` where no API accepts them.
    pub negotiation: Option<Arc<dyn Negotiation>>,
    /// Who owns what.
    pub objects: Arc<dyn Objects>,
    /// The named services that endpoints mount.
    pub services: Arc<dyn Services>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// The limits of the data plane.
    pub limits: Limits,
    /// Who is believed about the hops before the gate.
    pub fronts: Fronts,
    /// Names of fields that only the gate may set.
    pub protected: Protected,
    /// The counters; the same for every gate of a process.
    pub metrics: Arc<Metrics>,
    /// Where the access log goes; there is none without it.
    pub access: Option<Access>,
    /// The field in which services and clients are told the id of a request; nobody is without it. It is to be among
    /// `protected`.
    pub request_id: Option<HeaderName>,
}

/// All that the cores need to serve requests.
pub struct Gate {
    apis: Vec<ApiMount>,
    places: Places,
    /// Who holds what.
    pub lookups: Arc<dyn Lookups>,
    /// What endpoints make happen.
    pub operations: Arc<dyn Operations>,
    /// Signs assertions and tokens.
    pub signer: Arc<dyn Signer>,
    /// Checks Kerberos and NTLM; `None` where no API accepts them.
    pub negotiation: Option<Arc<dyn Negotiation>>,
    /// Who owns what.
    pub objects: Arc<dyn Objects>,
    /// The named services that endpoints mount.
    pub services: Arc<dyn Services>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// The limits of the data plane.
    pub limits: Limits,
    /// Who is believed about the hops before the gate.
    pub fronts: Fronts,
    /// Names of fields that only the gate may set.
    pub protected: Protected,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// What strangers have opened.
    pub(crate) openings: Openings,
    /// Where the access log goes.
    pub access: Option<Access>,
    /// The field in which services and clients are told the id of a request.
    pub(crate) request_id: Option<HeaderName>,
}

/// Why a gate cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Two APIs, or one twice, at one place: which one a request is for could not be told.
    #[error("apis {first} and {second} are both at {place}")]
    PlaceTaken {
        /// The API that came first.
        first: String,
        /// The API that came second.
        second: String,
        /// Where.
        place: String,
    },
    /// A host that no request could name.
    #[error("host {host} of api {api} is no name or address")]
    Host {
        /// The API.
        api: String,
        /// Its host.
        host: String,
    },
    /// A prefix that no canonical path begins with.
    #[error("prefix {prefix} of api {api} does not begin with / or is not in canonical form")]
    Prefix {
        /// The API.
        api: String,
        /// Its prefix.
        prefix: String,
    },
}

impl Gate {
    /// Makes a gate.
    ///
    /// # Errors
    /// See [`GateError`].
    pub fn new(options: GateOptions) -> Result<Self, GateError> {
        let cookies = Cookies::of(&options.apis);
        let apis: Vec<ApiMount> = options
            .apis
            .into_iter()
            .enumerate()
            .map(|(index, api)| ApiMount {
                told: cookies.beside(&api).iter().map(|_| AtomicBool::new(false)).collect(),
                neighbours: cookies.beside(&api),
                index: ApiIndex(index),
                metrics: options.metrics.api(api.api.name()),
                reads: Protected::new(
                    api.api.headers_read().chain(headers_checked(&api.api)).map(HeaderName::as_str),
                ),
                own_meaning: api
                    .api
                    .headers_read()
                    .chain(headers_checked(&api.api))
                    .filter(|name| hop::is_forwarding(name.as_str()))
                    .cloned()
                    .collect(),
                api: api.api,
                hosts: api.places.iter().filter_map(|place| place.host.clone()).collect(),
                places: api.places,
                upstream: api.upstream,
                cors: Cors::new(api.cors.unwrap_or_default()),
            })
            .collect();
        let places = Places::new(&apis)?;
        Ok(Self {
            apis,
            places,
            lookups: options.lookups,
            operations: options.operations,
            signer: options.signer,
            negotiation: options.negotiation,
            objects: options.objects,
            services: options.services,
            clock: options.clock,
            random: options.random,
            openings: Openings::new(options.limits.anonymous_sessions),
            limits: options.limits,
            fronts: options.fronts,
            protected: options.protected,
            metrics: options.metrics,
            request_id: options.request_id,
            access: options.access,
        })
    }

    /// The APIs, in the order of the configuration.
    pub fn apis(&self) -> &[ApiMount] {
        &self.apis
    }

    /// The API of that index.
    pub fn api(&self, index: ApiIndex) -> Option<&ApiMount> {
        self.apis.get(index.0)
    }

    /// The API that a request is for: an exact host before any host, then the longest prefix that ends at a
    /// segment's end, then a place on this listener before one on all.
    ///
    /// `host` is the name in its one spelling, without port (T-A6); empty if none is named. `path` is canonical, without
    /// query.
    /// The prefix comes with it: without a trailing slash, empty for all paths.
    pub fn find(&self, listener: &str, host: &str, path: &str) -> Option<(&ApiMount, &Arc<str>)> {
        let (api, prefix) = self.places.find(listener, host, path)?;
        Some((self.apis.get(api)?, prefix))
    }

    /// The API that a request of an unknown host is for: the one that is there, whatever
    /// the host; `None` where there are several.
    pub(crate) fn find_whatever_host(&self, listener: &str, path: &str) -> Option<(&ApiMount, &Arc<str>)> {
        let (api, prefix) = self.places.find_whatever_host(listener, path)?;
        Some((self.apis.get(api)?, prefix))
    }

    /// Whether `address` is a front's whose forwarding fields are believed.
    pub fn is_front(&self, address: IpAddr) -> bool {
        self.fronts.networks.hold(address)
    }
}
