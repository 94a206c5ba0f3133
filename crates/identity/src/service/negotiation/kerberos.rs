//! Kerberos: a ticket for this service, by GSSAPI.

use std::sync::Arc;

use countersign_auth::link::Sharing;
use countersign_auth::port::negotiation::LegAnswer;
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::time::Time;
use countersign_negotiate::kerberos::{KerberosError, Pending, Step, name_and_realm};

use super::{Client, Outcome, Waiting, at_once, go_on, proven, refused};
use crate::negotiation::{Mechanisms, account_name, channel_binding};
use crate::service::Core;

impl Core {
    /// Looks at a ticket in a thread that may wait, from the core that the request is on and straight back: two more
    /// threads in between would cost as much as the ticket. It goes on if its answer is no longer awaited.
    pub(super) fn ticket(
        self: &Arc<Self>,
        mechanisms: Arc<Mechanisms>,
        client: Client,
        pending: Option<Pending>,
        token: Vec<u8>,
        now: Time,
    ) -> Answer<Outcome> {
        let Ok(permit) = Arc::clone(&self.tickets).try_acquire_owned() else {
            return at_once(self.counted(&client, Ok(LegAnswer::TooMany), now));
        };
        let core = Arc::clone(self);
        let task = self.handle.spawn_blocking(move || {
            let _permit = permit;
            let outcome = core.looked_at(&mechanisms, &client, pending, &token, now);
            core.counted(&client, outcome, now)
        });
        Box::pin(async move {
            let lost = |error| Err(Unavailable(format!("a check of a ticket was lost: {error}")));
            task.await.unwrap_or_else(lost)
        })
    }

    /// Whose ticket it is. Blocks: for the disk, and at a principal's first sight for the store.
    fn looked_at(
        &self,
        mechanisms: &Mechanisms,
        client: &Client,
        pending: Option<Pending>,
        token: &[u8],
        now: Time,
    ) -> Outcome {
        let Some(kerberos) = &mechanisms.kerberos else { return refused("this api checks no kerberos") };
        let channel = client.certificate.as_deref().and_then(channel_binding);
        let step = kerberos.acceptor.accept(pending, token, kerberos.settings.binding, channel.as_ref());
        let accepted = match step {
            Ok(Step::Accepted(accepted)) => accepted,
            Ok(Step::Continue(pending, token)) => {
                return match client.sharing {
                    Sharing::Own => Ok(go_on(token, Waiting::Kerberos(pending))),
                    Sharing::Shared => refused("more than one message needs a connection of its own"),
                };
            }
            Err(
                error @ (KerberosError::Unavailable(_)
                | KerberosError::Library(_)
                | KerberosError::Keytab { .. }),
            ) => return Err(Unavailable(error.to_string())),
            Err(
                error @ (KerberosError::Refused(_) | KerberosError::WrongBinding | KerberosError::NoBinding),
            ) => return refused(format!("kerberos: {error}")),
        };
        let name = match account_name(&kerberos.settings, &accepted.principal) {
            Ok(name) => name,
            Err(cause) => return refused(cause),
        };
        let realm = name_and_realm(&accepted.principal).map_or("", |(_, realm)| realm);
        let home = format!("kerberos {realm}");
        let found = self.account_for(&home, &client.accounts, name, &kerberos.settings.first_sight, now);
        proven(self.handle.block_on(found)?, Some(accepted.answer).filter(|token| !token.is_empty()))
    }
}
