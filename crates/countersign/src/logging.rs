//! Log lines: written by a thread of their own, so that a slow terminal or disk never holds up a request.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// How many lines may wait; at 200 bytes each about 3 MiB, and more than a burst of a second.
const LINES_MAX: usize = 16_384;

/// Starts logging to standard error for the whole process, once; later calls change nothing.
///
/// # Errors
/// If `level` is neither a level nor directives.
pub(crate) fn start(format: LogFormat, level: &str) -> anyhow::Result<Flusher> {
    let filter = EnvFilter::try_new(level)?;
    let (lines, writer) = lines(LINES_MAX);
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
    Ok(Flusher { lines, thread: Some(thread) })
}

/// Holds the log open; when it is dropped, what waits is written.
#[derive(Debug)]
pub(crate) struct Flusher {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
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
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

struct Writer {
    receiver: Receiver<Message>,
    dropped: Arc<AtomicU64>,
}

fn lines(max: usize) -> (Lines, Writer) {
    let (sender, receiver) = sync_channel(max);
    let dropped = Arc::new(AtomicU64::new(0));
    (Lines { sender, dropped: Arc::clone(&dropped) }, Writer { receiver, dropped })
}

impl Writer {
    fn run(self, to: &mut dyn Write) {
        while let Ok(message) = self.receiver.recv() {
            let _ = match message {
                Message::Line(line) => to.write_all(&line),
                Message::End => break,
            };
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

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.sender.try_send(Message::Line(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
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
        let (mut lines, writer) = lines(2);
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        drop(lines);
        let mut written = Vec::new();
        writer.run(&mut written);
        let written = String::from_utf8(written).unwrap();
        assert!(written.starts_with("one\n"), "{written}");
        assert!(written.contains("two\n") && !written.contains("three"), "{written}");
        assert!(written.contains("\"log.dropped\":2"), "{written}");
    }
}
