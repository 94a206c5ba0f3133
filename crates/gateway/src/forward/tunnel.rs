//! WebSocket: after a 101 the gate passes bytes, until an end closes, the gate drains, or the session dies.

use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::ForwardError;
use crate::admission::Upgrade;
use crate::hop;
use crate::upstream::Lease;
use crate::watch::Watch;
use crate::worker::{LocalGate, Worker};

/// Two ends that are about to leave HTTP.
pub(crate) struct Ends {
    client: OnUpgrade,
    upstream: OnUpgrade,
    lease: Lease,
}

impl Ends {
    /// Checks that the upstream's 101 is the one that was asked for, and makes its head the client's.
    pub(crate) fn new(
        upgrade: Upgrade,
        head: &mut response::Parts,
        client: Option<OnUpgrade>,
        lease: Lease,
    ) -> Result<Self, ForwardError> {
        let upstream = head.extensions.remove::<OnUpgrade>();
        let websocket = head.headers.get(UPGRADE).is_some_and(|value| hop::lists(value, "websocket"));
        match (upgrade, client, upstream) {
            (Upgrade::WebSocket, Some(client), Some(upstream)) if websocket => {
                hop::strip_answer(&mut head.headers);
                Ok(Self { client, upstream, lease })
            }
            (Upgrade::WebSocket | Upgrade::No, _, _) => Err(ForwardError::Unasked),
        }
    }

    /// Passes bytes from now on.
    pub(crate) fn run(self, worker: &Rc<Worker>, head: &mut response::Parts, watch: Option<Watch>) {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let Self { client, upstream, lease } = self;
        let flight = lease.let_go();
        let (hold, counted) = (worker.hold(), Counted::new(worker.gate()));
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move {
            let mut passing = pin!(pass(client, upstream));
            let mut alarm = worker.pulse().alarm(Duration::ZERO);
            std::future::poll_fn(|cx| {
                if passing.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                // A look on every beat: cheap, and soon enough for a revocation (one second).
                while alarm.poll(cx).is_ready() {
                    if worker.is_draining() || watch.as_ref().is_some_and(|watch| watch.is_over(&counted.0)) {
                        return Poll::Ready(());
                    }
                    alarm.again(Duration::ZERO);
                }
                Poll::Pending
            })
            .await;
            drop((hold, counted, flight));
        });
    }
}

/// A tunnel in the metrics.
struct Counted(Rc<LocalGate>);

impl Counted {
    fn new(gate: Rc<LocalGate>) -> Self {
        gate.metrics.tunnels.fetch_add(1, Ordering::Relaxed);
        Self(gate)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn pass(client: OnUpgrade, upstream: OnUpgrade) {
    let ends = futures_util::future::try_join(client, upstream).await;
    let (client, upstream) = match ends {
        Ok(ends) => ends,
        Err(error) => {
            tracing::debug!(error = %super::chain(&error), "could not leave HTTP");
            return;
        }
    };
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
        tracing::debug!(%error, "a tunnel ended with an error");
    }
}
