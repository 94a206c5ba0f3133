//! Values that operators set: shared tokens of devices, secrets of applications.
//!
//! An operator may have made them up, so their plain SHA-256 could be guessed from a stolen file; they are kept
//! as HMAC-SHA-256 under the derivation key. (That key is in the same file until it can live elsewhere.)

use std::sync::{PoisonError, RwLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

use crate::store::{ValuePurpose, ValueRow};

/// HMAC-SHA-256 over length-framed parts.
pub(crate) fn framed_mac(key: &[u8; 32], label: &str, parts: &[&str]) -> [u8; 32] {
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, key));
    for part in std::iter::once(&label).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut mac = [0; 32];
    for (to, from) in mac.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    mac
}

fn shared_mac(key: &[u8; 32], api: &str, word: &str, value: &str) -> [u8; 32] {
    framed_mac(key, "shared value", &[api, word, value])
}

fn application_mac(key: &[u8; 32], api: &str, secret: &str) -> [u8; 32] {
    framed_mac(key, "application secret", &[api, secret])
}

/// All values, in memory: there are a handful.
pub(crate) struct Values(RwLock<Vec<ValueRow>>);

impl Values {
    pub(crate) fn load(rows: Vec<ValueRow>) -> Self {
        Self(RwLock::new(rows))
    }

    /// The row that keeps a value.
    pub(crate) fn row(
        key: &[u8; 32],
        purpose: ValuePurpose,
        api: &str,
        word: &str,
        account: u64,
        value: &str,
    ) -> ValueRow {
        let mac = match purpose {
            ValuePurpose::Shared => shared_mac(key, api, word, value),
            ValuePurpose::Application => application_mac(key, api, value),
            ValuePurpose::Directory => framed_mac(key, "directory person", &[api, word, value]),
        };
        ValueRow { purpose, api: api.to_owned(), word: word.to_owned(), account, mac }
    }

    fn place(row: &ValueRow) -> (ValuePurpose, &str, &str, u64) {
        (row.purpose, &row.api, &row.word, row.account)
    }

    pub(crate) fn put(&self, row: ValueRow) {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|other| Self::place(other) != Self::place(&row));
        rows.push(row);
    }

    pub(crate) fn remove(&self, purpose: ValuePurpose, api: &str, word: &str, account: u64) {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|row| Self::place(row) != (purpose, api, word, account));
    }

    pub(crate) fn remove_account(&self, account: u64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|row| row.account != account);
    }

    /// Whose value it is: `None` if none is set there, `Some(None)` if it is another.
    pub(crate) fn shared(&self, key: &[u8; 32], api: &str, word: &str, value: &str) -> Option<Option<u64>> {
        let mac = shared_mac(key, api, word, value);
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut set = None;
        for row in rows.iter() {
            if row.purpose == ValuePurpose::Shared && row.api == api && row.word == word {
                let right = verify_slices_are_equal(&row.mac, &mac).is_ok();
                set = Some(set.flatten().or(right.then_some(row.account)));
            }
        }
        set
    }

    /// The applications that have this secret at this API.
    pub(crate) fn applications(&self, key: &[u8; 32], api: &str, secret: &str) -> Vec<u64> {
        let mac = application_mac(key, api, secret);
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of_api = rows.iter().filter(|row| row.purpose == ValuePurpose::Application && row.api == api);
        let right = of_api.filter(|row| verify_slices_are_equal(&row.mac, &mac).is_ok());
        right.map(|row| row.account).collect()
    }
}
