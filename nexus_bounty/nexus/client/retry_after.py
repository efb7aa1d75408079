"""What a server says by `Retry-After`: how long to wait before asking again."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from nexus_bounty.models import utc_now

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")


def parse_retry_after(value: str | None, now: Callable[[], datetime] = utc_now) -> float | None:
    """Seconds to wait by a `Retry-After` header, which has two forms (RFC 9110, 10.2.3).

    Some servers give fractions of a second. An absent or unreadable header is `None`; a date in
    the past is 0.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now()).total_seconds(), 0.0)
