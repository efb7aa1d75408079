"""What the mock saw and what it really did: the truth that verdicts are compared with."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from nexus_bounty.mock.problems import Refusal
from nexus_bounty.mock.wire import Answer, unpack_content

if TYPE_CHECKING:
    from nexus_bounty.mock.faults import Fault

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class ReceivedRequest:
    """One request as it reached the mock, with what became of it."""

    number: int
    """Counts from 1, over all requests."""
    verb: str
    target: str
    """The URL path, without the query."""
    query: str
    method: str
    """The JSON-RPC method, or verb and path outside JSON-RPC."""
    params: Mapping[str, Any]
    rpc_id: Any
    headers: Sequence[tuple[bytes, bytes]]
    at: float
    """Event loop time."""
    error: Refusal | None = None
    """Why the body could not be read as a request, if it could not."""
    empty: bool = False
    """Whether there was no body at all."""
    named_method: str | None = None
    """The method that the body names, which should be the one in the URL."""
    fault: Fault | None = None
    deliveries: int = 0
    """How often it was applied: 0 when a fault kept it away, 2 when duplicated."""
    answers: list[Answer] = field(default_factory=list)
    """What the server answered to each delivery, whether or not the client got it."""
    outcome: str = "pending"
    """What the client got: `answered 200`, `refused`, `dropped`, `silent` or `truncated`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file path that the request names."""
        return tuple(path for path in _named_paths(self.params) if isinstance(path, str))

    @property
    def path(self) -> str | None:
        """The first path that the request names, if any."""
        return next(iter(self.paths), None)

    @property
    def content(self) -> bytes | None:
        """The bytes that the request wants written, if it carries any."""
        value = self.params.get("content", self.params.get("buf"))
        if value is None:
            return None
        try:
            return unpack_content(value)
        except Refusal:
            return None

    @property
    def if_match(self) -> str | None:
        """The etag that the request is conditional on."""
        return self.params.get("if_match")

    @property
    def if_none_match(self) -> bool:
        """Whether the request wants the file to be absent."""
        return bool(self.params.get("if_none_match"))

    @property
    def summary(self) -> str:
        """The parameters in one line, contents as sizes."""
        return ", ".join(f"{key}={_short(key, value)}" for key, value in self.params.items())

    def header(self, name: bytes) -> bytes | None:
        """A request header; `name` in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def __str__(self) -> str:
        fault = f" !{self.fault}" if self.fault else ""
        return f"#{self.number} {self.method}({self.summary}){fault} -> {self.outcome}"


def _named_paths(params: Mapping[str, Any]) -> Iterator[Any]:
    for key in ("path", "old_path", "new_path"):
        if key in params:
            yield params[key]
    yield from _listed(params.get("paths"))
    for pair in (*_listed(params.get("files")), *_listed(params.get("renames"))):
        yield from _listed(pair)[:2] if isinstance(pair, list) else ()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _short(key: str, value: Any) -> str:
    if key in {"content", "buf"}:
        return f"<{len(str(value))} chars>"
    if key == "files" and isinstance(value, list):
        return f"<{len(value)} files>"
    return repr(value)


@dataclass(frozen=True, slots=True)
class Applied:
    """One change that really happened to one path."""

    index: int
    request_number: int
    method: str
    path: str
    content: bytes | None
    """The file's bytes afterwards; None when it is gone, or for a directory."""
    etag_before: str | None
    etag_after: str | None
    version: int | None = None


class Log(Sequence[T], Generic[T]):
    """A list that may forget its oldest entries.

    Args:
        limit: How many entries to keep; None keeps all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._entries: deque[T] = deque(maxlen=limit)

    def append(self, entry: T) -> None:
        """Add an entry, forgetting the oldest when full."""
        self._entries.append(entry)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return list(islice(self._entries, *at.indices(len(self._entries))))
        return self._entries[at]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries)


class Oracle:
    """Requests received and changes applied, both numbered and in order.

    Args:
        limit: How many of each to keep; None keeps all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.requests: Log[ReceivedRequest] = Log(limit)
        self.log: Log[Applied] = Log(limit)
        self.request_count = 0
        self.received_total = 0
        self.applied_total = 0

    def receive(self, request: ReceivedRequest) -> None:
        """Record a request that has just arrived."""
        self.request_count += 1
        self.requests.append(request)

    def next_number(self) -> int:
        """The number of the next request."""
        self.received_total += 1
        return self.received_total

    def apply(
        self,
        request: ReceivedRequest,
        path: str,
        content: bytes | None,
        etag_before: str | None,
        etag_after: str | None,
        version: int | None = None,
    ) -> None:
        """Record a change that has just been made."""
        index = self.applied_total
        self.applied_total += 1
        self.log.append(
            Applied(
                index,
                request.number,
                request.method,
                path,
                content,
                etag_before,
                etag_after,
                version,
            )
        )

    def history(self, path: str) -> list[Applied]:
        """Everything that was applied to one path, oldest first."""
        return [entry for entry in self.log if entry.path == path]

    def reset_counts(self) -> None:
        """Count and list requests anew; numbers and the applied log go on."""
        self.request_count = 0
        self.requests.clear()
