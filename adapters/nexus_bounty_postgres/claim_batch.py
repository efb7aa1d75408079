"""The claims that the calls of one transaction are about: read once, changed, written once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg

from nexus_bounty.leases import ClaimScope, KeyUse
from nexus_bounty.models import Claim, ClaimStatus
from nexus_bounty.transactions import Announced
from nexus_bounty_postgres.rows import moment, moment_of, understood
from nexus_bounty_postgres.script import RowLocks, Rows, Script, columns

_CLAIM: Final = "SELECT document FROM nexus_bounty.claims"
_USE: Final = f"""
    SELECT key, fingerprint, claim_id, {moment("at")} FROM nexus_bounty.claim_keys
"""  # noqa: S608 - made of what stands here


class ClaimBatch:
    """A `ClaimBook`: what was announced is in memory, the rest is read when it is asked for.

    Claims that are there are locked in the order of their ids. Of two transactions that make one
    active on the same target at once, the second is refused by the index, and tried again.
    """

    def __init__(self, connection: psycopg.Connection[Any], *, locking: bool = True) -> None:
        self._connection = connection
        self._lock = " FOR UPDATE" if locking else ""
        self._scopes: list[ClaimScope] = []
        self._statements: dict[str, int] = {}
        self._targets: set[str] = set()
        self._stored: set[str] = set()
        self._claims: dict[str, Claim | None] = {}
        self._uses: dict[str, KeyUse | None] = {}
        self._saved: dict[str, Claim] = {}
        self._dropped: list[str] = []
        self._remembered: dict[str, KeyUse] = {}
        self._forget_before: datetime | None = None
        self.changes = 0

    def announce(self, work: Any) -> None:
        """Take in what a call may read and change."""
        if isinstance(work, Announced):
            self._scopes.append(work.scope)

    def foresee(self) -> bool:
        """Nothing is: what becomes of a claim depends on who holds the target."""
        return False

    def closing_as_foreseen(self, script: Script, marker: str, wait: str) -> bool:  # noqa: ARG002 - as a `Batch`
        """Never asked for."""
        return False

    def keep_in_mind(self) -> None:
        """Nothing is."""

    def opening(self, script: Script, locks: RowLocks) -> None:
        """Add the statements that read all of it, and lock it."""
        names, targets, keys = self._all("claims"), self._all("targets"), self._all("keys")
        if names or targets:
            query = f"""
                {_CLAIM} WHERE claim_id = ANY(%s::text[])
                OR (status = 'active' AND target_ref = ANY(%s::text[])) ORDER BY claim_id
            """
            lock = " FOR UPDATE" if locks else ""
            self._statements["claims"] = script.add(f"{query}{lock}", names, targets)
        if keys:
            self._statements["keys"] = script.add(f"{_USE} WHERE key = ANY(%s::text[])", keys)

    def take_in(self, found: list[Rows]) -> None:
        """Keep what they found."""
        rows = {name: found[number] for name, number in self._statements.items()}
        self._targets = set(self._all("targets"))
        self._claims = dict.fromkeys(self._all("claims"))
        self._keep(rows.get("claims", ()))
        self._uses = dict.fromkeys(self._all("keys"))
        self._uses |= {row[0]: _use(row) for row in rows.get("keys", ())}

    def closing(self, script: Script) -> None:
        """Add the statements that write what has changed."""
        if self._dropped:
            script.add(
                "DELETE FROM nexus_bounty.claims WHERE claim_id = ANY(%s::text[])", self._dropped
            )
        old = [each for name, each in sorted(self._saved.items()) if name in self._stored]
        new = [each for name, each in sorted(self._saved.items()) if name not in self._stored]
        if old:  # first, so that a target is free before another claim takes it
            script.add(_UPDATE, *columns([_row(each) for each in old], 5))
        if new:
            script.add(_INSERT, *columns([_row(each) for each in new], 5))
        if self._remembered:
            script.add("DELETE FROM nexus_bounty.claim_keys WHERE at < %s", self._forget_before)
            uses = [self._remembered[key] for key in sorted(self._remembered)]
            rows = [(each.key, each.fingerprint, each.claim_id, each.at) for each in uses]
            script.add(_REMEMBER, *columns(rows, 4))

    def claim(self, claim_id: str) -> Claim | None:
        """The claim with this id, or `None`."""
        if claim_id not in self._claims:
            self._claims[claim_id] = None
            self._fetch(f"{_CLAIM} WHERE claim_id = %s{self._lock}", claim_id)
        return self._claims[claim_id]

    def active(self, target_ref: str | None = None) -> list[Claim]:
        """Claims in status `active`, whatever their lease says."""
        if target_ref is None:
            query = f"{_CLAIM} WHERE status = 'active' ORDER BY claim_id{self._lock}"
            self._fetch(query)
        elif target_ref not in self._targets:
            query = f"{_CLAIM} WHERE status = 'active' AND target_ref = %s{self._lock}"
            self._fetch(query, target_ref)
        found = [
            each
            for each in self._claims.values()
            if each is not None
            and each.status is ClaimStatus.ACTIVE
            and target_ref in (None, each.target_ref)
        ]
        return sorted(found, key=lambda each: each.created_at)

    def active_after(self, claim_id: str, limit: int) -> list[Claim]:
        """At most `limit` of them, those with the next ids after `claim_id`."""
        query = f"{_CLAIM} WHERE status = 'active' AND claim_id > %s ORDER BY claim_id LIMIT %s"
        return self._fetch(query, claim_id, limit)

    def claims_after(self, claim_id: str, limit: int) -> list[Claim]:
        """At most `limit` claims in whatever status, those with the next ids after `claim_id`."""
        query = f"{_CLAIM} WHERE claim_id > %s ORDER BY claim_id LIMIT %s{self._lock}"
        return self._fetch(query, claim_id, limit)

    def drop(self, claim_id: str) -> None:
        """Delete a claim that has ended."""
        self.changes += 1
        self._dropped.append(claim_id)

    def save(self, claim: Claim) -> None:
        """Write a claim, new or changed."""
        self.changes += 1
        self._claims[claim.claim_id] = self._saved[claim.claim_id] = claim

    def key_use(self, key: str) -> KeyUse | None:
        """What the key was used for, or `None`."""
        return self._uses.get(key)

    def key_uses_after(self, key: str, limit: int) -> list[KeyUse]:
        """What the next keys after `key` were used for, at most `limit` of them."""
        query = f"{_USE} WHERE key > %s ORDER BY key LIMIT %s".encode()
        return [_use(row) for row in self._connection.execute(query, [key, limit]).fetchall()]

    def remember(self, use: KeyUse, forget_before: datetime) -> None:
        """Keep what a key was used for, and drop what is older than `forget_before`."""
        self.changes += 1
        self._uses[use.key] = self._remembered[use.key] = use
        self._forget_before = forget_before

    def _all(self, part: str) -> list[str]:
        return sorted({name for scope in self._scopes for name in getattr(scope, part)})

    def _fetch(self, query: str, *values: Any) -> list[Claim]:
        return self._keep(self._connection.execute(query.encode(), values).fetchall())

    def _keep(self, rows: Iterable[tuple[Any, ...]]) -> list[Claim]:
        """What the rows say, unless it was changed in this transaction."""
        found = []
        for (document,) in rows:
            read = understood(document, Claim)
            self._stored.add(read.claim_id)
            found.append(self._saved.get(read.claim_id, read))
            self._claims[read.claim_id] = found[-1]
        return found


_INSERT: Final = """
    INSERT INTO nexus_bounty.claims (claim_id, target_ref, status, created_at, document)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[])
"""
_UPDATE: Final = """
    UPDATE nexus_bounty.claims AS old SET status = new.status, document = new.document
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[])
        AS new (claim_id, target_ref, status, created_at, document)
    WHERE old.claim_id = new.claim_id
"""
_REMEMBER: Final = """
    INSERT INTO nexus_bounty.claim_keys (key, fingerprint, claim_id, at)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[])
"""


def _use(row: tuple[Any, ...]) -> KeyUse:
    key, fingerprint, claim_id, at = row
    return KeyUse(key=key, fingerprint=fingerprint, claim_id=claim_id, at=moment_of(at))


def _row(claim: Claim) -> tuple[Any, ...]:
    document = msgspec.json.encode(claim).decode()
    return claim.claim_id, claim.target_ref, claim.status.value, claim.created_at, document
