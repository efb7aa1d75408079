"""The zone in which a probe tries things out: how its requests are sent, and what they cost.

What does no harm when it is repeated is sent until it is answered. Everything else is sent once:
where no answer is heard, or none that says anything, what was tried is tried anew on other files,
so that a request which arrives late finds nothing that anybody still looks at.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any, Final, TypeVar

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient, classification, wire
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import STAT, Extra

MOST_REQUESTS: Final = 60
"""Those that are not repeats."""
MOST_SECONDS: Final = 60.0
MOST_WAITING: Final = 130.0
"""Seconds, besides, for which a server may ask to be left alone: two minutes of a rate limit."""
KEPT_FOR_CLEANING: Final = 4
"""Requests that are left for the end."""
PATIENCE_WHERE_BLOCKED: Final = 1.0
"""Seconds that an answer is waited for then."""
MOST_TRIES: Final = 8
"""How often one thing is tried anew."""

UNHEARD: Final = frozenset(
    (
        *(Reason.NO_CONNECTION, Reason.NO_FREE_CONNECTION, Reason.OUT_OF_TIME, Reason.TIMEOUT),
        *(Reason.CONNECTION_LOST, Reason.UNREADABLE, Reason.RATE_LIMITED, Reason.REDIRECTED),
    )
)
"""Ends of a request that say nothing of how the server takes it."""

Tell = Callable[[str], None]
T = TypeVar("T")

_anything = msgspec.json.Decoder()


class UnclearError(Exception):
    """Something that was tried shows nothing: it has to be tried anew.

    Attributes:
        error: What it ended in.
    """

    def __init__(self, what: str, error: NexusError | None = None) -> None:
        super().__init__(what)
        self.error = error or NexusError(
            classification.UNLISTED, method="probe", path="", detail=what
        )


async def is_refused(attempt: Awaitable[object]) -> bool:
    """Whether the server answered with an error.

    Raises:
        UnclearError: No answer was heard, so that nothing is known.
    """
    try:
        await attempt
    except NexusError as error:
        if error.reason in UNHEARD:
            raise UnclearError("no answer was heard", error) from error
        return True
    return False


async def is_refused_for_good(attempt: Awaitable[object], number: int) -> bool:
    """Whether the server answered with an error that is no passing one, or with one every time.

    That preconditions are of no use is believed of no server that is in trouble for a moment: who
    believes it goes by renames unpinned, while others commit by preconditions. And where no file
    could lie at the root, renames are so slow on some that the zone is closed to all but one.

    Args:
        attempt: What may be refused.
        number: That of the experiment: the last is believed, whatever it shows.

    Raises:
        UnclearError: No answer was heard, or one that says nothing, and there is another try.
    """
    try:
        await attempt
    except NexusError as error:
        is_last = number + 1 == MOST_TRIES
        if error.reason in UNHEARD or (error.is_passing and not is_last):
            raise UnclearError("no answer that says anything was heard", error) from error
        return True
    return False


class ScratchZone:
    """A zone of its own, in which every request of a probe is sent and counted.

    Args:
        client: The server.
        tell: Gets what is being tried or waited for.
    """

    def __init__(self, client: NexusClient, tell: Tell) -> None:
        self.client = client
        self.tell = tell
        self.zone_id = f"nexus-bounty-probe-{uuid.uuid4().hex}"
        self.root = f"/zones/{self.zone_id}"
        self.started = asyncio.get_running_loop().time()
        # strict: it is put off here by what the server asks to wait, and not by retries as well
        self.deadline = replace(Deadline.after(MOST_SECONDS), is_strict=True)
        self.blocked = False
        """Whether the server was seen to keep a rename waiting, and so may every other write."""
        self.waited = 0.0
        """How many seconds the server has asked to be left alone."""
        self.slowest = 0.0
        """How many seconds the slowest answer took so far."""
        self._sent_before = client.requests_sent
        self._files: dict[str, None] = {}

    @property
    def requests(self) -> int:
        """How many requests were sent, repeats included."""
        return self.client.requests_sent - self._sent_before

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

    # How requests are sent

    async def sure(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a request that does no harm when it is repeated.

        Raises:
            NexusError: It was not answered, however often it was sent.
        """
        for attempt in count(1):
            try:
                return await ask()
            except NexusError as error:
                if not (error.is_passing and await self._again(attempt, error)):
                    raise
        raise AssertionError  # there is no end to counting

    async def clear(
        self,
        experiment: Callable[[int], Awaitable[T]],
        is_expected: Callable[[T], bool] = lambda _: True,
        shown: Callable[[T], object] = lambda found: found,
    ) -> T:
        """What an experiment shows: what is expected, or the same twice.

        Args:
            experiment: It is given a number of its own each time, to name its files by.
            is_expected: Whether it shows what is known of other servers.
            shown: What of it counts.

        Raises:
            NexusError: It showed nothing, however often it was tried.
        """
        seen: list[object] = []
        for number in range(MOST_TRIES):
            try:
                found = await experiment(number)
            except UnclearError as unclear:
                is_last = number + 1 == MOST_TRIES  # what was seen once before was not confirmed
                if is_last or not await self._again(number + 1, unclear.error):
                    raise unclear.error from unclear
            else:
                if is_expected(found) or shown(found) in seen:
                    return found
                seen.append(shown(found))
        return found

    async def _again(self, attempt: int, error: NexusError) -> bool:
        """Wait as is usual, or as long as is asked; `False` if it is not worth while."""
        asked, retries = error.retry_after, self.client.retries
        if error.reason is Reason.RATE_LIMITED and asked:
            return await self._leave_alone(asked, error)
        if attempt >= retries.attempts:
            return False
        return await retries.rest(attempt, self.deadline, asked, error.proven)

    async def _leave_alone(self, seconds: float, error: NexusError) -> bool:
        if self.waited + seconds > MOST_WAITING:
            return False
        self.tell(f"waiting for {seconds:.0f} s, as the server asks: too many requests")
        self.waited += seconds
        self.deadline = self.deadline.put_off(seconds)
        return await self.client.retries.rest(1, self.deadline, seconds, error.proven)

    async def call(
        self,
        method: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline | None = None,
    ) -> T:
        """Send one request, once."""
        working = self.deadline.keeping(MOST_SECONDS / 10)
        clock = asyncio.get_running_loop().time
        began = clock()
        answer = await self.client.call(method, params, decoder, deadline=deadline or working)
        self.slowest = max(self.slowest, clock() - began)
        return answer

    # What is asked

    def wrote(self, path: str) -> None:
        """Remember to remove a file."""
        self._files[path] = None

    async def write(self, path: str, text: str, **precondition: Any) -> wire.WriteReply:
        """Write a file, sent once."""
        self.wrote(path)
        params = {"path": path, "content": wire.encode_bytes(text.encode()), **precondition}
        return await self.call("write", params, wire.writes)

    async def written(self, path: str, text: str) -> wire.WriteReply:
        """Write a file that no earlier experiment has touched.

        Raises:
            UnclearError: No answer was heard; it may still be written.
        """
        return await self.heard(lambda: self.write(path, text))

    async def created(self, path: str, text: str) -> None:
        """Write a file that no earlier experiment has touched, and that no repeat writes over.

        The zone is this probe's own: where something is said to be there, it is this very write,
        which a proxy has delivered twice.

        Raises:
            UnclearError: No answer was heard, or it was refused and is not there; it may still be
                written.
        """
        try:
            await self.heard(lambda: self.write(path, text, if_none_match=True))
        except NexusError as error:
            if error.reason not in (Reason.EXISTS, Reason.CONFLICT):
                raise
            now = await self.read(path)
            if now is None or now.body != text.encode():
                raise UnclearError("it was refused, and nothing was there", error) from error

    async def heard(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a request that is sent once, and that should succeed.

        Raises:
            UnclearError: It did not, and may yet.
        """
        try:
            return await ask()
        except NexusError as error:
            if error.is_passing:
                raise UnclearError("it was not acknowledged", error) from error
            raise

    async def read(self, path: str) -> wire.FileReply | None:
        """Read a file with its etag; `None` if it is missing."""
        params = {"path": path, "return_metadata": True}
        try:
            return await self.sure(lambda: self.call("read", params, wire.files))
        except NexusError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    async def etag(self, path: str) -> str | None:
        """The etag of a file by its metadata alone, where the server says it."""
        try:
            reply = await self.sure(lambda: self.call(STAT, {"path": path}, wire.stats))
        except NexusError as error:
            if error.reason in (Reason.BAD_REQUEST, Reason.NOT_FOUND):
                return None
            raise
        return reply.version_tag if reply else None

    async def exists(self, path: str) -> bool:
        """Whether there is a file."""
        reply = await self.sure(lambda: self.call("exists", {"path": path}, wire.existence))
        return reply.exists

    async def rename(self, old: str, new: str, deadline: Deadline) -> None:
        """Rename a file, sent once."""
        self.wrote(new)
        await self.call("rename", {"old_path": old, "new_path": new}, wire.renames, deadline)

    async def is_blocked(self, name: str) -> bool:
        """Whether a write is not answered, for want of time."""
        path = self.path(name)
        self.wrote(path)
        params = {"path": path, "content": ""}
        within = self.deadline.within(PATIENCE_WHERE_BLOCKED + self.slowest)
        try:
            await self.sure(lambda: self.call("write", params, wire.writes, within))
        except NexusError as error:
            return error.reason in (Reason.TIMEOUT, Reason.OUT_OF_TIME)
        return False

    # Cleaning up

    def leave(self) -> None:
        """Have everything removed by and by, so that nobody waits for it."""
        self.client.cleanup.add(self._files)

    async def clean(self) -> bool:
        """Remove everything; whether nothing was left.

        A server that a rename has blocked is not waited for: it works off what it was asked.
        """
        try:
            if not await self._tried(Extra.BATCH_DELETES, {"paths": list(self._files)}):
                await self._tried("rmdir", {"path": self.root, "recursive": True})
                await self._remove(p for p in self._files if not p.startswith(self.root + "/"))
            return await self._is_empty()
        except NexusError:
            return False

    async def _is_empty(self) -> bool:
        # the details tell files from directories, which some servers list as well
        params = {"path": self.root, "recursive": True, "details": True}
        left = await self._last(lambda within: self.call("list", params, wire.listings, within))
        return all(each.is_a_directory for each in left.entries)

    async def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            await self._tried("delete", {"path": path})

    async def _tried(self, method: str, params: Mapping[str, Any]) -> bool:
        """Whether the server understood; a file that is gone already is no matter."""
        try:
            await self._last(lambda within: self.call(method, params, _anything, within))
        except NexusError as error:
            if error.reason is Reason.BAD_REQUEST:
                return False
            if error.reason is not Reason.NOT_FOUND:
                raise
        return True

    async def _last(self, ask: Callable[[Deadline], Awaitable[T]]) -> T:
        within = self.deadline
        if self.blocked:
            return await ask(within.within(PATIENCE_WHERE_BLOCKED))
        return await self.sure(lambda: ask(within))
