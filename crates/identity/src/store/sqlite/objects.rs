//! Objects in SQLite.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::rows::bytes;
use super::writer::{Query, run_query};
use crate::store::ObjectRow;

type Written = Result<(), sqlx::Error>;

pub(super) async fn find(
    pool: SqlitePool,
    api: String,
    kind: String,
    id: String,
) -> Result<Option<ObjectRow>, sqlx::Error> {
    sqlx::query(
        "SELECT api, kind, id, owner, tenant, random, reference, ends_at FROM objects \
         WHERE api = ? AND kind = ? AND id = ?",
    )
    .bind(api)
    .bind(kind)
    .bind(id)
    .try_map(row)
    .fetch_optional(&pool)
    .await
}

pub(super) async fn find_reference(
    pool: SqlitePool,
    digest: [u8; 32],
) -> Result<Option<ObjectRow>, sqlx::Error> {
    sqlx::query(
        "SELECT api, kind, id, owner, tenant, random, reference, ends_at FROM objects WHERE reference = ?",
    )
    .bind(digest.to_vec())
    .try_map(row)
    .fetch_optional(&pool)
    .await
}

fn row(row: SqliteRow) -> Result<ObjectRow, sqlx::Error> {
    Ok(ObjectRow {
        api: row.try_get(0)?,
        kind: row.try_get(1)?,
        id: row.try_get(2)?,
        owner: row.try_get(3)?,
        tenant: row.try_get(4)?,
        random: bytes(&row, 5)?,
        reference: bytes(&row, 6)?,
        ends_at: row.try_get(7)?,
    })
}

/// New rows; one that is there stays as it is, unless it is over.
pub(super) async fn bind(connection: &mut SqliteConnection, rows: Vec<ObjectRow>, now: i64) -> Written {
    for row in rows {
        let query = sqlx::query(
            "INSERT INTO objects (api, kind, id, owner, tenant, random, reference, ends_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (api, kind, id) DO UPDATE SET owner = excluded.owner, \
             tenant = excluded.tenant, random = excluded.random, reference = excluded.reference, \
             ends_at = excluded.ends_at WHERE objects.ends_at <= ?",
        );
        run_query(connection, bound(query, row).bind(now)).await?;
    }
    Ok(())
}

/// Another owner; a row that is there keeps its reference.
pub(super) async fn put(connection: &mut SqliteConnection, row: ObjectRow) -> Written {
    let query = sqlx::query(
        "INSERT INTO objects (api, kind, id, owner, tenant, random, reference, ends_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (api, kind, id) DO UPDATE SET owner = excluded.owner, \
         tenant = excluded.tenant, ends_at = excluded.ends_at",
    );
    run_query(connection, bound(query, row)).await
}

/// An owner for a row that has none and is not over.
pub(super) async fn claim(connection: &mut SqliteConnection, row: ObjectRow, now: i64) -> Written {
    let query = sqlx::query(
        "UPDATE objects SET owner = ?, tenant = ?, ends_at = NULL WHERE api = ? AND kind = ? AND id = ? \
         AND owner IS NULL AND (ends_at IS NULL OR ends_at > ?)",
    );
    let query = query.bind(row.owner).bind(row.tenant).bind(row.api).bind(row.kind).bind(row.id);
    run_query(connection, query.bind(now)).await
}

pub(super) async fn delete(
    connection: &mut SqliteConnection,
    api: String,
    kind: String,
    id: String,
) -> Written {
    let query = sqlx::query("DELETE FROM objects WHERE api = ? AND kind = ? AND id = ?");
    run_query(connection, query.bind(api).bind(kind).bind(id)).await
}

pub(super) async fn delete_over(connection: &mut SqliteConnection, before: i64) -> Written {
    run_query(connection, sqlx::query("DELETE FROM objects WHERE ends_at <= ?").bind(before)).await
}

fn bound(query: Query<'_>, row: ObjectRow) -> Query<'_> {
    query
        .bind(row.api)
        .bind(row.kind)
        .bind(row.id)
        .bind(row.owner)
        .bind(row.tenant)
        .bind(row.random.to_vec())
        .bind(row.reference.to_vec())
        .bind(row.ends_at)
}
