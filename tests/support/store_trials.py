"""Every request of an operation x every fault of the mock, each verdict against the oracle log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import msgspec

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyQuery,
    BountyStatus,
    ConditionalCommit,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
    OutcomeError,
)
from nexus_bounty.mock import ALL_FAULTS, Fault, FaultKind, MockNexus
from nexus_bounty.nexus.documents.commits import CommitStrategy
from nexus_bounty.testing.virtual_time import EPOCH, run, wall_clock
from tests.support.sampling import sampled

KEY = "the-operation"
BOUNTY_ID = "b-1"
WORKER = AgentIdentity(agent_id="worker")
DOCUMENT = f"/zones/default/bounties/{BOUNTY_ID}.json"
SLOTS = f"/zones/default/indexes/bounties/commits/{BOUNTY_ID}/"

LONG_LATE = (
    Fault(FaultKind.LATE, after_requests=1000),
    Fault(FaultKind.LATE, after_requests=8),
    Fault(FaultKind.DUPLICATE_LATE, after_requests=1000),
)
"""Requests that arrive when nobody thinks of them any more."""

EVERY_FAULT = (*ALL_FAULTS, *LONG_LATE)

PATIENT, IMPATIENT = (
    NexusSettings(url="http://nexus", retry_attempts=attempts) for attempts in (8, 1)
)
"""The impatient one gives up after one try and so needs the fence."""

Act = Callable[[NexusBountyStore, str], Awaitable[Bounty]]
MakeStrategy = Callable[[NexusClient], CommitStrategy]
S = BountyStatus


def a_bounty(status: BountyStatus) -> Bounty:
    claimed = status in (S.CLAIMED, S.PENDING_SETTLEMENT, S.COMPLETED)
    return Bounty(
        bounty_id=BOUNTY_ID,
        title="Sort it",
        creator=AgentIdentity(agent_id="creator"),
        amount=100,
        criteria=BountyCriteria(description="sorted"),
        deadline=EPOCH + timedelta(days=7),
        status=status,
        claimed_by=WORKER if claimed else None,
        claim_id="claim-1" if claimed else None,
        created_at=EPOCH,
    )


@dataclass(frozen=True)
class Operation:
    """A mutation of the store, and the status from which it starts."""

    name: str
    start: BountyStatus | None
    act: Act


OPERATIONS = (
    Operation("create", None, lambda s, k: s.create_bounty(a_bounty(S.OPEN), idempotency_key=k)),
    Operation("fund", S.DRAFT, lambda s, k: s.fund_bounty(BOUNTY_ID, "r", idempotency_key=k)),
    Operation(
        "claim", S.OPEN, lambda s, k: s.claim_bounty(BOUNTY_ID, WORKER, "c", idempotency_key=k)
    ),
    Operation(
        "renew", S.CLAIMED, lambda s, k: s.claim_bounty(BOUNTY_ID, WORKER, "c", idempotency_key=k)
    ),
    Operation(
        "release", S.CLAIMED, lambda s, k: s.release_bounty(BOUNTY_ID, WORKER, idempotency_key=k)
    ),
    Operation(
        "begin_settlement",
        S.CLAIMED,
        lambda s, k: s.begin_settlement(BOUNTY_ID, "cid", idempotency_key=k),
    ),
    Operation(
        "complete", S.CLAIMED, lambda s, k: s.complete_bounty(BOUNTY_ID, "cid", idempotency_key=k)
    ),
    Operation(
        "settle", S.PENDING_SETTLEMENT, lambda s, k: s.settle_bounty(BOUNTY_ID, idempotency_key=k)
    ),
    Operation("expire", S.CLAIMED, lambda s, k: s.expire_bounty(BOUNTY_ID, idempotency_key=k)),
    Operation("cancel", S.OPEN, lambda s, k: s.cancel_bounty(BOUNTY_ID, idempotency_key=k)),
)


@dataclass
class Trial:
    """One run of an operation under faults, and what can be said of it afterwards."""

    name: str
    verdict: str
    committed: int
    error: OutcomeError | None
    requests: int
    problems: list[str]


async def attempt(
    operation: Operation,
    faults: dict[int, Fault],
    *,
    personality: str = "0.10-hypothetical",
    atomic: bool | None = True,
    warm: bool = False,
    strategy: MakeStrategy | None = None,
    impatient: bool = False,
    **mock_options: Any,
) -> Trial:
    """Run `operation` with `faults` at the given requests of it, and hold it against the log."""
    mock = MockNexus(personality, atomic=atomic, clock=wall_clock, **mock_options)
    async with _client(mock, IMPATIENT if impatient else PATIENT) as client:
        if operation.start is not None:
            await seed(mock, operation.start)
        store = NexusBountyStore(
            client, clock=wall_clock, commit=(strategy or ConditionalCommit)(client)
        )
        if warm and operation.start is not None:
            await store.get_bounty(BOUNTY_ID)
        before = mock.oracle.received_total
        mock.inject(*(fault.on(at=before + number) for number, fault in faults.items()))
        verdict, error = "committed", None
        try:
            await operation.act(store, KEY)
        except OutcomeError as raised:
            verdict, error = raised.outcome.value, raised
        requests = mock.oracle.received_total - before
        await mock.settle()
        problems = _wrong(verdict, commits(mock))
        problems += await _afterwards(mock, strategy)
        name = f"{operation.name} {'warm' if warm else 'cold'} {personality}"
        for number, fault in faults.items():
            name += f" #{number} {fault.name}"
        return Trial(name, verdict, commits(mock), error, requests, problems)


def _client(mock: MockNexus, settings: NexusSettings = PATIENT) -> NexusClient:
    return NexusClient(settings=settings, transport=mock.transport(), random=Random(1))


async def seed(mock: MockNexus, status: BountyStatus) -> None:
    """Put a bounty in `status` on `mock`, whatever `mock` does to conditional writes."""
    if status not in _seeds:
        seed = MockNexus("0.10-hypothetical", clock=wall_clock)
        async with _client(seed) as client:
            await NexusBountyStore(client, commit="conditional", clock=wall_clock).create_bounty(
                a_bounty(status)
            )
        _seeds[status] = [(entry.path, entry.content or b"") for entry in seed.log]
    async with _client(mock) as client:
        for path, content in _seeds[status]:
            await client.write(path, content)


_seeds: dict[BountyStatus, list[tuple[str, bytes]]] = {}
"""What was written to create a bounty in a status; the same for every trial."""


def commits(mock: MockNexus) -> int:
    """How often the operation really landed: distinct writes that carry it unaborted, first."""
    seen = set()
    for entry in mock.log:
        if entry.path != DOCUMENT and not entry.path.startswith(SLOTS):
            continue
        ops = msgspec.json.decode(entry.content or b"{}").get("nexusBounty", {}).get("ops", [])
        for record in ops:
            if record["key"] == KEY and not record.get("aborted"):
                seen.add(record["seq"])
    return len(seen)


def _wrong(verdict: str, committed: int) -> list[str]:
    problems = []
    if committed > 1:
        problems.append(f"landed {committed} times")
    if verdict in ("committed", "post_commit") and not committed:
        problems.append(f"said {verdict}, and it never landed")
    if verdict == "pre_commit" and committed:
        problems.append("said pre_commit, and it landed")
    return problems


async def _afterwards(mock: MockNexus, strategy: MakeStrategy | None) -> list[str]:
    """Whatever happened: the bounty, if there is one, is found by a listing of its status."""
    mock.clear_faults()
    async with _client(mock) as client:
        commit = (strategy or ConditionalCommit)(client)
        store = NexusBountyStore(client, clock=wall_clock, commit=commit)
        bounty = await store.get_bounty(BOUNTY_ID)
        if bounty is None:
            return []
        listed = await store.list_bounties(BountyQuery(status=bounty.status))
    return [] if [each.bounty_id for each in listed] == [BOUNTY_ID] else ["missing in its listing"]


def trials(operation: Operation, *, sample: bool = False, **options: Any) -> Iterator[Trial]:
    """Every request that `operation` sends x every fault, or a sample of the faults.

    It finds the requests by itself.
    """
    calm = run(attempt(operation, {}, **options))
    yield calm
    for number in range(1, calm.requests + 1):
        request = f"{calm.name} {options.get('impatient')} #{number}"
        for fault in sampled(EVERY_FAULT, request) if sample else EVERY_FAULT:
            yield run(attempt(operation, {number: fault}, **options))


def wrong(found: list[Trial]) -> list[str]:
    """What the log contradicts."""
    return [f"{trial.name}: {trial.verdict}: {trial.problems}" for trial in found if trial.problems]


def verdicts(found: list[Trial]) -> Counter[str]:
    """How often each was given."""
    return Counter(trial.verdict for trial in found)
