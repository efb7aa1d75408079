"""Contract suites on real servers: what the ports promise holds on each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import msgspec
import pytest
import pytest_asyncio

from nexus_bounty import NexusBountyStore, NexusClaimStore, NexusContributionStore
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.ports import BountyStore, ClaimStore, ContributionStore
from nexus_bounty.testing.bounties_suite import BountyStoreContract
from nexus_bounty.testing.claims_suite import ClaimStoreContract
from nexus_bounty.testing.clock import ManualClock
from nexus_bounty.testing.contributions_suite import ContributionStoreContract
from tests.live.servers import fresh_zone, live_server

pytestmark = pytest.mark.live


class Bounties(BountyStoreContract):
    """Bounties on a release."""

    release: ClassVar[str]

    @pytest_asyncio.fixture
    async def store(self, clock: ManualClock) -> AsyncIterator[BountyStore]:
        server = live_server(self.release)
        async with server.client() as client:
            yield NexusBountyStore(client, fresh_zone(), commit=server.commit(client), clock=clock)


class TestBountiesOn056(Bounties):
    release = "0.5.6"


class TestBountiesOn070(Bounties):
    release = "0.7.0"


class TestBountiesOn0918(Bounties):
    release = "0.9.18"


class TestBountiesOn0926(Bounties):
    release = "0.9.26"


class TestBountiesOn0101(Bounties):
    release = "0.10.1"


class Claims(ClaimStoreContract):
    """Leases on a release."""

    own_time: ClassVar[str] = "the server stamps its files by its own clock"
    release: ClassVar[str]

    @pytest_asyncio.fixture
    async def claims(self, clock: ManualClock) -> AsyncIterator[ClaimStore]:
        server = live_server(self.release)
        async with server.client() as client:
            yield NexusClaimStore(client, fresh_zone(), commit=server.commit(client), clock=clock)


class TestClaimsOn056(Claims):
    release = "0.5.6"


class TestClaimsOn070(Claims):
    release = "0.7.0"


class TestClaimsOn0918(Claims):
    release = "0.9.18"


class TestClaimsOn0926(Claims):
    release = "0.9.26"


class TestClaimsOn0101(Claims):
    release = "0.10.1"


class Contributions(ContributionStoreContract):
    """Contributions on a release: read only, and so on every one."""

    release: ClassVar[str]

    @pytest_asyncio.fixture
    async def contributions(self) -> AsyncIterator[ContributionStore]:  # type: ignore[override]
        zone = fresh_zone()
        async with live_server(self.release).client() as client:
            manifest = msgspec.json.encode(self.KNOWN)
            await client.write(ZonePaths(zone).contribution(self.KNOWN.cid), manifest)
            yield NexusContributionStore(client, zone)


class TestContributionsOn056(Contributions):
    release = "0.5.6"


class TestContributionsOn070(Contributions):
    release = "0.7.0"


class TestContributionsOn0918(Contributions):
    release = "0.9.18"


class TestContributionsOn0926(Contributions):
    release = "0.9.26"


class TestContributionsOn0101(Contributions):
    release = "0.10.1"
