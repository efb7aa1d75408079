"""Every program in `examples/` runs, and says what it is there to show."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty_sqlite import SqliteCredits
from tests.docs.pages import ROOT
from tests.support.served import served

pytestmark = pytest.mark.thorough

EXAMPLES = ROOT / "examples"
SAYS = {
    "async_agent.py": [
        "alice posted Make the parser faster",
        "bob claimed Make the parser faster",
        "100 credits paid to bob",
    ],
    "sync_agent.py": [
        "not posted, and never will be: alice has 0",
        "25 credits paid to bob",
        "0 problems left behind",
    ],
}


def run(name: str, *arguments: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """What the program says, line by line."""
    ended = subprocess.run(
        ["python", str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


@pytest.mark.parametrize("name", SAYS)
def test_an_agent_is_paid(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    assert run(name, folder=tmp_path, environment=environment) == SAYS[name]


def test_an_agent_that_is_run_twice_posts_one_bounty(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    run("async_agent.py", folder=tmp_path, environment=environment)
    again = run("async_agent.py", folder=tmp_path, environment=environment)
    assert again == ["alice posted Make the parser faster"]


def test_a_worker_takes_what_is_open_and_delivers(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    environment = environment | {"NEXUS_BOUNTY_CREDITS": f"sqlite:///{tmp_path / 'ledger.db'}"}

    def command(*arguments: str) -> Any:
        said = subprocess.run(
            ["nexus-bounty", *arguments, "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(said.stdout)

    command("top-up", "alice", "100")
    command("create", "Sort it", "--bounty-id", "b-1", "--amount", "10", "--creator", "alice")
    once = ("--rounds", "1", "--pause", "0")
    (said,) = run("worker.py", *once, folder=tmp_path, environment=environment)
    assert re.fullmatch(r"delivered blake3:\w+… for b-1", said)
    assert command("show", "b-1")["status"] == "claimed"
    assert run("worker.py", *once, folder=tmp_path, environment=environment) == []


def _imported(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_endpoint_says_by_its_status_what_became_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Posted, posted again, refused, not allowed, and not known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKENS", '{"a": "alice", "b": "bob"}')
    monkeypatch.setenv("NEXUS_OPERATION_TIMEOUT", "4")
    monkeypatch.setenv("NEXUS_REQUEST_TIMEOUT", "2")
    mock = MockNexus("0.7.0")  # commits by rename
    with served(mock) as url:
        monkeypatch.setenv("NEXUS_URL", url)
        with TestClient(_imported("endpoint").app) as client:
            _ask(client, mock)


async def _fund() -> None:
    async with SqliteCredits("ledger.db") as money:
        await money.top_up("funds", account="alice", amount=100)


def _ask(client: TestClient, mock: MockNexus) -> None:
    alice, bob = {"Authorization": "Bearer a"}, {"Authorization": "Bearer b"}
    offer = {"title": "Sort it", "amount": 10}
    assert client.post("/bounties", json=offer).status_code == 401
    assert client.post("/bounties", json=offer, headers=alice).status_code == 402
    asyncio.run(_fund())
    keyed = alice | {"Idempotency-Key": "k-1"}
    posted = [client.post("/bounties", json=offer, headers=keyed) for _ in range(2)]
    assert [answer.status_code for answer in posted] == [201, 201]
    (bounty_id,) = {answer.json()["bounty"]["bountyId"] for answer in posted}
    assert client.get(f"/bounties/{bounty_id}").json()["status"] == "open"
    assert client.get("/bounties/nobody-knows").status_code == 404
    cancel = f"/bounties/{bounty_id}/cancel"
    assert client.post(cancel, headers=bob).status_code == 403

    the_commit = RequestMatch(method="rename", path=f"*/{bounty_id}/*")
    from_then_on = RequestMatch(predicate=lambda _: any(each.fault for each in mock.requests))
    mock.inject(
        Fault(FaultKind.DROP_BEFORE, match=from_then_on, times=None),
        Fault(FaultKind.DROP_AFTER, match=the_commit),
    )
    keyed = alice | {"Idempotency-Key": "k-2"}
    unknown = client.post(cancel, headers=keyed)
    assert (unknown.status_code, unknown.json().get("outcome")) == (503, "unknown"), unknown.text
    mock.clear_faults()
    assert client.post(cancel, headers=keyed).json()["bounty"]["status"] == "cancelled"


def test_every_example_is_run() -> None:
    """And is named in the list of them."""
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {*SAYS, "worker.py", "endpoint.py"}
    assert set(re.findall(r"`(\w+\.py)`", (EXAMPLES / "README.md").read_text())) == names
