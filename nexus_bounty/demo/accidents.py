"""The accidents of the demo, where they hurt most: right after the server has applied a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import msgspec


class ProcessStopped(BaseException):
    """This process is gone: nothing after this runs, no `except Exception` sees it."""


@dataclass
class Accident:
    """What happens once, in place of the answer to the first acknowledged write of `path`.

    Attributes:
        path: The file whose write is hit.
        error: What the writer gets instead of the answer.
        happened: Whether it has.
    """

    path: str
    error: BaseException
    happened: bool = False


def lost_answer(path: str) -> Accident:
    """The connection breaks while the writer waits for the answer."""
    return Accident(path, httpx.ReadError("connection reset by peer"))


def crash(path: str) -> Accident:
    """The writer's process dies before the answer arrives."""
    return Accident(path, ProcessStopped())


class AccidentProneTransport(httpx.AsyncBaseTransport):
    """Carries requests, and lets the accident happen when its time has come."""

    def __init__(self, inner: httpx.AsyncBaseTransport, accident: Accident) -> None:
        self._inner = inner
        self._accident = accident

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request there, and its answer back unless the accident happens.

        Raises:
            httpx.TransportError, ProcessStopped: The accident.
        """
        response = await self._inner.handle_async_request(request)
        accident = self._accident
        if not accident.happened and _written_path(request) == accident.path:
            accident.happened = _is_acknowledged(await response.aread())
            if accident.happened:
                await response.aclose()
                raise accident.error
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _written_path(request: httpx.Request) -> str | None:
    call: dict[str, Any] = msgspec.json.decode(request.content)
    return call["params"].get("path") if call["method"] == "write" else None


def _is_acknowledged(body: bytes) -> bool:
    answer: dict[str, Any] = msgspec.json.decode(body)
    return answer.get("error") is None
