"""Which texts are dates: what `Date.parse` said to each, on node 20.20 and bun 1.4, is recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from nexus_bounty.nexus.documents.javascript_dates import parse_date

READ: Final = {
    # the format of ECMA-262, 21.4.1.32
    "2030": "2030-01-01T00:00:00.000Z",
    "2030-07": "2030-07-01T00:00:00.000Z",
    "2030-01-31": "2030-01-31T00:00:00.000Z",
    "2028-02-29": "2028-02-29T00:00:00.000Z",
    "2030T12:00Z": "2030-01-01T12:00:00.000Z",
    "2030-01T12:00": "2030-01-01T12:00:00.000Z",
    "2030-01-31T12:00": "2030-01-31T12:00:00.000Z",
    "2030-01-31T12:00Z": "2030-01-31T12:00:00.000Z",
    "2030-01-31T12:00:30": "2030-01-31T12:00:30.000Z",
    "2030-01-31T12:00:30Z": "2030-01-31T12:00:30.000Z",
    "2030-01-31T12:00:30.123Z": "2030-01-31T12:00:30.123Z",
    "2030-01-31T23:59:59.999Z": "2030-01-31T23:59:59.999Z",
    "2030-01-31T24:00Z": "2030-02-01T00:00:00.000Z",
    "2030-01-31T24:00": "2030-02-01T00:00:00.000Z",
    "2030-12-31T24:00:00Z": "2031-01-01T00:00:00.000Z",
    "2030-01-31T24:00:00.000Z": "2030-02-01T00:00:00.000Z",
    "2030-01-31T12:00+02:00": "2030-01-31T10:00:00.000Z",
    "2030-01-31T12:00-02:00": "2030-01-31T14:00:00.000Z",
    "2030-01-31T12:00-00:00": "2030-01-31T12:00:00.000Z",
    "2030-01-31T12:00+23:59": "2030-01-30T12:01:00.000Z",
    "+002030-01-31": "2030-01-31T00:00:00.000Z",
    "+002030-01-31T12:00:00Z": "2030-01-31T12:00:00.000Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z": "9999-12-31T23:59:59.999Z",
    # what both engines read besides
    "2030-01-31 12:00": "2030-01-31T12:00:00.000Z",
    "2030-01-31 12:00:30Z": "2030-01-31T12:00:30.000Z",
    "2030-01-31t12:00:30z": "2030-01-31T12:00:30.000Z",
    "2030-01-31T12:00:30.1Z": "2030-01-31T12:00:30.100Z",
    "2030-01-31T12:00:30.123456Z": "2030-01-31T12:00:30.123Z",
    "2030-01-31T12:00:30.123999999999Z": "2030-01-31T12:00:30.123Z",
    "2030-01-31T12:00+0200": "2030-01-31T10:00:00.000Z",
    "2030-02-29": "2030-03-01T00:00:00.000Z",
    "2030-02-31": "2030-03-03T00:00:00.000Z",
    "2030-04-31T24:00Z": "2030-05-02T00:00:00.000Z",
}
"""UTC where a text names no zone: of dates with a time engines take the zone of their machine."""

NO_DATES: Final = (
    *("", "tomorrow", "20300131", "2030-031", "2030-W05-4", "30-01-31", "1893456000000"),
    *("2030-13", "2030-00", "2030-01-00", "2030-02-32", "-000000-01-31T12:00:00Z"),
    *("2030-01-31T", "2030-01-31TZ", "2030-01-31T12", "2030-01-31T12Z", "2030-01-31T120000Z"),
    *("2030-01-31T24:01Z", "2030-01-31T24:00:01Z", "2030-01-31T24:00:00.001Z"),
    *("2030-01-31T25:00Z", "2030-01-31T23:60Z", "2030-01-31T23:59:60Z"),
    *("2030-01-31T12:00:30.Z", "2030-01-31T12:00:30,123Z"),
    *("2030-01-31T12:00+02", "2030-01-31T12:00+2:00", "2030-01-31T12:00+02:00:30"),
    *("2030-01-31T12:00+24:00", "2030-01-31T12:00+02:60", "2030-01-31+02:00"),
    *("2030-01-31T12:00 +02:00", "2030-01-31T12:00 Z", "2030-01-31T12:00:00 GMT"),
    *(" 2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z ", "2030-01-31T12:00:00Zx"),
)
"""No engine finds a moment in them."""

OF_ENGINES_ALONE: Final = (
    *("12", "203", "2030-1-31", "2030/01/31", "1/31/2030", "Jan 31 2030", "31 Jan 2030"),
    *("Thu, 31 Jan 2030 12:00:00 GMT", "January 31, 2030 12:00 UTC", "99999-01-31"),
    *("2030Z", "2030-01-31Z", "2030-01-31  12:00Z", "\uff12030-01-31"),
)
"""These are in no standard that Grove writes by: each engine reads them in its own way."""

BEYOND_OUR_YEARS: Final = (
    *("0000-01-31T12:00:00Z", "-002030-01-31T12:00:00Z", "+012030-01-31T12:00:00Z"),
    *("9999-12-31T24:00:00Z", "+275760-09-13T00:00:00.000Z", "+275760-09-13T00:00:00.001Z"),
)


@pytest.mark.parametrize("text", READ)
def test_what_javascript_reads_as_a_date_is_that_moment(text: str) -> None:
    """To the millisecond, which is all that JavaScript keeps."""
    moment = parse_date(text)
    assert moment is not None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    said = aware.astimezone(UTC).isoformat(timespec="milliseconds")
    assert said.replace("+00:00", "Z") == READ[text]


@pytest.mark.parametrize("text", READ)
def test_a_date_names_a_zone_or_is_without_one(text: str) -> None:
    """So that whoever assumes one can say so."""
    moment = parse_date(text)
    assert moment is not None
    time_of_day = text.upper().partition("T" if "T" in text.upper() else " ")[2]
    assert (moment.tzinfo is not None) == any(sign in time_of_day for sign in "Z+-")


@pytest.mark.parametrize("text", [*NO_DATES, *OF_ENGINES_ALONE, *BEYOND_OUR_YEARS])
def test_anything_else_is_no_date(text: str) -> None:
    """What no engine reads, what only engines read, and what is in no year of ours."""
    assert parse_date(text) is None


def test_a_date_that_we_write_is_read_as_it_was_written() -> None:
    """With its microseconds."""
    moment = datetime(2030, 1, 31, 12, 0, 30, 123_456, tzinfo=UTC)
    assert parse_date(moment.isoformat()) == moment
