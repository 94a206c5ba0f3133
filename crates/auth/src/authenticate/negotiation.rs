//! Kerberos and NTLM: messages that follow each other on a connection, and what they proved there.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{HeaderName, WWW_AUTHENTICATE};

use super::{TOO_MANY, Verifier};
use crate::dialect::{CredentialRule, Scheme};
use crate::identity::Proven;
use crate::link::{Bound, Sharing, Slot};
use crate::port::negotiation::{Exchange, Leg, LegAnswer};
use crate::refusal::{Reason, Refusal};
use crate::secret::Secret;

/// Microsoft's way to say whether a proof is good for the requests that follow on the connection; clients that read
/// it (curl) prove themselves again where it is not, and do not where it is.
const PERSISTENT_AUTH: HeaderName = HeaderName::from_static("persistent-auth");

impl Verifier<'_> {
    /// Takes a message that came in `Authorization`.
    pub(super) async fn negotiate(&self, rule: &CredentialRule, message: &Secret) -> Result<Proven, Refusal> {
        let refuse =
            |reason, cause: Cow<'static, str>| Refusal::new(reason, cause).carried_by(rule.carrier());
        let Some(link) = self.request.link else {
            return Err(refuse(Reason::NotAccepted, "nothing is known of the connection".into()));
        };
        let Ok(token) = STANDARD.decode(message.expose()) else {
            return Err(refuse(Reason::BadToken, "the message is not base64".into()));
        };
        let sharing = link.sharing();
        if sharing == Sharing::Shared && rule.scheme == Scheme::Ntlm {
            return Err(refuse(Reason::NotAccepted, "ntlm needs an HTTP/1.1 connection of its own".into()));
        }
        let exchange = match link.slot.map(|slot| slot.next(self.api.edition, &rule.name, self.now)) {
            Some(Ok(exchange)) => exchange,
            Some(Err(_exhausted)) => {
                return Err(refuse(Reason::TooMany, "too many exchanges on one connection".into()));
            }
            None => None,
        };
        let leg = Leg {
            api: Arc::clone(&self.api.name),
            accounts: Arc::clone(&rule.accounts),
            scheme: rule.scheme,
            token,
            exchange,
            sharing,
            certificate: link.certificate.cloned(),
            address: self.request.address,
        };
        match link.negotiation.take(leg, self.now).await? {
            LegAnswer::Proven { account, token } => {
                if let Some(slot) = link.slot {
                    slot.bind(Bound {
                        edition: self.api.edition,
                        credential: Arc::clone(&rule.name),
                        account: Arc::clone(&account),
                        proven_at: self.now,
                    });
                }
                let mut proven = self.proven(rule, account, self.now);
                if let Some(line) = token.and_then(|token| line(rule.scheme, &token)) {
                    proven.answers.push((WWW_AUTHENTICATE, line));
                }
                if rule.scheme == Scheme::Negotiate {
                    let lasts = match sharing {
                        Sharing::Own => "true",
                        Sharing::Shared => "false",
                    };
                    proven.answers.push((PERSISTENT_AUTH, HeaderValue::from_static(lasts)));
                }
                Ok(proven)
            }
            LegAnswer::Continue { token, exchange } => {
                Err(self.challenge(rule, link.slot, &token, exchange).carried_by(rule.carrier()))
            }
            LegAnswer::Due(account) => {
                let cause = "the password must be changed first";
                Err(refuse(Reason::PasswordDue, cause.into()).of_account(Some(&account)))
            }
            LegAnswer::Refused(cause, tried) => {
                Err(refuse(Reason::WrongPassword, cause).of_account(tried.as_ref()))
            }
            LegAnswer::TooMany => Err(refuse(Reason::TooMany, TOO_MANY.into())),
        }
    }

    /// Asks for the client's next message, and keeps what it belongs to.
    fn challenge(
        &self,
        rule: &CredentialRule,
        slot: Option<&Slot>,
        token: &[u8],
        exchange: Exchange,
    ) -> Refusal {
        let (Some(slot), Some(line)) = (slot, line(rule.scheme, token)) else {
            let cause = "more than one message needs an HTTP/1.1 connection of its own";
            return Refusal::new(Reason::NotAccepted, cause);
        };
        slot.wait(self.api.edition, &rule.name, exchange, self.now);
        let mut refusal = Refusal::new(Reason::Unauthenticated, "the client is to answer a challenge");
        refusal.challenge = Some(Box::new(line));
        refusal
    }

    /// Whom the connection belongs to, if that still holds: whoever was changed or disabled since has to prove
    /// himself again.
    pub(super) fn bound(&self, rule: &CredentialRule, bound: &Bound) -> Result<Proven, Refusal> {
        if bound.account.live.is_up() {
            return Ok(self.proven(rule, Arc::clone(&bound.account), bound.proven_at));
        }
        if let Some(slot) = self.request.link.and_then(|link| link.slot) {
            slot.clear();
        }
        let cause = "the account was changed since it was proven on this connection";
        Err(Refusal::new(Reason::Expired, cause).carried_by(rule.carrier()))
    }
}

/// A message of ours, as a challenge carries it.
fn line(scheme: Scheme, token: &[u8]) -> Option<HeaderValue> {
    let word = if scheme == Scheme::Ntlm { "NTLM" } else { "Negotiate" };
    HeaderValue::try_from(format!("{word} {}", STANDARD.encode(token))).ok()
}
