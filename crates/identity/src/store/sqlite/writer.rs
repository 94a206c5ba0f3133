//! The one task that writes.
//!
//! ```text
//! jobs ──▶ queue ──▶ BEGIN IMMEDIATE  SAVEPOINT job 1 RELEASE  SAVEPOINT job 2 ROLLBACK TO ...  COMMIT ──▶ answers
//! ```
//!
//! A disk that takes five milliseconds to sync still takes thousands of log-ins a second that way. A job in
//! conflict leaves its group alone.
//!
//! After a group that could not be written the next one has a connection of its own. SQLite ends a transaction by
//! itself when the disk is full or fails; the ROLLBACK that follows is then an error, sqlx counts the transaction as open,
//! and would begin no other one on that connection.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{objects, rows};
use crate::store::{AccountRow, Change, KeyRow, StoreError, StoreFuture, TokenRow};

/// Jobs that may wait. Each is held by a request; past this the disk does not keep up, and 503 is the truth.
const QUEUE_MAX: usize = 16_384;
/// Jobs in one transaction; bounds how long the first waits for the last.
const GROUP_MAX: usize = 512;
/// Rows in one statement: SQLite's planner and our strings stay small, and the round trips to its thread few.
const ROWS_PER_STATEMENT: usize = 64;
const TOKEN_COLUMNS: usize = 12;

struct Job {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The writing half of the store.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    task: Mutex<Option<JoinHandle<()>>>,
    stop: mpsc::Sender<()>,
    is_failing: Arc<AtomicBool>,
}

impl Writer {
    /// Starts with a connection; others are opened with the options.
    pub(super) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        handle: &Handle,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let (stop, stopped) = mpsc::channel(1);
        let is_failing = Arc::new(AtomicBool::new(false));
        let pen = Pen { connection: Some(connection), options, is_failing: Arc::clone(&is_failing) };
        let task = handle.spawn(run(pen, jobs, stopped));
        Self { queue, task: Mutex::new(Some(task)), stop, is_failing }
    }

    /// Whether the last group could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Queues a job at once, so that the order of calls is the order of effects.
    pub(super) fn write(&self, changes: Vec<Change>) -> StoreFuture<()> {
        let (done, answer) = oneshot::channel();
        match self.queue.try_send(Job { changes, done }) {
            Ok(()) => Box::pin(async move {
                answer.await.unwrap_or_else(|_| Err(StoreError::Down("the writer has stopped".to_owned())))
            }),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Box::pin(async { Err(StoreError::Down("too many writes are waiting".to_owned())) })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                Box::pin(async { Err(StoreError::Down("the writer has stopped".to_owned())) })
            }
        }
    }

    /// Lets the writer finish what is queued, and closes its connection.
    pub(super) fn close(&self) -> StoreFuture<()> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stop = self.stop.clone();
        Box::pin(async move {
            let _ = stop.try_send(());
            match task {
                Some(task) => task.await.map_err(|error| StoreError::Down(error.to_string())),
                None => Ok(()),
            }
        })
    }
}

/// What the task writes with.
struct Pen {
    /// `None` after a group that could not be written.
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    is_failing: Arc<AtomicBool>,
}

async fn run(mut pen: Pen, mut jobs: mpsc::Receiver<Job>, mut stop: mpsc::Receiver<()>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    loop {
        let received = tokio::select! {
            biased;
            received = jobs.recv_many(&mut group, GROUP_MAX) => received,
            _ = stop.recv() => {
                jobs.close();
                jobs.recv_many(&mut group, GROUP_MAX).await
            }
        };
        if received == 0 {
            break;
        }
        write_group(&mut pen, &mut group).await;
    }
    if let Some(connection) = pen.connection
        && let Err(error) = connection.close().await
    {
        tracing::warn!(error = %error, "could not close the database file");
    }
}

async fn write_group(pen: &mut Pen, group: &mut Vec<Job>) {
    let mut outcomes = Vec::with_capacity(group.len());
    let was_failing = pen.is_failing.load(Ordering::Relaxed);
    let committed = async {
        let connection = match &mut pen.connection {
            Some(connection) => connection,
            none => none.insert(pen.options.connect().await?),
        };
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let before = if was_failing { rows_changed(&mut transaction).await? } else { 0 };
        for job in group.iter_mut() {
            let changes = std::mem::take(&mut job.changes);
            outcomes.push(apply_job(&mut transaction, changes).await?);
        }
        // What changes no row writes nothing, and succeeds on a full disk as well.
        let has_written = !was_failing || rows_changed(&mut transaction).await? > before;
        transaction.commit().await.map(|()| has_written)
    }
    .await;
    let is_failing = !matches!(committed, Ok(true));
    pen.is_failing.store(is_failing, Ordering::Relaxed);
    match &committed {
        Ok(_) if was_failing && !is_failing => tracing::info!("the database file can be written to again"),
        Ok(_) => {}
        Err(error) => {
            if was_failing {
                tracing::debug!(%error, jobs = group.len(), "still cannot write to the database file");
            } else {
                tracing::error!(%error, jobs = group.len(), "could not write to the database file");
            }
            if let Some(connection) = pen.connection.take() {
                // Whatever it says, it is gone, and with it what it had not committed.
                let _ = connection.close().await;
            }
        }
    }
    for (at, job) in group.drain(..).enumerate() {
        let outcome = match &committed {
            Ok(_) => outcomes.get_mut(at).map_or(Ok(()), |outcome| std::mem::replace(outcome, Ok(()))),
            Err(error) => Err(StoreError::Down(error.to_string())),
        };
        // Whoever waited may have gone; the write stands.
        let _ = job.done.send(outcome);
    }
}

/// How many rows a connection has changed so far.
async fn rows_changed(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT total_changes()").fetch_one(connection).await
}

/// The outer error ends the group, the inner one only this job.
async fn apply_job(
    connection: &mut SqliteConnection,
    changes: Vec<Change>,
) -> Result<Result<(), StoreError>, sqlx::Error> {
    sqlx::query("SAVEPOINT job").execute(&mut *connection).await?;
    for change in changes {
        if let Err(error) = apply(connection, change).await {
            let conflict = conflict(error)?;
            sqlx::query("ROLLBACK TO job").execute(&mut *connection).await?;
            sqlx::query("RELEASE job").execute(&mut *connection).await?;
            return Ok(Err(conflict));
        }
    }
    sqlx::query("RELEASE job").execute(&mut *connection).await?;
    Ok(Ok(()))
}

/// What the rows themselves speak against is the job's fault, everything else the store's.
fn conflict(error: sqlx::Error) -> Result<StoreError, sqlx::Error> {
    if matches!(error, sqlx::Error::RowNotFound) {
        return Ok(StoreError::Conflict("the row is gone"));
    }
    match error.as_database_error() {
        Some(inner) if inner.is_unique_violation() => {
            let text = inner.message();
            Ok(StoreError::Conflict(if text.contains("name_folded") {
                "the name is taken"
            } else if text.contains("subject") {
                "the subject is taken"
            } else {
                "the row is there already"
            }))
        }
        Some(inner) if inner.is_foreign_key_violation() => Ok(StoreError::Conflict("the account is gone")),
        Some(_) | None => Err(error),
    }
}

async fn apply(connection: &mut SqliteConnection, change: Change) -> Result<(), sqlx::Error> {
    match change {
        Change::InsertAccount(row) => insert_account(connection, *row).await,
        Change::UpdateAccount(row) => update_account(connection, *row).await,
        Change::DeleteAccount(id) => delete_account(connection, id).await,
        Change::PutTokens(rows) => put_tokens(connection, &rows).await,
        Change::TouchTokens(uses) => touch_tokens(connection, &uses).await,
        Change::SpendToken(digest, at) => {
            let query = "UPDATE tokens SET spent = 1, used_at = ? WHERE digest = ? AND spent = 0";
            run_query(connection, sqlx::query(query).bind(at).bind(digest.to_vec())).await
        }
        Change::DeleteTokens(digests) => {
            for digest in digests {
                let query = sqlx::query("DELETE FROM tokens WHERE digest = ?").bind(digest.to_vec());
                run_query(connection, query).await?;
            }
            Ok(())
        }
        Change::DeleteTokensOf { account, keep } => {
            let keep = keep.map_or_else(Vec::new, |digest| digest.to_vec());
            let query = "DELETE FROM tokens WHERE account = ? AND digest <> ?";
            run_query(connection, sqlx::query(query).bind(account.cast_signed()).bind(keep)).await
        }
        Change::PutKey(row) => put_key(connection, *row).await,
        Change::DeleteKey(id) => {
            run_query(connection, sqlx::query("DELETE FROM keys WHERE id = ?").bind(id.to_vec())).await
        }
        Change::PutValue(row) => {
            let query = sqlx::query(
                "INSERT INTO operator_values (purpose, api, word, account, mac) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT (purpose, api, word, account) DO UPDATE SET mac = excluded.mac",
            )
            .bind(rows::purpose_number(row.purpose))
            .bind(row.api)
            .bind(row.word)
            .bind(row.account.cast_signed())
            .bind(row.mac.to_vec());
            run_query(connection, query).await
        }
        Change::DeleteValue(purpose, api, word, account) => {
            let query =
                "DELETE FROM operator_values WHERE purpose = ? AND api = ? AND word = ? AND account = ?";
            let query = sqlx::query(query).bind(rows::purpose_number(purpose));
            run_query(connection, query.bind(api).bind(word).bind(account.cast_signed())).await
        }
        Change::PutEquivalent(row) => {
            let query = "INSERT INTO password_equivalents (account, scheme, sealed) VALUES (?, ?, ?) \
                         ON CONFLICT (account, scheme) DO UPDATE SET sealed = excluded.sealed";
            let query = sqlx::query(query).bind(row.account.cast_signed()).bind(row.scheme.name());
            run_query(connection, query.bind(row.sealed)).await
        }
        Change::PutNote(row) => {
            let query = "INSERT INTO notes (service, account, text) VALUES (?, ?, ?) \
                         ON CONFLICT (service, account) DO UPDATE SET text = excluded.text";
            let query = sqlx::query(query).bind(row.service).bind(row.account.cast_signed()).bind(row.text);
            run_query(connection, query).await
        }
        Change::DeleteNote(service, account) => {
            let query = sqlx::query("DELETE FROM notes WHERE service = ? AND account = ?");
            run_query(connection, query.bind(service).bind(account.cast_signed())).await
        }
        Change::DeleteEquivalents(account) => {
            let query = sqlx::query("DELETE FROM password_equivalents WHERE account = ?");
            run_query(connection, query.bind(account.cast_signed())).await
        }
        Change::PutSigningKey(row) => {
            let query = sqlx::query(
                "INSERT INTO signing_keys (id, purpose, algorithm, pkcs8, state, since) VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (id) DO UPDATE SET state = excluded.state, since = excluded.since",
            );
            let query = query.bind(row.id).bind(row.purpose).bind(row.algorithm).bind(row.pkcs8);
            run_query(connection, query.bind(row.state).bind(row.since)).await
        }
        Change::DeleteSigningKey(id) => {
            run_query(connection, sqlx::query("DELETE FROM signing_keys WHERE id = ?").bind(id)).await
        }
        Change::BindObjects(rows, now) => objects::bind(connection, rows, now).await,
        Change::ClaimObject(row, now) => objects::claim(connection, row, now).await,
        Change::PutObject(row) => objects::put(connection, row).await,
        Change::DeleteObject(api, kind, id) => objects::delete(connection, api, kind, id).await,
        Change::DeleteObjectsOver(before) => objects::delete_over(connection, before).await,
        Change::Audit(row) => {
            let query = "INSERT INTO audit (at, actor, event, object, address) VALUES (?, ?, ?, ?, ?)";
            let query = sqlx::query(query).bind(row.at).bind(row.actor).bind(row.event);
            run_query(connection, query.bind(row.object).bind(row.address)).await
        }
        Change::PutMeta(name, value) => {
            let query = "INSERT INTO meta (name, value) VALUES (?, ?) \
                         ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            run_query(connection, sqlx::query(query).bind(name).bind(value)).await
        }
    }
}

pub(super) type Query<'a> = sqlx::query::Query<'a, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

pub(super) async fn run_query(
    connection: &mut SqliteConnection,
    query: Query<'_>,
) -> Result<(), sqlx::Error> {
    query.execute(connection).await.map(|_| ())
}

fn bind_account(query: Query<'_>, row: AccountRow) -> Query<'_> {
    query
        .bind(row.kind)
        .bind(row.name)
        .bind(row.name_folded)
        .bind(row.subject)
        .bind(row.full_name)
        .bind(row.first_name)
        .bind(row.last_name)
        .bind(row.email)
        .bind(row.tenant)
        .bind(row.roles)
        .bind(row.keys)
        .bind(row.password_hash)
        .bind(row.password_due)
        .bind(row.disabled)
        .bind(row.proofs_from)
        .bind(row.created_at)
        .bind(row.updated_at)
        .bind(row.id)
}

async fn insert_account(connection: &mut SqliteConnection, row: AccountRow) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO accounts (kind, name, name_folded, subject, full_name, first_name, last_name, email, tenant, \
         roles, keys, password_hash, password_due, disabled, proofs_from, created_at, updated_at, id) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    run_query(connection, bind_account(query, row)).await
}

async fn update_account(connection: &mut SqliteConnection, row: AccountRow) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "UPDATE accounts SET kind = ?, name = ?, name_folded = ?, subject = ?, full_name = ?, first_name = ?, \
         last_name = ?, email = ?, tenant = ?, roles = ?, keys = ?, password_hash = ?, password_due = ?, \
         disabled = ?, proofs_from = ?, created_at = ?, updated_at = ? WHERE id = ?",
    );
    let done = bind_account(query, row).execute(connection).await?;
    if done.rows_affected() == 0 { Err(sqlx::Error::RowNotFound) } else { Ok(()) }
}

async fn delete_account(connection: &mut SqliteConnection, id: u64) -> Result<(), sqlx::Error> {
    // Keys, values and password-equivalents go by reference.
    for query in ["DELETE FROM tokens WHERE account = ?", "DELETE FROM accounts WHERE id = ?"] {
        run_query(connection, sqlx::query(query).bind(id.cast_signed())).await?;
    }
    Ok(())
}

async fn put_key(connection: &mut SqliteConnection, row: KeyRow) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO keys (id, digest, api, word, account, label, description, created_at, updated_at, expires_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, \
         label = excluded.label, description = excluded.description, updated_at = excluded.updated_at, \
         expires_at = excluded.expires_at",
    )
    .bind(row.id.to_vec())
    .bind(row.digest.to_vec())
    .bind(row.api.to_string())
    .bind(row.word.to_string())
    .bind(row.account.cast_signed())
    .bind(row.label)
    .bind(row.description)
    .bind(row.created_at)
    .bind(row.updated_at)
    .bind(row.expires_at);
    run_query(connection, query).await
}

fn put_tokens_text(rows: usize) -> String {
    let mut text = String::from(
        "INSERT INTO tokens (digest, api, word, kind, account, issued_at, used_at, idle_secs, ends_at, proven_at, \
         family, spent) VALUES ",
    );
    let row = format!("({})", ["?"; TOKEN_COLUMNS].join(", "));
    text.push_str(&vec![row; rows].join(", "));
    // A successor that two parallel refreshes write is the same row; a spent one stays spent. A proof is only
    // ever replaced by a later one.
    text.push_str(
        " ON CONFLICT (digest) DO UPDATE SET used_at = max(used_at, excluded.used_at), \
         spent = max(spent, excluded.spent), proven_at = max(proven_at, excluded.proven_at)",
    );
    text
}

async fn put_tokens(connection: &mut SqliteConnection, rows: &[TokenRow]) -> Result<(), sqlx::Error> {
    static MANY: LazyLock<String> = LazyLock::new(|| put_tokens_text(ROWS_PER_STATEMENT));
    static ONE: LazyLock<String> = LazyLock::new(|| put_tokens_text(1));
    let full = rows.chunks_exact(ROWS_PER_STATEMENT);
    let rest = full.remainder().chunks(1);
    for chunk in full.chain(rest) {
        let text: &'static str = if chunk.len() == 1 { &ONE } else { &MANY };
        let mut query = sqlx::query(text);
        for row in chunk {
            let Some(kind) = rows::kind_number(row.kind) else {
                return Err(sqlx::Error::Encode("kind of a token that is not kept here".into()));
            };
            query = query
                .bind(row.digest.to_vec())
                .bind(row.api.to_string())
                .bind(row.word.to_string())
                .bind(kind)
                .bind((row.account != 0).then(|| row.account.cast_signed()))
                .bind(row.issued_at)
                .bind(row.used_at)
                .bind(i64::from(row.idle_secs))
                .bind(row.ends_at)
                .bind(row.proven_at)
                .bind(row.family.cast_signed())
                .bind(row.spent);
        }
        run_query(connection, query).await?;
    }
    Ok(())
}

fn touch_tokens_text(rows: usize) -> String {
    let mut text = String::from("WITH uses (digest, at) AS (VALUES ");
    for at in 0..rows {
        let _ = text.write_str(if at == 0 { "(?, ?)" } else { ", (?, ?)" });
    }
    text.push_str(
        ") UPDATE tokens SET used_at = uses.at FROM uses WHERE tokens.digest = uses.digest AND tokens.spent = 0",
    );
    text
}

async fn touch_tokens(
    connection: &mut SqliteConnection,
    uses: &[([u8; 32], i64)],
) -> Result<(), sqlx::Error> {
    for chunk in uses.chunks(ROWS_PER_STATEMENT) {
        let mut query = sqlx::query(AssertSqlSafe(touch_tokens_text(chunk.len())));
        for (digest, at) in chunk {
            query = query.bind(digest.to_vec()).bind(*at);
        }
        run_query(connection, query).await?;
    }
    Ok(())
}
