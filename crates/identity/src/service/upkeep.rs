//! What goes on in the background: loading, writing behind, forgetting.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::time::Time;
use countersign_auth::token::TokenDigest;

use super::{Core, Ledger, Service, TRIED, Upkeep, unavailable};
use crate::store::{Change, TokenRow};
use crate::tokens::record::{self, Marks, Record};

/// Noted uses are in the store after this at the latest: what a power cut may lose of them.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Expired tokens go after an hour; half a minute more or less is nothing.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// An object that nobody claimed in its time is forgotten after an hour more, like an expired token.
const OVER_MS: i64 = 3_600_000;
/// Rows of one page; a page is in memory some 2 MB.
const PAGE_ROWS: u32 = 10_000;
/// Rows that are added under one lock of the ledger: a log-in waits for less than a millisecond.
const ADOPTED_AT_ONCE: usize = 1000;
/// The first wait after a page could not be read; it doubles up to a minute.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Starts the tasks. They end with the service.
pub(super) fn start(core: &Arc<Core>, upkeep: Upkeep) {
    let weak = Arc::downgrade(core);
    core.handle.spawn(load(weak.clone()));
    if upkeep == Upkeep::Background {
        core.handle.spawn(flush_again_and_again(weak.clone()));
        core.handle.spawn(sweep_again_and_again(weak));
    }
}

async fn flush_again_and_again(core: Weak<Core>) {
    let mut failed = false;
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        let Some(core) = core.upgrade() else { return };
        core.look_for_database();
        let flushed = core.flush().await;
        match &flushed {
            Ok(()) if failed => tracing::info!("wrote what had waited while the store was away"),
            Err(error) if !failed => {
                tracing::error!(%error, "could not write noted uses and ends, will go on trying");
            }
            Ok(()) | Err(_) => {}
        }
        failed = core.has_unwritten();
        if flushed.is_ok() {
            core.try_to_write().await;
        }
    }
}

async fn sweep_again_and_again(core: Weak<Core>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(core) = core.upgrade() else { return };
        let now = core.clock.now();
        if let Err(error) = core.sweep(now).await {
            tracing::warn!(error = %error, "could not remove expired tokens from the store");
        }
    }
}

/// Brings all tokens of the store into memory, a page at a time, while the service is at work already. While one page
/// is taken in, the next is read.
async fn load(core: Weak<Core>) {
    let Some(clock) = core.upgrade().map(|core| Arc::clone(&core.clock)) else { return };
    let started = clock.now();
    make_room(&core).await;
    let (mut after, mut rows, mut retry) = (0, 0_usize, RETRY_FIRST);
    let Some(mut reading) = core.upgrade().map(|core| core.store.tokens(after, PAGE_ROWS)) else { return };
    loop {
        let read = reading.await;
        if let Err(error) = &read {
            tracing::error!(%error, "could not load tokens, will go on trying");
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
        let Some(core) = core.upgrade() else { return };
        let (page, is_last) = match read {
            // A page of nothing but what cannot be read is empty as well.
            Ok((page, end)) => (page, std::mem::replace(&mut after, end) == end),
            Err(_told) => {
                reading = core.store.tokens(after, PAGE_ROWS);
                continue;
            }
        };
        if is_last {
            {
                let mut ledger = core.ledger();
                let loader = ledger.loader;
                // Before ends are noted for it no more: whoever asks from here on has to find it loaded.
                core.loaded.store(true, Ordering::Release);
                ledger.meanwhile.finish(loader);
            }
            let took = clock.now().since(started);
            tracing::info!(
                tokens.loaded = rows,
                tokens.load_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "loaded all tokens"
            );
            return;
        }
        reading = core.store.tokens(after, PAGE_ROWS);
        rows += page.len();
        for rows in page.chunks(ADOPTED_AT_ONCE) {
            core.adopt(&mut core.ledger(), rows);
        }
    }
}

/// Tables that grow step by step copy each record several times.
async fn make_room(core: &Weak<Core>) {
    let Some(counting) = core.upgrade().map(|core| core.store.token_count()) else { return };
    // Where they cannot be counted they cannot be read either, and that is told.
    let count = counting.await.unwrap_or(0);
    if let Some(core) = core.upgrade() {
        core.tokens.reserve(usize::try_from(count).unwrap_or(0));
    }
}

impl Service {
    /// Writes noted uses, promoted sessions and ends that the store could not be told before.
    pub fn flush(&self) -> Answer<Result<(), Unavailable>> {
        self.run(|core| async move { core.flush().await })
    }

    /// Forgets what expired more than an hour ago, and what else is over; rolls signing keys.
    pub fn sweep(&self, now: Time) -> Answer<Result<(), Unavailable>> {
        self.run(move |core| async move { core.sweep(now).await })
    }

    /// How many tokens are in memory, expired ones that are still remembered too.
    pub fn tokens_in_memory(&self) -> usize {
        self.core.tokens.len()
    }
}

impl Core {
    /// Brings tokens of the store into memory, but for those that ended since their rows were read.
    pub(super) fn adopt(&self, ledger: &mut Ledger, rows: &[TokenRow]) {
        // Rows side by side are of the same few words.
        let mut last: Option<(&TokenRow, u16)> = None;
        for row in rows {
            if ledger.meanwhile.has_ended(row.digest, row.account) {
                continue;
            }
            if ledger.meanwhile.has_ended_family(row.account, row.family) {
                self.end_unloaded(ledger, TokenDigest(row.digest), row.account);
                continue;
            }
            if row.account != 0 && !self.directory.has(row.account) {
                continue;
            }
            let same =
                |other: &TokenRow| Arc::ptr_eq(&other.api, &row.api) && Arc::ptr_eq(&other.word, &row.word);
            let word = match last {
                Some((other, word)) if same(other) => Some(word),
                Some(_) | None => self.tokens.words.number(&row.api, &row.word),
            };
            if let Some(word) = word {
                last = Some((row, word));
                self.tokens.insert(Record::from_row(row, word));
            }
        }
    }

    fn has_unwritten(&self) -> bool {
        !self.ledger().unwritten_ends.is_empty()
    }

    pub(super) fn row(&self, record: Record) -> Option<TokenRow> {
        let (api, word) = self.tokens.words.names(record.word)?;
        Some(record.to_row(api, word))
    }

    pub(super) async fn flush(&self) -> Result<(), Unavailable> {
        let (dirty, ends, events, write) = {
            let mut ledger = self.ledger();
            let ends = std::mem::take(&mut ledger.unwritten_ends);
            let events = std::mem::take(&mut ledger.unwritten_events);
            let dirty = self.tokens.take_dirty();
            if dirty.is_empty() && ends.is_empty() && events.is_empty() {
                return Ok(());
            }
            let unstored = |record: &&Record| record.marks.has(Marks::UNSTORED);
            let put = dirty.iter().filter(unstored).filter_map(|record| self.row(*record)).collect();
            let touched = dirty.iter().filter(|record| !unstored(record));
            let touched = touched.map(|record| (record.digest, record::to_unix(record.used))).collect();
            let mut changes = vec![
                Change::PutTokens(put),
                Change::TouchTokens(touched),
                Change::DeleteTokens(ends.clone()),
            ];
            changes.extend(events.iter().cloned().map(Change::Audit));
            (dirty, ends, events, self.store.write(changes))
        };
        write.await.map_err(|error| {
            let mut ledger = self.ledger();
            ledger.unwritten_ends.extend(ends);
            ledger.unwritten_events.extend(events);
            drop(ledger);
            self.tokens.put_back_dirty(&dirty);
            unavailable(error)
        })
    }

    /// Looks whether the database file is where it was opened, and says so when that changes. One that was brought back from a
    /// backup without stopping the gate is not what the gate works with.
    fn look_for_database(&self) {
        let is_displaced = self.store.is_displaced();
        let was_displaced = self.displaced.swap(is_displaced, Ordering::Relaxed);
        if is_displaced && !was_displaced {
            tracing::error!(
                "another file, or none, is in the place of the database file: what is changed from now on will be lost; \
                 stop the gate before a backup is brought back"
            );
        } else if was_displaced && !is_displaced {
            tracing::info!("the database file is in its place again");
        }
    }

    /// While nothing can be written and nothing waits for it, writes something, that it be known when that has passed.
    async fn try_to_write(&self) {
        if self.store.is_failing() {
            let now = self.clock.now().unix_ms().to_be_bytes().to_vec();
            // The store says itself when it fails no more.
            let _ = self.store.write(vec![Change::PutMeta(TRIED, now)]).await;
        }
    }

    pub(super) async fn sweep(&self, now: Time) -> Result<(), Unavailable> {
        self.lockout.sweep(now);
        self.signing.sweep(&*self.store, now).await?;
        let over = Time::from_unix_ms(now.unix_ms().saturating_sub(OVER_MS));
        self.store.write(vec![Change::DeleteObjectsOver(over.unix_ms())]).await.map_err(unavailable)?;
        let write = {
            let mut ledger = self.ledger();
            let mut gone = self.tokens.sweep(record::floor(now));
            if gone.is_empty() {
                return Ok(());
            }
            gone.iter().for_each(|digest| ledger.meanwhile.ends(TokenDigest(*digest)));
            gone.sort_unstable();
            self.store.write(vec![Change::DeleteTokens(gone)])
        };
        // What stays in the store for now is expired there as well, and goes after the next start.
        write.await.map_err(unavailable)
    }
}
