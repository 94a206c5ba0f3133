//! Kerberos: a ticket for this service, by GSSAPI.

use std::sync::Arc;

use countersign_auth::link::Sharing;
use countersign_auth::port::Unavailable;
use countersign_auth::port::negotiation::LegAnswer;
use countersign_auth::time::Time;
use countersign_negotiate::kerberos::{KerberosError, Pending, Step};

use super::{Client, Outcome, Waiting, go_on, proven, refused};
use crate::negotiation::{Mechanisms, account_name, channel_binding};
use crate::service::Core;

impl Core {
    pub(super) async fn kerberos(
        self: &Arc<Self>,
        mechanisms: &Mechanisms,
        client: &Client,
        pending: Option<Pending>,
        token: Vec<u8>,
        now: Time,
    ) -> Outcome {
        let Some(kerberos) = &mechanisms.kerberos else { return refused("this api checks no kerberos") };
        let Ok(permit) = Arc::clone(&self.tickets).try_acquire_owned() else { return Ok(LegAnswer::TooMany) };
        let (acceptor, demand) = (Arc::clone(&kerberos.acceptor), kerberos.settings.binding);
        let certificate = client.certificate.clone();
        let work = move || {
            let _permit = permit;
            let channel = certificate.as_deref().and_then(channel_binding);
            acceptor.accept(pending, &token, demand, channel.as_ref())
        };
        let step = self.handle.spawn_blocking(work).await;
        let step = step.map_err(|error| Unavailable(format!("a check of a ticket was lost: {error}")))?;
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
        let found = self.account_for(&client.accounts, name, &kerberos.settings.first_sight, now).await?;
        proven(found, Some(accepted.answer).filter(|token| !token.is_empty()))
    }
}
