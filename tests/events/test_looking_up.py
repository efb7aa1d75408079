"""What others have found out, looked up: of the right zone, once, and as far as it can be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random

import pytest

from nexus_bounty import (
    BountyOperations,
    CommitUnknownError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    Outcome,
    events,
)
from nexus_bounty.events import DoubtCause, tracking
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.operations import explaining
from nexus_bounty.ports import JournaledOperation
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import wall_clock
from tests.events.support import DOCUMENT, IMPATIENT, a_mock
from tests.events.test_doubts_end import Doubts, silence_after_write, tried
from tests.operations import operation_trials
from tests.operations.lives import case_of
from tests.operations.operation_trials import KEY
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, GRACE, Process, a_bounty, a_world

HOUR = timedelta(hours=1).total_seconds()


@asynccontextmanager
async def operations_in(
    zone_id: str, mock: MockNexus, ledger: MemoryCredits, url: str = IMPATIENT.url
) -> AsyncIterator[BountyOperations]:
    """Operations in a zone, whose bounty is posted."""
    settings = IMPATIENT.model_copy(update={"zone_id": zone_id, "url": url})
    transport = mock.transport()
    async with NexusClient(settings=settings, transport=transport, random=Random(1)) as client:
        operations = BountyOperations(
            NexusBountyStore(client, commit="conditional", clock=wall_clock),
            credits=ledger,
            claims=NexusClaimStore(client, commit="conditional", clock=wall_clock),
            contributions=MemoryContributionStore([]),
            clock=wall_clock,
        )
        await operations.create(a_bounty())
        yield operations


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another process", "this process"])
@virtual
async def test_a_doubt_is_that_of_its_zone_whatever_another_zone_does_with_its_key(
    elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bounty, key and ledger: only the zone tells the two apart."""
    mock, ledger, heard = a_mock(), MemoryCredits(clock=wall_clock), Doubts()
    await ledger.top_up("t", account="alice", amount=10_000)
    async with (
        operations_in("prod", mock, ledger) as prod,
        operations_in("staging", mock, ledger) as staging,
    ):
        with events.register(heard):
            silence_after_write_in(mock, "prod")
            with pytest.raises(CommitUnknownError):
                await prod.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
            mock.clear_faults()
            with monkeypatch.context() as patched:
                if elsewhere:
                    patched.setattr(tracking, "_doubts", tracking._Doubts())
                await staging.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
            assert await staging.look_up_doubts() == 0
            assert heard.of(events.DoubtResolved) == []
            assert heard.open == {the_claim(IMPATIENT.url, "prod")}
            await prod.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
            assert heard.open == set()
            assert {each.operation.zone_id for each in heard if each.operation} == {
                "prod",
                "staging",
            }


def the_claim(server: str, zone_id: str) -> events.Identity:
    return events.Identity(events.Place(server, zone_id), "operations", "claim", BOUNTY_ID, KEY)


@virtual
async def test_zones_of_one_name_on_two_servers_are_two(caplog: pytest.LogCaptureFixture) -> None:
    """The same zone, bounty and key: what became of the one ends no doubt about the other."""
    here, there = "http://here:2026", "http://there:2026"
    ours, theirs = a_mock(), a_mock()
    ledgers = [MemoryCredits(clock=wall_clock), MemoryCredits(clock=wall_clock)]
    for each in ledgers:
        await each.top_up("t", account="alice", amount=10_000)
    heard = Doubts()
    async with (
        operations_in("default", ours, ledgers[0], here + "/") as one,
        operations_in("default", theirs, ledgers[1], there) as other,
    ):
        with events.register(heard):
            silence_after_write_in(ours, "default")
            with pytest.raises(CommitUnknownError):
                await one.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
            ours.clear_faults()
            await other.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
            assert await other.look_up_doubts() == 0
            assert heard.of(events.DoubtResolved) == []
            assert heard.open == {the_claim(here, "default")}
            await one.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
    assert heard.open == set()
    assert {each.operation.server for each in heard if each.operation} == {here, there}
    (doubt,) = (each for each in caplog.records if "may have happened" in each.getMessage())
    assert (doubt.__dict__["server"], doubt.__dict__["zone_id"]) == (here, "default")


def silence_after_write_in(mock: MockNexus, zone_id: str) -> None:
    """A write of the zone's bounty gets lost, and nothing is read there after it."""
    in_zone = f"/zones/{zone_id}/bounties/{BOUNTY_ID}.json"
    mock.inject(
        Fault(FaultKind.DROP_AFTER, match=RequestMatch("write", in_zone), times=None),
        Fault(
            FaultKind.DROP_BEFORE,
            match=RequestMatch(
                "read",
                in_zone,
                predicate=lambda _: any(each.method == "write" for each in mock.log),
            ),
            times=None,
        ),
    )


@virtual
async def test_a_doubt_that_several_find_out_at_the_same_time_is_told_to_end_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two look-ups beside a repeat, while the journal is slow to answer."""
    world, heard, case = await a_world(), Doubts(), case_of("cancel")
    await operation_trials.prepare(world, case)
    silence_after_write(world, DOCUMENT)
    async with world.process(impatient=True) as process:
        with events.register(heard):
            await tried(case.act(process.operations))
            world.mock.clear_faults()
            with monkeypatch.context() as elsewhere:
                elsewhere.setattr(tracking, "_doubts", tracking._Doubts())
                async with world.process(seed=9) as other:
                    await case.act(other.operations)
            heard.clear()
            slow_down(process)
            looked_up = await asyncio.gather(
                process.operations.look_up_doubts(),
                process.operations.look_up_doubts(),
                case.act(process.operations),
            )
    assert len(heard.of(events.DoubtResolved)) == 1
    assert sum(each for each in looked_up if isinstance(each, int)) <= 1


def slow_down(process: Process) -> None:
    find = process.credits.ledger.find_operation

    async def find_late(zone_id: str, key: str) -> JournaledOperation | None:
        found = await find(zone_id, key)
        await asyncio.sleep(1)
        return found

    process.credits.find_operation = find_late  # type: ignore[attr-defined]


@asynccontextmanager
async def many_doubts(number: int) -> AsyncIterator[tuple[Process, Doubts]]:
    """As many doubts as that, all of which somebody else has found out."""
    world, heard = await a_world(), Doubts()
    async with world.process() as process:
        journal = process.operations.services.journal
        for index in range(number):
            entry = JournaledOperation(
                key=f"k-{index}",
                zone_id="default",
                kind="cancel",
                bounty_id=BOUNTY_ID,
                fingerprint="f",
                decided_by=f"k-{index}:cancel",
                began_at=wall_clock(),
            )
            await journal.begin_operation(entry)
            await journal.end_operation("default", entry.key, Outcome.COMMITTED, "")
            info = events.OperationInfo(
                index,
                "operations",
                "cancel",
                entry.key,
                BOUNTY_ID,
                "default",
                server=process.operations.services.place.server,
            )
            tracking._doubts.begin(info, 0.0)
        with events.register(heard):
            yield process, heard


class Journal:
    """Finds operations, but for some keys, and counts who asks at the same time."""

    def __init__(self, process: Process, *lost: str) -> None:
        self._find = process.credits.ledger.find_operation
        self.lost = lost
        self.asked = 0
        self.now = 0
        self.most = 0
        process.credits.find_operation = self.find  # type: ignore[attr-defined]

    async def find(self, zone_id: str, key: str) -> JournaledOperation | None:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(1)
        self.now -= 1
        if key in self.lost:
            raise CommitUnknownError("the answer was lost")
        return await self._find(zone_id, key)


@virtual
async def test_an_entry_that_cannot_be_read_stops_none_of_the_others() -> None:
    async with many_doubts(25) as (process, heard):
        journal = Journal(process, "k-3")
        with pytest.raises(CommitUnknownError):
            await process.operations.look_up_doubts()
        assert len(heard.of(events.DoubtResolved)) == 24
        assert journal.most == explaining.LOOKED_UP_AT_ONCE
        journal.lost = ()
        assert await process.operations.look_up_doubts() == 1
        assert await process.operations.look_up_doubts() == 0
    assert journal.asked == 26


@virtual
async def test_a_journal_that_does_not_answer_at_all_is_not_asked_for_everything() -> None:
    async with many_doubts(25) as (process, heard):
        journal = Journal(process, *(f"k-{index}" for index in range(25)))
        with pytest.raises(CommitUnknownError):
            await process.operations.look_up_doubts()
        assert journal.asked == explaining.LOOKED_UP_AT_ONCE
    assert heard.of(events.DoubtResolved) == []


@virtual
async def test_what_was_called_on_a_store_is_in_doubt_until_the_store_is_asked() -> None:
    """It is in no journal: neither a reconciler nor looking it up ends that."""
    world, heard = await a_world(), Doubts()
    await operation_trials.prepare(world, case_of("cancel"))
    silence_after_write(world, DOCUMENT)
    async with world.process(impatient=True) as process:
        store = process.operations.services.store
        with events.register(heard):
            with pytest.raises(CommitUnknownError):
                await store.cancel_bounty(BOUNTY_ID, idempotency_key=KEY)
            world.mock.clear_faults()
            await asyncio.sleep(2 * HOUR)
            await Reconciler(process.operations, grace=GRACE).run_until_clean()
            assert await process.operations.look_up_doubts() == 0
            assert heard.open == {
                events.Identity(events.Place(IMPATIENT.url, "default"), "store", "", BOUNTY_ID, KEY)
            }
            await store.resolve_operation(BOUNTY_ID, KEY)
    assert heard.open == set()
    assert heard.of(events.DoubtResolved)[-1].cause is DoubtCause.ASKED


@virtual
async def test_the_oldest_doubt_is_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking, "MOST_DOUBTS", 1)
    async with many_doubts(2) as (process, heard):
        assert await process.operations.look_up_doubts() == 1
    told = heard.the(events.DoubtResolved).operation
    assert told
    assert told.key == "k-1"
