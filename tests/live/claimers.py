# ruff: noqa: T201 - run by hand it prints
"""Processes that race to claim one bounty on a real server, all with the same strategy.

python -m tests.live.claimers http://127.0.0.1:20701 --rounds 25 --processes 8
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing as mp
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Any

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyStateError,
    BountyStatus,
    ConditionalCommit,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.commit.results import CommitStrategy
from nexus_bounty.testing.builders import make_bounty

STRATEGIES: dict[str, Callable[[NexusClient], CommitStrategy]] = {
    "rename": RenameCommit,
    "conditional": ConditionalCommit,
}
PATIENCE = 60.0
"""Seconds that one round may take."""


@dataclass
class Round:
    """How one race ended."""

    answers: Counter[str]
    winners: list[str]
    holder: str | None
    listed: list[str]
    seconds: float
    problems: list[str] = field(default_factory=list)


def _client(url: str) -> NexusClient:
    return NexusClient(url, api_key="sk-test", settings=NexusSettings(operation_timeout=PATIENCE))


def _claimer(
    url: str, zone: str, strategy: str, number: int, rounds: int, start: Barrier, answers: Any
) -> None:
    asyncio.run(_claim_rounds(url, zone, strategy, number, rounds, start, answers))


async def _claim_rounds(
    url: str, zone: str, strategy: str, number: int, rounds: int, start: Barrier, answers: Any
) -> None:
    agent = AgentIdentity(agent_id=f"agent-{number}")
    async with _client(url) as client:
        store = NexusBountyStore(client, zone, commit=STRATEGIES[strategy](client))
        for each in range(rounds):
            await asyncio.to_thread(start.wait, PATIENCE)
            answers.put((each, agent.agent_id, await _claim(store, f"b-{each}", agent)))


async def _claim(store: NexusBountyStore, bounty_id: str, agent: AgentIdentity) -> str:
    try:
        await store.claim_bounty(bounty_id, agent, f"claim-{agent.agent_id}")
    except BountyStateError:
        return "refused"
    except Exception as error:  # noqa: BLE001 - the parent is told of every other end
        return f"{type(error).__name__}: {error}"
    return "won"


async def race(url: str, rounds: int, processes: int, strategy: str = "rename") -> list[Round]:
    """Let `processes` race for a bounty in each of `rounds`."""
    zone = f"race-{uuid.uuid4().hex}"
    context = mp.get_context("spawn")
    start, answers = context.Barrier(processes + 1), context.Queue()
    workers = [
        context.Process(
            target=_claimer, args=(url, zone, strategy, number, rounds, start, answers), daemon=True
        )
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        async with _client(url) as client:
            store = NexusBountyStore(client, zone, commit=STRATEGIES[strategy](client))
            return [await _one(store, each, processes, start, answers) for each in range(rounds)]
    finally:
        for worker in workers:
            worker.join(1)
            worker.kill()


async def _one(
    store: NexusBountyStore, number: int, processes: int, start: Barrier, answers: Any
) -> Round:
    bounty_id = f"b-{number}"
    await store.create_bounty(make_bounty(bounty_id=bounty_id))
    await asyncio.to_thread(start.wait, PATIENCE)
    began = time.monotonic()
    said = [await asyncio.to_thread(answers.get, timeout=PATIENCE) for _ in range(processes)]
    seconds = time.monotonic() - began
    winners = [agent for _, agent, answer in said if answer == "won"]
    bounty = await store.get_bounty(bounty_id)
    claimed = [each.bounty_id for each in await store.list_bounties() if _is_claimed(each)]
    holder = bounty.claimed_by.agent_id if bounty and bounty.claimed_by else None
    found = Round(Counter(answer for *_, answer in said), winners, holder, claimed, seconds)
    found.problems = _problems(found, bounty_id, number)
    return found


def _is_claimed(bounty: Bounty) -> bool:
    return bounty.status is BountyStatus.CLAIMED


def _problems(found: Round, bounty_id: str, number: int) -> list[str]:
    problems = []
    if len(found.winners) != 1:
        problems.append(f"{len(found.winners)} winners")
    if found.winners != [found.holder]:
        problems.append(f"told {found.winners}, and the document names {found.holder}")
    if bounty_id not in found.listed or len(found.listed) != number + 1:
        problems.append("a claimed bounty is not listed")
    if set(found.answers) - {"won", "refused"}:
        problems.append(f"other answers: {dict(found.answers)}")
    return problems


def main() -> None:
    """Race, and print a line for each round."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--strategy", choices=STRATEGIES, default="rename")
    args = parser.parse_args()
    rounds = asyncio.run(race(args.url, args.rounds, args.processes, args.strategy))
    for number, each in enumerate(rounds):
        answers = {key[:40]: count for key, count in each.answers.items()}
        print(f"{number:3} {each.seconds:5.2f} s {answers} {each.problems or 'ok'}")
    bad = sum(bool(each.problems) for each in rounds)
    print(f"{len(rounds) - bad} of {len(rounds)} rounds with exactly one winner")


if __name__ == "__main__":
    main()
