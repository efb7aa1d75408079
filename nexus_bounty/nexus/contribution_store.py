"""NexusContributionStore: delivered work, read from the peer's manifests."""

from __future__ import annotations

from typing import Any

import msgspec

from nexus_bounty.models import AgentIdentity, Contribution
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import DocumentReader, UnreadableDocumentError
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.validation import check_id


class _Score(msgspec.Struct):
    """The peer's score: a value with direction and unit, which criteria bring themselves."""

    value: float


class _Manifest(msgspec.Struct, rename="camel"):
    """What criteria need of a manifest."""

    cid: str
    agent: AgentIdentity | None = None
    tags: list[str] = []
    scores: dict[str, _Score | float] | None = None


class NexusContributionStore:
    """A `ContributionStore` on one zone of a Nexus server.

    Args:
        client: The server; the caller closes it.
        zone_id: The zone; the client's setting if not given.
    """

    def __init__(self, client: NexusClient, zone_id: str | None = None) -> None:
        zone_id = zone_id if zone_id is not None else client.settings.zone_id
        check_id("zone_id", zone_id)
        self._client = client
        self._zone = ZonePaths(zone_id)
        self._reader = DocumentReader(client)

    async def get(self, cid: str) -> Contribution | None:
        """The contribution with content id `cid`, or `None`.

        Raises:
            NexusError: It could not be read.
            UnreadableDocumentError: What is stored is not a contribution.
        """
        check_id("cid", cid)
        path = self._zone.contribution(cid)
        document = await self._reader.read(path, self._client.deadline())
        return None if document is None else _contribution(path, document.value)


def _contribution(path: str, value: dict[str, Any]) -> Contribution:
    try:
        manifest = msgspec.convert(value, _Manifest)
    except msgspec.ValidationError as error:
        raise UnreadableDocumentError(path, str(error)) from error
    scores = {
        name: score.value if isinstance(score, _Score) else score
        for name, score in (manifest.scores or {}).items()
    }
    return Contribution(cid=manifest.cid, agent=manifest.agent, tags=manifest.tags, scores=scores)
