"""Processes killed at each step of a life on real servers: another takes over, money is counted.

The count trusts none of our code: it reads the ledger's file by plain SQL, and the documents by
plain requests.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing as mp
import signal
import uuid
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from nexus_bounty import AgentIdentity, BountyExistsError, BountyStateError
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty_sqlite import SqliteCredits
from tests.live.doomed_life import BOUNTY_ID, CID, CREATOR, PRICE, Place, live, live_until
from tests.live.servers import API_KEY, RELEASES, LiveServer, live_server
from tests.support.ledgers import Recount
from tests.support.world import stranded

pytestmark = pytest.mark.live

FUNDS = 1_000
RIVAL = AgentIdentity(agent_id="rival")
PATIENCE = 120
"""Seconds that a process may take to live or die."""
PROCESSES = mp.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.live.doomed_life"])
STRIDE = {"0.5.6": 7}
"""Every step, but where a rename takes half a minute."""


async def a_place(server: LiveServer, ledger: Path) -> Place:
    """A zone that nobody has used, and a ledger in which the creator has her funds."""
    async with SqliteCredits(ledger) as credit:
        await credit.top_up("funds", account=CREATOR.agent_id, amount=FUNDS)
    return Place(server, f"kill-{uuid.uuid4().hex[:12]}", ledger)


def dies(place: Place, step: int) -> bool:
    """Whether a process that was to live there died at that step."""
    process = PROCESSES.Process(target=live_until, args=(place, step))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


async def with_the_same_keys(place: Place) -> None:
    """Its caller, started again, does everything once more, and it comes to its end."""
    async with place.process() as operations:
        await live(operations)
    assert (await document(place))["status"] == "settled"


async def with_keys_of_its_own(place: Place) -> None:
    """A reconciler ends what was begun, then somebody else goes on from there.

    A draft it cancels; who held the bounty is paid for it.
    """
    async with place.process() as operations:
        report = await Reconciler(operations, grace=timedelta(0)).run_until_clean()
        assert [each.left for each in stranded(report)] == []
        assert report.errors == []
        with suppress(BountyExistsError):
            await operations.create(
                make_bounty(bounty_id=BOUNTY_ID, creator=CREATOR, amount=PRICE),
                idempotency_key="create-anew",
            )
        with suppress(BountyStateError):
            await operations.claim(BOUNTY_ID, RIVAL, idempotency_key="claim-anew")
        with suppress(BountyStateError):
            await operations.settle(BOUNTY_ID, CID, idempotency_key="settle-anew")


TAKES_OVER = [with_the_same_keys, with_keys_of_its_own]


@pytest.mark.parametrize("takes_over", TAKES_OVER)
@pytest.mark.parametrize("release", RELEASES)
async def test_whoever_takes_over_from_a_process_killed_at_any_step_pays_once(
    release: str,
    takes_over: Callable[[Place], Any],
    tmp_path: Path,
    note: Callable[[str], None],
) -> None:
    """In create, claim and settle, before and after each request and each call of the ledger."""
    server = live_server(release)
    for step in count(1, STRIDE.get(release, 1)):
        place = await a_place(server, tmp_path / f"{step}.db")
        died = await asyncio.to_thread(dies, place, step)
        await takes_over(place)
        assert await wrong(place) == [], f"killed at step {step}"
        if not died:
            break
    note(f"killed at {step - 1} steps, {takes_over.__name__.replace('_', ' ')}")
    assert step > 40


async def wrong(place: Place) -> list[str]:
    """What does not add up after the end: in the ledger, and beside the document."""
    ledger = Recount(place.ledger)
    ledger.assert_consistent()
    bounty = await document(place)
    paid = {"creator": FUNDS - PRICE, str(bounty.get("claimedBy", {}).get("agentId")): PRICE}
    right = {"settled": paid, "cancelled": {"creator": FUNDS}}.get(bounty["status"])
    has = {name: ledger.balances.get(name, 0) for name in ("creator", "worker", "rival")}
    ends = sorted(status for _, _, status in ledger.reservations.values())
    found = []
    if {name: amount for name, amount in has.items() if amount} != right:
        found.append(f"they have {has}, and the bounty is {bounty}")
    if "held" in ends or ends.count("captured") != (bounty["status"] == "settled"):
        found.append(f"the bounty is {bounty['status']}, and its reservations are {ends}")
    return found


async def document(place: Place) -> dict[str, Any]:
    """The bounty as anybody finds it, by a plain request."""
    async with httpx.AsyncClient(
        base_url=place.server.url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=60
    ) as plain:
        path = f"/zones/{place.zone}/bounties/{BOUNTY_ID}.json"
        body = {"jsonrpc": "2.0", "id": 1, "method": "read", "params": {"path": path}}
        answer = (await plain.post("/api/nfs/read", json=body)).json()
    result = answer.get("result") or {}
    content = result.get("content", result)
    found: dict[str, Any] = json.loads(
        b64decode(content["data"]) if isinstance(content, dict) and "data" in content else content
    )
    return found
