//! Lines on their way from a core to whoever keeps them.

use std::cell::RefCell;
use std::sync::Arc;

use countersign_auth::time::Time;

use super::line::{LineFormat, LineWriter, Second};

/// So many bytes are handed over at once, or fewer when the core's clock beats: a system call and the wake of
/// another thread for a hundred lines instead of for each.
const BLOCK_BYTES: usize = 32 * 1024;

/// Whoever keeps access lines.
pub trait AccessLog: Send + Sync {
    /// Takes whole lines, each with its line end. It must not wait: what cannot be kept is dropped and counted.
    fn write(&self, lines: &[u8]);
}

/// Access lines that somebody keeps.
#[derive(Clone)]
pub struct Access {
    /// How they look.
    pub format: LineFormat,
    /// Who keeps them.
    pub log: Arc<dyn AccessLog>,
}

/// The lines of one core that have not been handed over.
#[derive(Default)]
pub(crate) struct Lines {
    waiting: RefCell<Vec<u8>>,
    second: RefCell<Second>,
    to: RefCell<Option<Access>>,
}

impl Lines {
    /// Adds a line.
    pub(super) fn add(
        &self,
        access: &Access,
        now: Time,
        message: &str,
        fields: impl FnOnce(&mut LineWriter<'_>),
    ) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            // Whoever took the first one takes them all: a gate that is replaced meanwhile changes nothing.
            self.to.replace(Some(access.clone()));
        }
        let mut line =
            LineWriter::begin(&mut waiting, access.format, &mut self.second.borrow_mut(), now, message);
        fields(&mut line);
        line.end();
        let is_block = waiting.len() >= BLOCK_BYTES;
        drop(waiting);
        if is_block {
            self.hand_over();
        }
    }

    /// Hands over what waits.
    pub(crate) fn hand_over(&self) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(access) = self.to.take() {
            access.log.write(&waiting);
        }
        waiting.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.hand_over();
    }
}
