"""The port of delivered work."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from nexus_bounty.models import Contribution


@runtime_checkable
class ContributionStore(Protocol):
    """Where delivered work is looked up."""

    async def get(self, cid: str) -> Contribution | None:
        """The contribution with content id `cid`, or `None`.

        Raises:
            NexusError: It could not be read (another store raises an error of its own).
        """
        ...
