"""Credits in a SQLite file."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from nexus_bounty.ledger import Audit, JournaledLedger, LedgerCredits, RememberingLedger
from nexus_bounty.ledger.audit import audit
from nexus_bounty.outcomes import PaymentError
from nexus_bounty_sqlite.in_file import InFile
from nexus_bounty_sqlite.ledger_book import SqliteBook


class SqliteCredits(InFile[Any], LedgerCredits, JournaledLedger, RememberingLedger):
    """A `CreditsService` that keeps its double-entry ledger in one file; see `InFile`."""

    refusal = PaymentError

    async def verify(self) -> Audit:
        """Recount the whole journal, and have SQLite check the file itself.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        audited = await self._database.read("verify", _audit)
        damage = await self._database.read("verify", _damage)
        return msgspec.structs.replace(audited, problems=(*audited.problems, *damage))

    def _book(self, connection: sqlite3.Connection) -> SqliteBook:
        return SqliteBook(connection)


def _audit(connection: sqlite3.Connection) -> Audit:
    damaged: list[str] = []
    audited = audit(SqliteBook(connection, damaged))
    return msgspec.structs.replace(audited, problems=(*audited.problems, *damaged))


def _damage(connection: sqlite3.Connection) -> list[str]:
    found = [text for (text,) in connection.execute("PRAGMA integrity_check").fetchall()]
    return [] if found == ["ok"] else found
