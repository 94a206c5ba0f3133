//! The default store: one SQLite file.
//!
//! WAL with `synchronous=FULL`: what was acknowledged survives a power cut. One writer task groups what arrives
//! while it is busy into one transaction; reads have a small pool of their own. The file is made readable by
//! its owner only, and a lock keeps a second gate from opening it, by whatever name (`sqlite/place.rs`): memory is
//! the truth for sessions, and two memories would differ.

mod bulk;
mod objects;
pub mod place;
mod rows;
mod writer;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use tokio::runtime::Handle;

use super::{
    AccountRow, AuditRow, Change, EquivalentRow, KeyRow, NoteRow, ObjectRow, SigningKeyRow, Store,
    StoreError, StoreFuture, TokenRow, ValueRow,
};
use bulk::Bulk;
use place::{Held, folder_of};
use writer::Writer;

/// How long a statement waits for another process that holds the file (a backup tool, say).
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Readers beside the writer; reads are rare, memory answers nearly all look-ups.
const READERS_MAX: u32 = 4;
/// Each entry brings the file from schema N to schema N + 1.
const SCHEMAS: [&str; 4] = [
    include_str!("sqlite/schema_1.sql"),
    include_str!("sqlite/schema_2.sql"),
    include_str!("sqlite/schema_3.sql"),
    include_str!("sqlite/schema_4.sql"),
];

/// With these bytes every SQLite file begins that holds anything (<https://sqlite.org/fileformat.html>, section 1.3).
const BEGINNING: &[u8] = b"SQLite format 3\0";

/// What is wrong with a place for the file, as far as can be seen without making or opening it as a database.
pub fn misplaced(path: &Path) -> Option<String> {
    let folder = folder_of(path);
    match std::fs::metadata(folder) {
        Ok(folder) if folder.is_dir() => {}
        Ok(_) => return Some(format!("{} is no folder", folder.display())),
        Err(error) => return Some(format!("could not look into the folder {}: {error}", folder.display())),
    }
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() => {}
        Ok(other) => {
            let what = if other.is_dir() { "a folder" } else { "no file" };
            return Some(format!("{} is {what}", path.display()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(format!("could not look at {}: {error}", path.display())),
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Some(format!("could not open {}: {error}", path.display())),
    };
    let mut beginning = Vec::with_capacity(BEGINNING.len());
    let limit = u64::try_from(BEGINNING.len()).unwrap_or(u64::MAX);
    match (&mut file).take(limit).read_to_end(&mut beginning) {
        Ok(_) if beginning.is_empty() || beginning == BEGINNING => None,
        Ok(_) => Some(format!("{} is no database", path.display())),
        Err(error) => Some(format!("could not read {}: {error}", path.display())),
    }
}

/// One SQLite file. See the module's words.
pub struct SqliteStore {
    readers: SqlitePool,
    bulk: Bulk,
    writer: Writer,
    /// `None` once it is closed.
    held: Arc<Mutex<Option<Held>>>,
}

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if another process has it open; [`StoreError::Conflict`] if a later version wrote it;
    /// [`StoreError::Down`] for all else.
    pub async fn open(path: &Path, handle: &Handle) -> Result<Arc<Self>, StoreError> {
        let held = Held::take(path)?;
        let path = held.path();
        let options = SqliteConnectOptions::from_str("sqlite::memory:")
            .map_err(down)?
            .in_memory(false)
            .shared_cache(false)
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_WAIT)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(down)?;
        migrate(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options.clone().read_only(true).create_if_missing(false))
            .await
            .map_err(down)?;
        let bulk = Bulk::open(path, handle)?;
        let writer = Writer::start(connection, options.create_if_missing(false), handle);
        Ok(Arc::new(Self { readers, bulk, writer, held: Arc::new(Mutex::new(Some(held))) }))
    }

    fn read<T, F>(&self, query: impl FnOnce(SqlitePool) -> F) -> StoreFuture<T>
    where
        F: Future<Output = Result<T, sqlx::Error>> + Send + 'static,
    {
        let query = query(self.readers.clone());
        Box::pin(async move { query.await.map_err(read_error) })
    }
}

impl Store for SqliteStore {
    fn write(&self, changes: Vec<Change>) -> StoreFuture<()> {
        self.writer.write(changes)
    }

    fn is_failing(&self) -> bool {
        self.writer.is_failing()
    }

    fn is_displaced(&self) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().is_some_and(Held::is_displaced)
    }

    fn meta(&self, name: &'static str) -> StoreFuture<Option<Vec<u8>>> {
        self.read(move |pool| async move {
            sqlx::query_scalar("SELECT value FROM meta WHERE name = ?").bind(name).fetch_optional(&pool).await
        })
    }

    fn accounts(&self) -> StoreFuture<Vec<AccountRow>> {
        self.bulk.accounts()
    }

    fn tokens(&self, after: i64, limit: u32) -> StoreFuture<(Vec<TokenRow>, i64)> {
        self.bulk.tokens(after, limit)
    }

    fn token_count(&self) -> StoreFuture<u64> {
        self.bulk.token_count()
    }

    fn token(&self, digest: [u8; 32]) -> StoreFuture<Option<TokenRow>> {
        self.read(move |pool| async move {
            sqlx::query(
                "SELECT digest, api, word, kind, account, issued_at, used_at, idle_secs, ends_at, proven_at, \
                 family, spent FROM tokens WHERE digest = ?",
            )
            .bind(digest.to_vec())
            .try_map(|row| rows::token(&row, &mut rows::Names::default()))
            .fetch_optional(&pool)
            .await
        })
    }

    fn keys(&self) -> StoreFuture<Vec<KeyRow>> {
        self.read(move |pool| async move {
            sqlx::query(
                "SELECT id, digest, api, word, account, label, description, created_at, updated_at, expires_at \
                 FROM keys",
            )
            .try_map(rows::key)
            .fetch_all(&pool)
            .await
        })
    }

    fn values(&self) -> StoreFuture<Vec<ValueRow>> {
        self.read(move |pool| async move {
            sqlx::query("SELECT purpose, api, word, account, mac FROM operator_values")
                .try_map(rows::value)
                .fetch_all(&pool)
                .await
        })
    }

    fn notes(&self, service: String) -> StoreFuture<Vec<NoteRow>> {
        self.read(move |pool| async move {
            sqlx::query("SELECT service, account, text FROM notes WHERE service = ? ORDER BY account")
                .bind(service)
                .try_map(rows::note)
                .fetch_all(&pool)
                .await
        })
    }

    fn equivalents(&self) -> StoreFuture<Vec<EquivalentRow>> {
        self.read(move |pool| async move {
            sqlx::query("SELECT account, scheme, sealed FROM password_equivalents ORDER BY account, scheme")
                .try_map(rows::equivalent)
                .fetch_all(&pool)
                .await
        })
    }

    fn signing_keys(&self) -> StoreFuture<Vec<SigningKeyRow>> {
        self.read(move |pool| async move {
            sqlx::query(
                "SELECT id, purpose, algorithm, pkcs8, state, since FROM signing_keys ORDER BY since, id",
            )
            .try_map(rows::signing_key)
            .fetch_all(&pool)
            .await
        })
    }

    fn object(&self, api: String, kind: String, id: String) -> StoreFuture<Option<ObjectRow>> {
        self.read(move |pool| objects::find(pool, api, kind, id))
    }

    fn object_of_reference(&self, digest: [u8; 32]) -> StoreFuture<Option<ObjectRow>> {
        self.read(move |pool| objects::find_reference(pool, digest))
    }

    fn audit(&self, limit: u32) -> StoreFuture<Vec<AuditRow>> {
        self.read(move |pool| async move {
            sqlx::query("SELECT at, actor, event, object, address FROM audit ORDER BY id DESC LIMIT ?")
                .bind(limit)
                .try_map(rows::audit)
                .fetch_all(&pool)
                .await
        })
    }

    fn close(&self) -> StoreFuture<()> {
        let writer = self.writer.close();
        let readers = self.readers.clone();
        let held = Arc::clone(&self.held);
        self.bulk.close();
        Box::pin(async move {
            readers.close().await;
            let closed = writer.await;
            drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
            closed
        })
    }
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(down)?;
    let version = usize::try_from(version).map_err(|_| StoreError::Corrupt("schema number".to_owned()))?;
    if version > SCHEMAS.len() {
        return Err(StoreError::Conflict("a later version of the gate wrote the database file"));
    }
    for (number, schema) in SCHEMAS.iter().enumerate().skip(version) {
        let script = format!("BEGIN IMMEDIATE; {schema} PRAGMA user_version = {}; COMMIT;", number + 1);
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut *connection).await.map_err(down)?;
    }
    Ok(())
}

fn down(error: sqlx::Error) -> StoreError {
    StoreError::Down(error.to_string())
}

fn io(error: std::io::Error) -> StoreError {
    StoreError::Down(error.to_string())
}

fn read_error(error: sqlx::Error) -> StoreError {
    if matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) {
        return StoreError::Corrupt(error.to_string());
    }
    down(error)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    #[tokio::test]
    async fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.db");
        let open = || async { SqliteStore::open(&path, &Handle::current()).await.unwrap() as Arc<dyn Store> };
        crate::store::conformance::check(open).await;
    }

    #[tokio::test]
    async fn one_process_and_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.db");
        let store = SqliteStore::open(&path, &Handle::current()).await.unwrap();
        let second = SqliteStore::open(&path, &Handle::current()).await;
        assert!(matches!(second, Err(StoreError::Taken)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        store.close().await.unwrap();
    }

    /// As a full disk does: see `e4_what_ended_while_the_disk_was_full_stays_ended` for one that is.
    #[tokio::test]
    async fn a_transaction_that_the_database_ended_is_not_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.db");
        let store = SqliteStore::open(&path, &Handle::current()).await.unwrap();
        let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let trigger = "CREATE TRIGGER full BEFORE INSERT ON meta WHEN NEW.name = 'too much' \
                       BEGIN SELECT RAISE(ROLLBACK, 'full'); END";
        sqlx::query(trigger).execute(&mut other).await.unwrap();
        assert!(!store.is_failing());
        for round in 0..3_u8 {
            let much =
                vec![Change::PutMeta("beside it", vec![round]), Change::PutMeta("too much", vec![round])];
            let failed = store.write(much).await;
            assert!(matches!(failed, Err(StoreError::Down(_))), "{failed:?}");
            assert!(store.is_failing());
            assert_eq!(store.meta("beside it").await.unwrap(), None);
            store.write(vec![Change::DeleteObjectsOver(0)]).await.unwrap();
            assert!(store.is_failing(), "what changes no row says nothing of the disk");
            store.write(vec![Change::PutMeta("little", vec![round])]).await.unwrap();
            assert!(!store.is_failing());
            assert_eq!(store.meta("little").await.unwrap(), Some(vec![round]));
        }
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn the_audit_cannot_be_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.db");
        let store = SqliteStore::open(&path, &Handle::current()).await.unwrap();
        let row = AuditRow {
            at: 1,
            actor: "root".to_owned(),
            event: "account.created".to_owned(),
            object: "users/ann".to_owned(),
            address: String::new(),
        };
        store.write(vec![Change::Audit(row.clone())]).await.unwrap();
        store.close().await.unwrap();
        let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        for attack in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"] {
            assert!(sqlx::query(attack).execute(&mut connection).await.is_err(), "{attack}");
        }
    }
}
