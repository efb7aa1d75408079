"""One call of a JSON-RPC method, as the methods see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nexus_bounty.mock.core import NexusCore
from nexus_bounty.mock.files import FileEntry
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.mock.problems import Problem, Refusal, not_found


class Call:
    """One delivery of a JSON-RPC request to the server.

    Args:
        core: The server's state.
        request: The request, which may be delivered more than once.
    """

    __slots__ = ("core", "params", "personality", "request")

    def __init__(self, core: NexusCore, request: ReceivedRequest) -> None:
        self.core = core
        self.request = request
        self.personality = core.personality
        self.params: Mapping[str, Any] = request.params

    def path(self, name: str = "path") -> str:
        """A path parameter, canonical."""
        return self.personality.check_path(self.params[name])

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean parameter."""
        return bool(self.params.get(name, default))

    def paths(self) -> list[str]:
        """The `paths` parameter, as the client sent it."""
        paths = self.params["paths"]
        if not isinstance(paths, list):
            raise Refusal(Problem.INTERNAL, "paths is not a list")
        return paths


Handler = Callable[[Call], Awaitable[Any]]


def readable(call: Call, path: str) -> FileEntry:
    """The file at a path, if the server can still find its content.

    Raises:
        Refusal: NOT_FOUND, or INTERNAL for any file where the server has no kernel to read with.
    """
    if not call.personality.reads_work:
        raise Refusal(Problem.INTERNAL, "no kernel")
    entry = call.core.table.require(path)
    if not entry.readable:
        raise not_found(path if call.personality.lost_content_by_path else path.lstrip("/"))
    return entry
