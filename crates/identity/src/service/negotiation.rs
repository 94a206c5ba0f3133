//! Whose proof a message of Kerberos or NTLM is.
//!
//! Whoever changes this file, or those below it, can forge an identity; it is reviewed as such.
//!
//! ```text
//! message ─▶ address bucket ─▶ envelope ─┬▶ GSSAPI, in a thread that may wait ─▶ principal ─▶ account
//!                                        ├▶ NTLM, with the store's hashes ─▶ account
//!                                        └▶ NTLM, by a domain's program ─▶ user ─▶ account
//! ```

mod kerberos;
mod ntlm;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use countersign_auth::dialect::Scheme;
use countersign_auth::link::Sharing;
use countersign_auth::port::negotiation::{Exchange, Leg, LegAnswer, Negotiation};
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::time::Time;
use countersign_negotiate::kerberos::{KerberosError, Pending};
use countersign_negotiate::spnego::{Init, Mechanism, Token};

use self::ntlm::{Conversation, Envelope};
use super::directories::{Sought, Tie};
use super::{By, Core, Service};
use crate::accounts::directory::Entry;
use crate::accounts::{AccountDraft, AccountError};
use crate::negotiation::{FirstSight, Mechanisms, NegotiationSettings};

/// What is kept between two messages.
enum Waiting {
    Kerberos(Pending),
    Ntlm(Conversation),
}

/// Who sends a message, and on what connection.
struct Client {
    accounts: Arc<str>,
    scheme: Scheme,
    sharing: Sharing,
    certificate: Option<Arc<[u8]>>,
    address: IpAddr,
}

/// What a message came to, before it is told.
type Outcome = Result<LegAnswer, Unavailable>;

impl Service {
    /// Says how an API checks Windows' log-ins. A keytab is read now; a program is started when it is needed.
    ///
    /// # Errors
    /// If the library or the keytab cannot be used.
    pub fn declare_negotiation(&self, api: &str, settings: NegotiationSettings) -> Result<(), KerberosError> {
        self.core.negotiations.declare(api, settings)
    }
}

impl Negotiation for Service {
    fn take(&self, leg: Leg, now: Time) -> Answer<Outcome> {
        let core = &self.core;
        let Some(mechanisms) = core.negotiations.of(&leg.api) else {
            let cause = "nothing says how this api checks kerberos and ntlm";
            return at_once(Err(Unavailable(cause.to_owned())));
        };
        let Leg { api: _, accounts, scheme, token, exchange, sharing, certificate, address } = leg;
        let waiting = exchange.and_then(|exchange| exchange.0.downcast::<Waiting>().ok());
        if waiting.is_some() {
            // What the message before was charged with: it was gone on with.
            core.lockout.addresses.forgive(address, now);
        }
        if core.lockout.addresses.begin(address, now).is_err() {
            return at_once(Ok(LegAnswer::TooMany));
        }
        let client = Client { accounts, scheme, sharing, certificate, address };
        match course(&mechanisms, scheme, &token, waiting.map(|waiting| *waiting)) {
            Course::Ticket(pending) => core.ticket(mechanisms, client, pending, token, now),
            Course::Other(waiting) => self.run(move |core| async move {
                let outcome = core.routed(&mechanisms, &client, &token, waiting, now).await;
                core.counted(&client, outcome, now)
            }),
        }
    }
}

/// Who is to look at a message.
enum Course {
    /// Kerberos, with what waits for this message.
    Ticket(Option<Pending>),
    /// NTLM, or nobody.
    Other(Option<Waiting>),
}

fn course(mechanisms: &Mechanisms, scheme: Scheme, bytes: &[u8], waiting: Option<Waiting>) -> Course {
    if scheme == Scheme::Ntlm {
        return Course::Other(waiting);
    }
    match (Token::read(bytes), waiting) {
        (Ok(Token::Kerberos(_)), None) => Course::Ticket(None),
        (Ok(Token::Init(init)), None) if chosen(mechanisms, &init) == Some(Mechanism::Kerberos) => {
            Course::Ticket(None)
        }
        (Ok(Token::Response(_)), Some(Waiting::Kerberos(pending))) => Course::Ticket(Some(pending)),
        (_, waiting) => Course::Other(waiting),
    }
}

/// Chooses among the mechanisms of a client's first message: its favourite, else the strongest one that both speak.
fn chosen(mechanisms: &Mechanisms, init: &Init<'_>) -> Option<Mechanism> {
    let speaks = |mechanism| init.mechanisms.contains(&mechanism);
    let by_kerberos = mechanisms.kerberos.is_some() && speaks(Mechanism::Kerberos);
    let by_ntlm = mechanisms.ntlm.is_some() && speaks(Mechanism::Ntlm);
    if by_ntlm && (init.mechanisms.first() == Some(&Mechanism::Ntlm) || !by_kerberos) {
        return Some(Mechanism::Ntlm);
    }
    by_kerberos.then_some(Mechanism::Kerberos)
}

fn refused(cause: impl Into<Cow<'static, str>>) -> Outcome {
    Ok(LegAnswer::Refused(cause.into(), None))
}

fn at_once(outcome: Outcome) -> Answer<Outcome> {
    Box::pin(std::future::ready(outcome))
}

impl Core {
    /// Gives an attempt back that was not a failure. One that is not at its end counts until it is gone on with: whoever
    /// begins exchanges and leaves them has as many as he has failures.
    fn counted(&self, client: &Client, outcome: Outcome, now: Time) -> Outcome {
        if !matches!(outcome, Ok(LegAnswer::Refused(..) | LegAnswer::Continue { .. })) {
            self.lockout.addresses.forgive(client.address, now);
        }
        outcome
    }

    /// Takes a message that is not Kerberos's.
    async fn routed(
        self: &Arc<Self>,
        mechanisms: &Mechanisms,
        client: &Client,
        bytes: &[u8],
        waiting: Option<Waiting>,
        now: Time,
    ) -> Outcome {
        let token = match Token::read(bytes) {
            Ok(token) => token,
            Err(error) => return refused(error.to_string()),
        };
        match (token, waiting) {
            (Token::Ntlm(message), None) => self.ntlm_begins(mechanisms, client, message, None, now).await,
            (Token::Ntlm(message), Some(Waiting::Ntlm(conversation))) if !conversation.is_wrapped() => {
                let message = ntlm::Message { token: message, mic: None, whole: message };
                self.ntlm_goes_on(mechanisms, client, conversation, message, now).await
            }
            _ if client.scheme == Scheme::Ntlm => {
                refused("the message is not of ntlm, or not the one that is due")
            }
            (Token::Response(response), Some(Waiting::Ntlm(conversation))) if conversation.is_wrapped() => {
                let Some(token) = response.token else { return refused("a message without a token") };
                let message = ntlm::Message { token, mic: response.mechanism_list_mic, whole: bytes };
                self.ntlm_goes_on(mechanisms, client, conversation, message, now).await
            }
            (Token::Init(init), None) => self.wrapped(mechanisms, client, &init, bytes, now).await,
            (Token::Ntlm(_) | Token::Kerberos(_) | Token::Init(_) | Token::Response(_), _) => {
                refused("the message is not the one that is due")
            }
        }
    }

    /// Takes the first message of a client that has NTLM, or nothing that the API checks, in an envelope.
    async fn wrapped(
        self: &Arc<Self>,
        mechanisms: &Mechanisms,
        client: &Client,
        init: &Init<'_>,
        bytes: &[u8],
        now: Time,
    ) -> Outcome {
        if chosen(mechanisms, init) != Some(Mechanism::Ntlm) {
            return refused("the client speaks no mechanism that this api checks");
        }
        let wanted = init.mechanisms.first() == Some(&Mechanism::Ntlm);
        let envelope = Envelope::new(init.mechanism_list, wanted, bytes);
        // A domain's program chooses itself.
        let is_first = wanted || mechanisms.ntlm.as_ref().is_some_and(|ntlm| ntlm.helpers.is_some());
        match init.token.filter(|_| is_first) {
            Some(message) => self.ntlm_begins(mechanisms, client, message, Some(envelope), now).await,
            None if client.sharing == Sharing::Shared => refused(ntlm::NEEDS_A_CONNECTION),
            None => Ok(Conversation::chosen(envelope)),
        }
    }

    /// The account of somebody who is proven, which is made where it may be, for the people of that realm or domain.
    async fn account_for(
        &self,
        home: &str,
        kind: &str,
        name: &str,
        first_sight: &FirstSight,
        now: Time,
    ) -> Result<Result<Arc<Entry>, &'static str>, Unavailable> {
        if let Some(entry) = self.directory.named(kind, name) {
            return Ok(Ok(entry));
        }
        let FirstSight::Create { roles, tenant } = first_sight else {
            return Ok(Err("the proof is good, but there is no such account"));
        };
        let draft =
            AccountDraft { roles: roles.clone(), tenant: tenant.clone(), ..AccountDraft::new(kind, name) };
        let tie = Tie { home, person: name, sought: Sought::ByName };
        match self.create_account(draft, Some(tie), &By::gate(), now).await {
            // Somebody else's first sight of him may have been a moment earlier.
            Ok(_) | Err(AccountError::Taken(_)) => Ok(self
                .directory
                .named(kind, name)
                .ok_or("the account could not be made: its subject is taken")),
            Err(AccountError::Unavailable(error)) => Err(error),
            Err(AccountError::Unfit { .. } | AccountError::NotFound | AccountError::TooMany) => {
                Ok(Err("no account can have such a name"))
            }
        }
    }
}

/// Somebody proven, with his account.
fn proven(found: Result<Arc<Entry>, &'static str>, token: Option<Vec<u8>>) -> Outcome {
    match found {
        Err(cause) => refused(cause),
        Ok(entry) if entry.disabled => {
            Ok(LegAnswer::Refused("the account is disabled".into(), Some(Arc::clone(&entry.account))))
        }
        Ok(entry) => Ok(LegAnswer::Proven { account: Arc::clone(&entry.account), token }),
    }
}

fn go_on(token: Vec<u8>, waiting: Waiting) -> LegAnswer {
    LegAnswer::Continue { token, exchange: Exchange(Box::new(waiting)) }
}
