//! Reads all accounts and tokens at the start.
//!
//! sqlx hands every row from SQLite's thread to ours through a channel, with a copy of each value: some 3 us a row where
//! both threads are on one core and 10 us where they are not, which is many seconds for a million of them. This reads the same file through the same SQLite in a thread that may
//! wait, a page at a time.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OpenFlags, Row};
use tokio::runtime::Handle;

use super::rows::{Names, kind_of};
use super::{AccountRow, BUSY_WAIT, StoreError, StoreFuture, TokenRow};

/// A connection for reading many rows at once; `None` once it is closed.
pub(super) struct Bulk {
    connection: Arc<Mutex<Option<Connection>>>,
    handle: Handle,
}

impl Bulk {
    /// Opens the file, whose schema is up to date.
    ///
    /// # Errors
    /// [`StoreError::Down`].
    pub(super) fn open(path: &Path, handle: &Handle) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(error)?;
        connection.busy_timeout(BUSY_WAIT).map_err(error)?;
        Ok(Self { connection: Arc::new(Mutex::new(Some(connection))), handle: handle.clone() })
    }

    /// All accounts.
    pub(super) fn accounts(&self) -> StoreFuture<Vec<AccountRow>> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT id, kind, name, name_folded, subject, full_name, first_name, last_name, email, tenant, \
                 roles, keys, password_hash, password_due, disabled, proofs_from, created_at, updated_at \
                 FROM accounts ORDER BY id",
            )?;
            statement.query_map((), account)?.collect()
        })
    }

    /// A page of tokens, see [`Store::tokens`](super::Store::tokens).
    pub(super) fn tokens(&self, after: i64, limit: u32) -> StoreFuture<(Vec<TokenRow>, i64)> {
        self.read(move |connection| {
            let mut statement = connection.prepare(
                "SELECT digest, api, word, kind, account, issued_at, used_at, idle_secs, ends_at, proven_at, \
                 family, spent, rowid FROM tokens WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
            )?;
            let mut rows = statement.query((after, limit))?;
            let mut names = Names::default();
            let mut page = Vec::new();
            let mut end = after;
            while let Some(row) = rows.next()? {
                end = row.get(12)?;
                match token(row, &mut names) {
                    Ok(token) => page.push(token),
                    // Whoever holds it is unknown; all others are to be known.
                    Err(error) if is_of_a_value(&error) => {
                        tracing::error!(
                            token.row = end,
                            "could not read a token of the store, passed over it"
                        );
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok((page, end))
        })
    }

    /// How many tokens there are.
    pub(super) fn token_count(&self) -> StoreFuture<u64> {
        self.read(|connection| {
            let count =
                connection.query_row("SELECT count(*) FROM tokens", (), |row| row.get::<_, i64>(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Lets the file go; what is being read is read to its end first.
    pub(super) fn close(&self) {
        drop(locked(&self.connection).take());
    }

    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> StoreFuture<T> {
        let connection = Arc::clone(&self.connection);
        let task = self.handle.spawn_blocking(move || match &*locked(&connection) {
            Some(connection) => query(connection).map_err(error),
            None => Err(StoreError::Down("the database was closed".to_owned())),
        });
        Box::pin(async move { task.await.map_err(|error| StoreError::Down(error.to_string()))? })
    }
}

fn locked(connection: &Mutex<Option<Connection>>) -> MutexGuard<'_, Option<Connection>> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn account(row: &Row<'_>) -> Result<AccountRow, rusqlite::Error> {
    Ok(AccountRow {
        id: row.get(0)?,
        kind: row.get(1)?,
        name: row.get(2)?,
        name_folded: row.get(3)?,
        subject: row.get(4)?,
        full_name: row.get(5)?,
        first_name: row.get(6)?,
        last_name: row.get(7)?,
        email: row.get(8)?,
        tenant: row.get(9)?,
        roles: row.get(10)?,
        keys: row.get(11)?,
        password_hash: row.get(12)?,
        password_due: row.get(13)?,
        disabled: row.get(14)?,
        proofs_from: row.get(15)?,
        created_at: row.get(16)?,
        updated_at: row.get(17)?,
    })
}

fn token(row: &Row<'_>, names: &mut Names) -> Result<TokenRow, rusqlite::Error> {
    let text = |at: usize| row.get_ref(at)?.as_str().map_err(|error| wrong(at, error));
    let digest = row.get_ref(0)?.as_blob().map_err(|error| wrong(0, error))?;
    Ok(TokenRow {
        digest: digest.try_into().map_err(|_| wrong(0, FromSqlError::InvalidType))?,
        api: names.share(text(1)?),
        word: names.share(text(2)?),
        kind: kind_of(row.get(3)?).ok_or_else(|| wrong(3, FromSqlError::InvalidType))?,
        account: row.get::<_, Option<i64>>(4)?.map_or(0, i64::cast_unsigned),
        issued_at: row.get(5)?,
        used_at: row.get(6)?,
        idle_secs: row.get(7)?,
        ends_at: row.get(8)?,
        proven_at: row.get(9)?,
        family: row.get::<_, i64>(10)?.cast_unsigned(),
        spent: row.get(11)?,
    })
}

fn wrong(at: usize, error: FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Null, Box::new(error))
}

fn error(error: rusqlite::Error) -> StoreError {
    let told = error.to_string();
    if is_of_a_value(&error) { StoreError::Corrupt(told) } else { StoreError::Down(told) }
}

/// Whether it is what was read that is wrong, and not the reading.
fn is_of_a_value(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
    )
}
