"""How many bounties each status has, by the names of their markers.

A bounty that was committed has its marker, so that none is left out. One that has markers of
several statuses, because one of them was written ahead or is kept on a way back, is read. What is
counted one too many has a marker that is stale, for the moment that an old one takes to be removed,
or until the reconciler has seen to a process that died.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.nexus.bounties.status_index import StatusIndex
from nexus_bounty.partition import EVERYTHING

LIVING = tuple(status for status in BountyStatus if status not in TERMINAL)

Read = Callable[[Sequence[str]], Awaitable[Mapping[str, Bounty]]]
"""Reads bounties by their ids."""


async def count_by_names(
    index: StatusIndex, statuses: Sequence[BountyStatus], read: Read, size: int
) -> dict[BountyStatus, int]:
    """How many bounties are in each of `statuses`; those in doubt are read, `size` at a time.

    The names of the living are all listed, whichever are asked for, and held; of ended ones hashes.

    Raises:
        NexusError: They could not be listed or read.
    """
    found: Counter[BountyStatus] = Counter()
    living: dict[str, BountyStatus] = {}
    in_doubt: set[str] = set()
    for status in LIVING:
        async for page in index.pages(status, EVERYTHING, "", size, None):
            in_doubt.update(each for each in page.ids if living.get(each, status) is not status)
            living.update(dict.fromkeys(page.ids, status))
    for status in (each for each in statuses if each in TERMINAL):
        seen: set[int] = set()
        async for page in index.pages(status, EVERYTHING, "", size, None):
            in_doubt.update(living.keys() & page.ids)
            seen.update(hash(each) for each in page.ids if each not in living)
        found[status] = len(seen)
    found.update(status for name, status in living.items() if name not in in_doubt)
    doubtful = sorted(in_doubt)
    for begin in range(0, len(doubtful), size):
        bounties = await read(doubtful[begin : begin + size])
        found.update(bounty.status for bounty in bounties.values())
    return {status: found[status] for status in statuses}
