"""What all sweeps share: a sweep finds problems, each with the repair that would end it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from nexus_bounty.models import Bounty
from nexus_bounty.operations.services import Services, target_of
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import Reservation, ReservationStatus
from nexus_bounty.reconcile.sweep_state import SweepState
from nexus_bounty.together import together

T = TypeVar("T")
V = TypeVar("V")

Repair = Callable[[], Awaitable[str]]

UNTRUSTED: Final = "{}: compare it with the ledger, then sign it or restore it"
"""Why a bounty is left alone on whose word nothing may be done."""
LEFT_AS_IT_IS: Final = "another program wrote it, or somebody by hand; a person has to decide"
"""Why what cannot be understood is left alone."""
AT_ONCE: Final = 16
"""How many looks at the ledger may be under way together."""
PAGE: Final = 500
"""How many bounties, reservations or leases a sweep looks at together."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not at its right end.

    `repair` ends it and says how; without one, `reason` says why it is left alone. `touched` is
    when an operation last touched it: one that did so just now may still be running. `about` is
    the bounty on whose word the repair would act: one that is not to be trusted is left alone.
    """

    subject: str
    what: str
    repair: Repair | None = None
    reason: str = ""
    touched: datetime | None = None
    about: Bounty | None = None


@dataclass(slots=True)
class Scope:
    """What a sweep works on in one run, and what it must not touch.

    Attributes:
        services: The systems to work on.
        grace: How long an operation may be running: what is younger is not to be touched.
        now: When the run began.
        partition: The ids of the bounties to look at.
        state: What the sweep remembers from run to run.
        page: How many things to look at together.
        room: How many files of its history it may still look at in this run; `None` for all.
        on_page: Is told how far it has got.
    """

    services: Services
    grace: timedelta
    now: datetime
    partition: Partition = EVERYTHING
    state: SweepState = field(default_factory=SweepState)
    page: int = PAGE
    room: int | None = None
    on_page: Callable[[str], None] | None = None

    @property
    def targets(self) -> Partition:
        """What the claims on these bounties name."""
        return self.partition.prefixed(target_of(""))

    def held(self) -> AsyncIterator[Reservation]:
        """What is held for these bounties, and for those with such ids in other zones."""
        return self.services.credits.reservations(ReservationStatus.HELD, bounties=self.partition)

    def is_young(self, touched: datetime) -> bool:
        """Whether the operation that last touched something may still be running."""
        return self.now - touched < self.grace

    def may_be_running(self, touched: datetime | None) -> bool:
        """Whether something is young, and not because a clock is wrong."""
        return touched is not None and self.is_young(touched) and not self.is_ahead(touched)

    def is_ahead(self, touched: datetime) -> bool:
        """Whether something was touched in a future that no small difference of clocks explains."""
        return touched - self.now > self.grace

    async def is_elsewhere(self, bounty: Bounty) -> bool:
        """Whether the credits of a bounty are in another ledger, whose reconciler sees to it."""
        return bounty.ledger_id not in (None, await self.services.credits.identity())

    def has_room_after(self, files: int, last: str) -> bool:
        """Note that `files` up to `last` were looked at; whether there is room for more."""
        self.state.after = last
        if self.on_page is not None:
            self.on_page(last)
        if self.room is not None:
            self.room -= files
        return self.room is None or self.room > 0

    def has_seen_all(self) -> None:
        """Note that the history has been gone through to its end."""
        self.state.is_through = True
        self.state.days.close()


class Sweep(Protocol):
    """Finds one kind of problem."""

    name: str

    def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every problem of this kind, young ones too, from the documents and the ledger alone.

        One that goes through a history notes how far it is once the problems of a page have been
        dealt with, so that it can stop there and go on.
        """
        ...


async def side_by_side(look: Callable[[T], Awaitable[V]], items: Sequence[T]) -> list[V]:
    """What `look` says of each of `items`, a few at a time; of the first error the others stop."""
    looked: list[V] = []
    for start in range(0, len(items), AT_ONCE):
        looked += await together(_looked(look, each) for each in items[start : start + AT_ONCE])
    return looked


async def _looked(look: Callable[[T], Awaitable[V]], item: T) -> V:
    return await look(item)


async def in_pages(items: AsyncIterator[T], size: int) -> AsyncIterator[list[T]]:
    """`items`, `size` at a time."""
    page: list[T] = []
    async for item in items:
        page.append(item)
        if len(page) >= size:
            yield page
            page = []
    if page:
        yield page
