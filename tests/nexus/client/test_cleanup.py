"""What commits leave behind: removed soon, in batches, and never silently forgotten."""

from __future__ import annotations

import asyncio

import pytest

from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.testing.virtual_time import run

PATHS = [f"/d/f{number}" for number in range(5)]


async def filled(mock: MockNexus, **settings: float) -> NexusClient:
    client = NexusClient(settings=NexusSettings(**settings), transport=mock.transport())
    await client.write_many(dict.fromkeys(PATHS, b""))
    mock.reset_counts()
    return client


def test_what_is_left_behind_is_removed_together_after_a_moment() -> None:
    """Whoever left it does not wait."""

    async def scenario() -> None:
        mock = MockNexus()
        async with await filled(mock, cleanup_delay=0.5) as client:
            client.cleanup.add(PATHS[:2])
            await asyncio.sleep(0.4)
            client.cleanup.add(PATHS[1:])
            assert mock.request_count == 0
            assert list(client.cleanup.owed) == PATHS
            await asyncio.sleep(0.2)
            assert mock.request_count == 1
            assert not client.cleanup.owed
            assert not mock.files

    run(scenario())


def test_what_is_left_again_and_again_waits_no_longer() -> None:
    """It is done once the first has waited, and not put off for ever."""

    async def scenario() -> None:
        mock = MockNexus()
        async with await filled(mock, cleanup_delay=0.5) as client:
            for _ in range(3):
                client.cleanup.add(PATHS)
                await asyncio.sleep(0.2)
            assert not client.cleanup.owed
            assert not mock.files

    run(scenario())


def test_what_is_left_later_waits_its_own_time() -> None:
    """Not what is left of the time of others that are done by then."""

    async def scenario() -> None:
        mock = MockNexus()
        async with await filled(mock, cleanup_delay=0.5) as client:
            client.cleanup.add(PATHS[:1])
            await asyncio.sleep(0.3)
            client.cleanup.add(PATHS[1:])
            client.cleanup.done({PATHS[0]: client.cleanup._owed[PATHS[0]]})
            await asyncio.sleep(0.4)
            assert list(client.cleanup.owed) == PATHS[1:]
            await asyncio.sleep(0.2)
            assert not client.cleanup.owed

    run(scenario())


@pytest.mark.parametrize("written", [PATHS[:1], PATHS], ids=["alone", "in a batch"])
def test_what_is_written_again_is_not_removed(written: list[str]) -> None:
    """It is needed by now, whatever was said of it before."""

    async def scenario() -> None:
        mock = MockNexus()
        async with await filled(mock, cleanup_delay=0.5) as client:
            client.cleanup.add(PATHS)
            if written == PATHS:
                await client.write_many(dict.fromkeys(written, b""))
            else:
                await client.write(written[0], b"")
            await asyncio.sleep(1)
            assert list(mock.files) == written

    run(scenario())


def test_what_rides_with_a_batch_is_not_removed() -> None:
    """It is written as well."""

    async def scenario() -> None:
        mock = MockNexus()
        async with await filled(mock, cleanup_delay=0.5) as client:
            client.cleanup.add(PATHS)
            client.riding.add_markers(PATHS[:1])
            await client.write_many({"/d/a": b"", "/d/b": b""})
            await asyncio.sleep(1)
            assert set(mock.files) == {PATHS[0], "/d/a", "/d/b"}

    run(scenario())


def test_a_full_batch_does_not_wait() -> None:
    """Memory stays bounded however long the delay."""

    async def scenario() -> None:
        mock = MockNexus()
        async with await filled(mock, cleanup_delay=3600, bulk_size=2) as client:
            client.cleanup.add(PATHS)
            await asyncio.sleep(0.1)
            assert mock.request_count == 3
            assert not mock.files

    run(scenario())


def test_closing_removes_what_is_owed() -> None:
    """Without waiting for the delay."""

    async def scenario() -> None:
        mock = MockNexus()
        async with await filled(mock, cleanup_delay=3600) as client:
            client.cleanup.add(PATHS)
        assert not mock.files

    run(scenario())


def test_a_task_that_is_stopped_leaves_it() -> None:
    """Cancelling must not wait for a server; the reconciler finds it."""

    async def scenario() -> None:
        mock = MockNexus()

        async def stopped() -> None:
            async with await filled(mock, cleanup_delay=3600) as client:
                client.cleanup.add(PATHS)
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await stopped()
        assert len(mock.files) == len(PATHS)

    run(scenario())


def test_closing_waits_for_a_dead_server_no_longer_than_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And says what it leaves."""

    async def scenario() -> float:
        mock = MockNexus()
        loop = asyncio.get_running_loop()
        async with await filled(mock) as client:
            hung = Fault(FaultKind.TIMEOUT_BEFORE, match=RequestMatch(), times=None)
            mock.inject(hung)
            client.cleanup.add(PATHS)
            before = loop.time()
        return loop.time() - before

    assert run(scenario()) <= 5.5
    assert "could not clean up" in caplog.text
    assert "5 files that nothing needs any more are still to be removed" in caplog.text


def test_what_failed_is_not_tried_for_ever() -> None:
    """It is the reconciler's, and what comes later is removed."""

    async def scenario() -> None:
        mock = MockNexus()
        async with await filled(mock, cleanup_delay=0.1) as client:
            mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch(), status=403))
            client.cleanup.add(PATHS[:2])
            await asyncio.sleep(10)
            assert not client.cleanup.owed
            client.cleanup.add(PATHS[2:])
            await asyncio.sleep(10)
        assert list(mock.files) == PATHS[:2]

    run(scenario())
