"""Spares the libraries below us work that a transport in the same process has no use for.

Half of the time of a simulated request goes into httpx: URLs taken apart again and again, cookies,
redirects, authentication, connection pools. None of it is code under test. The short way below
ends in the same call of the transport, and `test_exploration` shows that traces do not differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import tenacity._utils

_urls: dict[tuple[str, str], httpx.URL] = {}
_slowly_is_coroutine = tenacity._utils.is_coroutine_callable


async def _request(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    content: bytes | None = None,
    timeout: httpx.Timeout,
) -> httpx.Response:
    """What `AsyncClient.request` comes to for a client without anything special."""
    known = (str(client.base_url), url)
    if known not in _urls:
        _urls[known] = client._merge_url(url)
    extensions = {"timeout": timeout.as_dict()}
    request = httpx.Request(method, _urls[known], content=content, extensions=extensions)
    response = await client._transport.handle_async_request(request)
    await response.aread()
    return response


def _is_coroutine(call: Callable[..., Any]) -> bool:
    code = getattr(call, "__code__", None)
    if code is None:
        return _slowly_is_coroutine(call)
    return bool(code.co_flags & inspect.CO_COROUTINE)


def make_swift() -> None:
    """Take the short way from now on, in all of this process."""
    _take(_request, _is_coroutine)


@contextmanager
def unhurried() -> Iterator[None]:
    """Take the libraries' own way meanwhile."""
    swift = httpx.AsyncClient.request is not _SLOW_REQUEST
    _take(_SLOW_REQUEST, _slowly_is_coroutine)
    try:
        yield
    finally:
        if swift:
            make_swift()


_SLOW_REQUEST: Any = httpx.AsyncClient.request


def _take(request: Any, is_coroutine: Callable[..., bool]) -> None:
    setattr(httpx.AsyncClient, "request", request)  # noqa: B010 - mypy forbids the assignment
    setattr(tenacity._utils, "is_coroutine_callable", is_coroutine)  # noqa: B010
