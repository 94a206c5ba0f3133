//! Agents: who is logged in to which channels, and whether he takes calls.
//!
//! Each change is noted in the store before it is shown, so that a gate that starts anew knows who takes calls. A note
//! is worth what its session is: once that has ended, the agent is logged out.

use std::sync::Arc;

use countersign_auth::account::AccountId;
use countersign_auth::port::services::{After, ServiceAnswer, ServiceCall};
use countersign_auth::token::TokenDigest;
use countersign_bayeux::Channel;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Code, Failure, done};
use super::{Caller, Centre};
use crate::push::Audience;

/// Where state changes are told.
const DEVICES_CHANNEL: &str = "/v2/me/devices";
/// Channels of one agent; a request could name thousands.
const CHANNELS_MAX: usize = 32;

/// Whether an agent takes calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// He has not logged in.
    #[default]
    LoggedOut,
    /// He has, and has not said.
    LoggedIn,
    /// He does.
    Ready,
    /// He does not.
    NotReady,
}

impl State {
    /// As the vendor writes it, with the id that it has there.
    pub(crate) fn json(self) -> Value {
        match self {
            Self::LoggedOut => json!({ "state": "LoggedOut" }),
            Self::LoggedIn => json!({ "state": "LoggedIn" }),
            Self::Ready => json!({
                "id": "9430250E-0A1B-421F-B372-F29E69366DED", "displayName": "Ready", "state": "Ready",
            }),
            Self::NotReady => json!({
                "id": "900D55CC-2BB0-431F-8BF9-D3525B383BE6", "displayName": "Not Ready", "state": "NotReady",
            }),
        }
    }
}

/// An agent's state, as it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Agent {
    /// The digest of the gate's session in which he logged in; it takes his log-in with it.
    session: Option<[u8; 32]>,
    channels: Vec<(String, State)>,
}

impl Agent {
    fn session(&self) -> Option<TokenDigest> {
        self.session.map(TokenDigest)
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        !self.channels.is_empty()
    }

    /// The state of his devices: that of the voice channel, or of the first that he has.
    pub(crate) fn state(&self) -> State {
        let voice = self.channels.iter().find(|(name, _)| name == "voice");
        voice.or(self.channels.first()).map_or(State::LoggedOut, |(_, state)| *state)
    }

    pub(crate) fn channels_json(&self) -> Value {
        let channel = |(name, state): &(String, State)| json!({ "channel": name, "userState": state.json() });
        self.channels.iter().map(channel).collect()
    }

    pub(crate) fn channel_states_json(&self) -> Value {
        let states = self.channels.iter().map(|(name, state)| (name.clone(), state.json()));
        Value::Object(states.collect::<Map<_, _>>())
    }
}

/// All agents that are logged in.
#[derive(Debug, Default)]
pub(crate) struct Agents(HashMap<AccountId, Agent>);

impl Agents {
    /// Reads what was noted; what cannot be understood is left out and said.
    pub(crate) fn read(notes: Vec<(AccountId, String)>) -> Self {
        let read = |(account, note): (AccountId, String)| match serde_json::from_str(&note) {
            Ok(agent) => Some((account, agent)),
            Err(error) => {
                tracing::error!(account.id = account.0, %error, "could not understand the state of an agent");
                None
            }
        };
        Self(notes.into_iter().filter_map(read).collect())
    }

    pub(crate) fn of(&self, account: AccountId) -> Agent {
        self.0.get(&account).cloned().unwrap_or_default()
    }

    /// Logs out whoever logged in in that session.
    pub(crate) fn session_ended(&mut self, session: TokenDigest) -> Vec<AccountId> {
        self.log_out_where(|other| *other == session)
    }

    /// Logs an agent out if what he logged in with is over; true if he was.
    pub(crate) fn log_out_if(&mut self, account: AccountId, is_over: impl Fn(&TokenDigest) -> bool) -> bool {
        let is_over = |agent: &Agent| agent.session().as_ref().is_none_or(&is_over);
        let goes = self.0.get(&account).is_some_and(is_over);
        goes && self.0.remove(&account).is_some()
    }

    pub(crate) fn log_out_where(&mut self, is_over: impl Fn(&TokenDigest) -> bool) -> Vec<AccountId> {
        let over = |agent: &mut Agent| agent.session().as_ref().is_some_and(&is_over);
        self.0.extract_if(|_, agent| over(agent)).map(|(account, _)| account).collect()
    }
}

/// A call's `operationName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Start,
    Ready,
    NotReady,
    End,
}

impl Operation {
    fn named(name: &str) -> Option<Self> {
        match name {
            "StartContactCenterSession" => Some(Self::Start),
            "Ready" => Some(Self::Ready),
            "NotReady" => Some(Self::NotReady),
            "EndContactCenterSession" => Some(Self::End),
            _ => None,
        }
    }
}

/// A JSON object in a body.
pub(super) fn object(call: &ServiceCall) -> Result<Map<String, Value>, Failure> {
    serde_json::from_slice(&call.body).map_err(|_| Failure::new(Code::Invalid, "The body is no JSON object"))
}

impl Centre {
    /// Does what an agent says that he does, on all his channels or on one.
    pub(super) async fn operate(
        &self,
        me: &Caller<'_>,
        channel: Option<&str>,
        call: &ServiceCall,
    ) -> Result<ServiceAnswer, Failure> {
        let body = object(call)?;
        let name = match body.get("operationName") {
            None => return Err(Failure::missing("operationName")),
            Some(Value::String(name)) => name,
            Some(_) => return Err(Failure::invalid("operationName", "is no string")),
        };
        let operation = Operation::named(name)
            .ok_or_else(|| Failure::new(Code::Invalid, "operationName is not known"))?;
        match operation {
            // Whoever he is, whatever the store says and however many of his calls wait, he may leave.
            Operation::End => {
                let _turn = self.changes.enter_in_any_case(me.account.id).await;
                if self.agents().0.remove(&me.account.id).is_some() {
                    self.tell(me.account.id);
                    self.forget(me.account.id).await;
                }
                return Ok(ServiceAnswer { after: After::EndSession, ..done() });
            }
            Operation::Start | Operation::Ready | Operation::NotReady => {
                self.need(me, &self.options.agents)?;
            }
        }
        let _turn = self.changes.enter(me.account.id).await?;
        match operation {
            Operation::Start => self.start(me, &body).await,
            Operation::Ready => self.turn(me, channel, State::Ready).await,
            Operation::NotReady => self.turn(me, channel, State::NotReady).await,
            Operation::End => Ok(done()),
        }
    }

    async fn start(&self, me: &Caller<'_>, body: &Map<String, Value>) -> Result<ServiceAnswer, Failure> {
        let wanted = match body.get("channels") {
            None => return Err(Failure::missing("channels")),
            Some(Value::Array(wanted)) if wanted.is_empty() => return Err(Failure::missing("channels")),
            Some(Value::Array(wanted)) if wanted.len() <= CHANNELS_MAX => wanted,
            Some(_) => return Err(Failure::invalid("channels", "is no list of channels")),
        };
        let known = |name: &&Value| {
            name.as_str().is_some_and(|name| self.options.media.iter().any(|media| media == name))
        };
        let (known, unknown): (Vec<&Value>, Vec<&Value>) = wanted.iter().partition(known);
        if known.is_empty() {
            return Err(Failure::invalid("channels", "names no channel that there is"));
        }
        let mut agent = self.agents().of(me.account.id);
        // Whoever starts again goes on in the session that he does it in.
        agent.session = me.session.map(|session| session.0).or(agent.session);
        for name in known.into_iter().filter_map(Value::as_str) {
            if !agent.channels.iter().any(|(own, _)| own == name) {
                agent.channels.push((name.to_owned(), State::LoggedIn));
            }
        }
        self.become_so(me.account.id, agent).await?;
        if unknown.is_empty() {
            Ok(done())
        } else {
            Err(Failure::new(Code::Partly, "Some channels are not known"))
        }
    }

    async fn turn(
        &self,
        me: &Caller<'_>,
        channel: Option<&str>,
        state: State,
    ) -> Result<ServiceAnswer, Failure> {
        let mut agent = self.agents().of(me.account.id);
        if !agent.is_logged_in() {
            return Err(Failure::new(Code::State, "The contact center session has not been started"));
        }
        let is_meant = |name: &str| channel.is_none_or(|channel| channel == name);
        if !agent.channels.iter().any(|(name, _)| is_meant(name)) {
            return Err(Failure::new(Code::State, "The agent is not logged in to this channel"));
        }
        for (_, own) in agent.channels.iter_mut().filter(|(name, _)| is_meant(name)) {
            *own = state;
        }
        self.become_so(me.account.id, agent).await?;
        Ok(done())
    }

    /// Notes an agent's state, then shows and tells it.
    async fn become_so(&self, account: AccountId, agent: Agent) -> Result<(), Failure> {
        let note = json!(agent).to_string();
        let noted = self.service.note(&self.names.agent_notes(), account, Some(note)).await;
        noted.map_err(|error| Failure::Gate(error.into()))?;
        let session = agent.session();
        self.agents().0.insert(account, agent);
        // His session may have ended meanwhile, when there was nobody to log out.
        let now = self.clock.now();
        if session.is_some_and(|session| self.service.is_over(&session, now)) {
            self.agents().0.remove(&account);
        }
        self.tell(account);
        Ok(())
    }

    /// Forgets what was noted of an agent. If that cannot be, the note goes with its session the next time that it is
    /// read.
    async fn forget(&self, account: AccountId) {
        if let Err(error) = self.service.note(&self.names.agent_notes(), account, None).await {
            tracing::warn!(%error, "could not forget an agent's state");
        }
    }

    /// Tells of agents who are logged out, and forgets what was noted of them unless they are back.
    pub(super) fn left(self: &Arc<Self>, gone: Vec<AccountId>) {
        if gone.is_empty() {
            return;
        }
        gone.iter().for_each(|account| self.tell(*account));
        let centre = Arc::clone(self);
        tokio::spawn(async move {
            for account in gone {
                let _turn = centre.changes.enter_in_any_case(account).await;
                if !centre.agents().of(account).is_logged_in() {
                    centre.forget(account).await;
                }
            }
        });
    }

    /// Tells an agent's sessions in which state his devices are.
    pub(super) fn tell(&self, account: AccountId) {
        let (Some(push), Ok(channel)) = (&self.push, Channel::parse(DEVICES_CHANNEL)) else { return };
        let agent = self.agents().of(account);
        let devices: Vec<Value> =
            self.devices().of(account).iter().map(|device| device.event(&agent)).collect();
        // An agent without a device is in a state all the same.
        let devices = if devices.is_empty() { vec![super::devices::stateless(&agent)] } else { devices };
        let message = json!({ "messageType": "DeviceStateChangeMessage", "devices": devices });
        if let Err(error) = push.publish(&Audience::Account(account), &channel, &message.to_string()) {
            tracing::warn!(%error, "could not tell an agent's state");
        }
    }
}
