"""Credits on NexusPay keep the contract of their port, on every release that has a list."""

from __future__ import annotations

import pytest

from nexus_bounty.mock import MockNexus
from nexus_bounty.testing import CreditsServiceContract
from tests.adapters.nexuspay.truth import KEY, Truth, credits_on

SERVERS = {
    "0.9, as it is": lambda: MockNexus("0.9", pay_loss_rate=0.5),
    "0.9, if it kept what it acknowledges": lambda: MockNexus("0.9"),
    "0.10": lambda: MockNexus("0.10", api_key=KEY),
}
THE_EASIEST = pytest.param(list(SERVERS)[1], marks=pytest.mark.exhaustive)


class TestNexusPayCredits(CreditsServiceContract):
    @pytest.fixture(params=[*list(SERVERS)[::2], THE_EASIEST])
    async def credits(self, request, clock):
        mock = SERVERS[request.param]()
        async with credits_on(mock, clock=clock) as service:
            yield service
            assert (await service.verify()).ok
            truth = Truth(mock)
            truth.assert_sound()
            assert truth.unassigned == await service.unassigned() == 0
