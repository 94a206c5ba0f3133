//! A connect that waits for an event.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde_json::value::RawValue;

use crate::Authority;
use crate::client::ClientId;
use crate::reply::{AckReply, Advice, Answer, ExtReply, Reconnect, Reply};
use crate::server::{Fate, Server};

/// The channel of connects.
pub(crate) const CONNECT: &str = "/meta/connect";

/// A connect that is answered when its future completes: with an event, or when its client ends or is connected
/// anew elsewhere. Whoever waits calls [`Held::time_out`] once [`Held::deadline_ms`] has come. Dropping it means that
/// the client's connection is gone.
pub struct Held<A: Authority> {
    pub(crate) server: Arc<Server<A>>,
    pub(crate) shard: usize,
    pub(crate) client: ClientId,
    pub(crate) serial: u32,
    pub(crate) id: Option<Box<RawValue>>,
    pub(crate) advice: Option<Advice>,
    pub(crate) deadline_ms: u64,
}

impl<A: Authority> Held<A> {
    /// When it is to be answered in any case, by the clock that [`Server::receive`] was told.
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// The answer when nothing happened in time.
    pub fn time_out(self) -> String {
        self.look(None).unwrap_or_else(|| self.answered(&Reply::done(CONNECT, self.id.as_deref())))
    }

    /// The answer if there is one; otherwise `cx` is woken when there may be. Without `cx`, the wait is over.
    fn look(&self, cx: Option<&mut Context<'_>>) -> Option<String> {
        let id = self.id.as_deref();
        let mut shard = self.server.shard_at(self.shard)?;
        let Some(client) = shard.client(self.client) else {
            drop(shard);
            return Some(self.answered(&match self.server.fate(self.client) {
                Some(Fate::Revoked) => Reply::unknown_client(CONNECT, id, Reconnect::None),
                Some(Fate::Left) => Reply { advice: Some(Advice::none()), ..Reply::done(CONNECT, id) },
                None => Reply::unknown_client(CONNECT, id, Reconnect::Handshake),
            }));
        };
        match &mut client.hold {
            Some(hold) if hold.serial == self.serial => {
                if let (Some(cx), true, false) = (cx, client.queue.is_empty(), self.server.is_closing()) {
                    hold.waker = Some(cx.waker().clone());
                    return None;
                }
            }
            Some(_) | None => {
                return Some(self.answered(&Reply::failed(CONNECT, id, "409::Replaced by a newer connect")));
            }
        }
        client.hold = None;
        let mut reply = Reply { advice: self.advice, ..Reply::done(CONNECT, id) };
        let mut answer = Answer::new();
        connected(&mut client.queue, &mut reply, &mut answer);
        Some(answer.finish())
    }

    fn answered(&self, reply: &Reply<'_>) -> String {
        let mut answer = Answer::new();
        answer.push(reply);
        answer.finish()
    }
}

/// Writes the answer to a connect with all that waits for its client.
pub(crate) fn connected(queue: &mut crate::client::Queue, reply: &mut Reply<'_>, answer: &mut Answer) {
    reply.ext = queue.next_batch().map(|batch| ExtReply { ack: AckReply::Batch(batch) });
    answer.push(reply);
    queue.drain_into(answer);
}

impl<A: Authority> Future for Held<A> {
    type Output = String;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<String> {
        self.look(Some(cx)).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<A: Authority> Drop for Held<A> {
    fn drop(&mut self) {
        if let Some(mut shard) = self.server.shard_at(self.shard)
            && let Some(client) = shard.client(self.client)
            && client.hold.as_ref().is_some_and(|hold| hold.serial == self.serial)
        {
            client.hold = None;
        }
    }
}
