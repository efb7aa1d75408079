"""`reconcile --watch` that is started again goes on from what the one before it has seen."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

from benchmarks.harness import population
from nexus_bounty.mock import MockNexus
from nexus_bounty_sqlite import SqliteCredits
from tests.cli.program import started
from tests.reconcile.test_closed_days import ended

LEFTOVERS = ("staged", "commits", "contents")
"""Where each process looks once an hour for what is not needed any more."""
ENDED = 200
OF_THE_ZONE = 1
"""What else a process looks at in its first run."""


async def fill(mock: MockNexus, credit: SqliteCredits) -> None:
    """A zone in which much has ended long ago."""
    async with credit:
        await credit.top_up("funds", account=population.CREATOR.agent_id, amount=10**6)
        for record in ended(ENDED):
            population.put(mock, "default", record, by_date=True)
            await population.escrow(credit, record)


def a_life(mock: MockNexus, environment: dict[str, str], runs: int) -> list[int]:
    """The requests of each run of the command until it is stopped, leftovers aside."""
    costs, before = [], len(mock.requests)
    watching = ["reconcile", "--watch", "--every", "1s", "--json"]
    with started(*watching, env=environment) as process:
        assert process.stdout is not None
        for _ in range(runs):
            process.stdout.readline()
            asked = [each.path or "" for each in mock.requests[before:]]
            before += len(asked)
            costs.append(sum(not each.endswith(LEFTOVERS) for each in asked))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    return costs


async def goes_on_warm(mock: MockNexus, environment: dict[str, str]) -> None:
    environment |= {"NEXUS_LAYOUT": "dated", "NEXUS_PAGE_SIZE": "40", "NEXUS_BULK_SIZE": "20"}
    cold, *_, usual = a_life(mock, environment, 3)
    (again,) = a_life(mock, environment, 1)
    assert again <= usual + OF_THE_ZONE
    assert cold > 2 * usual


async def test_with_a_ledger_in_sqlite_the_next_life_is_warm(
    mock: MockNexus, environment: dict[str, str], tmp_path: Path
) -> None:
    """What was seen is in the file; without that, all is seen again."""
    await fill(mock, SqliteCredits(tmp_path / "ledger.db"))
    await goes_on_warm(mock, environment)
    with sqlite3.connect(tmp_path / "ledger.db") as file:
        file.execute("DELETE FROM range_memories")
    file.close()
    forgotten, usual = a_life(mock, environment, 2)
    assert forgotten > 2 * usual
