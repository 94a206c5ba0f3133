//! The five sample services. Each keeps all it knows in memory.

pub(crate) mod activities;
pub(crate) mod applications;
pub(crate) mod calls;
pub(crate) mod contacts;
pub(crate) mod shop;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever became of whoever held the lock before: the data of samples cannot be left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
