//! What is kept of one client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use crate::channel::{Channel, Pattern};
use crate::reply::Answer;

/// The name that a client is given in its handshake: 128 random bits, 32 hex digits on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientId(pub(crate) [u8; 16]);

impl ClientId {
    pub(crate) fn to_text(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    /// Reads one; anything but 32 lower-case hex digits is nobody's name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
        Some(Self(number.to_be_bytes()))
    }
}

/// A client.
pub(crate) struct Client<P> {
    pub(crate) principal: P,
    /// The browser that it runs in, by a cookie; `None` for what sends none.
    pub(crate) browser: Option<ClientId>,
    /// Whether it has connected since its handshake.
    pub(crate) connected: bool,
    /// Whether it was told last that another client of its browser holds the one connection.
    pub(crate) crowded: bool,
    /// Not silent before that; the end of the hold while a connect is held.
    pub(crate) last_seen_ms: u64,
    pub(crate) subscriptions: Vec<Pattern>,
    pub(crate) queue: Queue,
    pub(crate) hold: Option<Hold>,
    /// Counts connects that were held, so that one that was replaced knows it.
    pub(crate) serial: u32,
}

/// A connect that waits.
pub(crate) struct Hold {
    pub(crate) serial: u32,
    pub(crate) waker: Option<Waker>,
}

impl<P> Client<P> {
    pub(crate) fn new(principal: P, browser: Option<ClientId>, acks: bool, now_ms: u64) -> Self {
        Self {
            principal,
            browser,
            connected: false,
            crowded: false,
            last_seen_ms: now_ms,
            subscriptions: Vec::new(),
            queue: Queue { acks: acks.then(Box::default), ..Queue::default() },
            hold: None,
            serial: 0,
        }
    }

    /// Whether one of its subscriptions is for that channel.
    pub(crate) fn listens(&self, channel: &Channel) -> bool {
        self.subscriptions.iter().any(|pattern| pattern.matches(channel))
    }

    /// Whoever waits on its connect is to look again.
    pub(crate) fn waker(&mut self) -> Option<Waker> {
        self.hold.as_mut().and_then(|hold| hold.waker.take())
    }
}

/// Events that wait for a client, and those that it has not acknowledged.
#[derive(Default)]
pub(crate) struct Queue {
    events: VecDeque<Arc<str>>,
    bytes: usize,
    acks: Option<Box<Acks>>,
}

/// The acknowledge extension's books.
#[derive(Default)]
struct Acks {
    /// The number of the last batch that was sent.
    batch: u64,
    /// What was sent and not acknowledged, with its batch.
    unacked: VecDeque<(u64, Arc<str>)>,
}

impl Queue {
    /// Adds an event; false if the queue would be longer than allowed.
    pub(crate) fn push(&mut self, event: &Arc<str>, events_max: usize, bytes_max: usize) -> bool {
        let unacked = self.acks.as_ref().map_or(0, |acks| acks.unacked.len());
        if self.events.len() + unacked >= events_max || self.bytes + event.len() > bytes_max {
            return false;
        }
        self.bytes += event.len();
        self.events.push_back(Arc::clone(event));
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether events ride in the answers to connects alone, so that each is acknowledged by the next connect.
    pub(crate) fn acknowledges(&self) -> bool {
        self.acks.is_some()
    }

    /// A connect says which batch it has; what came after that is sent again, before everything else.
    pub(crate) fn acknowledged(&mut self, batch: Option<u64>) {
        let Some(acks) = &mut self.acks else { return };
        let seen = batch.unwrap_or(0);
        while let Some((number, event)) = acks.unacked.pop_back() {
            if number > seen {
                self.events.push_front(event);
            } else {
                self.bytes = self.bytes.saturating_sub(event.len());
            }
        }
    }

    /// Writes what waits into an answer, as far as it takes it; the rest goes on waiting.
    pub(crate) fn drain_into(&mut self, answer: &mut Answer) {
        while let Some(event) = self.events.pop_front() {
            if !answer.push_event(&event) {
                self.events.push_front(event);
                return;
            }
            match &mut self.acks {
                None => self.bytes = self.bytes.saturating_sub(event.len()),
                Some(acks) => acks.unacked.push_back((acks.batch, event)),
            }
        }
        // What a burst took is given back: a million clients are quiet most of the time.
        self.events = VecDeque::new();
    }

    /// The number of the batch that the next answer to a connect is, where batches are acknowledged.
    pub(crate) fn next_batch(&mut self) -> Option<u64> {
        let acks = self.acks.as_mut()?;
        acks.batch += 1;
        Some(acks.batch)
    }
}
