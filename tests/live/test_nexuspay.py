"""Credits on the NexusPay of real servers: their whole contract, races, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nexus_bounty.testing import CreditsServiceContract
from nexus_bounty_nexuspay import NexusPayCredits, UnsupportedNexusPayError
from tests.live.servers import API_KEY, fresh_zone, live_server

pytestmark = pytest.mark.live

WITH_A_LIST = ("0.9.18", "0.10.1")
"""Releases with a list of transfers. 0.10.1 is tested where something serves it, or its routes."""
WITHOUT = ("0.5.6", "0.7.0")


def credits_on(release: str, ledger: str, **given: Any) -> NexusPayCredits:
    """A ledger on a release, as one process has it."""
    return NexusPayCredits(live_server(release).url, ledger=ledger, api_key=API_KEY, **given)


class TestNexusPay(CreditsServiceContract):
    @pytest.fixture(params=WITH_A_LIST)
    async def credits(self, request, clock):
        async with credits_on(request.param, fresh_zone(), clock=clock) as service:
            yield service
            assert (await service.verify()).ok
            assert await service.unassigned() == 0


@pytest.mark.parametrize("release", WITH_A_LIST)
async def test_writers_that_race_for_credits_never_get_the_same_ones(release: str) -> None:
    """Of eight that reserve a third each, three win, as every one of them sees afterwards."""
    ledger = fresh_zone()
    services = [credits_on(release, ledger) for _ in range(8)]
    try:
        await services[0].top_up("funds", account="alice", amount=30)
        results = await asyncio.gather(
            *(
                service.reserve(f"r{number}", account="alice", amount=10)
                for number, service in enumerate(services)
            ),
            return_exceptions=True,
        )
        assert sum(not isinstance(result, Exception) for result in results) == 3
        for service in services:
            balance = await service.balance("alice")
            assert (balance.available, balance.reserved) == (0, 30)
            assert (await service.verify()).ok
    finally:
        for service in services:
            await service.close()


@pytest.mark.parametrize("release", WITHOUT)
async def test_a_server_without_a_list_of_transfers_is_refused(release: str) -> None:
    """Before anything is sent that could move credits."""
    service = credits_on(release, fresh_zone())
    with pytest.raises(UnsupportedNexusPayError, match="no list of transfers"):
        await service.top_up("funds", account="alice", amount=1)
    await service.close()
