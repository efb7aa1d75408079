"""What a server says by `Retry-After`: how long to wait before asking again."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from nexus_bounty.models import utc_now

LONGEST: Final = 2.0**31
"""Seconds: what is longer than anybody could wait is as long as this (as in RFC 9111, 1.2.2)."""
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_BETWEEN: Final = re.compile(r"(?<![A-Za-z]),\s+|(?<= GMT),\s+")
"""What is between the values of a header that was given more than once; a date has a comma, too."""


def parse_retry_after(value: str | None, now: Callable[[], datetime] = utc_now) -> float | None:
    """Seconds to wait by a `Retry-After` header, which has two forms (RFC 9110, 10.2.3).

    Some servers give fractions of a second. An absent or unreadable header is `None`; a date in
    the past is 0; none is more than `LONGEST`, and whoever waits does not begin what outlasts its
    deadline. Of a header that a server and a proxy before it have both given, it is the longest.
    """
    if value is None:
        return None
    asked = (_asked_by(each, now) for each in _BETWEEN.split(value))
    return max((each for each in asked if each is not None), default=None)


def _asked_by(value: str, now: Callable[[], datetime]) -> float | None:
    value = value.strip()  # of more than what `float` takes for space, such as "\x1f"
    if _SECONDS.fullmatch(value):
        return min(float(value), LONGEST)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now()).total_seconds(), 0.0), LONGEST)


def asked_in_json(value: object) -> float | None:
    """Seconds to wait by a value in a body: a number, or the text of a `Retry-After` header."""
    if isinstance(value, str):
        return parse_retry_after(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        return None
    return float(min(value, LONGEST))
