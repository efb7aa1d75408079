"""Credits on real servers, where the environment names any, as in `NEXUS_LIVE_0_9_18_URL`."""

from __future__ import annotations

import asyncio
import os
from uuid import uuid4

import pytest

from nexus_bounty.outcomes import UnsupportedServerError
from nexus_bounty.testing import CreditsServiceContract
from nexus_bounty_nexuspay import NexusPayCredits

pytestmark = pytest.mark.live

API_KEY = os.environ.get("NEXUS_LIVE_API_KEY", "sk-test")
WITH_PAY = ("0.9.18", "0.10.1")
WITHOUT_PAY = ("0.5.6", "0.7.0")


def url_of(release: str) -> str:
    """Where the release runs; skips where the environment does not say."""
    name = f"NEXUS_LIVE_{release.replace('.', '_')}_URL"
    if name not in os.environ:
        pytest.skip(f"{name} names no server")
    return os.environ[name]


class TestLiveNexusPay(CreditsServiceContract):
    @pytest.fixture(params=WITH_PAY)
    async def credits(self, request, clock):
        ledger = f"live-{uuid4().hex}"
        url = url_of(request.param)
        async with NexusPayCredits(url, ledger=ledger, api_key=API_KEY, clock=clock) as service:
            yield service
            assert (await service.verify()).ok
            assert await service.unassigned() == 0


@pytest.mark.parametrize("release", WITH_PAY)
async def test_writers_that_race_on_a_real_server_never_both_win(release):
    """Eight services, as of eight processes, reserve what is there for three of them."""
    url, ledger = url_of(release), f"live-{uuid4().hex}"
    services = [NexusPayCredits(url, ledger=ledger, api_key=API_KEY) for _ in range(8)]
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


@pytest.mark.parametrize("release", WITHOUT_PAY)
async def test_a_real_server_without_a_list_of_transfers_is_refused(release):
    """Before anything is sent."""
    with pytest.raises(UnsupportedServerError, match="no list of transfers"):
        async with NexusPayCredits(url_of(release), api_key=API_KEY):
            pass
