"""What is played for the recordings of NexusPay, once on a real server and ever after on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from nexus_bounty import NexusSettings
from nexus_bounty.outcomes import InsufficientCreditsError, PaymentError
from nexus_bounty.ports import ReservationStatus
from nexus_bounty_nexuspay import NexusPayCredits
from tests.contract.scene import API_KEY, NOW, Scene

Play = Callable[[Scene], Awaitable[None]]

FIXTURES: Final = Path(__file__).parent / "fixtures"
RELEASES: Final = ("0.9.18", "0.10.1")
SCENARIOS: Final[dict[str, tuple[Play, tuple[str, ...]]]] = {}


def scenario(*releases: str) -> Callable[[Play], Play]:
    """Register a scenario, under the name of its function, for some releases."""

    def register(play: Play) -> Play:
        SCENARIOS[play.__name__] = (play, releases)
        return play

    return register


@asynccontextmanager
async def ledger(scene: Scene) -> AsyncIterator[NexusPayCredits]:
    """The scenario's ledger, as a process has it that has seen nothing yet."""
    async with NexusPayCredits(
        scene.url,
        ledger=scene.zone,
        api_key=API_KEY,
        settings=NexusSettings(retry_base=0, retry_attempts=2),
        clock=lambda: NOW,
        transport=scene.line.transport,
        random=Random(7),
    ) as service:
        yield service


@scenario(*RELEASES)
async def escrow(scene: Scene) -> None:
    """Credits are brought in, set aside, paid and given back, each by an entry of the list."""
    async with ledger(scene) as service:
        await service.top_up("funds", account="alice", amount=129)
        await service.reserve("r-1", account="alice", amount=30, reference="b-1")
        await service.reserve("r-2", account="alice", amount=40, reference="b-2")
        paid = await service.capture("r-1", to_account="bob")
        assert (paid.status, paid.captured_to) == (ReservationStatus.CAPTURED, "bob")
        await service.void("r-2")
        await service.transfer("t-1", from_account="bob", to_account="carol", amount=1)
        with pytest.raises(InsufficientCreditsError):
            await service.reserve("r-3", account="alice", amount=100)
    async with ledger(scene) as another:
        names = ("alice", "bob", "carol")
        assert [(await another.balance(name)).available for name in names] == [99, 29, 1]
        assert [each.reservation_id async for each in another.reservations()] == ["r-1", "r-2"]
        assert (await another.verify()).ok


@scenario(*RELEASES)
async def lost_answer(scene: Scene) -> None:
    """The answer to a payment is lost: the list says what became of it, and it is paid once."""
    async with ledger(scene) as service:
        await service.top_up("funds", account="alice", amount=50)
        await service.reserve("r-1", account="alice", amount=50)
        scene.line.lose(2)  # the first request is a look into the list
        paid = await service.capture("r-1", to_account="bob")
    async with ledger(scene) as another:
        assert await another.capture("r-1", to_account="bob") == paid
        with pytest.raises(PaymentError, match="captured to bob"):
            await another.void("r-1")
        assert (await another.balance("bob")).available == 50


@scenario(*RELEASES)
async def too_much(scene: Scene) -> None:
    """More is topped up than the server's account has: NexusPay itself would allow it."""
    async with ledger(scene) as service:
        with pytest.raises(InsufficientCreditsError):
            await service.top_up("funds", account="alice", amount=1_000_001)
        assert await service.unassigned() == 0


@scenario("0.10.1")
async def routes(scene: Scene) -> None:
    """What the routes of 0.10.1 answer to good and bad requests; one key still pays twice."""
    async with scene.web() as web:

        async def post(route: str, **body: Any) -> Any:
            answer = await web.post(f"/api/v2/pay{route}", json=body)
            return answer.json() if answer.content else None

        async def get(route: str) -> Any:
            return (await web.get(f"/api/v2/pay{route}")).json()

        await get("/can-afford?amount=999999999")
        await get("/can-afford?amount=1000000000")
        for _ in range(2):
            await post("/transfer", to="bob", amount="2.5", memo="m", idempotency_key="k")
        assert (await get("/balance"))["total"] == "9995.00"
        await post("/transfer", to="bob", amount="0.000001")
        for wrong in ("0", "-1", "0.0000001", "much"):
            assert "detail" in await post("/transfer", to="bob", amount=wrong)
        assert "detail" in await post("/transfer", to="bob")
        assert "detail" in await post("/transfer", to="bob", amount="1", more=1)
        assert "detail" in await post("/transfer", to="bob", amount="1", method="x402")
        held = await post("/reserve", amount="10.5", purpose="p", task_id="t", timeout=60)
        await get("/reservations")
        await post(f"/reserve/{held['id']}/commit")
        assert (await get("/balance"))["total"] == "9994.999999"  # a commit pays nobody
        for ending in ("commit", "release"):
            assert "detail" in await post(f"/reserve/{held['id']}/{ending}")
        assert "detail" in await post("/reserve/none/release")
        assert (await get("/transactions?limit=2"))["total"] == 3
        await get("/transactions?limit=2&cursor=2")
        assert await get("/transactions?cursor=none") == {
            "transactions": [],
            "limit": 20,
            "has_more": False,
            "total": 0,
            "next_cursor": None,
        }
