"""What is in the file, and what the file itself forbids.

The constraints and triggers hold for every program that opens the file, this one included: no
user account goes below zero, balances change by journal entries only, the journal is never
rewritten, a reservation ends once, and a target has one active claim.

A file is made by the statements of every version in order, and a file of an earlier version by
those that it lacks: so both have the same tables.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

APPLICATION_ID: Final = 0x4E58424C  # "NXBL"
OLDEST_SQLITE: Final = (3, 37)
"""The first release with strict tables."""


class SchemaError(sqlite3.DatabaseError):
    """The file, or this machine's SQLite, cannot be used."""


_LEDGER: Final = (
    """
    CREATE TABLE accounts (
        name TEXT PRIMARY KEY,
        balance INTEGER NOT NULL DEFAULT 0,
        CONSTRAINT no_overdraft CHECK (balance >= 0 OR name = 'system:mint')
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE entries (
        entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL
            CHECK (kind IN ('top_up', 'transfer', 'reserve', 'capture', 'void', 'expire')),
        source_id TEXT NOT NULL,
        debit TEXT NOT NULL,
        credit TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991),
        at TEXT NOT NULL,
        memo TEXT NOT NULL,
        CHECK (debit <> credit)
    ) STRICT
    """,
    "CREATE INDEX entries_by_source ON entries (source_id)",
    "CREATE INDEX entries_by_debit ON entries (debit)",
    "CREATE INDEX entries_by_credit ON entries (credit)",
    """
    CREATE UNIQUE INDEX one_move_per_transfer ON entries (source_id)
        WHERE kind IN ('top_up', 'transfer')
    """,
    "CREATE UNIQUE INDEX one_start_per_reservation ON entries (source_id) WHERE kind = 'reserve'",
    """
    CREATE UNIQUE INDEX one_end_per_reservation ON entries (source_id)
        WHERE kind IN ('capture', 'void', 'expire')
    """,
    """
    CREATE TRIGGER entries_change_balances AFTER INSERT ON entries BEGIN
        INSERT OR IGNORE INTO accounts (name) VALUES (NEW.debit), (NEW.credit);
        UPDATE accounts SET balance = balance - NEW.amount WHERE name = NEW.debit;
        UPDATE accounts SET balance = balance + NEW.amount WHERE name = NEW.credit;
    END
    """,
    """
    CREATE TRIGGER entries_are_never_changed BEFORE UPDATE ON entries BEGIN
        SELECT RAISE(ABORT, 'the journal is only ever appended to');
    END
    """,
    """
    CREATE TRIGGER entries_are_never_deleted BEFORE DELETE ON entries BEGIN
        SELECT RAISE(ABORT, 'the journal is only ever appended to');
    END
    """,
    """
    CREATE TABLE reservations (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        reservation_id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991),
        status TEXT NOT NULL CHECK (status IN ('held', 'captured', 'voided', 'expired')),
        reference TEXT NOT NULL,
        captured_to TEXT,
        expires_at TEXT,
        created_at TEXT NOT NULL,
        CHECK ((status = 'captured') = (captured_to IS NOT NULL))
    ) STRICT
    """,
    "CREATE INDEX reservations_by_status ON reservations (status)",
    """
    CREATE INDEX reservations_by_expiry ON reservations (expires_at)
        WHERE status = 'held' AND expires_at IS NOT NULL
    """,
    """
    CREATE TRIGGER reservations_end_once BEFORE UPDATE ON reservations
        WHEN OLD.status <> 'held' BEGIN
        SELECT RAISE(ABORT, 'a reservation ends once');
    END
    """,
    """
    CREATE TRIGGER reservations_are_never_deleted BEFORE DELETE ON reservations BEGIN
        SELECT RAISE(ABORT, 'reservations are kept');
    END
    """,
)

_CLAIMS: Final = (
    """
    CREATE TABLE claims (
        claim_id TEXT PRIMARY KEY,
        target_ref TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('active', 'released', 'expired', 'completed')),
        created_at TEXT NOT NULL,
        document TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE UNIQUE INDEX one_active_claim_per_target ON claims (target_ref)
        WHERE status = 'active'
    """,
    """
    CREATE TABLE claim_keys (
        key TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        claim_id TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX claim_keys_by_age ON claim_keys (at)",
)


_ASSIGNMENTS: Final = (
    "ALTER TABLE reservations ADD COLUMN payee TEXT",
    "ALTER TABLE reservations ADD COLUMN work TEXT",
    """
    ALTER TABLE reservations ADD COLUMN settlement_key TEXT
        CHECK ((payee IS NULL) = (work IS NULL) AND (payee IS NULL) = (settlement_key IS NULL))
    """,
    "CREATE INDEX reservations_by_work ON reservations (work) WHERE work IS NOT NULL",
    """
    CREATE TRIGGER the_payee_on_record_is_paid BEFORE UPDATE ON reservations
        WHEN NEW.status = 'captured' AND NEW.payee <> NEW.captured_to BEGIN
        SELECT RAISE(ABORT, 'another payee is on record');
    END
    """,
)

_IDENTITY: Final = (
    "CREATE TABLE ledger (identity TEXT NOT NULL) STRICT",
    "INSERT INTO ledger (identity) VALUES (new_identity())",
    """
    CREATE TRIGGER a_ledger_stays_itself BEFORE UPDATE ON ledger BEGIN
        SELECT RAISE(ABORT, 'bounties name their ledger by this');
    END
    """,
)

_OPERATIONS: Final = (
    """
    CREATE TABLE operations (
        zone_id TEXT NOT NULL,
        key TEXT NOT NULL,
        began_at TEXT NOT NULL,
        ended_at TEXT,
        document TEXT NOT NULL,
        PRIMARY KEY (zone_id, key)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE INDEX operations_in_doubt ON operations (zone_id, began_at, key)
        WHERE ended_at IS NULL
    """,
    "CREATE INDEX operations_by_age ON operations (zone_id, ended_at) WHERE ended_at IS NOT NULL",
)

_FEWER_PAGES: Final = (
    # Each index is a page more for each commit to write; three that are unique find a source, too.
    "DROP INDEX entries_by_source",
)

_RANGE_MEMORIES: Final = (
    """
    CREATE TABLE range_memories (
        zone_id TEXT NOT NULL,
        name TEXT NOT NULL,
        memory TEXT NOT NULL,
        PRIMARY KEY (zone_id, name)
    ) STRICT, WITHOUT ROWID
    """,
)

VERSIONS: Final[Mapping[int, Sequence[str]]] = {
    1: (*_LEDGER, *_CLAIMS),
    2: (*_ASSIGNMENTS, *_IDENTITY, *_OPERATIONS),
    3: _FEWER_PAGES,
    4: _RANGE_MEMORIES,
}
"""What each version of the schema adds to the one before."""
SCHEMA_VERSION: Final = max(VERSIONS)


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file, or bring those of an earlier release up to date.

    Raises:
        SchemaError: The file belongs to a later release or to another program.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise SchemaError(f"SQLite {sqlite3.sqlite_version} is too old, {needed} is needed")
    if _version(connection) == SCHEMA_VERSION:
        return
    # Two processes may get here at once: the one that comes second finds the tables made.
    connection.execute("BEGIN IMMEDIATE")
    _upgrade(connection, _version(connection))
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    connection.create_function("new_identity", 0, lambda: f"sqlite-{uuid.uuid4().hex[:16]}")
    for later in range(version + 1, SCHEMA_VERSION + 1):
        for statement in VERSIONS[later]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {later}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _version(connection: sqlite3.Connection) -> int:
    """The version of the file's schema; 0 if it is empty."""
    version, owner, tables = connection.execute(
        """
        SELECT (SELECT user_version FROM pragma_user_version),
               (SELECT application_id FROM pragma_application_id),
               (SELECT count(*) FROM sqlite_master)
        """
    ).fetchone()
    if (version, owner, tables) == (0, 0, 0):
        return 0
    if owner != APPLICATION_ID:
        raise SchemaError("the file is a database of another program")
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"the file has schema {version}, this release knows up to {SCHEMA_VERSION}: "
            "upgrade nexus-bounty"
        )
    return int(version)
