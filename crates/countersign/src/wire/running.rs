//! A gate that runs: listeners, data plane, administration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use countersign_auth::port::Purpose;
use countersign_gateway::address::{Fronts, Networks};
use countersign_gateway::administration::{self, Administration, AdministrationOptions};
use countersign_gateway::gate::{ApiOptions, Gate, GateOptions, Place};
use countersign_gateway::hop::Protected;
use countersign_gateway::limits::Limits;
use countersign_gateway::listen::{Http2, Listener, TlsFiles};
use countersign_gateway::metrics::Metrics;
use countersign_gateway::serve::{self, ServeOptions};
use countersign_gateway::upstream::{Check, Times, Upstream, UpstreamOptions, UpstreamTls};
use countersign_identity::world::OsRandom;

use super::Identities;
use crate::config::{self, Loaded};
use crate::output::Failure;

/// How often a backend is asked for its health.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long it may take to say.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// A gate that runs.
pub(crate) struct Running {
    /// Where its administration listener is.
    pub(crate) administration: SocketAddr,
    /// Where its listeners are, by name.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    data_plane: serve::Running,
    administration_listener: Administration,
    drain: Duration,
}

impl Running {
    /// Stops it: no new connections, what runs may end within the configured time.
    pub(crate) async fn stop(self) {
        let Self { data_plane, administration_listener, drain, .. } = self;
        data_plane.shutdown(drain);
        let drained = tokio::task::spawn_blocking(move || data_plane.wait()).await;
        match drained {
            Ok(Ok(0)) => {}
            Ok(Ok(cut)) => tracing::warn!(connections = cut, "connections were cut at the end of the drain time"),
            Ok(Err(error)) => tracing::error!(%error, "the data plane did not end well"),
            Err(error) => tracing::error!(%error, "the data plane could not be awaited"),
        }
        administration_listener.stop().await;
    }
}

/// Starts the gate of a checked configuration.
///
/// # Errors
/// If an upstream or a listener cannot be set up.
pub(crate) async fn start(loaded: &Loaded, identities: &Arc<Identities>) -> Result<Running, Failure> {
    let config = &loaded.config;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let metrics = Metrics::new(cores);
    let gate = gate(loaded, identities, &metrics)?;
    let options = ServeOptions { listeners: config.listener.iter().map(|l| listener(loaded, l)).collect(), cores: None };
    let data_plane = serve::start(gate, options).map_err(anyhow::Error::from)?;
    let administration = administration_options(config.administration.listen.0, identities, &metrics);
    let administration = administration::start(&tokio::runtime::Handle::current(), administration)
        .with_context(|| format!("could not listen on {} for administration", config.administration.listen.0))?;
    Ok(Running {
        administration: administration.address(),
        listeners: data_plane.addresses().to_vec(),
        data_plane,
        administration_listener: administration,
        drain: config.limits.drain.0,
    })
}

fn gate(loaded: &Loaded, identities: &Arc<Identities>, metrics: &Arc<Metrics>) -> Result<Gate, Failure> {
    let config = &loaded.config;
    let mut apis = Vec::new();
    for (written, api) in config.api.iter().zip(&identities.apis) {
        apis.push(ApiOptions {
            api: Arc::clone(api),
            places: places(written),
            upstream: upstream(loaded, written)?,
        });
    }
    let mut protected = vec![countersign_auth::assertion::HEADER.as_str().to_owned()];
    for api in &identities.apis {
        protected.extend(api.identity_header_names().map(|name| name.as_str().to_owned()));
    }
    let options = GateOptions {
        apis,
        lookups: Arc::clone(&identities.service) as _,
        operations: Arc::clone(&identities.service) as _,
        signer: Arc::clone(&identities.service) as _,
        clock: Arc::clone(&identities.clock),
        random: Arc::new(OsRandom::default()),
        limits: limits(&config.limits),
        fronts: Fronts {
            networks: networks(&config.network.trusted_proxies),
            fields: countersign_gateway::address::ForwardingFields::default(),
        },
        protected: Protected::new(protected.iter().map(String::as_str)),
        metrics: Arc::clone(metrics),
    };
    Ok(Gate::new(options).map_err(anyhow::Error::from)?)
}

fn places(api: &config::Api) -> Vec<Place> {
    let on: Vec<Option<String>> = match &api.listeners {
        None => vec![None],
        Some(names) => names.iter().cloned().map(Some).collect(),
    };
    let at = |listener: &Option<String>| {
        let listener = listener.clone();
        api.at.iter().map(move |place| Place {
            listener: listener.clone(),
            host: place.host.clone(),
            prefix: place.prefix.clone(),
        })
    };
    on.iter().flat_map(at).collect()
}

fn networks(list: &[config::Network]) -> Networks {
    Networks::new(list.iter().map(|network| network.0))
}

fn limits(written: &config::Limits) -> Limits {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        header_bytes: size(written.header_bytes),
        header_count: size(written.header_count),
        connections: size(written.connections),
        connections_per_address: size(written.connections_per_address),
        head: written.header_timeout.0,
        keep_alive: written.idle_timeout.0,
        ..Limits::default()
    }
}

fn listener(loaded: &Loaded, written: &config::Listener) -> Listener {
    Listener {
        name: written.name.clone(),
        address: written.address.0,
        tls: written.tls.as_ref().map(|tls| TlsFiles {
            certificate: loaded.path(&tls.certificate),
            key: loaded.path(&tls.key),
        }),
        proxy_protocol: networks(&written.proxy_protocol_from),
        http2: Http2::default(),
    }
}

fn upstream(loaded: &Loaded, api: &config::Api) -> Result<Arc<Upstream>, Failure> {
    let options = match &api.upstream {
        config::Upstream::One(origin) => {
            UpstreamOptions::new(&api.name, &origin.to_string()).map_err(anyhow::Error::from)?
        }
        config::Upstream::Many(many) => backends(loaded, api, many)?,
    };
    Ok(Upstream::new(options).map_err(anyhow::Error::from)?)
}

fn backends(loaded: &Loaded, api: &config::Api, many: &config::Backends) -> Result<UpstreamOptions, Failure> {
    let each = many
        .backends
        .iter()
        .map(|origin| UpstreamOptions::new(&api.name, &origin.to_string()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(anyhow::Error::from)?;
    let addresses = each.iter().flat_map(|one| one.backends.clone()).collect();
    let Some(first) = each.into_iter().next() else {
        return Err(Failure::Failed(anyhow!("api {} has no backend", api.name)));
    };
    Ok(UpstreamOptions {
        backends: addresses,
        tls: first.tls.as_ref().map(|_| UpstreamTls {
            roots: many.ca.as_ref().map(|file| loaded.path(file)),
            server_name: many.server_name.clone(),
        }),
        check: many.health.clone().map(|path| Check { path, every: CHECK_EVERY, timeout: CHECK_TIMEOUT }),
        times: Times { connect: many.connect_timeout.0, head: many.response_timeout.0, ..Times::default() },
        ..first
    })
}

fn administration_options(
    address: SocketAddr,
    identities: &Arc<Identities>,
    metrics: &Arc<Metrics>,
) -> AdministrationOptions {
    let (for_ready, for_assertions, for_tokens) =
        (Arc::clone(identities), Arc::clone(identities), Arc::clone(identities));
    let metrics = Arc::clone(metrics);
    AdministrationOptions {
        address,
        hosts: Vec::new(),
        ready: Arc::new(move || {
            if for_ready.service.ready() { Ok(()) } else { Err(String::from("sessions are still being loaded")) }
        }),
        metrics: Arc::new(move || metrics.render().unwrap_or_default()),
        assertion_keys: Arc::new(move || for_assertions.service.jwks(Purpose::Assertion)),
        token_keys: Arc::new(move || for_tokens.service.jwks(Purpose::Token)),
    }
}
