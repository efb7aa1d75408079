"""On real servers: races of processes, clients killed at each step, and what the probe says."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence

import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyStateError,
    BountyStatus,
    NexusBountyStore,
    NexusClient,
    RenameCommit,
    SingleWriter,
    UnsupportedServerError,
    Verdict,
    probe,
)
from nexus_bounty.testing.builders import make_bounty
from tests.live.claimers import race
from tests.live.servers import live_server

pytestmark = pytest.mark.live

RIVAL = AgentIdentity(agent_id="rival")
VERDICTS = [
    ("0.5.6", Verdict.SINGLE_WRITER, [Verdict.SINGLE_WRITER, Verdict.RENAME]),
    ("0.7.0", Verdict.RENAME, [Verdict.RENAME, Verdict.SINGLE_WRITER]),
    ("0.9.18", Verdict.UNSAFE, []),
]


@pytest.mark.parametrize(("release", "verdict", "safe"), VERDICTS)
async def test_the_verdict_on_a_real_server_is_right(
    release: str, verdict: Verdict, safe: Sequence[Verdict]
) -> None:
    """As its races and renames were measured by hand."""
    async with live_server(release).client() as client:
        report = await probe(client)
    assert (report.verdict, report.judgement.safe) == (verdict, safe)
    assert report.requests <= 60
    assert report.seconds <= 20


async def test_of_eight_processes_that_claim_at_once_one_wins() -> None:
    """In each of 25 rounds, and no bounty is lost."""
    rounds = await race(live_server("0.7.0").url, rounds=25, processes=8)
    assert [each.problems for each in rounds] == [[]] * 25


async def test_of_two_processes_one_wins_where_a_rename_takes_half_a_minute() -> None:
    """In 2 rounds, at the price that the probe names."""
    rounds = await race(live_server("0.5.6").url, rounds=2, processes=2)
    assert [each.problems for each in rounds] == [[]] * 2


CLAIM_REQUESTS = 9
"""Of a claim by a store that has not seen the bounty."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, CLAIM_REQUESTS + 1))
async def test_a_client_killed_at_any_step_leaves_a_legal_state_and_keeps_nobody_waiting(
    at: int, after: bool
) -> None:
    """`kill -9`, then another client claims: one of the two has it, and at once."""
    server, zone = live_server("0.7.0"), f"kill-{uuid.uuid4().hex}"
    async with server.client() as client:
        store = NexusBountyStore(client, zone, commit=RenameCommit(client))
        await store.create_bounty(make_bounty())
        await asyncio.to_thread(_run_to_its_death, server.url, zone, at, after=after)
        began = time.monotonic()
        async with server.client() as other:
            fresh = NexusBountyStore(other, zone, commit=RenameCommit(other))
            holder = await _claim(fresh)
            assert holder in ("worker", "rival")
            assert time.monotonic() - began < 3
            listed = await fresh.list_bounties()
            assert [each.status for each in listed] == [BountyStatus.CLAIMED]
            settled = await fresh.begin_settlement("b-1", "cid")
            assert settled.claimed_by is not None
            assert settled.claimed_by.agent_id == holder
        found = await store.get_bounty("b-1")
        assert found == settled


async def _claim(store: NexusBountyStore) -> str | None:
    try:
        bounty = await store.claim_bounty("b-1", RIVAL, "r")
    except BountyStateError:
        found = await store.get_bounty("b-1")
        assert found is not None
        bounty = found
    return bounty.claimed_by.agent_id if bounty.claimed_by else None


def _run_to_its_death(url: str, zone: str, at: int, *, after: bool) -> None:
    """Start a client that claims and kills itself at its `at`-th request."""
    when = "after" if after else "before"
    command = [sys.executable, "-m", "tests.live.doomed", url, zone, str(at), when]
    ended = subprocess.run(command, timeout=60, check=False, env={**os.environ, "PYTHONPATH": "."})
    assert ended.returncode == -signal.SIGKILL


async def test_a_second_process_is_refused_before_it_writes() -> None:
    """In single-writer mode on 0.5.6, for which it was made."""
    server, zone = live_server("0.5.6"), f"single-{uuid.uuid4().hex}"
    async with (
        server.client() as client,
        server.client() as other,
        SingleWriter(client, zone) as commit,
    ):
        await NexusBountyStore(client, zone, commit=commit).create_bounty(make_bounty())
        second = NexusBountyStore(other, zone, commit=SingleWriter(other, zone))
        with pytest.raises(UnsupportedServerError, match="another process writes zone"):
            await second.create_bounty(make_bounty(bounty_id="b-2"))
        assert not [path for path in await _files(client, zone) if "b-2" in path]


async def _files(client: NexusClient, zone: str) -> set[str]:
    return {each.path async for each in client.walk(f"/zones/{zone}", recursive=True)}


async def test_an_unsafe_server_is_refused_before_anything_is_written() -> None:
    """0.9.18 acknowledges conditional writes and drops them."""
    zone = f"unsafe-{uuid.uuid4().hex}"
    async with live_server("0.9.18").client() as client:
        store = NexusBountyStore(client, zone, commit="auto")
        with pytest.raises(UnsupportedServerError, match=r"0\.9\.9 to 0\.9\.18"):
            await store.create_bounty(make_bounty())
        assert [path for path in await _files(client, zone) if "probe.json" not in path] == []
