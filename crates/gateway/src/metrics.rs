//! Counters and their text form.
//!
//! Each core counts in cells of its own, so that no cache line travels between cores while requests are served;
//! a scrape adds them up. Labels are looked up once, when a gate is made.

mod collect;
pub(crate) mod cuts;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_auth::refusal::Reason;

use cuts::Cuts;

/// Upper bounds of the latency histogram, in microseconds: a hit takes about 20 us, a login about 25 ms, a held
/// poll up to two minutes.
const BUCKETS_US: [u64; 14] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    10_000_000,
    120_000_000,
];
const REASONS: usize = Reason::ALL.len();

/// What can go wrong with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamFault {
    /// No connection.
    Unreachable,
    /// No answer in time.
    Late,
    /// It broke off, or what it said is no HTTP.
    Broken,
    /// As many requests are under way as may be.
    Full,
}

impl UpstreamFault {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Unreachable, "unreachable"),
        (Self::Late, "late"),
        (Self::Broken, "broken"),
        (Self::Full, "full"),
    ];
}

/// Cells of one core for one API. The alignment keeps cores off each other's cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ApiCells {
    by_class: [AtomicU64; 5],
    refused: [AtomicU64; REASONS],
    faults: [AtomicU64; 4],
    begun: AtomicU64,
    ended: AtomicU64,
    micros_sum: AtomicU64,
    micros: [AtomicU64; BUCKETS_US.len() + 1],
}

/// The counters of one API.
#[derive(Debug)]
pub(crate) struct ApiMetrics {
    name: Arc<str>,
    cells: Box<[ApiCells]>,
}

impl ApiMetrics {
    fn cell(&self, core: usize) -> Option<&ApiCells> {
        self.cells.get(core % self.cells.len().max(1))
    }

    /// Counts a request that began.
    pub(crate) fn begun(&self, core: usize) {
        if let Some(cell) = self.cell(core) {
            add(&cell.begun, 1);
        }
    }

    /// Counts a request that has ended: its status, how long it took.
    pub(crate) fn ended(&self, core: usize, status: http::StatusCode, took: Duration) {
        let Some(cell) = self.cell(core) else { return };
        add(&cell.ended, 1);
        if let Some(class) = cell.by_class.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            add(class, 1);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS_US.len());
        if let Some(bucket) = cell.micros.get(bucket) {
            add(bucket, 1);
        }
        add(&cell.micros_sum, micros);
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, core: usize, reason: Reason) {
        let index = Reason::ALL.iter().position(|other| *other == reason);
        if let Some(cell) = index.and_then(|index| self.cell(core)?.refused.get(index)) {
            add(cell, 1);
        }
    }

    /// Counts a failure of the upstream.
    pub(crate) fn fault(&self, core: usize, fault: UpstreamFault) {
        let index = UpstreamFault::ALL.iter().position(|(other, _)| *other == fault);
        if let Some(cell) = index.and_then(|index| self.cell(core)?.faults.get(index)) {
            add(cell, 1);
        }
    }

    fn sum(&self, pick: impl Fn(&ApiCells) -> Option<&AtomicU64>) -> u64 {
        self.cells.iter().filter_map(pick).map(|cell| cell.load(Ordering::Relaxed)).sum()
    }
}

/// All counters of a process.
#[derive(Debug)]
pub struct Metrics {
    cores: usize,
    apis: Mutex<Vec<Arc<ApiMetrics>>>,
    /// What came before an API was known, and what no API has.
    pub(crate) none: Arc<ApiMetrics>,
    /// Connections taken.
    pub(crate) accepted: AtomicU64,
    /// Clients cut off at a limit.
    pub(crate) cuts: Cuts,
    /// Connections that ended.
    pub(crate) closed: AtomicU64,
    /// WebSockets and the like, open now.
    pub(crate) tunnels: AtomicU64,
}

impl Metrics {
    /// Counters with a shard for each of `cores` cores; more cores share them.
    pub fn new(cores: usize) -> Arc<Self> {
        let cores = cores.clamp(1, 256);
        Arc::new(Self {
            cores,
            apis: Mutex::default(),
            none: Arc::new(ApiMetrics { name: "".into(), cells: cells(cores) }),
            accepted: AtomicU64::default(),
            cuts: Cuts::default(),
            closed: AtomicU64::default(),
            tunnels: AtomicU64::default(),
        })
    }

    /// The counters of the API `name`: the same ones again when a gate is replaced.
    pub(crate) fn api(&self, name: &Arc<str>) -> Arc<ApiMetrics> {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(api) = apis.iter().find(|api| api.name == *name) {
            return Arc::clone(api);
        }
        let api = Arc::new(ApiMetrics { name: Arc::clone(name), cells: cells(self.cores) });
        apis.push(Arc::clone(&api));
        api
    }

    /// The text form of OpenMetrics 1.0 (`application/openmetrics-text`).
    ///
    /// # Errors
    /// If a value cannot be written, which a `String` does not refuse.
    pub fn render(self: &Arc<Self>) -> Result<String, std::fmt::Error> {
        collect::render(self)
    }
}

fn cells(cores: usize) -> Box<[ApiCells]> {
    (0..cores).map(|_| ApiCells::default()).collect()
}

fn add(cell: &AtomicU64, count: u64) {
    cell.fetch_add(count, Ordering::Relaxed);
}
