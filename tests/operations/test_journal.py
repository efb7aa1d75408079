"""A key stands for one operation, in every process that works with the ledger."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nexus_bounty import CommitUnknownError, IdempotencyMismatchError, PreCommitError
from nexus_bounty.memory import MemoryCredits, MemoryJournal
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.operations.journal import journal_of
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import JournaledOperation
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import EPOCH, wall_clock
from nexus_bounty_sqlite import SqliteCredits
from tests.operations.lives import KEY, claimed, outcome, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    GRACE,
    PRICE,
    Process,
    World,
    a_bounty,
    a_world,
)

DOCUMENT = f"/zones/default/bounties/{BOUNTY_ID}.json"
OTHER = msgspec.structs.replace(a_bounty(), bounty_id="b-2")


async def entry(world: World, key: str = KEY) -> JournaledOperation | None:
    return await world.ledger.find_operation("default", key)


@virtual
async def test_an_operation_is_closed_with_its_outcome() -> None:
    """Done, refused, and still owed."""
    world = await a_world()
    async with world.process() as process:
        await process.operations.create(a_bounty(), idempotency_key=KEY)
        await outcome(process.operations.settle(BOUNTY_ID, CID, idempotency_key="too early"))
    done, refused = await entry(world), await entry(world, "too early")
    assert done is not None
    assert refused is not None
    assert (done.kind, done.bounty_id, done.outcome) == ("create", BOUNTY_ID, "committed")
    assert refused.outcome is Outcome.PRE_COMMIT
    assert "nobody has claimed it" in refused.reason


@virtual
async def test_it_is_written_down_before_the_first_request() -> None:
    """At each request of a create there is an open entry of it."""
    world = await a_world()
    seen: list[bool] = []

    def look(_: Any) -> bool:
        book: Any = world.ledger._book
        found = book.operation("default", KEY)
        seen.append(found is not None and found.is_open)
        return False

    world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch(predicate=look)))
    async with world.process() as process:
        await process.operations.create(a_bounty(), idempotency_key=KEY)
    assert len(seen) > 2
    assert all(seen[:3])  # what is cleaned up later is not the operation's


@pytest.mark.parametrize("process_of_its_own", [False, True])
@virtual
async def test_one_key_is_not_used_for_two_bounties(process_of_its_own: bool) -> None:
    """Nothing is reserved a second time, and the one that it stands for is named."""
    world = await a_world()
    async with world.process() as first, world.process(seed=3) as second:
        await first.operations.create(a_bounty(), idempotency_key=KEY)
        requests = len(world.mock.requests)
        other = second if process_of_its_own else first
        error = await refusal(other.operations.create(OTHER, idempotency_key=KEY))
        assert len(world.mock.requests) == requests
    assert isinstance(error, IdempotencyMismatchError)
    assert error.other is not None
    assert (error.other.kind, error.other.record_id) == ("create", BOUNTY_ID)
    assert error.other.outcome is Outcome.COMMITTED
    assert (await world.ledger.balance("alice")).reserved == PRICE


@virtual
async def test_one_key_is_not_used_for_two_kinds() -> None:
    """In whatever process."""
    world = await a_world()
    async with world.process() as first, world.process(seed=3) as second:
        await first.operations.create(a_bounty(), idempotency_key=KEY)
        requests = len(world.mock.requests)
        for act in (
            second.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY),
            second.operations.cancel(BOUNTY_ID, idempotency_key=KEY),
            second.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY),
        ):
            assert isinstance(await refusal(act), IdempotencyMismatchError)
        assert len(world.mock.requests) == requests


@virtual
async def test_a_key_whose_operation_never_was_is_free() -> None:
    """It was provably refused: other parameters may use it."""
    world = await a_world()
    async with world.process() as process:
        dear = msgspec.structs.replace(OTHER, amount=10**6)
        assert await outcome(process.operations.create(dear, idempotency_key=KEY)) == "pre_commit"
        assert await outcome(process.operations.create(a_bounty(), idempotency_key=KEY)) == (
            "committed"
        )


@virtual
async def test_who_takes_over_the_key_of_a_dead_process_has_its_doubt() -> None:
    """Its claim landed unheard and was released since: no refusal calls it undone."""
    world = await a_world()
    async with world.process() as first:
        await posted(first.operations)
        write = RequestMatch(method="write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.DROP_AFTER, match=write))
        await _die_in(first, first.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
    world.mock.clear_faults()
    doubt = await entry(world)
    assert doubt is not None
    assert doubt.is_open
    async with world.process(seed=3) as second:
        await second.operations.release(BOUNTY_ID, BOB)
        await second.operations.claim(BOUNTY_ID, CAROL)
        again = await outcome(second.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
    assert again in ("post_commit", "committed")
    closed = await entry(world)
    assert closed is not None
    assert closed.outcome in (Outcome.COMMITTED, Outcome.POST_COMMIT)


async def _die_in(process: Process, act: Any) -> None:
    """Run until the document has been written, and not a step further."""
    store: Any = process.operations.services.store
    claim = store.claim_bounty

    async def die(*arguments: Any, **named: Any) -> Any:
        await claim(*arguments, **named)
        raise KeyboardInterrupt

    store.claim_bounty = die
    with pytest.raises(KeyboardInterrupt):
        await act
    store.claim_bounty = claim


@virtual
async def test_the_reconciler_closes_what_the_histories_know() -> None:
    """The commit of a process that died; what nothing tells of stays in doubt."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        await _die_in(process, process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        never = JournaledOperation(
            key="never",
            zone_id="default",
            kind="claim",
            bounty_id=BOUNTY_ID,
            fingerprint="x",
            decided_by="never:claim",
            began_at=wall_clock(),
        )
        await world.ledger.begin_operation(never)
        await world.later()
        report = await Reconciler(process.operations, grace=GRACE).run_once()
    doubt, found = [each for each in report.findings if each.sweep == "open operations"]
    assert (doubt.subject, doubt.repaired) == ("never", None)
    assert (found.subject, found.repaired) == (KEY, "closed: it happened")
    assert [each.key async for each in world.ledger.open_operations("default")] == ["never"]


@virtual
async def test_a_doubt_older_than_the_histories_is_fenced_off() -> None:
    """Nobody has come back for it in a day; now it never will be."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        old = JournaledOperation(
            key="old",
            zone_id="default",
            kind="claim",
            bounty_id=BOUNTY_ID,
            fingerprint="x",
            decided_by="old:claim",
            began_at=EPOCH - timedelta(days=2),
        )
        await world.ledger.begin_operation(old)
        await world.later()
        await Reconciler(process.operations, grace=GRACE).run_once()
        history = await process.operations.services.store.get_history(BOUNTY_ID)
    closed = await entry(world, "old")
    assert closed is not None
    assert closed.outcome is Outcome.PRE_COMMIT
    assert [each.aborted for each in history if each.key == "old:claim"] == [True]


@pytest.mark.parametrize("dry_run", [False, True])
@virtual
async def test_a_doubt_that_no_history_names_is_reported_and_not_fenced(dry_run: bool) -> None:
    """From the grace time on; whoever repeats it with its key may still make it happen."""
    world = await a_world()
    async with world.process(impatient=True) as process:
        await posted(process.operations)
        writes = RequestMatch(method="write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=writes, times=None))
        act = process.operations.cancel
        assert await outcome(act(BOUNTY_ID, idempotency_key=KEY)) == "unknown"
        world.mock.clear_faults()
        reconciler = Reconciler(process.operations, grace=GRACE, dry_run=dry_run)
        assert (await reconciler.run_once()).found == 0  # it may still be running
        await world.later()
        applied = len(world.mock.log)
        (left,) = (await reconciler.run_once()).left
        assert (left.subject, left.sweep) == (KEY, "open operations")
        assert "in doubt" in (left.left or "")
        assert len(world.mock.log) == applied
        assert await outcome(act(BOUNTY_ID, idempotency_key=KEY)) == "committed"
        assert (await reconciler.run_once()).found == 0


@virtual
async def test_an_unknown_operation_stays_open_with_its_reason() -> None:
    """Until a repeat with the key closes it."""
    world = await a_world()
    async with world.process(impatient=True) as process:
        await posted(process.operations)
        writes = RequestMatch(method="write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=writes, times=None))
        act = process.operations.cancel
        assert await outcome(act(BOUNTY_ID, idempotency_key=KEY)) == "unknown"
        (doubt,) = [each async for each in world.ledger.open_operations("default")]
        assert doubt.key == KEY
        assert doubt.reason
        world.mock.clear_faults()
        assert await outcome(act(BOUNTY_ID, idempotency_key=KEY)) == "committed"
    assert [each async for each in world.ledger.open_operations("default")] == []


@pytest.mark.parametrize("error", [CommitUnknownError, PreCommitError])
@virtual
async def test_what_cannot_be_written_down_is_not_done(error: type[Exception]) -> None:
    """No money, nothing written, and with a key of its own a refusal that says so.

    What is said of a key that was given is in `test_given_keys`.
    """
    world = await a_world()
    async with world.process() as process:
        journal: Any = process.operations.services.journal

        async def down(_: JournaledOperation) -> None:
            raise error("the disk is full")

        journal.begin_operation = down
        given = await refusal(process.operations.create(a_bounty(), idempotency_key=KEY))
        asked = len(world.mock.requests)
        refused = await refusal(process.operations.create(a_bounty()))
    assert isinstance(given, CommitUnknownError)
    assert isinstance(refused, PreCommitError)
    assert len(world.mock.requests) == asked
    assert not world.mock.log
    assert (await world.ledger.balance("alice")).reserved == 0


@virtual
async def test_an_outcome_that_cannot_be_noted_stands(caplog: pytest.LogCaptureFixture) -> None:
    """It is only said."""
    world = await a_world()
    async with world.process() as process:
        journal: Any = process.operations.services.journal

        async def down(*_: Any) -> None:
            raise CommitUnknownError("the disk is full")

        journal.end_operation = down
        await process.operations.create(a_bounty(), idempotency_key=KEY)
    assert "stays open in the journal" in caplog.text


async def test_a_file_keeps_it_from_process_to_process(tmp_path: Path) -> None:
    """With the same rules as in memory."""
    made = JournaledOperation(
        key="k",
        zone_id="z",
        kind="claim",
        bounty_id="b",
        fingerprint="f",
        decided_by="k:claim",
        actor="alice",
        began_at=EPOCH,
    )
    for ledger in (SqliteCredits(tmp_path / "ledger.db"), MemoryCredits()):
        async with ledger:
            assert await ledger.begin_operation(made) is None
            other_zone = msgspec.structs.replace(made, zone_id="y", bounty_id="c")
            assert await ledger.begin_operation(other_zone) is None
            with pytest.raises(IdempotencyMismatchError):
                await ledger.begin_operation(msgspec.structs.replace(made, fingerprint="g"))
            assert await ledger.begin_operation(made) == made
            later = msgspec.structs.replace(made, key="k2", began_at=EPOCH + timedelta(seconds=1))
            await ledger.begin_operation(later)
            assert [each.key async for each in ledger.open_operations("z")] == ["k", "k2"]
            await ledger.end_operation("z", "k", None, "nobody knows")
            found = await ledger.find_operation("z", "k")
            assert found is not None
            assert (found.is_open, found.reason, found.calls) == (True, "nobody knows", 2)
            await ledger.end_operation("z", "k", Outcome.COMMITTED, "")
            await ledger.end_operation("z", "k", Outcome.PRE_COMMIT, "no")  # too late
            found = await ledger.find_operation("z", "k")
            assert found is not None
            assert found.outcome is Outcome.COMMITTED
            assert [each.key async for each in ledger.open_operations("z")] == ["k2"]
            future = wall_future()
            assert await ledger.forget_operations("z", future) == 1
            assert await ledger.find_operation("z", "k") is None
            assert await ledger.find_operation("y", "k") is not None


def wall_future() -> Any:
    from nexus_bounty.models import utc_now

    return utc_now() + timedelta(days=1)


async def test_many_doubts_are_listed_a_page_at_a_time(tmp_path: Path) -> None:
    """None is left out or told twice, the oldest first."""
    async with SqliteCredits(tmp_path / "ledger.db") as ledger:
        keys = [f"k-{number:03}" for number in range(450)]
        for number, key in enumerate(keys):
            await ledger.begin_operation(
                JournaledOperation(
                    key=key,
                    zone_id="z",
                    kind="claim",
                    bounty_id="b",
                    fingerprint="f",
                    decided_by="d",
                    began_at=EPOCH + timedelta(seconds=number // 3),
                )
            )
        assert [each.key async for each in ledger.open_operations("z")] == keys


def test_a_ledger_without_a_journal_leaves_it_to_the_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And says so."""
    caplog.set_level("INFO")
    journal = journal_of(object(), wall_clock)  # type: ignore[arg-type]
    assert isinstance(journal, MemoryJournal)
    assert "keeps no journal" in caplog.text


@virtual
async def test_claims_of_a_zone_are_written_down_for_its_own_bounties() -> None:
    """A repeat of what is done is answered without another entry."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="claim")
    found = await entry(world, "claim")
    assert found is not None
    assert found.calls == 2
