# ruff: noqa: T201 - run by hand it prints
"""Processes that race to claim one bounty on a real server.

python -m tests.live.claimers http://127.0.0.1:20701 --rounds 25 --processes 8
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing as mp
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from nexus_bounty import (
    AgentIdentity,
    BountyOperations,
    BountyStateError,
    BountyStatus,
    ClaimConflictError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusError,
    NexusSettings,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.models import Contribution
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.ports import CreditsService
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty_sqlite import SqliteCredits

PATIENCE = 60.0
"""Seconds that one round may take."""
CREATOR = AgentIdentity(agent_id="creator")
PRICE = 100


@dataclass
class Round:
    """How one race ended, and where the money was after its bounty had been settled."""

    answers: Counter[str]
    winners: list[str]
    holder: str | None
    seconds: float
    problems: list[str] = field(default_factory=list)


def _client(url: str) -> NexusClient:
    return NexusClient(url, api_key="sk-test", settings=NexusSettings(operation_timeout=PATIENCE))


def _operations(
    client: NexusClient, zone: str, credit: CreditsService, rounds: int
) -> BountyOperations:
    return BountyOperations(
        NexusBountyStore(client, zone),
        credits=credit,
        claims=NexusClaimStore(client, zone),
        contributions=MemoryContributionStore(
            [Contribution(cid=f"cid-{n}") for n in range(rounds)]
        ),
    )


def _claimer(
    ledger: Path, url: str, zone: str, number: int, rounds: int, start: Barrier, answers: Any
) -> None:
    asyncio.run(_claim_rounds(ledger, url, zone, number, rounds, start, answers))


async def _claim_rounds(
    ledger: Path, url: str, zone: str, number: int, rounds: int, start: Barrier, answers: Any
) -> None:
    agent = AgentIdentity(agent_id=f"agent-{number}")
    async with _client(url) as client, SqliteCredits(ledger) as credit:
        operations = _operations(client, zone, credit, rounds)
        for each in range(rounds):
            await asyncio.to_thread(start.wait, PATIENCE)
            answers.put((each, agent.agent_id, await _claim(operations, each, agent)))


async def _claim(operations: BountyOperations, number: int, agent: AgentIdentity) -> str:
    """Claim as users do, or, every other round, past the lease that would settle it before."""
    bounty_id = f"b-{number}"
    try:
        if number % 2:
            await operations.claim(bounty_id, agent)
        else:
            claim_id = f"claim-{number}-{agent.agent_id}"
            await operations.services.store.claim_bounty(bounty_id, agent, claim_id)
    except (BountyStateError, ClaimConflictError):
        return "refused"
    except Exception as error:  # noqa: BLE001 - the parent is told of every other end
        return f"{type(error).__name__}: {error}"
    return "won"


async def race(url: str, rounds: int, processes: int) -> list[Round]:
    """Let `processes` race for a bounty in each of `rounds`, and settle it with whoever has it."""
    zone = f"race-{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as directory:
        ledger = Path(directory, "ledger.db")
        async with _client(url) as client, SqliteCredits(ledger) as credit:
            await credit.top_up("funds", account=CREATOR.agent_id, amount=rounds * PRICE)
            operations = _operations(client, zone, credit, rounds)
            claimer = partial(_claimer, ledger)
            with _running(claimer, url, zone, rounds, processes) as (start, answers):
                return [
                    await _one(operations, each, rounds, processes, start, answers)
                    for each in range(rounds)
                ]


@contextmanager
def _running(
    claimer: Callable[..., None], url: str, zone: str, rounds: int, processes: int
) -> Iterator[tuple[Barrier, Any]]:
    """So many processes of `claimer`: what they start at, and what they answer with."""
    context = mp.get_context("spawn")
    start, answers = context.Barrier(processes + 1), context.Queue()
    workers = [
        context.Process(target=claimer, args=(url, zone, n, rounds, start, answers), daemon=True)
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        yield start, answers
    finally:
        for worker in workers:
            worker.join(1)
            worker.kill()


async def _one(
    operations: BountyOperations,
    number: int,
    rounds: int,
    processes: int,
    start: Barrier,
    answers: Any,
) -> Round:
    bounty_id, store = f"b-{number}", operations.services.store
    await operations.create(make_bounty(bounty_id=bounty_id, creator=CREATOR, amount=PRICE))
    await asyncio.to_thread(start.wait, PATIENCE)
    began = time.monotonic()
    said = [await asyncio.to_thread(answers.get, timeout=PATIENCE) for _ in range(processes)]
    seconds = time.monotonic() - began
    winners = [agent for _, agent, answer in said if answer == "won"]
    bounty = await store.get_bounty(bounty_id)
    holder = bounty.claimed_by.agent_id if bounty and bounty.claimed_by else None
    found = Round(Counter(answer for *_, answer in said), winners, holder, seconds)
    found.problems = _problems(found)
    if not found.problems:
        await operations.settle(bounty_id, f"cid-{number}")
        found.problems = await _lost(operations, number, rounds, processes)
    return found


def _problems(found: Round) -> list[str]:
    problems = []
    if len(found.winners) != 1:
        problems.append(f"{len(found.winners)} winners")
    if found.winners != [found.holder]:
        problems.append(f"told {found.winners}, and the document names {found.holder}")
    if set(found.answers) - {"won", "refused"}:
        problems.append(f"other answers: {dict(found.answers)}")
    return problems


async def _lost(operations: BountyOperations, number: int, rounds: int, claimers: int) -> list[str]:
    """What is missing after `number` rounds and one: bounties in the listing, or credits."""
    services, problems = operations.services, []
    statuses = [each.status for each in await services.store.list_bounties()]
    if statuses != [BountyStatus.SETTLED] * (number + 1):
        problems.append(f"the listing has {statuses}")
    paid = [await services.credits.balance(f"agent-{each}") for each in range(claimers)]
    left = await services.credits.balance(CREATOR.agent_id)
    if (left.available, left.reserved) != ((rounds - number - 1) * PRICE, 0):
        problems.append(f"the creator has {left}")
    if sum(each.available for each in paid) != (number + 1) * PRICE:
        problems.append(f"the claimers have {paid}")
    return problems


async def trusting_race(url: str, rounds: int, processes: int) -> list[int]:
    """How many of `processes` are told that they won, if each trusts its conditional write."""
    zone = f"race-{uuid.uuid4().hex}"
    winners = []
    with _running(_trusting_claimer, url, zone, rounds, processes) as (start, answers):
        async with _client(url) as client:
            for number in range(rounds):
                await client.write(ZonePaths(zone).bounty(f"b-{number}"), b"open")
                await asyncio.to_thread(start.wait, PATIENCE)  # it is there
                await asyncio.to_thread(start.wait, PATIENCE)  # all have read it
                told = [
                    await asyncio.to_thread(answers.get, timeout=PATIENCE) for _ in range(processes)
                ]
                winners.append(sum(told))
    return winners


def _trusting_claimer(
    url: str, zone: str, number: int, rounds: int, start: Barrier, answers: Any
) -> None:
    asyncio.run(_claim_trustingly(url, zone, number, rounds, start, answers))


async def _claim_trustingly(
    url: str, zone: str, number: int, rounds: int, start: Barrier, answers: Any
) -> None:
    async with _client(url) as client:
        for each in range(rounds):
            path = ZonePaths(zone).bounty(f"b-{each}")
            await asyncio.to_thread(start.wait, PATIENCE)
            seen = await client.read(path)
            tag = seen.etag if seen else None
            await asyncio.to_thread(start.wait, PATIENCE)
            try:
                await client.write(path, f"agent-{number}".encode(), if_match=tag)
            except NexusError:
                answers.put(False)
            else:
                answers.put(True)


def main() -> None:
    """Race, and print a line for each round."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--trusting", action="store_true", help="trust conditional writes")
    args = parser.parse_args()
    if args.trusting:
        winners = asyncio.run(trusting_race(args.url, args.rounds, args.processes))
        print("told that they won, round by round:", *winners)
        return
    rounds = asyncio.run(race(args.url, args.rounds, args.processes))
    for number, each in enumerate(rounds):
        answers = {key[:40]: count for key, count in each.answers.items()}
        print(f"{number:3} {each.seconds:5.2f} s {answers} {each.problems or 'ok'}")
    good = sum(not each.problems for each in rounds)
    print(f"{good} of {len(rounds)} rounds with exactly one winner, who was paid")


if __name__ == "__main__":
    main()
