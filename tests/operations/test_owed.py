"""What fails after the commit: asked for again, or owed and named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.testing.virtual_time import run
from tests.operations import operation_trials
from tests.operations.lives import case_of, outcome
from tests.operations.operation_trials import Case
from tests.support.virtual import virtual
from tests.support.world import LedgerFault, World, a_world, broken_invariants

CALLS = (("create", "reserve"), ("settle", "assign"), ("settle", "capture"), ("cancel", "void"))


@pytest.mark.parametrize("kind", ["lost_before", "lost_after"])
@pytest.mark.parametrize(("case", "method"), [(case_of(name), method) for name, method in CALLS])
@virtual
async def test_a_lost_answer_of_the_ledger_is_asked_for_again(
    case: Case, method: str, kind: str
) -> None:
    """By the same id, so that nothing is done twice, and the operation goes on."""
    world = await a_world()
    await operation_trials.prepare(world, case)
    async with world.process(fault=LedgerFault(kind, 1, method)) as process:
        assert await outcome(case.act(process.operations)) == "committed"
        assert process.credits.calls == 2
    assert not await broken_invariants(world)


@dataclass(frozen=True)
class CleanUp:
    """A request for something that is not needed any more, and the step that is owed without it."""

    case: str
    method: str
    path: str
    owed: str


CLEAN_UPS = (
    CleanUp("settle", "write", "*/claims/*", "complete_claim"),
    CleanUp("cancel_claimed", "write", "*/claims/*", "release_lease"),
    CleanUp("release", "write", "*/claims/*", "release_lease"),
)


@pytest.mark.parametrize("clean_up", CLEAN_UPS, ids=lambda each: f"{each.case} {each.path}")
@virtual
async def test_a_failed_clean_up_is_owed_and_the_operation_stands(clean_up: CleanUp) -> None:
    """Named in the result, not done; the reconciler does it."""
    case = case_of(clean_up.case)
    world = await a_world()
    await operation_trials.prepare(world, case)
    request = RequestMatch(method=clean_up.method, path=clean_up.path)
    world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=request, times=None, status=403))
    async with world.process() as process:
        result: Any = await case.act(process.operations)
    assert list(result.owed) == [clean_up.owed]
    assert clean_up.owed not in result.done
    await world.later()
    assert not await world.reconcile()
    assert not await broken_invariants(world)


@pytest.mark.parametrize("name", ["claim", "settle", "cancel", "cancel_claimed", "expire"])
def test_a_stale_marker_that_cannot_be_removed_is_named_in_the_log_and_left_to_the_reconciler(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is removed after the operation, which stands."""
    run(_leaving_markers(name))
    assert "still to be removed" in caplog.text
    assert "the reconciler does it" in caplog.text


async def _leaving_markers(name: str) -> None:
    case = case_of(name)
    world = await a_world()
    await operation_trials.prepare(world, case)
    for method in ("delete", "delete_batch"):
        refused = RequestMatch(method=method)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=refused, times=None, status=403))
    async with world.process() as process:
        assert await outcome(case.act(process.operations)) == "committed"
    assert await _disagreeing(world)
    await world.later()
    assert not await world.reconcile()
    assert not await _disagreeing(world)


async def _disagreeing(world: World) -> list[str]:
    async with world.process() as process:
        index = await process.operations.services.store.list_index_statuses()
    return [each.status for each in index if not each.healthy]
