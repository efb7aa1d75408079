"""`/healthz` and `/readyz`: alive is not the same as able to work."""

from __future__ import annotations

import asyncio
import socket
import time

import httpx
import pytest

from nexus_bounty import BountyOperations, NexusBountyStore, NexusClaimStore, NexusContributionStore
from nexus_bounty.cli.service import health as module
from nexus_bounty.cli.service.health import ServiceHealth, health_served
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.outcomes import PlainError
from tests.cli.program import started, until
from tests.cli.shell import Shell
from tests.support.clients import client_of


@pytest.fixture
def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def operations() -> BountyOperations:
    """On a server and a ledger in this process."""
    client = client_of(MockNexus("0.10-hypothetical"))
    return BountyOperations(
        NexusBountyStore(client),
        credits=MemoryCredits(),
        claims=NexusClaimStore(client),
        contributions=NexusContributionStore(client),
    )


def asked(port: int, path: str) -> tuple[int, dict[str, object]]:
    answer = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
    return answer.status_code, answer.json()


def is_up(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_a_watching_reconciler_says_whether_it_can_work(
    free_port: int, mock: MockNexus, environment: dict[str, str]
) -> None:
    """It is alive while Nexus is not, and tells how its runs went."""
    where = f"127.0.0.1:{free_port}"
    with started("reconcile", "--watch", "--health", where, env=environment):
        until(lambda: is_up(free_port))
        until(lambda: "lastSuccessAt" in asked(free_port, "/readyz")[1])
        assert asked(free_port, "/healthz") == (200, {"alive": True})
        until(lambda: asked(free_port, "/readyz")[1]["runs"] == 1)
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("read"), times=None))
        status, said = asked(free_port, "/readyz")
        assert (status, said["ready"]) == (503, False)
        assert asked(free_port, "/healthz")[0] == 200
        assert asked(free_port, "/metrics")[0] == 404


async def test_a_loop_that_is_stuck_is_not_alive(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever supervises it starts it anew then."""
    monkeypatch.setattr(module, "LOOP_SECONDS", 0.05)
    async with health_served(("127.0.0.1", free_port), ServiceHealth(operations())):
        answer = asyncio.get_running_loop().run_in_executor(None, asked, free_port, "/healthz")
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - what is tested
        assert (await answer)[0] == 503
        assert (await asyncio.to_thread(asked, free_port, "/healthz"))[0] == 200
    assert not is_up(free_port)


async def test_a_port_that_is_taken_is_said_plainly() -> None:
    """Before anything is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlainError, match="cannot be listened on"):
            async with health_served(("127.0.0.1", port), ServiceHealth(operations())):
                pass


@pytest.mark.parametrize("where", ["here", "127.0.0.1:0", "127.0.0.1:65536", "[::1]"])
def test_what_is_no_address_is_wrong_usage(shell: Shell, mock: MockNexus, where: str) -> None:
    """Nothing is sent."""
    assert shell("reconcile", "--watch", "--health", where).code == 2
    assert mock.request_count == 0
