-- Schema 1. Moments of tokens are seconds since the Unix epoch, all others milliseconds.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id            INTEGER PRIMARY KEY,
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    name_folded   TEXT NOT NULL,
    subject       TEXT NOT NULL,
    full_name     TEXT NOT NULL,
    first_name    TEXT NOT NULL,
    last_name     TEXT NOT NULL,
    email         TEXT NOT NULL,
    tenant        TEXT,
    roles         TEXT NOT NULL,
    keys          TEXT NOT NULL,
    password_hash TEXT,
    password_due  INTEGER NOT NULL,
    disabled      INTEGER NOT NULL,
    proofs_from   INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    UNIQUE (kind, name_folded),
    UNIQUE (kind, subject)
) STRICT;

-- An ordinary rowid table: the rowid is the order in which tokens are loaded at start. No reference to
-- accounts: a group of rows must not fail because one of its accounts has just gone; such a row opens nothing.
CREATE TABLE tokens (
    digest    BLOB PRIMARY KEY,
    api       TEXT NOT NULL,
    word      TEXT NOT NULL,
    kind      INTEGER NOT NULL,
    account   INTEGER,
    issued_at INTEGER NOT NULL,
    used_at   INTEGER NOT NULL,
    idle_secs INTEGER NOT NULL,
    ends_at   INTEGER,
    proven_at INTEGER NOT NULL,
    family    INTEGER NOT NULL,
    spent     INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_account ON tokens (account) WHERE account IS NOT NULL;

CREATE TABLE keys (
    id          BLOB PRIMARY KEY,
    digest      BLOB NOT NULL UNIQUE,
    api         TEXT NOT NULL,
    word        TEXT NOT NULL,
    account     INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    label       TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    expires_at  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_account ON keys (account);

CREATE TABLE operator_values (
    purpose INTEGER NOT NULL,
    api     TEXT NOT NULL,
    word    TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    mac     BLOB NOT NULL,
    PRIMARY KEY (purpose, api, word, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX operator_values_account ON operator_values (account);

CREATE TABLE signing_keys (
    id        TEXT PRIMARY KEY,
    purpose   TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    pkcs8     BLOB NOT NULL,
    state     TEXT NOT NULL,
    since     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    event   TEXT NOT NULL,
    object  TEXT NOT NULL,
    address TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append only'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append only'); END;
