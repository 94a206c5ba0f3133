//! A store that can be switched off: for fault runs, not for production.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

use super::{
    AccountRow, AuditRow, Change, EquivalentRow, KeyRow, NoteRow, ObjectRow, SigningKeyRow, Store,
    StoreError, StoreFuture, TokenRow, ValueRow,
};

/// Passes everything on to another store while it is on, and fails everything while it is off.
///
/// Fault runs wrap it around a real store to see what the gate does when its database goes away.
pub struct Switchable {
    inner: Arc<dyn Store>,
    off: AtomicBool,
    /// Writes until it is switched off by itself.
    writes_left: AtomicUsize,
    pages_held: Arc<watch::Sender<bool>>,
    rows_held: Arc<watch::Sender<bool>>,
    failures_held: Arc<watch::Sender<bool>>,
}

/// Whether a [`Switchable`] store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It answers.
    On,
    /// It fails.
    Off,
}

impl Switchable {
    /// Wraps a store; it is on.
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        let open = || Arc::new(watch::Sender::new(false));
        Arc::new(Self {
            inner,
            off: AtomicBool::new(false),
            writes_left: AtomicUsize::new(usize::MAX),
            pages_held: open(),
            rows_held: open(),
            failures_held: open(),
        })
    }

    /// Switches it on or off, for all calls from now on.
    pub fn switch(&self, power: Power) {
        self.writes_left.store(usize::MAX, Ordering::SeqCst);
        self.off.store(power == Power::Off, Ordering::SeqCst);
    }

    /// Switches it off once so many more writes have been begun: those go through, and nothing after them.
    pub fn switch_off_after(&self, writes: usize) {
        self.writes_left.store(writes, Ordering::SeqCst);
    }

    /// Holds pages of tokens back after they were read: loading stands still, and what is delivered at last is
    /// as old as it can be.
    pub fn hold_pages(&self) {
        self.pages_held.send_replace(true);
    }

    /// Delivers the pages that were held, and all further ones.
    pub fn release_pages(&self) {
        self.pages_held.send_replace(false);
    }

    /// Holds single tokens back after they were read.
    pub fn hold_rows(&self) {
        self.rows_held.send_replace(true);
    }

    /// Delivers those that were held.
    pub fn release_rows(&self) {
        self.rows_held.send_replace(false);
    }

    /// How many of them are held.
    pub fn rows_held(&self) -> usize {
        self.rows_held.receiver_count()
    }

    /// Holds back that writes have failed.
    pub fn hold_failures(&self) {
        self.failures_held.send_replace(true);
    }

    /// Tells those who were held.
    pub fn release_failures(&self) {
        self.failures_held.send_replace(false);
    }

    /// How many failures are held.
    pub fn failures_held(&self) -> usize {
        self.failures_held.receiver_count()
    }

    fn pass<T: Send + 'static>(&self, call: impl FnOnce(&dyn Store) -> StoreFuture<T>) -> StoreFuture<T> {
        if self.off.load(Ordering::SeqCst) {
            Box::pin(async { Err(StoreError::Down("switched off".to_owned())) })
        } else {
            call(&*self.inner)
        }
    }
}

/// Waits until nothing is held.
async fn released(held: &watch::Sender<bool>) {
    // The sender is there as long as this waits.
    let _ = held.subscribe().wait_for(|held| !held).await;
}

impl Store for Switchable {
    fn write(&self, changes: Vec<Change>) -> StoreFuture<()> {
        let one_less = |left: usize| left.checked_sub(1);
        if self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err() {
            self.switch(Power::Off);
        }
        let write = self.pass(|store| store.write(changes));
        let held = Arc::clone(&self.failures_held);
        Box::pin(async move {
            let written = write.await;
            if written.is_err() {
                released(&held).await;
            }
            written
        })
    }

    fn is_failing(&self) -> bool {
        self.off.load(Ordering::SeqCst) || self.inner.is_failing()
    }

    fn is_displaced(&self) -> bool {
        self.inner.is_displaced()
    }

    fn meta(&self, name: &'static str) -> StoreFuture<Option<Vec<u8>>> {
        self.pass(|store| store.meta(name))
    }

    fn accounts(&self) -> StoreFuture<Vec<AccountRow>> {
        self.pass(|store| store.accounts())
    }

    fn tokens(&self, after: i64, limit: u32) -> StoreFuture<(Vec<TokenRow>, i64)> {
        let page = self.pass(|store| store.tokens(after, limit));
        let held = Arc::clone(&self.pages_held);
        Box::pin(async move {
            let page = page.await;
            released(&held).await;
            page
        })
    }

    fn token_count(&self) -> StoreFuture<u64> {
        self.pass(|store| store.token_count())
    }

    fn token(&self, digest: [u8; 32]) -> StoreFuture<Option<TokenRow>> {
        let row = self.pass(|store| store.token(digest));
        let held = Arc::clone(&self.rows_held);
        Box::pin(async move {
            let row = row.await;
            released(&held).await;
            row
        })
    }

    fn keys(&self) -> StoreFuture<Vec<KeyRow>> {
        self.pass(|store| store.keys())
    }

    fn values(&self) -> StoreFuture<Vec<ValueRow>> {
        self.pass(|store| store.values())
    }

    fn notes(&self, service: String) -> StoreFuture<Vec<NoteRow>> {
        self.pass(|store| store.notes(service))
    }

    fn equivalents(&self) -> StoreFuture<Vec<EquivalentRow>> {
        self.pass(|store| store.equivalents())
    }

    fn signing_keys(&self) -> StoreFuture<Vec<SigningKeyRow>> {
        self.pass(|store| store.signing_keys())
    }

    fn object(&self, api: String, kind: String, id: String) -> StoreFuture<Option<ObjectRow>> {
        self.pass(|store| store.object(api, kind, id))
    }

    fn object_of_reference(&self, digest: [u8; 32]) -> StoreFuture<Option<ObjectRow>> {
        self.pass(|store| store.object_of_reference(digest))
    }

    fn audit(&self, limit: u32) -> StoreFuture<Vec<AuditRow>> {
        self.pass(|store| store.audit(limit))
    }

    fn close(&self) -> StoreFuture<()> {
        self.inner.close()
    }
}
