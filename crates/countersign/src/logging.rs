//! Log lines: written by a thread of their own, so that a slow terminal or disk never holds up a request.
//!
//! They wait in a queue without a lock: cores put blocks of access lines there while they have requests to answer.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};

use countersign_gateway::log::{Access, AccessLog, LineFormat, TARGET};
use crossbeam_queue::ArrayQueue;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

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
    let thread = std::thread::Builder::new()
        .name(String::from("log"))
        .spawn(move || written.write(&mut io::stderr()))?;
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
    Ok(Flusher { lines, format, thread: Some(thread) })
}

/// Holds the log open; when it is dropped, what waits is written.
#[derive(Debug)]
pub(crate) struct Flusher {
    lines: Lines,
    format: LineFormat,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Where access lines go, if the level and the directives let them through.
    pub(crate) fn access(&self) -> Option<Access> {
        tracing::enabled!(target: TARGET, tracing::Level::INFO)
            .then(|| Access { format: self.format, log: Arc::new(self.lines.clone()) })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.lines.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
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
            dropped: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Writes lines until the end, in the thread that is woken for them.
    fn write(&self, to: &mut dyn Write) {
        loop {
            // Asked before the queue is: what came before the end is written.
            let is_over = self.is_over.load(Ordering::Acquire);
            let Some(lines) = self.queue.pop() else {
                if is_over {
                    break;
                }
                std::thread::park();
                continue;
            };
            let _ = to.write_all(&lines);
            self.bytes.fetch_sub(lines.len(), Ordering::Relaxed);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let _ = writeln!(
                    to,
                    "{{\"level\":\"WARN\",\"message\":\"log lines were dropped\",\"log.dropped\":{dropped}}}"
                );
            }
        }
        let _ = to.flush();
    }
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
        let before = waiting.bytes.fetch_add(lines.len(), Ordering::Relaxed);
        let is_kept = before.saturating_add(lines.len()) <= waiting.bytes_max
            && waiting.queue.push(lines.to_vec()).is_ok();
        if is_kept {
            self.writer.unpark();
        } else {
            waiting.bytes.fetch_sub(lines.len(), Ordering::Relaxed);
            let count = lines.iter().filter(|byte| **byte == b'\n').count();
            waiting.dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Lines for whoever runs the test to write.
    fn lines(bytes_max: usize) -> Lines {
        Lines { waiting: Arc::new(Waiting::new(bytes_max)), writer: std::thread::current() }
    }

    fn written(lines: &Lines) -> String {
        lines.end();
        let mut written = Vec::new();
        lines.waiting.write(&mut written);
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted() {
        let mut lines = lines("one\ntwo\n".len());
        for line in ["one\n", "two\n", "three\n", "four\nfive\n"] {
            Write::write_all(&mut lines, line.as_bytes()).unwrap();
        }
        let written = written(&lines);
        assert!(written.starts_with("one\n"), "{written}");
        assert!(written.contains("two\n") && !written.contains("three"), "{written}");
        assert!(written.contains("\"log.dropped\":3"), "{written}");
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
        assert_eq!(lines.waiting.bytes.load(Ordering::Relaxed), 0);
    }
}
