"""Contract suites: what every implementation of a port must do, as tests to inherit.

Subclass a suite, name the subclass `Test…`, and override its fixture:

    class TestMyCredits(CreditsServiceContract):
        @pytest_asyncio.fixture
        async def credits(self, clock):
            async with MyCredits(clock=clock) as credits:
                yield credits
"""

from __future__ import annotations

import pytest

_SUITES = ("bounties_suite", "claims_suite", "contributions_suite", "credits_suite")
pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in _SUITES))

from nexus_bounty.testing.bounties_suite import BountyStoreContract  # noqa: E402 - rewritten asserts
from nexus_bounty.testing.builders import (  # noqa: E402 - same
    make_agent,
    make_bounty,
    make_bounty_in,
    make_reward,
)
from nexus_bounty.testing.claims_suite import ClaimStoreContract  # noqa: E402 - same
from nexus_bounty.testing.clock import ManualClock  # noqa: E402 - same
from nexus_bounty.testing.contributions_suite import ContributionStoreContract  # noqa: E402 - same
from nexus_bounty.testing.credits_suite import CreditsServiceContract  # noqa: E402 - same

__all__ = [
    "BountyStoreContract",
    "ClaimStoreContract",
    "ContributionStoreContract",
    "CreditsServiceContract",
    "ManualClock",
    "make_agent",
    "make_bounty",
    "make_bounty_in",
    "make_reward",
]
