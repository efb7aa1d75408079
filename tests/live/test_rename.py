"""On real servers: races of processes, clients killed at each step, and what the probe says."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from itertools import count

import pytest

from nexus_bounty import (
    AgentIdentity,
    AutoCommit,
    BountyStateError,
    BountyStatus,
    NexusBountyStore,
    NexusClient,
    SingleWriter,
    UnsupportedServerError,
    Verdict,
    probe,
)
from nexus_bounty.nexus.client.quirks import RenameQuirks
from nexus_bounty.testing.builders import make_bounty
from tests.live.claimers import race, trusting_race
from tests.live.servers import DROPPING, RELEASES, live_server

pytestmark = pytest.mark.live

RIVAL = AgentIdentity(agent_id="rival")
VERDICTS = [
    ("0.5.6", [Verdict.RENAME, Verdict.SINGLE_WRITER], RenameQuirks(blocks_in_directories=True)),
    ("0.7.0", [Verdict.RENAME, Verdict.SINGLE_WRITER], RenameQuirks()),
    ("0.9.18", [Verdict.RENAME], RenameQuirks(loses_content=True)),
    ("0.9.26", [Verdict.RENAME], RenameQuirks(loses_content=True)),
    ("0.10.1", [Verdict.RENAME], RenameQuirks()),
]


@pytest.mark.parametrize(("release", "safe", "quirks"), VERDICTS)
async def test_the_verdict_on_a_real_server_is_right(
    release: str, safe: Sequence[Verdict], quirks: RenameQuirks
) -> None:
    """As its races and renames were measured by hand; nothing of the trial is left."""
    async with live_server(release).client() as client:
        report = await probe(client)
        left = [path for path in await client.list("/") if report.scratch_zone in path]
        left += await _files(client, report.scratch_zone)
    assert (report.verdict, report.judgement.safe) == (safe[0], safe)
    assert report.facts.rename is not None
    assert report.facts.rename.quirks == quirks
    assert report.requests <= 60
    assert report.seconds <= 20
    assert report.cleaned_up
    assert left == []


ROUNDS = [("0.7.0", 25), ("0.9.18", 10), ("0.9.26", 10), ("0.10.1", 10), ("0.5.6", 4)]


@pytest.mark.parametrize(("release", "rounds"), ROUNDS)
async def test_of_eight_processes_that_claim_at_once_one_wins_and_is_paid(
    release: str, rounds: int
) -> None:
    """In each round; no bounty is lost, and no credit."""
    ended = await race(live_server(release).url, rounds=rounds, processes=8)
    assert [each.problems for each in ended] == [[]] * rounds


@pytest.mark.parametrize("release", ["0.5.6", "0.7.0"])
async def test_of_eight_who_trust_the_server_s_precondition_several_win(release: str) -> None:
    """What the strategies are for."""
    assert max(await trusting_race(live_server(release).url, rounds=5, processes=8)) > 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("release", RELEASES)
async def test_a_client_killed_at_any_step_leaves_a_legal_state_and_keeps_nobody_waiting(
    release: str, after: bool
) -> None:
    """`kill -9` at each request, then another client claims: one of the two has it, and at once."""
    server, died = live_server(release), True
    for at in count(1):
        zone = f"kill-{uuid.uuid4().hex}"
        async with server.client() as client:
            store = NexusBountyStore(client, zone)
            await store.create_bounty(make_bounty())
            died = await asyncio.to_thread(_run_to_its_death, server.url, zone, at, after=after)
            await _is_taken_over(server.client(), zone)
        if not died:
            break
    assert at > 9


async def _is_taken_over(client: NexusClient, zone: str) -> None:
    began = time.monotonic()
    async with client:
        store = NexusBountyStore(client, zone)
        holder = await _claim(store)
        assert holder in ("worker", "rival")
        listed = await store.list_bounties()
        assert [each.status for each in listed] == [BountyStatus.CLAIMED]
        assert time.monotonic() - began < 5
        settled = await store.begin_settlement("b-1", "cid")
        assert settled.claimed_by is not None
        assert settled.claimed_by.agent_id == holder
        assert await store.get_bounty("b-1") == settled


async def _claim(store: NexusBountyStore) -> str | None:
    try:
        bounty = await store.claim_bounty("b-1", RIVAL, "r")
    except BountyStateError:
        found = await store.get_bounty("b-1")
        assert found is not None
        bounty = found
    return bounty.claimed_by.agent_id if bounty.claimed_by else None


def _run_to_its_death(url: str, zone: str, at: int, *, after: bool) -> bool:
    """Start a client that claims and kills itself at its `at`-th request; whether it came to it."""
    when = "after" if after else "before"
    command = [sys.executable, "-m", "tests.live.doomed", url, zone, str(at), when]
    ended = subprocess.run(command, timeout=60, check=False)
    assert ended.returncode in (0, -signal.SIGKILL)
    return ended.returncode != 0


async def test_a_second_process_is_refused_before_it_writes() -> None:
    """In single-writer mode on 0.5.6, for which it was made."""
    server, zone = live_server("0.5.6"), f"single-{uuid.uuid4().hex}"
    async with server.client() as client, server.client() as other:
        commit = AutoCommit(client, zone, wanted=Verdict.SINGLE_WRITER)
        began = time.monotonic()
        await NexusBountyStore(client, zone, commit=commit).create_bounty(make_bounty())
        assert time.monotonic() - began < 20
        for second in (
            AutoCommit(other, zone, wanted=Verdict.SINGLE_WRITER),
            SingleWriter(other, zone),
        ):
            store = NexusBountyStore(other, zone, commit=second)
            with pytest.raises(UnsupportedServerError, match="another process writes zone"):
                await store.create_bounty(make_bounty(bounty_id="b-2"))
        assert not [path for path in await _files(client, zone) if "b-2" in path]
        await commit.close()


async def _files(client: NexusClient, zone: str) -> set[str]:
    return {each.path async for each in client.walk(f"/zones/{zone}", recursive=True)}


@pytest.mark.parametrize("release", DROPPING)
async def test_trusting_preconditions_is_refused_before_anything_is_written(release: str) -> None:
    """On releases that acknowledge conditional writes and drop them."""
    zone = f"unsafe-{uuid.uuid4().hex}"
    async with live_server(release).client() as client:
        commit = AutoCommit(client, zone, wanted=Verdict.CONDITIONAL)
        store = NexusBountyStore(client, zone, commit=commit)
        with pytest.raises(UnsupportedServerError, match="acknowledged and never stored"):
            await store.create_bounty(make_bounty())
        assert [path for path in await _files(client, zone) if "probe.json" not in path] == []
