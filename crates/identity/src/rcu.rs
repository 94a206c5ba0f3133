//! Data that every request reads and hardly anybody changes.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

/// A value that is read without waiting for anybody, and changed in a copy that then takes its place.
///
/// A change costs a copy, so it is for what is small or rarely changed; changes wait for one another. Who reads
/// meanwhile goes on with what was there when he began.
pub(crate) struct Rcu<T> {
    present: ArcSwap<T>,
    changes: Mutex<()>,
}

impl<T> Rcu<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { present: ArcSwap::from_pointee(value), changes: Mutex::default() }
    }

    /// What is there now.
    pub(crate) fn read(&self) -> Guard<Arc<T>> {
        self.present.load()
    }
}

impl<T: Clone> Rcu<T> {
    /// Changes a copy and puts it in place.
    pub(crate) fn change<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _one_at_a_time = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copy = T::clone(&self.present.load());
        let answer = work(&mut copy);
        self.present.store(Arc::new(copy));
        answer
    }
}

impl<T: Default> Default for Rcu<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
