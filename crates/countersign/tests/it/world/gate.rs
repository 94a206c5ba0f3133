//! The gate of a world: wired as the binary wires it, with one listener.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use countersign_auth::api::Api;
use countersign_gateway::gate::{self, Gate, GateOptions};
use countersign_gateway::hop::Protected;
use countersign_gateway::listen::{Http2, Listener};
use countersign_gateway::metrics::Metrics;
use countersign_gateway::serve::{Running, ServeOptions, start};
use countersign_gateway::upstream::{Upstream as Backend, UpstreamOptions};
use countersign_identity::service::Service;
use countersign_identity::world::OsRandom;
use countersign_services::mounted::{self as services, Mounted};

use super::clock::TurnedClock;
use super::cut::Cut;
use super::setting::Setting;
use super::{ASSERTION, CONTROL, Variant};
use crate::upstream::Upstream;

pub(super) struct Listening<'w> {
    pub(super) service: &'w Arc<Service>,
    pub(super) lookups: &'w Arc<Cut>,
    pub(super) clock: &'w Arc<TurnedClock>,
    pub(super) metrics: &'w Arc<Metrics>,
    pub(super) variant: Variant,
}

pub(super) fn listen(
    setting: &Setting,
    apis: Vec<Arc<Api>>,
    listening: Listening<'_>,
    upstream: &Upstream,
) -> (Running, SocketAddr, Arc<Mounted>) {
    let Listening { service, lookups, clock, metrics, variant } = listening;
    let url = format!("http://{}", upstream.address());
    let mut options = UpstreamOptions::new("service", &url).unwrap();
    options.times.head = variant.silence;
    let backend = Backend::new(options).unwrap();
    // As the binary does it.
    let mut protected = vec![ASSERTION.to_owned()];
    protected
        .extend(apis.iter().flat_map(|api| api.identity_header_names()).map(|name| name.as_str().to_owned()));
    let mounting = services::World {
        service: Arc::clone(service),
        clock: Arc::clone(clock) as Arc<_>,
        random: Arc::new(OsRandom::default()),
    };
    let services = CONTROL.block_on(Mounted::new(&apis, &mounting, CONTROL.handle())).unwrap();
    let services = Arc::new(services);
    let apis = setting
        .file
        .api
        .iter()
        .zip(apis)
        .map(|(entry, api)| gate::ApiOptions {
            cors: entry.cors(&api),
            api,
            places: entry.places(),
            upstream: Arc::clone(&backend),
        })
        .collect();
    let gate = Gate::new(GateOptions {
        apis,
        lookups: Arc::clone(lookups) as Arc<_>,
        operations: Arc::clone(service) as Arc<_>,
        signer: Arc::clone(service) as Arc<_>,
        negotiation: Some(Arc::clone(service) as Arc<_>),
        objects: Arc::clone(service) as Arc<_>,
        services: Arc::clone(&services) as Arc<_>,
        clock: Arc::clone(clock) as Arc<_>,
        random: Arc::new(OsRandom::default()),
        limits: variant.limits,
        fronts: variant.fronts,
        protected: Protected::new(protected.iter().map(String::as_str)),
        metrics: Arc::clone(metrics),
        access: Some(crate::threats::heard::access()),
        request_id: None,
    })
    .unwrap();
    let listener = Listener {
        name: "main".to_owned(),
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        proxy_protocol: countersign_gateway::address::Networks::default(),
        http2: Http2::On,
    };
    let running =
        start(gate, ServeOptions { listeners: vec![listener], cores: NonZeroUsize::new(1) }).unwrap();
    let address = running.address("main").unwrap();
    (running, address, services)
}
