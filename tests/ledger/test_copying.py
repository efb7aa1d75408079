"""A copy of a ledger is the same ledger."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from nexus_bounty.ledger import copy_ledger
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.outcomes import Outcome, PaymentError
from nexus_bounty.ports import Assignment, JournaledOperation
from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_sqlite import SqliteCredits
from tests.support.ledgers import lived

HOUR = timedelta(hours=1)


@pytest.fixture
async def source(path, clock):
    async with SqliteCredits(path, clock=clock) as ledger:
        await lived(ledger)
        await ledger.reserve("r3", account="alice", amount=5, timeout=HOUR)
        await ledger.reserve("r4", account="alice", amount=6)
        await ledger.assign("r2", Assignment(payee="bob", work="cid-2", key="s-2"))
        await ledger.assign("r4", Assignment(payee="bob", work="cid-4", key="s-4"))
        await ledger.capture("r4", to_account="bob", work="cid-4")
        await ledger.reserve("r5", account="alice", amount=7)
        await ledger.void("r5")
        clock.advance(2 * HOUR)
        for number in range(3):
            await ledger.begin_operation(_operation(number))
        await ledger.end_operation("z", "k0", Outcome.COMMITTED, "done")
        yield ledger


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def target(request, tmp_path, clock):
    made: Any = MemoryCredits(clock=clock)
    if request.param == "sqlite":
        made = SqliteCredits(tmp_path / "copy.db", clock=clock)
    if request.param == "postgres":
        made = PostgresCredits(request.getfixturevalue("postgres_url"), clock=clock)
    async with made as ledger:
        yield ledger


def _operation(number: int) -> JournaledOperation:
    return JournaledOperation(
        key=f"k{number}",
        zone_id="z",
        kind="claim",
        bounty_id="b",
        fingerprint="f",
        decided_by=f"k{number}",
    )


async def _all(ledger: Any) -> tuple[Any, ...]:
    entries = [str(each) async for each in ledger.history()]
    reservations = [each async for each in ledger.reservations()]
    operations = [each async for page in ledger.operations() for each in page]
    return entries, reservations, operations, await ledger.sums(), await ledger.identity()


async def test_a_copy_has_everything_and_is_the_same_ledger(source, target):
    """Movements, reservations with their payees, operations, and the name that bounties know."""
    copied = await copy_ledger(source, target)
    assert copied.ok, copied.problems
    assert copied.copied == copied.entries == 11
    assert copied.operations == 3
    assert await _all(target) == await _all(source)


async def test_pages_of_another_size_are_no_difference(source, target):
    """A page may end where a number is still being written, in one place and not in the other."""
    movements = source.movements

    async def short() -> AsyncIterator[Any]:
        async for page in movements():
            yield page[:3]
            yield page[3:]

    source.movements = short
    copied = await copy_ledger(source, target)
    assert copied.ok, copied.problems
    assert copied.copied == copied.entries == 11


async def test_a_copy_can_be_repeated_and_carried_on(source, target):
    """What is there is passed over; what has come since is added."""
    await copy_ledger(source, target)
    again = await copy_ledger(source, target)
    assert (again.ok, again.copied, again.operations) == (True, 0, 0)
    await source.capture("r2", to_account="bob", work="cid-2")
    await source.end_operation("z", "k1", Outcome.COMMITTED, "done")
    rest = await copy_ledger(source, target)
    assert (rest.ok, rest.copied, rest.operations) == (True, 1, 1)
    assert await _all(target) == await _all(source)


async def test_a_copy_that_is_cut_short_is_carried_on(source, target):
    """Half of it is there already."""
    page = await anext(source.movements())
    assert await target.take_over(await source.identity(), page[:5]) == 5
    copied = await copy_ledger(source, target)
    assert (copied.ok, copied.copied) == (True, 6)


async def test_another_ledger_is_never_written_to(source, target):
    """It has movements of its own, under another name."""
    await target.top_up("own", account="carol", amount=1)
    with pytest.raises(PaymentError, match="movements of its own"):
        await copy_ledger(source, target)
    assert await target.total() == 1


async def test_a_copy_that_went_its_own_way_is_told(source, target):
    """Both were worked on: the copy is not called the same."""
    await copy_ledger(source, target)
    await target.void("r2", despite="s-2")
    copied = await copy_ledger(source, target)
    assert not copied.ok
    assert any("movements" in each for each in copied.problems)
