//! Clients, and by what they are found. All clients of an account are in one shard.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::Principal;
use crate::channel::{Channel, Pattern};
use crate::client::{Client, ClientId};

pub(crate) struct Shard<P: Principal> {
    clients: HashMap<ClientId, Client<P>>,
    topics: HashMap<Arc<str>, HashSet<ClientId>>,
    sessions: HashMap<P::Session, Vec<ClientId>>,
    accounts: HashMap<P::Account, Vec<ClientId>>,
}

impl<P: Principal> Default for Shard<P> {
    fn default() -> Self {
        Self {
            clients: HashMap::default(),
            topics: HashMap::default(),
            sessions: HashMap::default(),
            accounts: HashMap::default(),
        }
    }
}

impl<P: Principal> Shard<P> {
    pub(crate) fn insert(&mut self, id: ClientId, client: Client<P>) {
        let (session, account) = (client.principal.session(), client.principal.account());
        self.sessions.entry(session).or_insert_with(|| Vec::with_capacity(1)).push(id);
        self.accounts.entry(account).or_insert_with(|| Vec::with_capacity(1)).push(id);
        self.clients.insert(id, client);
    }

    /// Takes a client out of every index.
    pub(crate) fn remove(&mut self, id: ClientId) -> Option<Client<P>> {
        let client = self.clients.remove(&id)?;
        for pattern in &client.subscriptions {
            self.forget_topic(pattern, id);
        }
        let (session, account) = (client.principal.session(), client.principal.account());
        if let Some(ids) = self.sessions.get_mut(&session) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.sessions.remove(&session);
            }
        }
        if let Some(ids) = self.accounts.get_mut(&account) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.accounts.remove(&account);
            }
        }
        Some(client)
    }

    fn forget_topic(&mut self, pattern: &Pattern, id: ClientId) {
        if let Some(ids) = self.topics.get_mut(pattern.as_str()) {
            ids.remove(&id);
            if ids.is_empty() {
                self.topics.remove(pattern.as_str());
            }
        }
    }

    /// A client, whoever's.
    pub(crate) fn client(&mut self, id: ClientId) -> Option<&mut Client<P>> {
        self.clients.get_mut(&id)
    }

    /// A client of that session: another's is not there.
    pub(crate) fn client_of(&mut self, session: P::Session, id: ClientId) -> Option<&mut Client<P>> {
        self.clients.get_mut(&id).filter(|client| client.principal.session() == session)
    }

    pub(crate) fn of_session(&self, session: P::Session) -> &[ClientId] {
        self.sessions.get(&session).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn of_account(&self, account: P::Account) -> &[ClientId] {
        self.accounts.get(&account).map_or(&[], Vec::as_slice)
    }

    /// The one of `ids` that has been silent longest.
    pub(crate) fn most_silent(&self, ids: &[ClientId]) -> Option<ClientId> {
        ids.iter().copied().min_by_key(|id| self.clients.get(id).map_or(0, |client| client.last_seen_ms))
    }

    /// Whether another client of the same browser has the connection that its browser can spare.
    pub(crate) fn is_crowded(&self, session: P::Session, id: ClientId) -> bool {
        let Some(browser) = self.clients.get(&id).and_then(|client| client.browser) else { return false };
        self.of_session(session).iter().filter(|other| **other != id).any(|other| {
            self.clients
                .get(other)
                .is_some_and(|other| other.hold.is_some() && other.browser == Some(browser))
        })
    }

    /// Adds a subscription; doing so twice is doing it once.
    pub(crate) fn subscribe(&mut self, id: ClientId, pattern: Pattern) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.subscriptions.contains(&pattern) {
            return;
        }
        // Texts that many subscribe to are kept once.
        match self.topics.get_key_value(pattern.text()).map(|(text, _)| Arc::clone(text)) {
            Some(text) => client.subscriptions.push(pattern.with_text(&text)),
            None => client.subscriptions.push(pattern.clone()),
        }
        self.topics.entry(Arc::clone(pattern.text())).or_default().insert(id);
    }

    /// Ends a subscription; one that is not there has ended already.
    pub(crate) fn unsubscribe(&mut self, id: ClientId, pattern: &Pattern) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.subscriptions.retain(|other| other != pattern);
            self.forget_topic(pattern, id);
        }
    }

    /// Whoever listens on a channel, each once.
    pub(crate) fn listeners(&self, channel: &Channel) -> Vec<ClientId> {
        let mut found: Vec<ClientId> = Vec::new();
        let mut seen: Option<HashSet<ClientId>> = None;
        for pattern in channel.patterns() {
            let Some(ids) = self.topics.get(pattern.as_str()) else { continue };
            if found.is_empty() {
                found.extend(ids);
                continue;
            }
            let seen = seen.get_or_insert_with(|| found.iter().copied().collect());
            found.extend(ids.iter().copied().filter(|id| seen.insert(*id)));
        }
        found
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ClientId> {
        self.clients.keys().copied()
    }

    /// Those of `ids` whose principal is like that.
    pub(crate) fn whose(&self, mut ids: Vec<ClientId>, is_so: impl Fn(&P) -> bool) -> Vec<ClientId> {
        ids.retain(|id| self.clients.get(id).is_some_and(|client| is_so(&client.principal)));
        ids
    }

    /// Clients that hold no connection and were last seen before `before_ms`.
    pub(crate) fn silent(&self, before_ms: u64) -> Vec<ClientId> {
        let silent = |client: &Client<P>| client.hold.is_none() && client.last_seen_ms < before_ms;
        self.clients.iter().filter(|(_, client)| silent(client)).map(|(id, _)| *id).collect()
    }
}
