"""The table that says what an answer proves is complete, closed, and on the safe side."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_bounty.nexus.client import classification
from nexus_bounty.nexus.client.bodies import OversizedBodyError, UnusableBodyError
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.never_sent import (
    BadUrlError,
    NoFreeConnectionError,
    NotConnectedError,
)

FAMILIES = {
    httpx.HTTPError,
    httpx.RequestError,
    httpx.TransportError,
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.ProtocolError,
    httpx.StreamError,
}
"""Bases that httpx only raises as one of their subclasses."""

NEVER_SENT = {NotConnectedError, NoFreeConnectionError, BadUrlError}
OURS = {*NEVER_SENT, UnusableBodyError, OversizedBodyError}
REFUSED_STATUSES = {401, 403, 404, 413, 422}

JSON_RPC = {
    "PARSE_ERROR": -32700,
    "INVALID_REQUEST": -32600,
    "METHOD_NOT_FOUND": -32601,
    "INVALID_PARAMS": -32602,
    "INTERNAL_ERROR": -32603,
}
UP_TO_0_9 = JSON_RPC | {
    "FILE_NOT_FOUND": -32000,
    "FILE_EXISTS": -32001,
    "INVALID_PATH": -32002,
    "ACCESS_DENIED": -32003,
    "PERMISSION_ERROR": -32004,
    "VALIDATION_ERROR": -32005,
    "CONFLICT": -32006,
}
RELEASES = {
    "0.5.6": UP_TO_0_9,
    "0.7.0": UP_TO_0_9,
    "0.9.18": UP_TO_0_9,
    "0.10.1": JSON_RPC
    | {
        "FILE_NOT_FOUND": -32007,
        "FILE_EXISTS": -32001,
        "INVALID_PATH": -32004,
        "PERMISSION_ERROR": -32003,
        "ACCESS_DENIED": -32018,
        "VALIDATION_ERROR": -32005,
        "CONFLICT": -32006,
    },
}
"""`RPCErrorCode` in the public source of each release, copied by hand."""

AMBIGUOUS_CODES = {"INTERNAL_ERROR", "FILE_EXISTS", "CONFLICT"}
"""What an earlier attempt of our own, repeated on the way, may have caused."""

CODES = [
    pytest.param(name, code, id=f"{release}-{name}")
    for release, codes in RELEASES.items()
    for name, code in codes.items()
]


def test_every_public_exception_of_httpx_is_named_in_the_table() -> None:
    """Fails when httpx grows an exception, so that somebody decides what it proves."""
    exported = (getattr(httpx, name) for name in httpx.__all__)
    public = {e for e in exported if isinstance(e, type) and issubclass(e, Exception)}
    assert public == (classification.TRANSPORT.keys() - OURS) | FAMILIES


def test_every_subclass_that_httpx_defines_is_named_in_the_table() -> None:
    """Fails also for an exception that httpx raises but does not export."""

    def beneath(kind: type[Exception]) -> set[type[Exception]]:
        found = {kind}
        for subclass in kind.__subclasses__():
            if subclass.__module__.split(".")[0] == "httpx":
                found |= beneath(subclass)
        return found

    known = beneath(httpx.HTTPError) | beneath(httpx.StreamError)
    assert known <= classification.TRANSPORT.keys() | FAMILIES


def test_only_exceptions_raised_before_the_first_byte_count_as_never_sent() -> None:
    """The set is written out: adding to it is a decision, not an accident."""
    verdicts = classification.TRANSPORT.items()
    assert {e for e, v in verdicts if v.disposition is Disposition.NEVER_SENT} == NEVER_SENT
    rest = {v.disposition for e, v in verdicts if e not in NEVER_SENT}
    assert rest == {Disposition.AMBIGUOUS}


@pytest.mark.parametrize("family", sorted(FAMILIES, key=str), ids=lambda family: family.__name__)
def test_a_bare_family_of_exceptions_is_ambiguous(family: type[Exception]) -> None:
    """What is only known by its base class proves nothing."""
    assert classification.of_exception(family("?")) == classification.UNLISTED


@pytest.mark.parametrize("error", [OSError(), RuntimeError(), KeyboardInterrupt(), Exception()])
def test_an_unlisted_exception_is_ambiguous(error: BaseException) -> None:
    """Not listed means: it may have been applied."""
    assert classification.of_exception(error).disposition is Disposition.AMBIGUOUS


def test_the_most_specific_listed_class_of_an_exception_decides() -> None:
    """A subclass is what its nearest listed ancestor is; nearer ancestors come first."""

    class ConnectRefused(httpx.ConnectError):
        pass

    class NewNetworkError(httpx.NetworkError):
        pass

    class ReadThenConnect(httpx.ReadError, httpx.ConnectError):
        pass

    refused = classification.of_exception(ConnectRefused("?"))
    assert refused == classification.TRANSPORT[httpx.ConnectError]
    assert classification.of_exception(NewNetworkError("?")) == classification.UNLISTED
    both = classification.of_exception(ReadThenConnect("?"))
    assert both == classification.TRANSPORT[httpx.ReadError]


@pytest.mark.parametrize(("name", "code"), CODES)
def test_every_code_of_every_release_is_named_and_means_the_right_thing(
    name: str, code: int
) -> None:
    """Refused where the server decided before it wrote; ambiguous where it may not have."""
    expected = Disposition.AMBIGUOUS if name in AMBIGUOUS_CODES else Disposition.REFUSED
    assert code in classification.RPC_CODES
    assert classification.of_rpc_code(code).disposition is expected


def test_no_code_is_named_that_no_release_has() -> None:
    """The table says nothing about servers that nobody has seen."""
    known = {code for codes in RELEASES.values() for code in codes.values()}
    assert classification.RPC_CODES.keys() == known


def test_a_code_that_means_a_missing_file_means_nothing_else_on_any_release() -> None:
    """Otherwise a read would take a refusal for a missing document."""
    verdicts = classification.RPC_CODES.items()
    missing = {code for code, verdict in verdicts if verdict.reason is Reason.NOT_FOUND}
    meanings = {n for codes in RELEASES.values() for n, code in codes.items() if code in missing}
    assert meanings == {"FILE_NOT_FOUND"}
    assert missing == {codes["FILE_NOT_FOUND"] for codes in RELEASES.values()}


@given(st.integers())
def test_an_unlisted_code_is_ambiguous(code: int) -> None:
    """Not listed means: it may have been applied."""
    if code not in classification.RPC_CODES:
        assert classification.of_rpc_code(code) == classification.UNLISTED


def test_only_a_listed_status_proves_anything() -> None:
    """200 and 201 acknowledge, five statuses refuse, everything else is ambiguous."""
    ambiguous = dict.fromkeys(range(1000), Disposition.AMBIGUOUS)
    refused = dict.fromkeys(REFUSED_STATUSES, Disposition.REFUSED)
    expected = ambiguous | refused | dict.fromkeys((200, 201), Disposition.ACKNOWLEDGED)
    assert {s: classification.of_status(s).disposition for s in range(1000)} == expected


def test_a_route_that_does_not_exist_is_not_a_missing_file() -> None:
    """HTTP 404 comes from something that is no Nexus; only a JSON-RPC code says so of a file."""
    reasons = {verdict.reason for verdict in classification.STATUSES.values()}
    assert classification.of_status(404).reason is Reason.NO_SUCH_ROUTE
    assert Reason.NOT_FOUND not in reasons


def test_nothing_that_is_definite_is_worth_a_repeat() -> None:
    """A refusal, a conflict and a closed client stay what they are a moment later."""
    tables = (classification.TRANSPORT, classification.STATUSES, classification.RPC_CODES)
    verdicts = {verdict for table in tables for verdict in table.values()}
    for verdict in verdicts | {classification.CLIENT_CLOSED, classification.OUT_OF_TIME}:
        error = NexusError(verdict, method="write", path="/a")
        settled = verdict.disposition in (Disposition.REFUSED, Disposition.ACKNOWLEDGED)
        final = settled or verdict.reason in (
            Reason.BAD_URL,
            Reason.CLIENT_CLOSED,
            Reason.OUT_OF_TIME,
            Reason.CONFLICT,
            Reason.EXISTS,
            Reason.REDIRECTED,
            Reason.OVERSIZED,
            Reason.OTHER_LOOP,
        )
        assert error.is_passing is not final
