"""How long the client waits between attempts, and that a deadline is a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import pairwise
from random import Random

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nexus_bounty.deadlines import Deadline
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.retry_after import LONGEST, asked_in_json, parse_retry_after
from nexus_bounty.retry import RetryPolicy
from tests.support.clients import URL, LongestPause, answering, client_of, quick
from tests.support.virtual import elapsed, virtual

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
seconds = st.floats(min_value=0, max_value=1e6)


@given(
    attempt=st.integers(1, 500),
    base=seconds,
    cap=seconds,
    asked=st.none() | seconds,
    seed=st.randoms(),
)
def test_a_pause_is_within_full_jitter_but_never_shorter_than_was_asked(
    attempt: int, base: float, cap: float, asked: float | None, seed: Random
) -> None:
    """Between 0 and `base * 2**n`, capped; a server that asks for more gets it."""
    pause = RetryPolicy(base=base, cap=cap, random=seed).pause(attempt, asked)
    assert pause >= (asked or 0.0)
    assert pause <= max(min(cap, base * 2 ** (attempt - 1)), asked or 0.0)


def test_jitter_covers_the_whole_range() -> None:
    """Full jitter: short pauses are as likely as long ones."""
    policy = RetryPolicy(base=1.0, cap=8.0, random=Random(7))
    drawn = sorted(policy.pause(4) for _ in range(2000))
    assert drawn[0] < 0.1
    assert drawn[-1] > 7.9
    assert 3.5 < sum(drawn) / len(drawn) < 4.5


def test_a_pause_is_capped_however_many_attempts_there_were() -> None:
    """Nothing bounds `retry_attempts` from above."""
    assert RetryPolicy(base=1.0, cap=2.0).pause(2000) <= 2.0


@virtual
async def test_back_off_doubles_until_its_cap() -> None:
    """With jitter at its upper bound the pauses are exactly the bounds."""
    mock = MockNexus("0.10", faults=[Fault(FaultKind.STATUS_BEFORE, times=None)])
    client = client_of(mock, random=LongestPause(), retry_attempts=7, retry_base=0.5, retry_cap=5.0)
    with pytest.raises(NexusError):
        await client.read("/a")
    at = [request.at for request in mock.requests]
    pauses = [later - earlier for earlier, later in pairwise(at)]
    assert pauses == pytest.approx([0.5, 1.0, 2.0, 4.0, 5.0, 5.0])


@virtual
async def test_back_off_goes_through_the_sleep_of_asyncio() -> None:
    """So that virtual time, a test's patch and cancellation all reach it."""
    mock = MockNexus("0.10", faults=[Fault(FaultKind.REFUSE, times=2)])
    client = client_of(
        mock, random=LongestPause(), retry_base=100.0, retry_cap=1000.0, operation_timeout=900.0
    )
    await client.write("/a", b"")
    assert elapsed() == pytest.approx(300.0)


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        (Fault(FaultKind.STATUS_BEFORE, status=429, retry_after=7.0), 7.0),
        (Fault(FaultKind.STATUS_BEFORE, status=503, retry_after=7.0), 7.0),
        # a date is in whole seconds, so that up to one is lost
        (Fault(FaultKind.STATUS_BEFORE, retry_after=7.0, retry_after_form="date"), 5.9),
        (Fault(FaultKind.STATUS_BEFORE, status=429, retry_after=7.0, retry_after_form="json"), 7.0),
    ],
    ids=["429 in seconds", "503 in seconds", "date", "json"],
)
@virtual
async def test_a_server_that_asks_for_a_pause_gets_it(asked: Fault, least: float) -> None:
    """In seconds, as a date, or in the JSON body that some gateways send."""
    mock = MockNexus("0.10", faults=[asked])
    await client_of(mock).read("/a")
    first, second = mock.requests
    assert least <= second.at - first.at <= 7.1


@virtual
async def test_a_rate_limit_outside_json_rpc_is_waited_out_too() -> None:
    """A gateway may say it with HTTP 200."""
    limited = httpx.Response(200, json={"error": "Rate limit exceeded", "retry_after": 9})
    free = httpx.Response(200, json={"result": {"exists": True}})
    client = NexusClient(URL, settings=quick(), transport=answering(limited, free))
    assert await client.exists("/a") is True
    assert elapsed() == pytest.approx(9.0, abs=0.1)


@virtual
async def test_a_pause_that_would_outlast_the_deadline_is_not_begun() -> None:
    """Twice over: the error comes at once, and says what the server asked for."""
    fault = Fault(FaultKind.STATUS_BEFORE, status=429, retry_after=41.0)
    client = client_of(MockNexus("0.10", faults=[fault]), operation_timeout=20.0)
    with pytest.raises(NexusError) as caught:
        await client.read("/a")
    assert elapsed() == 0.0
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.retry_after == 41.0


@virtual
async def test_a_server_that_never_answers_takes_the_deadline_and_no_longer() -> None:
    """Each attempt has its own timeout, all of them together one deadline."""
    mock = MockNexus("0.10", faults=[Fault(FaultKind.TIMEOUT_BEFORE, times=None)])
    client = client_of(mock, request_timeout=3.0, operation_timeout=10.0, retry_attempts=100)
    with pytest.raises(NexusError) as caught:
        await client.read("/a")
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is Reason.TIMEOUT
    assert 9.0 <= elapsed() <= 10.0
    assert mock.request_count == 4


@virtual
async def test_one_deadline_covers_every_page_and_every_batch() -> None:
    """Of one call, however many requests it takes."""
    mock = MockNexus("0.10", faults=[Fault(FaultKind.DELAY, seconds=4.0, times=None)])
    client = client_of(mock, page_size=1, bulk_size=2, operation_timeout=30.0)
    for number in range(5):
        await client.write(f"/d/{number}", b"")
    paths = [f"/d/{number}" for number in range(5)]
    for call in (client.list, lambda path, deadline: client.read_many(paths, deadline=deadline)):
        began = elapsed()
        with pytest.raises(NexusError) as caught:
            await call("/d", deadline=Deadline.after(6.0))
        assert caught.value.reason is Reason.TIMEOUT
        assert elapsed() - began == pytest.approx(6.0)


@virtual
async def test_nothing_is_sent_after_the_deadline() -> None:
    """And so nothing happened: never sent."""
    mock = MockNexus("0.10")
    client = client_of(mock)
    deadline = Deadline.after(1.0)
    await asyncio.sleep(2.0)
    assert deadline.remaining == 0.0
    for call in (client.read("/a", deadline=deadline), client.write("/a", b"", deadline=deadline)):
        with pytest.raises(NexusError) as caught:
            await call
        assert caught.value.disposition is Disposition.NEVER_SENT
        assert caught.value.reason is Reason.OUT_OF_TIME
    assert mock.request_count == 0


@virtual
async def test_a_deadline_can_be_narrowed_and_never_widened() -> None:
    """`within` takes the earlier one; `keeping` sets time aside."""
    deadline = Deadline.after(10.0)
    assert deadline.within(3.0).remaining == 3.0
    assert deadline.within(30.0).remaining == 10.0
    assert deadline.keeping(4.0).remaining == 6.0
    assert deadline.keeping(40.0).remaining == 0.0


@given(st.integers(0, 10**6))
def test_retry_after_in_seconds_is_those_seconds(asked: int) -> None:
    """White space around it does not matter."""
    assert parse_retry_after(f" {asked} ") == asked


@pytest.mark.parametrize(
    ("value", "seconds"), [("0.8", 0.8), ("2.0", 2.0), (" 1. ", 1.0), ("\t.5", 0.5)]
)
def test_retry_after_in_fractions_of_a_second_is_read(value: str, seconds: float) -> None:
    """No RFC has them, and some servers give them."""
    assert parse_retry_after(value) == seconds


@pytest.mark.parametrize(
    "value",
    ["2147483648", "9999999999", "9" * 400, "9999999999.9", "Fri, 31 Dec 9999 23:59:59 GMT"],
)
def test_a_retry_after_that_is_too_long_for_anybody_is_very_long(value: str) -> None:
    """However it is written; it is not taken for none."""
    assert parse_retry_after(value) == LONGEST
    assert asked_in_json(value) == LONGEST


@pytest.mark.parametrize("value", ["0000000000060", "60." + "0" * 20])
def test_the_number_of_its_digits_says_nothing_of_how_long_it_is(value: str) -> None:
    """Leading zeros, and trailing ones."""
    assert parse_retry_after(value) == 60.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(9, 9.0), (0, 0.0), (1.5, 1.5), ("60", 60.0), (10**400, LONGEST), (1e300, LONGEST)]
    + [(each, None) for each in (-1, -0.5, True, None, "-5", "soon", [9], {"seconds": 9})],
)
def test_a_pause_in_json_is_understood_as_one_in_the_header(
    value: object, seconds: float | None
) -> None:
    """What is no number of seconds asks for nothing."""
    assert asked_in_json(value) == seconds


@pytest.mark.parametrize("asked", ["9999999999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("in_json", [False, True])
@virtual
async def test_a_server_that_asks_for_an_endless_pause_is_not_asked_again(
    asked: str, in_json: bool
) -> None:
    """No pause of our own takes its place: the error comes at once, and says for how long."""
    body = {"error": "Rate limit exceeded"} | ({"retry_after": asked} if in_json else {})
    headers = {} if in_json else {"Retry-After": asked}
    refused = httpx.Response(429, headers=headers, json=body)
    client = NexusClient(URL, settings=quick(), transport=answering(refused))
    with pytest.raises(NexusError) as caught:
        await client.read("/a")
    assert elapsed() == 0.0
    assert caught.value.retry_after == LONGEST


@given(st.integers(-(10**6), 10**6), st.integers(-12, 14))
def test_retry_after_as_a_date_is_the_time_until_then(asked: int, hours: int) -> None:
    """In any time zone; the past is now."""
    moment = (NOW + timedelta(seconds=asked)).astimezone(tz=_zone(hours))
    assert parse_retry_after(format_datetime(moment), now=lambda: NOW) == max(asked, 0)


def _zone(hours: int) -> timezone:
    return timezone(timedelta(hours=hours))


def test_retry_after_without_a_time_zone_is_in_utc() -> None:
    """-0000 says so, and asctime has none."""
    for form in ("Fri, 02 Jan 2026 03:04:15 -0000", "Fri Jan  2 03:04:15 2026"):
        assert parse_retry_after(form, now=lambda: NOW) == 10.0


@example("0\x1f")
@given(st.text())
def test_an_unreadable_retry_after_asks_for_nothing(value: str) -> None:
    """Whatever a server sends, it is a number of seconds or nothing."""
    asked = parse_retry_after(value)
    assert asked is None or asked >= 0.0


@pytest.mark.parametrize(
    "value",
    [
        *("", ".", "soon", "-5", "+5", "- 5", "1,5", "1 5", "5 s", "1e3", "1_0", "0x5"),
        *("²", "\u0661", "inf", "nan", "9" * 60_000 + "x"),
        *("Wed, 99 Foo 2026", "Sat, 01 Jan 10000 00:00:00 GMT"),
    ],
    ids=lambda value: value[:30],
)
def test_a_retry_after_in_neither_form_asks_for_nothing(value: str) -> None:
    """RFC 9110 has two forms."""
    assert parse_retry_after(value) is None


TOMORROW = "Sat, 03 Jan 2026 03:04:05 GMT"
IN_TEN = "Fri, 02 Jan 2026 03:04:15 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5, 10", 10.0),
        ("10, 5", 10.0),
        ("5,  10, .5", 10.0),
        (f"{IN_TEN}, 5", 10.0),
        (f"5, {IN_TEN}", 10.0),
        (f"{IN_TEN}, {TOMORROW}", 86_400.0),
        (f"{TOMORROW}, {IN_TEN}", 86_400.0),
        (f"soon , {IN_TEN}", 10.0),
        ("x1, 10", 10.0),
        ("soon, later", None),
    ],
)
def test_of_a_header_that_is_there_twice_the_longer_wait_counts(
    value: str, seconds: float | None
) -> None:
    """RFC 9110, 5.3: a proxy may have put the two lines into one."""
    assert parse_retry_after(value, now=lambda: NOW) == seconds


RPC_ERROR = {"code": -32603, "message": "internal error"}
ASKING: dict[str, tuple[int, Sequence[tuple[str, str]], object]] = {
    "by a header, of an error": (200, [("Retry-After", "7")], {"error": RPC_ERROR}),
    "in the data of an error": (200, [], {"error": RPC_ERROR | {"data": {"retry_after": 7}}}),
    "by a header, of a gateway": (200, [("Retry-After", "7")], {"error": "rate limit"}),
    "by a header, of nothing": (200, [("Retry-After", "7")], {}),
    "by a header, of another": (503, [("Retry-After", "7")], {"id": "other", "error": RPC_ERROR}),
    "twice": (429, [("Retry-After", "3"), ("Retry-After", "7")], {"error": RPC_ERROR}),
    "twice, the longer first": (429, [("Retry-After", "7"), ("Retry-After", "3")], {}),
    "by both, the header longer": (429, [("Retry-After", "7")], {"error": "", "retry_after": 3}),
    "by both, the body longer": (429, [("Retry-After", "3")], {"error": "", "retry_after": 7}),
}


@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING)
@virtual
async def test_whatever_asks_for_a_pause_gets_it(
    asking: tuple[int, Sequence[tuple[str, str]], object],
) -> None:
    """Never sooner than asked, whichever part of the answer asks, with whichever status."""
    status, headers, body = asking
    busy = httpx.Response(status, headers=headers, json=body)
    free = httpx.Response(200, json={"result": {"exists": True}})
    client = NexusClient(URL, settings=quick(), transport=answering(busy, free))
    assert await client.exists("/a") is True
    assert elapsed() == pytest.approx(7.0, abs=0.1)


def test_an_absent_retry_after_asks_for_nothing() -> None:
    """None in, None out."""
    assert parse_retry_after(None) is None


def test_an_absurd_time_zone_in_retry_after_asks_for_nothing() -> None:
    """A server's nonsense never becomes an exception of another kind."""
    assert parse_retry_after("Mon, 01 Jan 2024 00:00:00 +99999999999999") is None
