"""NexusPay as released: what it answers, and the promises that it does not keep."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from nexus_bounty.mock import Fault, FaultKind, MockNexus
from tests.support.rpc import talking_to

PAY = "/api/v2/pay"


class Pay:
    """The routes of NexusPay."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, route: str) -> Any:
        return (await self.client.get(PAY + route)).json()

    async def post(self, route: str, **body: Any) -> Any:
        return (await self.client.post(PAY + route, json=body)).json()


def paying(mock: MockNexus) -> httpx.AsyncClient:
    """A client of the mock."""
    return httpx.AsyncClient(transport=mock.transport(), base_url="http://nexus")


async def test_answers_have_the_measured_shapes() -> None:
    """Balance, reservation, transfer, transactions, as 0.9.18 words them."""
    async with paying(MockNexus("0.9")) as client:
        pay = Pay(client)
        balance = {"available": "10000.00", "reserved": "0.00", "total": "10000.00"}
        assert await pay.get("/balance") == balance
        held = await pay.post("/reserve", amount="10.5", purpose="p", task_id="t", timeout=60)
        assert {**held, "id": "", "expires_at": ""} == {
            "id": "",
            "amount": "10.50",
            "purpose": "p",
            "expires_at": "",
            "status": "pending",
        }
        (listed,) = await pay.get("/reservations")
        assert set(listed) == {"id", "amount", "purpose", "expires_at", "status"}
        paid = await pay.post("/transfer", to="bob", amount="2.000001", memo="m")
        assert {**paid, "id": "", "timestamp": ""} == {
            "id": "",
            "method": "credits",
            "amount": "2.00",
            "from_agent": "admin",
            "to_agent": "bob",
            "memo": "m",
            "timestamp": "",
            "tx_hash": None,
        }
        history = await pay.get("/transactions?limit=1")
        assert (history["total"], history["has_more"], history["next_cursor"]) == (1, False, None)
        assert history["transactions"][0]["seller_agent_id"] == "bob"


async def test_reserving_twice_for_one_task_holds_the_amount_twice() -> None:
    """There is no idempotency key."""
    async with paying(MockNexus("0.9")) as client:
        pay = Pay(client)
        first = await pay.post("/reserve", amount="10", task_id="t")
        second = await pay.post("/reserve", amount="10", task_id="t")
        assert first["id"] != second["id"]
        assert (await pay.get("/balance"))["reserved"] == "20.00"


async def test_commit_twice_and_release_afterwards_all_succeed() -> None:
    """And a commit pays nobody: the amount is simply available again."""
    async with paying(MockNexus("0.9")) as client:
        pay = Pay(client)
        held = await pay.post("/reserve", amount="10")
        for _ in range(2):
            assert (await pay.post(f"/reserve/{held['id']}/commit"))["status"] == "committed"
            assert (await pay.get("/balance"))["available"] == "10000.00"
        assert (await pay.post(f"/reserve/{held['id']}/release"))["status"] == "released"
        missing = await client.post(f"{PAY}/reserve/none/commit")
        assert (missing.status_code, missing.json()) == (404, {"detail": "Reservation not found"})


async def test_a_transfer_repeated_with_its_idempotency_key_pays_twice() -> None:
    """And the balance goes below zero without complaint."""
    async with paying(MockNexus("0.9")) as client:
        pay = Pay(client)
        for _ in range(2):
            await pay.post("/transfer", to="bob", amount="6000", idempotency_key="k")
        assert (await pay.get("/balance"))["total"] == "-2000.00"
        assert (await pay.get("/transactions"))["total"] == 2


async def test_transactions_come_newest_first_and_in_pages() -> None:
    """The cursor is an offset."""
    async with paying(MockNexus("0.9")) as client:
        pay = Pay(client)
        for amount in (1, 2, 3):
            await pay.post("/transfer", to="bob", amount=amount)
        page = await pay.get("/transactions?limit=2")
        rest = await pay.get(f"/transactions?limit=2&cursor={page['next_cursor']}")
    amounts = [t["amount"] for t in page["transactions"] + rest["transactions"]]
    assert amounts == ["3.00", "2.00", "1.00"]


async def test_half_of_everything_is_lost_when_losses_are_as_measured() -> None:
    """Acknowledged, and not there: the seed decides which."""
    async with paying(MockNexus("0.9", pay_loss_rate=0.5)) as client:
        pay = Pay(client)
        for _ in range(40):
            await pay.post("/reserve", amount=1)
        kept = len(await pay.get("/reservations"))
    assert 8 < kept < 32


async def test_without_a_record_store_every_call_is_503() -> None:
    """Reads too."""
    async with paying(MockNexus("0.9", pay=False)) as client:
        for call in (client.get(f"{PAY}/balance"), client.post(f"{PAY}/reserve", json={})):
            response = await call
            assert response.status_code == 503
            detail = "Payment service not available (no record store)"
            assert response.json() == {"detail": detail}


async def test_no_key_is_asked_for() -> None:
    """Although the files of the same server need one."""
    async with paying(MockNexus("0.9", api_key="sk")) as client:
        assert (await client.get(f"{PAY}/balance")).status_code == 200
        assert (await client.post("/api/nfs/read", json={})).status_code == 401


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, {"type": "missing", "loc": ["body", "amount"], "msg": "Field required", "input": {}}),
        (
            {"amount": "abc"},
            {
                "type": "float_parsing",
                "loc": ["body", "amount"],
                "msg": "Input should be a valid number, unable to parse string as a number",
                "input": "abc",
            },
        ),
    ],
)
async def test_a_bad_body_is_422(body: dict[str, Any], problem: dict[str, Any]) -> None:
    """In FastAPI's words."""
    async with paying(MockNexus("0.9")) as client:
        response = await client.post(f"{PAY}/reserve", json=body)
    assert (response.status_code, response.json()) == (422, {"detail": [problem]})


async def test_older_releases_have_no_pay() -> None:
    """404 as for any other route."""
    async with talking_to(MockNexus("0.7.0")) as rpc:
        assert (await rpc.client.get(f"{PAY}/balance")).status_code == 404


async def test_payments_meet_faults_like_any_other_request() -> None:
    """A transfer whose answer is lost has been paid."""
    mock = MockNexus("0.9", faults=[Fault(FaultKind.DROP_AFTER)])
    async with paying(mock) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(f"{PAY}/transfer", json={"to": "bob", "amount": 1})
    assert len(mock.core.pay.transfers) == 1
    assert mock.requests[0].method == f"POST {PAY}/transfer"
