"""Contract suites on real servers: what the ports promise holds on each, or is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import msgspec
import pytest
import pytest_asyncio

from nexus_bounty import NexusBountyStore, NexusClaimStore, NexusContributionStore
from nexus_bounty.nexus.paths import ZonePaths
from nexus_bounty.ports import BountyStore, ClaimStore, ContributionStore
from nexus_bounty.testing.bounties_suite import BountyStoreContract
from nexus_bounty.testing.claims_suite import ClaimStoreContract
from nexus_bounty.testing.clock import ManualClock
from nexus_bounty.testing.contributions_suite import ContributionStoreContract
from tests.live.servers import (
    ONE_WRITER,
    SEVERAL_WRITERS,
    UNSAFE,
    fresh_zone,
    live_server,
)

pytestmark = pytest.mark.live

RACING = "preconditions race on this release"


class Bounties(BountyStoreContract):
    """Bounties on a release."""

    release: ClassVar[str]

    @pytest_asyncio.fixture
    async def store(self, clock: ManualClock) -> AsyncIterator[BountyStore]:
        server = live_server(self.release)
        async with server.client() as client:
            yield NexusBountyStore(client, fresh_zone(), commit=server.commit(client), clock=clock)


class TestBountiesOfOneWriter(Bounties):
    release = ONE_WRITER
    single_writer = RACING


class TestBountiesOfSeveralWriters(Bounties):
    release = SEVERAL_WRITERS


class Claims(ClaimStoreContract):
    """Leases on a release."""

    release: ClassVar[str]

    @pytest_asyncio.fixture
    async def claims(self, clock: ManualClock) -> AsyncIterator[ClaimStore]:
        server = live_server(self.release)
        async with server.client() as client:
            yield NexusClaimStore(client, fresh_zone(), commit=server.commit(client), clock=clock)


class TestClaimsOfOneWriter(Claims):
    release = ONE_WRITER
    single_writer = RACING


class TestClaimsOfSeveralWriters(Claims):
    release = SEVERAL_WRITERS


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


class TestContributionsOfOneWriter(Contributions):
    release = ONE_WRITER


class TestContributionsOfSeveralWriters(Contributions):
    release = SEVERAL_WRITERS


class TestContributionsOfTheUnsafe(Contributions):
    release = UNSAFE
