"""What a probe saw on a server, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from nexus_bounty.models import Stored, Wire, utc_now
from nexus_bounty.nexus.client.quirks import (
    DIALECTS,
    ConditionalWrites,
    Dialect,
    EtagKind,
    RenameQuirks,
)


class Verdict(StrEnum):
    """How commits are safe on a server."""

    CONDITIONAL = "conditional"
    """Its preconditions are atomic: `ConditionalCommit`."""
    RENAME = "rename"
    """Its preconditions are not, its rename has one winner: `RenameCommit`."""
    SINGLE_WRITER = "single_writer"
    """Only if one process alone writes the zone: `SingleWriter`."""
    UNSAFE = "unsafe"
    """In no way known."""

    @property
    def meaning(self) -> str:
        """What it means to people."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Verdict.CONDITIONAL: "Safe for any number of writers, with ConditionalCommit.",
    Verdict.RENAME: "Safe for any number of writers, with RenameCommit.",
    Verdict.SINGLE_WRITER: "Safe for a single writer only.",
    Verdict.UNSAFE: "Not safe: no way to commit here is known.",
}


class Look(StrEnum):
    """How closely a server is looked at."""

    QUICK = "quick"
    """At what a verdict depends on: before the first write of a zone, and so in few requests."""
    FULL = "full"
    """At everything, as thoroughly as there is room for."""


class Paging(StrEnum):
    """What becomes of a listing that is taken page by page."""

    COMPLETE = "complete"
    LOSES_ENTRIES = "loses entries"
    NONE = "none"
    """The server knows no pages."""


class LockKind(StrEnum):
    """Whether `lock_acquire` has one winner."""

    EXCLUSIVE = "exclusive"
    SHARED = "not exclusive"
    NONE = "none"


class Observed(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Base of what a probe reports: nothing is left out."""


class Bulk(Observed, frozen=True, kw_only=True):
    """What can be done to many files in one request, and was really done."""

    reads: bool = False
    checks: bool = False
    """Asks which of several files exist."""
    writes: bool = False

    def __str__(self) -> str:
        """In words."""
        return (
            ", ".join(name for name, can in msgspec.structs.asdict(self).items() if can) or "none"
        )


class Race(Observed, frozen=True, kw_only=True):
    """What writers who raced for one place were told, round by round."""

    writers: int
    told_they_won: Sequence[int] = ()

    @property
    def was_exclusive(self) -> bool:
        """Whether every round had one winner."""
        return set(self.told_they_won) == {1}

    @property
    def kept_everybody_out(self) -> bool:
        """Whether there was a round that nobody won."""
        return 0 in self.told_they_won

    def __str__(self) -> str:
        """In words."""
        rounds = ", ".join(map(str, self.told_they_won)) or "not tried"
        return f"{rounds} of {self.writers} told that they won"


class RenameFacts(Observed, frozen=True, kw_only=True):
    """What files that raced for one new name became."""

    race: Race
    exclusive: bool
    readable: bool
    told_by_etag: bool = False
    """Whether the etag of the new name is still the hash of the winner's content."""
    from_root: bool = False
    """Whether the files lay at the root: where they block the server in a directory."""
    seconds: float
    """How long a winning rename takes; where it took longer than the probe waits, that long."""
    answered: bool = True
    """Whether it was answered within the time that the probe waits."""

    @property
    def decides(self) -> bool:
        """Whether a commit can be decided by it: whose file won can be seen."""
        return self.exclusive and (self.readable or self.told_by_etag)

    @property
    def quirks(self) -> RenameQuirks:
        """What whoever commits by it has to mind."""
        return RenameQuirks(blocks_in_directories=self.from_root, loses_content=not self.readable)


class Facts(Observed, frozen=True, kw_only=True):
    """What was observed of a server, without judgement."""

    dialect: str
    """The name of how it words its answers, as in the table of dialects."""
    etag: EtagKind
    stale_etags: bool | None = None
    """Whether a read goes on showing the etag of what was overwritten; `None` if not tried."""
    reads: bool = True
    """Whether what is there can be read: where its kernel is missing, a server cannot."""
    stores_conditional_writes: bool
    enforces_preconditions: bool
    updates: Race | None = None
    creates: Race | None = None
    rename: RenameFacts | None = None
    bulk: Bulk | None = None
    paging: Paging | None = None
    locks: LockKind | None = None
    read_seconds: float | None = None
    write_seconds: float = 0.0
    """In a quick look, the time of the slowest request."""

    @property
    def known(self) -> Dialect | None:
        """What is known of servers that word their answers so."""
        return DIALECTS.get(self.dialect)

    @property
    def quirks(self) -> RenameQuirks:
        """What whoever wins names here has to mind."""
        found = self.rename.quirks if self.rename else RenameQuirks()
        return replace(found, creates_instead=self.creates_are_exclusive)

    @property
    def creates_are_exclusive(self) -> bool:
        """Whether of those who create one name one wins, as far as was seen and is known."""
        checked = self.known is not None and self.known.preconditions is ConditionalWrites.CHECKED
        return checked and self.creates is not None and self.creates.was_exclusive

    @property
    def preconditions_can_be_met(self) -> bool:
        """Whether whoever writes over what it has read is let through."""
        return self.updates is None or not self.updates.kept_everybody_out

    @property
    def preconditions_may_hold(self) -> bool:
        """Whether another look could find preconditions to be safe, whatever this one found."""
        races = self.known is not None and self.known.preconditions is ConditionalWrites.RACE
        return self.stores_conditional_writes and self.enforces_preconditions and not races

    @property
    def preconditions_are_atomic(self) -> bool:
        """Whether racing writers were never seen to win together."""
        races = (self.updates, self.creates)
        return all(race is not None and race.was_exclusive for race in races)


class Judgement(Observed, frozen=True, kw_only=True):
    """What follows from the facts, in plain words."""

    verdict: Verdict
    safe: Sequence[Verdict]
    """Every way that is safe, the recommended one first."""
    reasons: Sequence[str]
    advice: Sequence[str]


class ProbeReport(Observed, Stored, frozen=True, kw_only=True):
    """One probe of one server.

    Attributes:
        facts: What was observed.
        judgement: What follows from that: whether and how commits are safe.
        fingerprint: Changes when the server becomes another version.
        version: What the server says that it is, where it does.
        requests: How many it took.
        seconds: How long it took.
        cleaned_up: Whether the scratch zone was seen to be empty again; a quick look leaves that to
            be done later.
        scratch_zone: Where it tried things.
        look: How closely it looked.
        waited: Seconds for which the server asked to be left alone, where it limits calls.
        sunset: When the server says that it will shut off the routes that were used, if it does.
        probed_at: When; aware.
    """

    facts: Facts
    judgement: Judgement
    fingerprint: str
    version: str | None = None
    requests: int
    seconds: float
    cleaned_up: bool
    scratch_zone: str
    look: Look = Look.FULL
    waited: float = 0.0
    sunset: str | None = None
    probed_at: datetime = msgspec.field(default_factory=utc_now)

    @property
    def verdict(self) -> Verdict:
        """How commits are safe here."""
        return self.judgement.verdict

    def to_json(self) -> str:
        """This report as one JSON object."""
        return msgspec.json.encode(self).decode()

    def rows(self) -> list[tuple[str, str]]:
        """What was observed, as a table of two columns."""
        facts, rename = self.facts, self.facts.rename
        return [
            ("server", f"{self.version or 'unknown version'}, speaks as {facts.dialect}"),
            *_known(facts.known),
            *_warnings(self),
            ("etag", _etag(facts)),
            ("conditional writes are stored", _yes(facts.stores_conditional_writes)),
            ("preconditions are enforced", _yes(facts.enforces_preconditions)),
            ("racing updates", str(facts.updates or "not tried")),
            ("racing creates", str(facts.creates or "not tried")),
            ("racing renames onto one name", str(rename.race if rename else "not tried")),
            ("rename has exactly one winner", _yes(rename and rename.exclusive)),
            ("renamed file can be read", _readable(rename)),
            ("time of a rename", _time(rename)),
            ("in bulk", str(facts.bulk or "not tried")),
            ("paged listing", _name(facts.paging)),
            ("locks", _name(facts.locks)),
            ("time of a read", _milliseconds(facts.read_seconds)),
            ("time of a write", _milliseconds(facts.write_seconds)),
            ("cost of this probe", f"{self.requests} requests, {self.seconds:.1f} s"),
            ("scratch zone removed", _removed(self)),
        ]


def _known(dialect: Dialect | None) -> list[tuple[str, str]]:
    notes = dialect.notes if dialect else ()
    return [("known of such servers", "; ".join(notes))] if notes else []


_ETAGS: Final = {
    EtagKind.SHA256: "SHA-256 of the content",
    EtagKind.BLAKE3: "BLAKE3 of the content",
    EtagKind.OPAQUE: "no hash of the content that is known",
    EtagKind.CONSTANT: "constant: the same whatever the content",
    EtagKind.NONE: "none",
}


def _etag(facts: Facts) -> str:
    stale = "; a read shows a stale one after an overwrite" if facts.stale_etags else ""
    return _ETAGS[facts.etag] + stale


def _warnings(report: ProbeReport) -> list[tuple[str, str]]:
    """What is said only where there is something to say."""
    found = []
    if not report.facts.reads:
        found.append(("kernel", "missing: what is there cannot be read"))
    if report.waited:
        found.append(("rate limit", f"asked to be left alone for {report.waited:.0f} s"))
    if report.sunset:
        found.append(("sunset of /api/nfs", f"announced for {report.sunset}"))
    return found


def _name(fact: StrEnum | None) -> str:
    return fact.value if fact else "not tried"


def _milliseconds(seconds: float | None) -> str:
    return "not tried" if seconds is None else f"{seconds * 1000:.0f} ms"


def _yes(fact: object) -> str:
    return "not tried" if fact is None else "yes" if fact else "no"


def _readable(rename: RenameFacts | None) -> str:
    if rename is None or rename.readable or not rename.told_by_etag:
        return _yes(rename and rename.readable)
    return "no, but its etag is still that of its content"


def _removed(report: ProbeReport) -> str:
    rename = report.facts.rename
    if report.cleaned_up or rename is None or rename.answered:
        return _yes(report.cleaned_up)
    return "when the server takes writes again after the rename"


def _time(rename: RenameFacts | None) -> str:
    if rename is None:
        return "not tried"
    took = f"{'' if rename.answered else 'more than '}{rename.seconds:.2f} s"
    return f"{took}, of files at the root" if rename.from_root else took
