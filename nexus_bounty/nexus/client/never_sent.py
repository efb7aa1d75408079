"""What a transport raises when not a byte of a request has left: its type says so, nothing else.

httpx's own exceptions are not believed: what other libraries' transports translate into its words
says "not connected" of requests that the server has (httpx-aiohttp 0.2 and pyreqwest 0.15 do).
"""

from __future__ import annotations

from typing import Final

import httpx


class NeverSentError(Exception):
    """Not a byte of the request has left this process."""


class NotConnectedError(NeverSentError):
    """There was no connection to send it on, nor to a proxy."""


class NoFreeConnectionError(NeverSentError):
    """Every connection was in use for too long."""


class BadUrlError(NeverSentError):
    """Nothing can be sent to such a URL."""


_OF_HTTPX: Final[dict[type[Exception], type[NeverSentError]]] = {
    httpx.ConnectError: NotConnectedError,
    httpx.ConnectTimeout: NotConnectedError,
    httpx.ProxyError: NotConnectedError,
    httpx.PoolTimeout: NoFreeConnectionError,
    httpx.InvalidURL: BadUrlError,
    httpx.UnsupportedProtocol: BadUrlError,
}


def if_never_sent(error: Exception) -> Exception:
    """`error`, or what it says in our words if it is httpx's own word that nothing was sent."""
    kind = _OF_HTTPX.get(type(error))
    if kind is None or _is_translated(error):
        return error
    return kind(f"{type(error).__name__}: {error}".rstrip(": "))


def _is_translated(error: Exception) -> bool:
    """Whether another library than httpx's own wrote what was caught there."""
    cause = error.__cause__
    return cause is not None and type(cause).__module__.partition(".")[0] != "httpcore"
