//! Public names: 32 hex digits for a user, which tell nobody how many accounts there are.

use std::fmt::Write as _;
use std::sync::Arc;

use countersign_auth::account::AccountId;
use countersign_auth::derive::{DerivationKey, derive};

/// Names users of one API. A name holds the account's number, masked, and a mark that nobody else can make.
pub(crate) struct Names {
    key: DerivationKey,
    api: Arc<str>,
}

impl Names {
    pub(crate) fn new(key: [u8; 32], api: Arc<str>) -> Self {
        Self { key: DerivationKey::new(key), api }
    }

    /// Where users' devices are noted.
    pub(crate) fn device_notes(&self) -> String {
        format!("contact-centre {}", self.api)
    }

    /// Where agents' states are noted.
    pub(crate) fn agent_notes(&self) -> String {
        format!("contact-centre-agents {}", self.api)
    }

    /// The name of a user.
    pub(crate) fn user(&self, account: AccountId) -> String {
        let mark = self.mark(account);
        format!("{mark:016x}{:016x}", account.0 ^ self.mask(mark))
    }

    /// The account of a name; `None` for what is no name of this API.
    pub(crate) fn account(&self, name: &str) -> Option<AccountId> {
        let is_hex = name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (mark, number) = name.split_at_checked(16).filter(|_| is_hex)?;
        let mark = u64::from_str_radix(mark, 16).ok()?;
        let account = AccountId(u64::from_str_radix(number, 16).ok()? ^ self.mask(mark));
        (self.mark(account) == mark).then_some(account)
    }

    /// The name of a tenant.
    pub(crate) fn centre(&self, tenant: &str) -> String {
        let bytes = derive(&self.key, "contact centre", &[&self.api, tenant], 16);
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn mark(&self, account: AccountId) -> u64 {
        self.number("contact-centre user", &account.0.to_string())
    }

    fn mask(&self, mark: u64) -> u64 {
        self.number("contact-centre mask", &mark.to_string())
    }

    fn number(&self, label: &str, text: &str) -> u64 {
        let bytes = derive(&self.key, label, &[&self.api, text], 8);
        <[u8; 8]>::try_from(&*bytes).map_or(0, u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_where_it_was_made_and_nowhere_else() {
        let names = |key: u8, api: &str| Names::new([key; 32], api.into());
        for number in [1, 2, 4711, u64::MAX] {
            let name = names(1, "a").user(AccountId(number));
            assert_eq!(name.len(), 32);
            assert_eq!(names(1, "a").account(&name), Some(AccountId(number)));
            assert_eq!(names(1, "b").account(&name), None);
            assert_eq!(names(2, "a").account(&name), None);
            let mut other = name.clone();
            other.replace_range(31.., if name.ends_with('0') { "1" } else { "0" });
            assert_eq!(names(1, "a").account(&other), None, "the name of another number");
            assert_eq!(names(1, "a").account(&name.to_uppercase()).is_some(), name == name.to_uppercase());
        }
        for no_name in ["", "1", "zz", &"0".repeat(32), &"é".repeat(16)] {
            assert_eq!(names(1, "a").account(no_name), None, "{no_name}");
        }
    }
}
