"""SIGTERM and Ctrl-C let the step under way come to its end, and bound how long that may take."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from datetime import timedelta

import pytest

from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.service.stopping import Ending, Steps, until_stopped
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from tests.cli.program import started, until
from tests.cli.shell import Life, Shell

pytestmark = pytest.mark.thorough

SOON = timedelta(seconds=5)


class Service:
    """Takes one step after another, each until it is told to end it."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.may_end = asyncio.Event()
        self.begun = self.ended = 0

    async def run(self) -> None:
        while True:
            async with self.steps.step():
                self.begun += 1
                await self.may_end.wait()
                self.ended += 1


def signalled(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


async def stopping(service: Service, within: timedelta = SOON) -> asyncio.Task[Ending]:
    """The service, running and then told to stop."""
    work = until_stopped(service.run(), service.steps.at_rest, within=within)
    task = asyncio.create_task(work)
    await asyncio.sleep(0.01)
    signalled()
    await asyncio.sleep(0.01)
    return task


async def test_the_step_under_way_is_finished_and_no_other_begun() -> None:
    """That is a clean stop."""
    service = Service()
    task = await stopping(service)
    assert (service.begun, task.done()) == (1, False)
    service.may_end.set()
    assert await task is Ending.STOPPED
    assert (service.begun, service.ended) == (1, 1)
    assert Ending.STOPPED.exit_code is ExitCode.OK


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_cuts_the_step_short(second: signal.Signals) -> None:
    """Whoever sends it has had enough; the exit code says what it did."""
    service = Service()
    task = await stopping(service)
    signalled(second)
    assert await asyncio.wait_for(task, 5) is Ending.CUT_SHORT
    assert (service.begun, service.ended) == (1, 0)
    assert Ending.CUT_SHORT.exit_code is ExitCode.STOPPED_MIDWAY


async def test_a_step_that_takes_too_long_is_cut_short() -> None:
    """A supervisor would kill it otherwise."""
    task = await stopping(Service(), within=timedelta(milliseconds=20))
    assert await asyncio.wait_for(task, 5) is Ending.CUT_SHORT


async def test_what_a_service_raises_is_raised() -> None:
    """Before it is told to stop, and while it is stopping."""

    async def failing(when: asyncio.Event) -> None:
        await when.wait()
        raise OSError("no room")

    for is_stopping in (False, True):
        failed, steps = asyncio.Event(), Steps()
        async with steps.step():
            work = until_stopped(failing(failed), steps.at_rest, within=SOON)
            task = asyncio.create_task(work)
            await asyncio.sleep(0.01)
            if is_stopping:
                signalled()
                await asyncio.sleep(0.01)
            failed.set()
            with pytest.raises(OSError, match="no room"):
                await task


async def test_a_service_that_ends_by_itself_was_not_stopped() -> None:
    """Nobody waits for anything."""
    assert await until_stopped(asyncio.sleep(0), Steps().at_rest, within=SOON) is Ending.BY_ITSELF


SLOW_REPAIR = RequestMatch("write", "*/bounties/*.json")


@pytest.fixture
def stuck(shell: Shell, life: Life, mock: MockNexus) -> str:
    """A bounty whose payment has begun, and was not brought to its end."""
    bounty_id = life.post()
    life.claim(bounty_id)
    the_last = RequestMatch("write", "*/bounties/*.json", nth=2)
    mock.inject(Fault(FaultKind.STATUS_BEFORE, match=the_last, status=403))
    assert shell("settle", *life.settling(bounty_id)).code == ExitCode.POST_COMMIT
    assert life.status(bounty_id) == "pending_settlement"
    mock.clear_faults()
    return bounty_id


WATCH = ("reconcile", "--watch", "--grace", "0s", "--json")


def repairing(mock: MockNexus) -> Callable[[], bool]:
    """Whether the request by which the repair commits is under way."""
    slow = Fault(FaultKind.DELAY, seconds=1.5, match=SLOW_REPAIR)
    mock.inject(slow)
    return lambda: any(each.fault is slow for each in mock.requests)


def test_kill_in_the_middle_of_a_repair_lets_it_end(
    stuck: str, life: Life, mock: MockNexus, environment: dict[str, str]
) -> None:
    """The program ends then, and says so; the money is where it belongs."""
    is_at_it = repairing(mock)
    with started(*WATCH, env=environment) as process:
        until(is_at_it)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out).keys() == {"health"}  # no run was whole, so that there is no report
    assert life.status(stuck) == "settled"
    assert (life.free("bob"), life.reserved("alice")) == (100, 0)


def test_killed_twice_it_hands_the_repair_over_to_the_next_run(
    stuck: str, shell: Shell, life: Life, mock: MockNexus, environment: dict[str, str]
) -> None:
    """Its exit code says that there is something to do."""
    is_at_it = repairing(mock)
    with started(*WATCH, env=environment) as process:
        until(is_at_it)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # another, as two of a kind may be taken for one
        process.communicate(timeout=30)
    assert process.returncode == ExitCode.STOPPED_MIDWAY
    mock.clear_faults()
    assert shell("reconcile", "--grace", "0s").code == 0
    assert life.status(stuck) == "settled"
    assert (life.free("bob"), life.reserved("alice")) == (100, 0)
