"""The accidents of the demo, where they hurt most: right after the server has applied a commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from nexus_bounty.nexus.commit.slots import STAGED_AT_ROOT
from nexus_bounty.nexus.documents.paths import commit_slots


class ProcessStopped(BaseException):
    """This process is gone: nothing after this runs, no `except Exception` sees it."""


@dataclass
class Accident:
    """What happens once, in place of the answer to the first acknowledged commit of `path`.

    Attributes:
        path: The document whose commit is hit: its write, or what wins its slot.
        error: What the writer gets instead of the answer.
        happened: Whether it has.
        staged: What the writer has put at the root of the server, for others to remove.
    """

    path: str
    error: BaseException
    happened: bool = False
    staged: list[str] = field(default_factory=list)


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
        accident = self._accident
        accident.staged += _staged_at_root(request)
        response = await self._inner.handle_async_request(request)
        if not accident.happened and _commits(request, accident.path):
            accident.happened = _is_acknowledged(await response.aread())
            if accident.happened:
                await response.aclose()
                raise accident.error
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _commits(request: httpx.Request, path: str) -> bool:
    target = _target(request)
    return target == path or target.startswith(f"{commit_slots(path)}/")


def _staged_at_root(request: httpx.Request) -> list[str]:
    target = _target(request)
    return [target] if target.startswith(STAGED_AT_ROOT) else []


def _target(request: httpx.Request) -> str:
    """Which file a request writes, if it is one that writes a file."""
    if request.method != "POST":
        return ""
    call: dict[str, Any] = msgspec.json.decode(request.content)
    params = call["params"]
    is_write = call["method"] in ("write", "rename")
    return str(params.get("new_path", params.get("path"))) if is_write else ""


def _is_acknowledged(body: bytes) -> bool:
    answer: dict[str, Any] = msgspec.json.decode(body)
    return answer.get("error") is None
