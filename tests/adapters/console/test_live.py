"""Whoever has a page open hears of what changes there, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty_console import changes
from nexus_bounty_console.changes import BOUNTIES, WORK, Changes, about
from nexus_bounty_console.snapshots import SharedReading
from tests.adapters.console.stage import BOB, Stage

CHANGED = "event: changed\ndata:\n\n"


async def heard(stream: AsyncIterator[str]) -> str:
    async with asyncio.timeout(5):
        return await anext(stream)


async def listening(all_changes: Changes, *topics: str) -> AsyncIterator[str]:
    stream = all_changes.stream(frozenset(topics), asyncio.Event())
    assert await heard(stream) == "retry: 2000\n\n"
    return stream


async def test_a_change_is_told_to_those_who_show_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.posted("b-1")
    await stage.posted("b-2")
    await stage.desk.board.refresh()
    monkeypatch.setattr(changes, "KEEP_ALIVE_SECONDS", 0.05)
    all_of_them = await listening(stage.desk.changes, BOUNTIES)
    one, other = [await listening(stage.desk.changes, about(each)) for each in ("b-1", "b-2")]
    await stage.operations.claim("b-1", BOB)
    await stage.desk.look_again()
    assert await heard(all_of_them) == CHANGED
    assert await heard(one) == CHANGED
    assert await heard(other) == ": still here\n\n"


async def test_many_changes_before_anybody_looks_are_one() -> None:
    all_changes = Changes()
    stream = await listening(all_changes, WORK)
    for _ in range(100):
        all_changes.tell([WORK])
    assert await heard(stream) == CHANGED
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()


async def test_a_stream_ends_when_the_service_stops_and_is_forgotten() -> None:
    all_changes, stopping = Changes(), asyncio.Event()
    stream = all_changes.stream(frozenset([WORK]), stopping)
    await heard(stream)
    last = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert all_changes.are_awaited
    stopping.set()
    async with asyncio.timeout(5):
        assert await last == ": still here\n\n"
        assert [each async for each in stream] == []
    assert not all_changes.are_awaited


async def test_nobody_looks_again_while_nobody_watches(stage: Stage) -> None:
    stage.desk.lasts = timedelta(milliseconds=1)
    async with stage.desk.opened():
        await stage.posted("b-1")
        stage.mock.reset_counts()
        await asyncio.sleep(0.02)
        assert stage.mock.request_count == 0
        stream = await listening(stage.desk.changes, BOUNTIES)
        await stage.desk.board.current()
        await stage.operations.claim("b-1", BOB)
        assert await heard(stream) == CHANGED  # nobody has asked for it


async def test_what_is_slow_to_read_is_shown_as_it_was_and_read_by_one() -> None:
    answers: list[asyncio.Future[int]] = []

    async def read(_before: int | None) -> int:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    snapshot = SharedReading(read, lasts=timedelta(0), patience=timedelta(0))
    first = asyncio.gather(snapshot.current(), snapshot.current())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers[0].set_result(1)
    assert list(await first) == [1, 1]
    assert await snapshot.current() == 1
    assert len(answers) == 2
    answers[1].set_exception(OSError("gone"))
    await asyncio.sleep(0.001)
    assert isinstance(snapshot.trouble, OSError)
    assert snapshot.known == 1
    again = asyncio.ensure_future(snapshot.refresh())
    await asyncio.sleep(0.001)
    answers[2].set_result(3)
    assert await again == 3
    assert snapshot.trouble is None


async def test_a_refresh_never_takes_what_was_being_read_before_it() -> None:
    """Or a repair would be followed by a page from before it."""
    answers: list[asyncio.Future[int]] = []

    async def read(_before: int | None) -> int:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    snapshot = SharedReading(read, lasts=timedelta(0))
    earlier = asyncio.ensure_future(snapshot.current())
    await asyncio.sleep(0.001)
    refreshed = asyncio.ensure_future(snapshot.refresh())
    await asyncio.sleep(0.001)
    answers[0].set_result(1)
    await asyncio.sleep(0.001)
    answers[1].set_result(2)
    assert (await earlier, await refreshed) == (1, 2)


async def test_a_page_hears_that_nexus_cannot_be_read_and_that_it_can_again(stage: Stage) -> None:
    """Once each, however often it is tried."""
    await stage.posted("b-1")
    await stage.desk.look_again()
    stream = await listening(stage.desk.changes, BOUNTIES)
    stage.mock.inject(Fault(FaultKind.REFUSE, times=None))
    for _ in range(2):
        await stage.desk.look_again()
    assert await heard(stream) == CHANGED
    stage.mock.clear_faults()
    await stage.desk.look_again()
    assert await heard(stream) == CHANGED
    assert stage.desk.board.trouble is None
