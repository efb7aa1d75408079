"""What the tests of the client share: a clock that jumps, quick settings, transports, servers."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, ParamSpec

import httpx

from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.settings import NexusSettings

P = ParamSpec("P")
URL = "http://nexus.test"


class _JumpingSelector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everything waits for something that will never happen")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer instead of passing."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test without sockets on virtual time: sleeps are exact and cost nothing."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def elapsed() -> float:
    return asyncio.get_running_loop().time()


class LongestPause(Random):
    """Jitter at its upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def quick(**given: Any) -> NexusSettings:
    """Settings that give up soon and never wait long."""
    return NexusSettings(
        **{"retry_attempts": 3, "retry_base": 0.001, "operation_timeout": 20.0, **given}
    )


def client_of(
    mock: MockNexus, *, random: Random | None = None, api_key: str | None = None, **given: Any
) -> NexusClient:
    return NexusClient(
        URL, settings=quick(**given), transport=mock.transport(), random=random, api_key=api_key
    )


_ID = re.compile(rb'"id":\d+')


def answer_to(request: bytes, body: bytes) -> bytes:
    """`body`, repeating the id of `request` if it holds a result, as every release does."""
    asked = _ID.search(request)
    if asked is None or not body.startswith((b'{"jsonrpc"', b'{"result"')):
        return body
    named = _ID.sub(asked.group(), body, count=1)
    return named if _ID.search(body) else body.replace(b"{", b"{" + asked.group() + b",", 1)


def answering(*answers: httpx.Response | Exception) -> httpx.MockTransport:
    """A transport that gives these answers in turn, and the last one for ever."""
    left = list(answers)

    async def answer(request: httpx.Request) -> httpx.Response:
        given = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(given, Exception):
            raise given
        content = answer_to(request.content, given.content)
        return httpx.Response(given.status_code, headers=given.headers, content=content)

    return httpx.MockTransport(answer)


def hearing(body: bytes | str, status: int = 200, **given: Any) -> NexusClient:
    """A client that gets the same answer to everything, once."""
    reply = httpx.Response(status, content=body)
    return NexusClient(
        URL, settings=quick(**{"retry_attempts": 1, **given}), transport=answering(reply)
    )


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(handle: Handler) -> AsyncIterator[str]:
    """A TCP server on loopback that does with each connection what it is told; gives its URL."""
    tasks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The head and body of one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0].split(b":")[1]))


def http_answer(body: bytes, status: str = "200 OK", headers: Iterable[str] = ()) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def found_for(request: bytes, headers: Iterable[str] = ()) -> bytes:
    """The answer to `exists`, of a file that is there."""
    return http_answer(
        answer_to(request, b'{"jsonrpc":"2.0","result":{"exists":true}}'), headers=headers
    )


def result_for(request: httpx.Request, result: Any) -> httpx.Response:
    """The answer to `request`, as every release gives it."""
    number = json.loads(request.content)["id"]
    return httpx.Response(200, json={"jsonrpc": "2.0", "id": number, "result": result})
