"""The zone in which a probe tries things out, and what it costs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient, wire
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import STAT, Extra

MOST_REQUESTS: Final = 60
MOST_SECONDS: Final = 20.0
KEPT_FOR_CLEANING: Final = 4
"""Requests that are left for the end."""
PATIENCE_WHERE_BLOCKED: Final = 1.0
"""Seconds that an answer is waited for then."""

UNHEARD: Final = frozenset(
    (
        *(Reason.NO_CONNECTION, Reason.NO_FREE_CONNECTION, Reason.OUT_OF_TIME, Reason.TIMEOUT),
        *(Reason.CONNECTION_LOST, Reason.UNREADABLE, Reason.RATE_LIMITED, Reason.REDIRECTED),
    )
)
"""Ends of a request that say nothing of how the server takes it."""

T = TypeVar("T")

_anything = msgspec.json.Decoder()


async def is_refused(attempt: Awaitable[object]) -> bool:
    """Whether the server answered with an error.

    Raises:
        NexusError: No answer was heard, so that nothing is known.
    """
    try:
        await attempt
    except NexusError as error:
        if error.reason in UNHEARD:
            raise
        return True
    return False


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
        self.blocked = False
        """Whether the server was seen to keep a rename waiting, and so may every other write."""

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

    def path_at_root(self, name: str) -> str:
        """A path that lies in no directory."""
        return f"/{self.zone_id}-{name}"

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

    def wrote(self, path: str) -> None:
        """Remember to remove a file."""
        self._files[path] = None

    async def write(self, path: str, text: str, **precondition: Any) -> wire.WriteReply:
        """Write a file."""
        self.wrote(path)
        params = {"path": path, "content": wire.encode_bytes(text.encode()), **precondition}
        return await self.call("write", params, wire.writes)

    async def read(self, path: str) -> wire.FileReply | None:
        """Read a file with its etag; `None` if it is missing."""
        params = {"path": path, "return_metadata": True}
        try:
            return await self.call("read", params, wire.files)
        except NexusError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    async def etag(self, path: str) -> str | None:
        """The etag of a file by its metadata alone, where the server says it."""
        try:
            reply = await self.call(STAT, {"path": path}, wire.stats)
        except NexusError as error:
            if error.reason in (Reason.BAD_REQUEST, Reason.NOT_FOUND):
                return None
            raise
        return reply.version_tag if reply else None

    async def exists(self, path: str) -> bool:
        """Whether there is a file."""
        reply = await self.call("exists", {"path": path}, wire.existence)
        return reply.exists

    async def rename(self, old: str, new: str, deadline: Deadline) -> None:
        """Rename a file."""
        self.wrote(new)
        await self.call("rename", {"old_path": old, "new_path": new}, wire.renames, deadline)

    async def clean(self) -> bool:
        """Remove everything; whether nothing was left.

        A server that a rename has blocked is not waited for: it works off what it was asked.
        """
        try:
            if not await self._tried(Extra.BATCH_DELETES, {"paths": list(self._files)}):
                await self._tried("rmdir", {"path": self.root, "recursive": True})
                for path in self._files:
                    if not path.startswith(self.root + "/"):
                        await self._tried("delete", {"path": path})
            params = {"path": self.root, "recursive": True}
            left = await self.call("list", params, wire.listings, self._last_deadline)
        except NexusError:
            return False
        return not left.files

    async def _tried(self, method: str, params: Mapping[str, Any]) -> bool:
        """Whether the server understood; a file that is gone already is no matter."""
        try:
            await self.call(method, params, _anything, self._last_deadline)
        except NexusError as error:
            if error.reason is Reason.BAD_REQUEST:
                return False
            if error.reason is not Reason.NOT_FOUND:
                raise
        return True

    @property
    def _last_deadline(self) -> Deadline:
        return self.deadline.within(PATIENCE_WHERE_BLOCKED) if self.blocked else self.deadline
