"""Every fault does to the request and to the client what its kind says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from nexus_bounty.mock import (
    ALL_FAULTS,
    Fault,
    FaultKind,
    FaultPlan,
    MockNexus,
    RequestMatch,
    SeededFaults,
)
from tests.support.rpc import PATH, hurried, talking_to
from tests.support.virtual import virtual

CREATE = {"path": PATH, "content": "x", "if_none_match": True}

HEARD = {
    FaultKind.REFUSE: "ConnectError",
    FaultKind.DELAY: "ok",
    FaultKind.DROP_BEFORE: "RemoteProtocolError",
    FaultKind.DROP_AFTER: "RemoteProtocolError",
    FaultKind.TIMEOUT_BEFORE: "ReadTimeout",
    FaultKind.TIMEOUT_AFTER: "ReadTimeout",
    FaultKind.DUPLICATE: "ok",
    FaultKind.DUPLICATE_ECHO: "error",
    FaultKind.DUPLICATE_LATE: "ok",
    FaultKind.TRUNCATE: "RemoteProtocolError",
    FaultKind.GARBAGE: "garbage",
    FaultKind.RPC_ERROR_BEFORE: "error",
    FaultKind.RPC_ERROR_AFTER: "error",
}


def heard(fault: Fault) -> str:
    """What a client hears of a create that meets this fault."""
    if fault.kind is FaultKind.LATE:
        return "RemoteProtocolError" if fault.lost == "drop" else "ReadTimeout"
    return HEARD.get(fault.kind, str(fault.status))


def test_every_kind_has_a_specimen_and_every_specimen_its_own_name() -> None:
    """A kind added later is tried by every exhaustive test without anyone remembering it."""
    assert {fault.kind for fault in ALL_FAULTS} == set(FaultKind)
    assert len({fault.name for fault in ALL_FAULTS}) == len(ALL_FAULTS)


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=str)
async def test_a_fault_applies_the_request_as_often_as_its_kind_says(fault: Fault) -> None:
    """Deliveries are counted, and the file is there exactly when one was made."""
    mock = MockNexus(faults=[fault])
    async with hurried(mock) as rpc:
        await rpc.outcome("write", **CREATE)
        now = mock.requests[0].deliveries
        await mock.settle()
    assert mock.requests[0].fault == fault
    assert mock.requests[0].deliveries == fault.kind.deliveries
    assert (mock.read_file(PATH) is not None) is fault.kind.applies
    assert now == fault.kind.deliveries - fault.kind.later


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=str)
async def test_a_client_hears_what_the_kind_says(fault: Fault) -> None:
    """As httpx raises it on a socket, or as an answer that is or is not the server's own."""
    mock = MockNexus(faults=[fault])
    async with hurried(mock) as rpc:
        assert await rpc.outcome("write", **CREATE) == heard(fault)
    answered = not heard(fault).endswith(("Error", "Timeout"))
    assert answered is fault.kind.answered
    assert mock.requests[0].outcome.startswith("answered") is fault.kind.answered


@pytest.mark.parametrize("fault", [f for f in ALL_FAULTS if f.kind.genuine], ids=str)
async def test_a_genuine_answer_is_one_that_the_server_gave(fault: Fault) -> None:
    """What the client gets is among the answers to the deliveries."""
    mock = MockNexus(faults=[fault])
    async with hurried(mock) as rpc:
        response = await rpc.post("write", **CREATE)
    assert response.content in [answer.body for answer in mock.requests[0].answers]


async def test_the_echo_of_a_duplicated_create_is_a_refusal_of_its_own_success() -> None:
    """The proxy's second attempt meets the file that its first one made."""
    mock = MockNexus("0.5.6", faults=[Fault(FaultKind.DUPLICATE_ECHO)])
    async with hurried(mock) as rpc:
        answer = await rpc("write", **CREATE)
    assert answer["error"]["code"] == -32001
    assert len(mock.log) == 1


async def test_a_late_request_lands_after_that_many_further_requests() -> None:
    """Not before, and in its place in the log."""
    mock = MockNexus(faults=[Fault(FaultKind.LATE, after_requests=2)])
    async with hurried(mock) as rpc:
        assert await rpc.outcome("write", path=PATH, content="late") == "ReadTimeout"
        await rpc("write", path="/one", content="1")
        assert mock.read_file(PATH) is None
        assert mock.late_count == 1
        await rpc("write", path="/two", content="2")
        assert mock.read_file(PATH) == b"late"
    assert [change.request_number for change in mock.log] == [2, 3, 1]
    assert mock.late_count == 0


@virtual
async def test_a_late_request_can_land_after_a_time() -> None:
    """Counted on the event loop's clock."""
    mock = MockNexus(faults=[Fault(FaultKind.LATE, seconds=0.02, lost="drop")])
    async with hurried(mock) as rpc:
        assert await rpc.outcome("write", path=PATH, content="late") == "RemoteProtocolError"
        assert mock.read_file(PATH) is None
        await asyncio.sleep(0.04)
    assert mock.read_file(PATH) == b"late"


@virtual
async def test_settling_delivers_everything_that_is_late_once() -> None:
    """Timers included, which then have nothing left to do."""
    mock = MockNexus(
        faults=[Fault(FaultKind.LATE, seconds=0.01), Fault(FaultKind.LATE, after_requests=9)]
    )
    async with talking_to(mock, timeout=0.001) as rpc:
        await rpc.outcome("write", path="/one", content="1")
        await rpc.outcome("write", path="/two", content="2")
        await mock.settle()
        await asyncio.sleep(0.02)
    assert [change.path for change in mock.log] == ["/one", "/two"]


@virtual
async def test_a_client_that_gives_up_does_not_stop_the_server() -> None:
    """A delayed request is applied although its client is long gone."""
    mock = MockNexus(faults=[Fault(FaultKind.DELAY, seconds=0.03)])
    async with talking_to(mock, timeout=0.01) as rpc:
        assert await rpc.outcome("write", path=PATH, content="x") == "ReadTimeout"
        assert mock.read_file(PATH) is None
        await mock.settle()
    assert mock.read_file(PATH) == b"x"


@virtual
async def test_a_cancelled_client_does_not_stop_the_server() -> None:
    """Cancellation of the caller is not cancellation of the write."""
    mock = MockNexus(faults=[Fault(FaultKind.DELAY, seconds=0.02)])
    async with talking_to(mock, timeout=None) as rpc:
        call = asyncio.ensure_future(rpc("write", path=PATH, content="x"))
        await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait([call])
        await mock.settle()
    assert call.cancelled()
    assert mock.read_file(PATH) == b"x"


@virtual
async def test_a_restart_loses_what_was_not_applied_and_keeps_the_files() -> None:
    """Late requests never land, unfinished ones lose their connection."""
    mock = MockNexus(
        faults=[
            Fault(FaultKind.LATE, at=2, after_requests=9, lost="drop"),
            Fault(FaultKind.DELAY, at=3, seconds=9),
        ]
    )
    async with talking_to(mock, timeout=5) as rpc:
        await rpc.outcome("write", path="/kept", content="x")
        await rpc.outcome("write", path="/late", content="x")
        slow = asyncio.ensure_future(rpc.outcome("write", path="/slow", content="x"))
        await asyncio.sleep(0.01)
        mock.restart()
        assert await slow == "RemoteProtocolError"
        await mock.settle()
    assert list(mock.files) == ["/kept"]
    assert mock.late_count == 0


async def test_a_silent_server_without_a_time_limit_fails_at_once() -> None:
    """A test that forgets its timeout gets an error instead of hanging."""
    mock = MockNexus(faults=[Fault(FaultKind.TIMEOUT_AFTER)])
    async with talking_to(mock, timeout=None) as rpc:
        assert await rpc.outcome("write", path=PATH, content="x") == "ReadTimeout"


@virtual
async def test_the_wait_for_a_silent_server_is_the_requests_own_read_timeout() -> None:
    """On the event loop's clock, so that simulated time costs none."""
    mock = MockNexus(faults=[Fault(FaultKind.TIMEOUT_BEFORE)])
    async with talking_to(mock, timeout=httpx.Timeout(5, read=0.03)) as rpc:
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await rpc.outcome("read", path=PATH) == "ReadTimeout"
    assert loop.time() - started == pytest.approx(0.03)


async def test_retry_after_comes_in_its_three_forms() -> None:
    """Seconds, an HTTP date by the mock's clock, and a plain JSON body."""
    noon = datetime(2030, 1, 2, 12, tzinfo=UTC)
    limited = Fault(FaultKind.STATUS_BEFORE, status=429, retry_after=90)
    dated, plain = (
        replace(limited, retry_after_form="date"),
        replace(limited, retry_after_form="json"),
    )
    mock = MockNexus(clock=lambda: noon, faults=[limited, dated, plain])
    async with hurried(mock) as rpc:
        responses = [await rpc.post("read", path=PATH) for _ in range(3)]
    assert [response.status_code for response in responses] == [429] * 3
    assert responses[0].headers["retry-after"] == "90"
    assert responses[1].headers["retry-after"] == "Wed, 02 Jan 2030 12:01:30 GMT"
    assert "retry-after" not in responses[2].headers
    assert responses[2].json()["retry_after"] == 90


async def test_a_fault_hits_the_request_with_its_number_and_no_other() -> None:
    """Numbers count from 1 over everything received."""
    mock = MockNexus(faults=[Fault(FaultKind.DROP_BEFORE, at=2)])
    async with hurried(mock) as rpc:
        outcomes = [await rpc.outcome("exists", path=PATH) for _ in range(3)]
    assert outcomes == ["ok", "RemoteProtocolError", "ok"]


async def test_a_fault_matches_by_method_path_predicate_and_count() -> None:
    """All conditions hold, and `nth` counts the requests that match the rest."""
    match = RequestMatch(
        method="write", path="/z/*.json", nth=2, predicate=lambda request: request.if_none_match
    )
    mock = MockNexus(faults=[Fault(FaultKind.STATUS_BEFORE, match=match)])
    async with hurried(mock) as rpc:
        outcomes = [
            await rpc.outcome("write", path="/z/a.json", content="", if_none_match=True),
            await rpc.outcome("write", path="/z/a.txt", content="", if_none_match=True),
            await rpc.outcome("write", path="/z/b.json", content=""),
            await rpc.outcome("read", path="/z/a.json"),
            await rpc.outcome("write", path="/z/b/c.json", content="", if_none_match=True),
            await rpc.outcome("write", path="/z/d.json", content="", if_none_match=True),
        ]
    assert outcomes == ["ok", "ok", "ok", "ok", "503", "ok"]


async def test_a_fault_hits_as_many_times_as_it_says() -> None:
    """Once by default, without limit for None."""
    mock = MockNexus(faults=[Fault(FaultKind.STATUS_BEFORE, times=2)])
    async with hurried(mock) as rpc:
        assert [await rpc.outcome("exists", path=PATH) for _ in range(3)] == ["503", "503", "ok"]
        mock.inject(Fault(FaultKind.STATUS_BEFORE, times=None))
        assert {await rpc.outcome("exists", path=PATH) for _ in range(5)} == {"503"}
        mock.clear_faults()
        assert await rpc.outcome("exists", path=PATH) == "ok"


def test_the_same_seed_draws_the_same_faults() -> None:
    """And another seed draws others."""

    async def drawn(seed: int) -> list[str]:
        mock = MockNexus(faults=FaultPlan.seeded(seed, 0.5, [FaultKind.STATUS_BEFORE]))
        async with hurried(mock) as rpc:
            for _ in range(40):
                await rpc.outcome("exists", path=PATH)
        return [str(request) for request in mock.requests]

    assert asyncio.run(drawn(1)) == asyncio.run(drawn(1))
    assert asyncio.run(drawn(1)) != asyncio.run(drawn(2))


async def test_faults_by_rule_do_not_shift_faults_by_seed() -> None:
    """A rule added to a seeded run changes the requests that it hits and no others."""

    async def outcomes(*rules: Fault) -> list[str]:
        mock = MockNexus(faults=SeededFaults(3, 0.5, [FaultKind.RPC_ERROR_BEFORE]))
        mock.inject(*rules)
        async with hurried(mock) as rpc:
            return [await rpc.outcome("exists", path=PATH) for _ in range(20)]

    plain = await outcomes()
    ruled = await outcomes(Fault(FaultKind.STATUS_BEFORE, at=5))
    assert ruled[4] == "503"
    assert plain[:4] + plain[5:] == ruled[:4] + ruled[5:]


async def test_under_httpx_s_own_asgi_transport_faults_raise_what_sockets_would() -> None:
    """The ASGI app has no connection to break there, so it raises."""
    kinds = (FaultKind.REFUSE, FaultKind.DROP_AFTER, FaultKind.TIMEOUT_AFTER, FaultKind.TRUNCATE)
    mock = MockNexus(faults=[Fault(kind, at=at) for at, kind in enumerate(kinds, 1)])
    async with talking_to(mock, transport=httpx.ASGITransport(app=mock)) as rpc:
        outcomes = [await rpc.outcome("write", path=PATH, content="x") for _ in range(5)]
    assert outcomes == [
        "ConnectError",
        "RemoteProtocolError",
        "ReadTimeout",
        "RemoteProtocolError",
        "ok",
    ]
    assert len(mock.log) == 4


@virtual
async def test_the_line_can_say_at_once_that_no_answer_will_ever_come() -> None:
    """So that tests of many timeouts wait for none of them."""
    waited = []
    for silence in (None, 0.0):
        mock = MockNexus(faults=[Fault(FaultKind.TIMEOUT_AFTER)])
        began = asyncio.get_running_loop().time()
        async with talking_to(mock, transport=mock.transport(silence=silence)) as rpc:
            assert await rpc.outcome("write", path=PATH, content="x") == "ReadTimeout"
        waited.append(asyncio.get_running_loop().time() - began)
    assert waited[0] > 0 == waited[1]


def test_every_kind_of_fault_has_words_and_is_explained_by_help() -> None:
    """`help(FaultKind)` is where people look."""
    assert len({each.words for each in FaultKind}) == len(FaultKind)
    for each in FaultKind:
        assert f'{each.name} "{each.words}": ' in (FaultKind.__doc__ or "")
