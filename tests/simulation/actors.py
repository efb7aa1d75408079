"""Processes as a run has them, and the operations that actors do in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from random import Random
from typing import Any, Final

from pydantic import SecretStr

from nexus_bounty import (
    CommitUnknownError,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
    OutcomeError,
    UnsupportedServerError,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.models import AgentIdentity
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.selection.auto_commit import CommitOption
from nexus_bounty.operations import BountyOperations, OperationResult
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import wall_clock
from tests.simulation import odd_answers
from tests.simulation.history import INFO, History, RecordingStore
from tests.simulation.network import LedgerLine, Line, Network
from tests.support.world import BOUNTY_ID, CID, GRACE, a_bounty

DEFINITE: Final = ("committed", "pre_commit", "post_commit")
READING: Final = ("reconcile", "expire_due", "resolve", "sleep")
"""Operations without a verdict of their own."""


@dataclass(frozen=True)
class Surroundings:
    """What every process of a run shares."""

    network: Network
    history: History
    ledger: MemoryCredits
    contributions: MemoryContributionStore
    seed: int
    strategy: Callable[[NexusClient], CommitOption]
    """How documents are committed."""
    signing_keys: tuple[SecretStr, ...] = ()


class Process:
    """A process: stores, memories and clock of its own.

    Args:
        around: What it shares with the others.
        name: Its name.
        number: How many were started before it and including it, whatever their names.
        skew: By how many seconds its clock is wrong.
        impatient: Whether it sends every request only once.
    """

    def __init__(
        self,
        around: Surroundings,
        name: str,
        number: int,
        *,
        skew: int = 0,
        impatient: bool = False,
    ) -> None:
        self.name = name
        clock = _skewed(skew)
        seed = f"{name} {number} {around.seed}"  # no two processes may make the same keys
        self.client = client = NexusClient(
            settings=_settings(impatient, around.signing_keys),
            transport=Line(around.network),
            random=Random(seed),
        )
        commit = self._commit = around.strategy(client)
        store = NexusBountyStore(client, clock=clock, commit=commit)
        ledger: Any = LedgerLine(around.ledger, around.network)
        self.store: Any = RecordingStore(store, name, around.history)
        self.operations = BountyOperations(
            self.store,
            credits=ledger,
            claims=NexusClaimStore(client, clock=clock, commit=commit),
            contributions=around.contributions,
            clock=clock,
            random=Random(seed),
        )
        self._history = around.history

    @property
    def is_closed(self) -> bool:
        """Whether it commits nothing for a while, by what it has found out itself."""
        return isinstance(getattr(self._commit, "_chosen", None), UnsupportedServerError)

    @cached_property
    def reconciler(self) -> Reconciler:
        """One that belongs to this process, which most never run."""
        return Reconciler(self.operations, grace=GRACE)

    async def resolve_all(self) -> None:
        """Find out what became of every step of this process of which that is not known."""
        for call in list(self._history.calls):
            if call.process == self.name and call.status == INFO and call.ended and call.key:
                with suppress(CommitUnknownError):
                    await self.store.resolve_operation(BOUNTY_ID, call.key)


def _skewed(seconds: int) -> Callable[[], datetime]:
    if not seconds:
        return wall_clock
    return lambda: wall_clock() + timedelta(seconds=seconds)


@lru_cache
def _settings(impatient: bool, keys: tuple[SecretStr, ...]) -> NexusSettings:
    return NexusSettings(
        retry_attempts=1 if impatient else 8,
        max_answer_bytes=odd_answers.MOST_BYTES,
        signing_keys=keys,
    )


@dataclass
class Done:
    """One operation of an actor, and what it was told."""

    actor: str
    process: str
    operation: str
    key: str
    cid: str = CID
    verdict: str = "running"
    error: BaseException | None = None
    result: OperationResult | None = None
    told_at: int = 0
    """How many requests had been received when its caller heard of it."""
    is_rivalled: bool = False
    """Whether a refusal does not speak for its key: another process used it, too."""
    is_keyless: bool = False
    """Whether its caller knows no key: it gives none, and has not heard yet which was made."""

    @property
    def given_key(self) -> str | None:
        """What its caller asks with."""
        return None if self.is_keyless else self.key

    def heard(self, key: str | None) -> None:
        """Its caller is told under which key it was done, and can ask again with that."""
        if self.is_keyless and key is not None:
            self.key, self.is_keyless = key, False

    @property
    def is_definite(self) -> bool:
        """Whether the caller knows what became of it."""
        return self.verdict in DEFINITE or self.operation in READING

    @property
    def can_be_cleared_up(self) -> bool:
        """Whether the caller does not know what became of it, and has a key to ask again with."""
        return not (self.is_definite or self.is_keyless or self.operation == "renew")

    def again(self, process: str) -> Done:
        """The same asked for once more, with its key if its caller knows one."""
        return Done(
            self.actor, process, self.operation, self.key, self.cid, is_keyless=self.is_keyless
        )

    def __str__(self) -> str:
        return f"{self.actor} {self.operation} [{self.key}]: {self.verdict}"


async def perform(process: Process, agent: str, done: Done) -> None:
    """Do one operation and note what came of it."""
    try:
        result = await _begin(process, agent, done)
    except OutcomeError as error:
        done.verdict, done.error = error.outcome.value, error
        done.heard(error.idempotency_key)
    except asyncio.CancelledError:
        raise
    except NexusError as error:
        read = done.operation == "expire_due"  # which says that it could not list the bounties
        done.verdict, done.error = "read" if read else "escaped as NexusError", error
    except Exception as error:  # noqa: BLE001 - that it escaped is a finding
        done.verdict, done.error = f"escaped as {type(error).__name__}", error
    else:
        done.verdict = "read" if done.operation in READING else "committed"
        done.result = result if isinstance(result, OperationResult) else None
        done.heard(done.result.idempotency_key if done.result else None)


def _begin(process: Process, agent: str, done: Done) -> Awaitable[object]:
    match done.operation:
        case "expire_due":
            return process.operations.expire_due()
        case "reconcile":
            return process.reconciler.run_once()
        case "resolve":
            return process.resolve_all()
        case "sleep":
            return asyncio.sleep(timedelta(minutes=int(done.cid)).total_seconds())
    return _begin_on_a_bounty(process, agent, done)


def _begin_on_a_bounty(process: Process, agent: str, done: Done) -> Awaitable[object]:
    operations, key = process.operations, done.given_key
    who = AgentIdentity(agent_id=agent.removesuffix("2"))
    match done.operation:
        case "create":
            return operations.create(a_bounty(), idempotency_key=key)
        case "claim":
            return operations.claim(BOUNTY_ID, who, idempotency_key=key)
        case "release":
            return operations.release(BOUNTY_ID, who, idempotency_key=key)
        case "renew":
            return operations.renew(BOUNTY_ID, who)
        case "settle":
            return operations.settle(BOUNTY_ID, done.cid, idempotency_key=key)
        case "cancel":
            return operations.cancel(BOUNTY_ID, idempotency_key=key)
        case "expire":
            return operations.expire(BOUNTY_ID, idempotency_key=key)
    raise ValueError(f"nobody knows how to {done.operation}")
