"""The mock's faults before a real server: requests go through, and go wrong on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

import httpx

from nexus_bounty.mock.faults import Fault
from nexus_bounty.mock.nexus import MockNexus
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.mock.plan import FaultSource
from nexus_bounty.mock.wire import Answer

_OF_THE_CONNECTION: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})


class FaultProxy(MockNexus):
    """A proxy that does to requests what the mock's faults say, and forwards what they let through.

    Serve it with `running`, or use its `transport()`. What the real server applied is not in its
    log; its `requests` are what it received.

    Args:
        upstream: The URL of the real server.
        faults: As for `MockNexus`.
    """

    def __init__(self, upstream: str, faults: FaultSource | Iterable[Fault] = ()) -> None:
        super().__init__(faults=faults)
        self._bodies: dict[int, bytes] = {}
        self._http = httpx.AsyncClient(base_url=upstream, timeout=None)  # noqa: S113 - its client's

    async def __aenter__(self) -> Self:
        """The proxy itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Deliver what is late, and close the connections to the server."""
        await self.settle()
        await self._http.aclose()

    def receive(
        self,
        verb: str,
        target: str,
        query: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
    ) -> ReceivedRequest:
        """Number and record an arriving request, and decide whether it fails."""
        request = super().receive(verb, target, query, headers, body)
        self._bodies[request.number] = body
        return request

    def _may_wait(self, request: ReceivedRequest) -> bool:  # noqa: ARG002 - the base's
        return True

    async def answer(self, request: ReceivedRequest) -> Answer:
        """What the real server answers to one delivery of a request."""
        headers = [
            (name, value)
            for name, value in request.headers
            if name.decode("latin-1").lower() not in _OF_THE_CONNECTION
        ]
        response = await self._http.request(
            request.verb,
            request.target + (f"?{request.query}" if request.query else ""),
            headers=headers,
            content=self._bodies[request.number],
        )
        kind = response.headers.get("content-type", "")
        return Answer(response.status_code, response.content, kind.encode("latin-1"))
