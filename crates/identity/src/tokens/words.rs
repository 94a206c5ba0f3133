//! Numbers for the pairs of API and `[token.WORD]`.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;

/// Numbers for pairs of API and word, given out as they come, for the life of the process.
///
/// There are as many as the configured APIs have words; 65,535 at most.
#[derive(Default)]
pub(crate) struct Words(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    names: Vec<(Arc<str>, Arc<str>)>,
    numbers: HashMap<(Arc<str>, Arc<str>), u16>,
}

impl Words {
    /// The number of a pair; `None` once there are too many.
    pub(crate) fn number(&self, api: &Arc<str>, word: &Arc<str>) -> Option<u16> {
        let key = (Arc::clone(api), Arc::clone(word));
        if let Some(number) = self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&key) {
            return Some(*number);
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = inner.numbers.get(&key) {
            return Some(*number);
        }
        let number = u16::try_from(inner.names.len()).ok().filter(|number| *number < u16::MAX)?;
        inner.names.push(key.clone());
        inner.numbers.insert(key, number);
        Some(number)
    }

    /// The pair of a number.
    pub(crate) fn names(&self, number: u16) -> Option<(Arc<str>, Arc<str>)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).names.get(usize::from(number)).cloned()
    }
}
