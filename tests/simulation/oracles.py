"""What is true, read from the mock's applied log, its files and the ledger: never from our code.

Three kinds of oracle: at every turn (what must hold at each instant), of verdicts (what callers
were told against what was applied), and at rest (after the reconciler).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec

from nexus_bounty.ledger.accounts import MINT, escrow_of
from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.mock import MockNexus
from nexus_bounty.ports import Reservation
from nexus_bounty.reconcile.claims import AbandonedBounties, OrphanClaims
from nexus_bounty.reconcile.deadlines import PastDeadlines
from nexus_bounty.reconcile.drafts import StuckDrafts
from nexus_bounty.reconcile.markers import IndexMarkers
from nexus_bounty.reconcile.reservations import OrphanReservations
from nexus_bounty.reconcile.rewards import MissingRewards
from nexus_bounty.reconcile.settlements import CompletedNotSettled, PendingSettlements
from nexus_bounty.testing.virtual_time import wall_clock
from tests.simulation.actors import Done
from tests.simulation.history import History
from tests.simulation.starts import POOR_CID
from tests.support import committed
from tests.support.world import ALICE, BOUNTY_ID, FUNDS, PRICE, World, broken_invariants

DOCUMENT: Final = f"/zones/default/bounties/{BOUNTY_ID}.json"
MARKERS: Final = "/zones/default/indexes/bounties/status"
CLAIMS: Final = "/zones/default/claims"
REWARDS: Final = "/zones/default/rewards"
PIN: Final = "/zones/default/indexes/bounties/probe.json"
LEASE: Final = timedelta(minutes=30)

CLOCKS_DIFFER: Final = timedelta(minutes=5)

_decode = lru_cache(maxsize=256)(msgspec.json.Decoder(dict[str, Any]).decode)
"""What some bytes say, which is only ever read: most files are as they were at the last instant."""

ESCROW: Final = {
    "draft": (None, "held", "voided"),
    "open": ("held",),
    "claimed": ("held",),
    "pending_settlement": ("held", "captured"),
    "completed": ("held", "captured"),
    "settled": ("captured",),
    "cancelled": (None, "held", "voided"),
    "expired": (None, "held", "voided"),
    None: (None,),
}
"""What a bounty's reservation may be at any instant, by the status of its document."""


@lru_cache(maxsize=256)
def document_of(content: bytes | None) -> dict[str, Any] | None:
    """The bounty in a file's content; a tombstone is none."""
    value = None if content is None else _decode(content)
    records = records_of(value) if value else []
    return None if records and all(each.get("aborted") for each in records) else value


def bounty_on(mock: MockNexus) -> dict[str, Any] | None:
    """The bounty as it is committed now."""
    return document_of(committed.content_of(mock, DOCUMENT))


def is_closed(mock: MockNexus) -> bool:
    """Whether what is pinned says that nothing is safe, so that nobody commits for a while."""
    pin = mock.read_file(PIN)
    try:
        return pin is not None and _decode(pin).get("strategy") is None
    except msgspec.MsgspecError:
        return False  # it is poisoned, and nobody goes by it


def records_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations that a document names; none if another program wrote it."""
    records: list[dict[str, Any]] = value.get("nexusBounty", {}).get("ops", [])
    return records


def was_taken_back(value: dict[str, Any]) -> bool:
    """Whether a document is what a draft left that was taken back: no listing shows it."""
    return bool(value.get("nexusBounty", {}).get("tombstone"))


def given_back(bounty: dict[str, Any] | None) -> set[str]:
    """What the history says was given back: claims, and reservations of refused creates."""
    return {each["gaveBack"] for each in records_of(bounty or {}) if each.get("gaveBack")}


@dataclass
class Watch:
    """Looks at every instant; keeps the first thing that was wrong of each kind."""

    world: World
    wrong: list[str] = field(default_factory=list)
    _seen: tuple[int, int] = (-1, -1)
    _before: dict[str, Any] | None = None

    def __call__(self) -> None:
        state = _state(self.world)
        if state != self._seen:
            self._seen = state
            book: Any = self.world.ledger._book
            self.wrong += [each for each in self._look(book) if each not in self.wrong]

    def _look(self, book: Any) -> Iterable[str]:
        bounty = bounty_on(self.world.mock)
        status = bounty["status"] if bounty else None
        held = list(book._reservations.values())
        total = sum(amount for name, amount in book._balances.items() if name != MINT)
        issued = -book._balances[MINT]
        if total != issued or issued != FUNDS:
            yield f"at some time: there are {total} credits and {issued} were issued"
        due = given_back(bounty)  # by the history; the credits follow
        held.sort(key=lambda each: each.status == "voided" or each.reservation_id in due)
        if any(each.status != "voided" and each.reservation_id not in due for each in held[1:]):
            yield f"at some time: {len(held)} reservations for one bounty"
        yield from _wrong_escrow(bounty, status, held[0] if held else None)
        set_aside = book._balances[escrow_of(ALICE.agent_id)]
        if set_aside != PRICE * sum(each.status == "held" for each in held):
            yield f"at some time: {set_aside} credits are set aside"
        leases = committed.contents_in(self.world.mock, CLAIMS).values()
        holding = [each for each in leases if _holds(each)]
        if len(holding) > 1:
            yield f"at some time: {len(holding)} leases on one bounty"
        if bounty is not None:
            yield from self._unmarked(bounty)
            yield from self._unleased(bounty)
            yield from self._forbidden(bounty)
            yield from self._taken_away(bounty)
        self._before = bounty

    def _forbidden(self, bounty: dict[str, Any]) -> Iterable[str]:
        """What must never become of a bounty, whoever asks for it."""
        status, now = bounty["status"], wall_clock()
        before = self._before["status"] if self._before else None
        deadline = _moment(bounty["deadline"])
        claimer = bounty.get("claimedBy", {}).get("agentId")
        if status == "expired" and now < deadline - CLOCKS_DIFFER:
            yield "at some time: expired before its deadline"
        if status == "claimed" != before and now > deadline + CLOCKS_DIFFER and before is not None:
            yield "at some time: claimed after its deadline"
        if claimer == bounty["creator"]["agentId"]:
            yield "at some time: claimed by its creator"
        if bounty.get("fulfilledByCid") == POOR_CID:
            yield "at some time: paid for what does not fulfil it"

    def _taken_away(self, bounty: dict[str, Any]) -> Iterable[str]:
        """A claimed bounty is opened by its claimer, or once the lease has run out."""
        if bounty["status"] != "open" or not self._before or self._before["status"] != "claimed":
            return
        path = f"{CLAIMS}/{self._before['claimId']}.json"
        done = [each["key"] for each in records_of(bounty) if not each.get("aborted")]
        given_back = done[-1].endswith(":release")
        if not given_back and _holds(committed.content_of(self.world.mock, path)):
            yield "at some time: taken from its claimer, whose lease went on"

    def _unmarked(self, bounty: dict[str, Any]) -> Iterable[str]:
        if was_taken_back(bounty):
            return
        generation = bounty.get("nexusBounty", {}).get("markerSeq")
        suffix = "" if generation is None else f"%@{generation}"
        beneath, name = f"{MARKERS}/{bounty['status']}/", f"{BOUNTY_ID}{suffix}"
        places = f"{beneath}{name}", f"{beneath}{_hour(bounty)}/{name}"
        if not any(place in self.world.mock.files for place in places):
            yield f"at some time: {bounty['status']} without its marker, so that listings miss it"

    def _unleased(self, bounty: dict[str, Any]) -> Iterable[str]:
        if bounty["status"] != "claimed":
            return
        path = f"{CLAIMS}/{bounty['claimId']}.json"
        claim = committed.content_of(self.world.mock, path)
        lease = _decode(claim)["status"] if claim else "missing"
        if lease not in ("active", "expired"):
            yield f"at some time: claimed, and the claimer's lease is {lease}"


def _wrong_escrow(
    bounty: dict[str, Any] | None, status: str | None, reservation: Reservation | None
) -> Iterable[str]:
    escrow = reservation.status.value if reservation else None
    if escrow not in ESCROW[status]:
        yield f"at some time: {status} and the escrow is {escrow}"
    if reservation is None or bounty is None:
        return
    if reservation.amount != PRICE:
        yield f"at some time: {reservation.amount} are held for a bounty of {PRICE}"
    claimer = bounty.get("claimedBy", {}).get("agentId")
    if escrow == "captured" and reservation.captured_to != claimer:
        yield f"at some time: claimed by {claimer} and paid to {reservation.captured_to}"


# Verdicts


@dataclass
class Truth:
    """What was really applied to the bounty's document."""

    landed: dict[str, int] = field(default_factory=dict)
    """The number of the request that first carried an operation's step, by the step's key."""
    statuses: list[tuple[str, str | None]] = field(default_factory=list)
    """Every status that it was brought to, with the contribution it named."""
    drafted: dict[str, str | None] = field(default_factory=dict)
    """The reservation of each draft, by the key of the step that made it."""
    opened: set[str | None] = field(default_factory=set)
    """The reservations of all drafts that were opened: others may have been discarded before."""

    @classmethod
    def of(cls, mock: MockNexus) -> Truth:
        truth = cls()
        for entry in mock.log:
            if entry.content is None or not committed.is_commit_of(entry.path, DOCUMENT):
                continue
            value = _decode(entry.content)
            for record in records_of(value):
                if not record.get("aborted"):
                    truth.step_landed(record["key"], value, entry.request_number)
            if document_of(entry.content) is not None:
                truth.brought_to(value)
        return truth

    def step_landed(self, key: str, value: dict[str, Any], number: int) -> None:
        """A step is in the history of `value`, which was written by request `number`."""
        if key in self.landed:
            return
        self.landed[key] = number
        if ":draft" in key:
            self.drafted[key] = value.get("reservationId")

    def brought_to(self, value: dict[str, Any]) -> None:
        """The document was written as `value`."""
        self.statuses.append((value["status"], value.get("fulfilledByCid")))
        if value["status"] == "open":
            self.opened.add(value.get("reservationId"))

    def had_landed(self, done: Done, step: str) -> bool:
        """Whether a step had landed when the caller of its operation heard of it."""
        return self.landed.get(f"{done.key}:{step}", done.told_at + 1) <= done.told_at


DECIDED_BY: Final = {
    "create": "open",
    "claim": "claim",
    "release": "release",
    "settle": "begin",
    "cancel": "cancel",
    "expire": "expire",
}
"""The step of each operation that decides whether it happened."""

SETTLING: Final = ("pending_settlement", "completed", "settled")


def unkept(world: World, done: Done) -> list[str]:
    """What an operation that has just returned promised by that, and did not do."""
    if done.verdict != "committed":
        return []
    book: Any = world.ledger._book
    refused = given_back(bounty_on(world.mock))  # those of creates before
    ours = (each for name, each in book._reservations.items() if name not in refused)
    escrow = [each.status.value for each in ours]
    rewards = bool(committed.contents_in(world.mock, REWARDS))
    unkept = []
    if done.operation == "settle" and (escrow != ["captured"] or not rewards):
        unkept.append(f"settle committed, the escrow {escrow} and {rewards=}")
    if done.operation in ("cancel", "expire") and escrow not in ([], ["voided"]):
        unkept.append(f"{done.operation} committed, and the escrow {escrow}")
    if done.result is not None and ENDS_LEASE.get(done.operation) in done.result.done:
        lease = committed.content_of(world.mock, f"{CLAIMS}/{_claim_of(world.mock, done)}.json")
        unkept += [f"{done.operation} committed, and the lease goes on"] if _holds(lease) else []
    if done.operation == "renew" and not _is_long(done):
        unkept.append("renew committed, and the lease is as short as before")
    return unkept


ENDS_LEASE: Final = {
    "release": "release_lease",
    "settle": "complete_claim",
    "cancel": "release_lease",
    "expire": "release_lease",
}
"""The step of each operation that ends the lease of whoever held the bounty."""


def _claim_of(mock: MockNexus, done: Done) -> str | None:
    """The claim that ends with an operation: the bounty's, or the one that a release gave back."""
    bounty = bounty_on(mock) or {}
    given = {each["key"]: each.get("gaveBack") for each in records_of(bounty)}
    ended = done.result.bounty.claim_id if done.result else None
    return given.get(f"{done.key}:release") or ended


def _is_long(done: Done) -> bool:
    claim = done.result.claim if done.result else None
    return claim is not None and claim.lease_expires_at > wall_clock() + LEASE - CLOCKS_DIFFER


def wrong_verdicts(truth: Truth, told: Sequence[Done]) -> list[str]:
    """What is wrong with what callers were told, in their order."""
    wrong = []
    for number, done in enumerate(told):
        if done.verdict.startswith("escaped"):
            wrong.append(f"{done.operation} {done.verdict}")
        step = DECIDED_BY.get(done.operation)
        if step is None:
            continue
        landed = f"{done.key}:{step}" in truth.landed or _posted(truth, done)
        later = any(each.key == done.key for each in told[number + 1 :])
        tried_again = done.is_rivalled or (later and not truth.had_landed(done, step))
        undone = f"{done.key}:give-up" in truth.landed
        if done.verdict in ("committed", "post_commit") and not (landed or _settled(truth, done)):
            wrong.append(f"wrong verdict: {done.operation} {done.verdict}, and it never landed")
        if done.verdict == "pre_commit" and landed and not (tried_again or undone):
            wrong.append(f"wrong verdict: {done.operation} pre_commit, and it landed")
    return wrong


def unrecorded(truth: Truth, history: History, keys: set[str]) -> list[str]:
    """Steps of operations that landed although no call of them was written down.

    Not a fault of the code under test: the harness would have lost sight of what it judges.
    """
    called = {call.key for call in history.calls}
    missed = [key for key in truth.landed if key.rpartition(":")[0] in keys and key not in called]
    return [f"nobody wrote down who called {key}" for key in missed]


def _posted(truth: Truth, done: Done) -> bool:
    """Whether a draft of a create was opened, by whomever."""
    return done.operation == "create" and any(
        reservation in truth.opened
        for key, reservation in truth.drafted.items()
        if key.startswith(f"{done.key}:draft")
    )


def _settled(truth: Truth, done: Done) -> bool:
    """Whether the bounty was settled, by whomever, with the contribution that `done` named."""
    return done.operation == "settle" and any(
        status in SETTLING and cid == done.cid for status, cid in truth.statuses
    )


# At rest


@dataclass
class AtRest:
    """Looks whether anything is left to be done; once, while neither world nor clock moves."""

    world: World
    _seen: tuple[int, int, datetime] | None = None
    _wrong: list[str] = field(default_factory=list)

    async def wrong(self) -> list[str]:
        """What `wrong_at_rest` says now."""
        state = (*_state(self.world), wall_clock())
        if state != self._seen:
            self._wrong = await wrong_at_rest(self.world)
            self._seen = state
        return self._wrong


def _state(world: World) -> tuple[int, int]:
    """What is another number with every change of a file and every move of credits."""
    book: Any = world.ledger._book
    return world.mock.oracle.applied_total, len(book._journal)


async def wrong_at_rest(world: World) -> list[str]:
    """Everything that somebody still has to put right: broken invariants, and stale markers."""
    return [*await broken_invariants(world), *wrong_markers(world.mock), *_no_lease(world.mock)]


SWEEPS_BY_STATUS: Final[dict[str | None, tuple[type, ...]]] = {
    None: (),
    "draft": (StuckDrafts,),
    "open": (PastDeadlines,),
    "claimed": (PastDeadlines, AbandonedBounties),
    "pending_settlement": (PendingSettlements,),
    "completed": (CompletedNotSettled,),
    "settled": (OrphanReservations, MissingRewards),
    "cancelled": (OrphanReservations,),
    "expired": (OrphanReservations,),
}


def sweeps_needed(mock: MockNexus) -> set[type]:
    """The sweeps that can have something to do, to spare the others' listings."""
    bounty = bounty_on(mock)
    by_status = SWEEPS_BY_STATUS[bounty["status"] if bounty else None]
    refused = (OrphanReservations,) if given_back(bounty) else ()
    return {OrphanClaims, *by_status, *refused, *((IndexMarkers,) if wrong_markers(mock) else ())}


def wrong_markers(mock: MockNexus) -> list[str]:
    """Markers that an ended bounty has left behind."""
    bounty = bounty_on(mock)
    if bounty is None or bounty["status"] not in TERMINAL or was_taken_back(bounty):
        return []  # a marker of another status may yet be needed
    prefix = f"{MARKERS}/"
    ours = [path.removeprefix(prefix) for path in mock.files if path.startswith(prefix)]
    marked = {each.partition("/")[0] for each in ours if f"/{BOUNTY_ID}" in each}
    hours = f"/~%@[^/]*/[0-9]+/{BOUNTY_ID}"
    other = {each for each in ours if re.search(hours, each) and _hour(bounty) not in each}
    stale = sorted((marked - {bounty["status"]}) | other)
    return [f"the bounty is {bounty['status']} and marked {', '.join(stale)}"] if stale else []


def _hour(bounty: dict[str, Any]) -> str:
    """In which directory the marker of a bounty that has ended may lie: that of its last hour."""
    return _hour_of(bounty["updatedAt"])


@lru_cache(maxsize=256)
def _hour_of(moment: str) -> str:
    return f"~%@{_moment(moment).astimezone(UTC):%Y-%m-%d/%H}"


@lru_cache(maxsize=256)
def _moment(text: str) -> datetime:
    return msgspec.convert(text, datetime)


def _no_lease(mock: MockNexus) -> list[str]:
    bounty = bounty_on(mock)
    if bounty is None or bounty["status"] != "claimed":
        return []
    lease = committed.content_of(mock, f"{CLAIMS}/{bounty['claimId']}.json")
    if _holds(lease):
        return []
    return ["the bounty is claimed and its lease has ended, or was never there"]


def _holds(content: bytes | None) -> bool:
    """Whether the lease that `content` says is active and has not run out."""
    if content is None:
        return False
    lease = _decode(content)
    until = _moment(lease["leaseExpiresAt"])
    return bool(lease["status"] == "active" and until > wall_clock())
