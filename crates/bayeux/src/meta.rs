//! What each message does.

use std::sync::Arc;
use std::task::Waker;

use crate::channel::{Channel, ChannelError, Pattern};
use crate::client::{Client, ClientId};
use crate::held::{CONNECT, Held, connected};
use crate::message::{Message, Subscription};
use crate::reply::{AckReply, Advice, Answer, ExtReply, LONG_POLLING, Reconnect, Reply, VERSION};
use crate::server::delivery::To;
use crate::server::{Fate, Options, Received, Server, millis};
use crate::{Act, Authority, Principal};

pub(crate) const HANDSHAKE: &str = "/meta/handshake";
const DISCONNECT: &str = "/meta/disconnect";
const SUBSCRIBE: &str = "/meta/subscribe";
const UNSUBSCRIBE: &str = "/meta/unsubscribe";

/// How long a client that finds the server full is to wait, in milliseconds.
const FULL_INTERVAL_MS: u64 = 10_000;
/// How much of a channel that is refused is repeated in the error.
const ECHO_CHARS_MAX: usize = 64;

impl Advice {
    pub(crate) fn none() -> Self {
        Self { reconnect: Reconnect::None, interval: 0, timeout: None, multiple_clients: None }
    }

    /// What a client does as long as all is well.
    fn usual(options: &Options) -> Self {
        Self {
            reconnect: Reconnect::Retry,
            interval: 0,
            timeout: Some(millis(options.hold)),
            multiple_clients: None,
        }
    }

    fn crowded(options: &Options, crowded: bool) -> Self {
        let interval = if crowded { millis(options.crowded_interval) } else { 0 };
        Self { interval, multiple_clients: Some(crowded), ..Self::usual(options) }
    }
}

impl<A: Authority> Server<A> {
    pub(crate) fn handshake(
        &self,
        who: &A::Principal,
        browser: Option<&str>,
        message: &Message<'_>,
        now_ms: u64,
    ) -> Received<A> {
        let mut answer = Answer::new();
        let mut named = None;
        match self.greet(who, browser, message, now_ms) {
            Ok((id, new_browser)) => {
                let acks = message.wants_acks().then_some(ExtReply { ack: AckReply::On(true) });
                named = new_browser;
                answer.push(&Reply {
                    client_id: Some(id),
                    version: Some(VERSION),
                    minimum_version: Some(VERSION),
                    supported_connection_types: Some([LONG_POLLING]),
                    advice: Some(Advice::usual(&self.options)),
                    ext: acks,
                    ..Reply::done(HANDSHAKE, message.id)
                });
            }
            Err((error, advice)) => answer.push(&Reply {
                version: Some(VERSION),
                supported_connection_types: Some([LONG_POLLING]),
                advice: Some(advice),
                ..Reply::failed(HANDSHAKE, message.id, error)
            }),
        }
        let answer = answer.finish();
        match named {
            Some(browser) => Received::Greeting { answer, browser: browser.to_text() },
            None => Received::Answer(answer),
        }
    }

    /// The new client, and the name of its browser if it had none.
    fn greet(
        &self,
        who: &A::Principal,
        browser: Option<&str>,
        message: &Message<'_>,
        now_ms: u64,
    ) -> Result<(ClientId, Option<ClientId>), (String, Advice)> {
        let no = |error: &str| (error.to_owned(), Advice::none());
        let later = |error: &str| {
            let advice = Advice {
                reconnect: Reconnect::Handshake,
                interval: FULL_INTERVAL_MS,
                timeout: None,
                multiple_clients: None,
            };
            (error.to_owned(), advice)
        };
        if message.version.as_deref().is_none_or(|version| version.split('.').next() != Some("1")) {
            return Err(no("400::Unsupported version"));
        }
        if !message.supported_connection_types.iter().any(|kind| kind == LONG_POLLING) {
            return Err(no("412::No connection type in common"));
        }
        if !self.authority.may(who, Act::Handshake) {
            return Err(no("403::Handshake denied"));
        }
        let known = browser.and_then(ClientId::parse);
        let drawn = || self.draw().map_err(|_| later("503::No random bytes"));
        let new_browser = if known.is_none() { Some(drawn()?) } else { None };
        let id = drawn()?;
        let client = Client::new(who.clone(), known.or(new_browser), message.wants_acks(), now_ms);
        if !self.admit(id, client) {
            return Err(later("503::Too many clients"));
        }
        Ok((id, new_browser))
    }

    /// Does what a message says and writes its answer; or holds it.
    pub(crate) fn message(
        self: &Arc<Self>,
        who: &A::Principal,
        message: &Message<'_>,
        is_alone: bool,
        now_ms: u64,
        answer: &mut Answer,
    ) -> Option<Held<A>> {
        let channel = &*message.channel;
        let mut wakers: Vec<Waker> = Vec::new();
        let mut held = None;
        let id = message.client_id.as_deref().and_then(ClientId::parse);
        let known = id.filter(|id| self.is_there(who, *id, now_ms));
        match (known, channel) {
            (None, _) => self.unknown(id, message, answer),
            (Some(id), CONNECT) => {
                held = self.connect(who, id, message, is_alone, now_ms, answer, &mut wakers)
            }
            (Some(id), DISCONNECT) => {
                self.note(id, Fate::Left, now_ms);
                wakers.extend(self.remove(&mut self.shard_of(who), id));
                answer.push(&Reply { client_id: Some(id), ..Reply::done(DISCONNECT, message.id) });
            }
            (Some(id), SUBSCRIBE | UNSUBSCRIBE) => self.subscription(who, id, message, answer),
            (Some(_), other) => self.published(who, other, message, answer),
        }
        wakers.into_iter().for_each(Waker::wake);
        held
    }

    fn unknown(&self, id: Option<ClientId>, message: &Message<'_>, answer: &mut Answer) {
        let revoked = id.is_some_and(|id| self.fate(id) == Some(Fate::Revoked));
        let reconnect = if revoked { Reconnect::None } else { Reconnect::Handshake };
        answer.push(&Reply::unknown_client(&cut(&message.channel), message.id, reconnect));
    }

    fn is_there(&self, who: &A::Principal, id: ClientId, now_ms: u64) -> bool {
        let mut shard = self.shard_of(who);
        shard.client_of(who.session(), id).is_some_and(|client| {
            client.last_seen_ms = client.last_seen_ms.max(now_ms);
            true
        })
    }

    #[expect(clippy::too_many_arguments, reason = "one message's way through the protocol, called once")]
    fn connect(
        self: &Arc<Self>,
        who: &A::Principal,
        id: ClientId,
        message: &Message<'_>,
        is_alone: bool,
        now_ms: u64,
        answer: &mut Answer,
        wakers: &mut Vec<Waker>,
    ) -> Option<Held<A>> {
        if message.connection_type.as_deref() != Some(LONG_POLLING) {
            answer.push(&Reply::failed(CONNECT, message.id, "400::Unsupported connection type"));
            return None;
        }
        let mut shard = self.shard_of(who);
        let crowded = shard.is_crowded(who.session(), id);
        let Some(client) = shard.client_of(who.session(), id) else {
            // It left since it was looked for.
            drop(shard);
            self.unknown(Some(id), message, answer);
            return None;
        };
        client.queue.acknowledged(message.acked_batch());
        let is_first = !std::mem::replace(&mut client.connected, true);
        let changed = std::mem::replace(&mut client.crowded, crowded) != crowded;
        let advice = if changed {
            Some(Advice::crowded(&self.options, crowded))
        } else {
            is_first.then(|| Advice::usual(&self.options))
        };
        let asked = message.advice.and_then(|advice| advice.timeout).unwrap_or(u64::MAX);
        let hold_ms = asked.min(millis(self.options.hold));
        let waits =
            is_alone && !is_first && !crowded && hold_ms > 0 && client.queue.is_empty() && !self.is_closing();
        if waits {
            let deadline_ms = now_ms.saturating_add(hold_ms);
            let (held, replaced) = self.hold(who, id, client, (message.id, advice, deadline_ms));
            wakers.extend(replaced);
            return Some(held);
        }
        // A connect that is still held was left behind by the client, or is about to be.
        wakers.extend(client.waker());
        client.hold = None;
        client.last_seen_ms = now_ms;
        let mut reply = Reply { advice, ..Reply::done(CONNECT, message.id) };
        connected(&mut client.queue, &mut reply, answer);
        None
    }

    fn subscription(&self, who: &A::Principal, id: ClientId, message: &Message<'_>, answer: &mut Answer) {
        let channel = &*message.channel;
        let Some(subscription) = &message.subscription else {
            answer.push(&Reply::failed(channel, message.id, "400::Missing subscription"));
            return;
        };
        match self.subscribed(who, id, channel == SUBSCRIBE, subscription) {
            Ok(()) => answer.push(&Reply {
                client_id: Some(id),
                subscription: Some(subscription),
                ..Reply::done(channel, message.id)
            }),
            Err((error, echoes)) => answer.push(&Reply {
                subscription: echoes.then_some(subscription),
                ..Reply::failed(channel, message.id, error)
            }),
        }
    }

    /// All or nothing. The error says whether the subscription is fit to be repeated.
    fn subscribed(
        &self,
        who: &A::Principal,
        id: ClientId,
        adds: bool,
        subscription: &Subscription,
    ) -> Result<(), (String, bool)> {
        let mut patterns = Vec::new();
        for text in subscription.patterns() {
            let pattern = Pattern::parse(text).map_err(|error| (channel_error(text, error), false))?;
            if adds && (pattern.is_meta() || !self.authority.may(who, Act::Subscribe(&pattern))) {
                return Err((format!("403:{text}:Subscription denied"), true));
            }
            // What is subscribed to there is never published, so there is nothing to note.
            if !pattern.is_service() {
                patterns.push(pattern);
            }
        }
        let mut shard = self.shard_of(who);
        for pattern in patterns {
            if !adds {
                shard.unsubscribe(id, &pattern);
                continue;
            }
            let held = shard.client_of(who.session(), id).map_or(0, |client| client.subscriptions.len());
            if held >= self.options.subscriptions_max {
                return Err((format!("403:{}:Too many subscriptions", pattern.as_str()), true));
            }
            shard.subscribe(id, pattern);
        }
        Ok(())
    }

    fn published(&self, who: &A::Principal, channel: &str, message: &Message<'_>, answer: &mut Answer) {
        let echoed = cut(channel);
        let failed = |error: String| Reply::failed(&echoed, message.id, error);
        let channel = match Channel::parse(channel) {
            Ok(channel) => channel,
            Err(error) => {
                answer.push(&failed(channel_error(channel, error)));
                return;
            }
        };
        if channel.is_meta() {
            answer.push(&failed(format!("404:{channel}:Unknown meta channel")));
            return;
        }
        if !self.authority.may(who, Act::Publish(&channel)) {
            answer.push(&failed(format!("403:{channel}:Publish denied")));
            return;
        }
        let Some(data) = message.data else {
            answer.push(&failed(format!("400:{channel}:Missing data")));
            return;
        };
        let published = channel.is_service() || self.publish(&To::Everybody, &channel, data.get()).is_ok();
        if published {
            answer.push(&Reply::done(channel.as_str(), message.id));
        } else {
            answer.push(&failed(format!("400:{channel}:Unfit data")));
        }
    }
}

fn channel_error(text: &str, error: ChannelError) -> String {
    format!("400:{}:{error}", cut(text).replace(':', "."))
}

/// The beginning of a text that nobody has checked.
fn cut(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}
