"""What an error of SQLite says about the commit, decided in one place.

Before `COMMIT` was issued nothing can have been committed, nor can it be later: the transaction
lives in this connection only, and is rolled back. Of the errors of `COMMIT` itself only those in
`COMMIT_REFUSED` leave the transaction open and undone, as SQLite's documentation says and the
connection confirms. After any other, such as a failed sync, the log may hold the transaction and
a later recovery may bring it to life.
"""

from __future__ import annotations

import sqlite3
from typing import Final, TypeVar

from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    Observation,
    OutcomeError,
    PreCommitError,
    Proof,
)
from nexus_bounty_sqlite.schema import SchemaError

E = TypeVar("E", bound=OutcomeError)

COMMIT_REFUSED: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT}
)
"""Primary result codes with which `COMMIT` is refused and the transaction stays open."""


def before_commit(exc: Exception, refusal: type[PreCommitError], path: str) -> PreCommitError:
    """The error for a transaction that ended before `COMMIT` was issued."""
    evidence = _evidence(Proof.NEVER_SENT, "statement before COMMIT", exc)
    return _advising(exc, refusal(f"{path} refused: {_said(exc)}", evidence=evidence))


def at_commit(
    exc: Exception, refusal: type[PreCommitError], *, undone: bool
) -> PreCommitError | CommitUnknownError:
    """The error for a transaction whose `COMMIT` failed.

    Args:
        exc: What `COMMIT` raised.
        refusal: The pre-commit error of this port.
        undone: Whether the transaction was still open after that and has been rolled back.
    """
    if undone and is_refusal_of_commit(exc):
        evidence = _evidence(Proof.REFUSED, "COMMIT, then ROLLBACK", exc)
        return refusal(f"the file refused to commit: {exc}", evidence=evidence)
    evidence = _evidence(Proof.NONE, "COMMIT", exc)
    return CommitUnknownError(f"no answer to COMMIT: {exc}", evidence=evidence)


def unreadable(exc: Exception, path: str) -> CommitUnknownError:
    """The error for a read that failed: it proves nothing about any commit."""
    evidence = _evidence(Proof.NONE, "read", exc)
    unknown = CommitUnknownError(f"{path} cannot be read: {_said(exc)}", evidence=evidence)
    return _advising(exc, unknown)


def _advising(exc: Exception, error: E) -> E:
    """The error, which tells by itself what to do, so that logs can say it that quote no file."""
    if isinstance(exc, SchemaError):
        error.to_do = str(exc)  # our own words
    return error


def _said(exc: Exception) -> str:
    """What SQLite says, and what it means where that is not said."""
    if _primary_code(exc) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return f"{exc}; the file and its folder must be writable, to read it, too"
    return str(exc)


def is_refusal_of_commit(exc: Exception) -> bool:
    """Whether `COMMIT` failed in a way that leaves the transaction open."""
    return _primary_code(exc) in COMMIT_REFUSED


def is_busy(exc: Exception) -> bool:
    """Whether another connection was in the way."""
    return _primary_code(exc) == sqlite3.SQLITE_BUSY


def _primary_code(exc: Exception) -> int | None:
    code = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _evidence(proof: Proof, action: str, exc: Exception) -> Evidence:
    name = getattr(exc, "sqlite_errorname", None) or type(exc).__name__
    seen = Observation(action=action, target="SQLite", answer=f"{name}: {exc}")
    return Evidence(proof=proof, observations=(seen,))
