"""Contract suites: what every implementation of a port must do, as tests to inherit.

Subclass a suite, name the subclass `Test…`, and override its fixture:

    class TestMyCredits(CreditsServiceContract):
        @pytest_asyncio.fixture
        async def credits(self, clock):
            async with MyCredits(clock=clock) as credits:
                yield credits

For tests of programs that use bounties, `nexus_bounty.testing.plugin` has the fixtures, and
`parametrize_faults` and the builders `make_…` are here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nexus_bounty.testing.bounties_suite import BountyStoreContract
    from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in, make_reward
    from nexus_bounty.testing.claims_suite import ClaimStoreContract
    from nexus_bounty.testing.clock import ManualClock
    from nexus_bounty.testing.contributions_suite import ContributionStoreContract
    from nexus_bounty.testing.credits_suite import CreditsServiceContract
    from nexus_bounty.testing.every_fault import parametrize_faults, steps_of
    from nexus_bounty.testing.range_memories_suite import RangeMemoriesContract
    from nexus_bounty.testing.steps import LedgerFault, StepFaults

SUITES = (
    "binding_suite",
    "bounties_suite",
    "claims_suite",
    "contributions_suite",
    "credits_suite",
    "range_memories_suite",
)

pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in SUITES))

__all__ = [
    "BountyStoreContract",
    "ClaimStoreContract",
    "ContributionStoreContract",
    "CreditsServiceContract",
    "LedgerFault",
    "ManualClock",
    "RangeMemoriesContract",
    "StepFaults",
    "make_agent",
    "make_bounty",
    "make_bounty_in",
    "make_reward",
    "parametrize_faults",
    "steps_of",
]

# Imported when it is first asked for: pytest loads the plugin in every project.
_MODULES = {
    "BountyStoreContract": "bounties_suite",
    "ClaimStoreContract": "claims_suite",
    "ContributionStoreContract": "contributions_suite",
    "CreditsServiceContract": "credits_suite",
    "LedgerFault": "steps",
    "ManualClock": "clock",
    "RangeMemoriesContract": "range_memories_suite",
    "StepFaults": "steps",
    "make_agent": "builders",
    "make_bounty": "builders",
    "make_bounty_in": "builders",
    "make_reward": "builders",
    "parametrize_faults": "every_fault",
    "steps_of": "every_fault",
}


def __getattr__(name: str) -> Any:
    """What is exported under `name`."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def __dir__() -> list[str]:
    """Everything that is exported."""
    return sorted({*globals(), *__all__})
