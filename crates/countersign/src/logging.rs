//! Log lines: written by a thread of their own, so that a slow terminal or disk never holds up a request.
//!
//! They wait in a queue without a lock: cores put blocks of access lines there while they have requests to answer. The queue
//! by itself lets whoever comes to a place that another is not done with wait for him, and he may be interrupted: that can be
//! where the queue is full. So places are counted before they are used, and one is free again once it is empty; where none
//! is, lines are dropped.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use countersign_gateway::log::{Access, AccessLog, LineFormat, TARGET};
use crossbeam_queue::ArrayQueue;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// A reader of the log who stands still does not keep the gate from ending: what he has not taken by then is lost.
const LAST_LINES: Duration = Duration::from_secs(2);
/// The note that lines were dropped waits until there is room for it: it would be dropped as well.
const NOTE_BYTES: usize = 1024;
/// So many bytes may wait: some 20,000 access lines, what a core answers in half a second.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// So many lines may wait, where access lines that come together count as one: half a megabyte for their places.
const WAITING_MAX: usize = 16 * 1024;

/// Starts logging to standard error for the whole process, once; later calls change nothing.
///
/// # Errors
/// If `level` is neither a level nor directives.
pub(crate) fn start(format: LogFormat, level: &str) -> anyhow::Result<Flusher> {
    let filter = EnvFilter::try_new(level)?;
    let waiting = Arc::new(Waiting::new(WAITING_BYTES_MAX));
    let written = Arc::clone(&waiting);
    let (ended, end) = channel();
    let thread = std::thread::Builder::new().name(String::from("log")).spawn(move || {
        written.write(&mut io::stderr());
        // Nobody waits for it but a flusher.
        let _ = ended.send(());
    })?;
    let lines = Lines { waiting, writer: thread.thread().clone() };
    let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone()).with_ansi(false);
    let result = match format {
        LogFormat::Text => base.try_init(),
        LogFormat::Json => base.json().flatten_event(true).with_current_span(false).try_init(),
    };
    if result.is_err() {
        tracing::debug!("logging had been started before");
    }
    let format = match format {
        LogFormat::Text => LineFormat::Text,
        LogFormat::Json => LineFormat::Json,
    };
    Ok(Flusher { lines, format, end: Mutex::new(end) })
}

/// Holds the log open; when it is dropped, what waits is written, for [`LAST_LINES`] at the most.
#[derive(Debug)]
pub(crate) struct Flusher {
    lines: Lines,
    format: LineFormat,
    /// Says that the thread has ended.
    end: Mutex<Receiver<()>>,
}

impl Flusher {
    /// Where access lines go, if the level and the directives let them through.
    pub(crate) fn access(&self) -> Option<Access> {
        tracing::enabled!(target: TARGET, tracing::Level::INFO)
            .then(|| Access { format: self.format, log: Arc::new(self.lines.clone()) })
    }

    /// Counts what is dropped.
    pub(crate) fn dropped(&self) -> Dropped {
        Dropped(Arc::clone(&self.lines.waiting))
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.lines.end();
        let end = self.end.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = end.recv_timeout(LAST_LINES);
    }
}

/// How many lines nobody took in time, or could not be written.
#[derive(Debug)]
pub(crate) struct Dropped(Arc<Waiting>);

impl Dropped {
    /// Since the start.
    pub(crate) fn lines(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

/// Takes lines and passes them on without ever waiting.
#[derive(Clone, Debug)]
struct Lines {
    waiting: Arc<Waiting>,
    /// Whom to wake.
    writer: Thread,
}

/// What the thread has not written yet, and what never will be.
#[derive(Debug)]
struct Waiting {
    queue: ArrayQueue<Vec<u8>>,
    bytes_max: usize,
    bytes: AtomicUsize,
    /// Places that are not known to be empty: no fewer than are in use.
    places: AtomicUsize,
    /// Lines, since the start.
    dropped: AtomicU64,
    /// Nothing comes that has to be written.
    is_over: AtomicBool,
}

impl Waiting {
    fn new(bytes_max: usize) -> Self {
        Self {
            queue: ArrayQueue::new(WAITING_MAX),
            bytes_max,
            bytes: AtomicUsize::new(0),
            places: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Takes a place, and room for so many bytes; false if there is not both.
    fn take(&self, bytes: usize) -> bool {
        // Acquired from whoever emptied the place that is used now: it is ready.
        let is_place = self.places.fetch_add(1, Ordering::Acquire) < WAITING_MAX;
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_room = is_place && before.saturating_add(bytes) <= self.bytes_max;
        if !is_room {
            self.places.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        is_room
    }

    /// Takes lines out, if there are any.
    fn pop(&self) -> Option<Vec<u8>> {
        let lines = self.queue.pop()?;
        self.places.fetch_sub(1, Ordering::Release);
        Some(lines)
    }

    /// Writes lines until the end, in the thread that is woken for them.
    fn write(&self, to: &mut dyn Write) {
        let (mut told, mut is_last_note, mut is_torn) = (0, false, false);
        loop {
            // Asked before the queue is: what came before the end is written.
            let is_over = self.is_over.load(Ordering::Acquire);
            let Some(lines) = self.pop() else {
                if !is_over {
                    std::thread::park();
                } else if is_last_note || !self.tell_dropped(&mut told) {
                    break;
                } else {
                    is_last_note = true;
                }
                continue;
            };
            let unwritten = write_lines(to, &lines, &mut is_torn);
            let before = self.bytes.fetch_sub(lines.len(), Ordering::Relaxed);
            if !unwritten.is_empty() {
                // Nor is this said before something can be written again: the note would be the next that is lost.
                self.drop_lines(unwritten);
                continue;
            }
            let waits = before.saturating_sub(lines.len());
            let places = self.places.load(Ordering::Relaxed);
            if waits.saturating_add(NOTE_BYTES) <= self.bytes_max && places < WAITING_MAX {
                self.tell_dropped(&mut told);
            }
        }
        let _ = to.flush();
    }

    /// Counts lines that nobody will read.
    fn drop_lines(&self, lines: &[u8]) {
        let count = lines.iter().filter(|byte| **byte == b'\n').count();
        self.dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Says how many lines were dropped since this was last said, if any were: in a line like all others, that comes after
    /// those that wait.
    fn tell_dropped(&self, told: &mut u64) -> bool {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let more = dropped.saturating_sub(*told);
        if more > 0 {
            *told = dropped;
            tracing::warn!(log.dropped = more, "log lines were dropped");
        }
        more > 0
    }
}

/// Writes lines, and gives back what could not be, from the beginning of its first line on. `is_torn` says whether what was
/// written last ends within a line: then a new one begins before anything else.
fn write_lines<'l>(to: &mut dyn Write, lines: &'l [u8], is_torn: &mut bool) -> &'l [u8] {
    if *is_torn {
        if to.write_all(b"\n").is_err() {
            return lines;
        }
        *is_torn = false;
    }
    let mut written = 0;
    while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let done = lines.get(..written).unwrap_or(lines);
    let whole = done.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    *is_torn = whole < done.len();
    lines.get(whole..).unwrap_or_default()
}

impl Lines {
    fn end(&self) {
        self.waiting.is_over.store(true, Ordering::Release);
        self.writer.unpark();
    }
}

impl AccessLog for Lines {
    fn write(&self, lines: &[u8]) {
        let waiting = &self.waiting;
        // Whoever has a place finds the queue with room.
        if waiting.take(lines.len()) && waiting.queue.push(lines.to_vec()).is_ok() {
            self.writer.unpark();
        } else {
            waiting.drop_lines(lines);
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        AccessLog::write(self, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    /// Lines for whoever runs the test to write.
    fn lines(bytes_max: usize) -> Lines {
        Lines { waiting: Arc::new(Waiting::new(bytes_max)), writer: std::thread::current() }
    }

    fn written(lines: &Lines) -> String {
        let mut written = Vec::new();
        write(lines, &mut written);
        String::from_utf8(written).unwrap()
    }

    fn write(lines: &Lines, to: &mut dyn Write) {
        lines.end();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone()).finish();
        tracing::subscriber::with_default(subscriber, || lines.waiting.write(to));
    }

    /// A disk that is full for as many writes, and keeps what comes after.
    struct Disk {
        full_for: usize,
        kept: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.full_for.checked_sub(1) {
                Some(left) => {
                    self.full_for = left;
                    Err(io::ErrorKind::StorageFull.into())
                }
                None => self.kept.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_dropped_counted_and_told_once_some_can() {
        let dropped_of = |full_for| {
            let lines = lines(usize::MAX);
            for line in ["one\ntwo\n", "three\n", "four\n"] {
                AccessLog::write(&lines, line.as_bytes());
            }
            let mut disk = Disk { full_for, kept: Vec::new() };
            write(&lines, &mut disk);
            let left = lines.waiting.bytes.load(Ordering::Relaxed);
            assert_eq!(left, 0);
            (Dropped(Arc::clone(&lines.waiting)).lines(), String::from_utf8(disk.kept).unwrap())
        };
        let (dropped, kept) = dropped_of(2);
        assert_eq!(dropped, 3);
        let note = kept.strip_prefix("four\n").unwrap();
        assert!(note.contains("\"log.dropped\":3") && note.lines().count() == 1, "{kept}");
        // Where nothing is ever written, the note is the last line that is not.
        assert_eq!(dropped_of(usize::MAX), (5, String::new()));
        assert_eq!(dropped_of(0), (0, "one\ntwo\nthree\nfour\n".to_owned()));
    }

    #[test]
    fn a_line_that_is_torn_costs_itself_alone() {
        /// A disk with so much room.
        struct Room(usize, Vec<u8>);
        impl Write for Room {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.0);
                if taken == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0 -= taken;
                self.1.extend_from_slice(&bytes[..taken]);
                Ok(taken)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut disk, mut is_torn) = (Room(6, Vec::new()), false);
        assert_eq!(super::write_lines(&mut disk, b"one\ntwo\n", &mut is_torn), b"two\n");
        assert_eq!(super::write_lines(&mut disk, b"three\n", &mut is_torn), b"three\n");
        disk.0 = 100;
        assert_eq!(super::write_lines(&mut disk, b"four\n", &mut is_torn), b"");
        assert_eq!((disk.1.as_slice(), is_torn), (&b"one\ntw\nfour\n"[..], false));
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_counted_and_told_like_others() {
        let mut lines = lines("one\n".len() + NOTE_BYTES + 1);
        let long = format!("{}\n", "x".repeat(NOTE_BYTES));
        for line in ["one\n", &long, "two\nthree\n", "four\n"] {
            Write::write_all(&mut lines, line.as_bytes()).unwrap();
        }
        let dropped = Dropped(Arc::clone(&lines.waiting));
        assert_eq!(dropped.lines(), 3);
        let written = written(&lines);
        let (first, note) = written.split_once(&long).unwrap();
        assert_eq!(first, "one\n");
        let note: serde_json::Value = serde_json::from_str(note).unwrap();
        let said = (&note["message"], &note["log.dropped"], &note["level"]);
        assert_eq!(said, (&"log lines were dropped".into(), &3.into(), &"WARN".into()));
        assert!(note["timestamp"].is_string() && note["target"].is_string(), "{note}");
        assert_eq!(dropped.lines(), 3);
    }

    #[test]
    fn a_note_that_finds_no_room_is_not_said_for_ever() {
        let mut lines = lines("one\n".len());
        for line in ["one\n", "two\n"] {
            Write::write_all(&mut lines, line.as_bytes()).unwrap();
        }
        assert_eq!(written(&lines), "one\n");
    }

    #[test]
    fn more_lines_than_have_places_are_dropped_and_counted() {
        let lines = lines(usize::MAX);
        for _ in 0..WAITING_MAX + 3 {
            AccessLog::write(&lines, b"line\n");
        }
        let written = written(&lines);
        assert_eq!(written.matches("line\n").count(), WAITING_MAX);
        assert!(written.contains("\"log.dropped\":3"));
    }

    /// The queue's own word for it comes before: it has room while somebody is about to empty a place.
    #[test]
    fn a_place_is_used_again_once_it_is_empty() {
        let lines = lines(usize::MAX);
        for number in 0..WAITING_MAX {
            AccessLog::write(&lines, format!("{number}\n").as_bytes());
        }
        let dropped = Dropped(Arc::clone(&lines.waiting));
        // In the midst of [`Waiting::pop`].
        assert_eq!(lines.waiting.queue.pop().unwrap(), b"0\n");
        AccessLog::write(&lines, b"too early\n");
        assert_eq!((dropped.lines(), lines.waiting.queue.len()), (1, WAITING_MAX - 1));
        lines.waiting.places.fetch_sub(1, Ordering::Release);
        AccessLog::write(&lines, b"in time\n");
        AccessLog::write(&lines, b"too late\n");
        assert_eq!((dropped.lines(), lines.waiting.queue.len()), (2, WAITING_MAX));
        let written = written(&lines);
        assert!(written.contains("in time") && !written.contains("too"), "{}", written.len());
        assert_eq!(lines.waiting.places.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_many_write_while_the_thread_sleeps_and_wakes_is_all_written_in_their_order() {
        const CORES: usize = 4;
        const EACH: usize = 3_000;
        let waiting = Arc::new(Waiting::new(usize::MAX));
        let own = Arc::clone(&waiting);
        let thread = std::thread::spawn(move || {
            let mut written = Vec::new();
            own.write(&mut written);
            written
        });
        let lines = Lines { waiting, writer: thread.thread().clone() };
        std::thread::scope(|threads| {
            for core in 0..CORES {
                let lines = &lines;
                threads.spawn(move || {
                    for number in 0..EACH {
                        AccessLog::write(lines, format!("{core} {number}\n").as_bytes());
                        std::thread::yield_now();
                    }
                });
            }
        });
        lines.end();
        let written = String::from_utf8(thread.join().unwrap()).unwrap();
        for core in 0..CORES {
            let own = written.lines().filter_map(|line| line.strip_prefix(&format!("{core} ")));
            let numbers: Vec<usize> = own.map(|number| number.parse().unwrap()).collect();
            assert!(numbers.into_iter().eq(0..EACH), "{core}");
        }
        let left = (&lines.waiting.bytes, &lines.waiting.places);
        assert_eq!((left.0.load(Ordering::Relaxed), left.1.load(Ordering::Relaxed)), (0, 0));
    }
}
