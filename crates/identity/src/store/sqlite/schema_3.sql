-- Schema 3: objects of services. Moments are milliseconds since the Unix epoch.

CREATE TABLE objects (
    api       TEXT NOT NULL,
    kind      TEXT NOT NULL,
    id        TEXT NOT NULL,
    owner     TEXT,
    tenant    TEXT,
    random    BLOB NOT NULL,
    reference BLOB NOT NULL UNIQUE,
    ends_at   INTEGER,
    PRIMARY KEY (api, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX objects_end ON objects (ends_at) WHERE ends_at IS NOT NULL;
