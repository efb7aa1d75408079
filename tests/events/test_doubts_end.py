"""Whatever is told to be in doubt is told to be over, too: by a repeat, a question or a sweep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from fnmatch import fnmatchcase

import pytest

from nexus_bounty import CommitUnknownError, NexusSettings, Outcome, OutcomeError, events
from nexus_bounty.events import DoubtCause, tracking
from nexus_bounty.idempotency import RETENTION
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.operations.explaining import clues_to, made_definite
from nexus_bounty.operations.steps import OperationKind
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import run
from tests.events.support import DOCUMENT, Heard
from tests.operations import operation_trials
from tests.operations.lives import case_of
from tests.operations.operation_trials import CASES, KEY, Case
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, GRACE, LedgerFault, Process, World, a_world

HOUR = timedelta(hours=1)
PLACE = events.Place(NexusSettings().url, "default")


def the_doubt(case: Case) -> events.Identity:
    """Of the operation itself, and of none of its steps."""
    name = case.name.partition("_")[0]
    return events.Identity(PLACE, "operations", name, BOUNTY_ID, KEY)


class Doubts(Heard):
    """What is in doubt, as an observer reckons it by the documentation."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: set[events.Identity] = set()
        self.open: set[events.Identity] = set()

    def __call__(self, event: events.Event) -> None:
        super().__call__(event)
        operation = event.operation
        if operation is None:
            return
        doubt = operation.identity
        if isinstance(event, events.OutcomeUnknown):
            self.begun.add(doubt)
            self.open.add(doubt)
        elif isinstance(event, events.DoubtResolved):
            self.open.discard(doubt)


def silence(world: World, request: int) -> None:
    """Nobody hears anything of this request, which arrives, or of any after it."""
    first = world.mock.oracle.received_total + request

    def later(_request: ReceivedRequest) -> bool:
        return world.mock.oracle.received_total > first

    at_first = Fault(FaultKind.DROP_AFTER, at=first)
    world.mock.inject(
        at_first, Fault(FaultKind.DROP_BEFORE, match=RequestMatch(predicate=later), times=None)
    )


def silence_after_write(world: World, path: str) -> None:
    """A write of `path` arrives, and nobody hears anything of it, or of any request after it."""

    def written() -> int:
        return sum(fnmatchcase(each.path, path) for each in world.mock.log)

    def later(_request: ReceivedRequest) -> bool:
        return written() > before

    before = written()

    world.mock.inject(
        Fault(FaultKind.DROP_AFTER, match=RequestMatch("write", path)),
        Fault(FaultKind.DROP_BEFORE, match=RequestMatch(predicate=later), times=None),
    )


async def tried(act: Awaitable[object]) -> None:
    try:
        await act
    except OutcomeError:
        return


async def swept(process: Process) -> None:
    """The reconciler of the same process, at once and when a day has passed."""
    for wait in (GRACE, RETENTION):
        await asyncio.sleep(2 * wait.total_seconds())
        await Reconciler(process.operations, grace=GRACE).run_until_clean()


async def cut_off(case: Case, request: int, ledger: LedgerFault | None) -> tuple[Doubts, int]:
    """Run `case` with nothing heard from a request on, and then the reconciler."""
    world, heard = await a_world(), Doubts()
    await operation_trials.prepare(world, case)
    before = world.mock.oracle.received_total
    if request:
        silence(world, request)
    async with world.process(fault=ledger, impatient=True) as process:
        with events.register(heard):
            await tried(case.act(process.operations))
            sent = world.mock.oracle.received_total - before
            world.mock.clear_faults()
            process.credits.fault = None
            await world.mock.settle()
            await swept(process)
    return heard, sent


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_doubt_outlives_the_reconciler_wherever_an_operation_is_cut_off(case: Case) -> None:
    """None of the operation, and none of its steps, whether or not it ends in doubt itself."""
    _, requests = run(cut_off(case, 0, None))
    trials = [run(cut_off(case, at, None))[0] for at in range(1, requests + 1)]
    trials += [run(cut_off(case, 0, LedgerFault("lost_always", at)))[0] for at in (1, 2)]
    assert [each.open for each in trials] == [set()] * len(trials)
    assert {doubt for each in trials for doubt in each.begun} == {the_doubt(case)}


STRANDED = ("create", "claim", "release", "settle", "cancel_claimed")
"""What the reconciler brings to its end by writes; of the others it gives back the credits."""


@pytest.mark.parametrize("case", [case_of(each) for each in STRANDED], ids=STRANDED)
def test_a_reconciler_that_is_cut_off_leaves_no_doubt(case: Case) -> None:
    """It finds anew what it has not heard of, by a key of which nobody knows."""
    _, writes = run(cut_off_repairing(case, 0))
    assert writes
    doubts = [run(cut_off_repairing(case, at))[0] for at in writes]
    assert doubts == [set()] * len(writes)


async def cut_off_repairing(case: Case, at: int) -> tuple[set[events.Identity], list[int]]:
    """What is in doubt when nothing is heard from a request on, and which ones are writes."""
    world, heard = await a_world(), Doubts()
    await operation_trials.prepare(world, case)
    silence_after_write(world, DOCUMENT)
    async with world.process(impatient=True) as dying:
        await tried(case.act(dying.operations))
    world.mock.clear_faults()
    await asyncio.sleep(2 * HOUR.total_seconds())
    async with world.process(seed=3, impatient=True) as process:
        with events.register(heard):
            before = len(world.mock.requests)
            if at:
                silence(world, at)
            await Reconciler(process.operations, grace=GRACE).run_once()
            sent = world.mock.requests[before:]
            world.mock.clear_faults()
            await swept(process)
    writes = [at for at, each in enumerate(sent, 1) if each.method.startswith("write")]
    return heard.begun, writes


@virtual
async def test_whoever_explains_an_operation_for_good_ends_its_doubt() -> None:
    """Only the step would be asked about otherwise, of which the program knows no key."""
    world, heard = await a_world(), Doubts()
    case = case_of("cancel")
    await operation_trials.prepare(world, case)
    silence_after_write(world, DOCUMENT)
    async with world.process(impatient=True) as process:
        services = process.operations.services
        with events.register(heard):
            with pytest.raises(CommitUnknownError):
                await case.act(process.operations)
            world.mock.clear_faults()
            await asyncio.sleep(100)
            clues = await clues_to(services, KEY)
            await made_definite(services, clues, KEY, BOUNTY_ID, OperationKind.CANCEL, "a test")
    assert heard.open == set()
    resolved = [
        each
        for each in heard.of(events.DoubtResolved)
        if each.operation and each.operation.layer == "operations"
    ]
    assert [(each.cause, each.seconds and each.seconds >= 100) for each in resolved] == [
        (DoubtCause.ASKED, True)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@virtual
async def test_what_another_process_has_found_out_ends_a_doubt_once_it_is_looked_up(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the journal, which they share; what is in doubt still stays so."""
    world, heard = await a_world(), Doubts()
    await operation_trials.prepare(world, case)
    silence_after_write(world, DOCUMENT)
    async with world.process(impatient=True) as process:
        with events.register(heard):
            await tried(case.act(process.operations))
            world.mock.clear_faults()
            assert await process.operations.look_up_doubts() == 0
            assert heard.open == {the_doubt(case)}
        await asyncio.sleep(2 * HOUR.total_seconds())
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(tracking, "_doubts", tracking._Doubts())
            await world.reconcile()
        with events.register(heard):
            assert await process.operations.look_up_doubts() == 1
            assert await process.operations.look_up_doubts() == 0
    assert heard.open == set()
    ended = heard.the(events.DoubtResolved)
    became = Outcome.PRE_COMMIT if case.name == "create" else Outcome.COMMITTED  # it is given up
    assert (ended.cause, ended.outcome) == (DoubtCause.ASKED, became)
    assert ended.seconds
    assert ended.seconds > HOUR.total_seconds()


@virtual
async def test_a_journal_that_does_not_answer_ends_no_doubt() -> None:
    world, heard = await a_world(), Doubts()
    case = case_of("cancel")
    await operation_trials.prepare(world, case)
    silence_after_write(world, DOCUMENT)
    async with world.process(impatient=True) as process:
        with events.register(heard):
            await tried(case.act(process.operations))
            process.credits.find_operation = _lost  # type: ignore[attr-defined]
            with pytest.raises(CommitUnknownError):
                await process.operations.look_up_doubts()
    assert len(heard.open) == 1


async def _lost(*_parts: object) -> None:
    raise CommitUnknownError("the answer was lost")


async def _renewed(process: Process) -> object:
    return await process.operations.renew(BOUNTY_ID, BOB)


async def _expired(process: Process) -> object:
    await asyncio.sleep(HOUR.total_seconds())
    return await process.operations.services.claims.expire_stale()


@pytest.mark.parametrize("act", [_renewed, _expired])
@virtual
async def test_what_is_done_anew_by_how_things_stand_is_never_in_doubt(
    act: Callable[[Process], Awaitable[object]],
) -> None:
    """A lease that was renewed, or ended: nobody is told a key to ask with."""
    world, heard = await a_world(), Doubts()
    await operation_trials.prepare(world, case_of("release"))
    async with world.process(impatient=True) as process:
        silence_after_write(world, "*/claims/*")
        with events.register(heard), pytest.raises(CommitUnknownError):
            await act(process)
    assert heard.begun == set()
