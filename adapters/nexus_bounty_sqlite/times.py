"""Times as text that sorts as the times do: in UTC, always with six places."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """`2026-01-31T09:30:00.000000+00:00`, whatever the zone."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    """The time that `to_text` wrote.

    Raises:
        sqlite3.DataError: It did not write this.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise sqlite3.DataError(f"{text!r} is no time that a ledger writes")
