//! How clients end: with their session, in silence, with the process.

use std::sync::atomic::Ordering;
use std::task::Waker;

use super::{Fate, SHARDS, Server, lock, millis};
use crate::client::ClientId;
use crate::message::entries;
use crate::reply::{Answer, Reconnect, Reply};
use crate::shard::Shard;
use crate::{Authority, Principal};

impl<A: Authority> Server<A> {
    /// Ends all clients of a session: each is told to stay away, at once if its connect is held. Returns how many.
    pub fn end_session(&self, session: <A::Principal as Principal>::Session, now_ms: u64) -> usize {
        (0..SHARDS).map(|at| self.end_in(at, |shard| shard.of_session(session).to_vec(), now_ms)).sum()
    }

    /// Ends the clients of an account whose principal is no longer good. Returns how many.
    pub fn end_account(
        &self,
        account: <A::Principal as Principal>::Account,
        gone: impl Fn(&A::Principal) -> bool,
        now_ms: u64,
    ) -> usize {
        let chosen = |shard: &mut Shard<A::Principal>| {
            let ids = shard.of_account(account).to_vec();
            shard.whose(ids, &gone)
        };
        self.end_in(self.shard_index(&account), chosen, now_ms)
    }

    /// Ends every client whose principal is no longer good. Looks at all of them.
    pub fn end_where(&self, gone: impl Fn(&A::Principal) -> bool, now_ms: u64) -> usize {
        let chosen = |shard: &mut Shard<A::Principal>| {
            let ids = shard.ids().collect();
            shard.whose(ids, &gone)
        };
        (0..SHARDS).map(|at| self.end_in(at, chosen, now_ms)).sum()
    }

    fn end_in(
        &self,
        shard: usize,
        chosen: impl FnOnce(&mut Shard<A::Principal>) -> Vec<ClientId>,
        now_ms: u64,
    ) -> usize {
        let mut wakers = Vec::new();
        let mut ended = 0;
        if let Some(mut shard) = self.shard_at(shard) {
            let ids = chosen(&mut shard);
            ended = ids.len();
            for id in ids {
                // Before it is taken out: whoever finds it gone learns why.
                self.note(id, Fate::Revoked, now_ms);
                wakers.extend(self.remove(&mut shard, id));
            }
        }
        wakers.into_iter().for_each(Waker::wake);
        ended
    }

    /// What a request is answered whose session is dead: if its client is one that was ended, or whose principal is no
    /// longer good, that client is told to stay away. `None` if there is nothing to be said about it.
    pub fn last_word(
        &self,
        body: &[u8],
        gone: impl Fn(&A::Principal) -> bool,
        now_ms: u64,
    ) -> Option<String> {
        let entries = entries(body).ok()?;
        let mut answer = Answer::new();
        for message in entries.iter().flatten() {
            let id = message.client_id.as_deref().and_then(ClientId::parse)?;
            if self.fate(id) != Some(Fate::Revoked) && !self.end_client(id, &gone, now_ms) {
                return None;
            }
            answer.push(&Reply::unknown_client(&message.channel, message.id, Reconnect::None));
        }
        entries.iter().flatten().next()?;
        Some(answer.finish())
    }

    /// Ends a client, whoever's, if its principal is no longer good. True if it did.
    fn end_client(&self, id: ClientId, gone: impl Fn(&A::Principal) -> bool, now_ms: u64) -> bool {
        (0..SHARDS).any(|at| self.end_in(at, |shard| shard.whose(vec![id], &gone), now_ms) > 0)
    }

    /// Takes out clients that have been silent too long, and forgets what need be remembered no longer. To be called
    /// every few seconds. Returns how many clients went.
    pub fn sweep(&self, now_ms: u64) -> usize {
        lock(&self.ended).forget(now_ms);
        let Some(before) = now_ms.checked_sub(millis(self.options.hold + self.options.silence)) else {
            return 0;
        };
        let mut swept = 0;
        for at in 0..SHARDS {
            let Some(mut shard) = self.shard_at(at) else { continue };
            for id in shard.silent(before) {
                self.remove(&mut shard, id);
                swept += 1;
            }
        }
        swept
    }

    /// Answers all that is held, now and from now on: the process is about to end.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        for at in 0..SHARDS {
            let wakers: Vec<Waker> = match self.shard_at(at) {
                Some(mut shard) => {
                    let ids: Vec<ClientId> = shard.ids().collect();
                    ids.into_iter().filter_map(|id| shard.client(id)?.waker()).collect()
                }
                None => Vec::new(),
            };
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}
