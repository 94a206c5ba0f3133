//! What the tests of the data plane share: a gate whose ports are never asked, upstreams made of closures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

pub(crate) mod ports;

use std::sync::Arc;

use crate::address::Fronts;
use countersign_auth::api::Api;
use crate::gate::{ApiOptions, Gate, GateError, GateOptions, Place};
use crate::hop::Protected;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::upstream::{Upstream, UpstreamOptions};

/// A gate with these APIs and places; their upstream is never asked.
pub(crate) fn gate(apis: Vec<(&str, Vec<Place>)>) -> Result<Gate, GateError> {
    let upstream = Upstream::new(UpstreamOptions::new("nowhere", "http://127.0.0.1:1").expect("a URL")).expect("one");
    let apis = apis
        .into_iter()
        .map(|(name, places)| ApiOptions {
            api: Arc::new(plain_api(name)),
            places,
            upstream: Arc::clone(&upstream),
        })
        .collect();
    Gate::new(options(apis))
}

/// A gate's options with ports that are never asked.
pub(crate) fn options(apis: Vec<ApiOptions>) -> GateOptions {
    GateOptions {
        apis,
        lookups: Arc::new(ports::Nobody),
        operations: Arc::new(ports::Nobody),
        signer: Arc::new(ports::Nobody),
        clock: Arc::new(ports::Nobody),
        random: Arc::new(ports::Nobody),
        limits: Limits { tick: std::time::Duration::from_millis(5), ..Limits::default() },
        fronts: Fronts::default(),
        protected: Protected::new(["Countersign-Assertion", "X-User"]),
        metrics: Metrics::new(2),
    }
}

/// An API that looks at nothing: the rules are not what these tests are about.
fn plain_api(name: &str) -> Api {
    let text = r#"
schema = 1
name = "plain"
[surface.all]
at = "/**"
accepts = ["anonymous"]
errors = "all"
[errors.all.any]
text = "{{ message }}"
"#;
    let dialect = countersign_auth::dialect::Dialect::load("plain", text).unwrap();
    let options = countersign_auth::api::ApiOptions { name: name.to_owned(), ..Default::default() };
    Api::new(Arc::new(dialect), options).unwrap()
}
