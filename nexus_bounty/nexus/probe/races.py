"""Writers and renames that race: how many are told that they won, and who really did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, TypeVar

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import wire
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.etags import etag_by, speaks_for, true_etag
from nexus_bounty.nexus.client.quirks import HASHES, EtagKind
from nexus_bounty.nexus.probe.extras import MANY_PAGES
from nexus_bounty.nexus.probe.report import Look, Race, RenameFacts
from nexus_bounty.nexus.probe.scratch import (
    UNHEARD,
    ScratchZone,
    UnclearError,
    is_refused_for_good,
)

T = TypeVar("T")

NOBODY_WON: Final = "nobody was told that it won"
WRITERS: Final = {Look.QUICK: 3, Look.FULL: 4}
UPDATE_ROUNDS: Final = 2
RENAMERS: Final = {Look.QUICK: 2, Look.FULL: 3}
RENAME_ROUNDS: Final = 3
RENAME_PATIENCE: Final = 2.5
"""Seconds that a rename is waited for at least: 0.5.6 takes 30."""
TIMES_THE_SLOWEST: Final = 2.5
"""How many times as long as any other answer took a rename is waited for."""


async def race_updates(zone: ScratchZone, number: int, look: Look, hashes: EtagKind) -> Race:
    """Several writers at once over the same version of a file, in two rounds.

    Where etags are no hashes, the version is the one that a read shows, as it is for every commit.
    """
    path, writers = zone.path(f"updated-{number}"), WRITERS[look]
    # a create: what is delivered twice would bring back the version that was raced for
    await zone.created(path, "0")
    said = etag_by(hashes, b"0") if hashes in HASHES else None
    if look is Look.FULL:
        await _warm_up(zone, path, writers - 1)
    told: list[int] = []
    while len(told) < UPDATE_ROUNDS and set(told) <= {1}:
        tag = await _tag(zone, path, said, hashes)
        won, errors = await _ends(
            zone.write(path, f"{len(told)}.{each}", if_match=tag) for each in range(writers)
        )
        _refuse_unheard(errors)
        if not won:
            await _see_all_refused(zone, path, f"{len(told)}.", errors)
        told.append(len(won))
        said = won[0].version_tag if won else None
    return Race(writers=writers, told_they_won=told)


async def _tag(zone: ScratchZone, path: str, said: str | None, hashes: EtagKind) -> str | None:
    """The etag that whoever writes over a file names: what is a hash needs no read."""
    if hashes not in HASHES:
        now = await zone.read(path)
        return now.version_tag if now else None
    if said is not None:
        return said
    now = await zone.read(path)
    return true_etag(now.version_tag, now.body, hashes) if now and now.version_tag else None


async def _see_all_refused(
    zone: ScratchZone, path: str, began: str, errors: Sequence[NexusError]
) -> None:
    """Make sure that a precondition kept out all whose content `began` so.

    Raises:
        UnclearError: Something else did, or one of them was written all the same.
    """
    now = await zone.read(path)
    conflicts = all(error.reason is Reason.CONFLICT for error in errors)
    if not conflicts or now is None or now.body.startswith(began.encode()):
        raise UnclearError(NOBODY_WON)


async def race_creates(zone: ScratchZone, number: int, look: Look) -> Race:
    """Several writers at once of a file that does not exist."""
    path, writers = zone.path(f"created-{number}"), WRITERS[look]
    won = await _won(zone.write(path, f"{each}", if_none_match=True) for each in range(writers))
    return Race(writers=writers, told_they_won=[len(won)])


async def _warm_up(zone: ScratchZone, path: str, connections: int) -> None:
    """Open more connections, as many as will race in all, so that the race starts at once."""
    await _all_of(zone.read(path) for _ in range(connections))


async def _won(attempts: Iterable[Awaitable[wire.WriteReply]]) -> list[wire.WriteReply]:
    """What those of `attempts`, made at once, are told that succeeded.

    Raises:
        UnclearError: One ended neither so nor in a refusal, or none won.
    """
    won, errors = await _ends(attempts)
    _refuse_unheard(errors)
    if not won:
        raise UnclearError(NOBODY_WON)
    return won


async def _ends(
    attempts: Iterable[Awaitable[T]],
) -> tuple[list[T], list[NexusError]]:
    """What `attempts`, made at once, return, and what they raise."""
    ends = await asyncio.gather(*attempts, return_exceptions=True)
    won: list[T] = []
    errors: list[NexusError] = []
    for end in ends:
        if isinstance(end, NexusError):
            errors.append(end)
        elif isinstance(end, BaseException):
            raise end
        else:
            won.append(end)
    return won, errors


async def _all_of(attempts: Iterable[Awaitable[T]]) -> list[T]:
    """What `attempts`, made at once, return; all have ended, whatever the first of them raises."""
    ends = await asyncio.gather(*attempts, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    return [end for end in ends if not isinstance(end, BaseException)]


def _refuse_unheard(errors: Sequence[NexusError], but: Sequence[Reason] = ()) -> None:
    for error in errors:
        if error.reason in UNHEARD and error.reason not in but:
            raise UnclearError("an answer was not heard", error) from error


async def race_renames(zone: ScratchZone, look: Look, *, at_root: bool) -> RenameFacts:
    """Several files at once onto one new name, in as many rounds as there is room for."""
    names = iter(range(1000))

    async def race(_: int) -> RenameFacts:
        return await _rename_round(zone, next(names), RENAMERS[look], at_root=at_root)

    def is_expected(facts: RenameFacts) -> bool:
        """Whether it is as on every release that was measured, be it that it takes long."""
        return facts.decides and (facts.answered or zone.blocked)

    found = [await zone.clear(race, is_expected, _shown)]
    while look is Look.FULL and _is_worth_another_round(zone, found):
        found.append(await zone.clear(race, is_expected, _shown))
    return _together(found)


def _shown(facts: RenameFacts) -> object:
    """What a round shows, however long it took."""
    return facts.exclusive, facts.readable, facts.told_by_etag, facts.answered


def _together(found: Sequence[RenameFacts]) -> RenameFacts:
    told = [count for facts in found for count in facts.race.told_they_won]
    return RenameFacts(
        race=Race(writers=found[0].race.writers, told_they_won=told),
        exclusive=all(facts.exclusive for facts in found),
        readable=all(facts.readable for facts in found),
        told_by_etag=all(facts.told_by_etag for facts in found),
        from_root=found[0].from_root,
        seconds=max(facts.seconds for facts in found),
        answered=all(facts.answered for facts in found),
    )


def _is_worth_another_round(zone: ScratchZone, found: Sequence[RenameFacts]) -> bool:
    last = found[-1]
    renamers = last.race.writers
    removed_one_by_one = renamers if last.from_root else 0
    cost = 3 * renamers + 2 + MANY_PAGES + 1 + removed_one_by_one * (len(found) + 1)
    return (
        len(found) < RENAME_ROUNDS
        and last.exclusive
        and last.answered
        and zone.requests_left >= cost
    )


async def takes_files_at_root(zone: ScratchZone, number: int) -> bool:
    """Whether a file may lie in no directory."""
    attempt = zone.write(zone.path_at_root(f"a-{number}"), "")
    return not await is_refused_for_good(attempt, number)


async def _rename_round(
    zone: ScratchZone, number: int, renamers: int, *, at_root: bool
) -> RenameFacts:
    """One round: only one source may be gone, and the target must be its file."""
    place = zone.path_at_root if at_root else zone.path
    sources = [place(f"renamed-{number}-{each}") for each in range(renamers)]
    target = zone.path(f"target-{number}")
    await _all_of(zone.written(source, source) for source in sources)
    told, seconds, timed_out = await _renamed(zone, sources, target)
    content = await zone.read(target)
    etag = content.version_tag if content else await zone.etag(target)
    left = await _all_of(zone.exists(source) for source in sources)
    gone = [source for source, is_left in zip(sources, left, strict=True) if not is_left]
    zone.blocked = timed_out and told == 0 and await zone.is_blocked(f"blocked-{number}")
    if told == 0 and not zone.blocked and (gone or not timed_out):
        raise UnclearError("nobody was told that its rename was carried out")
    is_own = content is None or gone == [content.body.decode()]
    return RenameFacts(
        race=Race(writers=renamers, told_they_won=[told]),
        exclusive=len(gone) == 1 and told <= 1 and is_own,
        readable=content is not None,
        told_by_etag=all(speaks_for(etag, source.encode()) for source in gone),
        from_root=at_root,
        seconds=seconds,
        answered=told > 0,
    )


async def _renamed(
    zone: ScratchZone, sources: Sequence[str], target: str
) -> tuple[int, float, bool]:
    """How many were told that they won, how long it took, and whether some were not answered."""
    clock = asyncio.get_running_loop().time
    began = clock()
    patience = Deadline.after(max(RENAME_PATIENCE, TIMES_THE_SLOWEST * zone.slowest))
    won, errors = await _ends(_timed(zone.rename(source, target, patience)) for source in sources)
    too_late = (Reason.TIMEOUT, Reason.OUT_OF_TIME)
    _refuse_unheard(errors, too_late)
    seconds = max(won, default=clock() - began)
    return len(won), seconds, any(each.reason in too_late for each in errors)


async def _timed(renaming: Awaitable[None]) -> float:
    clock = asyncio.get_running_loop().time
    began = clock()
    await renaming
    return clock() - began
