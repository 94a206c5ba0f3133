//! From SQLite's rows to ours.

use std::sync::Arc;

use countersign_auth::token::TokenKind;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::equivalents::WeakerScheme;
use crate::store::{
    AuditRow, EquivalentRow, KeyRow, NoteRow, SigningKeyRow, TokenRow, ValuePurpose, ValueRow,
};

type Read<T> = Result<T, sqlx::Error>;

/// The names of the last row: a page of tokens names the same few APIs and words over and over.
#[derive(Default)]
pub(super) struct Names {
    last: Vec<Arc<str>>,
}

/// So few that searching them is quicker than hashing.
const NAMES_MAX: usize = 16;

impl Names {
    pub(super) fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.last.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        if self.last.len() < NAMES_MAX {
            self.last.push(Arc::clone(&name));
        }
        name
    }
}

pub(super) fn kind_number(kind: TokenKind) -> Option<i64> {
    match kind {
        TokenKind::Session => Some(0),
        TokenKind::Access => Some(1),
        TokenKind::Refresh => Some(2),
        TokenKind::Key | TokenKind::Shared | TokenKind::Jwt => None,
    }
}

pub(super) fn kind_of(number: i64) -> Option<TokenKind> {
    match number {
        0 => Some(TokenKind::Session),
        1 => Some(TokenKind::Access),
        2 => Some(TokenKind::Refresh),
        _ => None,
    }
}

fn wrong(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(what.to_owned().into())
}

pub(super) fn bytes<const N: usize>(row: &SqliteRow, at: usize) -> Read<[u8; N]> {
    let bytes: &[u8] = row.try_get(at)?;
    bytes.try_into().map_err(|_| wrong("length of a digest"))
}

fn number<T: TryFrom<i64>>(row: &SqliteRow, at: usize) -> Read<T> {
    T::try_from(row.try_get(at)?).map_err(|_| wrong("number out of range"))
}

pub(super) fn token(row: &SqliteRow, names: &mut Names) -> Read<TokenRow> {
    let account: Option<i64> = row.try_get(4)?;
    let family: i64 = row.try_get(10)?;
    Ok(TokenRow {
        digest: bytes(row, 0)?,
        api: names.share(row.try_get(1)?),
        word: names.share(row.try_get(2)?),
        kind: kind_of(row.try_get(3)?).ok_or_else(|| wrong("kind of a token"))?,
        account: account.map_or(0, i64::cast_unsigned),
        issued_at: row.try_get(5)?,
        used_at: row.try_get(6)?,
        idle_secs: number(row, 7)?,
        ends_at: row.try_get(8)?,
        proven_at: row.try_get(9)?,
        family: family.cast_unsigned(),
        spent: row.try_get(11)?,
    })
}

pub(super) fn key(row: SqliteRow) -> Read<KeyRow> {
    let account: i64 = row.try_get(4)?;
    Ok(KeyRow {
        id: bytes(&row, 0)?,
        digest: bytes(&row, 1)?,
        api: Arc::from(row.try_get::<&str, _>(2)?),
        word: Arc::from(row.try_get::<&str, _>(3)?),
        account: account.cast_unsigned(),
        label: row.try_get(5)?,
        description: row.try_get(6)?,
        created_at: row.try_get(7)?,
        updated_at: row.try_get(8)?,
        expires_at: row.try_get(9)?,
    })
}

pub(super) fn purpose_number(purpose: ValuePurpose) -> i64 {
    match purpose {
        ValuePurpose::Shared => 0,
        ValuePurpose::Application => 1,
        ValuePurpose::Directory => 2,
    }
}

pub(super) fn note(row: SqliteRow) -> Read<NoteRow> {
    let account: i64 = row.try_get(1)?;
    Ok(NoteRow { service: row.try_get(0)?, account: account.cast_unsigned(), text: row.try_get(2)? })
}

pub(super) fn equivalent(row: SqliteRow) -> Read<EquivalentRow> {
    let account: i64 = row.try_get(0)?;
    let scheme =
        WeakerScheme::named(row.try_get(1)?).ok_or_else(|| wrong("scheme of a password-equivalent"))?;
    Ok(EquivalentRow { account: account.cast_unsigned(), scheme, sealed: row.try_get(2)? })
}

pub(super) fn value(row: SqliteRow) -> Read<ValueRow> {
    let purpose = match row.try_get::<i64, _>(0)? {
        0 => ValuePurpose::Shared,
        1 => ValuePurpose::Application,
        2 => ValuePurpose::Directory,
        _ => return Err(wrong("purpose of a value")),
    };
    let account: i64 = row.try_get(3)?;
    Ok(ValueRow {
        purpose,
        api: row.try_get(1)?,
        word: row.try_get(2)?,
        account: account.cast_unsigned(),
        mac: bytes(&row, 4)?,
    })
}

pub(super) fn signing_key(row: SqliteRow) -> Read<SigningKeyRow> {
    Ok(SigningKeyRow {
        id: row.try_get(0)?,
        purpose: row.try_get(1)?,
        algorithm: row.try_get(2)?,
        pkcs8: row.try_get(3)?,
        state: row.try_get(4)?,
        since: row.try_get(5)?,
    })
}

pub(super) fn audit(row: SqliteRow) -> Read<AuditRow> {
    Ok(AuditRow {
        at: row.try_get(0)?,
        actor: row.try_get(1)?,
        event: row.try_get(2)?,
        object: row.try_get(3)?,
        address: row.try_get(4)?,
    })
}
