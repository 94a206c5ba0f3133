//! What happened, for people to read later. It can be added to and never be changed, and holds no secrets.
//!
//! Changes of accounts, passwords, keys and values are in it, sessions that somebody else than their holder ends, buckets
//! that lock and refresh tokens that come back; single log-ins and log-outs are the log's.

use countersign_auth::account::Account;
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::time::Time;

use crate::service::{By, Service};
use crate::store::AuditRow;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// When.
    pub at: Time,
    /// Who did it.
    pub actor: String,
    /// What, e.g. `account.created`.
    pub event: String,
    /// To what, e.g. `users/ann`.
    pub object: String,
    /// From where; empty for the gate itself.
    pub address: String,
}

/// What an account is called in the audit.
pub(crate) fn name_of(account: &Account) -> String {
    format!("{}/{}", account.kind, account.name)
}

pub(crate) fn row(by: &By, event: &str, object: String, now: Time) -> AuditRow {
    AuditRow {
        at: now.unix_ms(),
        actor: by.actor.clone(),
        event: event.to_owned(),
        object,
        address: by.address.map_or_else(String::new, |address| address.to_canonical().to_string()),
    }
}

impl Service {
    /// The newest `limit` events, newest first.
    pub fn audit(&self, limit: u32) -> Answer<Result<Vec<AuditEvent>, Unavailable>> {
        self.audit_rows(limit, |row| AuditEvent {
            at: Time::from_unix_ms(row.at),
            actor: row.actor,
            event: row.event,
            object: row.object,
            address: row.address,
        })
    }
}
