"""A copy that is in use is not written to any more: nothing there is undone by a copy repeated."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from nexus_bounty.ledger import copy_ledger
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.outcomes import Outcome, PaymentError
from nexus_bounty.ports import JOURNAL_KEPT, Assignment, JournaledOperation
from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_sqlite import SqliteCredits
from tests.support.ledgers import lived
from tests.support.postgres import new_database

BOB = Assignment(payee="bob", work="w-bob", key="s-bob")
CAROL = Assignment(payee="carol", work="w-carol", key="s-carol")
IN_SHORT = [("sqlite", "postgres"), ("memory", "memory")]
BESIDES = [("postgres", "sqlite"), ("sqlite", "sqlite")]
WAYS = [
    *(pytest.param(way, id="-to-".join(way)) for way in IN_SHORT),
    *(pytest.param(way, id="-to-".join(way), marks=pytest.mark.thorough) for way in BESIDES),
]
Act = Callable[[Any], Awaitable[Any]]


@pytest.fixture(params=WAYS)
async def places(request, tmp_path, clock):
    """A ledger with credits held and operations under way, and an empty one."""
    async with AsyncExitStack() as stack:

        async def opened(kind: str, name: str) -> Any:
            made: Any = MemoryCredits(clock=clock)
            if kind == "sqlite":
                made = SqliteCredits(tmp_path / name, clock=clock)
            if kind == "postgres":
                server = request.getfixturevalue("postgres_server")
                made = PostgresCredits(stack.enter_context(new_database(server)), clock=clock)
            return await stack.enter_async_context(made)

        source, target = [await opened(kind, f"{n}.db") for n, kind in enumerate(request.param)]
        await lived(source)  # r2 is held, and to be paid to nobody yet
        await source.reserve("due", account="alice", amount=5)
        await source.assign("due", BOB)
        await source.begin_operation(operation("open", clock()))
        await source.begin_operation(operation("refused", clock()))
        await source.end_operation("z", "refused", Outcome.PRE_COMMIT, "no")
        clock.advance(JOURNAL_KEPT / 1000)
        yield source, target


def operation(key: str, began_at: Any) -> JournaledOperation:
    return JournaledOperation(
        key=key,
        zone_id="z",
        kind="settle",
        bounty_id="b",
        fingerprint="f",
        decided_by=key,
        began_at=began_at,
    )


async def begin(ledger: Any, key: str) -> None:
    await ledger.begin_operation(operation(key, ledger._clock()))


def end(key: str, outcome: Outcome) -> Act:
    return lambda ledger: ledger.end_operation("z", key, outcome, "so it ended")


MOVED: dict[str, Act] = {
    "topped up": lambda ledger: ledger.top_up("t2", account="dan", amount=1),
    "transferred": lambda ledger: ledger.transfer(
        "x2", from_account="bob", to_account="dan", amount=1
    ),
    "reserved": lambda ledger: ledger.reserve("r9", account="alice", amount=1),
    "assigned": lambda ledger: ledger.assign("r2", Assignment(payee="bob", work="w-2", key="s-2")),
    "captured": lambda ledger: ledger.capture("due", to_account="bob", work="w-bob"),
    "voided": lambda ledger: ledger.void("r2"),
    "begun": lambda ledger: begin(ledger, "another"),
    "begun again": lambda ledger: begin(ledger, "open"),
    "reopened": lambda ledger: begin(ledger, "refused"),
    "committed": end("open", Outcome.COMMITTED),
    "ended": end("open", Outcome.PRE_COMMIT),
    "in doubt": lambda ledger: ledger.end_operation("z", "open", None, "no answer"),
}
UNDONE: dict[str, Act] = {
    "reassigned": lambda ledger: ledger.assign("due", CAROL, replacing=BOB.key),
    "rescued": lambda ledger: ledger.rescue("due", to_account=None, because="lost"),
    "rescued for another": lambda ledger: ledger.rescue("due", to_account="dan", because="lost"),
}
"""What takes off record who was to be paid: which place did it last, nobody can tell."""


async def everything(ledger: Any) -> tuple[Any, ...]:
    movements = [each async for page in ledger.movements() for each in page]
    operations = [each async for page in ledger.operations() for each in page]
    return movements, operations


@pytest.mark.parametrize("later", ["nothing", "went on, too"])
@pytest.mark.parametrize("act", MOVED | UNDONE)
async def test_a_copy_that_moved_on_is_left_as_it_is_and_told(places, clock, act, later):
    """Whatever was done there, alone or although the old place went on, too."""
    source, target = places
    assert (await copy_ledger(source, target)).ok
    await (MOVED | UNDONE)[act](target)
    if later == "went on, too":
        await begin(source, "elsewhere")
        await source.assign("r2", CAROL)
        await source.transfer("x3", from_account="bob", to_account="carol", amount=1)
    before = await everything(target)
    copied = await copy_ledger(source, target)
    assert await everything(target) == before
    assert (copied.ok, copied.went_on, copied.copied, copied.operations) == (False, True, 0, 0)
    assert copied.problems


@pytest.mark.parametrize("act", MOVED)
async def test_what_the_source_does_meanwhile_is_copied_as_before(places, act):
    """A copy is made while everything runs, and the rest of it afterwards."""
    source, target = places
    assert (await copy_ledger(source, target)).ok
    await MOVED[act](source)
    copied = await copy_ledger(source, target)
    assert (copied.ok, copied.went_on) == (True, False), copied.problems
    assert (await everything(target))[1] == (await everything(source))[1]


@pytest.mark.parametrize("act", UNDONE)
async def test_a_payee_on_record_in_the_copy_is_told_rather_than_replaced(places, act):
    """It may be the copy that is right: a copy to a new database has what the source has."""
    source, target = places
    await copy_ledger(source, target)
    await UNDONE[act](source)
    before = await everything(target)
    copied = await copy_ledger(source, target)
    assert (copied.ok, copied.went_on) == (False, True)
    assert await everything(target) == before
    fresh = MemoryCredits(clock=source._clock)
    assert (await copy_ledger(source, fresh)).ok


@pytest.mark.parametrize("act", ["assigned", "reopened", "committed"])
async def test_what_moves_on_while_it_is_copied_is_not_undone(places, monkeypatch, act):
    """It had not when the copy looked: each step sees for itself."""
    source, target = places
    await copy_ledger(source, target)
    await begin(source, "open")
    await source.assign("r2", CAROL)
    take_over = target.take_over

    async def late(*args: Any) -> Any:
        await MOVED[act](target)
        return await take_over(*args)

    monkeypatch.setattr(target, "take_over", late)
    copied = await copy_ledger(source, target)
    assert (copied.ok, copied.went_on) == (False, True)
    found = {each.key: each async for page in target.operations() for each in page}
    if act == "assigned":
        assert (await target.get_reservation("r2")).assignment.payee == "bob"
    if act == "reopened":
        assert found["refused"].is_open
    if act == "committed":
        assert found["open"].outcome is Outcome.COMMITTED


async def test_what_the_source_forgot_for_its_age_is_not_the_copys_own(places, clock):
    """Each place drops old operations by itself."""
    source, target = places
    await copy_ledger(source, target)
    clock.advance(2 * JOURNAL_KEPT)
    await source.forget_operations("z", clock() - JOURNAL_KEPT)
    assert (await copy_ledger(source, target)).ok


async def test_an_empty_ledger_that_is_in_use_does_not_become_a_copy(places):
    """Somebody works with it already, under its own name."""
    source, target = places
    await begin(target, "early")
    before = await everything(target)
    with pytest.raises(PaymentError, match="use a new database"):
        await copy_ledger(source, target)
    assert await everything(target) == before
