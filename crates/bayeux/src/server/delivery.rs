//! Events, and whom they reach.

use std::sync::Arc;
use std::task::Waker;

use serde_json::value::RawValue;

use super::{SHARDS, Server};
use crate::channel::Channel;
use crate::client::ClientId;
use crate::limits::{EVENT_BYTES_MAX, JSON_DEPTH_MAX};
use crate::message::{depth_exceeds, is_text};
use crate::shard::Shard;
use crate::{Act, Authority, Principal};

/// Whom an event is for, among those who listen on its channel and may receive it.
pub enum To<'t, P: Principal> {
    /// All clients of an account.
    Account(P::Account),
    /// All clients whose principal is like that.
    Those(&'t dyn Fn(&P) -> bool),
    /// All clients.
    Everybody,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Clients that it is queued for.
    pub reached: usize,
    /// Clients that were dropped because their queue was full.
    pub dropped: usize,
}

/// Why an event is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// `/meta` and `/service` are not published on.
    #[error("nothing is published on that channel")]
    Channel,
    /// Not JSON, half of a surrogate pair in it, too deep, or longer than [`EVENT_BYTES_MAX`].
    #[error("the event is no JSON, too deep or too long")]
    Data,
}

/// An event on its way through the shards.
struct Event<'e, P> {
    channel: &'e Channel,
    text: Arc<str>,
    those: Option<&'e dyn Fn(&P) -> bool>,
    published: Published,
}

impl<A: Authority> Server<A> {
    /// Publishes an event: `data` is JSON.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(
        &self,
        to: &To<'_, A::Principal>,
        channel: &Channel,
        data: &str,
    ) -> Result<Published, PublishError> {
        if channel.is_meta() || channel.is_service() {
            return Err(PublishError::Channel);
        }
        if data.len() > EVENT_BYTES_MAX || depth_exceeds(data.as_bytes(), JSON_DEPTH_MAX) || !is_text(data) {
            return Err(PublishError::Data);
        }
        let data: &RawValue = serde_json::from_str(data).map_err(|_| PublishError::Data)?;
        let mut event = Event {
            channel,
            // A channel's name needs no escaping: see its alphabet.
            text: format!(r#"{{"data":{data},"channel":"{channel}"}}"#).into(),
            those: None,
            published: Published::default(),
        };
        match to {
            To::Account(account) => {
                let of_account = |shard: &Shard<A::Principal>| shard.of_account(*account).to_vec();
                self.publish_in(self.shard_index(account), of_account, &mut event);
            }
            To::Those(those) => {
                event.those = Some(*those);
                self.publish_everywhere(&mut event);
            }
            To::Everybody => self.publish_everywhere(&mut event),
        }
        Ok(event.published)
    }

    fn publish_everywhere(&self, event: &mut Event<'_, A::Principal>) {
        for shard in 0..SHARDS {
            let channel = event.channel;
            self.publish_in(shard, |shard| shard.listeners(channel), event);
        }
    }

    fn publish_in(
        &self,
        shard: usize,
        candidates: impl FnOnce(&Shard<A::Principal>) -> Vec<ClientId>,
        event: &mut Event<'_, A::Principal>,
    ) {
        let mut wakers: Vec<Waker> = Vec::new();
        if let Some(mut shard) = self.shard_at(shard) {
            for id in candidates(&shard) {
                let Some(client) = shard.client(id) else { continue };
                if !client.listens(event.channel)
                    || event.those.is_some_and(|those| !those(&client.principal))
                    || !self.authority.may(&client.principal, Act::Receive(event.channel))
                {
                    continue;
                }
                let (events_max, bytes_max) = (self.options.queue_events_max, self.options.queue_bytes_max);
                if client.queue.push(&event.text, events_max, bytes_max) {
                    event.published.reached += 1;
                    wakers.extend(client.waker());
                } else {
                    wakers.extend(self.remove(&mut shard, id));
                    event.published.dropped += 1;
                }
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}
