"""What a process believes to stand in the database, so that a call need not read it first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NoReturn

from nexus_bounty.ports import Reservation, ReservationStatus

MOST: Final = 10_000
"""How many reservations a process keeps in mind."""


class UnforeseenError(Exception):
    """Something has to be read after all."""


class Unread:
    """Stands for a connection where nothing is to be read."""

    def execute(self, *_: Any) -> NoReturn:
        """Refuse.

        Raises:
            UnforeseenError: Always.
        """
        raise UnforeseenError


class KnownReservations:
    """Held reservations as they were when they were last seen; used by one thread.

    Whatever they are believed to be is compared with what is there before anything is written.
    """

    def __init__(self) -> None:
        self._known: dict[str, Reservation] = {}

    def get(self, name: str) -> Reservation | None:
        """The reservation with this id, if one is known."""
        return self._known.get(name)

    def see(self, names: Iterable[str], found: dict[str, Reservation | None]) -> None:
        """Keep in mind what stands under `names`; one that has ended is of no use any more."""
        for name in names:
            self._known.pop(name, None)
            seen = found.get(name)
            if seen is not None and seen.status is ReservationStatus.HELD:
                self._known[name] = seen
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]
