//! Values that operators set: shared tokens of devices, secrets of applications.
//!
//! An operator may have made them up, so their plain SHA-256 could be guessed from a stolen file; they are kept
//! as HMAC-SHA-256 under the derivation key. (That key is in the same file until it can live elsewhere.)

use aws_lc_rs::constant_time::verify_slices_are_equal;
use countersign_auth::derive::DerivationKey;
use hmac::Mac as _;

use crate::rcu::Rcu;
use crate::store::{ValuePurpose, ValueRow};

/// HMAC-SHA-256 over length-framed parts.
pub(crate) fn framed_mac(key: &DerivationKey, label: &str, parts: &[&str]) -> [u8; 32] {
    let mut context = key.hmac();
    for part in std::iter::once(&label).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finalize().into_bytes().into()
}

fn shared_mac(key: &DerivationKey, api: &str, word: &str, value: &str) -> [u8; 32] {
    framed_mac(key, "shared value", &[api, word, value])
}

fn application_mac(key: &DerivationKey, api: &str, secret: &str) -> [u8; 32] {
    framed_mac(key, "application secret", &[api, secret])
}

/// All values, in memory: there are a handful.
pub(crate) struct Values(Rcu<Vec<ValueRow>>);

impl Values {
    pub(crate) fn load(rows: Vec<ValueRow>) -> Self {
        Self(Rcu::new(rows))
    }

    /// The row that keeps a value.
    pub(crate) fn row(
        key: &DerivationKey,
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
        self.0.change(|rows| {
            rows.retain(|other| Self::place(other) != Self::place(&row));
            rows.push(row);
        });
    }

    pub(crate) fn remove(&self, purpose: ValuePurpose, api: &str, word: &str, account: u64) {
        self.0.change(|rows| rows.retain(|row| Self::place(row) != (purpose, api, word, account)));
    }

    pub(crate) fn remove_account(&self, account: u64) {
        self.0.change(|rows| rows.retain(|row| row.account != account));
    }

    /// Whether a row is there, the same value among it.
    pub(crate) fn has(&self, row: &ValueRow) -> bool {
        let rows = self.0.read();
        let mut there = rows.iter().filter(|other| Self::place(other) == Self::place(row));
        there.any(|other| verify_slices_are_equal(&other.mac, &row.mac).is_ok())
    }

    /// Whether any value is there.
    pub(crate) fn has_any(&self, purpose: ValuePurpose, api: &str, word: &str, account: u64) -> bool {
        self.0.read().iter().any(|row| Self::place(row) == (purpose, api, word, account))
    }

    /// Whose value it is: `None` if none is set there, `Some(None)` if it is another.
    pub(crate) fn shared(
        &self,
        key: &DerivationKey,
        api: &str,
        word: &str,
        value: &str,
    ) -> Option<Option<u64>> {
        let mac = shared_mac(key, api, word, value);
        let rows = self.0.read();
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
    pub(crate) fn applications(&self, key: &DerivationKey, api: &str, secret: &str) -> Vec<u64> {
        let mac = application_mac(key, api, secret);
        let rows = self.0.read();
        let of_api = rows.iter().filter(|row| row.purpose == ValuePurpose::Application && row.api == api);
        let right = of_api.filter(|row| verify_slices_are_equal(&row.mac, &mac).is_ok());
        right.map(|row| row.account).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_what_others_make_of_the_same() {
        // By Python's hmac.
        let mac = framed_mac(&DerivationKey::new([7; 32]), "label", &["a", "bc"]);
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "f73d281127ad7b95ed5cac0b94073b3882f351adc9f2f33ab0f26cdce46355cb");
    }
}
