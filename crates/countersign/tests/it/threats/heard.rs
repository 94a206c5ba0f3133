//! Listens to all that is logged, at every level.

use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use countersign_gateway::log::{Access, AccessLog, LineFormat};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

/// A line is written right after its answer; what takes longer is not written.
const DEADLINE: Duration = Duration::from_secs(60);

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Who listens now: lines of other tests, which run meanwhile, are kept as well and do no harm.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);
static INSTALLED: LazyLock<()> = LazyLock::new(|| tracing::subscriber::set_global_default(Ear).unwrap());

/// While it lives, everything that is logged is kept.
pub(crate) struct Hearing {
    from: usize,
}

impl Hearing {
    /// Listens from now on.
    pub(crate) fn begin() -> Self {
        LazyLock::force(&INSTALLED);
        LISTENERS.fetch_add(1, Ordering::SeqCst);
        Self { from: lines().len() }
    }

    /// What was heard so far.
    pub(crate) fn so_far(&self) -> Vec<String> {
        lines()[self.from..].to_vec()
    }

    /// The first line with these words, once it is there.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(line) = lines()[self.from..].iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "nothing was logged with {words}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a text holds another, in any case.
pub(super) fn anything_like(text: &str, wanted: &str) -> bool {
    text.to_ascii_lowercase().contains(&wanted.to_ascii_lowercase())
}

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps access lines beside all others.
pub(crate) fn access() -> Access {
    Access { format: LineFormat::Text, log: Arc::new(Ear) }
}

struct Ear;

impl AccessLog for Ear {
    fn write(&self, written: &[u8]) {
        if LISTENERS.load(Ordering::SeqCst) > 0 {
            lines().extend(String::from_utf8_lossy(written).lines().map(str::to_owned));
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

fn keep(metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
    let mut line = Line(format!("{} {} ", metadata.level(), metadata.target()));
    record(&mut line);
    lines().push(line.0);
}

impl Subscriber for Ear {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        LISTENERS.load(Ordering::SeqCst) > 0
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        keep(span.metadata(), |line| span.record(line));
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        let mut line = Line("span ".to_owned());
        values.record(&mut line);
        lines().push(line.0);
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        keep(event.metadata(), |line| event.record(line));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
