"""One retry policy: what it waits, when it stops, and that nothing else computes a back-off."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import nexus_bounty
from nexus_bounty import CommitUnknownError, events
from nexus_bounty.deadlines import Deadline
from nexus_bounty.operations.services import TIMES_TO_ASK
from nexus_bounty.retry import RetryPolicy
from tests.events.support import Heard
from tests.support.clients import LongestPause
from tests.support.virtual import elapsed, virtual
from tests.support.world import LedgerFault, World, a_bounty

ROOTS = (Path(nexus_bounty.__file__).parent, Path(nexus_bounty.__file__).parents[1] / "adapters")
POLICY = RetryPolicy(attempts=5, base=1.0, cap=4.0, random=LongestPause())


class BusyError(Exception):
    """Worth another try."""

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__()
        self.retry_after = retry_after


def worth_it(error: Exception) -> bool:
    return isinstance(error, BusyError)


def failing(*errors: BaseException) -> tuple[Callable[[], Awaitable[str]], list[float]]:
    """A call that fails in these ways, then returns; and when each attempt was made."""
    left, at = list(errors), list[float]()

    async def call() -> str:
        at.append(elapsed())
        if left:
            raise left.pop(0)
        return "done"

    return call, at


# What tenacity counts


@virtual
async def test_tenacity_counts_the_attempts_and_the_waits_of_doubling_back_off() -> None:
    retry = POLICY.retrying(worth_it)
    call, at = failing(*(BusyError() for _ in range(4)))
    assert await retry(call) == "done"
    assert retry.statistics["attempt_number"] == 5
    assert retry.statistics["idle_for"] == elapsed() == 1 + 2 + 4 + 4
    assert at == [0, 1, 3, 7, 11]


@virtual
async def test_tenacity_counts_a_wait_that_was_asked_for_in_full() -> None:
    """Jitter may be shorter; `Retry-After` is the least."""
    retry = RetryPolicy(base=0.0).retrying(worth_it)
    call, at = failing(BusyError(7.0), BusyError(), BusyError(30.0))
    await retry(call)
    assert retry.statistics["attempt_number"] == 4
    assert retry.statistics["idle_for"] == elapsed() == 37.0
    assert at == [0, 7, 7, 37]


@virtual
async def test_tenacity_stops_after_the_last_attempt_without_a_wait() -> None:
    retry = POLICY.retrying(worth_it)
    errors = [BusyError() for _ in range(9)]
    call, at = failing(*errors)
    with pytest.raises(BusyError) as raised:
        await retry(call)
    assert raised.value is errors[4]
    assert (retry.statistics["attempt_number"], len(at)) == (5, 5)
    assert retry.statistics["idle_for"] == elapsed() == 11


@virtual
async def test_tenacity_stops_where_the_pause_would_outlast_the_deadline() -> None:
    retry = POLICY.retrying(worth_it, Deadline.after(6.0))
    call, _ = failing(*(BusyError() for _ in range(9)))
    with pytest.raises(BusyError):
        await retry(call)
    assert retry.statistics["attempt_number"] == 3
    assert retry.statistics["idle_for"] == elapsed() == 3.0


# Persisting


@virtual
async def test_persisting_is_the_same_with_the_first_attempt_made_plainly() -> None:
    """Tenacity is told of it, so that the second pause is not taken for the first."""
    call, at = failing(*(BusyError() for _ in range(4)))
    assert await POLICY.persist(call, worth_it) == "done"
    assert at == [0, 1, 3, 7, 11]
    errors = [BusyError() for _ in range(9)]
    call, at = failing(*errors)
    with pytest.raises(BusyError) as raised:
        await POLICY.persist(call, worth_it, Deadline.after(100.0))
    assert raised.value is errors[4]
    assert len(at) == 5


@virtual
async def test_persisting_ends_at_the_deadline_or_as_asked() -> None:
    call, at = failing(*(BusyError() for _ in range(9)))
    with pytest.raises(BusyError):
        await POLICY.persist(call, worth_it, Deadline.after(3.5))
    assert at == [0, 1, 3]
    call, at = failing(BusyError(101.0))  # more than twice what it may take itself
    with pytest.raises(BusyError):
        await POLICY.persist(call, worth_it, Deadline.after(50.0))
    assert at == [3]


@virtual
async def test_what_is_not_worth_it_is_raised_at_once_first_or_later() -> None:
    for errors in ([KeyError("a")], [BusyError(), KeyError("a")]):
        call, at = failing(*errors)
        with pytest.raises(KeyError):
            await POLICY.persist(call, worth_it)
        assert len(at) == len(errors)


@pytest.mark.parametrize("failures", [0, 1])
@virtual
async def test_a_cancellation_is_never_retried(failures: int) -> None:
    call, at = failing(*(BusyError() for _ in range(failures)), asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await POLICY.persist(call, lambda _: True)
    assert len(at) == failures + 1


@virtual
async def test_a_wait_can_be_cancelled() -> None:
    call, at = failing(BusyError(100.0))
    task = asyncio.ensure_future(POLICY.persist(call, worth_it))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (at, elapsed()) == ([0], 1)


@virtual
async def test_every_pause_is_told_of() -> None:
    heard = Heard()
    policy = RetryPolicy(3, 1.0, 4.0, LongestPause(), events.stream.given([heard]))
    with pytest.raises(BusyError):
        await policy.persist(failing(*(BusyError() for _ in range(3)))[0], worth_it)
    assert [(each.attempt, each.pause, each.why) for each in heard.of(events.Retried)] == [
        (1, 1.0, "BusyError"),
        (2, 2.0, "BusyError"),
    ]
    assert await policy.rest(3, Deadline.after(9.0), 5.0)
    assert not await policy.rest(3, Deadline.after(4.0))
    assert [each.pause for each in heard.of(events.Retried)] == [1.0, 2.0, 5.0]


def test_blocking_code_persists_by_the_same_terms() -> None:
    policy = RetryPolicy(attempts=100, base=0.02, cap=0.02, random=LongestPause())
    calls: list[float] = []

    def call() -> None:
        calls.append(time.monotonic())
        raise BusyError

    with pytest.raises(BusyError):
        policy.persist_blocking(call, worth_it, 0.1)
    assert 2 <= len(calls) <= 5
    assert calls[1] - calls[0] >= 0.02
    assert policy.persist_blocking(lambda: "done", worth_it, 0.0) == "done"


# What is asked again


@virtual
async def test_a_credits_service_that_does_not_say_is_asked_again_by_the_policy() -> None:
    """As often as may be, told of each time; then it is unknown."""
    heard, world = Heard(), World()
    await world.found()
    async with world.process(fault=LedgerFault("lost_always", 0)) as process:
        with events.register(heard), pytest.raises(CommitUnknownError):
            await process.operations.create(a_bounty(), idempotency_key="k-never-told")
    again = heard.of(events.Retried)
    assert [each.attempt for each in again] == list(range(1, TIMES_TO_ASK))
    assert all(each.why.startswith("CommitUnknownError") for each in again)


# What it costs


def test_tenacity_is_not_paid_for_by_what_comes_through() -> None:
    """Nor by a refusal, such as that of a file that there is not."""
    program = """
import asyncio, sys
import nexus_bounty
from nexus_bounty import NexusBountyStore, NexusClient
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.testing import make_agent, make_bounty

async def main():
    mock = MockNexus("0.10", atomic=True)
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client, commit="conditional")
        assert await client.read("/nothing") is None
        bounty = await store.create_bounty(make_bounty())
        await store.claim_bounty(bounty.bounty_id, make_agent("bob"), "c-1")
        assert "tenacity" not in sys.modules
        mock.inject(Fault(FaultKind.REFUSE))
        await store.get_bounty(bounty.bounty_id)
        assert "tenacity" in sys.modules

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# One place

WAITS_FOR_SOMETHING_ELSE = {
    "reconcile/reconciler.py": "the time between two runs, however they ended",
    "nexus/client/pace.py": "the turn of a request, where so many a second are allowed",
    "nexus/client/shared.py": "the end of a moment, until which others may join a request",
    "nexus/commit/zone_lease.py": "the time between two renewals",
    "nexus_bounty_console/desk.py": "the time between two looks",
    "nexus_bounty_mcp/command.py": "an answer that is on its way out",
    "nexus_bounty_otel/escrow.py": "the time between two counts, however they ended",
    "nexus_bounty_procrastinate/jobs.py": "the time between two ticks, however they ended",
    "nexus_bounty_procrastinate/pace.py": "the turn of a request, among those of all workers",
    "nexus_bounty_procrastinate/worker.py": "a server that has ended its connections to end itself",
}
DRAWS_A_PAUSE = {
    "reconcile/reconciler.py": "the time until the next run, after some that failed",
    "nexus_bounty_procrastinate/worker.py": "the time until a zone that failed is due again",
}
JITTER = {"uniform", "expovariate", "random", "betavariate", "triangular"}


def _modules(having: str) -> Iterator[tuple[str, ast.Module]]:
    """The modules in which there may be what is looked for: to parse them all takes long."""
    for root in ROOTS:
        for path in root.rglob("*.py"):
            name = path.relative_to(root).as_posix()
            if name != "retry.py" and not name.startswith(("mock/", "testing/")):
                text = path.read_text(encoding="utf-8")
                if re.search(having, text):
                    yield name, ast.parse(text)


def _called(node: ast.AST) -> str:
    return ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""


def test_no_other_module_computes_a_back_off() -> None:
    """Neither jitter nor an exponent, though a constant power is none."""
    for name, tree in _modules(rf"\b({'|'.join(JITTER)})\b|[\w)\]]\s*\*\*"):
        for node in ast.walk(tree):
            assert _called(node) not in JITTER, (name, node)
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
                assert isinstance(node.right, ast.Constant), (name, ast.unparse(node))


def test_no_other_module_sleeps_before_it_tries_again() -> None:
    found = {
        name
        for name, tree in _modules(r"\bsleep\b")
        for node in ast.walk(tree)
        if _called(node) == "sleep"
    }
    assert found == set(WAITS_FOR_SOMETHING_ELSE)


def test_a_pause_is_drawn_in_no_loop_outside_the_policy() -> None:
    """Who waits for longer than a call lasts takes the policy's pause."""
    found = {
        name
        for name, tree in _modules(r"\bpause\b")
        if "pause" in {_called(node) for node in ast.walk(tree)}
    }
    assert found == set(DRAWS_A_PAUSE)
