"""NexusBountyStore keeps the contract of its port on every kind of server it may meet."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from nexus_bounty import NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.personality import EtagSource
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.testing.bounties_suite import BountyStoreContract


class Server(NamedTuple):
    """What a store may find: a release, how it makes etags, and how we encode documents."""

    personality: str
    encoding: StorageEncoding
    etag: EtagSource = "content"

    def __str__(self) -> str:
        return "-".join(self)


SERVERS = [
    Server("0.5.6", "base64"),
    Server("0.10-hypothetical", "raw"),
]
MORE_SERVERS = [
    Server("0.7.0", "raw"),
    Server("0.9", "raw"),
    Server("0.10-hypothetical", "base64"),
    Server("0.10-hypothetical", "raw", etag="version"),
]


class TestNexusBountyStore(BountyStoreContract):
    @pytest.fixture(
        params=[
            *SERVERS,
            *(pytest.param(server, marks=pytest.mark.exhaustive) for server in MORE_SERVERS),
        ],
        ids=str,
    )
    def server(self, request):
        return request.param

    @pytest.fixture
    async def store(self, server, clock):
        mock = MockNexus(server.personality, atomic=True, etag=server.etag)
        settings = NexusSettings(storage_encoding=server.encoding, retry_base=0)
        async with NexusClient("http://nexus", settings=settings, transport=mock.transport()) as c:
            yield NexusBountyStore(c, commit="conditional", clock=clock)
