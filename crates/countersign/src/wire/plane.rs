//! The data plane and the administration listener of a configuration.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use countersign_auth::api::Api;
use countersign_auth::fields::Bounds;
use countersign_auth::port::Purpose;
use countersign_gateway::address::{ForwardingFields, Fronts, Networks};
use countersign_gateway::administration::calls::Calls;
use countersign_gateway::administration::{self, Administration, AdministrationOptions};
use countersign_gateway::gate::{ApiOptions, Gate, GateOptions, Place};
use countersign_gateway::hop::Protected;
use countersign_gateway::limits::Limits;
use countersign_gateway::listen::{Http2, Listener, TlsError, TlsFiles, check_tls};
use countersign_gateway::log::Access;
use countersign_gateway::metrics::Metrics;
use countersign_gateway::serve::{self, ServeOptions};
use countersign_gateway::upstream::{
    BackendAddress, Check, HostField, Times, Upstream, UpstreamError, UpstreamOptions, UpstreamTls,
};

use countersign_services::mounted::{Mounted, World};
use countersign_services::publish::Publishing;

use super::descriptors::{self, Lowered, Size};
use super::{ASSERTION_HEADER, Identities, Settled, health, pages, service_keys};
use countersign_identity::world::{OsRandom, WallClock};

use crate::config::value::{Network, Origin, OriginScheme};
use crate::config::{self, Backends, Config, Content, Forwarding, HostFrom, Loaded, Mistake};
use crate::logging::Flusher;
use crate::output::Failure;

/// How often a backend is asked whether it is well: one that died gets no requests after two of these.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// How long it may take to say so.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// A gate that runs.
pub(crate) struct Running {
    /// Where its administration listener is.
    pub(crate) administration: SocketAddr,
    /// Where its listeners are, by name.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    pub(super) data: serve::Running,
    pub(super) present: Present,
    /// What services ask for at the administration listener.
    pub(super) calls: Arc<ArcSwap<Calls>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access: Option<Access>,
    control: Administration,
    pub(super) drain: Duration,
    /// Whether it was told to stop.
    stopping: Arc<AtomicBool>,
}

/// What the present configuration came to.
pub(super) struct Present {
    pub(super) services: Arc<Mounted>,
    /// The services behind the APIs.
    pub(super) upstreams: Vec<Reached>,
}

/// A service behind an API, and what it was made from.
pub(super) struct Reached {
    /// The configuration's words.
    words: serde_json::Value,
    /// What stood in the file of authorities that sign its certificate, if one is named.
    authorities: Option<Content>,
    upstream: Arc<Upstream>,
}

impl Running {
    /// How long [`Running::stop`] lets what runs go on.
    pub(crate) fn stops_within(&self) -> Duration {
        self.drain
    }

    /// Stops it: no new connections, what runs may end, the rest is cut.
    pub(crate) async fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.data.shutdown(self.drain);
        // What is held would keep its connection from ending.
        self.present.services.close();
        match tokio::task::spawn_blocking(move || self.data.wait()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(cut)) => {
                tracing::warn!(connections.cut = cut, "some connections did not end in time and were cut")
            }
            Ok(Err(error)) => tracing::error!(%error, "the data plane did not stop as it should"),
            Err(error) => tracing::error!(%error, "the data plane could not be waited for"),
        }
        self.control.stop().await;
    }
}

/// Starts the gate of a checked configuration.
///
/// # Errors
/// If an upstream, a certificate or a key cannot be used, or an address cannot be bound.
pub(crate) async fn start(
    loaded: &Loaded,
    identities: &Arc<Identities>,
    log: &Flusher,
) -> Result<Running, Failure> {
    identities.apply(loaded).await?;
    let (access, dropped) = (log.access(), log.dropped());
    let config = &loaded.config;
    let metrics = Metrics::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let service = identities.service();
    let settled = identities.apis();
    let apis: Vec<Arc<Api>> = settled.iter().map(|settled| Arc::clone(&settled.api)).collect();
    let services = Mounted::new(&apis, &world(identities), &tokio::runtime::Handle::current()).await?;
    let services = Arc::new(services);
    let upstreams = upstreams(loaded, &[])?;
    let present = Present { services: Arc::clone(&services), upstreams };
    let gate = gate(loaded, identities, &settled, &present, &metrics, access.clone())?;
    let listeners = config.listener.iter().map(|listener| self::listener(loaded, listener)).collect();
    let data = serve::start(gate, ServeOptions { listeners, cores: None })?;

    let (assertions, tokens, directories, state) =
        (service.clone(), service.clone(), service.clone(), service);
    let calls = Arc::new(ArcSwap::from_pointee(calls(config, identities, services)));
    let (present_calls, counted, called) = (Arc::clone(&calls), Arc::clone(&metrics), Arc::clone(identities));
    let stopping = Arc::new(AtomicBool::new(false));
    let stops = Arc::clone(&stopping);
    let control = administration::start(
        &tokio::runtime::Handle::current(),
        AdministrationOptions {
            address: config.administration.listen.0,
            hosts: config.administration.hosts.clone(),
            ready: Arc::new(move || {
                if stops.load(Ordering::Relaxed) {
                    Err(String::from("the gate is stopping"))
                } else if !state.ready() {
                    Err(String::from("sessions are still being read"))
                } else if state.is_displaced() {
                    Err(String::from("another file, or none, is in the place of the database file"))
                } else if state.cannot_write() {
                    Err(String::from("the database file cannot be written to"))
                } else {
                    Ok(health::remarks(&state))
                }
            }),
            metrics: Arc::new(move || {
                let counted = counted.render().unwrap_or_default();
                health::with_metrics(counted, &directories, called.called(), dropped.lines())
            }),
            assertion_keys: Arc::new(move || assertions.jwks(Purpose::Assertion)),
            token_keys: Arc::new(move || tokens.jwks(Purpose::Token)),
            calls: Arc::new(move |call| (*present_calls.load_full())(call)),
        },
    );
    let control = control.with_context(|| {
        let address = config.administration.listen;
        format!("could not listen on {address} for the administration (administration.listen)")
    })?;
    Ok(Running {
        administration: control.address(),
        listeners: data.addresses().to_vec(),
        data,
        present,
        calls,
        metrics,
        access,
        control,
        drain: config.limits.drain.0,
        stopping,
    })
}

/// Answers the services of a configuration.
pub(super) fn calls(config: &Config, identities: &Arc<Identities>, services: Arc<Mounted>) -> Calls {
    service_keys::calls(config, identities, Publishing::new(services, identities.service()))
}

/// What services need of the world.
pub(super) fn world(identities: &Identities) -> World {
    World { service: identities.service(), clock: Arc::new(WallClock), random: Arc::new(OsRandom::default()) }
}

/// The services behind the APIs, in their order; those of which the same was said `before` go on with their
/// connections.
pub(super) fn upstreams(loaded: &Loaded, before: &[Reached]) -> Result<Vec<Reached>, Failure> {
    let mut upstreams = Vec::with_capacity(loaded.config.api.len());
    for api in &loaded.config.api {
        // The name is in its metrics and log lines.
        let words = serde_json::to_value((&api.name, &api.upstream))?;
        let authorities = loaded.contents_of_api(&api.name).get("upstream.ca").copied();
        let same = before.iter().find(|other| other.words == words && other.authorities == authorities);
        let upstream = match same {
            Some(known) => Arc::clone(&known.upstream),
            None => Upstream::new(upstream(loaded, api)?)?,
        };
        upstreams.push(Reached { words, authorities, upstream });
    }
    Ok(upstreams)
}

/// The gate of a checked configuration.
pub(super) fn gate(
    loaded: &Loaded,
    identities: &Identities,
    settled: &[Settled],
    present: &Present,
    metrics: &Arc<Metrics>,
    access: Option<Access>,
) -> Result<Gate, Failure> {
    let config = &loaded.config;
    let service = identities.service();
    let apis = config.api.iter().zip(settled).zip(&present.upstreams);
    let apis = apis.map(|((api, settled), Reached { upstream, .. })| ApiOptions {
        api: Arc::clone(&settled.api),
        places: places(api),
        upstream: Arc::clone(upstream),
        cors: pages::cors(api, &settled.api),
    });
    let mut protected = vec![ASSERTION_HEADER];
    for Settled { api, .. } in settled {
        protected.extend(api.identity_header_names().cloned());
    }
    let request_id = request_id(config);
    protected.extend(request_id.clone());
    Ok(Gate::new(GateOptions {
        apis: apis.collect(),
        lookups: service.clone(),
        operations: service.clone(),
        signer: service.clone(),
        negotiation: Some(service.clone()),
        objects: service,
        services: Arc::clone(&present.services) as Arc<_>,
        clock: Arc::new(WallClock),
        random: Arc::new(OsRandom::default()),
        limits: settled_limits(config),
        fronts: Fronts {
            networks: networks(&config.network.trusted_proxies),
            fields: match config.network.forwarding {
                Forwarding::XForwarded => ForwardingFields::XForwarded,
                Forwarding::Forwarded => ForwardingFields::Forwarded,
            },
        },
        protected: Protected::new(protected.iter().map(http::HeaderName::as_str)),
        metrics: Arc::clone(metrics),
        access,
        request_id,
    })?)
}

/// The header in which services and clients are told the id of a request.
pub(super) fn request_id(config: &Config) -> Option<http::HeaderName> {
    // What is none is told where it is checked.
    config.log.request_id.as_ref()?.parse().ok()
}

fn networks(networks: &[Network]) -> Networks {
    Networks::new(networks.iter().map(|network| network.0))
}

/// The limits that hold; those that were lowered are in the log.
fn settled_limits(config: &Config) -> Limits {
    let mut limits = limits(&config.limits);
    if let Some(lowered) = descriptors::fit(&mut limits, Size::of(config), descriptors::raise()) {
        lowered.log();
    }
    limits
}

/// What is lowered of the limits of a configuration where a gate of this process runs on it, if anything is.
pub(crate) fn lowered(config: &Config) -> Option<Lowered> {
    descriptors::fit(&mut limits(&config.limits), Size::of(config), descriptors::raise())
}

fn limits(limits: &config::Limits) -> Limits {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        header_bytes: size(limits.header_bytes),
        header_count: size(limits.header_count),
        answer_header_bytes: size(limits.upstream_header_bytes),
        answer_header_count: size(limits.upstream_header_count),
        handshake: limits.handshake_timeout.0,
        head: limits.header_timeout.0,
        keep_alive: limits.idle_timeout.0,
        call_bytes: size(limits.call_bytes),
        fields: Bounds {
            depth: size(limits.call_depth),
            fields: size(limits.call_fields),
            parts: size(limits.call_parts),
        },
        answer_bytes: size(limits.answer_bytes),
        body_idle: limits.body_timeout.0,
        own_body: limits.body_timeout.0,
        write_stall: limits.write_timeout.0,
        streams: limits.streams,
        pending_resets: size(limits.stream_resets),
        local_resets: size(limits.stream_errors),
        control_frames: limits.control_frames,
        stream_window: limits.stream_window,
        connection_window: limits.connection_window,
        stream_send_buffer: size(limits.stream_buffer),
        anonymous_sessions: limits.anonymous_sessions,
        connections: size(limits.connections),
        connections_per_address: size(limits.connections_per_address),
        upstream_requests: size(limits.upstream_requests),
        half_closed: Limits::default().half_closed,
        tick: Limits::default().tick,
    }
}

fn listener(loaded: &Loaded, listener: &config::Listener) -> Listener {
    let files = |tls: &config::Tls| TlsFiles {
        certificate: loaded.path(&tls.certificate),
        key: loaded.path(&tls.key),
        client_authorities: tls.client_ca.as_deref().map(|file| loaded.path(file)),
    };
    Listener {
        name: listener.name.clone(),
        address: listener.address.0,
        tls: listener.tls.as_ref().map(files),
        proxy_protocol: networks(&listener.proxy_protocol_from),
        http2: if listener.http2 { Http2::On } else { Http2::Off },
    }
}

/// What is wrong with the certificates of listeners, beside what the configuration's own check sees: that each file is there.
pub(super) fn problems(loaded: &Loaded) -> Vec<Mistake> {
    let listeners = loaded.config.listener.iter().enumerate();
    let found = listeners.filter_map(|(at, listener)| {
        let listener = self::listener(loaded, listener);
        let error = check_tls(listener.tls.as_ref()?, listener.http2).err()?;
        let key = match &error {
            TlsError::Key { .. } => "key",
            TlsError::Authority { .. } => "client_ca",
            TlsError::File { .. } | TlsError::NoCertificate(_) | TlsError::Setup(_) => "certificate",
        };
        let hint = matches!(error, TlsError::Key { .. }).then(|| {
            "the key must be the one that the first certificate of the file was made for".to_owned()
        });
        let message = format!("{:#}", anyhow::Error::new(error));
        Some(Mistake { hint, ..loaded.mistake(&format!("listener[{at}].tls.{key}"), message) })
    });
    found.collect()
}

/// Every place on every listener that the API names; without names, on all of them.
fn places(api: &config::Api) -> Vec<Place> {
    let listeners: Vec<Option<String>> = match &api.listeners {
        None => vec![None],
        Some(names) => names.iter().cloned().map(Some).collect(),
    };
    let place = |listener: &Option<String>, place: &config::value::Place| Place {
        listener: listener.clone(),
        host: place.host.clone(),
        prefix: place.prefix.clone(),
    };
    listeners.iter().flat_map(|listener| api.at.iter().map(move |at| place(listener, at))).collect()
}

fn upstream(loaded: &Loaded, api: &config::Api) -> Result<UpstreamOptions, UpstreamError> {
    let backends = match &api.upstream {
        config::Upstream::One(origin) => return UpstreamOptions::new(&api.name, &origin.to_string()),
        config::Upstream::Many(backends) => backends,
    };
    let first = backends.backends.first().map(ToString::to_string).unwrap_or_default();
    let usual = UpstreamOptions::new(&api.name, &first)?;
    let Backends { ca, server_name, .. } = backends;
    let path = |path: &Path| loaded.path(path);
    let tls = UpstreamTls { roots: ca.as_deref().map(path), server_name: server_name.clone() };
    Ok(UpstreamOptions {
        backends: backends.backends.iter().map(address).collect(),
        tls: usual.tls.is_some().then_some(tls),
        host: match backends.host {
            HostFrom::Client => HostField::Client,
            HostFrom::Backend => HostField::Backend,
        },
        check: backends.health.clone().map(|path| Check { path, every: CHECK_EVERY, timeout: CHECK_TIMEOUT }),
        times: Times {
            connect: backends.connect_timeout.0,
            head: backends.response_timeout.0,
            body_idle: backends.body_timeout.0,
            ..Times::default()
        },
        ..usual
    })
}

fn address(origin: &Origin) -> BackendAddress {
    let usual = match origin.scheme {
        OriginScheme::Http => 80,
        OriginScheme::Https => 443,
    };
    BackendAddress {
        host: origin.authority.host().trim_matches(['[', ']']).to_owned(),
        port: origin.authority.port_u16().unwrap_or(usual),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_key_of_limits_sets_its_own() {
        let text = "header_bytes = 8101\nheader_count = 102\nupstream_header_bytes = 8103\nupstream_header_count = 104\ncall_bytes = 1104\n\
            call_depth = 15\ncall_fields = 106\ncall_parts = 17\nanswer_bytes = 70108\nconnections = 1109\n\
            connections_per_address = 110\nhandshake_timeout = \"11s\"\nheader_timeout = \"12s\"\n\
            idle_timeout = \"13s\"\nbody_timeout = \"14s\"\nwrite_timeout = \"15s\"\nstreams = 116\n\
            stream_resets = 117\nstream_errors = 118\nstream_window = 70119\nconnection_window = 70120\n\
            stream_buffer = 70121\nanonymous_sessions = 122\nupstream_requests = 1123\n\
            control_frames = 1124\n";
        let read: config::Limits = toml::from_str(text).unwrap();
        let usual = Limits::default();
        let Limits {
            header_bytes,
            header_count,
            answer_header_bytes,
            answer_header_count,
            handshake,
            head,
            keep_alive,
            call_bytes,
            fields,
            answer_bytes,
            body_idle,
            own_body,
            write_stall,
            streams,
            pending_resets,
            local_resets,
            control_frames,
            stream_window,
            connection_window,
            stream_send_buffer,
            anonymous_sessions,
            connections,
            connections_per_address,
            upstream_requests,
            half_closed,
            tick,
        } = limits(&read);
        assert_eq!((header_bytes, header_count), (8101, 102));
        assert_eq!((answer_header_bytes, answer_header_count), (8103, 104));
        assert_eq!((call_bytes, fields), (1104, Bounds { depth: 15, fields: 106, parts: 17 }));
        assert_eq!((answer_bytes, connections, connections_per_address), (70108, 1109, 110));
        let secs = [handshake, head, keep_alive, body_idle, own_body, write_stall].map(|time| time.as_secs());
        assert_eq!(secs, [11, 12, 13, 14, 14, 15]);
        assert_eq!((streams, pending_resets, local_resets, control_frames), (116, 117, 118, 1124));
        assert_eq!((stream_window, connection_window, stream_send_buffer), (70119, 70120, 70121));
        assert_eq!((anonymous_sessions, upstream_requests, tick), (122, 1123, usual.tick));
        assert_eq!(half_closed, usual.half_closed);
        assert!(tick > Duration::ZERO);
    }
}
