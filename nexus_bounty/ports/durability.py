"""Whether a ledger keeps what it has acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from nexus_bounty.models import Wire


class Durability(Wire, frozen=True, kw_only=True):
    """Whether the place of a ledger keeps what it has acknowledged.

    Attributes:
        place: The server and database.
        settings: What was looked at, by its name.
        problems: By what an acknowledged commit may be lost; none is as it should be.
        advice: What else is worth to know.
    """

    place: str
    settings: dict[str, str]
    problems: Sequence[str] = ()
    advice: Sequence[str] = ()


@runtime_checkable
class TellsDurability(Protocol):
    """A ledger on a server whose settings decide what it keeps."""

    async def durability(self) -> Durability:
        """Whether the server keeps what it has acknowledged.

        Raises:
            CommitUnknownError: The server could not be asked.
        """
        ...
