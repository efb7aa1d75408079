"""Whatever is still owed when an operation has ended was told, once, with whose it is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from nexus_bounty import CommitUnknownError, OutcomeError, PostCommitError, events
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.nexus.bounties.marker_removal import REMOVE_STALE_MARKER
from nexus_bounty.nexus.claims.changes import REMOVE_ACTIVE_MARKER
from nexus_bounty.operations import OperationResult
from nexus_bounty.operations.cancel import VOID
from nexus_bounty.operations.lease_ends import RELEASE_LEASE
from nexus_bounty.operations.paying import CAPTURE, END_CLAIM, REWARD, SETTLED
from nexus_bounty.ports import cleaning_up
from nexus_bounty.testing.virtual_time import run
from tests.events.support import Heard
from tests.operations import operation_trials
from tests.operations.operation_trials import CASES, Case
from tests.support.virtual import virtual
from tests.support.world import BOUNTY_ID, LedgerFault, Process, World, a_world

MARKER, CLAIM_MARKER = REMOVE_STALE_MARKER, REMOVE_ACTIVE_MARKER
OWED = {
    "create": {MARKER},
    "claim": {MARKER},
    "release": {RELEASE_LEASE, CLAIM_MARKER},
    "settle": {CAPTURE, SETTLED, REWARD, END_CLAIM, MARKER, CLAIM_MARKER},
    "cancel": {VOID, RELEASE_LEASE, MARKER},
    "cancel_claimed": {VOID, RELEASE_LEASE, MARKER, CLAIM_MARKER},
    "expire": {VOID, RELEASE_LEASE, MARKER},
}
"""What each operation can be found to owe, by where it is cut off."""
PATHS = ("*", "*/claims/*", "*/rewards/*", f"*/bounties/{BOUNTY_ID}.json")


@dataclass
class Place:
    """Where an operation is cut off: whatever it sends from there on is lost."""

    request: int = 0
    path: str = "*"
    call: int = 0
    promptly: bool = False

    def fault_of_ledger(self) -> LedgerFault | None:
        return LedgerFault("lost_always", self.call) if self.call else None


@dataclass
class Trial:
    """What an operation owed in the end, and what was told of that."""

    owed: list[str]
    told: list[events.StepOwed]
    said: list[logging.LogRecord]
    requests: int
    calls: int

    def problems(self) -> list[str]:
        steps = Counter(each.step for each in self.told)
        said = Counter(_said_to_be_owed(each) for each in self.said)
        wrong = [f"{each} told {steps[each]} times" for each in set(self.owed) if steps[each] != 1]
        wrong += [
            f"{each} logged {said[each]} times" for each in steps if said[each] != steps[each]
        ]
        return wrong + [f"{each} is nobody's" for each in self.told if not _is_ours(each)]


def _is_ours(event: events.StepOwed) -> bool:
    called = event.operation.outermost if event.operation else None
    return called is not None and (called.bounty_id, called.key) == (
        BOUNTY_ID,
        operation_trials.KEY,
    )


def _said_to_be_owed(record: logging.LogRecord) -> str | None:
    mine = (record.levelno, record.bounty_id, record.idempotency_key)  # type: ignore[attr-defined]
    if mine != (logging.WARNING, BOUNTY_ID, operation_trials.KEY):
        return None
    return record.getMessage().partition("still owed: ")[2].partition(" ")[0] or None


async def cut_off(case: Case, place: Place, caplog: pytest.LogCaptureFixture) -> Trial:
    world, heard = await a_world(), Heard()
    await operation_trials.prepare(world, case)
    before = world.mock.oracle.received_total
    if place.request:
        world.mock.inject(_from(world, before + place.request, place.path))
    caplog.clear()
    async with world.process(fault=place.fault_of_ledger(), impatient=True) as process:
        if place.promptly:
            _clean_up_at_once(process)
        with events.register(heard):
            owed = await _owed_by(case, process)
            requests = world.mock.oracle.received_total - before
        calls = process.credits.calls
    said = [each for each in caplog.records if hasattr(each, "bounty_id")]
    return Trial(owed, heard.of(events.StepOwed), said, requests, calls)


def _from(world: World, first: int, path: str) -> Fault:
    """Every request about `path` is lost, from this one on."""

    def is_late(_request: ReceivedRequest) -> bool:
        return world.mock.oracle.received_total >= first

    match = RequestMatch(path=path, predicate=is_late)
    return Fault(FaultKind.DROP_BEFORE, match=match, times=None)


def _clean_up_at_once(process: Process) -> None:
    services = process.operations.services
    process.operations.services = replace(
        services,
        store=cleaning_up(services.store, later=False),
        claims=cleaning_up(services.claims, later=False),
    )


async def _owed_by(case: Case, process: Process) -> list[str]:
    try:
        result = await case.act(process.operations)
    except PostCommitError as error:
        return list(error.pending)
    except OutcomeError:
        return []
    assert isinstance(result, OperationResult)
    return list(result.owed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_owed_was_told_once_and_said_wherever_an_operation_is_cut_off(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    """At every request, of every kind of document, and at every call of the ledger."""
    calm, prompt = (run(cut_off(case, Place(promptly=each), caplog)) for each in (False, True))
    places = [
        Place(request=number, path=path, promptly=trial is prompt)
        for trial in (calm, prompt)
        for number in range(1, trial.requests + 1)
        for path in PATHS
    ]
    places += [Place(call=number) for number in range(1, calm.calls + 1)]
    trials = {str(each): run(cut_off(case, each, caplog)) for each in places}
    assert {at: each.problems() for at, each in trials.items() if each.problems()} == {}
    assert {step for each in trials.values() for step in each.owed} == OWED[case.name]


def _named(*names: str) -> list[Case]:
    return [case for case in CASES if case.name in names]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@virtual
async def test_an_earlier_call_that_came_to_its_end_is_not_said_to_owe_anything(case: Case) -> None:
    """A repeat was refused, since the ledger does not say which it is; it says so each time."""
    world, heard = await a_world(), Heard()
    await operation_trials.prepare(world, case)
    async with world.process() as process:
        await case.act(process.operations)
        await _asked_again(case, process, heard, ())
        await _asked_again(case, process, heard, ())


async def _asked_again(case: Case, process: Process, heard: Heard, owed: Sequence[str]) -> None:
    """What is told of the earlier call is what the error names."""
    process.credits.identity = _lost  # type: ignore[attr-defined]
    heard.clear()
    with events.register(heard), pytest.raises(PostCommitError, match="earlier call") as ended:
        await case.act(process.operations)
    assert ended.value.pending == tuple(owed)
    assert [each.step for each in heard.of(events.StepOwed)] == list(owed)
    assert all(_is_ours(each) for each in heard.of(events.StepOwed))


LEFT = [
    *((case, "capture", (CAPTURE, SETTLED, REWARD, END_CLAIM)) for case in _named("settle")),
    *((case, "void", (VOID,)) for case in _named("cancel", "expire")),
    *((case, "void", (VOID, RELEASE_LEASE)) for case in _named("cancel_claimed")),
]


@pytest.mark.parametrize(("case", "call", "owed"), LEFT, ids=lambda each: getattr(each, "name", ""))
@virtual
async def test_what_an_earlier_call_has_left_is_told_until_somebody_does_it(
    case: Case, call: str, owed: Sequence[str]
) -> None:
    world, heard = await a_world(), Heard()
    await operation_trials.prepare(world, case)
    async with world.process() as process:
        setattr(process.credits, call, _lost)
        with pytest.raises(PostCommitError):
            await case.act(process.operations)
        await _asked_again(case, process, heard, owed)
    await world.later()
    assert not await world.reconcile()
    async with world.process(seed=3) as process:
        await _asked_again(case, process, heard, ())


@pytest.mark.parametrize("case", _named("settle", "cancel", "release"), ids=lambda case: case.name)
@virtual
async def test_what_cannot_be_looked_at_may_still_be_owed(case: Case) -> None:
    world, heard = await a_world(), Heard()
    await operation_trials.prepare(world, case)
    async with world.process() as process:
        await case.act(process.operations)
        for port, looks in (
            (process.operations.services.claims, ("active_claims",)),
            (process.operations.services.store, ("has_reward",)),
            (process.credits, ("get_reservation",)),
        ):
            for look in looks:
                setattr(port, look, _lost)
        may_be = {"settle": (CAPTURE, REWARD, END_CLAIM), "cancel": (VOID, RELEASE_LEASE)}
        await _asked_again(case, process, heard, may_be.get(case.name, (RELEASE_LEASE,)))


async def _lost(*_given: object, **_named: object) -> str:
    raise CommitUnknownError("the answer was lost")
