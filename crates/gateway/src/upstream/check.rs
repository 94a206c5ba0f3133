//! Asks backends how they are. The first core does this for all.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Method, Request};

use super::{Check, Upstream, connect};
use crate::body::Outgoing;
use crate::limits::Limits;
use crate::pulse::millis;
use crate::worker::Worker;

/// Starts the checks that are due; called on every beat.
pub(crate) fn run(worker: &Rc<Worker>) {
    let gate = worker.gate();
    let now = worker.pulse().now_ms();
    for mount in gate.apis() {
        let upstream = &mount.upstream;
        let Some(check) = &upstream.check else { continue };
        if upstream.next_check_ms.load(Ordering::Relaxed) > now {
            continue;
        }
        upstream.next_check_ms.store(now.saturating_add(millis(check.every)), Ordering::Relaxed);
        for index in 0..upstream.backends.len() {
            let (worker, upstream, limits) = (Rc::clone(worker), Arc::clone(upstream), gate.limits.clone());
            tokio::task::spawn_local(async move { one(&worker, &upstream, index, &limits).await });
        }
    }
}

async fn one(worker: &Rc<Worker>, upstream: &Upstream, index: usize, limits: &Limits) {
    let (Some(check), Some(backend)) = (&upstream.check, upstream.backends.get(index)) else { return };
    let asked = worker.pulse().within(check.timeout, ask(worker, upstream, index, check, limits)).await;
    let found = asked.unwrap_or_else(|_late| Err("no answer in time".to_owned()));
    backend.health.checked(found, &upstream.name, &backend.address.host);
}

async fn ask(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    index: usize,
    check: &Check,
    limits: &Limits,
) -> Result<(), String> {
    let backend = upstream.backends.get(index).ok_or("no such backend")?;
    let mut sender = connect(upstream, backend, worker, limits)
        .await
        .map_err(|error| countersign_auth::causes::chain(&error))?;
    let mut request = Request::new(Outgoing::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = check.path.parse().map_err(|_| "unusable path".to_owned())?;
    request.headers_mut().insert(HOST, backend.authority.clone());
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("countersign-check"));
    let answer = sender
        .requests
        .send_request(request)
        .await
        .map_err(|error| countersign_auth::causes::chain(&error))?;
    let status = answer.status();
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("answered {status}")) }
}
