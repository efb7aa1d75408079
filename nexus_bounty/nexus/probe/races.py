"""Writers and renames that race: how many are told that they won, and who really did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.etags import speaks_for
from nexus_bounty.nexus.probe.observe import MANY_PAGES
from nexus_bounty.nexus.probe.report import Race, RenameFacts
from nexus_bounty.nexus.probe.scratch import UNHEARD, ScratchZone

WRITERS: Final = 4
UPDATE_ROUNDS: Final = 3
RENAMERS: Final = 3
RENAME_ROUNDS: Final = 3
RENAME_PATIENCE: Final = 2.5
"""Seconds that a rename is waited for: 0.5.6 takes 30."""


async def race_updates(zone: ScratchZone) -> Race:
    """Several writers at once over the same version of a file."""
    path = zone.path("updated")
    await zone.write(path, "0")
    await _warm_up(zone, path)
    told = []
    for number in range(UPDATE_ROUNDS):
        now = await zone.read(path)
        told.append(
            await _won(
                (
                    zone.write(path, f"{number}.{each}", if_match=now and now.version_tag)
                    for each in range(WRITERS)
                ),
                _loses,
            )
        )
        if told[-1] > 1:
            break
    return Race(writers=WRITERS, told_they_won=told)


async def race_creates(zone: ScratchZone) -> Race:
    """Several writers at once of a file that does not exist."""
    path = zone.path("created")
    creates = (zone.write(path, f"{each}", if_none_match=True) for each in range(WRITERS))
    told = await _won(creates, _loses)
    return Race(writers=WRITERS, told_they_won=[told])


async def race_renames(zone: ScratchZone, *, from_root: bool) -> RenameFacts:
    """Several files at once onto one new name, in as many rounds as there is room for."""
    found = [await _rename_round(zone, 0, from_root=from_root)]
    while _is_worth_another_round(zone, found):
        found.append(await _rename_round(zone, len(found), from_root=from_root))
    told = [count for facts in found for count in facts.race.told_they_won]
    return RenameFacts(
        race=Race(writers=RENAMERS, told_they_won=told),
        exclusive=all(facts.exclusive for facts in found),
        readable=all(facts.readable for facts in found),
        told_by_etag=all(facts.told_by_etag for facts in found),
        from_root=from_root,
        seconds=max(facts.seconds for facts in found),
        answered=all(facts.answered for facts in found),
    )


def _is_worth_another_round(zone: ScratchZone, found: Sequence[RenameFacts]) -> bool:
    removed_one_by_one = RENAMERS if found[-1].from_root else 0
    cost = 3 * RENAMERS + 2 + MANY_PAGES + 1 + removed_one_by_one * (len(found) + 1)
    last = found[-1]
    return (
        len(found) < RENAME_ROUNDS
        and last.exclusive
        and last.answered
        and zone.requests_left >= cost
    )


async def _rename_round(zone: ScratchZone, number: int, *, from_root: bool) -> RenameFacts:
    """One round: only one source may be gone, and the target must be its file."""
    place = zone.path_at_root if from_root else zone.path
    sources = [place(f"renamed-{number}-{each}") for each in range(RENAMERS)]
    target = zone.path(f"target-{number}")
    await asyncio.gather(*(zone.write(source, source) for source in sources))
    loop = asyncio.get_running_loop()
    began = loop.time()
    patience = Deadline.after(RENAME_PATIENCE)
    renames = (zone.rename(source, target, patience) for source in sources)
    told = await _won(renames, _loses_a_rename)
    seconds = loop.time() - began
    zone.blocked = zone.blocked or told == 0
    content = await zone.read(target)
    etag = content.version_tag if content else await zone.etag(target)
    left = await asyncio.gather(*(zone.exists(source) for source in sources))
    gone = [source for source, is_left in zip(sources, left, strict=True) if not is_left]
    is_own = content is None or gone == [content.body.decode()]
    return RenameFacts(
        race=Race(writers=RENAMERS, told_they_won=[told]),
        exclusive=len(gone) == 1 and told <= 1 and is_own,
        readable=content is not None,
        told_by_etag=all(speaks_for(etag, source.encode()) for source in gone),
        from_root=from_root,
        seconds=seconds,
        answered=told > 0,
    )


async def _warm_up(zone: ScratchZone, path: str) -> None:
    """Open as many connections as will race, so that the race starts at once."""
    await asyncio.gather(*(zone.read(path) for _ in range(WRITERS)))


async def _won(attempts: Iterable[Awaitable[object]], loses: Callable[[Reason], bool]) -> int:
    """How many of `attempts`, made at once, are told that they succeeded.

    Raises:
        NexusError: One ended neither so nor as one that `loses`, so that nothing is known of it.
    """
    ends = await asyncio.gather(*attempts, return_exceptions=True)
    failed = [each for each in ends if isinstance(each, BaseException)]
    for error in failed:
        if not (isinstance(error, NexusError) and loses(error.reason)):
            raise error
    return len(ends) - len(failed)


def _loses(reason: Reason) -> bool:
    return reason not in UNHEARD


def _loses_a_rename(reason: Reason) -> bool:
    return _loses(reason) or reason in (Reason.TIMEOUT, Reason.OUT_OF_TIME)
