"""NexusContributionStore: delivered work, in the peer's manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.tracking import tracked
from nexus_bounty.events.types import Place
from nexus_bounty.models import AgentIdentity, Contribution
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents import DocumentReader, UnreadableDocumentError
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    Observation,
    OutcomeError,
    PostCommitError,
    PreCommitError,
    Proof,
)
from nexus_bounty.validation import check_id
from nexus_bounty.works import Relation, Work, check_work

INDEX_CONTRIBUTION: Final = "index_contribution"


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

    def why_not_here(self) -> str | None:
        """Why it cannot be used in this event loop; `None` if it can, and belongs to it now."""
        return self._client.why_not_here()

    async def get(self, cid: str) -> Contribution | None:
        """The contribution with content id `cid`, or `None`.

        Raises:
            NexusError: It could not be read.
            UnreadableDocumentError: What is stored is not a contribution.
        """
        check_id("cid", cid)
        path = self._zone.contribution(cid)
        document = await self._reader.read_unchanging(path, self._client.deadline())
        return None if document is None else _contribution(path, document.value)

    async def put(self, work: Work) -> Contribution:
        """Deliver a work: its manifest, and the entries by which other programs find it.

        Its content id names its content, so that a repeat writes the same: it does no harm, and is
        what to do after every error but the first two.

        Raises:
            InvalidInputError: It cannot be stored; nothing was sent (pre-commit).
            PreCommitError: It was refused, or never sent.
            PostCommitError: It is delivered, and entries may be missing: put it again.
            CommitUnknownError: It may be delivered, now or later: put it again.
        """
        check_work(work)
        cid = work.cid
        place = Place(self._client.server, self._zone.zone_id)
        with tracked("store", "put_contribution", cid, cid, self._client.observers, place=place):
            try:
                return await self._put(work, self._client.deadline())
            except OutcomeError as error:
                raise error.about("put_contribution", cid, cid) from error.__cause__

    async def _put(self, work: Work, deadline: Deadline) -> Contribution:
        path, manifest = self._zone.contribution(work.cid), msgspec.json.encode(work.manifest())
        await self._store(path, manifest, deadline)
        try:
            await self._client.write_many(_entries(self._zone, work), deadline=deadline)
        except NexusError as failure:
            raise PostCommitError(
                f"it is delivered, and how others find it may be missing: {failure}",
                pending=(INDEX_CONTRIBUTION,),
                evidence=_evidence(Proof.DOCUMENT, failure),
            ) from failure
        return work.contribution

    async def _store(self, path: str, manifest: bytes, deadline: Deadline) -> None:
        """Write the manifest, and see that it is there."""
        failure: NexusError | None = None
        try:
            await self._client.write(path, manifest, deadline=deadline)
        except NexusError as error:
            failure = error
            if failure.disposition is not Disposition.AMBIGUOUS:
                proof = _PROOFS[failure.disposition]
                raise PreCommitError(
                    f"it was not stored: {failure}", evidence=_evidence(proof, failure)
                ) from failure
        try:
            if failure is not None:
                await self._client.write(path, manifest, idempotent=True, deadline=deadline)
            stored = await self._reader.read_file(path, deadline)
        except NexusError as error:
            failure, stored = error, None
        if stored is None or stored.content != manifest:
            told = failure or "it was acknowledged, and is not there"
            raise CommitUnknownError(
                f"it was not seen: {told}", evidence=_evidence(Proof.NONE, failure)
            ) from failure


_PROOFS: Final = {
    Disposition.NEVER_SENT: Proof.NEVER_SENT,
    Disposition.REFUSED: Proof.REFUSED,
}


def _evidence(proof: Proof, failure: NexusError | None) -> Evidence:
    answer = str(failure) if failure else "acknowledged, and not found"
    path = failure.path if failure else ""
    return Evidence(
        proof=proof, observations=(Observation(action="write", target=path, answer=answer),)
    )


def _entries(zone: ZonePaths, work: Work) -> dict[str, bytes]:
    """By what other programs find a delivery."""
    cid = work.cid
    agent = {"agentId": work.agent.agent_id, "agentName": work.agent.agent_name}
    words = {
        "cid": cid,
        "summary": work.summary,
        "description": work.description or "",
        "kind": work.kind,
        "mode": work.mode,
        **agent,
        "createdAt": work.created_at,
        "tags": work.tags,
    }
    return {
        **{
            zone.related(each.target_cid, cid): msgspec.json.encode(_related(each))
            for each in work.relations
        },
        **{zone.tagged(tag, cid): b"" for tag in work.tags},
        zone.searched(cid): msgspec.json.encode(words),
    }


def _related(relation: Relation) -> dict[str, Any]:
    metadata = {} if relation.metadata is None else {"metadata": relation.metadata}
    return {"relationType": relation.relation_type, **metadata}


def _contribution(path: str, value: Mapping[str, Any]) -> Contribution:
    try:
        manifest = msgspec.convert(value, _Manifest)
    except msgspec.ValidationError as error:
        raise UnreadableDocumentError(path, str(error)) from error
    scores = {
        name: score.value if isinstance(score, _Score) else score
        for name, score in (manifest.scores or {}).items()
    }
    return Contribution(cid=manifest.cid, agent=manifest.agent, tags=manifest.tags, scores=scores)
