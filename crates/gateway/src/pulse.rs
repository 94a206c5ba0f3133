//! A coarse timer for one core.
//!
//! Almost no time-out of a proxy ever fires, so setting one must cost next to nothing. A [`Pulse`] beats a few
//! times a second and wakes whoever's time has come; setting an [`Alarm`] is a push into a vector, and reading
//! the time one load. Alarms fire up to two beats late, never early.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// Milliseconds since the pulse began, as of the last beat. Written by one core, read by it alone in practice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coarse(Arc<AtomicU64>);

impl Coarse {
    /// The time of the last beat.
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Slot {
    due_ms: u64,
    waker: Waker,
}

#[derive(Default)]
struct Slots {
    taken: Vec<Option<Slot>>,
    free: Vec<usize>,
}

/// The timer of one core.
pub(crate) struct Pulse {
    began: Instant,
    beat: Duration,
    coarse: Coarse,
    slots: RefCell<Slots>,
}

/// What was waited for did not come in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Late;

impl Pulse {
    /// A pulse whose clock began at `began`: the same for all cores, so that they can compare times.
    pub(crate) fn new(beat: Duration, began: Instant) -> Rc<Self> {
        Rc::new(Self {
            began,
            beat: beat.max(Duration::from_millis(1)),
            coarse: Coarse::default(),
            slots: RefCell::default(),
        })
    }

    /// The clock that it turns.
    pub(crate) fn coarse(&self) -> &Coarse {
        &self.coarse
    }

    /// The time of the last beat.
    pub(crate) fn now_ms(&self) -> u64 {
        self.coarse.now_ms()
    }

    /// Time between two beats.
    pub(crate) fn beat(&self) -> Duration {
        self.beat
    }

    /// Reads the real clock and wakes whoever is due.
    pub(crate) fn strike(&self) {
        let now = millis(self.began.elapsed());
        self.coarse.0.store(now, Ordering::Relaxed);
        let mut due = Vec::new();
        {
            let mut slots = self.slots.borrow_mut();
            for slot in &mut slots.taken {
                if let Some(set) = slot
                    && set.due_ms <= now
                {
                    set.due_ms = u64::MAX;
                    due.push(set.waker.clone());
                }
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    /// An alarm that fires `span` from now.
    pub(crate) fn alarm(self: &Rc<Self>, span: Duration) -> Alarm {
        Alarm { pulse: Rc::clone(self), due_ms: self.due(span), key: None }
    }

    /// Waits for `future`, but not longer than `span`.
    pub(crate) async fn within<F: Future>(
        self: &Rc<Self>,
        span: Duration,
        future: F,
    ) -> Result<F::Output, Late> {
        let mut future = pin!(future);
        let mut alarm = self.alarm(span);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => alarm.poll(cx).map(|()| Err(Late)),
        })
        .await
    }

    /// One beat is added: `now` is up to one beat old, and firing early would break promises.
    fn due(&self, span: Duration) -> u64 {
        self.now_ms().saturating_add(millis(span)).saturating_add(millis(self.beat))
    }
}

/// Fires once its time has come; costs nothing before it is first polled.
pub(crate) struct Alarm {
    pulse: Rc<Pulse>,
    due_ms: u64,
    key: Option<usize>,
}

impl Alarm {
    /// Ready from the due time on; the task of `cx` is woken then.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pulse.now_ms() >= self.due_ms {
            return Poll::Ready(());
        }
        let mut slots = self.pulse.slots.borrow_mut();
        if let Some(slot) = self.key.and_then(|key| slots.taken.get_mut(key)).and_then(Option::as_mut) {
            slot.due_ms = self.due_ms;
            slot.waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        let slot = Some(Slot { due_ms: self.due_ms, waker: cx.waker().clone() });
        let key = match slots.free.pop() {
            Some(key) => {
                if let Some(free) = slots.taken.get_mut(key) {
                    *free = slot;
                }
                key
            }
            None => {
                slots.taken.push(slot);
                slots.taken.len() - 1
            }
        };
        self.key = Some(key);
        Poll::Pending
    }

    /// Fires `span` from now instead.
    pub(crate) fn again(&mut self, span: Duration) {
        self.due_ms = self.pulse.due(span);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut slots = self.pulse.slots.borrow_mut();
            if let Some(slot) = slots.taken.get_mut(key) {
                *slot = None;
                slots.free.push(key);
            }
        }
    }
}

/// Whole milliseconds of a span; saturates.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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
    use super::*;

    #[test]
    fn an_alarm_fires_late_rather_than_early_and_frees_its_slot() {
        let pulse = Pulse::new(Duration::from_millis(10), Instant::now());
        let mut cx = Context::from_waker(Waker::noop());
        let mut alarm = pulse.alarm(Duration::from_millis(20));
        assert!(alarm.poll(&mut cx).is_pending());
        pulse.coarse.0.store(29, Ordering::Relaxed);
        assert!(alarm.poll(&mut cx).is_pending());
        pulse.coarse.0.store(30, Ordering::Relaxed);
        assert!(alarm.poll(&mut cx).is_ready());
        alarm.again(Duration::from_millis(5));
        assert!(alarm.poll(&mut cx).is_pending());
        assert_eq!(pulse.slots.borrow().taken.len(), 1);
        drop(alarm);
        assert_eq!(pulse.slots.borrow().free, [0]);
    }
}
