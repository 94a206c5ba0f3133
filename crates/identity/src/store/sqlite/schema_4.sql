-- Schema 4. What named services keep about accounts.

CREATE TABLE notes (
    service TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    text    TEXT NOT NULL,
    PRIMARY KEY (service, account)
) STRICT, WITHOUT ROWID;
