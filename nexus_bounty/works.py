"""Delivered work as its author describes it, and the content id that follows from that.

The manifest and the hash are Grove's: BLAKE3 over the canonical JSON (RFC 8785) of everything but
the id, so that whoever reads a work can check that it is the one that its id names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import blake3
import msgspec

from nexus_bounty.models import AgentIdentity, Contribution, MetricDirection, Wire, utc_now
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.validation import (
    check_agent,
    check_context,
    check_json,
    check_segment,
    check_text,
    check_time,
)

WorkKind = Literal[
    "work", "review", "discussion", "adoption", "reproduction", "plan", "ask_user", "response"
]
RelationType = Literal["derives_from", "responds_to", "reviews", "reproduces", "adopts"]

_VERSION: Final = 1
_LEAST_PLAIN, _MOST_PLAIN = Decimal("1e-6"), Decimal("1e21")


class Score(Wire, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        value: The figure, finite.
        direction: Whether "maximize" or "minimize" is better.
        unit: Of the figure.
    """

    value: float
    direction: MetricDirection
    unit: str | None = None


class Relation(Wire, frozen=True, kw_only=True):
    """How a work has to do with another.

    Attributes:
        target_cid: The other one.
        relation_type: How.
        metadata: Whatever else is to be said of that, as JSON.
    """

    target_cid: str
    relation_type: RelationType
    metadata: dict[str, Any] | None = None


class Work(Wire, frozen=True, kw_only=True):
    """A piece of work to be delivered by `NexusContributionStore.put`.

    Its `cid` follows from all of it, the time included: keep it to deliver the same one again.

    Attributes:
        agent: Its author.
        summary: In one line.
        kind: What sort of contribution it is.
        mode: Whether it is to be measured, or explores.
        description: As long as need be.
        artifacts: Content hashes by the names of files.
        relations: How it has to do with others.
        scores: What was measured, by name.
        tags: What it is said to be.
        context: Whatever else, as JSON.
        created_at: When it was made; aware.
    """

    agent: AgentIdentity
    summary: str
    kind: WorkKind = "work"
    mode: Literal["evaluation", "exploration"] = "evaluation"
    description: str | None = None
    artifacts: dict[str, str] = msgspec.field(default_factory=dict)
    relations: Sequence[Relation] = ()
    scores: dict[str, Score] = msgspec.field(default_factory=dict)
    tags: Sequence[str] = ()
    context: dict[str, Any] | None = None
    created_at: datetime = msgspec.field(default_factory=utc_now)

    @property
    def cid(self) -> str:
        """The content id, `blake3:` and 64 hexadecimal digits."""
        digest = blake3.blake3(canonical(self._described()).encode()).hexdigest()
        return f"blake3:{digest}"

    @property
    def contribution(self) -> Contribution:
        """The work as criteria look at it."""
        scores = {name: score.value for name, score in self.scores.items()}
        return Contribution(cid=self.cid, agent=self.agent, tags=list(self.tags), scores=scores)

    def manifest(self) -> dict[str, Any]:
        """What is stored: everything, and the id of it."""
        return self._described() | {"cid": self.cid}

    def _described(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "manifestVersion": _VERSION,
            "kind": self.kind,
            "mode": self.mode,
            "summary": self.summary,
            "artifacts": self.artifacts,
            "relations": list(self.relations),
            "tags": list(self.tags),
            "agent": self.agent,
            "createdAt": self.created_at,
        }
        may_be_missing = {
            "description": self.description,
            "scores": self.scores or None,
            "context": self.context,
        }
        value |= {name: part for name, part in may_be_missing.items() if part is not None}
        plain: dict[str, Any] = msgspec.to_builtins(value)
        return plain


def check_work(work: object) -> None:
    """Refuse a work that could not be stored, or read by others.

    Raises:
        InvalidInputError: It cannot be (pre-commit).
    """
    if not isinstance(work, Work):
        raise InvalidInputError("work", work, "must be a Work")
    check_agent("agent", work.agent)
    check_text("summary", work.summary)
    check_time("created_at", work.created_at)
    check_context("context", work.context)
    try:
        msgspec.convert(msgspec.to_builtins(work), Work)  # the types of all that is inside
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise InvalidInputError("work", work, f"is no work: {error}") from error
    check_json("work", msgspec.to_builtins(work))
    for tag in work.tags:  # a file is named after each
        check_segment("tags", tag)
    for relation in work.relations:
        check_segment("target_cid", relation.target_cid)


def canonical(value: Any) -> str:
    """`value` as canonical JSON by RFC 8785: one text for one value."""
    if isinstance(value, Mapping):
        ordered = sorted(value.items(), key=lambda item: str(item[0]).encode("utf-16-be"))
        pairs = ",".join(f"{canonical(key)}:{canonical(item)}" for key, item in ordered)
        return f"{{{pairs}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """A number as ECMAScript writes it."""
    exact = Decimal(repr(value))
    if exact == 0:
        return "0"
    if not _LEAST_PLAIN <= abs(exact) < _MOST_PLAIN:
        sign, digits, _ = exact.normalize().as_tuple()
        shown = "".join(map(str, digits))
        mantissa = f"{shown[0]}.{shown[1:]}" if shown[1:] else shown
        return f"{'-' if sign else ''}{mantissa}e{exact.adjusted():+d}"
    plain = format(exact, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
