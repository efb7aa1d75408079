"""How the status markers of a zone are laid out: pinned in the zone, for all who write it.

*Flat*: all markers of a status in one directory, where Grove looks for them. *Dated*: those of
bounties that have ended lie in directories of the hour in which they ended, so that none grows
without bound and what has ended long ago need not be walked through; and open bounties have a
second marker that sorts by their time of creation. Those of living bounties lie flat in both.

Readers see both, whatever is pinned: the directories of the hours lie in that of the status. So a
program that has not yet seen that a zone was laid out anew misses nothing, and is not missed.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from nexus_bounty.models import Wire
from nexus_bounty.nexus.client.settings import NexusSettings


class Layout(StrEnum):
    """Where markers lie."""

    FLAT = "flat"
    DATED = "dated"


class ZoneLayout(Wire, frozen=True, kw_only=True):
    """How a zone is laid out, and since when; flat if nothing is pinned, aware."""

    kind: Layout = Layout.FLAT
    since: datetime | None = None

    @classmethod
    def of_new_zone(cls, settings: NexusSettings, now: datetime) -> Self:
        """What a zone is pinned with in which nothing is pinned yet.

        Documents in base64 and files that follow at once are for Grove, which looks for flat ones.
        """
        for_grove = settings.storage_encoding == "base64" or settings.follow_at_once
        usual = Layout.FLAT if for_grove else Layout.DATED
        return cls(kind=usual if settings.layout == "auto" else Layout(settings.layout), since=now)

    @property
    def is_dated(self) -> bool:
        """Whether markers are written by date."""
        return self.kind is Layout.DATED

    def differs_from(self, settings: NexusSettings) -> bool:
        """Whether `settings` ask for another one by name."""
        return settings.layout not in ("auto", self.kind.value)
