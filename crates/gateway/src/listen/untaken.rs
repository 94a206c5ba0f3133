//! Which answers of shared connections their clients have not taken yet, and the end of those that are left.
//!
//! Where several answers share a connection (HTTP/2), its bytes may move while one of them stands still, because its
//! client opens no window for it: a ping is answered, another answer is taken. So each piece of an answer says when it is
//! handed to the engine, when some of it has gone out and when all has, whatever the engine keeps of it meanwhile; and the
//! sweep asks which answer was taken from last. An answer that waits for its service has no piece here.
//!
//! One that is left ends alone: its task lets go of it, and with it of its service's connection, whereupon the engine
//! discards what it has and resets the stream (RFC 9113 section 5.4.2). A front may have the answers of many users on one
//! connection; the others go on. Nobody can do that to an answer whose task has ended, which has then given the engine all
//! of it: so that of a large one stays until all was taken. Where a client opens less for an answer than is usual, or
//! trailers follow, its connection is asked to finish, and dropped when nothing else is under way on it.
//!
//! A list a core: a stream costs a place in a vector that is there already, and no memory.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use pin_project_lite::pin_project;

use super::{Connection, Left};
use crate::limits::Limits;
use crate::pulse::{Coarse, millis};

/// A connection sends its answers in turns: on a line of 64 kbit/s the 128 answers that a client may have open at once take
/// four minutes for a round of frames. While the line itself is what is full, an answer may stand still for so many times
/// `write_timeout`; and so long may a connection finish with an answer that is left and cannot be reset by itself.
const TURNS: u64 = 10;

/// The window that every stream has unless its client says otherwise (RFC 9113 section 6.9.2), and common fronts open no less:
/// an answer within it waits for no window of its own, and ends with its last piece.
const WINDOW_BYTES: u64 = 65_535;

/// The streams of one core's shared connections, and what was handed out on them and not taken.
pub(crate) struct Untaken {
    clock: Coarse,
    slots: RefCell<Slots>,
    /// The stream whose task runs right now.
    running: Cell<Option<usize>>,
}

#[derive(Default)]
struct Slots {
    taken: Vec<Option<Slot>>,
    free: Vec<usize>,
}

/// One stream.
struct Slot {
    connection: Arc<Connection>,
    /// When a piece was handed out while there was none, or something was taken last.
    since_ms: u64,
    pieces: u32,
    task: Task,
    /// Whether the end of the answer waits until its pieces were taken.
    holds_end: bool,
}

/// The task that serves a stream.
enum Task {
    /// It has not yet waited with a piece of its answer handed out.
    Begun,
    /// It has.
    Waits(Waker),
    /// It is to let go of its answer, which nobody takes.
    Left,
    /// The engine may still have pieces.
    Ended,
}

impl Untaken {
    pub(crate) fn new(clock: &Coarse) -> Rc<Self> {
        Rc::new(Self { clock: clock.clone(), slots: RefCell::default(), running: Cell::new(None) })
    }

    /// Ends the answers that nobody takes; on every beat. Says how many.
    pub(crate) fn sweep(&self, limits: &Limits) -> usize {
        let (now_ms, stall_ms) = (self.clock.now_ms(), millis(limits.write_stall));
        let mut ended = 0;
        for slot in self.slots.borrow_mut().taken.iter_mut().flatten() {
            if slot.pieces == 0 || !is_left(slot.since_ms, slot.connection.freed_ms(), now_ms, stall_ms) {
                continue;
            }
            match std::mem::replace(&mut slot.task, Task::Left) {
                Task::Waits(waker) => {
                    // The engine has as long again to send what it says of it.
                    slot.since_ms = now_ms;
                    ended += 1;
                    waker.wake();
                }
                task @ (Task::Begun | Task::Left | Task::Ended) => {
                    slot.task = task;
                    let waited_ms = now_ms.saturating_sub(slot.since_ms);
                    let left = if waited_ms > turns(stall_ms) { Left::ForGood } else { Left::WithOthers };
                    slot.connection.leave_untaken(left);
                }
            }
        }
        ended
    }

    /// Notes a piece of the running stream's answer.
    pub(crate) fn piece(self: &Rc<Self>, bytes: Bytes) -> Piece {
        let Some(key) = self.running.get() else { return bytes.into() };
        self.change(key, |slot, now_ms| {
            if slot.pieces == 0 {
                slot.since_ms = now_ms;
            }
            slot.pieces += 1;
        });
        Piece { bytes, share: Some(Share(Place { list: Rc::clone(self), key })) }
    }

    /// Whether an answer of so many bytes ends only when all of it was taken.
    pub(crate) fn keeps(sent_bytes: u64) -> bool {
        sent_bytes > WINDOW_BYTES
    }

    /// Whether pieces of the running stream's answer wait to be taken; its task is woken when none does.
    pub(crate) fn holds_end(&self) -> bool {
        let mut holds = false;
        if let Some(key) = self.running.get() {
            self.change(key, |slot, _now_ms| {
                holds = slot.pieces > 0;
                slot.holds_end = holds;
            });
        }
        holds
    }

    /// Whether the running stream ends because nobody takes its answer.
    pub(crate) fn ends_left(&self) -> bool {
        self.running.get().is_some_and(|key| self.is_left(key))
    }

    fn is_left(&self, key: usize) -> bool {
        let slots = self.slots.borrow();
        slots.taken.get(key).and_then(Option::as_ref).is_some_and(|slot| matches!(slot.task, Task::Left))
    }

    /// What lets go of others, or wakes them, does so when the list is free again.
    fn change(&self, key: usize, change: impl FnOnce(&mut Slot, u64)) {
        let mut slots = self.slots.borrow_mut();
        let Some(place) = slots.taken.get_mut(key) else { return };
        let Some(slot) = place else { return };
        change(slot, self.clock.now_ms());
        if slot.pieces > 0 {
            return;
        }
        if matches!(slot.task, Task::Ended) {
            let ended = place.take();
            slots.free.push(key);
            drop(slots);
            drop(ended);
        } else if std::mem::take(&mut slot.holds_end)
            && let Task::Waits(waker) = &slot.task
        {
            let waker = waker.clone();
            drop(slots);
            waker.wake();
        }
    }
}

/// Whether nothing was taken for too long: since `since_ms` of this answer, and, while the connection's line was full, since
/// `freed_ms` of all of them.
fn is_left(since_ms: u64, freed_ms: u64, now_ms: u64, stall_ms: u64) -> bool {
    now_ms.saturating_sub(since_ms.max(freed_ms)) > stall_ms
        || now_ms.saturating_sub(since_ms) > turns(stall_ms)
}

fn turns(stall_ms: u64) -> u64 {
    stall_ms.saturating_mul(TURNS)
}

/// A stream's place in the list.
struct Place {
    list: Rc<Untaken>,
    key: usize,
}

pin_project! {
    /// What serves one stream of a shared connection: the engine's future, which ends early where nobody takes its answer.
    pub(super) struct Stream<F> {
        #[pin]
        future: Option<F>,
        task: Running,
    }
}

/// A task's share of its stream's place.
struct Running(Place);

/// One piece's share of it.
struct Share(Place);

impl<F> Stream<F> {
    /// A place for a stream of `connection`.
    pub(super) fn new(future: F, list: &Rc<Untaken>, connection: &Arc<Connection>) -> Self {
        let mut slots = list.slots.borrow_mut();
        let slot = Some(Slot {
            connection: Arc::clone(connection),
            since_ms: 0,
            pieces: 0,
            task: Task::Begun,
            holds_end: false,
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
        Self { future: Some(future), task: Running(Place { list: Rc::clone(list), key }) }
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Place { list, key } = &this.task.0;
        let is_left = list.is_left(*key);
        list.running.set(Some(*key));
        let polled = match this.future.as_mut().as_pin_mut() {
            Some(future) if !is_left => future.poll(cx),
            Some(_) | None => {
                this.future.set(None);
                Poll::Ready(())
            }
        };
        list.running.set(None);
        if polled.is_pending() {
            list.change(*key, |slot, _now_ms| {
                // A task's waker stays the same, so once is enough.
                if slot.pieces > 0 && matches!(slot.task, Task::Begun) {
                    slot.task = Task::Waits(cx.waker().clone());
                }
            });
        }
        polled
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.list.change(self.0.key, |slot, _now_ms| slot.task = Task::Ended);
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::{Duration, Instant};

    use super::*;
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

    /// A core with one connection.
    struct Core {
        limits: Limits,
        pulse: Rc<Pulse>,
        list: Rc<Untaken>,
        connection: Arc<Connection>,
    }

    /// Counts its wakes.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    type Serving = Pin<Box<dyn Future<Output = ()>>>;

    /// A stream whose answer is the test's: pieces that the engine has, and whether the service owes more.
    struct Served {
        stream: Pin<Box<Stream<Serving>>>,
        engine: Rc<RefCell<Vec<Piece>>>,
        woken: Arc<Woken>,
    }

    impl Core {
        fn new() -> Self {
            let limits = Limits { write_stall: Duration::from_millis(20), ..Limits::default() };
            let pulse = Pulse::new(Duration::from_millis(1), Instant::now().into());
            let list = Untaken::new(pulse.coarse());
            Self { limits, pulse, list, connection: Connection::of_test() }
        }

        /// A stream that hands out these pieces; then it ends, or waits for more.
        fn serve(&self, pieces: &'static [&'static [u8]], is_all: bool) -> Served {
            let engine = Rc::new(RefCell::new(Vec::new()));
            let (list, kept) = (Rc::clone(&self.list), Rc::clone(&engine));
            let future = std::future::poll_fn(move |_cx| {
                if kept.borrow().is_empty() {
                    kept.borrow_mut()
                        .extend(pieces.iter().map(|piece| list.piece(Bytes::from_static(piece))));
                }
                if is_all { Poll::Ready(()) } else { Poll::Pending }
            });
            let future: Serving = Box::pin(future);
            let stream = Box::pin(Stream::new(future, &self.list, &self.connection));
            let mut served = Served { stream, engine, woken: Arc::default() };
            assert_eq!(served.poll().is_ready(), is_all);
            served
        }

        /// How many streams end, and whether the connection does, when nothing was taken for too long.
        fn sweep(&self) -> (usize, bool) {
            std::thread::park_timeout(Duration::from_millis(40));
            self.pulse.strike();
            let ended = self.list.sweep(&self.limits);
            (ended, self.connection.sweep(self.pulse.now_ms(), &self.limits))
        }
    }

    impl Served {
        fn poll(&mut self) -> Poll<()> {
            let waker = Arc::clone(&self.woken).into();
            self.stream.as_mut().poll(&mut Context::from_waker(&waker))
        }

        fn wakes(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_stream_ends_alone_when_nothing_of_its_answer_is_taken() {
        let core = Core::new();
        let mut owed = core.serve(&[], false);
        let mut left = core.serve(&[b"abc"], false);
        for piece in left.engine.borrow_mut().iter_mut() {
            piece.advance(2);
        }
        assert_eq!(core.sweep(), (1, false), "the rest of a piece; the other's service owes the first");
        assert_eq!((owed.wakes(), left.wakes()), (0, 1));
        assert!(left.poll().is_ready());
        assert!(owed.poll().is_pending());
        let dropped = Rc::strong_count(&left.engine);
        assert_eq!(dropped, 1, "what served it is gone, with all that it held");
        // The engine has what it had of it, and as long again to be rid of it.
        assert_eq!(core.list.sweep(&core.limits), 0);
        assert!(!core.connection.sweep(core.pulse.now_ms(), &core.limits));
        drop((left, owed));
        assert!(core.list.slots.borrow().taken.iter().all(Option::is_none));
        drop(core.serve(&[b"abc"], true));
        assert_eq!(core.list.slots.borrow().taken.len(), 2, "places are used again");
    }

    #[test]
    fn where_the_engine_has_all_of_an_answer_the_connection_waits_for_others() {
        let core = Core::new();
        let last = core.serve(&[b"abc"], true);
        drop(last.stream);
        core.connection.request_began();
        assert_eq!(core.sweep(), (0, true), "it is told");
        assert!(core.connection.is_to_close(), "to finish, since another request is under way");
        core.connection.request_ended(core.pulse.now_ms());
        assert_eq!(core.sweep(), (0, true));
        assert!(core.connection.is_to_die(), "alone with it");
        // Others do not keep it for ever.
        let core =
            Core { limits: Limits { write_stall: Duration::from_millis(1), ..Limits::default() }, ..core };
        let connection = Connection::of_test();
        connection.request_began();
        let core = Core { connection, ..core };
        let _last = core.serve(&[b"abc"], true);
        assert_eq!(core.sweep(), (0, true));
        assert!(core.connection.is_to_die());
        drop(last.engine);
    }

    #[test]
    fn an_end_that_waits_is_told_when_all_was_taken() {
        let core = Core::new();
        let mut served = core.serve(&[b"abc", b"def"], false);
        core.list.running.set(Some(0));
        assert!(core.list.holds_end());
        core.list.running.set(None);
        served.engine.borrow_mut().pop();
        assert_eq!(served.wakes(), 0);
        served.engine.borrow_mut().pop();
        assert_eq!(served.wakes(), 1);
        core.list.running.set(Some(0));
        assert!(!core.list.holds_end());
        core.list.running.set(None);
        assert!(served.poll().is_pending());
    }
}
