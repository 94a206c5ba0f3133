//! Log lines: written by a thread of their own, so that a slow terminal or disk never holds up a request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use countersign_gateway::log::{Access, AccessLog, LineFormat, TARGET};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// So many bytes may wait: some 20,000 access lines, what a core answers in half a second.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Starts logging to standard error for the whole process, once; later calls change nothing.
///
/// # Errors
/// If `level` is neither a level nor directives.
pub(crate) fn start(format: LogFormat, level: &str) -> anyhow::Result<Flusher> {
    let filter = EnvFilter::try_new(level)?;
    let (lines, writer) = lines(WAITING_BYTES_MAX);
    let thread =
        std::thread::Builder::new().name(String::from("log")).spawn(move || writer.run(&mut io::stderr()))?;
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
        if self.lines.sender.send(Message::End).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

enum Message {
    Line(Vec<u8>),
    End,
}

/// Takes lines and passes them on without ever waiting.
#[derive(Clone, Debug)]
struct Lines {
    sender: Sender<Message>,
    waiting: Arc<Waiting>,
}

/// What the thread has not written yet, and what never will be.
#[derive(Debug)]
struct Waiting {
    bytes_max: usize,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

struct Writer {
    receiver: Receiver<Message>,
    waiting: Arc<Waiting>,
}

fn lines(bytes_max: usize) -> (Lines, Writer) {
    let (sender, receiver) = channel();
    let waiting = Arc::new(Waiting { bytes_max, bytes: AtomicUsize::new(0), dropped: AtomicU64::new(0) });
    (Lines { sender, waiting: Arc::clone(&waiting) }, Writer { receiver, waiting })
}

impl Writer {
    fn run(self, to: &mut dyn Write) {
        while let Ok(message) = self.receiver.recv() {
            let _ = match message {
                Message::Line(lines) => {
                    let written = to.write_all(&lines);
                    self.waiting.bytes.fetch_sub(lines.len(), Ordering::Relaxed);
                    written
                }
                Message::End => break,
            };
            let dropped = self.waiting.dropped.swap(0, Ordering::Relaxed);
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

impl AccessLog for Lines {
    fn write(&self, lines: &[u8]) {
        let waiting = &self.waiting;
        let before = waiting.bytes.fetch_add(lines.len(), Ordering::Relaxed);
        let is_kept = before.saturating_add(lines.len()) <= waiting.bytes_max
            && self.sender.send(Message::Line(lines.to_vec())).is_ok();
        if !is_kept {
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

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted() {
        let (mut lines, writer) = lines("one\ntwo\n".len());
        for line in ["one\n", "two\n", "three\n", "four\nfive\n"] {
            Write::write_all(&mut lines, line.as_bytes()).unwrap();
        }
        drop(lines);
        let mut written = Vec::new();
        writer.run(&mut written);
        let written = String::from_utf8(written).unwrap();
        assert!(written.starts_with("one\n"), "{written}");
        assert!(written.contains("two\n") && !written.contains("three"), "{written}");
        assert!(written.contains("\"log.dropped\":3"), "{written}");
    }
}
