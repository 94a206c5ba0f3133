//! How the gate stops: nothing new, what is begun is finished, and at the deadline the rest is cut.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::worker::Worker;

/// The end that tells.
#[derive(Debug)]
pub(crate) struct DrainSwitch(watch::Sender<Option<Instant>>);

/// The end that is told; each core has one.
#[derive(Clone, Debug)]
pub(crate) struct DrainSignal(watch::Receiver<Option<Instant>>);

/// A switch and its signal.
pub(crate) fn channel() -> (DrainSwitch, DrainSignal) {
    let (sender, receiver) = watch::channel(None);
    (DrainSwitch(sender), DrainSignal(receiver))
}

impl DrainSwitch {
    /// Begins to drain; a later call may only shorten the time.
    pub(crate) fn drain(&self, within: Duration) {
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or(now);
        self.0.send_modify(|set| *set = Some(set.map_or(deadline, |earlier| earlier.min(deadline))));
    }
}

impl DrainSignal {
    /// Waits until draining begins. Nobody left to tell is a reason to stop at once.
    pub(crate) async fn begun(&mut self) -> Instant {
        match self.0.wait_for(Option::is_some).await {
            Ok(set) => set.unwrap_or_else(Instant::now),
            Err(_gone) => Instant::now(),
        }
    }

    /// Waits until the deadline, also where it is brought forward meanwhile.
    async fn deadline(&mut self) {
        loop {
            let set = *self.0.borrow_and_update();
            let Some(deadline) = set else { return };
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return,
                changed = self.0.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Waits until a draining core is empty: returns how many connections had to be cut.
pub(crate) async fn finish(worker: &Rc<Worker>, signal: &mut DrainSignal) -> usize {
    tokio::select! {
        () = worker.emptied() => 0,
        () = signal.deadline() => worker.open(),
    }
}
