"""The client: what can be asked of a Nexus server of any known dialect.

Reads, and mutations that the caller calls idempotent, are tried again while that may help. Any
other mutation is sent again only when it provably never left: whether a repeat of it is harmless
is for the commit strategies to prove (`nexus_bounty.nexus.commit`).
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Iterable,
    Mapping,
    Sequence,
)
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import ref

import httpx
import msgspec
from pydantic import SecretStr

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import Observer
from nexus_bounty.events.stream import given
from nexus_bounty.nexus.client import classification, etags, wire
from nexus_bounty.nexus.client.classification import Disposition, Reason, RequestVerdict
from nexus_bounty.nexus.client.cleanup import CleanUp
from nexus_bounty.nexus.client.deferred import CLOSING_TIMEOUT, DeferredWork
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.files import Etags, File, Page, Paths
from nexus_bounty.nexus.client.pace import Turns
from nexus_bounty.nexus.client.quirks import BULK_DELETES, STAT, Capabilities, Extra
from nexus_bounty.nexus.client.riding import RidingWrites
from nexus_bounty.nexus.client.rpc import Rpc
from nexus_bounty.nexus.client.sending import Requests, is_passing, never_left
from nexus_bounty.nexus.client.server_clock import ServerClock
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.nexus.client.shared import Shared
from nexus_bounty.retry import RetryPolicy
from nexus_bounty.together import together

T = TypeVar("T")
EtagsByPath = Mapping[str, str | None]


class NexusClient:
    """Speaks to one Nexus server.

    Args:
        url: The server's base URL; `settings.url` if not given.
        api_key: Sent as bearer token; never shown in a log line, an error or a repr.
        settings: Everything else; read from the environment if not given.
        transport: Any httpx transport, such as one to a server in this process.
        random: The source of jitter, to make runs reproducible.
        observers: Told of every request, and of all that the stores on this client do; see
            `nexus_bounty.events`.
        pace: Says when each request may leave, if not `settings.max_requests_per_second` does.

    `cleanup` removes in batches what commits leave behind, `riding` writes what can wait for the
    next batch of writes; closing the client waits for both.

    Every method raises `NexusError` when the server did not acknowledge; its verdict says what
    that proves of all the attempts together.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        settings: NexusSettings | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        random: Random | None = None,
        observers: Sequence[Observer] = (),
        pace: Turns | None = None,
    ) -> None:
        key = None if api_key is None else SecretStr(api_key)
        named = {
            name: value for name, value in (("url", url), ("api_key", key)) if value is not None
        }
        settings = NexusSettings() if settings is None else settings
        if not isinstance(settings, NexusSettings):
            raise TypeError(f"settings must be NexusSettings, not {type(settings).__name__}")
        if transport is not None and not hasattr(transport, "handle_async_request"):
            raise TypeError(
                f"transport must be an async one of httpx, not {type(transport).__name__}"
            )
        self.settings = NexusSettings(**{**dict(settings), **named}) if named else settings
        self.observers = given(observers)
        self.capabilities = Capabilities()
        self.random = random or SystemRandom()  # which a forked process does not share
        self.retries = RetryPolicy(
            self.settings.retry_attempts,
            self.settings.retry_base,
            self.settings.retry_cap,
            self.random,
            self.observers,
        )
        self._rpc = Rpc(self.settings, transport, self.observers, pace)
        self._requests = Requests(self._rpc, self.retries, self.capabilities)
        self.round_trips = self._rpc.round_trips
        self.cleanup = CleanUp(
            self._delete_leftovers,
            delay=lambda: self.round_trips.life,
            batch=self.settings.bulk_size,
            timeout=self.settings.operation_timeout,
            observers=self.observers,
        )
        self._writes = Shared[Mapping[str, bytes], EtagsByPath]()
        self._checks = Shared[Sequence[str], Sequence[bool]]()
        self.riding = RidingWrites(
            self._write_riders,
            self.round_trips,
            batch=self.settings.bulk_size,
            timeout=self.settings.operation_timeout,
        )
        self._later: list[ref[DeferredWork[Any]]] = []

    def __repr__(self) -> str:
        """The URL; it holds no credentials."""
        return f"NexusClient({self.settings.url})"

    @property
    def server(self) -> str:
        """The address of the server, as it was given; it holds no credentials."""
        return self.settings.url.rstrip("/")

    @property
    def requests_sent(self) -> int:
        """How many requests were sent, repeats included."""
        return self._rpc.requests_sent

    @property
    def sunset(self) -> str | None:
        """When the server says that it will shut off the routes that were used, if it does."""
        return self._rpc.sunset

    @property
    def server_clock(self) -> ServerClock:
        """What the clock of the server shows, as far as its answers say."""
        return self._rpc.server_clock

    async def __aenter__(self) -> Self:
        """The client itself; connections open when needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection; a task that is being stopped leaves the cleaning up."""
        if kind is not None and not issubclass(kind, Exception):
            for each in self._still_owing() if self._rpc.is_at_home else ():
                await each.stop()
            await self._rpc.close()
        else:
            await self.close()

    async def close(self) -> None:
        """Do what is left for later, and close every connection.

        Requests after this are never sent. In another event loop than the one it was used in, or
        in a forked process, there is nothing that it may do or close.
        """
        if self._rpc.is_at_home:
            await self.flush()
        await self._rpc.close()

    async def flush(self) -> None:
        """Do now what stores leave for later: remove stale markers, then look at others again.

        Raises:
            NexusError: The client belongs to another event loop; nothing was done.
        """
        self.check_home("flush", "")
        deadline = Deadline.after(CLOSING_TIMEOUT)
        for owing in (self._owing_itself, self._still_owing):
            await asyncio.gather(*(each.flush(deadline.remaining) for each in owing()))

    def why_not_here(self) -> str | None:
        """Why it cannot be used in this event loop; `None` if it can, and belongs to it now."""
        return self._rpc.why_not_here()

    def check_home(self, method: str, path: str) -> None:
        """Refuse what would wait in another event loop than the one that this belongs to.

        Whoever keeps locks of its own beside a client asks first: a lock that is freed in one loop
        wakes nobody in another.

        Raises:
            NexusError: It is another one; nothing was sent.
        """
        self._rpc.check_home(method, path)

    def closes_after(self, work: DeferredWork[Any]) -> None:
        """Do what `work` owes by then before the connections are closed."""
        self._later = [each for each in self._later if each() is not None]
        self._later.append(ref(work))

    def _owing_itself(self) -> list[DeferredWork[Any]]:
        return [each for each in (self.cleanup, self.riding) if each.owed]

    def _still_owing(self) -> list[DeferredWork[Any]]:
        """What has work left; its own task keeps it alive until then."""
        others = [work for each in self._later if (work := each()) is not None and work.owed]
        return [*self._owing_itself(), *others]

    def deadline(self) -> Deadline:
        """The deadline of a new operation; its time runs from its first request on."""
        return Deadline.once_served(self.settings.operation_timeout)

    async def call(
        self,
        method: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        *,
        deadline: Deadline | None = None,
    ) -> T:
        """Send one JSON-RPC request without retries (for the probe).

        Raises:
            NexusError: The server did not acknowledge it; the verdict says what that proves.
        """
        path = str(params.get("path", ""))
        return await self._rpc.call(method, path, params, decoder, deadline or self.deadline())

    async def ask(self, route: str, *, deadline: Deadline | None = None) -> Any:
        """What the server answers to a GET outside JSON-RPC, as plain values.

        Raises:
            NexusError: The server did not acknowledge it; the verdict says what that proves.
        """
        return await self._rpc.ask(route, deadline or self.deadline())

    async def read(self, path: str, *, deadline: Deadline | None = None) -> File | None:
        """The file with its etag, in one request; `None` if it is missing.

        Raises:
            NexusError: It could not be read.
        """
        params = {"path": path, "return_metadata": True}
        try:
            reply = await self._requests.send(
                "read", path, params, wire.files, deadline or self.deadline()
            )
        except NexusError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        file = _file("read", path, reply)
        self._learn_hash(file.etag, file.content)
        return file

    async def read_many(
        self, paths: Sequence[str], *, deadline: Deadline | None = None
    ) -> list[File | None]:
        """The files at `paths`, in their order; in bulk where the server can.

        Raises:
            NexusError: They could not be read.
        """
        deadline = deadline or self.deadline()
        found: list[File | None] = []
        for batch in self._batches(paths):
            found += await self._read_batch(batch, deadline)
        return found

    async def write(
        self,
        path: str,
        content: bytes,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
        idempotent: bool = False,
        deadline: Deadline | None = None,
    ) -> str | None:
        """Write a file; returns the etag of what was stored, where the server says it.

        Args:
            path: Where.
            content: What, byte for byte.
            if_match: Write only over content with this etag.
            if_none_match: Write only if there is no file.
            idempotent: Writing this again later would do no harm, whatever others do.
            deadline: When to stop trying.

        Raises:
            NexusError: The server did not acknowledge it; the verdict says what that proves.
        """
        self.cleanup.forget([path])
        params: dict[str, Any] = {"path": path, "content": wire.encode_bytes(content)}
        if if_match is not None:
            params["if_match"] = if_match
        if if_none_match:
            params["if_none_match"] = True
        again = is_passing if idempotent else never_left
        reply = await self._requests.send(
            "write", path, params, wire.writes, deadline or self.deadline(), again
        )
        self._learn_hash(reply.version_tag, content)
        return reply.version_tag

    def _learn_hash(self, etag: str | None, content: bytes) -> None:
        if etag is not None and self.capabilities.hashes is None:
            self.capabilities.hashes = etags.algorithm_of(content, etag)

    async def delete(self, path: str, *, deadline: Deadline | None = None) -> bool:
        """Delete a file that nobody will need again, so that repeats are harmless.

        Returns `False` if it was provably not there.

        Raises:
            NexusError: The server did not acknowledge it; the verdict says what that proves.
        """
        doubts: list[NexusError] = []
        try:
            reply = await self._requests.send(
                "delete",
                path,
                {"path": path},
                wire.deletions,
                deadline or self.deadline(),
                doubts=doubts,
            )
        except NexusError as error:
            if error.reason is Reason.NOT_FOUND:
                return error.disposition is Disposition.AMBIGUOUS  # an attempt may have deleted it
            raise
        return reply.done or bool(doubts)

    async def write_many(
        self, files: Mapping[str, bytes], *, deadline: Deadline | None = None
    ) -> EtagsByPath:
        """Write files that it does no harm to write again; in bulk where the server can.

        Without preconditions; when it fails, any of them may have been written. Calls of the same
        moment share a request. Returns the etags of what was stored, where the server says them.

        Raises:
            NexusError: The server did not acknowledge all of them; some may be written.
        """
        deadline = deadline or self.deadline()
        if not files:
            return {}
        mine = await self._writes.joined(files, deadline)
        if mine.parts:
            with mine:
                every = {path: each for part in mine.parts for path, each in part.asked.items()}
                told = await self._write_all(every, mine.earliest)
                mine.answers = [{path: told[path] for path in part.asked} for part in mine.parts]
        return await self._write_all(files, deadline) if mine.answer is None else mine.answer

    async def _write_all(self, files: Mapping[str, bytes], deadline: Deadline) -> EtagsByPath:
        stored: dict[str, str | None] = {}
        self.cleanup.forget(files)
        for batch in self._batches(list(files)):
            if len(batch) > 1 and (told := await self._written_in_bulk(files, batch, deadline)):
                stored |= told
                continue
            for path in batch:
                # Sequentially: 0.5.6 later denies that files written concurrently exist.
                params = {"path": path, "content": wire.encode_bytes(files[path])}
                reply = await self._requests.send("write", path, params, wire.writes, deadline)
                stored[path] = reply.version_tag
                self._learn_hash(reply.version_tag, files[path])
        return stored

    async def _write_riders(self, files: Mapping[str, bytes], deadline: Deadline) -> EtagsByPath:
        return await self._write_all(files, deadline)

    async def delete_many(
        self, paths: Sequence[str], *, deadline: Deadline | None = None
    ) -> Sequence[str]:
        """Delete files that nobody will need again; in bulk where the server can.

        Returns those that are still there.

        Raises:
            NexusError: The server did not acknowledge all of them; some may be gone.
        """
        deadline = deadline or self.deadline()
        failed: list[str] = []
        for batch in self._batches(paths):
            replies = await self._deleted_in_bulk(batch, deadline) if len(batch) > 1 else None
            if replies is None:
                await together(self.delete(path, deadline=deadline) for path in batch)
            else:
                failed += await self._still_there(replies, batch, deadline)
        return failed

    async def _delete_leftovers(self, paths: Sequence[str], deadline: Deadline) -> Sequence[str]:
        return await self.delete_many(paths, deadline=deadline)

    async def exists(self, path: str, *, deadline: Deadline | None = None) -> bool:
        """Whether there is a file at `path`.

        Raises:
            NexusError: It could not be found out.
        """
        reply = await self._requests.send(
            "exists", path, {"path": path}, wire.existence, deadline or self.deadline()
        )
        return reply.exists

    async def etag(self, path: str, *, deadline: Deadline | None = None) -> str | None:
        """The etag of the file at `path`, without its content; `None` if it is missing.

        Only 0.9 and later can say it.

        Raises:
            NexusError: It could not be found out.
        """
        reply = await self._requests.send(
            STAT, path, {"path": path}, wire.stats, deadline or self.deadline()
        )
        return reply.version_tag if reply else None

    async def exist(
        self, paths: Sequence[str], *, deadline: Deadline | None = None
    ) -> Sequence[bool]:
        """Whether there is a file at each of `paths`, in their order; in bulk where possible.

        Calls of the same moment share a request.

        Raises:
            NexusError: It could not be found out.
        """
        deadline = deadline or self.deadline()
        if not paths:
            return []
        mine = await self._checks.joined(paths, deadline)
        if mine.parts:
            with mine:
                every = list(dict.fromkeys(path for part in mine.parts for path in part.asked))
                told = dict(zip(every, await self._exist_all(every, mine.earliest), strict=True))
                mine.answers = [[told[path] for path in part.asked] for part in mine.parts]
        return await self._exist_all(paths, deadline) if mine.answer is None else mine.answer

    async def _exist_all(self, paths: Sequence[str], deadline: Deadline) -> Sequence[bool]:
        found: list[bool] = []
        for batch in self._batches(paths):
            found += await self._exist_batch(batch, deadline)
        return found

    async def rename(self, source: str, target: str, *, deadline: Deadline | None = None) -> None:
        """Move a file onto a name that must be free.

        That the source is missing is ambiguous: it may be the echo of our own success.

        Raises:
            NexusError: The server did not acknowledge it; the verdict says what that proves.
        """
        params = {"old_path": source, "new_path": target}
        try:
            reply = await self._requests.send(
                "rename", source, params, wire.renames, deadline or self.deadline(), never_left
            )
        except NexusError as error:
            if error.reason is Reason.NOT_FOUND:
                raise error.but(RequestVerdict(Disposition.AMBIGUOUS, error.reason)) from error
            raise
        if not (reply.renamed and reply.success):
            raise NexusError(classification.UNLISTED, method="rename", path=source)

    async def walk(
        self,
        directory: str,
        *,
        recursive: bool = False,
        details: bool = False,
        deadline: Deadline | None = None,
    ) -> AsyncIterator[wire.ListedFile]:
        """The files in `directory`, page by page where no page can lose one.

        Without `details` an entry may have only its path.

        Raises:
            NexusError: They could not be read any further.
        """
        deadline = deadline or self.deadline()
        # a recursive listing of 0.10 has directories in it, which only details tell from files
        params = {"path": directory, "recursive": recursive} | (
            {"details": True} if details or recursive else {}
        )
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self._list_page(directory, params, cursor, deadline)
            for entry in page.entries:
                if not entry.is_a_directory and entry.path not in seen:
                    yield entry
                    seen.add(entry.path)
            if not (page.has_more and page.next_cursor):
                return
            if page.next_cursor == cursor:
                stuck = "the next page is the same page"
                raise NexusError(
                    classification.UNREADABLE, method="list", path=directory, detail=stuck
                )
            cursor = page.next_cursor

    async def page(
        self,
        directory: str,
        after: str = "",
        *,
        recursive: bool = False,
        most: int | None = None,
        deadline: Deadline | None = None,
    ) -> Page:
        """The files in `directory` whose paths come after `after`, in their order.

        A page of them, of `most` names if that is given; all of them at once where pages of the
        server could lose one. Nothing is
        remembered in between, so whoever knows a path can go on from there, at any later time.

        Raises:
            NexusError: It could not be read.
        """
        params = {"path": directory, "recursive": recursive}
        deadline = deadline or self.deadline()
        cursor = after if after and self.capabilities.orders_pages else None
        found = await self._list_page(directory, params, cursor, deadline, most)
        goes_on = found.next_cursor if found.has_more else None
        if goes_on is not None and not self.capabilities.orders_pages:
            unasked = "it is a page, which was not asked for"
            raise NexusError(
                classification.UNREADABLE, method="list", path=directory, detail=unasked
            )
        if goes_on is not None and goes_on <= after:  # only now it is known to take any path
            return await self.page(
                directory, after, recursive=recursive, most=most, deadline=deadline
            )
        paths = sorted(each.path for each in found.entries if not each.is_a_directory)
        return Page([path for path in paths if path > after], goes_on)

    async def etags(
        self, directory: str, after: str = "", *, deadline: Deadline | None = None
    ) -> Etags:
        """The etags of the files in `directory` whose paths come after `after`, in one request.

        Of a page of them, or of all where pages of the server could lose one.

        Raises:
            NexusError: They could not be read.
        """
        params = {"path": directory, "recursive": False, "details": True}
        cursor = after if after and self.capabilities.orders_pages else None
        found = await self._list_page(directory, params, cursor, deadline or self.deadline())
        by_path = {each.path: tag for each in found.entries if (tag := each.version_tag)}
        goes_on = found.next_cursor if found.has_more else None
        return Etags(by_path, goes_on if self.capabilities.orders_pages else None)

    async def _list_page(
        self,
        directory: str,
        params: Mapping[str, Any],
        cursor: str | None,
        deadline: Deadline,
        most: int | None = None,
    ) -> wire.ListReply:
        can = self.capabilities
        if can.has(Extra.LIMITS) is not False and can.orders_pages is not False:
            paging = {"limit": most or self.settings.page_size} | (
                {"cursor": cursor} if cursor else {}
            )
            page = await self._requests.if_understood(
                Extra.LIMITS, directory, {**params, **paging}, wire.listings, deadline
            )
            if page is not None:
                if cursor is None and not page.has_more:
                    return page
                can.orders_pages = page.follows(cursor)
                if can.orders_pages:
                    return page
        # the whole listing at once; only details tell its directories from files
        params = {**params, "details": True}
        return await self._requests.send("list", directory, params, wire.listings, deadline)

    def _batches(self, paths: Sequence[str]) -> Iterable[Sequence[str]]:
        size = self.settings.bulk_size
        return (paths[start : start + size] for start in range(0, len(paths), size))

    async def _read_batch(self, paths: Sequence[str], deadline: Deadline) -> list[File | None]:
        params = {"paths": list(paths), "return_metadata": True, "skip_errors": True}
        replies = None
        if len(paths) > 1:
            replies = await self._requests.if_understood(
                Extra.BULK_READS, paths[0], params, wire.bulk_files, deadline
            )
        if replies is not None and await self._shows_what_is_there(replies, paths, deadline):
            answers = [_answered("read_bulk", replies, path) for path in paths]
            return [
                None if reply is None else _file("read_bulk", path, reply)
                for path, reply in zip(paths, answers, strict=True)
            ]
        return await together(self.read(path, deadline=deadline) for path in paths)

    async def _shows_what_is_there(
        self, replies: Mapping[str, object], paths: Sequence[str], deadline: Deadline
    ) -> bool:
        """Whether a bulk read is to be believed: some answer with null for every path (0.9)."""
        if any(replies.values()):
            self.capabilities.shows_in_bulk = True
        elif self.capabilities.shows_in_bulk is None and any(
            await self.exist(paths, deadline=deadline)
        ):
            self.capabilities.understood[Extra.BULK_READS] = False
            return False
        return True

    async def _written_in_bulk(
        self, files: Mapping[str, bytes], batch: Sequence[str], deadline: Deadline
    ) -> EtagsByPath | None:
        """The etags of `batch` after one request that wrote all of it; `None` if none did.

        What is riding goes with it. It is sent once: 0.7.0 refuses a batch for good when one of
        its files was deleted before.
        """
        first = batch[0]
        room = self.settings.bulk_size - len(batch)
        riding = self.riding.with_room_for(room, besides=batch)
        sent = {path: files[path] for path in batch}
        sent |= {path: owed.item.content for path, owed in riding.items()}
        self.cleanup.forget(sent)  # of what rides, too
        pairs = [[path, wire.encode_bytes(content)] for path, content in sent.items()]
        try:
            with self.riding.under_way(riding):
                replies = await self._requests.if_understood(
                    Extra.BULK_WRITES,
                    first,
                    {"files": pairs},
                    wire.bulk_writes,
                    deadline,
                    repeat=False,
                )
        except NexusError as error:
            if not (error.is_passing or riding):  # a refusal may be of what rides
                raise
            return None
        if replies is None:
            return None
        if len(replies) != len(sent):
            said = f"{len(replies)} answers to {len(sent)} writes"
            raise NexusError(
                classification.UNREADABLE, method="write_batch", path=first, detail=said
            )
        self.riding.done(riding)
        etags_by_path = {path: r.version_tag for path, r in zip(sent, replies, strict=True)}
        self._learn_hash(etags_by_path[first], files[first])
        return etags_by_path

    async def _still_there(
        self, replies: Mapping[str, wire.DeleteReply], paths: Sequence[str], deadline: Deadline
    ) -> Sequence[str]:
        """Those of `paths` that a bulk delete did not take, and that there are."""
        left = [path for path in paths if not _answered("delete", replies, path).done]
        there = await self.exist(left, deadline=deadline)
        return [path for path, exists in zip(left, there, strict=True) if exists]

    async def _deleted_in_bulk(
        self, paths: Sequence[str], deadline: Deadline
    ) -> Mapping[str, wire.DeleteReply] | None:
        """What the server says of each path; `None` if it has no such method."""
        for extra in BULK_DELETES:
            replies = await self._requests.if_understood(
                extra, paths[0], {"paths": list(paths)}, wire.bulk_deletions, deadline
            )
            if replies is not None:
                return replies
        return None

    async def _exist_batch(self, paths: Sequence[str], deadline: Deadline) -> list[bool]:
        if len(paths) > 1:
            found = await self._requests.if_understood(
                Extra.BULK_CHECKS,
                paths[0],
                {"paths": list(paths)},
                wire.existences,
                deadline,
            )
            if found is not None:
                return [_answered("exists_batch", found, path) for path in paths]
        return await together(self.exists(path, deadline=deadline) for path in paths)

    # last in the class: its name hides the builtin from the annotations after it
    async def list(self, directory: str, *, deadline: Deadline | None = None) -> Paths:
        """The paths of all files directly in `directory`; none if it is missing.

        Raises:
            NexusError: It could not be read.
        """
        return [entry.path async for entry in self.walk(directory, deadline=deadline)]


def _file(method: str, path: str, reply: wire.FileReply) -> File:
    try:
        return File(path, reply.body, reply.version_tag)
    except ValueError as error:
        raise NexusError(
            classification.UNREADABLE, method=method, path=path, detail=str(error)
        ) from error


def _answered(method: str, replies: Mapping[str, T], path: str) -> T:
    """What a bulk answer says of `path`; every release says something of every path."""
    if path not in replies:
        said = "the answer leaves this path out"
        raise NexusError(classification.UNREADABLE, method=method, path=path, detail=said)
    return replies[path]
