"""Checks of input before any request: each error names the field and the value."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from nexus_bounty.idempotency import RETENTION
from nexus_bounty.models import (
    FROM_IDEMPOTENCY_KEY,
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyQuery,
    BountyStatus,
    ClaimQuery,
    ClaimStatus,
    RewardRecord,
    RewardType,
)
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.partition import encode_segment

MOST_ID_BYTES: Final = 100
"""A reward's id holds a bounty's and a contribution's, and has to fit a file name of 255 bytes."""
MOST_NAME_BYTES: Final = 255
"""How long a file's name can be; other programs make longer ones than we would."""
MOST_REWARD_ID_BYTES: Final = 240
MOST_KEY_CHARACTERS: Final = 255
MOST_AMOUNT: Final = 2**53 - 1
MOST_COUNTED: Final = 2**53 - 1
"""The largest integer that every JSON reader, JavaScript's too, takes exactly."""
MOST_NESTING: Final = 64
MOST_BITS: Final = 1024
"""Of an integer: Python itself refuses to read one that is some times as long."""
LONGEST: Final = timedelta(days=36_500)
"""The longest duration: a time so far from now still is one."""


def check_id(field: str, value: object, most: int = MOST_ID_BYTES) -> None:
    """Refuse what cannot be a file name on every server and for every client."""
    text = check_text(field, value)
    if text != text.strip() or text in (".", ".."):
        raise InvalidInputError(
            field, value, "must not start or end with a space, or be '.' or '..'"
        )
    if bad := next((sign for sign in text if sign in "/%" or not sign.isprintable()), None):
        raise InvalidInputError(field, value, f"must not contain {bad!r}")
    if len(text.encode()) > most:
        raise InvalidInputError(field, value, f"must be at most {most} bytes long")


def is_name(text: object, most: int = MOST_ID_BYTES) -> bool:
    """Whether there can be a file of that name, be it one that we would not make."""
    return isinstance(text, str) and text.isprintable() and 0 < len(text.encode()) <= most


def check_name(field: str, value: object, most: int) -> None:
    """Refuse what no file could be named after, here or where another program makes one."""
    text = check_text(field, value)
    if not is_name(text, most):
        raise InvalidInputError(field, value, f"must be at most {most} printable bytes")


def check_segment(field: str, value: object) -> str:
    """Refuse text that cannot be one segment of a path, once it is encoded as one."""
    text = check_text(field, value)
    if text in (".", "..") or not is_name(encode_segment(text), MOST_NAME_BYTES):
        asked = f"must be at most {MOST_NAME_BYTES} printable bytes, '/' and '%' counted threefold"
        raise InvalidInputError(field, value, f"{asked}, and not '.' or '..'")
    return text


def check_key(value: object) -> None:
    """Refuse an idempotency key that is empty, over-long or unprintable."""
    text = check_text("idempotency_key", value)
    if not text.isprintable() or len(text) > MOST_KEY_CHARACTERS:
        raise InvalidInputError(
            "idempotency_key", value, f"must be at most {MOST_KEY_CHARACTERS} printable characters"
        )


def check_text(field: str, value: object) -> str:
    """Refuse anything but text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(field, value, "must be text and not empty")
    _check_encodable(field, value)
    return value


def check_amount(field: str, value: object) -> None:
    """Refuse anything but a positive `int` that every peer reads exactly."""
    if type(value) is not int:
        raise InvalidInputError(field, value, "must be an integer, in the smallest unit of credit")
    if not 0 < value <= MOST_AMOUNT:
        raise InvalidInputError(field, value, f"must be between 1 and {MOST_AMOUNT}")


def check_time(field: str, value: object) -> None:
    """Refuse anything but a time that knows its zone."""
    if not isinstance(value, datetime):
        raise InvalidInputError(field, value, "must be a datetime")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidInputError(field, value, "must have a time zone, such as datetime.UTC")
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise InvalidInputError(field, value, "must be in a year that there is in UTC") from None


def check_duration(field: str, value: object) -> None:
    """Refuse anything but a positive length of time that a calendar can hold."""
    if not isinstance(value, timedelta) or value <= timedelta():
        raise InvalidInputError(field, value, "must be a length of time above zero")
    if value > LONGEST:
        raise InvalidInputError(field, value, f"must be at most {LONGEST.days} days")


def check_agent(field: str, value: object) -> None:
    """Refuse an identity without a usable agent id."""
    if not isinstance(value, AgentIdentity):
        raise InvalidInputError(field, value, "must be an AgentIdentity")
    check_id(f"{field}.agent_id", value.agent_id)
    for name in value.__struct_fields__:
        part = getattr(value, name)
        if part is not None:
            check_optional_text(f"{field}.{name}", part)


def check_optional_text(field: str, value: object) -> None:
    """Refuse what is given and is not text."""
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidInputError(field, value, "must be text")
    _check_encodable(field, value)


def check_limit(field: str, value: object) -> None:
    """Refuse a count that is given and is not a non-negative `int`, or more than can be counted."""
    if value is not None and (type(value) is not int or not 0 <= value <= MOST_COUNTED):
        raise InvalidInputError(field, value, f"must be an integer from 0 to {MOST_COUNTED}")


def check_json(field: str, value: Any, depth: int = 0) -> None:
    """Refuse what would not come back from JSON as it went in."""
    if depth > MOST_NESTING:
        raise InvalidInputError(field, value, f"must not nest deeper than {MOST_NESTING} levels")
    if isinstance(value, Mapping) and type(value) is dict:
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidInputError(field, key, "must have text as every key")
            _check_encodable(field, key)
            check_json(f"{field}.{key}", item, depth + 1)
    elif type(value) is list:
        for index, item in enumerate(value):
            check_json(f"{field}[{index}]", item, depth + 1)
    elif isinstance(value, str):
        _check_encodable(field, value)
    else:
        _check_plain(field, value)


def _check_plain(field: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(field, value, "must be a finite number")
    if type(value) is int and value.bit_length() > MOST_BITS:
        raise InvalidInputError(field, value, f"must be an integer of at most {MOST_BITS} bits")
    if not (value is None or type(value) in (bool, int, float)):
        raise InvalidInputError(
            field, value, "must be JSON: null, bool, number, text, list or dict"
        )


def check_context(field: str, value: object) -> None:
    """Refuse what is given and is not a JSON object."""
    if value is not None and not isinstance(value, dict):
        raise InvalidInputError(field, value, "must be a dict")
    check_json(field, value)


def check_criteria(field: str, value: object) -> None:
    """Refuse criteria that nothing could be held against."""
    if not isinstance(value, BountyCriteria):
        raise InvalidInputError(field, value, "must be BountyCriteria")
    check_string(f"{field}.description", value.description)
    check_optional_text(f"{field}.metric_name", value.metric_name)
    if value.metric_threshold is not None and type(value.metric_threshold) not in (int, float):
        raise InvalidInputError(
            f"{field}.metric_threshold", value.metric_threshold, "must be a number"
        )
    check_json(f"{field}.metric_threshold", value.metric_threshold)
    if abs(value.metric_threshold or 0) > sys.float_info.max:
        raise InvalidInputError(
            f"{field}.metric_threshold", value.metric_threshold, "must be a finite number"
        )
    if value.metric_threshold is not None and value.metric_name is None:
        raise InvalidInputError(f"{field}.metric_name", None, "is needed with a metric_threshold")
    if value.metric_direction not in (None, "minimize", "maximize"):
        raise InvalidInputError(
            f"{field}.metric_direction", value.metric_direction, "must be minimize or maximize"
        )
    tags = value.required_tags
    if tags is not None and not isinstance(tags, list | tuple):
        raise InvalidInputError(f"{field}.required_tags", tags, "must be a list of text")
    for tag in tags or ():
        check_text(f"{field}.required_tags", tag)


def check_bounty(bounty: object) -> None:
    """Refuse a bounty that could not be stored, found again, or paid."""
    if not isinstance(bounty, Bounty):
        raise InvalidInputError("bounty", bounty, "must be a Bounty")
    if bounty.bounty_id != FROM_IDEMPOTENCY_KEY:
        check_id("bounty_id", bounty.bounty_id)
    check_text("title", bounty.title)
    check_string("description", bounty.description)
    check_agent("creator", bounty.creator)
    check_amount("amount", bounty.amount)
    check_criteria("criteria", bounty.criteria)
    for field in ("deadline", "created_at", "updated_at"):
        check_time(field, getattr(bounty, field))
    check_member("status", bounty.status, BountyStatus)
    if bounty.claimed_by is not None:
        check_agent("claimed_by", bounty.claimed_by)
    for field in ("claim_id", "fulfilled_by_cid", "reservation_id"):
        if (name := getattr(bounty, field)) is not None:
            check_name(field, name, MOST_NAME_BYTES)
    for field in ("ledger_id", "zone_id"):
        check_optional_text(field, getattr(bounty, field))
    check_context("context", bounty.context)
    if bounty.untrusted is not None:
        raise InvalidInputError(
            "untrusted", bounty.untrusted, "is said by a reader of what was read: leave it out"
        )


def check_reward(reward: object) -> None:
    """Refuse a reward that could not be stored or found again."""
    if not isinstance(reward, RewardRecord):
        raise InvalidInputError("reward", reward, "must be a RewardRecord")
    check_id("reward_id", reward.reward_id, MOST_REWARD_ID_BYTES)
    check_agent("recipient", reward.recipient)
    check_amount("amount", reward.amount)
    check_text("contribution_cid", reward.contribution_cid)
    check_optional_text("bounty_id", reward.bounty_id)
    check_optional_text("transfer_id", reward.transfer_id)
    check_time("created_at", reward.created_at)
    check_member("reward_type", reward.reward_type, RewardType)


def check_query(query: BountyQuery) -> None:
    """Refuse a query that could match nothing by mistake."""
    check_is("query", query, BountyQuery)
    check_limit("limit", query.limit)
    check_limit("offset", query.offset)
    if query.status is None:
        return
    statuses = query.status if isinstance(query.status, list | tuple) else [query.status]
    for status in statuses:
        check_member("status", status, BountyStatus)


def check_claim_query(query: ClaimQuery) -> None:
    """Refuse a query that could match nothing by mistake."""
    check_is("query", query, ClaimQuery)
    check_limit("limit", query.limit)
    if query.status is None:
        return
    statuses = query.status if isinstance(query.status, list | tuple) else [query.status]
    for status in statuses:
        check_member("status", status, ClaimStatus)


def check_is(field: str, value: object, kind: type) -> None:
    """Refuse what is of another kind."""
    if not isinstance(value, kind):
        raise InvalidInputError(field, value, f"must be a {kind.__name__}")


def check_span(field: str, value: object) -> None:
    """Refuse anything but a length of time that is not below zero."""
    if value != timedelta():
        check_duration(field, value)


def check_retention(field: str, value: object) -> None:
    """Refuse to forget what a repeat of an operation may still have to find."""
    check_duration(field, value)
    if isinstance(value, timedelta) and value < RETENTION:
        raise InvalidInputError(field, value, f"must be at least {RETENTION}")


def check_member(field: str, value: object, kind: type[StrEnum]) -> None:
    """Refuse what is not one of the values of `kind`."""
    if not isinstance(value, str) or value not in set(kind):
        known = ", ".join(kind)
        raise InvalidInputError(field, value, f"must be one of {known}")


def check_string(field: str, value: object) -> None:
    """Refuse anything but text, which may be empty."""
    if value is None:
        raise InvalidInputError(field, value, "must be text")
    check_optional_text(field, value)


def _check_encodable(field: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(field, value, "must be encodable as UTF-8") from error
    if "\x00" in value:
        raise InvalidInputError(field, value, "must not contain NUL")
