"""Writers and renames that race: how many are told that they won, and who really did."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from nexus_bounty.nexus.errors import NexusError
from nexus_bounty.nexus.probe.observe import MANY_PAGES
from nexus_bounty.nexus.probe.report import Race, RenameFacts
from nexus_bounty.nexus.probe.scratch import ScratchZone
from nexus_bounty.nexus.retry import Deadline

WRITERS: Final = 4
UPDATE_ROUNDS: Final = 3
RENAMERS: Final = 3
RENAME_ROUNDS: Final = 3
RENAME_PATIENCE: Final = 2.5
"""Seconds that a rename is waited for: 0.5.6 takes 30."""


async def race_updates(zone: ScratchZone) -> Race:
    """Several writers at once over the same version of a file."""
    await zone.write("updated", "0")
    await _warm_up(zone, "updated")
    told = []
    for number in range(UPDATE_ROUNDS):
        now = await zone.read("updated")
        told.append(
            await _won(
                zone.write("updated", f"{number}.{each}", if_match=now and now.version_tag)
                for each in range(WRITERS)
            )
        )
        if told[-1] > 1:
            break
    return Race(writers=WRITERS, told_they_won=told)


async def race_creates(zone: ScratchZone) -> Race:
    """Several writers at once of a file that does not exist."""
    told = await _won(
        zone.write("created", f"{each}", if_none_match=True) for each in range(WRITERS)
    )
    return Race(writers=WRITERS, told_they_won=[told])


async def race_renames(zone: ScratchZone) -> RenameFacts:
    """Several files at once onto one new name, in as many rounds as there is room for."""
    found = [await _rename_round(zone, 0)]
    while _is_worth_another_round(zone, found):
        found.append(await _rename_round(zone, len(found)))
    told = [count for facts in found for count in facts.race.told_they_won]
    return RenameFacts(
        race=Race(writers=RENAMERS, told_they_won=told),
        exclusive=all(facts.exclusive for facts in found),
        readable=all(facts.readable for facts in found),
        seconds=max(facts.seconds for facts in found),
        answered=all(facts.answered for facts in found),
    )


def _is_worth_another_round(zone: ScratchZone, found: Sequence[RenameFacts]) -> bool:
    cost = 3 * RENAMERS + 1 + MANY_PAGES + 1
    last = found[-1]
    return (
        len(found) < RENAME_ROUNDS
        and last.exclusive
        and last.answered
        and zone.requests_left >= cost
    )


async def _rename_round(zone: ScratchZone, number: int) -> RenameFacts:
    """One round: only one source may be gone, and the target must have its content."""
    sources = [f"renamed-{number}-{each}" for each in range(RENAMERS)]
    target = f"target-{number}"
    await asyncio.gather(*(zone.write(source, source) for source in sources))
    loop = asyncio.get_running_loop()
    began = loop.time()
    patience = Deadline.after(RENAME_PATIENCE)
    told = await _won(zone.rename(source, target, patience) for source in sources)
    seconds = loop.time() - began
    content = await zone.read(target)
    left = await asyncio.gather(*(zone.exists(source) for source in sources))
    gone = [source for source, is_left in zip(sources, left, strict=True) if not is_left]
    is_own = content is None or gone == [content.body.decode()]
    return RenameFacts(
        race=Race(writers=RENAMERS, told_they_won=[told]),
        exclusive=len(gone) == 1 and told <= 1 and is_own,
        readable=content is not None,
        seconds=seconds,
        answered=told > 0,
    )


async def _warm_up(zone: ScratchZone, name: str) -> None:
    """Open as many connections as will race, so that the race starts at once."""
    await asyncio.gather(*(zone.read(name) for _ in range(WRITERS)))


async def _won(attempts: Any) -> int:
    """How many of `attempts`, made at once, are told that they succeeded."""
    return sum(await asyncio.gather(*(_succeeds(each) for each in attempts)))


async def _succeeds(attempt: Coroutine[Any, Any, object]) -> bool:
    try:
        await attempt
    except NexusError:
        return False
    return True
