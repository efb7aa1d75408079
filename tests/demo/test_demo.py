"""The demo: the accidents really happen, every outcome is proven, and the money adds up."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from nexus_bounty import NexusSettings, Outcome, PreCommitError, Proof
from nexus_bounty.cli import main
from nexus_bounty.demo import DemoError, DemoReport, run_demo
from nexus_bounty.demo.accidents import AccidentProneTransport, lost_answer
from nexus_bounty.demo.story import WORK, Story
from nexus_bounty.demo.world import World, a_world
from nexus_bounty.mock import PERSONALITIES, MockNexus, running
from tests.support.sampling import every_nth

WORKING = [name for name, each in PERSONALITIES.items() if each.reads_work]


@asynccontextmanager
async def told(url: str | None = None) -> AsyncIterator[tuple[World, DemoReport]]:
    """The demo's world after its story, before it is cleared."""
    async with a_world(url, WORK, NexusSettings()) as world:
        story = Story(world, lambda _: None)
        await story.post()
        await story.claim_with_a_lost_answer()
        await story.settle_and_crash()
        await story.repair()
        yield world, await story.end(0)


async def test_the_money_adds_up_and_went_to_the_worker_once() -> None:
    """What was issued is all there, nothing is left in escrow."""
    report = await run_demo()
    assert report.final_status == "settled"
    assert report.credits_conserved
    assert report.balances == {"alice": 900, "bob": 100}
    assert sum(report.balances.values()) + report.escrow == report.issued == 1000


async def test_the_answer_was_lost_after_a_real_commit() -> None:
    """The server applied and acknowledged the claim that its sender had to look for."""
    async with told() as (world, report):
        assert world.mock is not None
        assert report.lost_answer
        write = next(each for each in report.writes if each.kind == "claim")
        assert write.proof is Proof.IN_HISTORY
        assert "connection lost" in write.observed[0]
        stored = [
            msgspec.json.decode(each.content or b"") for each in world.mock.history(write.path)
        ]
        naming = [each for each in stored if each["nexusBounty"]["ops"][-1]["key"] == write.key]
        assert len(naming) == 1
        assert naming[0]["status"] == "claimed"


async def test_the_crash_left_a_bounty_that_nobody_had_paid() -> None:
    """The process wrote the pivot and nothing after it; the payment is the reconciler's."""
    async with told() as (world, report):
        assert world.mock is not None
        assert report.crashed
        after = [(each.process, each.kind) for each in report.writes]
        pivot = after.index(("alice", "begin_settlement"))
        assert [process for process, _ in after[pivot + 1 :]] == ["reconciler"] * 3
        assert any("paid 100 to bob and settled" in each for each in report.repaired)


async def test_every_write_is_committed_and_says_by_what_that_is_known() -> None:
    """None is left unknown, the crashed one included."""
    report = await run_demo()
    assert {write.outcome for write in report.writes} == {Outcome.COMMITTED}
    assert {write.proof for write in report.writes} == {Proof.ACKNOWLEDGED, Proof.IN_HISTORY}
    assert [write.kind for write in report.writes if write.found_by] == ["begin_settlement"]


async def test_the_requests_are_those_that_the_server_received() -> None:
    """Counted by the clients, compared with the mock's own count."""
    async with told() as (world, report):
        assert world.mock is not None
        assert report.requests == world.mock.request_count


@pytest.mark.parametrize("personality", every_nth(3, WORKING))
async def test_on_a_server_the_demo_leaves_nothing_behind(personality: str) -> None:
    """A zone of its own, cleared again, beside the zones of others."""
    mock = MockNexus(personality)
    async with running(mock) as url, httpx.AsyncClient(base_url=url) as http:
        params = {"path": "/zones/default/bounties/b-1.json", "content": "{}"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "write", "params": params}
        await http.post("/api/nfs/write", json=body)
        report = await run_demo(url)
    assert report.final_status == "settled"
    assert list(mock.files) == ["/zones/default/bounties/b-1.json"]


def test_a_server_that_fails_leaves_its_own_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Clearing up afterwards does not hide what went wrong, and the ledger is gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = NexusSettings(retry_attempts=1)
    with pytest.raises(PreCommitError, match="no connection"):
        asyncio.run(run_demo("http://127.0.0.1:9", settings=settings))
    assert list(tmp_path.iterdir()) == []


async def test_an_accident_happens_once_and_only_after_a_write_was_acknowledged() -> None:
    """Other requests, and a write that was refused, pass unharmed."""
    mock = MockNexus()
    accident = lost_answer("/f")
    line = AccidentProneTransport(mock.transport(), accident)
    async with httpx.AsyncClient(transport=line, base_url="http://nexus") as http:

        async def write(path: str, **more: object) -> httpx.Response:
            params = {"path": path, "content": "x", **more}
            body = {"jsonrpc": "2.0", "id": 1, "method": "write", "params": params}
            return await http.post("/api/nfs/write", json=body)

        assert (await write("/g")).status_code == 200
        assert "error" in (await write("/f", if_match="nothing")).json()
        assert not accident.happened
        with pytest.raises(httpx.ReadError):
            await write("/f")
        assert accident.happened
        assert mock.read_file("/f") == b"x"
        assert (await write("/f")).status_code == 200


async def test_a_story_without_its_accident_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo checks its own premises."""
    monkeypatch.setattr("nexus_bounty.demo.accidents._is_acknowledged", lambda _: False)
    with pytest.raises(DemoError, match="was not lost"):
        await run_demo()


def test_the_command_ends_with_one_json_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At least the three facts that programs ask for."""
    monkeypatch.setattr("sys.argv", ["nexus-bounty", "demo", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    report = json.loads(lines[0])
    assert report["final_status"] == "settled"
    assert report["credits_conserved"] is True
    assert report["requests"] > 0


def test_the_command_tells_people_what_became_of_each_write_and_why_it_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In plain words, and a small table."""
    monkeypatch.setattr("sys.argv", ["nexus-bounty", "demo"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().out
    assert "the connection breaks before the answer is there" in " ".join(said.split())
    assert "her process dies" in " ".join(said.split())
    assert "nothing: answer lost" in said
    assert "read back, its history names the write" in said
    assert "adds up to the 1000 issued" in said
