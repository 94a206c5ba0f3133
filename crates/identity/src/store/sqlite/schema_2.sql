-- Schema 2. Password-equivalents of accounts that opted in to a weaker scheme; a row is the switch. What is sealed
-- opens with a key that is not in this file.

CREATE TABLE password_equivalents (
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    scheme  TEXT NOT NULL,
    sealed  BLOB NOT NULL,
    PRIMARY KEY (account, scheme)
) STRICT, WITHOUT ROWID;
