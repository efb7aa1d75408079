"""The life of a bounty as a picture: what happened when, in five lanes one below the other.

Time does not run evenly: moments that are far apart come closer, and such that follow each other at
once get room, or a settlement of a second would vanish beside a claim of a week.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.models import BountyStatus, Claim, ClaimStatus
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import JournaledOperation, ReservationStatus
from nexus_bounty.statuses import STATUSES
from nexus_bounty_console.lives import BountyLife, DocumentWrite

LEFT: Final = 16
TOP: Final = 34
LANE: Final = 46
LABEL: Final = 15
ROW: Final = 22
LEAST_WIDTH: Final = 1040
MOST_WRITES: Final = 40
"""How many writes, the newest ones, a picture shows."""

_ENDS_CLAIM: Final = frozenset({"release", "begin_settlement", "cancel", "expire", "complete"})
"""The writes after which a claim is ended: when exactly, no claim says."""

_NEAR, _FAR = 30.0, 150.0
_LETTER: Final = 6.3
"""How wide a letter of a label is, nearly."""
_TICK: Final = 92
"""How far apart the times below a picture must be."""


@dataclass(frozen=True)
class Bar:
    """Something that lasts: from `x` on, `width` wide, in a row of its lane."""

    x: float
    y: float
    width: float
    kind: str
    label: str
    title: str
    open_end: bool = False


@dataclass(frozen=True)
class Mark:
    """Something that happened at one moment."""

    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True)
class Tick:
    """A time below the picture; `gap` is how long it is after the one before, in words."""

    x: float
    label: str
    gap: str


@dataclass
class PictureRow:
    """What belongs together."""

    name: str
    y: float
    height: float = LANE
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """All of it, in pixels.

    Attributes:
        width: Of the whole.
        height: Likewise.
        now: Where the present is; `None` if everything has ended before.
        lanes: From top to bottom.
        ticks: The times below.
        left_out: How many earlier writes it does not show.
    """

    width: float
    height: float
    now: float | None
    lanes: Sequence[PictureRow]
    ticks: Sequence[Tick]
    left_out: int = 0


class Scale:
    """Where each moment is: in their order, and not too near or too far from each other."""

    def __init__(self, moments: Iterable[datetime]) -> None:
        ordered = sorted(set(moments))
        steps = [_step(later - earlier) for earlier, later in pairwise(ordered)]
        room = LEAST_WIDTH - 2 * LEFT
        stretch = max(1.0, room / sum(steps)) if steps else 1.0
        self._at = {ordered[0]: float(LEFT)} if ordered else {}
        for (earlier, later), step in zip(pairwise(ordered), steps, strict=True):
            self._at[later] = self._at[earlier] + step * stretch

    def __call__(self, moment: datetime) -> float:
        """Where `moment` is, which is one of those that were given."""
        return self._at[moment]

    @property
    def moments(self) -> list[datetime]:
        """All of them, in their order."""
        return list(self._at)

    @property
    def end(self) -> float:
        """Where the last one is."""
        return max(self._at.values(), default=float(LEFT))


def _step(gap: timedelta) -> float:
    return min(_NEAR + 14 * math.log10(1 + 10 * gap.total_seconds()), _FAR)


@dataclass(frozen=True)
class _Span:
    """A bar before it has a place."""

    begins: datetime
    ends: datetime
    kind: str
    label: str
    title: str
    open_end: bool = False


def draw(life: BountyLife, now: datetime) -> Picture | None:
    """The picture of a life as it is `now`; `None` if there is nothing to draw."""
    writes = life.writes[-MOST_WRITES:]
    lanes = [
        ("Document", _document(life, writes, now), []),
        ("Money", _money(life, now), []),
        ("Claims", [_claim(each, writes, now) for each in life.claims], []),
        ("Requests", [], [*_writes(writes), *_requests(life, writes)]),
        ("Operations and doubts", [_operation(each, now) for each in life.operations], []),
    ]
    spans = [each for _, found, _ in lanes for each in found]
    points = [each for _, _, found in lanes for each in found]
    moments = [each for span in spans for each in (span.begins, span.ends)]
    moments += [at for at, _, _ in points]
    if not moments:
        return None
    scale = Scale(moments)
    drawn = _placed(lanes, scale)
    bottom = drawn[-1].y + drawn[-1].height
    return Picture(
        width=scale.end + LEFT + 8,
        height=bottom + 40,
        now=scale(now) if now in scale.moments else None,
        lanes=drawn,
        ticks=_ticks(scale),
        left_out=len(life.writes) - len(writes),
    )


_Point = tuple[datetime, str, str]


def _placed(
    lanes: Sequence[tuple[str, Sequence[_Span], Sequence[_Point]]], scale: Scale
) -> list[PictureRow]:
    drawn, y = [], float(TOP)
    for name, spans, points in lanes:
        lane = PictureRow(name, y)
        rows: list[float] = []  # where each row is taken up to
        for span in sorted(spans, key=lambda each: each.begins):
            x, end = scale(span.begins), scale(span.ends)
            row = next((at for at, taken in enumerate(rows) if taken <= x + 0.5), len(rows))
            rows[row : row + 1] = [end]
            top, width = y + LABEL + row * ROW, max(end - x, 4.0)
            label = span.label if len(span.label) * _LETTER < width - 12 else ""
            lane.bars.append(
                Bar(x, top, width, span.kind, label, span.title, open_end=span.open_end)
            )
        lane.marks += [Mark(scale(at), y + LABEL + 9, kind, title) for at, kind, title in points]
        lane.height = LABEL + max(len(rows), 1) * ROW + 9
        drawn.append(lane)
        y += lane.height
    return drawn


def _document(life: BountyLife, writes: Sequence[DocumentWrite], now: datetime) -> list[_Span]:
    """From status to status, the last one until now unless nothing leaves it."""
    bounty = life.bounty
    happened = [each for each in writes if each.status is not None]
    spans = [
        _status(one.status or "", one.at, other.at, one.meaning)
        for one, other in pairwise(happened)
    ]
    if bounty is None:
        return spans
    begins = happened[-1].at if happened else bounty.created_at
    meaning = happened[-1].meaning if happened else "written by another program"
    ended = bounty.status in TERMINAL
    until = begins + timedelta(seconds=1) if ended else max(now, begins)
    return [*spans, _status(bounty.status.value, begins, until, meaning, open_end=not ended)]


def _status(
    status: str, begins: datetime, ends: datetime, meaning: str, *, open_end: bool = False
) -> _Span:
    shown = status.replace("_", " ")
    title = f"{shown} from {_time(begins)}: {meaning}"
    kind = colour_class(BountyStatus.foreign(status))
    return _Span(begins, max(ends, begins), kind, shown, title, open_end)


def colour_class(status: BountyStatus) -> str:
    """The class that gives what is drawn the colour of a status."""
    return f"colour-{STATUSES[status].colour.replace(' ', '-')}"


def _money(life: BountyLife, now: datetime) -> list[_Span]:
    money = life.money
    held = money.reservation if money else None
    if money is None or held is None:
        return []
    ended = life.movements[-1].at if len(life.movements) > 1 else None
    if held.status is ReservationStatus.HELD:
        label = f"{held.amount:,} held in escrow"
        if held.assignment:
            label = f"{held.amount:,} held, to be paid to {held.assignment.payee}"
        return [_Span(held.created_at, max(now, held.created_at), "held", label, money.where, True)]
    ends = max(ended or (life.bounty.updated_at if life.bounty else now), held.created_at)
    kind = "paid" if held.status is ReservationStatus.CAPTURED else "back"
    whom = held.captured_to if kind == "paid" else held.account
    label = f"{held.amount:,} {'to' if kind == 'paid' else 'back to'} {whom}"
    return [
        _Span(held.created_at, ends, "held", f"{held.amount:,} held in escrow", "held in escrow"),
        _Span(ends, ends + timedelta(seconds=1), kind, label, f"{money.where}, {_time(ends)}"),
    ]


def _claim(claim: Claim, writes: Sequence[DocumentWrite], now: datetime) -> _Span:
    who = claim.agent.agent_id
    begins, until = claim.created_at, claim.lease_expires_at
    if claim.status is ClaimStatus.ACTIVE:
        kind = "claim" if claim.holds(now) else "lapsed"
        title = f"{who} holds it until {_time(until)}"
        if kind == "lapsed":
            title = f"the lease of {who} ran out at {_time(until)}"
        ends = min(until, now) if until > begins else begins
        return _Span(begins, max(ends, begins), kind, who, title, open_end=kind == "claim")
    after = (
        each.at for each in writes if each.at > claim.heartbeat_at and each.kind in _ENDS_CLAIM
    )
    ends = max(min(next(after, until), until), begins)
    return _Span(begins, ends, "claim-ended", who, f"the claim of {who}: {claim.status.value}")


_OPERATION_KINDS: Final[dict[Outcome | None, str]] = {
    Outcome.COMMITTED: "done",
    Outcome.POST_COMMIT: "owed",
}


def _operation(operation: JournaledOperation, now: datetime) -> _Span:
    by = f" by {operation.actor}" if operation.actor else ""
    if operation.is_open:
        why = operation.reason or "its process has not said how it ended"
        title = f"{operation.kind}{by} in doubt since {_time(operation.began_at)}: {why}"
        ends = max(now, operation.began_at)
        return _Span(operation.began_at, ends, "doubt", f"{operation.kind}?", title, True)
    ends = max(operation.ended_at or operation.began_at, operation.began_at)
    outcome = operation.outcome.value.replace("_", " ") if operation.outcome else ""
    kind = _OPERATION_KINDS.get(operation.outcome, "refused")
    title = f"{operation.kind}{by}: {outcome}, {_time(ends)}"
    return _Span(operation.began_at, ends, kind, operation.kind, title)


_WRITE_KINDS: Final = {"committed": "write", "fenced": "fence", "untrusted": "lost"}
_WRITE_WORDS: Final = {
    "committed": "",
    "fenced": "a fence, so that this never happens: ",
    "untrusted": "not signed, and so no proof of this: ",
}


def _writes(writes: Sequence[DocumentWrite]) -> list[_Point]:
    return [
        (
            each.at,
            _WRITE_KINDS[each.outcome],
            f"write {each.seq}, {_time(each.at)}: {_WRITE_WORDS[each.outcome]}{each.meaning}",
        )
        for each in writes
    ]


def _requests(life: BountyLife, writes: Sequence[DocumentWrite]) -> list[_Point]:
    first = writes[0].at if writes else None
    return [
        (
            each.at,
            "lost" if each.lost else "request",
            f"{each.method} {each.path} of {each.operation}, {_time(each.at)}: {each.answer}",
        )
        for each in life.requests[-MOST_WRITES:]
        if first is None or each.at >= first
    ]


def _ticks(scale: Scale) -> list[Tick]:
    ticks: list[Tick] = []
    before: datetime | None = None
    for moment in scale.moments:
        x = scale(moment)
        if ticks and x - ticks[-1].x < _TICK:
            continue
        if x > scale.end - _TICK / 2 and ticks:
            break
        same_day = before is not None and before.date() == moment.date()
        label = f"{moment:%H:%M:%S}" if same_day else f"{moment:%d %b %H:%M}"
        ticks.append(Tick(x, label, f"+ {lasting(moment - before)}" if before else ""))
        before = moment
    return ticks


def lasting(time: timedelta) -> str:
    """How long something lasts, in one or two units."""
    seconds = max(time.total_seconds(), 0)
    space = "\N{NO-BREAK SPACE}"
    for unit, smaller, size, small in (
        ("d", "h", 86_400, 3_600),
        ("h", "m", 3_600, 60),
        ("m", "s", 60, 1),
    ):
        if seconds >= size:
            rest = int(seconds % size // small)
            shown = f"{int(seconds // size)}{space}{unit}"
            return f"{shown} {rest}{space}{smaller}" if rest else shown
    in_seconds = seconds >= 1 or not seconds
    return f"{seconds:.0f}{space}s" if in_seconds else f"{seconds * 1000:.0f}{space}ms"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
