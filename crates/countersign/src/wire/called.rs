//! What services were answered that called at the administration listener, for operators.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_gateway::administration::calls::Reply;
use http::StatusCode;

/// The classes of statuses that they are counted by.
const CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

/// Answers by class, since the start.
#[derive(Debug, Default)]
pub(super) struct Called([AtomicU64; CLASSES.len()]);

/// Who called about what, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// An API of the configuration: what else stands in a path is a stranger's word.
    pub(super) api: Option<String>,
    /// What the configuration calls the service whose key was shown.
    pub(super) service: Option<String>,
    pub(super) address: IpAddr,
}

impl Called {
    /// Counts an answer, and says in the log whom a call was refused to: a line a request, as of those that pass. That an
    /// object is not known is what a service asked.
    pub(super) fn note(&self, reply: &Reply, caller: &Caller) {
        let status = reply.status;
        let class = if status.is_success() {
            0
        } else if status.is_server_error() {
            2
        } else {
            1
        };
        if let Some(count) = self.0.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if status.is_success() || (status == StatusCode::NOT_FOUND && caller.service.is_some()) {
            return;
        }
        let Caller { api, service, address } = caller;
        tracing::info!(
            api = api.as_deref(),
            service = service.as_deref(),
            client.address = %address,
            http.status = status.as_u16(),
            "refused a call of a service"
        );
    }

    /// Appends the counters to a text of OpenMetrics.
    pub(super) fn append(&self, text: &mut String) {
        text.push_str("# HELP countersign_service_calls Calls of services at the administration listener that were answered.\n");
        text.push_str("# TYPE countersign_service_calls counter\n");
        for (class, count) in CLASSES.iter().zip(&self.0) {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(text, "countersign_service_calls_total{{status=\"{class}\"}} {count}");
        }
    }
}
