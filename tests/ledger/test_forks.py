"""What was opened before a fork refuses at once in the forked process, and never hangs there.

The threads are not there, and the connections are the first process's: it goes on with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nexus_bounty_postgres import PostgresClaimStore, PostgresCredits
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits
from tests.support.forks import in_a_fork

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

Call = Callable[[Any], Awaitable[object]]
OF_CREDITS: dict[str, Call] = {
    "balance": lambda credit: credit.balance("alice"),
    "top_up": lambda credit: credit.top_up("t", account="alice", amount=1),
    "verify": lambda credit: credit.verify(),
    "open": lambda credit: credit.__aenter__(),
}
OF_CLAIMS: dict[str, Call] = {
    "list_claims": lambda claims: claims.list_claims(),
    "release": lambda claims: claims.release("c-1"),
}


def all_refused(opened: Any, calls: dict[str, Call]) -> None:
    """Each call in a process of its own; closing is no refusal, and does nothing."""
    first = next(iter(calls.values()))
    with asyncio.Runner() as runner:

        async def begin() -> None:
            await first(opened)

        runner.run(begin())
        for name, call in calls.items():
            said = in_a_fork(lambda call=call: asyncio.run(call(opened)))
            assert "before a fork" in said, f"{name}: {said}"
        assert in_a_fork(lambda: asyncio.run(opened.close())) == "None"
        runner.run(begin())
        runner.run(opened.close())


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_a_ledger_from_before_a_fork_refuses_whatever_is_asked(
    tmp_path: Path, postgres_url: str, place: str
) -> None:
    """Its audit and its opening too; closing it does not wait for threads that are not there."""
    file = tmp_path / "ledger.db"
    all_refused(
        SqliteCredits(file) if place == "sqlite" else PostgresCredits(postgres_url), OF_CREDITS
    )


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_claims_from_before_a_fork_refuse_whatever_is_asked(
    tmp_path: Path, postgres_url: str, place: str
) -> None:
    """As ledgers do."""
    file = tmp_path / "claims.db"
    opened = SqliteClaimStore(file) if place == "sqlite" else PostgresClaimStore(postgres_url)
    all_refused(opened, OF_CLAIMS)
