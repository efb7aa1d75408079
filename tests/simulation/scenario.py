"""What a run starts from and what its actors want: written down as JSON, or drawn from a seed."""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec

STARTS: Final = (
    "nothing",
    "draft",
    "open",
    "claimed",
    "claimed for long",
    "pending",
    "overdue",
    "overdue claimed",
)
ATOMIC: Final = "0.10-hypothetical"
SERVERS: Final = (ATOMIC, "0.7.0", "0.9", "0.10", "0.9.26")
"""One whose preconditions are atomic, and those on which commits are made by rename."""
ETAGS: Final = ("content", "version")
"""What etags of the first may be; those of the others are as they are measured."""
SKEWS: Final = (0, 0, 0, 60, -60)
"""Seconds by which clocks are wrong: well within the grace period, as the manual asks for."""


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task, what it does one after another, and the process that it runs in."""

    name: str
    does: tuple[str, ...]
    """Operations, such as `claim` or `settle cid-2`; `again` repeats the one before, same key.

    `sleep 31` does nothing for so many minutes: by then, leases have run out.
    """
    process: str = ""
    """Actors that name the same process share its stores; on its own if empty."""
    keys: str = ""
    """Uses the keys of this actor, as if its caller could not wait; its own if empty."""
    skew: int = 0
    impatient: bool = False
    """Sends every request once, and so has to fence sooner."""

    @property
    def home(self) -> str:
        """The process that it runs in."""
        return self.process or self.name


class Scenario(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bounty, the state that it starts in, and who wants what of it."""

    start: str
    actors: tuple[Actor, ...]
    server: str = ATOMIC
    etag: str = "content"
    probes: bool = False
    """Find out how to commit by trying, as every process does that is not told."""
    thorough: bool = False
    """Reconcile even when nothing seems to need it, to see that it harms nothing."""
    keyless: bool = False
    """Nobody gives a key: each call makes its own, and its caller hears of it at its end."""
    stranger: str = ""
    """Whether somebody forges documents, and whether the zone is signed; nobody if empty."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run, complete: the scenario, and every choice in it that is not the calm one."""

    scenario: Scenario
    choices: dict[str, str] = {}
    seed: int | None = None
    """What the choices were drawn from, if they were."""


_WANTS: Final = {
    "alice": ("create", "cancel", "expire", "cancel", "claim", "again"),
    "bob": ("claim", "settle", "release", "claim", "settle", "renew", "settle cid-poor", "again"),
    "carol": ("claim", "settle cid-2", "release", "claim", "again"),
    "janitor": ("reconcile", "expire", "expire_due", "expire"),
}
_USUAL_START: Final = {
    "nothing": {"alice": "create", "ann": "create"},
    "draft": {"alice": "cancel", "bob": "claim"},
    "open": {"bob": "claim", "alice": "cancel", "carol": "claim"},
    "claimed": {"bob": "settle", "alice": "cancel", "carol": "claim"},
    "claimed for long": {"bob": "release", "alice": "cancel", "carol": "claim"},
    "pending": {"bob": "settle", "carol": "claim", "alice": "cancel"},
    "overdue": {"janitor": "expire", "bob": "claim", "alice": "cancel"},
    "overdue claimed": {"janitor": "expire", "bob": "settle", "alice": "cancel"},
}
"""What somebody is likely to do first, so that most runs do something."""


def drawn(random: Random) -> Scenario:
    """A scenario at random."""
    start = random.choice(STARTS)
    usual = _USUAL_START[start]
    names = random.sample(sorted(usual), k=min(len(usual), random.choice((1, 2, 2, 3))))
    if random.random() < 0.3:
        names.append(random.choice([name for name in _WANTS if name not in names]))
    actors = [_drawn_actor(random, name, usual.get(name)) for name in names]
    if random.random() < 0.2:
        actors.append(_twin(random, actors[0]))
    server = random.choice((*SERVERS[:1] * 4, *SERVERS))
    etag = random.choice((*ETAGS, "content")) if server == ATOMIC else "content"
    thorough = random.random() < 0.06
    oddity = random.random()
    return Scenario(
        start=start,
        actors=tuple(actors),
        server=server,
        etag=etag,
        thorough=thorough,
        probes=oddity < 0.2,
        keyless=oddity > 0.9,
    )


def _drawn_actor(random: Random, name: str, first: str | None) -> Actor:
    wants = _WANTS.get(name, ("again", "cancel"))
    if first == "release":
        first = random.choice(("release", "renew"))
    does = [first or random.choice([each for each in wants if each != "again"])]
    while random.random() < 0.4 and len(does) < 3:
        does.append(random.choice((*wants, "again", "resolve")))
    return Actor(
        name=name,
        does=tuple(does),
        skew=random.choice(SKEWS),
        impatient=random.random() < 0.4,
    )


def _twin(random: Random, first: Actor) -> Actor:
    """The same agent once more: in the same process or in another, with the same keys or others."""
    return Actor(
        name=f"{first.name}2",
        does=first.does[: random.choice((1, 1, 2))],
        process=random.choice((first.home, "")),
        keys=random.choice((first.name, "")),
    )
