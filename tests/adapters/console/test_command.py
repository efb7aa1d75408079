"""The program itself: what it takes, who it lets in, and how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest

from nexus_bounty import (
    BountyOperations,
    CommitUnknownError,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    OutcomeError,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.mock.personality import Release
from nexus_bounty.ports import CreditsService
from nexus_bounty.registry import open_credits
from nexus_bounty.testing.builders import make_bounty
from tests.adapters.console.stage import ALICE, BOB
from tests.cli.program import started, until
from tests.cli.shell import Shell
from tests.support.served import served

PEOPLE = {"otto": {"token": "operator-0123456789abcdef", "role": "operate"}}


@pytest.fixture
def mock() -> MockNexus:
    return MockNexus(Release.HYPOTHETICAL)


@pytest.fixture
def environment(mock: MockNexus, tmp_path: Path) -> Iterator[dict[str, str]]:
    with served(mock) as url:
        yield {
            "NEXUS_URL": url,
            "NEXUS_BOUNTY_CREDITS": f"sqlite:///{tmp_path / 'ledger.db'}",
            "NEXUS_BOUNTY_COMMIT": "conditional",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(url: str, **headers: str) -> int:
    try:
        return httpx.get(url, headers=headers).status_code
    except httpx.TransportError:
        return 0


def test_it_serves_those_who_have_a_token_and_stops_at_once_when_it_is_told_to(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    """A browser that listens for news does not hold it up."""
    tokens = tmp_path / "people.json"
    tokens.write_text(json.dumps(PEOPLE))
    tokens.chmod(0o600)
    url = f"http://127.0.0.1:{free_port()}"
    arguments = ["console", "--port", url.rpartition(":")[2], "--tokens", tokens]
    with started(*arguments, env=environment) as process:
        until(lambda: answers(f"{url}/readyz") == 200)
        assert answers(f"{url}/api/bounties") == 401
        token = f"Bearer {PEOPLE['otto']['token']}"
        assert answers(f"{url}/api/bounties", authorization=token) == 200
        headers = {"authorization": token}
        with httpx.stream("GET", f"{url}/live?topic=bounties", headers=headers) as news:
            assert next(news.iter_lines()) == "retry: 2000"
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        said, complained = process.communicate()
    assert said == ""
    assert f"The console is at {url}/" in complained
    assert "Traceback" not in complained


@asynccontextmanager
async def closing_soon(credit: CreditsService) -> AsyncIterator[CreditsService]:
    try:
        yield credit
    finally:
        await credit.close()


async def stuck(url: str, ledger: str) -> None:
    """A settlement that died past the pivot; bob is to be paid 250."""
    async with (
        NexusClient(url) as nexus,
        closing_soon(open_credits(ledger)) as credit,
    ):
        await credit.top_up("funds", account="alice", amount=1000)
        operations = BountyOperations(
            NexusBountyStore(nexus, commit="conditional"),
            credits=credit,
            claims=NexusClaimStore(nexus, commit="conditional"),
            contributions=MemoryContributionStore([Contribution(cid="cid-1", agent=BOB)]),
        )
        await operations.create(make_bounty(bounty_id="b-1", amount=250, creator=ALICE))
        await operations.claim("b-1", BOB)
        lost = CommitUnknownError("the line is dead")
        with patch.object(credit, "capture", side_effect=lost), suppress(OutcomeError):
            await operations.settle("b-1", "cid-1")


async def paid(ledger: str) -> int:
    async with closing_soon(open_credits(ledger)) as credit:
        return (await credit.balance("bob")).available


@pytest.mark.thorough
def test_a_repair_that_is_under_way_when_it_is_stopped_comes_to_its_end(
    environment: dict[str, str], mock: MockNexus
) -> None:
    """The commit is slow, and SIGTERM comes while it is on its way."""
    ledger = environment["NEXUS_BOUNTY_CREDITS"]
    asyncio.run(stuck(environment["NEXUS_URL"], ledger))
    url = f"http://127.0.0.1:{free_port()}"
    arguments = ["console", "--port", url.rpartition(":")[2], "--grace", "0s"]
    slow = Fault(FaultKind.DELAY, match=RequestMatch("write", "*/bounties/b-1.json"), seconds=1.5)
    with started(*arguments, env=environment) as process:
        until(lambda: answers(f"{url}/readyz") == 200)
        page = httpx.get(f"{url}/reconcile").text
        token = page.split('name="csrf" value="')[1].split('"')[0]
        mock.inject(slow)
        form = {"csrf": token, "sweep": "pending settlements", "subject": "b-1"}
        assert httpx.post(f"{url}/reconcile/repair", data=form).status_code == 303
        until(lambda: any(each.fault for each in list(mock.requests)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert asyncio.run(paid(ledger)) == 250
    document = mock.read_file("/zones/default/bounties/b-1.json")
    assert document is not None
    assert b'"settled"' in document


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--host", "0.0.0.0"], "can be reached by others: it needs --tokens"),
        (["--tokens", "{folder}/none.json"], "cannot be read"),
        (["--tokens", "{folder}/open.json"], "can be read by others: chmod 600"),
        (["--tokens", "{folder}/other.json"], "must be JSON"),
        (["--tokens", "{folder}/empty.json"], "has no tokens"),
        (["--tokens", "{folder}/short.json"], "at least 16 printable ASCII"),
        (["--tokens", "{folder}/right.json", "--read-only"], "--read-only goes without"),
    ],
)
def test_what_would_let_in_the_wrong_people_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    why: str,
) -> None:
    """In one line that shows no token."""
    contents = {
        "open.json": json.dumps(PEOPLE),
        "other.json": '{"otto": {"token": "operator-0123456789abcdef", "rôle": 1}}',
        "empty.json": "{}",
        "short.json": '{"otto": {"token": "short"}}',
        "right.json": json.dumps(PEOPLE),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o644 if name == "open.json" else 0o600)
    asked = [each.replace("{folder}", str(tmp_path)) for each in arguments]
    ended = Shell(monkeypatch, capsys, {})("console", *asked)
    assert ended.code == 2, ended
    assert why in ended.said
    assert "operator-0123456789abcdef" not in ended.said
