//! Which answers of shared connections their clients have not taken yet.
//!
//! Where several answers share a connection (HTTP/2), its bytes may move while one of them stands still, because its
//! client opens no window for it: a ping is answered, another answer is taken. So each piece of an answer says when it is
//! handed to the engine, when some of it has gone out and when all has, whatever the engine keeps of it meanwhile; and the
//! sweep asks which answer was taken from last. An answer that waits for its service has no piece here.
//!
//! A list a core: an answer costs a place in a vector that is there already, and no memory.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::Connection;
use crate::limits::Limits;
use crate::pulse::{Coarse, millis};

/// A connection sends its answers in turns: on a line of 64 kbit/s the 128 answers that a client may have open at once take
/// four minutes for a round of frames. While the line itself is what is full, an answer may stand still for so many times
/// `write_timeout`.
const TURNS: u64 = 10;

/// The answers of one core that were handed out and not taken.
pub(crate) struct Untaken {
    clock: Coarse,
    slots: RefCell<Slots>,
}

#[derive(Default)]
struct Slots {
    taken: Vec<Option<Slot>>,
    free: Vec<usize>,
}

/// One answer.
struct Slot {
    connection: Arc<Connection>,
    /// When a piece was handed out while there was none, or something was taken last.
    since_ms: u64,
    pieces: u32,
    /// Whether there may be further pieces.
    goes_on: bool,
}

impl Untaken {
    pub(crate) fn new(clock: &Coarse) -> Rc<Self> {
        Rc::new(Self { clock: clock.clone(), slots: RefCell::default() })
    }

    /// Tells connections which of their answers nobody takes; on every beat.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let (now_ms, stall_ms) = (self.clock.now_ms(), millis(limits.write_stall));
        for slot in self.slots.borrow().taken.iter().flatten() {
            if slot.pieces > 0 && is_left(slot.since_ms, slot.connection.freed_ms(), now_ms, stall_ms) {
                slot.connection.leave_untaken();
            }
        }
    }

    fn change(&self, key: usize, change: impl FnOnce(&mut Slot, u64)) {
        let mut slots = self.slots.borrow_mut();
        let Some(place) = slots.taken.get_mut(key) else { return };
        let Some(slot) = place else { return };
        change(slot, self.clock.now_ms());
        if slot.pieces == 0 && !slot.goes_on {
            *place = None;
            slots.free.push(key);
        }
    }
}

/// Whether nothing was taken for too long: since `since_ms` of this answer, and, while the connection's line was full, since
/// `freed_ms` of all of them.
fn is_left(since_ms: u64, freed_ms: u64, now_ms: u64, stall_ms: u64) -> bool {
    now_ms.saturating_sub(since_ms.max(freed_ms)) > stall_ms
        || now_ms.saturating_sub(since_ms) > stall_ms.saturating_mul(TURNS)
}

/// An answer's place in the list, until its body has no further piece.
pub(crate) struct Mark(Place);

/// One piece's share of it.
struct Share(Place);

struct Place {
    list: Rc<Untaken>,
    key: usize,
}

impl Mark {
    /// A place for an answer of `connection`.
    pub(crate) fn of(list: &Rc<Untaken>, connection: &Arc<Connection>) -> Self {
        let mut slots = list.slots.borrow_mut();
        let slot = Some(Slot {
            connection: Arc::clone(connection),
            since_ms: list.clock.now_ms(),
            pieces: 0,
            goes_on: true,
        });
        let key = match slots.free.pop() {
            Some(key) => {
                if let Some(free) = slots.taken.get_mut(key) {
                    *free = slot;
                }
                key
            }
            None => {
                slots.taken.push(slot);
                slots.taken.len() - 1
            }
        };
        Self(Place { list: Rc::clone(list), key })
    }

    /// A piece that the client is to take.
    pub(crate) fn piece(&self, bytes: Bytes) -> Piece {
        let Place { list, key } = &self.0;
        list.change(*key, |slot, now_ms| {
            if slot.pieces == 0 {
                slot.since_ms = now_ms;
            }
            slot.pieces += 1;
        });
        Piece { bytes, share: Some(Share(Place { list: Rc::clone(list), key: *key })) }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.list.change(self.0.key, |slot, _now_ms| slot.goes_on = false);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.list.change(self.0.key, |slot, now_ms| {
            slot.pieces = slot.pieces.saturating_sub(1);
            slot.since_ms = now_ms;
        });
    }
}

/// A piece of an answer, on its way through the engine.
pub(crate) struct Piece {
    bytes: Bytes,
    /// Where its connection is shared.
    share: Option<Share>,
}

impl From<Bytes> for Piece {
    /// One that nobody watches.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, share: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(Share(Place { list, key })) = &self.share {
            list.change(*key, |slot, now_ms| slot.since_ms = now_ms);
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::{Duration, Instant};

    use super::*;
    use crate::listen::Caps;
    use crate::metrics::Metrics;
    use crate::pulse::Pulse;

    #[test]
    fn while_the_line_is_full_an_answer_waits_for_its_turn_and_not_for_ever() {
        let stall_ms = 100;
        assert!(!is_left(50, 0, 150, stall_ms));
        assert!(is_left(50, 0, 151, stall_ms), "nothing else was full");
        // Its connection was full and moved just before.
        assert!(!is_left(50, 51, 151, stall_ms));
        assert!(!is_left(50, 1000, 50 + TURNS * stall_ms, stall_ms));
        assert!(is_left(50, 1000, 51 + TURNS * stall_ms, stall_ms), "turn after turn");
    }

    #[test]
    fn an_answer_stands_still_while_a_piece_of_it_does() {
        let limits = Limits { write_stall: Duration::from_millis(20), ..Limits::default() };
        let pulse = Pulse::new(Duration::from_millis(1), Instant::now().into());
        let list = Untaken::new(pulse.coarse());
        let open = || {
            let permit = Caps::new(Metrics::new(1)).connection(&limits).unwrap();
            Connection::new("192.0.2.1:1".parse().unwrap(), &"main".into(), None, permit, 0)
        };
        let is_left = |connection: &Arc<Connection>| {
            std::thread::park_timeout(Duration::from_millis(40));
            pulse.strike();
            list.sweep(&limits);
            connection.sweep(pulse.now_ms(), &limits)
        };
        let connection = open();
        let mark = Mark::of(&list, &connection);
        assert!(!is_left(&connection), "its service owes the next piece");
        let mut piece = mark.piece(Bytes::from_static(b"abc"));
        piece.advance(2);
        assert!(is_left(&connection), "the rest of a piece");

        let connection = open();
        let other = Mark::of(&list, &connection);
        let piece_of_other = other.piece(Bytes::from_static(b"abc"));
        drop(other);
        assert!(is_left(&connection), "the last piece, when the body is gone");
        drop((piece_of_other, piece, mark));
        assert!(list.slots.borrow().taken.iter().all(Option::is_none));

        let connection = open();
        let again = Mark::of(&list, &connection);
        drop(again.piece(Bytes::from_static(b"abc")));
        assert!(!is_left(&connection), "all was taken");
        assert_eq!(list.slots.borrow().taken.len(), 2, "places are used again");
    }
}
