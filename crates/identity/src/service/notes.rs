//! What named services keep about accounts. The service that notes something holds it in memory itself.

use countersign_auth::account::AccountId;
use countersign_auth::port::{Answer, Unavailable};

use super::{Service, unavailable};
use crate::store::{Change, NoteRow};

impl Service {
    /// All that a service noted, with whom it is about.
    pub fn notes(&self, service: &str) -> Answer<Result<Vec<(AccountId, String)>, Unavailable>> {
        let service = service.to_owned();
        self.run(move |core| async move {
            let rows = core.store.notes(service).await.map_err(unavailable)?;
            Ok(rows.into_iter().map(|row| (AccountId(row.account), row.text)).collect())
        })
    }

    /// Notes something about an account in place of what was noted, or with `None` nothing. It goes with the account.
    pub fn note(
        &self,
        service: &str,
        account: AccountId,
        text: Option<String>,
    ) -> Answer<Result<(), Unavailable>> {
        self.note_all(service, vec![(account, text)])
    }

    /// The same of several accounts: all of it is noted, or nothing.
    pub fn note_all(
        &self,
        service: &str,
        notes: Vec<(AccountId, Option<String>)>,
    ) -> Answer<Result<(), Unavailable>> {
        let change = |(account, text): (AccountId, Option<String>)| {
            let service = service.to_owned();
            match text {
                Some(text) => Change::PutNote(NoteRow { service, account: account.0, text }),
                None => Change::DeleteNote(service, account.0),
            }
        };
        let changes = notes.into_iter().map(change).collect();
        self.run(move |core| async move { core.store.write(changes).await.map_err(unavailable) })
    }
}
