-- The journal, version 1. Times are nanoseconds since the epoch (UTC); digests and commit ids are 32 raw bytes.

-- Tells this journal from any other, also from one made again for the same lake. One row.
CREATE TABLE identity(
  id TEXT NOT NULL
);

CREATE TABLE object(
  id         INTEGER PRIMARY KEY AUTOINCREMENT,   -- ids are marks from which the catalog reads on: none is used twice
  digest     BLOB NOT NULL UNIQUE,
  size       INTEGER NOT NULL,
  format     TEXT NOT NULL,
  state      TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'trash')),
  trashed    INTEGER,                     -- when gc set it aside; NULL: live
  handle     TEXT NOT NULL,               -- the store's name for what holds the bytes
  loc_off    INTEGER NOT NULL,
  loc_len    INTEGER NOT NULL,
  problems   TEXT,                        -- JSON array of sentences
  checksums  TEXT,                        -- JSON object
  chunk_root BLOB                         -- BLAKE3 of the encoded chunk map; NULL: one chunk
);

-- Apart from `object`, so that scans of objects never page through maps.
CREATE TABLE chunk_map(
  object INTEGER PRIMARY KEY REFERENCES object(id),
  body   BLOB NOT NULL
);

-- Objects whose row, damage or state changed after they were registered: what the catalog has to read again.
CREATE TABLE object_change(
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  object INTEGER NOT NULL
);

CREATE TABLE artifact(
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  object INTEGER NOT NULL REFERENCES object(id),
  kind   TEXT NOT NULL,
  code   TEXT NOT NULL,
  inputs TEXT NOT NULL,
  target INTEGER REFERENCES object(id),
  body   BLOB,
  digest BLOB,                            -- BLAKE3 of the body; NULL: the body is an object of its own
  UNIQUE(object, kind, code, inputs)
);
CREATE INDEX artifact_kind ON artifact(kind);
CREATE INDEX artifact_target ON artifact(target, object) WHERE target IS NOT NULL;

-- A child's id is greater than those of its ancestors. Deleted branches stay: others may inherit from them.
CREATE TABLE branch(
  id       INTEGER PRIMARY KEY,
  name     TEXT NOT NULL,
  deleted  INTEGER NOT NULL DEFAULT 0,
  parent   INTEGER REFERENCES branch(id),
  fork_seq INTEGER NOT NULL,
  head_seq INTEGER NOT NULL,
  created  INTEGER NOT NULL
);
CREATE UNIQUE INDEX branch_name ON branch(name) WHERE deleted = 0;

-- What a branch sees of another: its commits up to and including `upto`. Holds a row for the branch itself.
CREATE TABLE ancestry(
  branch   INTEGER NOT NULL,
  ancestor INTEGER NOT NULL,
  upto     INTEGER NOT NULL,
  PRIMARY KEY(branch, ancestor)
) WITHOUT ROWID;

CREATE TABLE commits(
  seq     INTEGER PRIMARY KEY,
  id      BLOB NOT NULL UNIQUE,
  branch  INTEGER NOT NULL REFERENCES branch(id),
  created INTEGER NOT NULL,
  author  TEXT NOT NULL,
  message TEXT NOT NULL,
  changes INTEGER NOT NULL,
  op_id   TEXT UNIQUE
);

CREATE TABLE commit_parent(
  seq    INTEGER NOT NULL,
  ord    INTEGER NOT NULL,
  parent BLOB NOT NULL,
  PRIMARY KEY(seq, ord)
) WITHOUT ROWID;

CREATE TABLE tag(
  name    TEXT PRIMARY KEY,
  branch  INTEGER NOT NULL,
  seq     INTEGER NOT NULL,
  created INTEGER NOT NULL
) WITHOUT ROWID;

-- One version of a path on a branch, seen by commits in [seq, until) of that branch.
CREATE TABLE entry(
  path   TEXT NOT NULL,
  branch INTEGER NOT NULL,
  seq    INTEGER NOT NULL,
  until  INTEGER NOT NULL DEFAULT 9223372036854775807,
  kind   INTEGER NOT NULL,                -- 0 tombstone, 1 file, 2 directory
  object INTEGER,
  size   INTEGER NOT NULL,
  mtime  INTEGER NOT NULL,
  attrs  TEXT,                            -- JSON object, keys sorted
  PRIMARY KEY(path, branch, seq)
) WITHOUT ROWID;
CREATE INDEX entry_seq ON entry(seq);
CREATE INDEX entry_object ON entry(object) WHERE object IS NOT NULL;
CREATE INDEX entry_directory ON entry(path) WHERE kind = 2;

CREATE TABLE damage(
  object INTEGER NOT NULL,
  ord    INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  length INTEGER NOT NULL,
  found  INTEGER NOT NULL,
  PRIMARY KEY(object, ord)
) WITHOUT ROWID;

CREATE TABLE lease(
  id      TEXT PRIMARY KEY,
  owner   TEXT NOT NULL,
  kind    TEXT NOT NULL,
  expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX lease_kind ON lease(kind, expires);

-- Who may do what over the network. A revoked token has no row.
CREATE TABLE token(
  id      TEXT PRIMARY KEY,
  name    TEXT NOT NULL,
  hash    BLOB NOT NULL,                  -- SHA-256 of its secret
  grants  TEXT NOT NULL,                  -- JSON array of objects
  created INTEGER NOT NULL,
  expires INTEGER                         -- NULL: never
) WITHOUT ROWID;

-- What happened, in order: what the log seals. Commits are told by their number, all else by what it needs to be done again.
CREATE TABLE event(
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  seq  INTEGER,                           -- of a commit
  body TEXT                               -- JSON object
);

-- Stored files that gc takes away. A commit may only name a file with a claim if it looked after the file had moved.
CREATE TABLE claim(
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  handle   TEXT NOT NULL UNIQUE,
  size     INTEGER NOT NULL,
  moved    INTEGER NOT NULL DEFAULT 0,    -- 1: the file lies in the trash
  deadline INTEGER NOT NULL               -- when it may be deleted
);

-- The newest claim that is gone because its file was deleted. One row.
CREATE TABLE purge(
  claim INTEGER NOT NULL
);

-- When the check of every object began that has not come to its end. No row or one.
CREATE TABLE scrub_run(
  started INTEGER NOT NULL
);

-- When every byte of an object was last compared with its digest, and what was wrong then.
CREATE TABLE scrub(
  object  INTEGER PRIMARY KEY,
  checked INTEGER NOT NULL,
  problem TEXT                            -- JSON object; NULL: nothing
);

-- Bytes that may lie below a path on one branch; NULL: no such bound.
CREATE TABLE quota(
  prefix TEXT PRIMARY KEY,
  soft   INTEGER,
  hard   INTEGER
) WITHOUT ROWID;

-- Bytes that do, of the branches where anybody asked. Kept by the commits that change them.
CREATE TABLE usage(
  prefix TEXT NOT NULL,
  branch INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  PRIMARY KEY(prefix, branch)
) WITHOUT ROWID;

-- Batches of commits that were let go of: what was read of history before one does not go on after it.
CREATE TABLE expiry(
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  happened INTEGER NOT NULL,
  commits  INTEGER NOT NULL
);

-- Operations whose commits were let go of lately: none of them is done a second time.
CREATE TABLE operation(
  id      TEXT PRIMARY KEY,
  seq     INTEGER NOT NULL,
  expired INTEGER NOT NULL
) WITHOUT ROWID;

-- Small packs of many objects are looked up by their name.
CREATE INDEX object_dead ON object(trashed) WHERE state = 'trash';
CREATE INDEX object_pack ON object(handle) WHERE handle >= 'packs/' AND handle < 'packs0';

-- A second copy of rows that no digest covers: SQLite's integrity check compares both, so that no bit flips unseen.
CREATE INDEX object_copy ON object(format, problems, checksums, size, state, trashed);
CREATE INDEX identity_copy ON identity(id);
CREATE INDEX branch_copy ON branch(name, deleted, parent, fork_seq, head_seq, created);
CREATE INDEX ancestry_copy ON ancestry(upto);
CREATE INDEX tag_copy ON tag(branch, seq, created);
CREATE INDEX token_copy ON token(name, hash, grants, created, expires);
CREATE INDEX damage_copy ON damage(offset, length, found);
CREATE INDEX scrub_copy ON scrub(checked, problem);
CREATE INDEX scrub_run_copy ON scrub_run(started);
CREATE INDEX claim_copy ON claim(handle, size, moved, deadline);
CREATE INDEX purge_copy ON purge(claim);
CREATE INDEX expiry_copy ON expiry(happened, commits);
CREATE INDEX operation_copy ON operation(seq, expired);
CREATE INDEX quota_copy ON quota(soft, hard);
CREATE INDEX usage_copy ON usage(bytes);
CREATE INDEX object_change_copy ON object_change(object);
