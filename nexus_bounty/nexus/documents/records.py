"""Bounties and rewards as documents: the typed view, and what a tombstone looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from nexus_bounty.events.log import logger_of
from nexus_bounty.idempotency import EVIDENCE_KEY
from nexus_bounty.models import (
    FROM_IDEMPOTENCY_KEY,
    AgentIdentity,
    Bounty,
    BountyCriteria,
    Claim,
    RewardRecord,
    Wire,
    times_of,
)
from nexus_bounty.nexus.documents import paths
from nexus_bounty.nexus.documents.claim_shapes import flattened
from nexus_bounty.nexus.documents.document import Document, UnreadableDocumentError, is_tombstone
from nexus_bounty.nexus.documents.lenient import known_phase, known_status, understood
from nexus_bounty.statuses import TOMBSTONE
from nexus_bounty.validation import MOST_AMOUNT, MOST_NAME_BYTES, is_name

logger = logger_of("nexus_bounty.nexus")

W = TypeVar("W", bound=Wire)


def to_value(record: Wire) -> dict[str, Any]:
    """A wire struct as the JSON object to be stored."""
    value: dict[str, Any] = msgspec.to_builtins(record)
    return value


def to_bounty(document: Document) -> Bounty:
    """The bounty that `document` is.

    Raises:
        UnreadableDocumentError: It is not one.
    """
    value, foreign = known_status(document.value)
    bounty = _view(document, Bounty, value)
    if foreign is not None:
        bounty = msgspec.structs.replace(bounty, status=foreign)
    if bounty.untrusted != document.untrusted:  # whatever the document itself says
        bounty = msgspec.structs.replace(bounty, untrusted=document.untrusted)
    if bounty.bounty_id == FROM_IDEMPOTENCY_KEY:
        raise UnreadableDocumentError(document.path, "it does not say which bounty it is about")
    if not 0 < bounty.amount <= MOST_AMOUNT:
        raise UnreadableDocumentError(document.path, f"its amount is {bounty.amount}")
    agents = [each.agent_id for each in (bounty.creator, bounty.claimed_by) if each is not None]
    ids = [bounty.bounty_id, bounty.claim_id, bounty.reservation_id, bounty.fulfilled_by_cid]
    _check_names(document.path, *agents, *ids)
    return bounty


def to_reward(document: Document) -> RewardRecord:
    """The reward that `document` is.

    Raises:
        UnreadableDocumentError: It is not one, or not one that counts.
    """
    if document.untrusted is not None:
        raise UnreadableDocumentError(document.path, document.untrusted)
    return to_reward_as_it_stands(document)


def to_reward_as_it_stands(document: Document) -> RewardRecord:
    """The reward that `document` is, be it signed or not.

    Raises:
        UnreadableDocumentError: It is not one.
    """
    reward = _view(document, RewardRecord)
    _check_names(document.path, reward.recipient.agent_id, reward.contribution_cid)
    return reward


def to_claim(document: Document) -> Claim:
    """The claim that `document` is; one in a phase of another program counts as active.

    Raises:
        UnreadableDocumentError: It is not one.
    """
    claim = _view(document, Claim, known_phase(flattened(document.value)))
    _check_names(document.path, claim.claim_id, claim.target_ref, claim.agent.agent_id)
    return claim


def _check_names(path: str, *names: str | None) -> None:
    """Refuse a document whose names no file and no account can have.

    Raises:
        UnreadableDocumentError: It has one.
    """
    for name in names:
        if name is not None and not is_name(name, MOST_NAME_BYTES):
            raise UnreadableDocumentError(path, f"{name[:80]!r} cannot be a name")


def changed(value: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `value` with the top-level `changes`; `None` removes a key.

    An agent that stays the same keeps what other writers said of it.
    """
    merged = {**value, **changes}
    for key, item in changes.items():
        if _same_agent(value.get(key), item):
            merged[key] = {**value[key], **item}
    return {key: item for key, item in merged.items() if key not in changes or item is not None}


def _same_agent(before: object, after: object) -> bool:
    return (
        isinstance(before, dict)
        and isinstance(after, dict)
        and "agentId" in after
        and before.get("agentId") == after["agentId"]
    )


def new_value(record: Wire, base: Document | None) -> dict[str, Any]:
    """What to store for a new record: over a tombstone, it keeps the tombstone's history."""
    kept = {EVIDENCE_KEY: base.value[EVIDENCE_KEY]} if base else {}
    return to_value(record) | kept


def bounty_tombstone(bounty: Bounty) -> dict[str, Any]:
    """What stands where a bounty was fenced off: to other programs, a cancelled bounty."""
    return to_value(bounty) | {"status": TOMBSTONE.value}


def anonymous_tombstone(bounty_id: str, now: datetime) -> dict[str, Any]:
    """A tombstone for a bounty of which nothing but the id is known."""
    return bounty_tombstone(
        Bounty(
            bounty_id=bounty_id,
            title="(never created)",
            creator=AgentIdentity(agent_id="nexus-bounty"),
            amount=1,
            criteria=BountyCriteria(description="none: this id was fenced off"),
            deadline=now,
            created_at=now,
            updated_at=now,
        )
    )


def listed(
    document: Document | UnreadableDocumentError,
    view: Callable[[Document], W],
    unreadable: dict[str, str] | None = None,
) -> W | None:
    """What a listing shows of `document`: no tombstone, and of an unreadable one a warning.

    `unreadable` gets what is wrong with it, by its id.
    """
    try:
        if isinstance(document, UnreadableDocumentError):
            raise document
        return None if is_tombstone(document) else view(document)
    except UnreadableDocumentError as error:
        logger.warning("left out of the listing: %s", error)
        if unreadable is not None:
            unreadable[paths.document_id(error.path)] = error.problem
        return None


def _view(document: Document, kind: type[W], value: Mapping[str, Any] | None = None) -> W:
    value = document.value if value is None else value
    try:
        return _aware(msgspec.convert(value, kind))
    except msgspec.ValidationError:  # it is odd, or wrong
        return _view_of_the_odd(document.path, understood(document.path, value, kind), kind)


def _view_of_the_odd(path: str, value: Mapping[str, Any], kind: type[W]) -> W:
    try:
        return _aware(msgspec.convert(value, kind))
    except msgspec.ValidationError as error:
        raise UnreadableDocumentError(path, str(error)) from error


def _aware(record: W) -> W:
    """`record` with the times of writers who leave the zone out taken as UTC."""
    naive = {
        name: value.replace(tzinfo=UTC)
        for name in times_of(type(record))
        if isinstance(value := getattr(record, name), datetime) and value.tzinfo is None
    }
    return msgspec.structs.replace(record, **naive) if naive else record
