"""Whatever a public method raises is in its docstring: checked where it cannot but raise."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import nexus_bounty
import nexus_bounty.memory
import nexus_bounty_nexuspay
import nexus_bounty_postgres
import nexus_bounty_sqlite
from nexus_bounty import (
    BountyOperations,
    BountyStatus,
    IndexFault,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    NexusSettings,
    Work,
)
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.testing import make_agent, make_bounty, make_reward
from tests.support.virtual import virtual

QUIET = {
    "close": "what cannot be cleared up is logged",
    "flush": "likewise",
    "run_once": "what it runs into is in its report",
    "run_until_clean": "likewise",
    "run_forever": "likewise",
    "prepare_claim": "what is in its way, `claim_bounty` says",
    "prepare_settlement": "what is in its way, `begin_settlement` says",
    "prepare_completion": "what is in its way, `complete` says",
    "prepare_reward": "what is in its way, `record_reward` says",
    "at_rest": "it waits for a repair, whose error is in the report of its run",
}
"""Methods that wait and raise nothing, and why."""
STRATEGIES = ("CommitsByProvenWrite", "ConditionalCommit", "RenameCommit", "SingleWriter")
QUIET_STRATEGIES = {f"{each}.abort" for each in STRATEGIES} | {
    f"{each}.ready" for each in STRATEGIES
}
"""What they cannot prove is in their result; only one of them has to be ready for anything."""


def _waits(method: Callable[..., Any]) -> bool:
    returns = str(inspect.signature(method).return_annotation)
    is_async = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
    return is_async or returns.startswith(("AsyncIterator", "Awaitable"))


def _methods(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for owner in kind.__mro__:
        if owner.__module__.startswith("nexus_bounty"):
            for name, method in vars(owner).items():
                if not name.startswith("_") and inspect.isfunction(method) and _waits(method):
                    yield name, method


def _exported() -> Iterator[type]:
    for module in (
        nexus_bounty,
        nexus_bounty.memory,
        nexus_bounty_nexuspay,
        nexus_bounty_postgres,
        nexus_bounty_sqlite,
    ):
        for name in module.__all__:
            each = getattr(module, name)
            if inspect.isclass(each):
                yield each


def test_every_public_method_that_waits_says_what_it_raises() -> None:
    """Those that raise nothing are listed above, each with its reason."""
    silent = {
        method.__qualname__
        for kind in _exported()
        for name, method in _methods(kind)
        if name not in QUIET and "Raises:" not in (method.__doc__ or "")
    }
    quiet = QUIET_STRATEGIES | {"MemoryContributionStore.get"}
    assert silent <= quiet, silent - quiet


AGENT, NOW = make_agent(), datetime(2026, 1, 1, tzinfo=UTC)
ARGUMENTS: dict[str, Any] = {
    "after": "",
    "agent": AGENT,
    "bounty": make_bounty(),
    "bounty_id": "b-1",
    "bounty_ids": ["b-1"],
    "cid": "cid-1",
    "claim": nexus_bounty.Claim(
        claim_id="c-1",
        target_ref="bounty:b-1",
        agent=AGENT,
        intent_summary="",
        heartbeat_at=NOW,
        lease_expires_at=NOW,
    ),
    "claim_id": "c-1",
    "claim_ids": ["c-1"],
    "claimed_by": AGENT,
    "content": b"{}",
    "contribution_cid": "cid-1",
    "decoder": None,
    "directory": "/zones/default/bounties",
    "faults": [
        IndexFault(bounty_id="b-1", status=BountyStatus.OPEN, marker="/zones/x", missing=False)
    ],
    "files": {"/a": b"", "/b": b""},
    "fulfilled_by_cid": "cid-1",
    "idempotency_key": "k-1",
    "lease": timedelta(minutes=1),
    "method": "read",
    "name": "done-until",
    "note": "2026-01-01",
    "params": {"path": "/a"},
    "path": "/a",
    "paths": ["/a", "/b"],
    "query": None,
    "reservation_id": "r-1",
    "retention": timedelta(days=1),
    "reward": make_reward(),
    "reward_id": "reward:bounty_payout:b-1:cid-1",
    "reward_ids": ["reward:bounty_payout:b-1:cid-1"],
    "route": "/health",
    "source": "/a",
    "stalled_for": timedelta(minutes=1),
    "status": BountyStatus.OPEN,
    "target": "/b",
    "target_ref": "bounty:b-1",
    "work": Work(agent=AGENT, summary="done"),
}
KINDS = (NexusBountyStore, NexusClaimStore, NexusContributionStore, NexusClient, BountyOperations)
ASKS_THE_LEDGER_ALONE = "look_up_doubts"
NO_CASES = {*QUIET, "call", ASKS_THE_LEDGER_ALONE}
CASES = [(kind, name) for kind in KINDS for name, _ in _methods(kind) if name not in NO_CASES]


def _of(kind: type, client: NexusClient) -> Any:
    if kind is NexusClient:
        return client
    if kind is not BountyOperations:
        return kind(client)
    return BountyOperations(
        NexusBountyStore(client),
        credits=MemoryCredits(),
        claims=NexusClaimStore(client),
        contributions=NexusContributionStore(client),
    )


async def _call(method: Callable[..., Any]) -> None:
    needed = [
        ARGUMENTS[each.name]
        for each in inspect.signature(method).parameters.values()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    named = {
        each.name: ARGUMENTS[each.name]
        for each in inspect.signature(method).parameters.values()
        if each.default is each.empty and each.kind is each.KEYWORD_ONLY
    }
    made = method(*needed, **named)
    if isinstance(made, AsyncIterator):
        async for _ in made:
            pass
    else:
        await made


def _named_in(kind: type, name: str) -> set[str]:
    """The types that a docstring names; one that says "as …" means those of that one, too."""
    doc = getattr(kind, name).__doc__ or ""
    said = doc.partition("Raises:")[2]
    types = set(re.findall(r"\b[A-Z]\w+Error\b", said))
    for other in re.findall(r"\b(?:as|see) (?:every transition, see )?`(\w+)`", said):
        types |= _named_in(kind, other)
    return types


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{k.__name__}.{n}" for k, n in CASES])
@pytest.mark.parametrize("fault", [FaultKind.REFUSE, FaultKind.DROP_BEFORE])
@virtual
async def test_what_is_raised_where_no_request_gets_through_is_documented(
    kind: type, name: str, fault: FaultKind
) -> None:
    mock = MockNexus(faults=[Fault(fault, times=None)])
    settings = NexusSettings(operation_timeout=2, listing_timeout=2, queue_timeout=2)
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        method = getattr(_of(kind, client), name)
        with pytest.raises(Exception, match=r".") as raised:
            await _call(method)
    said = {each.__name__ for each in type(raised.value).__mro__}
    assert said & _named_in(kind, name), repr(raised.value)
