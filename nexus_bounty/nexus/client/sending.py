"""Requests with their repeats: a request is sent again after errors after which that does no harm.

Reads, and mutations that the caller calls idempotent, are tried again while that may help. Any
other mutation is sent again only when it provably never left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client.classification import Disposition, Reason, RequestVerdict
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import Capabilities, Extra
from nexus_bounty.nexus.client.rpc import Rpc
from nexus_bounty.retry import RetryPolicy, WorthIt

T = TypeVar("T")


def is_passing(error: Exception) -> bool:
    """Whether what went wrong may have passed by the next attempt."""
    return isinstance(error, NexusError) and error.is_passing


def never_left(error: Exception) -> bool:
    """The same, of a request that provably never left."""
    return (
        isinstance(error, NexusError)
        and error.is_passing
        and error.disposition is Disposition.NEVER_SENT
    )


@dataclass(frozen=True, slots=True)
class Requests:
    """Sends requests to one server, and learns which of its extras it understands."""

    rpc: Rpc
    retries: RetryPolicy
    capabilities: Capabilities

    async def if_understood(
        self,
        extra: Extra,
        path: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline,
        *,
        repeat: bool = True,
    ) -> T | None:
        """Send what not every dialect understands; `None`, from then on, where it is not."""
        if self.capabilities.has(extra) is False:
            return None
        again = is_passing if repeat else never_left
        try:
            reply = await self.send(extra.value, path, params, decoder, deadline, again)
        except NexusError as error:
            if self.capabilities.has(extra) or error.reason is not Reason.BAD_REQUEST:
                raise
            self.capabilities.understood[extra] = False
            return None
        self.capabilities.understood[extra] = True
        return reply

    async def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline,
        again: WorthIt = is_passing,
        doubts: list[NexusError] | None = None,
    ) -> T:
        """The result of one request, sent `again` after errors after which that does no harm.

        `doubts` gathers the attempts that may have landed.
        """
        doubts = [] if doubts is None else doubts
        failed: list[Exception] = []
        try:
            return await self.rpc.call(method, path, params, decoder, deadline)
        except NexusError as error:
            if error.disposition is Disposition.AMBIGUOUS:
                doubts.append(error)
            if not again(error):
                raise
            failed.append(error)
        attempts = count(2)

        def call() -> Awaitable[T]:
            return self.rpc.call(method, path, params, decoder, deadline, next(attempts))

        return await self._send_again(failed, call, deadline, again, doubts)

    async def _send_again(
        self,
        failed: list[Exception],
        call: Callable[[], Awaitable[T]],
        deadline: Deadline,
        again: WorthIt,
        doubts: list[NexusError],
    ) -> T:
        def worth_it(error: Exception) -> bool:
            if isinstance(error, NexusError) and error.disposition is Disposition.AMBIGUOUS:
                doubts.append(error)
            return again(error)

        try:
            return await self.retries.persist_after(failed, call, worth_it, deadline)
        except NexusError as error:
            if doubts and error.disposition is not Disposition.AMBIGUOUS:
                # the last attempt says nothing of the one before
                raise error.but(RequestVerdict(Disposition.AMBIGUOUS, error.reason)) from error
            raise
