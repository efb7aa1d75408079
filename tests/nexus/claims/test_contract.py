"""The claim contract over Nexus, in every dialect with atomic preconditions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from nexus_bounty import NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.nexus.client.settings import ClaimShape, StorageEncoding
from nexus_bounty.ports import ClaimStore
from nexus_bounty.testing.claims_suite import ClaimStoreContract
from nexus_bounty.testing.clock import ManualClock


class NexusClaims(ClaimStoreContract):
    """Claims in the peer's files."""

    dialect = "0.10-hypothetical"
    encoding: StorageEncoding = "raw"
    shape: ClaimShape = "flat"

    @pytest_asyncio.fixture
    async def claims(self, clock: ManualClock) -> AsyncIterator[ClaimStore]:
        mock = MockNexus(self.dialect, atomic=True, clock=clock)
        settings = NexusSettings(
            storage_encoding=self.encoding, claim_shape=self.shape, retry_base=0.001
        )
        async with NexusClient(settings=settings, transport=mock.transport()) as client:
            yield NexusClaimStore(client, commit="conditional", clock=clock)


class TestOnTheNewest(NexusClaims):
    """The newest dialect."""


class TestOnTheNewestStoredAsBase64(NexusClaims):
    """As the peer stores its files."""

    encoding = "base64"


class TestWrittenAsNewerGrovesDo(NexusClaims):
    """Split into spec and status."""

    encoding = "base64"
    shape = "split"


class TestOnZeroSeven(NexusClaims):
    """With preconditions made atomic."""

    dialect = "0.7.0"


class TestOnZeroFive(NexusClaims):
    """With preconditions made atomic."""

    dialect = "0.5.6"
