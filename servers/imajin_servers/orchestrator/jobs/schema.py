"""The tables that jobs are kept in."""

from __future__ import annotations

import sqlite3
from pathlib import Path

VERSION = 1
"""Of the tables; files of another version are refused rather than guessed at."""
SCHEMA = """
CREATE TABLE jobs (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id      TEXT NOT NULL UNIQUE,
    status      INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    request_id  TEXT UNIQUE,
    fingerprint BLOB NOT NULL,
    request     BLOB NOT NULL,
    expires     REAL,
    body        BLOB NOT NULL
);
CREATE INDEX jobs_line ON jobs (status, priority DESC, number);
CREATE INDEX jobs_expiry ON jobs (expires) WHERE expires IS NOT NULL;
CREATE TABLE events (
    job_id   TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    phase    TEXT NOT NULL,
    body     BLOB NOT NULL,
    PRIMARY KEY (job_id, sequence)
) WITHOUT ROWID;
CREATE TABLE images (
    job_id TEXT NOT NULL,
    name   TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (job_id, name)
) WITHOUT ROWID;
CREATE INDEX images_content ON images (sha256);
"""


class WrongTables(Exception):
    """The file was written by another version of imajin, or is not whole."""


def opened(path: Path, *, fresh: bool = True) -> sqlite3.Connection:
    """A connection to the tables at `path`, which are made where there are none and that is `fresh`.

    Raises WrongTables, sqlite3.Error.
    """
    wal = path.with_name(path.name + "-wal")
    settled = path.is_file() and not (wal.is_file() and wal.stat().st_size)
    db = sqlite3.connect(path, isolation_level=None)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        # What is damaged shows only where it is read, and images that no row seems to need would be deleted.
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        (page,) = db.execute("PRAGMA page_size").fetchone()
        if settled and path.stat().st_size % page:
            # SQLite takes what is missing of a page for zeros.
            found = "its last page is cut"
        if found != "ok":
            raise WrongTables(f"{path} is damaged ({found}): bring a copy back, or move the folder away")
        if version == 0 and not fresh:
            raise WrongTables(
                f"{path} is missing or empty, but images of its jobs are there: bring it back, or move them away"
            )
        # Readers of the file (a shell, a backup) never hold up the writer; a commit costs no wait for the disk.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        if version == 0:
            db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
        elif version != VERSION:
            raise WrongTables(f"{path} holds tables of version {version}, this imajin needs {VERSION}")
    except BaseException:
        db.close()
        raise
    return db
