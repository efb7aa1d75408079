"""Claims in a SQLite file."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Final

import msgspec

from nexus_bounty.leases import ClaimBook, KeyUse, LeasedClaims
from nexus_bounty.models import Claim
from nexus_bounty.outcomes import PreCommitError
from nexus_bounty_sqlite.documents import understood
from nexus_bounty_sqlite.in_file import InFile
from nexus_bounty_sqlite.times import from_text, to_text

_USE: Final = "SELECT key, fingerprint, claim_id, at FROM claim_keys"


class SqliteClaimStore(InFile[ClaimBook], LeasedClaims):
    """A `ClaimStore` in one file, which may be the one of `SqliteCredits`; see `InFile`."""

    refusal = PreCommitError

    def _book(self, connection: sqlite3.Connection) -> ClaimBook:
        return SqliteClaimBook(connection)


class SqliteClaimBook:
    """A `ClaimBook` on a connection with an open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def claim(self, claim_id: str) -> Claim | None:
        """The claim with this id, or `None`."""
        found = self._claims("SELECT document FROM claims WHERE claim_id = ?", claim_id)
        return found[0] if found else None

    def active(self, target_ref: str | None = None) -> list[Claim]:
        """Claims in status `active`, whatever their lease says."""
        query = "SELECT document FROM claims WHERE status = 'active'"
        if target_ref is None:
            return self._claims(f"{query} ORDER BY created_at")
        return self._claims(f"{query} AND target_ref = ?", target_ref)

    def active_after(self, claim_id: str, limit: int) -> list[Claim]:
        """At most `limit` of them, those with the next ids after `claim_id`."""
        query = "SELECT document FROM claims WHERE status = 'active' AND claim_id > ?"
        return self._claims(f"{query} ORDER BY claim_id LIMIT {limit:d}", claim_id)

    def claims_after(self, claim_id: str, limit: int) -> list[Claim]:
        """At most `limit` claims in whatever status, those with the next ids after `claim_id`."""
        query = "SELECT document FROM claims WHERE claim_id > ?"
        return self._claims(f"{query} ORDER BY claim_id LIMIT {limit:d}", claim_id)

    def drop(self, claim_id: str) -> None:
        """Delete a claim that has ended."""
        self._connection.execute("DELETE FROM claims WHERE claim_id = ?", (claim_id,))

    def save(self, claim: Claim) -> None:
        """Write a claim, new or changed."""
        self._connection.execute(
            """
            INSERT INTO claims (claim_id, target_ref, status, created_at, document)
            VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (claim_id) DO UPDATE
                SET status = excluded.status, document = excluded.document
            """,
            (
                claim.claim_id,
                claim.target_ref,
                claim.status.value,
                to_text(claim.created_at),
                msgspec.json.encode(claim).decode(),
            ),
        )

    def key_use(self, key: str) -> KeyUse | None:
        """What the key was used for, or `None`."""
        found = self._uses(f"{_USE} WHERE key = ?", key)
        return found[0] if found else None

    def key_uses_after(self, key: str, limit: int) -> list[KeyUse]:
        """What the next keys after `key` were used for, at most `limit` of them."""
        return self._uses(f"{_USE} WHERE key > ? ORDER BY key LIMIT {limit:d}", key)

    def remember(self, use: KeyUse, forget_before: datetime) -> None:
        """Keep what a key was used for, and drop what is older than `forget_before`."""
        self._connection.execute("DELETE FROM claim_keys WHERE at < ?", (to_text(forget_before),))
        self._connection.execute(
            "INSERT INTO claim_keys (key, fingerprint, claim_id, at) VALUES (?, ?, ?, ?)",
            (use.key, use.fingerprint, use.claim_id, to_text(use.at)),
        )

    def _uses(self, query: str, *values: str) -> list[KeyUse]:
        return [
            KeyUse(key=key, fingerprint=fingerprint, claim_id=claim_id, at=from_text(at))
            for key, fingerprint, claim_id, at in self._connection.execute(query, values).fetchall()
        ]

    def _claims(self, query: str, *values: str) -> list[Claim]:
        rows = self._connection.execute(query, values).fetchall()
        return [understood(document, Claim) for (document,) in rows]
