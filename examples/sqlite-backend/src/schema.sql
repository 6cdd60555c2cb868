-- Everything but the bytes of blobs and uploads, which are files.

-- Repositories that have or had a manifest.
CREATE TABLE repositories (
    name TEXT PRIMARY KEY
) STRICT;
-- The order of the catalog: a slash before every other character of a name.
CREATE UNIQUE INDEX repositories_in_order ON repositories (replace(name, '/', ' '));

-- Small (4 MiB are the most that clients push), so that a push is one transaction.
CREATE TABLE manifests (
    repository TEXT NOT NULL REFERENCES repositories (name),
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes BLOB NOT NULL,
    subject TEXT,
    PRIMARY KEY (repository, digest)
) STRICT;
CREATE INDEX manifests_by_subject ON manifests (repository, subject, digest);

CREATE TABLE tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, digest) REFERENCES manifests ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_manifest ON tags (repository, digest);

-- One file each, `blobs/<algorithm>/<hex>`, however many repositories have it.
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL
) STRICT;
CREATE TABLE repository_blobs (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_blobs_by_digest ON repository_blobs (digest);

-- The first `position` bytes of `uploads/<id>` are synced, and hashed into `hash_state`.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    position INTEGER NOT NULL DEFAULT 0,
    algorithm TEXT NOT NULL,
    hash_state BLOB NOT NULL,
    changed_at INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT;

PRAGMA user_version = 1;
