"""The zone in which a probe tries things out, and what it costs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from nexus_bounty.nexus import wire
from nexus_bounty.nexus.classification import Reason
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.errors import NexusError
from nexus_bounty.nexus.retry import Deadline

MOST_REQUESTS: Final = 60
MOST_SECONDS: Final = 20.0
KEPT_FOR_CLEANING: Final = 4
"""Requests that are left for the end."""

T = TypeVar("T")

_anything = msgspec.json.Decoder()


class ScratchZone:
    """A zone of its own; every request of a probe is counted here, and sent just once."""

    def __init__(self, client: NexusClient) -> None:
        self.client = client
        self.zone_id = f"nexus-bounty-probe-{uuid.uuid4().hex}"
        self.root = f"/zones/{self.zone_id}"
        self.requests = 0
        self.started = asyncio.get_running_loop().time()
        self.deadline = Deadline.after(MOST_SECONDS)
        self._files: dict[str, None] = {}

    @property
    def requests_left(self) -> int:
        """How many requests may be sent before the zone is cleaned."""
        return MOST_REQUESTS - KEPT_FOR_CLEANING - self.requests

    @property
    def seconds(self) -> float:
        """How long this has taken so far."""
        return asyncio.get_running_loop().time() - self.started

    def path(self, name: str) -> str:
        """A path in the zone."""
        return f"{self.root}/{name}"

    async def call(
        self,
        method: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline | None = None,
    ) -> T:
        """Send one request."""
        self.requests += 1
        working = self.deadline.keeping(MOST_SECONDS / 5)
        return await self.client.call(method, params, decoder, deadline=deadline or working)

    async def ask(self, route: str) -> Any:
        """Send one GET; `None` if there is no such route."""
        self.requests += 1
        try:
            return await self.client.ask(route, deadline=self.deadline)
        except NexusError as error:
            if error.reason is Reason.NO_SUCH_ROUTE:
                return None
            raise

    async def write(self, name: str, text: str, **precondition: Any) -> wire.WriteReply:
        """Write a file."""
        path = self.path(name)
        self._files[path] = None
        params = {"path": path, "content": wire.encode_bytes(text.encode()), **precondition}
        return await self.call("write", params, wire.writes)

    async def read(self, name: str) -> wire.FileReply | None:
        """Read a file with its etag; `None` if it is missing."""
        params = {"path": self.path(name), "return_metadata": True}
        try:
            return await self.call("read", params, wire.files)
        except NexusError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    async def exists(self, name: str) -> bool:
        """Whether there is a file."""
        reply = await self.call("exists", {"path": self.path(name)}, wire.existence)
        return reply.exists

    async def rename(self, old: str, new: str, deadline: Deadline) -> None:
        """Rename a file."""
        self._files[self.path(new)] = None
        params = {"old_path": self.path(old), "new_path": self.path(new)}
        await self.call("rename", params, wire.renames, deadline)

    async def clean(self) -> bool:
        """Remove everything; whether nothing was left.

        Where a rename has blocked the server, it is removed when the server comes to it.
        """
        try:
            if not await self._tried("delete_batch", {"paths": list(self._files)}):
                await self._tried("rmdir", {"path": self.root, "recursive": True})
            params = {"path": self.root, "recursive": True}
            left = await self.call("list", params, wire.listings, self.deadline)
        except NexusError:
            return False
        return not left.files

    async def _tried(self, method: str, params: Mapping[str, Any]) -> bool:
        """Whether the server understood."""
        try:
            await self.call(method, params, _anything, self.deadline)
        except NexusError as error:
            if error.reason is not Reason.BAD_REQUEST:
                raise
            return False
        return True
