//! The server: who is connected, what is delivered, how clients end.

pub(crate) mod delivery;
mod ended;
mod ending;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::client::{Client, ClientId, Hold};
use crate::held::{CONNECT, Held};
use crate::message::{BodyError, entries};
use crate::reply::{Answer, Reply};
use crate::server::ended::Ended;
use crate::shard::Shard;
use crate::{Authority, NoRandom, Principal, limits, meta};

pub(crate) use crate::server::ended::Fate;

/// More than any machine has cores, so that two of them rarely want one lock. A publish to everybody takes them one
/// after the other, so that nobody waits for more than a part of it.
const SHARDS: usize = 64;

/// Times and bounds.
#[derive(Clone, Debug)]
pub struct Options {
    /// A connect is held that long at most. 20 s: below the minute after which proxies on the way give up.
    pub hold: Duration,
    /// A client that has not connected so long after its last connect was answered is gone (`hold` is added, for
    /// those that were held when their network broke).
    pub silence: Duration,
    /// Clients of one browser, but for the one that is held, connect so often.
    pub crowded_interval: Duration,
    /// Clients of one session; the one longest silent makes room. A browser with that many tabs is a loop.
    pub session_clients_max: usize,
    /// Clients of one account, over all its sessions; the one longest silent makes room.
    pub account_clients_max: usize,
    /// Clients of all; further handshakes are refused, and may be tried again.
    pub clients_max: usize,
    /// Subscriptions of one client.
    pub subscriptions_max: usize,
    /// Events that wait for one client, unacknowledged ones included. One more, and the client is dropped.
    pub queue_events_max: usize,
    /// Bytes of those events.
    pub queue_bytes_max: usize,
    /// So long is remembered that a client was ended by [`Server::end_session`] or [`Server::end_account`].
    pub remember_ended: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(20),
            silence: Duration::from_secs(10),
            crowded_interval: Duration::from_secs(2),
            session_clients_max: limits::SESSION_CLIENTS_MAX,
            account_clients_max: limits::ACCOUNT_CLIENTS_MAX,
            clients_max: limits::CLIENTS_MAX,
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            queue_events_max: limits::QUEUE_EVENTS_MAX,
            queue_bytes_max: limits::QUEUE_BYTES_MAX,
            remember_ended: Duration::from_secs(600),
        }
    }
}

/// What becomes of a request.
pub enum Received<A: Authority> {
    /// It is answered with this: a JSON array.
    Answer(String),
    /// So is it, and this handshake's browser had no name yet: it is given one, to be sent back as a cookie.
    Greeting {
        /// The answer.
        answer: String,
        /// The browser's name: 32 hex digits.
        browser: String,
    },
    /// It is answered later.
    Held(Held<A>),
}

type Random = Box<dyn FnMut(&mut [u8]) -> Result<(), NoRandom> + Send>;

/// A Bayeux server. Cheap to ask from many threads at once.
pub struct Server<A: Authority> {
    pub(crate) options: Options,
    pub(crate) authority: A,
    random: Mutex<Random>,
    spread: hashbrown::DefaultHashBuilder,
    shards: Box<[Mutex<Shard<A::Principal>>]>,
    count: AtomicUsize,
    ended: Mutex<Ended>,
    closing: AtomicBool,
}

impl<A: Authority> Server<A> {
    /// A server without clients.
    pub fn new(
        options: Options,
        authority: A,
        random: impl FnMut(&mut [u8]) -> Result<(), NoRandom> + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            ended: Mutex::new(Ended::new(options.remember_ended)),
            options,
            authority,
            random: Mutex::new(Box::new(random)),
            spread: hashbrown::DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        })
    }

    /// Takes the body of a request from `who`. `browser` is what came back of [`Received::Greeting`]; `now_ms` is of
    /// any clock that does not go back.
    ///
    /// # Errors
    /// See [`BodyError`]; whatever is wrong with a single message is said in the answer.
    pub fn receive(
        self: &Arc<Self>,
        who: &A::Principal,
        browser: Option<&str>,
        body: &[u8],
        now_ms: u64,
    ) -> Result<Received<A>, BodyError> {
        let entries = entries(body)?;
        if entries.is_empty() {
            return Err(BodyError::Malformed);
        }
        // Whatever stands beside a handshake is ignored: it would be said by a client that is not there yet.
        if let Some(message) = entries.iter().flatten().find(|message| message.channel == meta::HANDSHAKE) {
            return Ok(self.handshake(who, browser, message, now_ms));
        }
        let is_alone = entries.len() == 1;
        let mut answer = Answer::new();
        let mut spoken = Vec::new();
        let mut connected = Vec::new();
        for entry in &entries {
            match entry {
                // It would be sent again what the first one was answered, which it cannot have seen.
                Ok(message) if message.channel == CONNECT && connected.contains(&message.client_id) => {
                    answer.push(&Reply::failed(
                        CONNECT,
                        message.id,
                        "409::Connected in this request already",
                    ));
                }
                Ok(message) => {
                    if message.channel == CONNECT {
                        connected.push(message.client_id.clone());
                    }
                    if let Some(held) = self.message(who, message, is_alone, now_ms, &mut answer) {
                        return Ok(Received::Held(held));
                    }
                    spoken.extend(message.client_id.as_deref().and_then(ClientId::parse));
                }
                Err(broken) => {
                    answer.push(&Reply::failed("/meta/unknown", broken.id, "400::Malformed message"));
                }
            }
        }
        spoken.dedup();
        for client in spoken {
            self.piggyback(who, client, &mut answer);
        }
        Ok(Received::Answer(answer.finish()))
    }

    /// Lets events ride in an answer that is sent anyway.
    fn piggyback(&self, who: &A::Principal, id: ClientId, answer: &mut Answer) {
        let mut shard = self.shard_of(who);
        if let Some(client) = shard.client_of(who.session(), id)
            && client.connected
            && !client.queue.acknowledges()
        {
            client.queue.drain_into(answer);
        }
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn fate(&self, id: ClientId) -> Option<Fate> {
        lock(&self.ended).fate(id)
    }

    pub(crate) fn note(&self, id: ClientId, fate: Fate, now_ms: u64) {
        lock(&self.ended).note(id, fate, now_ms);
    }

    fn shard_index(&self, account: &<A::Principal as Principal>::Account) -> usize {
        usize::try_from(self.spread.hash_one(account) % SHARDS as u64).unwrap_or(0)
    }

    pub(crate) fn shard_at(&self, at: usize) -> Option<MutexGuard<'_, Shard<A::Principal>>> {
        self.shards.get(at).map(lock)
    }

    pub(crate) fn shard_of(&self, who: &A::Principal) -> MutexGuard<'_, Shard<A::Principal>> {
        #[expect(
            clippy::indexing_slicing,
            reason = "there are SHARDS shards and the index is a remainder by that"
        )]
        lock(&self.shards[self.shard_index(&who.account())])
    }

    /// Adds a client; false if there are too many.
    pub(crate) fn admit(&self, id: ClientId, client: Client<A::Principal>) -> bool {
        if self.count.load(Ordering::Relaxed) >= self.options.clients_max {
            return false;
        }
        let (session, account) = (client.principal.session(), client.principal.account());
        let mut wakers = Vec::new();
        {
            let mut shard = self.shard_of(&client.principal);
            while shard.of_session(session).len() >= self.options.session_clients_max.max(1)
                && let Some(silent) = shard.most_silent(shard.of_session(session))
            {
                wakers.extend(self.remove(&mut shard, silent));
            }
            while shard.of_account(account).len() >= self.options.account_clients_max.max(1)
                && let Some(silent) = shard.most_silent(shard.of_account(account))
            {
                wakers.extend(self.remove(&mut shard, silent));
            }
            shard.insert(id, client);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// Takes a client out; whoever waits on it is to be woken once the lock is let go.
    pub(crate) fn remove(&self, shard: &mut Shard<A::Principal>, id: ClientId) -> Option<Waker> {
        let mut client = shard.remove(id)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        client.waker()
    }

    /// Names a new client or browser.
    pub(crate) fn draw(&self) -> Result<ClientId, NoRandom> {
        let mut bytes = [0; 16];
        lock(&self.random)(&mut bytes)?;
        Ok(ClientId(bytes))
    }

    /// A held connect of a client that is in `shard` now.
    pub(crate) fn hold(
        self: &Arc<Self>,
        who: &A::Principal,
        id: ClientId,
        client: &mut Client<A::Principal>,
        held: (Option<&RawValue>, Option<crate::reply::Advice>, u64),
    ) -> (Held<A>, Option<Waker>) {
        let (message_id, advice, deadline_ms) = held;
        let replaced = client.waker();
        client.serial = client.serial.wrapping_add(1);
        client.hold = Some(Hold { serial: client.serial, waker: None });
        client.last_seen_ms = deadline_ms;
        let held = Held {
            server: Arc::clone(self),
            shard: self.shard_index(&who.account()),
            client: id,
            serial: client.serial,
            id: message_id.map(ToOwned::to_owned),
            advice,
            deadline_ms,
        };
        (held, replaced)
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
