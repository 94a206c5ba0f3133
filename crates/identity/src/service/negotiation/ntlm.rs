//! NTLM: by the hashes of accounts that opted in, or by a domain's program.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::account::Account;
use countersign_auth::link::Sharing;
use countersign_auth::port::Unavailable;
use countersign_auth::port::negotiation::LegAnswer;
use countersign_auth::source::Source;
use countersign_auth::time::Time;
use countersign_negotiate::helper::without_domain;
use countersign_negotiate::ntlm::{Challenge, Claim, Demands, NtHash, NtlmError, Session, challenge, named};
use countersign_negotiate::spnego::{State, answer};
use tokio::time::{Instant, sleep_until};

use super::{Client, Outcome, Waiting, go_on, proven, refused};
use crate::accounts::directory::Entry;
use crate::equivalents::NOBODY;
use crate::lockout::Verdict;
use crate::negotiation::helper::{Exchange, Helpers, Lost, Said};
use crate::negotiation::{DomainHelpers, Mechanisms, Ntlm, channel_binding};
use crate::service::{Core, passwords};

/// A refused proof is told so long after it came. The same is done for nobody as for somebody, but what is kept of
/// somebody is further from the processor: about a microsecond, which a tick of the timer hides.
const REFUSED_AFTER: Duration = Duration::from_millis(5);

/// Why NTLM is refused where others may use the connection.
pub(super) const NEEDS_A_CONNECTION: &str = "ntlm needs an HTTP/1.1 connection of its own";

/// A later message of a client.
pub(super) struct Message<'m> {
    /// NTLM's own.
    pub(super) token: &'m [u8],
    /// The signature over the mechanisms that came with it.
    pub(super) mic: Option<&'m [u8]>,
    /// With its envelope, if it has one.
    pub(super) whole: &'m [u8],
}

/// SPNEGO around an exchange.
pub(super) struct Envelope {
    /// The client's mechanisms, as it sent them: what it signs.
    list: Vec<u8>,
    /// Whether NTLM was its favourite. If not, somebody may have taken the others out, and it must sign the list.
    wanted: bool,
    /// The client's whole first message, for a program that reads envelopes itself.
    whole: Vec<u8>,
}

impl Envelope {
    pub(super) fn new(list: &[u8], wanted: bool, whole: &[u8]) -> Self {
        Self { list: list.to_vec(), wanted, whole: whole.to_vec() }
    }
}

/// An exchange between two messages.
pub(super) struct Conversation {
    step: Step,
    envelope: Option<Envelope>,
}

enum Step {
    /// NTLM was chosen; its first message is due.
    Chosen,
    /// The last message is due.
    Challenged(Challenge),
    /// The domain's program knows.
    Helper(Arc<Helpers>, Exchange),
}

impl Conversation {
    pub(super) const fn is_wrapped(&self) -> bool {
        self.envelope.is_some()
    }

    /// Tells a client that would rather speak something else to speak NTLM.
    pub(super) fn chosen(envelope: Envelope) -> LegAnswer {
        let token = answer(State::RequestMic, true, None, None);
        go_on(token, Waiting::Ntlm(Self { step: Step::Chosen, envelope: Some(envelope) }))
    }
}

impl Core {
    /// Takes the first message of an exchange.
    pub(super) async fn ntlm_begins(
        self: &Arc<Self>,
        mechanisms: &Mechanisms,
        client: &Client,
        message: &[u8],
        envelope: Option<Envelope>,
        now: Time,
    ) -> Outcome {
        let Some(ntlm) = &mechanisms.ntlm else { return refused("this api checks no ntlm") };
        if client.sharing == Sharing::Shared {
            return refused(NEEDS_A_CONNECTION);
        }
        match &ntlm.helpers {
            Some(helpers) => self.helper_begins(helpers, ntlm, client, message, envelope, now).await,
            None => self.challenged(ntlm, message, envelope, true, now),
        }
    }

    /// Answers a first message with a challenge. `first`: the envelope names the mechanism.
    fn challenged(
        &self,
        ntlm: &Ntlm,
        message: &[u8],
        envelope: Option<Envelope>,
        first: bool,
        now: Time,
    ) -> Outcome {
        let time = u64::try_from(now.unix_secs()).unwrap_or(0);
        let challenge = match challenge(message, &ntlm.settings.names, self.draw()?, time) {
            Ok(challenge) => challenge,
            Err(error) => return refused(format!("ntlm: {error}")),
        };
        let message = challenge.message();
        let token = match &envelope {
            Some(_) => answer(State::Incomplete, first, Some(message), None),
            None => message.to_vec(),
        };
        Ok(go_on(token, Waiting::Ntlm(Conversation { step: Step::Challenged(challenge), envelope })))
    }

    /// Takes a later message.
    pub(super) async fn ntlm_goes_on(
        self: &Arc<Self>,
        mechanisms: &Mechanisms,
        client: &Client,
        conversation: Conversation,
        message: Message<'_>,
        now: Time,
    ) -> Outcome {
        let Some(ntlm) = &mechanisms.ntlm else { return refused("this api checks no ntlm") };
        let after = match conversation.step {
            Step::Chosen | Step::Challenged(_) => REFUSED_AFTER,
            Step::Helper(..) => passwords::REFUSED_AFTER,
        };
        let told = Instant::now() + after;
        let token = message.token;
        match self.ntlm_taken(ntlm, client, conversation, message, now).await {
            Ok(LegAnswer::Refused(cause, _)) => {
                let tried = self.tried(ntlm, client, token);
                sleep_until(told).await;
                Ok(LegAnswer::Refused(cause, tried))
            }
            outcome => outcome,
        }
    }

    /// Whose account a refused message was about, for the log: what it calls its user, where that is the name of one. What
    /// nobody is called may be anything, a password that was typed into the wrong field too.
    fn tried(&self, ntlm: &Ntlm, client: &Client, token: &[u8]) -> Option<Arc<Account>> {
        let named = named(token)?;
        // A program knows domains; the gate's own accounts have none, and clients send what they like.
        let own = &ntlm.settings.names.domain;
        if ntlm.helpers.is_some() && !named.domain.is_empty() && !named.domain.eq_ignore_ascii_case(own) {
            return None;
        }
        self.user(ntlm, client, &named.user).map(|entry| Arc::clone(&entry.account))
    }

    async fn ntlm_taken(
        self: &Arc<Self>,
        ntlm: &Ntlm,
        client: &Client,
        conversation: Conversation,
        message: Message<'_>,
        now: Time,
    ) -> Outcome {
        match conversation.step {
            Step::Chosen => self.challenged(ntlm, message.token, conversation.envelope, false, now),
            Step::Challenged(challenge) => match challenge.answered(message.token) {
                Ok(claim) => {
                    let envelope = conversation.envelope.as_ref().map(|own| (own, message.mic));
                    self.claimed(ntlm, client, claim, envelope, now)
                }
                Err(error) => refused(format!("ntlm: {error}")),
            },
            Step::Helper(helpers, exchange) => {
                match helpers.go_on(&exchange, &STANDARD.encode(message.whole)).await? {
                    Ok(Said::Token(token)) => {
                        let step = Step::Helper(helpers, exchange);
                        let envelope = conversation.envelope;
                        Ok(go_on(decoded(&token)?, Waiting::Ntlm(Conversation { step, envelope })))
                    }
                    Ok(said) => self.helper_said(ntlm, client, said, now).await,
                    Err(Lost::Expired) => refused("the challenge was answered too late"),
                    // Nobody failed: there were more exchanges than there may be.
                    Err(Lost::GaveWay) => Ok(LegAnswer::TooMany),
                }
            }
        }
    }

    /// Checks a claim against the hash of the user whom it names. Whoever he is, the same work is done.
    fn claimed(
        self: &Arc<Self>,
        ntlm: &Ntlm,
        client: &Client,
        claim: Claim,
        envelope: Option<(&Envelope, Option<&[u8]>)>,
        now: Time,
    ) -> Outcome {
        let found = self.user(ntlm, client, claim.user());
        // Made for everybody, and used for nobody: whoever is unknown is counted as well, and costs what he would cost.
        let nobodys = self.nobodys_bucket(&client.accounts, claim.user());
        let number = found.as_ref().map_or(nobodys, |entry| entry.account.id.0);
        let bucket = self.lockout.bucket(number, client.address);
        let is_locked = self.lockout.is_locked(number, Source::of(client.address), now);
        let kept = self.equivalents.of(found.as_ref().map_or(NOBODY, |entry| entry.account.id.0));
        let hash = kept.as_ref().and_then(|kept| kept.nt_hash.as_ref());
        let has_hash = hash.is_some();
        let hash = NtHash::from_bytes(hash.map_or([0; 16], |hash| *hash.expose()));
        let channel = client.certificate.as_deref().and_then(channel_binding);
        let settings = &ntlm.settings;
        let demands = Demands { mic: settings.mic, binding: settings.binding, channel: channel.as_ref() };
        let verdict = claim.verify(&hash, &demands);
        let verdict = verdict.and_then(|session| envelope.map_or(Ok(None), |own| signed(&session, own)));
        // Nothing was waited for since it was asked whether the account is locked.
        let failed = || self.lockout.failed(bucket, now) == Verdict::NowLocked;
        let Some(entry) = found else {
            if !is_locked {
                failed();
            }
            return match verdict {
                Err(error) => refused(format!("ntlm: no such user, {error}")),
                Ok(_) => refused("ntlm: no such user"),
            };
        };
        let wrong = |cause: Cow<'static, str>| {
            if failed() {
                self.note_lock(&entry.account, client.address, now);
            }
            refused(cause)
        };
        match verdict {
            _ if is_locked => refused("locked after failed attempts"),
            _ if !has_hash => wrong("the account keeps nothing that ntlm could be checked with".into()),
            Err(error) => wrong(format!("ntlm: {error}").into()),
            Ok(token) => {
                self.lockout.succeeded(bucket, client.address, now);
                if entry.password_due {
                    return Ok(LegAnswer::Due(Arc::clone(&entry.account)));
                }
                proven(Ok(entry), token)
            }
        }
    }

    /// The account of a user as NTLM names him: a name, or one with the domain that the gate calls its own.
    fn user(&self, ntlm: &Ntlm, client: &Client, user: &str) -> Option<Arc<Entry>> {
        let directory = &self.directory;
        directory.login(&client.accounts, user).or_else(|| {
            let (name, domain) = user.rsplit_once('@')?;
            let own = &ntlm.settings.names.dns_domain;
            (!own.is_empty() && domain.eq_ignore_ascii_case(own))
                .then(|| directory.login(&client.accounts, name))?
        })
    }

    async fn helper_begins(
        self: &Arc<Self>,
        helpers: &DomainHelpers,
        ntlm: &Ntlm,
        client: &Client,
        message: &[u8],
        envelope: Option<Envelope>,
        now: Time,
    ) -> Outcome {
        let (helpers, token) = match &envelope {
            Some(envelope) => (&helpers.spnego, STANDARD.encode(&envelope.whole)),
            None => (&helpers.bare, STANDARD.encode(message)),
        };
        let Ok((said, exchange)) = helpers.begin(&token, client.address).await? else {
            return Ok(LegAnswer::TooMany);
        };
        match (said, exchange) {
            (Said::Token(token), Some(exchange)) => {
                let step = Step::Helper(Arc::clone(helpers), exchange);
                Ok(go_on(decoded(&token)?, Waiting::Ntlm(Conversation { step, envelope })))
            }
            (said, _) => self.helper_said(ntlm, client, said, now).await,
        }
    }

    /// What the domain's program found out.
    async fn helper_said(self: &Arc<Self>, ntlm: &Ntlm, client: &Client, said: Said, now: Time) -> Outcome {
        let Some(helpers) = &ntlm.helpers else { return refused("this api has no domain's program") };
        let (user, token) = match said {
            Said::Known { user, token } => (user, token),
            Said::Refused(why) => return refused(format!("ntlm: the domain says {why}")),
            Said::Token(_) => return refused("ntlm: the exchange does not end"),
        };
        let domain = user.split_once('\\').map(|(domain, _)| domain);
        if domain.is_some_and(|domain| !domain.eq_ignore_ascii_case(&ntlm.settings.names.domain)) {
            return refused("the user is of a domain that is not let in");
        }
        let token = match token {
            Some(token) => Some(decoded(&token)?),
            None => None,
        };
        let (home, name) = (format!("ntlm {}", ntlm.settings.names.domain), without_domain(&user));
        let found = self.account_for(&home, &client.accounts, name, &helpers.first_sight, now).await?;
        proven(found, token)
    }
}

/// Whether the client signed its mechanisms, where it has to; our signature in return.
fn signed(
    session: &Session,
    (envelope, mic): (&Envelope, Option<&[u8]>),
) -> Result<Option<Vec<u8>>, NtlmError> {
    match mic {
        Some(mic) if session.verifies(&envelope.list, mic) => {
            Ok(Some(answer(State::Completed, false, None, Some(&session.sign(&envelope.list)))))
        }
        Some(_) => Err(NtlmError::WrongMic),
        None if session.is_signed() || !envelope.wanted => Err(NtlmError::NoMic),
        None => Ok(Some(answer(State::Completed, false, None, None))),
    }
}

fn decoded(token: &str) -> Result<Vec<u8>, Unavailable> {
    STANDARD
        .decode(token)
        .map_err(|_| Unavailable("the domain's program gave a token that is not base64".to_owned()))
}
