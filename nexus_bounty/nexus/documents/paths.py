"""Where everything lives in a zone. The layout is shared with the peer (Grove).

A segment is encoded `%` → `%25`, then `/` → `%2F`. Our status markers of a later generation end
in `%@` and a number, which no encoded segment can contain, so that the peer passes over them: where
it can tell a missing document from a failure, that is.

Two places are in no layout of the peer's. A dated marker, in a directory that the peer does not
know, has a name that begins with the time of creation, counted backwards: there the newest bounties
come first. And the markers of ended bounties may lie in directories of the hour in which they
ended, `~%@2026-06-01/13`, within that of the status: in the order of time, after nearly all names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from nexus_bounty.models import BountyStatus
from nexus_bounty.partition import decode_segment, encode_segment

_GENERATION = "%@"
DAYS: Final = "~%@"
"""What the names of the directories of days begin with, which no encoded segment can contain."""
_HOUR = "%Y-%m-%d/%H"
_BY_STATUS = "/indexes/bounties/status/"
_NEWEST_FIRST = "/indexes/bounties/newest/"
_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
_END: Final = 1 << 60
"""More microseconds than there are from the first year to the last one that a date can have."""
_LEVELS_OF_DOCUMENTS = 3  # /zones/{zone}/{kind}
_LEVELS_OF_A_DAY = 3  # {day}/{hour}/{name}


@dataclass(frozen=True, slots=True)
class ZonePaths:
    """The paths of one zone."""

    zone_id: str

    @property
    def root(self) -> str:
        """The zone's own directory."""
        return f"/zones/{encode_segment(self.zone_id)}"

    @property
    def bounties(self) -> str:
        """The directory of bounty documents."""
        return f"{self.root}/bounties"

    def bounty(self, bounty_id: str) -> str:
        """The document of a bounty."""
        return f"{self.bounties}/{encode_segment(bounty_id)}.json"

    def statuses(self, status: BountyStatus) -> str:
        """The directory of the markers of one status."""
        return f"{self.root}{_BY_STATUS}{status.value}"

    def marker(
        self,
        status: BountyStatus,
        bounty_id: str,
        generation: int | None = None,
        *,
        ended_at: datetime | None = None,
    ) -> str:
        """The marker that says a bounty may be in `status`; with a time, that of the hour."""
        suffix = "" if generation is None else f"{_GENERATION}{generation}"
        directory = self.statuses(status)
        if ended_at is not None:
            directory = f"{directory}/{DAYS}{ended_at.astimezone(UTC):{_HOUR}}"
        return f"{directory}/{encode_segment(bounty_id)}{suffix}"

    def day(self, status: BountyStatus, day: date) -> str:
        """The directory of the markers of bounties that ended on `day`."""
        return f"{self.statuses(status)}/{DAYS}{day.isoformat()}"

    def newest_first(self, status: BountyStatus) -> str:
        """The directory of the dated markers of one status."""
        return f"{self.root}{_NEWEST_FIRST}{status.value}"

    def all_are_dated(self, status: BountyStatus, since: datetime) -> str:
        """Says that all bounties of a status have dated markers, in a zone laid out `since` then.

        It comes before all of them.
        """
        return f"{self.newest_first(status)}/-{since.astimezone(UTC):%Y%m%dT%H%M%S.%f}"

    @property
    def pinned_verdict(self) -> str:
        """What a probe found out about the server, for every program that writes the zone."""
        return f"{self.root}/indexes/bounties/probe.json"

    @property
    def writer_leases(self) -> str:
        """The directory of the leases on the whole zone."""
        return f"{self.root}/indexes/bounties/writer"

    def note(self, name: str) -> str:
        """A note that a program has left for itself."""
        return f"{self.root}/indexes/bounties/notes/{encode_segment(name)}"

    @property
    def rewards(self) -> str:
        """The directory of reward records."""
        return f"{self.root}/rewards"

    def reward(self, reward_id: str) -> str:
        """The record of a reward."""
        return f"{self.rewards}/{encode_segment(reward_id)}.json"

    @property
    def claims(self) -> str:
        """The directory of claims."""
        return f"{self.root}/claims"

    def claim(self, claim_id: str) -> str:
        """The document of a claim."""
        return f"{self.claims}/{encode_segment(claim_id)}.json"

    @property
    def active_claims(self) -> str:
        """The directory of the directories of active claim markers, one a target."""
        return f"{self.root}/indexes/claims/active"

    def active_claim(self, target_ref: str, claim_id: str) -> str:
        """The marker that says a claim may be active on a target."""
        return f"{self.active_claims}/{encode_segment(target_ref)}/{encode_segment(claim_id)}"

    @property
    def target_locks(self) -> str:
        """The directory of the locks."""
        return f"{self.root}/indexes/claims/target-lock"

    def target_lock(self, target_ref: str) -> str:
        """The file that names the one claim that holds a target."""
        return f"{self.target_locks}/{encode_segment(target_ref)}"

    def contribution(self, cid: str) -> str:
        """The manifest of a contribution."""
        return f"{self.root}/contributions/{encode_segment(cid)}.json"

    def tagged(self, tag: str, cid: str) -> str:
        """The marker that says a contribution has a tag."""
        return f"{self.root}/indexes/tags/{encode_segment(tag)}/{encode_segment(cid)}"

    def related(self, target_cid: str, cid: str) -> str:
        """What a contribution has to do with another."""
        return (
            f"{self.root}/indexes/relations/{encode_segment(target_cid)}/{encode_segment(cid)}.json"
        )

    def searched(self, cid: str) -> str:
        """The words by which a contribution is searched for."""
        return f"{self.root}/indexes/fts/{encode_segment(cid)}.json"


def commit_slots(path: str) -> str:
    """The directory of the slots that decide what the file at `path` becomes, one after another.

    That of a document is `indexes/{kind}/commits/{id}`; that of a file which lies in an index
    already is beside its own directory.
    """
    return _beside(path, "commits")


def staged(path: str) -> str:
    """The directory of what may yet become the file at `path`, or might have."""
    return _beside(path, "staged")


def contents(path: str) -> str:
    """The directory of what is in the slots of the file at `path`, where slots lose it."""
    return _beside(path, "contents")


def _beside(path: str, what: str) -> str:
    directory, _, name = path.rpartition("/")
    record_id = name if is_index(directory) else name.removesuffix(".json")
    return f"{_index(directory, what)}/{record_id}"


def all_commit_slots(directory: str) -> str:
    """The directory of the slots of all files in `directory`, each in a directory of its own."""
    return _index(directory, "commits")


def all_staged(directory: str) -> str:
    """The directory of what is staged for all files in `directory`."""
    return _index(directory, "staged")


def all_contents(directory: str) -> str:
    """The directory of what is in the slots of all files in `directory`."""
    return _index(directory, "contents")


def _index(directory: str, what: str) -> str:
    zone, _, kind = directory.rpartition("/")
    return f"{directory}-{what}" if is_index(directory) else f"{zone}/indexes/{kind}/{what}"


def is_index(directory: str) -> bool:
    """Whether `directory` is one of an index, not one of documents."""
    return directory.count("/") > _LEVELS_OF_DOCUMENTS


def committed_id(slot: str) -> str:
    """The encoded id of the file that the slot or staged file at `slot` is for."""
    return slot.rsplit("/", 2)[-2]


def document_id(path: str) -> str:
    """The id of the document at `path`."""
    return decode_segment(path.rsplit("/", 1)[-1].removesuffix(".json"))


def marked_id(path: str) -> str:
    """The id of the record that the marker at `path` points to, of whatever generation."""
    return decode_segment(path.rsplit("/", 1)[-1].split(_GENERATION, 1)[0])


def plain(marker: str) -> str:
    """The marker without its generation, in the same directory."""
    directory, _, name = marker.rpartition("/")
    return f"{directory}/{name.partition(_GENERATION)[0]}"


def marked_target(path: str) -> str:
    """The target that the claim is on to which the marker at `path` points."""
    return decode_segment(path.rsplit("/", 2)[-2])


def status_of(marker: str) -> str:
    """The status that a marker is of, be it flat, in the directory of an hour, or dated."""
    beneath = marker.partition(_NEWEST_FIRST if is_dated(marker) else _BY_STATUS)[2]
    return beneath.partition("/")[0]


def is_day_or_hour(path: str) -> bool:
    """Whether `path` is a directory of ended markers, which some servers list among the files."""
    _, *day = path.partition(_BY_STATUS)[2].split("/")
    return bool(day) and day[0].startswith(DAYS) and len(day) < _LEVELS_OF_A_DAY


def day_of(marker: str) -> date | None:
    """The day in whose directory an ended marker lies; `None` for a flat one."""
    _, *day = marker.partition(_BY_STATUS)[2].split("/")
    return date.fromisoformat(day[0].removeprefix(DAYS)) if len(day) == _LEVELS_OF_A_DAY else None


def hour_after(directory: str) -> str | None:
    """The directory of the hour after that of `directory`; `None` if it is of no hour."""
    status, _, hour = directory.rpartition(DAYS)
    try:
        following = datetime.strptime(hour, _HOUR).replace(tzinfo=UTC) + timedelta(hours=1)
    except (ValueError, OverflowError):
        return None
    return f"{status}{DAYS}{following:{_HOUR}}"


def says_that_all_are_dated(path: str) -> bool:
    """Whether `path` in a directory of dated markers is none, but says that there are all."""
    return path.rpartition("/")[2].startswith("-")


def marker_generation(path: str) -> int | None:
    """The generation of the marker at `path`; `None` for a plain one."""
    _, found, generation = path.rsplit("/", 1)[-1].partition(_GENERATION)
    return int(generation) if found and generation.isdecimal() else None


def dated(marker: str, created_at: datetime) -> str:
    """The twin of `marker` that says when its bounty was created, and sorts by it."""
    directory, _, name = marker.rpartition("/")
    age = _END - (created_at - _BEGINNING) // timedelta(microseconds=1)
    return f"{directory.replace(_BY_STATUS, _NEWEST_FIRST)}/{age:016x}-{name}"


def undated(marker: str) -> str:
    """The marker whose twin the dated `marker` is."""
    directory, _, name = marker.rpartition("/")
    return f"{directory.replace(_NEWEST_FIRST, _BY_STATUS)}/{name.partition('-')[2]}"


def is_dated(path: str) -> bool:
    """Whether `path` is a dated marker."""
    return _NEWEST_FIRST in path


def date_of(marker: str) -> datetime:
    """When the bounty of a dated `marker` was created."""
    age = int(marker.rpartition("/")[2].partition("-")[0], 16)
    return _BEGINNING + timedelta(microseconds=_END - age)
