//! Adds the cells up for a scrape.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use countersign_auth::refusal::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{ApiMetrics, BUCKETS_US, Metrics, UpstreamFault};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Debug)]
struct Collect(Arc<Metrics>);

impl Metrics {
    /// Adds these counters to a registry, beside others.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        registry.register_collector(Box::new(Collect(Arc::clone(self))));
    }
}

pub(super) fn render(metrics: &Arc<Metrics>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Collect {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let apis: Vec<Arc<ApiMetrics>> = {
            let listed = self.0.apis.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            listed.iter().chain([&self.0.none]).cloned().collect()
        };
        requests(&mut encoder, &apis)?;
        refusals(&mut encoder, &apis)?;
        faults(&mut encoder, &apis)?;
        latency(&mut encoder, &apis)?;
        self.connections(&mut encoder)
    }
}

impl Collect {
    fn connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let read = |cell: &std::sync::atomic::AtomicU64| cell.load(Ordering::Relaxed);
        let closed = read(&self.0.closed);
        let accepted = read(&self.0.accepted);
        let gauges = [
            ("countersign_connections", "Client connections open now", accepted.saturating_sub(closed)),
            ("countersign_tunnels", "Upgraded connections open now", read(&self.0.tunnels)),
        ];
        for (name, help, value) in gauges {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        encoder
            .encode_descriptor(
                "countersign_connections_accepted",
                "Client connections taken",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, u64>(&accepted, None)?;
        encoder
            .encode_descriptor(
                "countersign_accepts_failed",
                "Tries to take a client's connection that the system refused",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, _, u64>(&self.0.cuts.missed(), None)?;
        let mut metric = encoder.encode_descriptor(
            "countersign_connections_cut",
            "Client connections closed, and answers of HTTP/2 ended, at a limit",
            None,
            MetricType::Counter,
        )?;
        for (limit, count) in self.0.cuts.counts() {
            metric.encode_family(&[("limit", limit)])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let mut metric = encoder.encode_descriptor(
            "countersign_tls_handshakes_failed",
            "TLS handshakes that failed before their time was over",
            None,
            MetricType::Counter,
        )?;
        for (kind, count) in self.0.cuts.handshakes() {
            metric.encode_family(&[("kind", kind)])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let mut metric = encoder.encode_descriptor(
            "countersign_heads_unread",
            "Heads of requests that are no HTTP, or far beyond the limits",
            None,
            MetricType::Counter,
        )?;
        for (kind, count) in self.0.cuts.unread() {
            metric.encode_family(&[("kind", kind)])?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}

fn requests(encoder: &mut DescriptorEncoder<'_>, apis: &[Arc<ApiMetrics>]) -> Result<(), std::fmt::Error> {
    let mut metric =
        encoder.encode_descriptor("countersign_requests", "Requests answered", None, MetricType::Counter)?;
    for api in apis {
        for (index, class) in CLASSES.iter().enumerate() {
            let count = api.sum(|cell| cell.by_class.get(index));
            if count > 0 {
                metric
                    .encode_family(&[("api", &*api.name), ("status", class)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
    }
    let mut metric = encoder.encode_descriptor(
        "countersign_requests_in_flight",
        "Requests being served",
        None,
        MetricType::Gauge,
    )?;
    for api in apis {
        let ended = api.sum(|cell| Some(&cell.ended));
        let flight = api.sum(|cell| Some(&cell.begun)).saturating_sub(ended);
        metric
            .encode_family(&[("api", &*api.name)])?
            .encode_gauge(&i64::try_from(flight).unwrap_or(i64::MAX))?;
    }
    Ok(())
}

fn refusals(encoder: &mut DescriptorEncoder<'_>, apis: &[Arc<ApiMetrics>]) -> Result<(), std::fmt::Error> {
    let mut metric =
        encoder.encode_descriptor("countersign_refusals", "Requests refused", None, MetricType::Counter)?;
    for api in apis {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            let count = api.sum(|cell| cell.refused.get(index));
            if count > 0 {
                metric
                    .encode_family(&[("api", &*api.name), ("reason", reason.name())])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
    }
    Ok(())
}

fn faults(encoder: &mut DescriptorEncoder<'_>, apis: &[Arc<ApiMetrics>]) -> Result<(), std::fmt::Error> {
    let mut metric = encoder.encode_descriptor(
        "countersign_upstream_faults",
        "Failures of upstreams",
        None,
        MetricType::Counter,
    )?;
    for api in apis {
        for (index, (_, name)) in UpstreamFault::ALL.iter().enumerate() {
            let count = api.sum(|cell| cell.faults.get(index));
            if count > 0 {
                metric
                    .encode_family(&[("api", &*api.name), ("fault", name)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
    }
    Ok(())
}

fn latency(encoder: &mut DescriptorEncoder<'_>, apis: &[Arc<ApiMetrics>]) -> Result<(), std::fmt::Error> {
    let mut metric = encoder.encode_descriptor(
        "countersign_request_seconds",
        "From a request's head to its answer's end",
        None,
        MetricType::Histogram,
    )?;
    for api in apis {
        let bounds = BUCKETS_US.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds
            .enumerate()
            .map(|(index, bound)| (bound, api.sum(|cell| cell.micros.get(index))))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(api.sum(|cell| Some(&cell.micros_sum)));
        metric
            .encode_family(&[("api", &*api.name)])?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a sum beyond 2^53 us is 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn cores_add_up() {
        let metrics = Metrics::new(2);
        let api = metrics.api(&"shop".into());
        for core in 0..3 {
            api.begun(core);
            api.ended(core, StatusCode::OK, Duration::from_micros(90));
        }
        api.begun(1);
        api.refused(1, Reason::BadToken);
        api.fault(0, UpstreamFault::Late);
        let text = metrics.render().unwrap();
        for line in [
            "countersign_requests_total{api=\"shop\",status=\"2xx\"} 3",
            "countersign_requests_in_flight{api=\"shop\"} 1",
            "countersign_refusals_total{api=\"shop\",reason=\"bad-token\"} 1",
            "countersign_upstream_faults_total{api=\"shop\",fault=\"late\"} 1",
            "countersign_request_seconds_bucket{le=\"0.0001\",api=\"shop\"} 3",
            "countersign_connections 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(Arc::ptr_eq(&api, &metrics.api(&"shop".into())));
    }
}
