"""Dates as JavaScript reads them: the format of ECMA-262, 21.4.1.32, and what engines add to it.

Engines agree on more than that: on a space for the `T`, on small letters, on an offset without its
colon, on any number of decimals, and that February 30th is in March (measured on node 20 and bun
1.4). Other forms, such as `Jan 31 2030`, are each engine's own, and are no dates here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_DATE = r"(?P<year>\d{4}|[+-]\d{6})(-(?P<month>\d\d)(-(?P<day>\d\d))?)?"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d+))?)?"
_ZONE = r"(?P<zone>Z|(?P<sign>[+-])(?P<ahead>\d\d):?(?P<minutes>\d\d))?"
_FORM: Final = re.compile(f"{_DATE}([T ]{_TIME}{_ZONE})?", re.ASCII | re.IGNORECASE)


def parse_date(text: str) -> datetime | None:
    """The moment that `text` says, without a time zone if it names none; `None` if it is no date.

    Parts of a microsecond are left out. Of years only those from 1 to 9999 are known here.
    """
    form = _FORM.fullmatch(text)
    if form is None or form["year"] == "-000000":
        return None
    try:
        return _day(form) + _time_of_day(form)
    except (ValueError, OverflowError):
        return None


def _day(form: re.Match[str]) -> datetime:
    day = int(form["day"] or 1)
    if not 1 <= day <= 31:
        raise ValueError(day)
    first = datetime(int(form["year"]), int(form["month"] or 1), 1, tzinfo=_zone(form))
    return first + timedelta(days=day - 1)


def _time_of_day(form: re.Match[str]) -> timedelta:
    hour, minute, second = (int(form[part] or 0) for part in ("hour", "minute", "second"))
    passed = timedelta(
        hours=hour,
        minutes=minute,
        seconds=second,
        microseconds=int((form["fraction"] or "")[:6].ljust(6, "0")),
    )
    if minute > 59 or second > 59 or passed > timedelta(days=1):
        raise ValueError(passed)
    return passed


def _zone(form: re.Match[str]) -> timezone | None:
    if form["sign"] is None:
        return UTC if form["zone"] else None
    hours, minutes = int(form["ahead"]), int(form["minutes"])
    if hours > 23 or minutes > 59:
        raise ValueError(form["zone"])
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if form["sign"] == "-" else ahead)
