//! What accounts hold, in the terms of the command line.

use std::time::Duration;

use anyhow::anyhow;
use countersign_auth::token::TokenRef;

use super::{Identities, Settled, by, now};
use crate::output::Failure;
use crate::record::{Session, Whose};

/// A command waits so long for tokens to be loaded: a million are seconds at the worst.
const LOADED_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks.
const LOADED_YET: Duration = Duration::from_millis(10);

impl Identities {
    /// The sessions and tokens that an account holds. Where the store has just been opened, they are waited for.
    pub(crate) async fn sessions(&self, whose: &Whose) -> Result<Vec<Session>, Failure> {
        let id = self.id(whose)?;
        self.tokens_loaded().await;
        let mut sessions = Vec::new();
        for Settled { api, .. } in &*self.apis() {
            for token in self.service.tokens(id, api.name(), now())? {
                sessions.push(Session {
                    reference: token.reference.to_string(),
                    api: token.api.to_string(),
                    word: token.word.to_string(),
                    subject: token.subject,
                    issued_at: token.issued_at.into(),
                    expires_at: token.expires_at.map(Into::into),
                });
            }
        }
        Ok(sessions)
    }

    /// Ends what an account holds: one by its public name, or all sessions and tokens; says how many, if that is known.
    pub(crate) async fn revoke_sessions(
        &self,
        whose: &Whose,
        name: Option<&str>,
    ) -> Result<Option<usize>, Failure> {
        let id = self.id(whose)?;
        let Some(name) = name else {
            // All end, and at once: what cannot be counted yet is not.
            let held = match self.service.ready() {
                true => self.sessions(whose).await.ok().map(|sessions| sessions.len()),
                false => None,
            };
            self.service.end_sessions(id, by(), now()).await?;
            return Ok(held);
        };
        self.tokens_loaded().await;
        let reference =
            TokenRef::parse(name).ok_or_else(|| anyhow!("`{name}` is no session's public name"))?;
        if self.service.end_session(id, reference, by(), now()).await? {
            Ok(Some(1))
        } else {
            Err(Failure::Failed(anyhow!("{} of {} holds no session {name}", whose.name, whose.kind)))
        }
    }

    /// Ends all that anybody holds; says how many accounts there are.
    pub(crate) async fn revoke_everybody(&self) -> Result<usize, Failure> {
        Ok(self.service.end_everybodys_sessions(by(), now()).await?)
    }

    /// Waits until all tokens of the store are in memory, but not for ever: whoever needs them says that they are not.
    pub(crate) async fn tokens_loaded(&self) {
        let loaded = async {
            while !self.service.ready() {
                tokio::time::sleep(LOADED_YET).await;
            }
        };
        let _ = tokio::time::timeout(LOADED_WITHIN, loaded).await;
    }
}
