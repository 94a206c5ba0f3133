//! Clients that ended, for those that have not heard of it.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use super::millis;
use crate::client::ClientId;

/// More than a gate ends in the time that they are remembered; the oldest are forgotten first. 64 bytes each.
const ENDED_MAX: usize = 64 * 1024;

/// How a client ended, where it matters to what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It said so itself.
    Left,
    /// Its session did.
    Revoked,
}

pub(crate) struct Ended {
    fates: HashMap<ClientId, Fate>,
    order: VecDeque<(u64, ClientId)>,
    remember_ms: u64,
}

impl Ended {
    pub(crate) fn new(remember: Duration) -> Self {
        Self { fates: HashMap::new(), order: VecDeque::new(), remember_ms: millis(remember) }
    }

    pub(crate) fn fate(&self, id: ClientId) -> Option<Fate> {
        self.fates.get(&id).copied()
    }

    pub(crate) fn note(&mut self, id: ClientId, fate: Fate, now_ms: u64) {
        if self.fates.insert(id, fate).is_none() {
            self.order.push_back((now_ms, id));
        }
        if self.order.len() > ENDED_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.fates.remove(&oldest);
        }
    }

    pub(crate) fn forget(&mut self, now_ms: u64) {
        while let Some((at, id)) = self.order.front().copied()
            && at.saturating_add(self.remember_ms) <= now_ms
        {
            self.order.pop_front();
            self.fates.remove(&id);
        }
    }
}
