"""Keys, fingerprints, and the history that a document carries as evidence of its operations.

Every write of a document adds one record under the extra key `nexusBounty`:

    {"schema": 1, "seq": 3, "ops": [{"key", "kind", "fingerprint", "seq", "at", "aborted"?}, …]}

and, where a zone is signed, with `"state"` and `"mac"` in each record.

Where nothing was ever created and a fence stands, or a draft was discarded, there is
`"tombstone": true` besides. In a claim of the shape `{spec, status}` the history lies within
`status`: the peer drops what is beside the two.

`seq` counts our writes of the document. Because it and the key are in the bytes, no two writes
have the same bytes, hence never the same content etag: a stray request can never match a
precondition again once another write has landed (no ABA).

Records are kept for at least `RETENTION`; a document with more than `KEPT_RECORDS` drops older
ones. What may have been dropped is never taken for "did not happen".
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, Self

import msgspec

from nexus_bounty.bounded_set import BoundedSet
from nexus_bounty.models import Stored, Wire, utc_now

EVIDENCE_KEY: Final = "nexusBounty"
SCHEMA: Final = 1
RETENTION: Final = timedelta(hours=24)
KEPT_RECORDS: Final = 64
MOST_RECORDS: Final = 512
"""No document takes more operations than this within `RETENTION`."""


def new_key(random: Random | None = None) -> str:
    """A fresh idempotency key; `random` makes it reproducible."""
    return uuid.UUID(int=random.getrandbits(128), version=4).hex if random else uuid.uuid4().hex


class NewKeys:
    """Keys that were made here for calls to come: nobody can have used one of them before.

    Any other key that a call is given may be that of a repeat, in whatever process the earlier
    call was made. Of many keys that are never used the oldest are taken for such, too.
    """

    def __init__(self) -> None:
        self._unused = BoundedSet()

    def __contains__(self, key: str) -> bool:
        """Whether `key` is new."""
        return key in self._unused

    def make(self, random: Random | None = None) -> str:
        """A key for a call to come; `random` makes it reproducible."""
        key = new_key(random)
        self.add(key)
        return key

    def add(self, key: str) -> None:
        """Take a key for a new one that was made elsewhere, and not used since."""
        self._unused.add(key)

    def use(self, key: str) -> bool:
        """Whether `key` is new; from now on it is not."""
        is_new = key in self
        self._unused.discard(key)
        return is_new


def derived_key(key: str, step: str) -> str:
    """The key of one step of a larger operation: the same step always gets the same key."""
    return f"{key}:{step}"


def derived_id(prefix: str, key: str) -> str:
    """An id that follows from an idempotency key, so that a repeat meets its own record."""
    return f"{prefix}-{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}"


def content_key(kind: str, content: Mapping[str, Any]) -> str:
    """The key of a call that was given none, where equal contents are to mean the same call."""
    return f"content-{fingerprint(kind, content)}"


def fingerprint(kind: str, parameters: Mapping[str, Any]) -> str:
    """A digest of what an operation asks for: equal requests have equal fingerprints."""
    canonical = msgspec.json.encode([kind, parameters], order="deterministic")
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()


class OperationRecord(Stored, frozen=True, kw_only=True):
    """One operation in a document's history.

    Attributes:
        key: Its idempotency key, or that of the step of an operation.
        kind: What it did, such as `claim`.
        fingerprint: A hash of its parameters, by which a repeat is known.
        seq: Its place in the history.
        at: When it was committed; aware.
        aborted: Whether it is a fence: then it did not happen, and never will.
        gave_back: The claim that it gave back, if it is a release or keeps a claim out, or the
            reservation of the draft that it discarded.
        state: A hash of what it made of the fields that decide about money, if it is signed.
        mac: What signs it, see `nexus_bounty.nexus.documents.signing`.
    """

    key: str
    kind: str
    fingerprint: str
    seq: int
    at: datetime = msgspec.field(default_factory=utc_now)
    aborted: bool = False
    gave_back: str | None = None
    state: str | None = None
    mac: str | None = None


class History(Wire, frozen=True, kw_only=True):
    """The operations that a document remembers, oldest first.

    `marker_seq` is set while the bounty's status marker carries a generation (see
    `nexus_bounty.nexus.bounties.status_index`).
    """

    schema: int = SCHEMA
    seq: int = 0
    marker_seq: int | None = None
    tombstone: bool = False
    ops: Sequence[OperationRecord] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The history that `document` carries; an empty one if another program wrote it.

        Raises:
            msgspec.ValidationError: The evidence is there but cannot be understood.
        """
        return msgspec.convert(_bearer(document).get(EVIDENCE_KEY, {}), cls)

    @property
    def touched_at(self) -> datetime | None:
        """When the newest operation was; `None` if there is none."""
        return self.ops[-1].at if self.ops else None

    def find(self, key: str) -> OperationRecord | None:
        """The newest record of `key`, or `None` if this history does not name it."""
        return next((record for record in reversed(self.ops) if record.key == key), None)

    def has_given_back(self, given: str) -> bool:
        """Whether that claim or reservation was given back, as far as this history goes."""
        return any(each.gave_back == given for each in self.ops)

    def covers(self, seq: int) -> bool:
        """Whether the record with sequence number `seq` would still be here, had it been made."""
        return bool(self.ops) and self.ops[0].seq <= seq <= self.seq

    def is_full(self, now: datetime) -> bool:
        """Whether another record would need room that evidence still to be kept takes."""
        return len(self.ops) - self.first_kept(now) >= MOST_RECORDS

    def first_kept(self, now: datetime) -> int:
        """The index of the oldest record that stays when another is added at `now`."""
        droppable = max(len(self.ops) + 1 - KEPT_RECORDS, 0)
        oldest_to_keep = now - RETENTION
        for index, record in enumerate(self.ops[:droppable]):
            if record.at > oldest_to_keep:
                return index
        return droppable

    def after(
        self, record: OperationRecord, *, marker_seq: int | None = None, tombstone: bool = False
    ) -> Self:
        """This history with `record` as its newest operation."""
        ops = [*self.ops[self.first_kept(record.at) :], record]
        return msgspec.structs.replace(
            self, schema=SCHEMA, seq=record.seq, marker_seq=marker_seq, tombstone=tombstone, ops=ops
        )


def with_record(
    document: Mapping[str, Any],
    record: OperationRecord,
    *,
    marker_seq: int | None = None,
    tombstone: bool = False,
) -> dict[str, Any]:
    """A copy of `document` whose history has `record` as its newest operation.

    What other writers keep under the evidence key survives, as the rest of the document does.
    """
    bearer = _bearer(document)
    evidence = dict(bearer.get(EVIDENCE_KEY, {}))
    ops = evidence.get("ops", ())
    if len(ops) >= KEPT_RECORDS:  # else all are kept
        ops = ops[History.of(document).first_kept(record.at) :]
    ops = [*ops, msgspec.to_builtins(record)]
    evidence |= {"schema": SCHEMA, "seq": record.seq, "ops": ops}
    for key, value in (("markerSeq", marker_seq), ("tombstone", tombstone or None)):
        evidence.pop(key, None)
        if value is not None:
            evidence[key] = value
    changed = {**bearer, EVIDENCE_KEY: evidence}
    return {**document, "status": changed} if is_split(document) else changed


def stored_records(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records that `document` carries, as they are stored, what we do not know included."""
    records: list[dict[str, Any]] = _bearer(document).get(EVIDENCE_KEY, {}).get("ops", [])
    return records


def is_split(document: Mapping[str, Any]) -> bool:
    """Whether `document` has the shape `{spec, status}` in which newer Groves write claims."""
    return isinstance(document.get("spec"), dict) and isinstance(document.get("status"), dict)


def _bearer(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object within `document` that carries its history."""
    return document["status"] if is_split(document) else document
