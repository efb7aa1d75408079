"""The HTTP client: JSON-RPC to a Nexus server of any known dialect.

Reads, and mutations that the caller calls idempotent, are tried again while that may help. Any
other mutation is sent again only when it provably never left: whether a repeat of it is harmless
is for the commit strategies to prove (`nexus_bounty.nexus.commit`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
from pydantic import SecretStr

from nexus_bounty.nexus import classification, wire
from nexus_bounty.nexus.classification import Disposition, Reason, Verdict
from nexus_bounty.nexus.errors import NexusError
from nexus_bounty.nexus.retry import Deadline, RetryPolicy, parse_retry_after
from nexus_bounty.nexus.settings import NexusSettings

logger = logging.getLogger("nexus_bounty.nexus")

T = TypeVar("T")
Paths = list[str]


@dataclass(frozen=True, slots=True)
class File:
    """A file as one answer showed it: whether `etag` speaks for `content` is to be checked."""

    path: str
    content: bytes
    etag: str | None


@dataclass(slots=True)
class Dialect:
    """What the server was seen to understand; `None` until it was asked."""

    pages_listings: bool | None = None
    reads_in_bulk: bool | None = None
    checks_in_bulk: bool | None = None


class NexusClient:
    """Speaks to one Nexus server.

    Args:
        url: The server's base URL; `settings.url` if not given.
        api_key: Sent as bearer token; never shown in a log line, an error or a repr.
        settings: Everything else; read from the environment if not given.
        transport: Any httpx transport, such as one to a server in this process.
        random: The source of jitter, to make runs reproducible.

    Every method raises `NexusError` when the server did not acknowledge; its verdict says what
    that proves.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        settings: NexusSettings | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        random: Random | None = None,
    ) -> None:
        overrides = {
            "url": url,
            "api_key": SecretStr(api_key) if api_key is not None else None,
        }
        given = {name: value for name, value in overrides.items() if value is not None}
        self.settings = (settings or NexusSettings()).model_copy(update=given)
        self.dialect = Dialect()
        self.requests_sent = 0
        self.random = random or Random()  # noqa: S311 - jitter and ids, not secrets
        self.retries = RetryPolicy(
            self.settings.retry_attempts,
            self.settings.retry_base,
            self.settings.retry_cap,
            self.random,
        )
        self._ids = count(1)
        self._slots = asyncio.Semaphore(self.settings.max_connections)
        self._http = _http_client(self.settings, transport)

    def __repr__(self) -> str:
        """The URL, without credentials."""
        return f"NexusClient({httpx.URL(self.settings.url).copy_with(userinfo=b'')!s})"

    async def __aenter__(self) -> Self:
        """The client itself; connections open when needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        await self.close()

    async def close(self) -> None:
        """Close every connection; requests after this are never sent."""
        await self._http.aclose()

    def deadline(self) -> Deadline:
        """The deadline of an operation that starts now."""
        return Deadline.after(self.settings.operation_timeout)

    async def read(self, path: str, *, deadline: Deadline | None = None) -> File | None:
        """The file with its etag, in one request; `None` if it is missing."""
        params = {"path": path, "return_metadata": True}
        try:
            reply = await self._harmless("read", path, params, wire.files, deadline)
        except NexusError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        return File(path, reply.body, reply.version_tag)

    async def read_many(
        self, paths: Sequence[str], *, deadline: Deadline | None = None
    ) -> list[File | None]:
        """The files at `paths`, in their order; in bulk where the server can."""
        deadline = deadline or self.deadline()
        size = self.settings.bulk_size
        batches = [paths[start : start + size] for start in range(0, len(paths), size)]
        found: list[File | None] = []
        for batch in batches:
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
        """
        params: dict[str, Any] = {"path": path, "content": wire.encode_bytes(content)}
        if if_match is not None:
            params["if_match"] = if_match
        if if_none_match:
            params["if_none_match"] = True
        send = self._harmless if idempotent else self._once
        reply = await send("write", path, params, wire.writes, deadline)
        return reply.version_tag

    async def delete(self, path: str, *, deadline: Deadline | None = None) -> bool:
        """Delete a file that nobody will need again, so that repeats are harmless.

        Returns whether it was there.
        """
        try:
            await self._harmless("delete", path, {"path": path}, wire.anything, deadline)
        except NexusError as error:
            if error.reason is Reason.NOT_FOUND:
                return False
            raise
        return True

    async def exists(self, path: str, *, deadline: Deadline | None = None) -> bool:
        """Whether there is a file at `path`."""
        reply = await self._harmless("exists", path, {"path": path}, wire.existence, deadline)
        return reply.exists

    async def exist(self, paths: Sequence[str], *, deadline: Deadline | None = None) -> list[bool]:
        """Whether there is a file at each of `paths`, in their order; in bulk where possible."""
        deadline = deadline or self.deadline()
        size = self.settings.bulk_size
        found: list[bool] = []
        for start in range(0, len(paths), size):
            found += await self._exist_batch(paths[start : start + size], deadline)
        return found

    async def rename(self, source: str, target: str, *, deadline: Deadline | None = None) -> None:
        """Move a file onto a name that must be free."""
        params = {"old_path": source, "new_path": target}
        await self._once("rename", source, params, wire.anything, deadline)

    async def walk(
        self,
        directory: str,
        *,
        recursive: bool = False,
        details: bool = False,
        deadline: Deadline | None = None,
    ) -> AsyncIterator[wire.Entry]:
        """The files in `directory`, page by page where the server pages.

        Without `details` an entry has only its path.
        """
        deadline = deadline or self.deadline()
        params = {"path": directory, "recursive": recursive} | (
            {"details": True} if details else {}
        )
        cursor: str | None = None
        while True:
            page = await self._list_page(directory, params, cursor, deadline)
            for each in page.files:
                entry = wire.Entry(path=each) if isinstance(each, str) else each
                if not entry.is_directory:
                    yield entry
            cursor = page.next_cursor
            if not (page.has_more and cursor):
                return

    async def _list_page(
        self, directory: str, params: Mapping[str, Any], cursor: str | None, deadline: Deadline
    ) -> wire.ListReply:
        paging = {"limit": self.settings.page_size} | ({"cursor": cursor} if cursor else {})
        if self.dialect.pages_listings is not False:
            try:
                page = await self._harmless(
                    "list", directory, {**params, **paging}, wire.listings, deadline
                )
            except NexusError as error:
                if self.dialect.pages_listings or error.reason is not Reason.BAD_REQUEST:
                    raise
                self.dialect.pages_listings = False  # 0.5.6 knows no `limit`
            else:
                # 0.9.x orders its pages by nothing and its cursor by path: pages lose entries
                self.dialect.pages_listings = not page.has_more or _is_ordered(page)
                if self.dialect.pages_listings or cursor:
                    return page
        return await self._harmless("list", directory, params, wire.listings, deadline)

    async def _read_batch(self, paths: Sequence[str], deadline: Deadline) -> list[File | None]:
        found: dict[str, File | None] = {}
        if len(paths) > 1 and self.dialect.reads_in_bulk is not False:
            found = await self._read_bulk(paths, deadline)
        # 0.9.x answers a bulk read with null for every path: what it misses is looked for singly
        missed = [path for path in paths if found.get(path) is None]
        singly = await asyncio.gather(*(self.read(path, deadline=deadline) for path in missed))
        if found and any(singly):
            self.dialect.reads_in_bulk = False
        found |= dict(zip(missed, singly, strict=True))
        return [found[path] for path in paths]

    async def _read_bulk(self, paths: Sequence[str], deadline: Deadline) -> dict[str, File | None]:
        """What one bulk read finds; nothing on a server that has none."""
        params = {"paths": list(paths), "return_metadata": True, "skip_errors": True}
        try:
            replies = await self._harmless("read_bulk", paths[0], params, wire.bulk_files, deadline)
        except NexusError as error:
            if self.dialect.reads_in_bulk or error.reason is not Reason.BAD_REQUEST:
                raise
            self.dialect.reads_in_bulk = False  # 0.5.6 has no bulk read
            return {}
        self.dialect.reads_in_bulk = True
        return {path: _file(path, replies.get(path)) for path in paths}

    async def _exist_batch(self, paths: Sequence[str], deadline: Deadline) -> Sequence[bool]:
        if len(paths) > 1 and self.dialect.checks_in_bulk is not False:
            params = {"paths": list(paths)}
            try:
                found = await self._harmless(
                    "exists_batch", paths[0], params, wire.existences, deadline
                )
            except NexusError as error:
                if self.dialect.checks_in_bulk or error.reason is not Reason.BAD_REQUEST:
                    raise
                self.dialect.checks_in_bulk = False  # 0.5.6 has no bulk check
            else:
                self.dialect.checks_in_bulk = True
                return [found[path] for path in paths]
        return await asyncio.gather(*(self.exists(path, deadline=deadline) for path in paths))

    async def _harmless(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline | None,
    ) -> T:
        """Send a request whose repeat does no harm."""
        return await self._retried(method, path, params, decoder, deadline, _is_passing)

    async def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline | None,
    ) -> T:
        """Send a request that may be repeated only if it provably never left."""
        return await self._retried(method, path, params, decoder, deadline, _never_left)

    async def _retried(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline | None,
        worth_it: Callable[[NexusError], bool],
    ) -> T:
        deadline = deadline or self.deadline()
        retrying = self.retries.retrying(deadline, worth_it)
        return await retrying(self._attempt, method, path, params, decoder, deadline)

    async def _attempt(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline,
    ) -> T:
        """Send one request once and decode its answer."""
        request = _Call(method, path)
        if self._http.is_closed:
            raise request.error(classification.CLIENT_CLOSED)
        body = wire.encode_request(method, params, next(self._ids))
        async with self._slot(request, deadline):
            response = await self._post(request, body, deadline)
        try:
            return decoder.decode(_result(request, response, self._redact))
        except (msgspec.DecodeError, ValueError) as error:
            raise request.error(classification.UNREADABLE, self._redact(str(error))) from error

    @asynccontextmanager
    async def _slot(self, request: _Call, deadline: Deadline) -> AsyncIterator[None]:
        """One of the bounded number of connections: first come, first served."""
        try:
            async with asyncio.timeout_at(deadline.at):
                await self._slots.acquire()
        except TimeoutError as error:
            raise request.error(classification.OUT_OF_TIME) from error
        try:
            yield
        finally:
            self._slots.release()

    async def _post(self, request: _Call, body: bytes, deadline: Deadline) -> httpx.Response:
        left = deadline.remaining
        if not left:
            raise request.error(classification.OUT_OF_TIME)
        timeout = httpx.Timeout(
            min(self.settings.request_timeout, left),
            connect=min(self.settings.connect_timeout, left),
        )
        self.requests_sent += 1
        try:
            async with asyncio.timeout_at(deadline.at):
                response = await self._http.post(
                    f"/api/nfs/{request.method}", content=body, timeout=timeout
                )
        except TimeoutError as error:
            raise request.error(classification.LATE) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            detail = self._redact(f"{type(error).__name__}: {error}".rstrip(": "))
            raise request.error(classification.of_exception(error), detail) from error
        logger.debug("%s %s: HTTP %d", request.method, request.path, response.status_code)
        return response

    def _redact(self, text: str) -> str:
        """`text` in one short line, without the API key should a server echo it."""
        key = self.settings.api_key.get_secret_value() if self.settings.api_key else ""
        shown = " ".join((text.replace(key, "***") if key else text).split())
        return shown if len(shown) <= 200 else f"{shown[:197]}..."

    # last in the class: its name hides the builtin from the annotations after it
    async def list(self, directory: str, *, deadline: Deadline | None = None) -> Paths:
        """The paths of all files directly in `directory`; none if it is missing."""
        return [entry.path async for entry in self.walk(directory, deadline=deadline)]


@dataclass(frozen=True, slots=True)
class _Call:
    """What was asked, for the errors about it."""

    method: str
    path: str

    def error(
        self, verdict: Verdict, detail: str = "", retry_after: float | None = None
    ) -> NexusError:
        return NexusError(
            verdict, method=self.method, path=self.path, detail=detail, retry_after=retry_after
        )


def _http_client(
    settings: NexusSettings, transport: httpx.AsyncBaseTransport | None
) -> httpx.AsyncClient:
    headers = {"Content-Type": "application/json"}
    if settings.api_key is not None:
        headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    return httpx.AsyncClient(
        base_url=settings.url,
        headers=headers,
        transport=transport,
        limits=httpx.Limits(
            max_connections=settings.max_connections,
            max_keepalive_connections=settings.max_connections,
        ),
    )


def _result(
    request: _Call, response: httpx.Response, redact: Callable[[str], str]
) -> msgspec.Raw | bytes:
    """The JSON-RPC result of an acknowledgement; anything else raises with its verdict."""
    verdict = classification.of_status(response.status_code)
    envelope = _envelope(response.content)
    if verdict.disposition is not Disposition.ACKNOWLEDGED:
        detail = f"HTTP {response.status_code} {redact(_say(envelope, response))}".strip()
        raise request.error(verdict, detail, _wait_asked(envelope, response))
    if envelope is None:
        raise request.error(classification.UNREADABLE, redact(response.text))
    if isinstance(envelope.error, wire.RpcError):
        verdict = classification.of_rpc_code(envelope.error.code)
        raise request.error(verdict, redact(f"{envelope.error.code} {envelope.error.message}"))
    if isinstance(envelope.error, str):  # a gateway's own answer, outside JSON-RPC
        verdict = (
            classification.RATE_LIMITED
            if "rate limit" in envelope.error.lower()
            else classification.UNLISTED
        )
        raise request.error(verdict, redact(envelope.error), _wait_asked(envelope, response))
    if not envelope.result:
        raise request.error(classification.UNREADABLE, redact(response.text))
    return envelope.result


def _envelope(body: bytes) -> wire.Envelope | None:
    try:
        return wire.envelopes.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _say(envelope: wire.Envelope | None, response: httpx.Response) -> str:
    """What an error answer says, in whichever of its forms."""
    if envelope is None:
        return response.text
    if isinstance(envelope.error, wire.RpcError):
        return envelope.error.message
    return envelope.error or str(envelope.detail or "")


def _wait_asked(envelope: wire.Envelope | None, response: httpx.Response) -> float | None:
    header = parse_retry_after(response.headers.get("Retry-After"))
    return header if header is not None else (envelope.retry_after if envelope else None)


def _file(path: str, reply: wire.FileReply | None) -> File | None:
    return None if reply is None else File(path, reply.body, reply.version_tag)


def _is_ordered(page: wire.ListReply) -> bool:
    paths = [each if isinstance(each, str) else each.path for each in page.files]
    return paths == sorted(paths)


def _is_passing(error: NexusError) -> bool:
    return error.is_passing


def _never_left(error: NexusError) -> bool:
    return error.is_passing and error.disposition is Disposition.NEVER_SENT
