"""One request from arrival to what the client hears of it, faults included.

A `Delivery` says what happens on the wire; the in-process transport and the ASGI app each turn it
into the real thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import NamedTuple

from nexus_bounty.mock.core import NexusCore
from nexus_bounty.mock.dispatch import error_answer
from nexus_bounty.mock.faults import Fault, FaultKind
from nexus_bounty.mock.late import LateQueue
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.mock.wire import Answer, detail, json_answer


class Fate(StrEnum):
    """What happens to the connection."""

    ANSWERED = "answered"
    REFUSED = "refused"
    DROPPED = "dropped"
    SILENT = "silent"
    TRUNCATED = "truncated"


class Delivery(NamedTuple):
    """What the client is to hear."""

    fate: Fate
    answer: Answer | None = None


class Exchange:
    """Runs requests against a server, with their faults.

    Args:
        core: The server's state.
        late: Where requests wait that are to be applied later.
        answer: What the server answers to one delivery of a request.
    """

    def __init__(
        self,
        core: NexusCore,
        late: LateQueue,
        answer: Callable[[ReceivedRequest], Awaitable[Answer]],
    ) -> None:
        self._core = core
        self._answer = answer
        self.late = late
        self._by_kind: dict[FaultKind, Callable[[ReceivedRequest, Fault], Awaitable[Delivery]]] = {
            FaultKind.REFUSE: self._never(Fate.REFUSED),
            FaultKind.DROP_BEFORE: self._never(Fate.DROPPED),
            FaultKind.TIMEOUT_BEFORE: self._never(Fate.SILENT),
            FaultKind.DROP_AFTER: self._applied(Fate.DROPPED),
            FaultKind.TIMEOUT_AFTER: self._applied(Fate.SILENT),
            FaultKind.TRUNCATE: self._applied(Fate.TRUNCATED),
            FaultKind.DELAY: self._delayed,
            FaultKind.DUPLICATE: self._duplicated(heard=0),
            FaultKind.DUPLICATE_ECHO: self._duplicated(heard=1),
            FaultKind.DUPLICATE_LATE: self._duplicated_late,
            FaultKind.LATE: self._applied_late,
            FaultKind.GARBAGE: self._garbled,
            FaultKind.STATUS_BEFORE: self._status,
            FaultKind.STATUS_AFTER: self._status,
            FaultKind.RPC_ERROR_BEFORE: self._rpc_error,
            FaultKind.RPC_ERROR_AFTER: self._rpc_error,
        }

    async def run(self, request: ReceivedRequest) -> Delivery:
        """Carry one request through, and note on it what the client hears."""
        fault = request.fault
        if fault is None:
            delivery = Delivery(Fate.ANSWERED, await self.apply(request))
        else:
            delivery = await self._by_kind[fault.kind](request, fault)
        status = f" {delivery.answer.status}" if delivery.answer else ""
        request.outcome = f"{delivery.fate}{status}"
        if self.late.waiting:
            await self.late.request_handled(request)
        return delivery

    async def apply(self, request: ReceivedRequest) -> Answer:
        """Deliver a request to the server once."""
        request.deliveries += 1
        given = await self._answer(request)
        request.answers.append(given)
        return given

    def _never(self, fate: Fate) -> Callable[[ReceivedRequest, Fault], Awaitable[Delivery]]:
        async def run(_request: ReceivedRequest, _fault: Fault) -> Delivery:
            return Delivery(fate)

        return run

    def _applied(self, fate: Fate) -> Callable[[ReceivedRequest, Fault], Awaitable[Delivery]]:
        async def run(request: ReceivedRequest, _fault: Fault) -> Delivery:
            given = await self.apply(request)
            return Delivery(fate, given if fate is Fate.TRUNCATED else None)

        return run

    async def _delayed(self, request: ReceivedRequest, fault: Fault) -> Delivery:
        await asyncio.sleep(fault.seconds or 0.0)
        return Delivery(Fate.ANSWERED, await self.apply(request))

    def _duplicated(self, *, heard: int) -> Callable[[ReceivedRequest, Fault], Awaitable[Delivery]]:
        async def run(request: ReceivedRequest, _fault: Fault) -> Delivery:
            answers = [await self.apply(request), await self.apply(request)]
            return Delivery(Fate.ANSWERED, answers[heard])

        return run

    async def _duplicated_late(self, request: ReceivedRequest, fault: Fault) -> Delivery:
        given = await self.apply(request)
        self.late.add(request, fault)
        return Delivery(Fate.ANSWERED, given)

    async def _applied_late(self, request: ReceivedRequest, fault: Fault) -> Delivery:
        self.late.add(request, fault)
        return Delivery(Fate.DROPPED if fault.lost == "drop" else Fate.SILENT)

    async def _garbled(self, request: ReceivedRequest, fault: Fault) -> Delivery:
        given = await self.apply(request)
        if fault.garbage == "html":
            page = b"<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>"
            return Delivery(Fate.ANSWERED, Answer(200, page, b"text/html"))
        return Delivery(Fate.ANSWERED, Answer(200, given.body[: len(given.body) // 2]))

    async def _status(self, request: ReceivedRequest, fault: Fault) -> Delivery:
        if fault.kind.applies:
            await self.apply(request)
        return Delivery(Fate.ANSWERED, status_answer(self._core, fault))

    async def _rpc_error(self, request: ReceivedRequest, fault: Fault) -> Delivery:
        if fault.kind.applies:
            await self.apply(request)
        return Delivery(Fate.ANSWERED, error_answer(-32603, "Internal server error"))


def status_answer(core: NexusCore, fault: Fault) -> Answer:
    """The HTTP error that a fault gives, in the words of whoever gives it."""
    if fault.status == 429:
        return _too_many(core, fault)
    body = _BODIES.get(fault.status) or detail(fault.status, "Service Unavailable")
    return body._replace(headers=_retry_after(core, fault))


_BODIES = {
    401: detail(401, "Invalid or missing API key"),
    403: detail(403, "Forbidden"),
    408: Answer(408, b""),
    425: Answer(425, b"Too Early", b"text/plain"),
    500: Answer(500, b"Internal Server Error", b"text/plain"),
    502: Answer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", b"text/html"),
    504: Answer(504, b""),
}


def _too_many(core: NexusCore, fault: Fault) -> Answer:
    document = {"error": "Rate limit exceeded", "detail": "300 per 1 minute"}
    if fault.retry_after_form != "json":
        return json_answer(429, document)._replace(headers=_retry_after(core, fault))
    return json_answer(429, document | {"retry_after": fault.retry_after})


def _retry_after(core: NexusCore, fault: Fault) -> tuple[tuple[bytes, bytes], ...]:
    if fault.retry_after is None or fault.retry_after_form == "json":
        return ()
    value = f"{fault.retry_after:g}"
    if fault.retry_after_form == "date":
        value = format_datetime(core.clock() + timedelta(seconds=fault.retry_after), usegmt=True)
    return ((b"retry-after", value.encode()),)
