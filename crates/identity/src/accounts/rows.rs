//! Accounts between memory and store.

use std::sync::{Arc, LazyLock};

use countersign_auth::account::{Account, AccountId, KINDS, Live};
use countersign_auth::assertion::Minted;
use countersign_auth::time::Time;

use super::AccountDraft;
use super::directory::Entry;
use crate::store::{AccountRow, StoreError};
use crate::tokens::record::ACCOUNT_MAX;

/// The name of a kind, the same for all accounts of it: every request compares it, and it lies in one place.
fn shared_kind(name: &str) -> Arc<str> {
    static SHARED: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| KINDS.map(Arc::from).to_vec());
    SHARED.iter().find(|kind| ***kind == *name).map_or_else(|| name.into(), Arc::clone)
}

/// The account that a row holds.
pub(crate) fn entry(row: AccountRow) -> Result<Entry, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt(error.to_string());
    if row.id.cast_unsigned() > ACCOUNT_MAX {
        return Err(StoreError::Corrupt(format!("no account can have the number {}", row.id)));
    }
    let account = Account {
        id: AccountId(row.id.cast_unsigned()),
        kind: shared_kind(&row.kind),
        name: row.name.into(),
        subject: row.subject,
        full_name: row.full_name,
        first_name: row.first_name,
        last_name: row.last_name,
        email: row.email,
        tenant: row.tenant,
        roles: serde_json::from_str(&row.roles).map_err(corrupt)?,
        keys: serde_json::from_str(&row.keys).map_err(corrupt)?,
        issuer: None,
        proofs_from: Time::from_unix_ms(row.proofs_from),
        live: Live::new(),
        minted: Minted::default(),
    };
    Ok(Entry {
        account: Arc::new(account),
        disabled: row.disabled,
        password: row.password_hash.map(Arc::from),
        password_due: row.password_due,
        created_at: Time::from_unix_ms(row.created_at),
        updated_at: Time::from_unix_ms(row.updated_at),
    })
}

/// The row that holds an account.
pub(crate) fn row(entry: &Entry) -> AccountRow {
    let account = &entry.account;
    AccountRow {
        id: account.id.0.cast_signed(),
        kind: account.kind.to_string(),
        name: account.name.to_string(),
        name_folded: account.name.to_ascii_lowercase(),
        subject: account.subject.clone(),
        full_name: account.full_name.clone(),
        first_name: account.first_name.clone(),
        last_name: account.last_name.clone(),
        email: account.email.clone(),
        tenant: account.tenant.clone(),
        roles: serde_json::json!(account.roles).to_string(),
        keys: serde_json::json!(account.keys).to_string(),
        password_hash: entry.password.as_deref().map(str::to_owned),
        password_due: entry.password_due,
        disabled: entry.disabled,
        proofs_from: account.proofs_from.unix_ms(),
        created_at: entry.created_at.unix_ms(),
        updated_at: entry.updated_at.unix_ms(),
    }
}

/// An account that is nobody's, for look-ups that take as long whether there is somebody or not.
pub(crate) fn nobody() -> Result<Entry, StoreError> {
    entry(new_row(&AccountDraft::new("users", ""), 0, None, Time::from_unix_secs(0)))
}

/// The row of a new account.
pub(crate) fn new_row(draft: &AccountDraft, id: u64, password: Option<String>, now: Time) -> AccountRow {
    let mut row = AccountRow {
        id: id.cast_signed(),
        kind: String::new(),
        name: String::new(),
        name_folded: String::new(),
        subject: String::new(),
        full_name: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        tenant: None,
        roles: String::new(),
        keys: String::new(),
        password_due: password.is_some() && draft.password_due,
        password_hash: password,
        disabled: draft.disabled,
        proofs_from: now.unix_ms(),
        created_at: now.unix_ms(),
        updated_at: now.unix_ms(),
    };
    fill(&mut row, draft);
    row
}

/// Brings a row to what a draft says; password, standing and times are the caller's.
pub(crate) fn fill(row: &mut AccountRow, draft: &AccountDraft) {
    row.kind.clone_from(&draft.kind);
    row.name.clone_from(&draft.name);
    row.name_folded = draft.name.to_ascii_lowercase();
    row.subject = draft.subject.clone().unwrap_or_else(|| draft.name.clone());
    row.full_name.clone_from(&draft.full_name);
    row.first_name.clone_from(&draft.first_name);
    row.last_name.clone_from(&draft.last_name);
    row.email.clone_from(&draft.email);
    row.tenant.clone_from(&draft.tenant);
    row.roles = serde_json::json!(draft.roles).to_string();
    row.keys = serde_json::json!(draft.keys).to_string();
}
