"""What outlives the demo's processes, the server and the ledger, and how a process sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import msgspec

from nexus_bounty.demo.accidents import Accident, AccidentProneTransport
from nexus_bounty.demo.recording_commit import RecordingCommit
from nexus_bounty.demo.report import Write
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import Contribution
from nexus_bounty.nexus.bounties.store import NexusBountyStore
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.rpc import Rpc
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations import BountyOperations
from nexus_bounty.registry import open_credits

EMBEDDED_URL: Final = "http://mock-nexus"
_anything: Final = msgspec.json.Decoder()


@dataclass
class World:
    """One server, one zone and one ledger file, and all that was written to them.

    Attributes:
        settings: How to reach the server, and which zone is used.
        ledger_url: Where the money is.
        contributions: The work that is delivered.
        mock: The server, if it is in this process.
        writes: Every commit so far, as its process saw it.
        requests: How many requests the processes have sent.
        accidents: What has hit processes, or was to.
    """

    settings: NexusSettings
    ledger_url: str
    contributions: MemoryContributionStore
    mock: MockNexus | None = None
    writes: list[Write] = field(default_factory=list)
    requests: int = 0
    accidents: list[Accident] = field(default_factory=list)

    @property
    def zone(self) -> ZonePaths:
        """Where the demo's files are, and nothing else."""
        return ZonePaths(self.settings.zone_id)

    @property
    def server(self) -> str:
        """The server, for people."""
        if self.mock is None:
            return str(httpx.URL(self.settings.url).copy_with(userinfo=b""))
        return f"a mock of Nexus {self.mock.personality.name} in this process"

    @asynccontextmanager
    async def process(
        self, name: str, accident: Accident | None = None
    ) -> AsyncIterator[BountyOperations]:
        """The operations of a new process, which remembers nothing and may be hit."""
        async with AsyncExitStack() as stack:
            credit = open_credits(self.ledger_url)
            stack.push_async_callback(credit.close)
            client = self._client(accident)
            stack.callback(self._count, client)
            await stack.enter_async_context(client)
            commit = RecordingCommit(client, name, self.writes)
            yield BountyOperations(
                NexusBountyStore(client, commit=commit),
                credits=credit,
                claims=NexusClaimStore(client, commit=commit),
                contributions=self.contributions,
            )

    def _count(self, client: NexusClient) -> None:
        self.requests += client.requests_sent

    async def clear(self) -> None:
        """Delete every file of the zone, which nobody else knows of, and then the zone.

        On some releases that includes what a process that died had put beside all zones.
        """
        async with self._client() as client:
            await client.delete_many([path for each in self.accidents for path in each.staged])
            async for entry in client.walk(self.zone.root, recursive=True):
                await client.delete(entry.path)
            rpc = Rpc(self.settings, self._line())
            params = {"path": self.zone.root, "recursive": True}
            with suppress(NexusError):  # on some releases it is gone with its last file
                await rpc.call("rmdir", self.zone.root, params, _anything, client.deadline())
            await rpc.close()

    def _client(self, accident: Accident | None = None) -> NexusClient:
        line = self._line()
        self.accidents += [accident] if accident else []
        hit = AccidentProneTransport(line, accident) if accident else line
        return NexusClient(settings=self.settings, transport=hit)

    def _line(self) -> httpx.AsyncBaseTransport:
        return self.mock.transport() if self.mock else httpx.AsyncHTTPTransport()


@asynccontextmanager
async def a_world(
    url: str | None, work: Contribution, settings: NexusSettings | None = None
) -> AsyncIterator[World]:
    """A new zone on the server at `url` (a mock in this process if `None`) and an empty ledger.

    Nothing of it is left behind.
    """
    zone = f"demo-{SystemRandom().getrandbits(48):012x}"
    here = {"url": url or EMBEDDED_URL, "zone_id": zone}
    given = settings or NexusSettings()
    with TemporaryDirectory(prefix="nexus-bounty-demo-") as directory:
        world = World(
            settings=NexusSettings(**{**dict(given), **here}),
            ledger_url=f"sqlite:///{Path(directory, 'ledger.db')}",
            contributions=MemoryContributionStore([work]),
            mock=None if url else MockNexus(),
        )
        try:
            yield world
        except BaseException:
            with suppress(NexusError):  # what went wrong first is what counts
                await world.clear()
            raise
        await world.clear()
