"""Reward records: one document each, immutable, found by a deterministic id."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from nexus_bounty.models import RewardQuery, RewardRecord
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import Document, is_tombstone
from nexus_bounty.nexus.documents.commits import Committed, Intent, StrategyChoice
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import (
    listed,
    new_value,
    to_reward,
    to_reward_as_it_stands,
    to_value,
)
from nexus_bounty.nexus.documents.vouching import vouched_for
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.outcomes import IdempotencyMismatchError, PreCommitError, Proof
from nexus_bounty.statuses import TOMBSTONE
from nexus_bounty.validation import (
    MOST_REWARD_ID_BYTES,
    check_id,
    check_is,
    check_limit,
    check_reward,
    is_name,
)

_KIND: Final = "reward"


class RewardBook:
    """The rewards of one zone."""

    def __init__(
        self,
        client: NexusClient,
        zone: ZonePaths,
        writer: DocumentWriter,
        choice: StrategyChoice,
    ) -> None:
        self._client = client
        self._zone = zone
        self._writer = writer
        self._choice = choice

    async def record(self, reward: RewardRecord, key: str | None) -> RewardRecord:
        """Keep `reward`; its id makes a repeat a no-op, whatever the key."""
        check_reward(reward)
        if key is None:
            key = self._writer.key_ahead(self._zone.reward(reward.reward_id), _KIND)
        async with self._writer.operation(
            "record_reward", _KIND, reward.reward_id, _parameters(reward), key
        ) as operation:
            return await self._record(operation, reward)

    async def prepare(self, reward: RewardRecord) -> None:
        """Do ahead what `record` begins with, when it is called without a key."""
        check_reward(reward)
        step = self._writer.planned("record_reward", _KIND, reward.reward_id, _parameters(reward))
        with suppress(PreCommitError):
            await self._writer.work_ahead(step, self._intent(step, reward, None), keyless=True)

    async def _record(self, operation: Operation, reward: RewardRecord) -> RewardRecord:
        base: Document | None = None
        while True:
            intent = self._intent(operation, reward, base)
            result = await self._writer.commit(operation, intent)
            if isinstance(result, Committed):
                return to_reward(result.document)
            if not is_tombstone(result.document):
                return self._same(operation, reward, result.document)
            self._writer.recall(operation, result.document.history)
            base = result.document

    def _intent(self, operation: Operation, reward: RewardRecord, base: Document | None) -> Intent:
        """The intent to keep `reward`, over the tombstone `base` if there is one."""
        path = self._zone.reward(reward.reward_id)
        tombstone = to_value(reward) | {"status": TOMBSTONE.value}
        return self._writer.intend(
            operation, path, base, new_value(reward, base), tombstone=tombstone
        )

    def _same(self, operation: Operation, reward: RewardRecord, document: Document) -> RewardRecord:
        """The reward that is recorded already, if it is the same."""
        recorded = self._writer.view(operation, document, to_reward)
        _check_same(operation, recorded, reward)
        return recorded

    async def sign(self, reward: RewardRecord, key: str | None) -> None:
        """Sign the record of `reward`, unless it is signed, or says something else."""
        path, reward_id = self._zone.reward(reward.reward_id), reward.reward_id
        async with self._writer.operation("sign_reward", "sign", reward_id, {}, key) as operation:

            def check(document: Document) -> None:
                standing = self._writer.view(operation, document, to_reward_as_it_stands)
                _check_same(operation, standing, reward)

            await vouched_for(self._writer, operation, path, PreCommitError, check)

    async def has(self, reward_id: str) -> bool:
        """Whether the reward is recorded."""
        check_id("reward_id", reward_id, MOST_REWARD_ID_BYTES)
        path = self._zone.reward(reward_id)
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        document = await strategy.reads.read(path, deadline)
        return document is not None and listed(document, to_reward) is not None

    async def recorded(self, reward_ids: Sequence[str]) -> set[str]:
        """Those of `reward_ids` that are recorded."""
        possible = (each for each in reward_ids if is_name(each, MOST_REWARD_ID_BYTES))
        asked = {self._zone.reward(each): each for each in possible}
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        documents = await strategy.reads.read_many(list(asked), deadline)
        return {asked[each.path] for each in documents if listed(each, to_reward) is not None}

    async def select(self, query: RewardQuery) -> list[RewardRecord]:
        """The rewards that match, newest first, cut to `limit`."""
        check_is("query", query, RewardQuery)
        check_limit("limit", query.limit)
        deadline = self._client.deadline()
        reads = (await self._choice.for_reading(deadline)).reads
        documents = await reads.read_many(await reads.names(self._zone.rewards, deadline), deadline)
        rewards = [reward for each in documents if (reward := listed(each, to_reward)) is not None]
        found = [reward for reward in rewards if query.matches(reward)]
        found.sort(key=lambda reward: (reward.created_at, reward.reward_id), reverse=True)
        return found[: query.limit]


def _parameters(reward: RewardRecord) -> dict[str, Any]:
    """What makes two records the same, whenever they are made."""
    parameters = to_value(reward)
    del parameters["createdAt"]
    return parameters


def _check_same(operation: Operation, recorded: RewardRecord, reward: RewardRecord) -> None:
    """Refuse a record of another reward under the same id.

    Raises:
        IdempotencyMismatchError: It is one.
    """
    differing = [
        name
        for name in ("reward_type", "amount", "contribution_cid", "bounty_id")
        if getattr(recorded, name) != getattr(reward, name)
    ]
    if differing or recorded.recipient.agent_id != reward.recipient.agent_id:
        raise operation.error(
            IdempotencyMismatchError,
            Proof.DOCUMENT,
            f"reward {reward.reward_id!r} is recorded with other contents",
        )
