"""What an error of PostgreSQL or of the network says about the commit, decided in one place.

A transaction whose `COMMIT` was never sent cannot be committed, now or later: the server undoes it
when its connection ends. An error that the *server* reports while the connection stays open means
that the transaction is undone: `COMMIT` comes last, and what precedes it failed. Everything else
after `COMMIT` was sent is ambiguous, and resolved (see `resolution`).
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import psycopg

from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    Observation,
    OutcomeError,
    PreCommitError,
    Proof,
)
from nexus_bounty_postgres.schema import SCHEMA, TablesError

E = TypeVar("E", bound=OutcomeError)

TRY_AGAIN: Final = frozenset(
    {
        "23505",  # another transaction was first with an id: it is found the next time
        "40001",  # what was read has changed before it was locked
        "40P01",  # deadlock
    }
)
"""SQLSTATEs after which the same transaction may well come through at once."""
NO_OVERDRAFT: Final = "no_overdraft"
"""Who foresaw credits of an account that nobody has heard of yet is to read what there is."""

_MOVE: Final = "make a database with ENCODING 'UTF8', and move there by `nexus-bounty ledger copy`"
_WHAT_TO_DO: Final = {
    "22P05": f"the database's own encoding has no sign for it; {_MOVE}",
    "22021": f"another program wrote what is no text in UTF-8; mend it, or {_MOVE}",
    "25006": "write to the primary (target_session_attrs=read-write in the URL), or reset "
    "default_transaction_read_only",
    "25P04": "raise transaction_timeout for this role, or reset it",
    "42501": f"grant this user USAGE on the schema {SCHEMA} and on its sequences, SELECT, INSERT, "
    "UPDATE and DELETE on its tables, and EXECUTE on its functions",
    "57014": "where nobody has cancelled it, raise statement_timeout for this role",
}
"""By SQLSTATE: what a server that is set up otherwise than was thought of is to be told."""


def is_answered(exc: psycopg.Error, connection: psycopg.Connection[Any]) -> bool:
    """Whether the server itself refused, and goes on: then the transaction is undone."""
    return exc.sqlstate is not None and not connection.closed


def is_worth_repeating(exc: Exception) -> bool:
    """Whether a transaction that is undone for this reason is to be tried again."""
    if isinstance(exc, psycopg.errors.CheckViolation):
        return exc.diag.constraint_name == NO_OVERDRAFT
    return getattr(exc, "sqlstate", None) in TRY_AGAIN


def tells_what_to_do(exc: Exception) -> bool:
    """Whether it is to be told of rather than that a connection was lost."""
    return bool(_to_do(exc))


def never_committed(exc: Exception, refusal: type[PreCommitError], place: str) -> PreCommitError:
    """The error for a transaction that was not committed and is undone."""
    refused = isinstance(exc, psycopg.Error) and exc.sqlstate is not None
    proof = Proof.REFUSED if refused else Proof.NEVER_SENT
    return _advising(
        exc,
        refusal(
            f"PostgreSQL at {place} did not commit, nothing has changed: {_said(exc)}",
            evidence=_evidence(proof, "transaction", exc),
        ),
    )


def unknown(exc: Exception, place: str, why: str) -> CommitUnknownError:
    """The error for a transaction of which nobody can say whether it was committed."""
    return _advising(
        exc,
        CommitUnknownError(
            f"no answer to COMMIT from PostgreSQL at {place} ({_said(exc)}), and {why}: "
            "ask again with the same id",
            evidence=_evidence(Proof.NONE, "COMMIT", exc),
        ),
    )


def unreadable(exc: Exception, place: str) -> CommitUnknownError:
    """The error for a read that failed: it proves nothing about any commit."""
    return _advising(
        exc,
        CommitUnknownError(
            f"PostgreSQL at {place} cannot be read: {_said(exc)}",
            evidence=_evidence(Proof.NONE, "read", exc),
        ),
    )


def _advising(exc: Exception, error: E) -> E:
    """The error, which tells by itself what to do, so that logs can say it that quote no server."""
    error.to_do = _to_do(exc)
    return error


def _to_do(exc: Exception) -> str:
    """What whoever keeps the server or this program is to do about it, where that is known."""
    if isinstance(exc, TablesError):
        return exc.to_do
    return _WHAT_TO_DO.get(getattr(exc, "sqlstate", None) or "", "")


def _said(exc: Exception) -> str:
    """The first line, and what to do: the rest shows statements, which say nothing to a user."""
    said = str(exc).strip().partition("\n")[0] or type(exc).__name__
    to_do = "" if isinstance(exc, TablesError) else _to_do(exc)  # that one says it itself
    return f"{said}: {to_do}" if to_do else said


def _evidence(proof: Proof, action: str, exc: Exception) -> Evidence:
    code = getattr(exc, "sqlstate", None) or type(exc).__name__
    seen = Observation(action=action, target="PostgreSQL", answer=f"{code}: {_said(exc)}")
    return Evidence(proof=proof, observations=(seen,))
