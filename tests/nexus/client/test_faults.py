"""What the client repeats, what it never repeats, and that no verdict claims too much."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from nexus_bounty.mock import ALL_FAULTS, Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from tests.support.clients import client_of
from tests.support.virtual import virtual

Call = Callable[[NexusClient], Awaitable[object]]

ONCE: dict[str, Call] = {
    "write": lambda client: client.write("/a", b"new"),
    "create": lambda client: client.write("/a", b"new", if_none_match=True),
    "rename": lambda client: client.rename("/there", "/a"),
}
HARMLESS: dict[str, Call] = {
    "write": lambda client: client.write("/a", b"new", idempotent=True),
    "delete": lambda client: client.delete("/there"),
    "read": lambda client: client.read("/there"),
    "exists": lambda client: client.exists("/there"),
    "exist": lambda client: client.exist(["/there", "/none"]),
    "list": lambda client: client.list("/"),
    "read_many": lambda client: client.read_many(["/there", "/none"]),
}
CERTAIN = (Disposition.NEVER_SENT, Disposition.REFUSED)
REFUSALS = {401, 403}


def once() -> list[object]:
    return [pytest.param(call, id=name) for name, call in ONCE.items()]


def harmless() -> list[object]:
    return [pytest.param(call, id=name) for name, call in HARMLESS.items()]


def is_passing(fault: Fault) -> bool:
    """Whether what the client hears of the fault may be different a moment later."""
    refusal = fault.kind is FaultKind.STATUS_BEFORE and fault.status in REFUSALS
    return not (fault.kind.genuine or refusal)


async def server(*faults: Fault) -> MockNexus:
    """A server with one file, then these faults."""
    mock = MockNexus("0.10")
    await client_of(mock).write("/there", b"old")
    mock.reset_counts()
    mock.inject(*faults)
    return mock


async def ended(awaitable: Awaitable[object]) -> NexusError | None:
    try:
        await awaitable
    except NexusError as error:
        return error
    return None


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=str)
@pytest.mark.parametrize("call", once())
@virtual
async def test_a_mutation_is_repeated_only_after_it_was_never_sent(
    call: Call, fault: Fault
) -> None:
    """Every fault there is: one request, except where the connection was refused."""
    mock = await server(fault)
    await ended(call(client_of(mock)))
    assert mock.request_count == (2 if fault.kind is FaultKind.REFUSE else 1)


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=str)
@pytest.mark.parametrize("call", once())
@virtual
async def test_no_verdict_on_a_mutation_claims_more_than_is_true(call: Call, fault: Fault) -> None:
    """An acknowledged one was applied; one called never sent or refused never is, even later."""
    mock = await server(fault)
    before = len(mock.log)
    error = await ended(call(client_of(mock, retry_attempts=1)))
    await mock.settle()
    applied = len(mock.log) > before
    if error is None:
        assert applied
    if error is not None and error.disposition in CERTAIN:
        assert not applied


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=str)
@pytest.mark.parametrize("call", harmless())
@virtual
async def test_a_harmless_request_is_repeated_until_it_is_answered(
    call: Call, fault: Fault
) -> None:
    """Once more after every fault that may pass; not at all after an answer or a refusal."""
    mock = await server(fault)
    error = await ended(call(client_of(mock)))
    repeated = mock.request_count - 1
    if is_passing(fault):
        assert error is None
        assert repeated == 1
    elif fault.kind.genuine:
        assert error is None
        assert repeated == 0
    else:
        assert error is not None
        assert error.disposition is Disposition.REFUSED
        assert mock.request_count == 1


@pytest.mark.parametrize("fault", [f for f in ALL_FAULTS if is_passing(f)], ids=str)
@virtual
async def test_an_idempotent_write_ends_with_its_bytes_stored(fault: Fault) -> None:
    """However often it was applied on the way, and whatever arrives late."""
    mock = await server(fault)
    etag = await client_of(mock).write("/a", b"new", idempotent=True)
    assert mock.files["/a"].etag == etag
    await mock.settle()
    assert mock.read_file("/a") == b"new"


@pytest.mark.parametrize("attempts", [1, 4])
@pytest.mark.parametrize("fault", [f for f in ALL_FAULTS if is_passing(f)], ids=str)
@virtual
async def test_the_number_of_attempts_is_bounded(fault: Fault, attempts: int) -> None:
    """A server that always fails is asked exactly as often as is set."""
    always = RequestMatch(method="read")
    mock = await server(replace(fault, match=always, times=None))
    client = client_of(mock, retry_attempts=attempts, operation_timeout=1000.0)
    error = await ended(client.read("/there"))
    assert error is not None
    assert mock.request_count == attempts


@pytest.mark.parametrize(
    "second", [Fault(FaultKind.REFUSE, times=None), Fault(FaultKind.STATUS_BEFORE, status=403)]
)
@virtual
async def test_a_repeat_that_never_left_does_not_hide_an_attempt_that_may_have_landed(
    second: Fault,
) -> None:
    """The verdict is on the whole call: ambiguous, then refused, is ambiguous."""
    mock = await server(Fault(FaultKind.DROP_AFTER), second)
    error = await ended(client_of(mock, retry_attempts=2).write("/a", b"new", idempotent=True))
    assert mock.read_file("/a") == b"new"
    assert error is not None
    assert error.disposition is Disposition.AMBIGUOUS


@virtual
async def test_a_conflict_is_not_repeated_even_where_a_repeat_is_harmless() -> None:
    """It will be a conflict the next time too."""
    mock = await server()
    error = await ended(client_of(mock).write("/there", b"", if_match="old", idempotent=True))
    assert error is not None
    assert error.reason is Reason.CONFLICT
    assert mock.request_count == 1


@virtual
async def test_a_delete_says_that_the_file_was_there_although_its_first_answer_was_lost() -> None:
    """It promises to say whether it was."""
    mock = await server(Fault(FaultKind.DROP_AFTER))
    assert await client_of(mock).delete("/there") is True


@virtual
async def test_cancellation_ends_a_call_at_once_wherever_it_is() -> None:
    """While sending, while backing off, while waiting for a connection: no repeat, no delay."""
    for fault in (
        Fault(FaultKind.DELAY, seconds=500.0),
        Fault(FaultKind.STATUS_BEFORE, status=503, retry_after=500.0),
    ):
        mock = await server(fault)
        client = client_of(mock, max_connections=1, request_timeout=900.0, operation_timeout=900.0)
        calls = [asyncio.create_task(client.read("/there")) for _ in range(2)]
        await asyncio.sleep(1.0)
        began = asyncio.get_running_loop().time()
        for call in calls:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert asyncio.get_running_loop().time() == began
        asked = mock.request_count
        assert await client.read("/there") is not None  # the connection is free again
        assert mock.request_count == asked + 1
        await mock.settle()


@virtual
async def test_the_timeout_of_a_caller_is_the_callers_own() -> None:
    """`asyncio.timeout` around a call raises TimeoutError, not an error of ours."""
    mock = await server(Fault(FaultKind.TIMEOUT_AFTER))
    client = client_of(mock)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.0):
            await client.write("/a", b"new")
    assert asyncio.get_running_loop().time() == pytest.approx(2.0)
    assert mock.request_count == 1
    assert mock.read_file("/a") == b"new"


@virtual
async def test_nothing_goes_on_behind_the_back_of_a_failed_read_of_many() -> None:
    """When the call has raised, its other requests are over."""
    refusal = Fault(FaultKind.STATUS_BEFORE, status=403, match=RequestMatch(method="read"))
    mock = MockNexus("0.5.6", faults=[refusal])
    client = client_of(mock, max_connections=1)
    error = await ended(client.read_many([f"/{number}" for number in range(10)]))
    assert error is not None
    asked = mock.request_count
    await asyncio.sleep(10.0)
    assert mock.request_count == asked
