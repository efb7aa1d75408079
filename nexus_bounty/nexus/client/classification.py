"""What an answer proves about the request: the one closed table.

Every way in which a request can end is looked up here and nowhere else. What is not listed is
ambiguous: it may have been applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import httpx

from nexus_bounty.nexus.client.bodies import OversizedBodyError, UnusableBodyError
from nexus_bounty.nexus.client.never_sent import (
    BadUrlError,
    NoFreeConnectionError,
    NotConnectedError,
)
from nexus_bounty.nexus.client.quirks import MISSING


class Disposition(StrEnum):
    """What is proven of one attempt."""

    NEVER_SENT = "never_sent"
    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"
    ACKNOWLEDGED = "acknowledged"


class Reason(StrEnum):
    """Why an attempt ended as it did, for people and for the few decisions that need it."""

    OK = "ok"
    NO_CONNECTION = "no connection"
    NO_FREE_CONNECTION = "no free connection"
    CLIENT_CLOSED = "client closed"
    BAD_URL = "bad URL"
    OUT_OF_TIME = "no time left"
    TIMEOUT = "no answer in time"
    CONNECTION_LOST = "connection lost"
    UNREADABLE = "unreadable answer"
    AUTHENTICATION = "not authenticated"
    PERMISSION = "not permitted"
    PERMISSION_OR_PATH = "not permitted, or a bad path"
    NO_SUCH_ROUTE = "no such route: is this a Nexus server?"
    NOT_FOUND = "no such file"
    BAD_PATH = "bad path"
    BAD_REQUEST = "bad request or parameters"
    TOO_LARGE = "too large"
    RATE_LIMITED = "rate limited"
    SERVER_ERROR = "server error"
    CONFLICT = "conflict"
    EXISTS = "already exists"
    REDIRECTED = "redirected"
    OVERSIZED = "answer too large"
    OTHER_LOOP = "another event loop"
    UNLISTED = "unlisted answer"


@dataclass(frozen=True, slots=True)
class RequestVerdict:
    """What one attempt proves, and why."""

    disposition: Disposition
    reason: Reason


def _never_sent(reason: Reason) -> RequestVerdict:
    return RequestVerdict(Disposition.NEVER_SENT, reason)


def _refused(reason: Reason) -> RequestVerdict:
    return RequestVerdict(Disposition.REFUSED, reason)


def _ambiguous(reason: Reason) -> RequestVerdict:
    return RequestVerdict(Disposition.AMBIGUOUS, reason)


ACKNOWLEDGED: Final = RequestVerdict(Disposition.ACKNOWLEDGED, Reason.OK)
CLIENT_CLOSED: Final = _never_sent(Reason.CLIENT_CLOSED)
OUT_OF_TIME: Final = _never_sent(Reason.OUT_OF_TIME)
UNENCODABLE: Final = _never_sent(Reason.BAD_PATH)
OTHER_LOOP: Final = _never_sent(Reason.OTHER_LOOP)
LATE: Final = _ambiguous(Reason.TIMEOUT)
UNREADABLE: Final = _ambiguous(Reason.UNREADABLE)
RATE_LIMITED: Final = _ambiguous(Reason.RATE_LIMITED)
UNLISTED: Final = _ambiguous(Reason.UNLISTED)

# What a transport raises. That nothing was sent is said by a type of ours alone; httpx's words for
# it are ambiguous, because other libraries' transports use them of requests that the server has.
TRANSPORT: Final[Mapping[type[Exception], RequestVerdict]] = {
    NotConnectedError: _never_sent(Reason.NO_CONNECTION),
    NoFreeConnectionError: _never_sent(Reason.NO_FREE_CONNECTION),
    BadUrlError: _never_sent(Reason.BAD_URL),
    UnusableBodyError: UNREADABLE,
    OversizedBodyError: _ambiguous(Reason.OVERSIZED),
    httpx.ConnectError: _ambiguous(Reason.CONNECTION_LOST),
    httpx.ConnectTimeout: _ambiguous(Reason.CONNECTION_LOST),
    httpx.ProxyError: _ambiguous(Reason.CONNECTION_LOST),
    httpx.PoolTimeout: _ambiguous(Reason.CONNECTION_LOST),
    httpx.InvalidURL: _ambiguous(Reason.UNLISTED),
    httpx.UnsupportedProtocol: _ambiguous(Reason.UNLISTED),
    httpx.WriteTimeout: _ambiguous(Reason.TIMEOUT),
    httpx.ReadTimeout: _ambiguous(Reason.TIMEOUT),
    httpx.WriteError: _ambiguous(Reason.CONNECTION_LOST),
    httpx.ReadError: _ambiguous(Reason.CONNECTION_LOST),
    httpx.CloseError: _ambiguous(Reason.CONNECTION_LOST),
    httpx.RemoteProtocolError: _ambiguous(Reason.CONNECTION_LOST),
    # h11 raises it for a request that breaks the protocol, part of which may be on the wire
    httpx.LocalProtocolError: _ambiguous(Reason.CONNECTION_LOST),
    httpx.DecodingError: UNREADABLE,
    httpx.TooManyRedirects: _ambiguous(Reason.REDIRECTED),
    httpx.HTTPStatusError: UNLISTED,
    httpx.CookieConflict: UNREADABLE,
    httpx.StreamConsumed: UNREADABLE,
    httpx.StreamClosed: UNREADABLE,
    httpx.ResponseNotRead: UNREADABLE,
    httpx.RequestNotRead: UNREADABLE,
}

_REDIRECTED: Final = _ambiguous(Reason.REDIRECTED)

STATUSES: Final[Mapping[int, RequestVerdict]] = {
    **dict.fromkeys((301, 302, 303, 307, 308), _REDIRECTED),
    200: ACKNOWLEDGED,
    201: ACKNOWLEDGED,  # NexusPay of 0.10.1, of what it has made
    401: _refused(Reason.AUTHENTICATION),
    403: _refused(Reason.PERMISSION),
    404: _refused(Reason.NO_SUCH_ROUTE),
    413: _refused(Reason.TOO_LARGE),
    422: _refused(Reason.BAD_REQUEST),
    408: _ambiguous(Reason.TIMEOUT),
    409: _ambiguous(Reason.CONFLICT),
    412: _ambiguous(Reason.CONFLICT),
    425: _ambiguous(Reason.RATE_LIMITED),
    429: RATE_LIMITED,
    500: _ambiguous(Reason.SERVER_ERROR),
    501: _ambiguous(Reason.SERVER_ERROR),
    502: _ambiguous(Reason.SERVER_ERROR),
    503: _ambiguous(Reason.SERVER_ERROR),
    504: _ambiguous(Reason.TIMEOUT),
}

# Dialects number some errors differently (`quirks`: missing files, bad paths); the numbers of one
# that collide with another's mean a definite refusal in both.
RPC_CODES: Final[Mapping[int, RequestVerdict]] = {
    -32700: _refused(Reason.BAD_REQUEST),
    -32600: _refused(Reason.BAD_REQUEST),
    -32601: _refused(Reason.BAD_REQUEST),
    -32602: _refused(Reason.BAD_REQUEST),
    -32603: _ambiguous(Reason.SERVER_ERROR),
    **dict.fromkeys(MISSING, _refused(Reason.NOT_FOUND)),
    -32001: _ambiguous(Reason.EXISTS),
    -32002: _refused(Reason.BAD_PATH),
    -32003: _refused(Reason.PERMISSION),
    -32004: _refused(Reason.PERMISSION_OR_PATH),
    -32005: _refused(Reason.BAD_REQUEST),
    -32006: _ambiguous(Reason.CONFLICT),
    -32018: _refused(Reason.PERMISSION),
}


def of_exception(error: BaseException) -> RequestVerdict:
    """The verdict on an attempt that ended in `error`: its most specific listed class."""
    return next((TRANSPORT[kind] for kind in type(error).__mro__ if kind in TRANSPORT), UNLISTED)


def of_status(status: int) -> RequestVerdict:
    """The verdict on an HTTP status, the body aside."""
    return STATUSES.get(status, UNLISTED)


def of_rpc_code(code: int) -> RequestVerdict:
    """The verdict on the code of a JSON-RPC error."""
    return RPC_CODES.get(code, UNLISTED)
