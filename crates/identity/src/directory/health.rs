//! How a directory is: what it last said, and how often it said what.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether a directory answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It has not been asked.
    #[default]
    Unasked,
    /// It answered when it was last asked.
    Up,
    /// It did not; the text says why, for the log and for operators.
    Down(String),
}

/// How a directory is, for operators. Nothing in it is a secret.
#[derive(Clone, Debug)]
pub struct HealthReport {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it answers.
    pub standing: Standing,
    /// How many passwords it called right.
    pub right: u64,
    /// How many it called wrong.
    pub wrong: u64,
    /// How many were turned away because too many were being asked.
    pub busy: u64,
    /// How many it could not be asked about.
    pub failed: u64,
}

/// What came of asking.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'o> {
    Right,
    Wrong,
    Busy,
    /// A probe that went well.
    Well,
    Down(&'o str),
}

#[derive(Default)]
pub(crate) struct Health {
    standing: Mutex<Standing>,
    right: AtomicU64,
    wrong: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
}

impl Health {
    /// Notes what came of asking a directory of that name; the log is told when it goes and when it is back.
    pub(crate) fn note(&self, name: &str, outcome: Outcome<'_>) {
        let standing = match outcome {
            Outcome::Right => {
                self.right.fetch_add(1, Ordering::Relaxed);
                Standing::Up
            }
            Outcome::Wrong => {
                self.wrong.fetch_add(1, Ordering::Relaxed);
                Standing::Up
            }
            Outcome::Busy => {
                self.busy.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Outcome::Well => Standing::Up,
            Outcome::Down(why) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                Standing::Down(why.to_owned())
            }
        };
        let mut now = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*now, &standing) {
            (Standing::Up | Standing::Unasked, Standing::Down(why)) => {
                tracing::warn!(directory = name, cause = %why, "a directory does not answer");
            }
            (Standing::Down(_), Standing::Up) => {
                tracing::info!(directory = name, "a directory answers again")
            }
            (Standing::Up | Standing::Unasked | Standing::Down(_), _) => {}
        }
        *now = standing;
    }

    pub(crate) fn report(&self, name: &str) -> HealthReport {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        HealthReport {
            name: name.to_owned(),
            standing: self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            right: count(&self.right),
            wrong: count(&self.wrong),
            busy: count(&self.busy),
            failed: count(&self.failed),
        }
    }
}
