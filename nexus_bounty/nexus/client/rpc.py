"""One JSON-RPC request over HTTP, from its encoding to the verdict on its answer."""

from __future__ import annotations

import asyncio
import logging
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import Observer, RequestEnded, RequestSent
from nexus_bounty.events.log import debugging
from nexus_bounty.events.stream import Observers, given, publish
from nexus_bounty.events.tracking import count_request
from nexus_bounty.home import HomeLoop
from nexus_bounty.nexus.client import classification, wire
from nexus_bounty.nexus.client.classification import Disposition, RequestVerdict
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.pace import Pace, Turns
from nexus_bounty.nexus.client.priority_limiter import PriorityLimiter
from nexus_bounty.nexus.client.retry_after import asked_in_json, parse_retry_after
from nexus_bounty.nexus.client.round_trips import RoundTrips
from nexus_bounty.nexus.client.secrets import Secrets, without_frames
from nexus_bounty.nexus.client.server_clock import ServerClock
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.nexus.client.transport import Answer, check_url, transport_for
from nexus_bounty.shielding import to_its_end

T = TypeVar("T")

MOST_SHOWN: Final = 200
"""How much of what a server says an error repeats."""


class Rpc:
    """Sends requests to one server, at most `max_connections` at a time.

    Those of the operation that came first go first.

    Every failure is a `NexusError` with the verdict of the classification table. The API key is
    in none of them, nor in what `observers` are told of the requests.
    """

    def __init__(
        self,
        settings: NexusSettings,
        transport: httpx.AsyncBaseTransport | None = None,
        observers: Sequence[Observer] = (),
        pace: Turns | None = None,
    ) -> None:
        self.requests_sent = 0
        self.sunset: str | None = None
        self.server_clock = ServerClock(settings.url.rstrip("/"))
        self.round_trips = RoundTrips(settings.cleanup_delay)
        self._observers = given(observers)
        self._settings = settings
        self._ids = count(1)
        self._limiter = PriorityLimiter(settings.max_connections)
        self._pace = pace or Pace(settings.max_requests_per_second)
        check_url(settings.url)
        self._transport = transport_for(settings, transport)
        self._closed = False
        self._home = HomeLoop()
        self._secrets = Secrets(settings.api_key.get_secret_value() if settings.api_key else "")

    @property
    def is_at_home(self) -> bool:
        """Whether this is the event loop, and the process, that the connections belong to."""
        return self._home.is_here_or_nowhere

    def why_not_here(self) -> str | None:
        """Why nothing can be sent in this event loop; `None` if it can, from now on."""
        why = self._home.why_not()
        return why and f"this client {why}"

    def check_home(self, method: str, path: str) -> None:
        """Refuse to wait in two event loops, or processes: connections belong to one.

        Raises:
            NexusError: This is another one; nothing was sent.
        """
        if why := self.why_not_here():
            raise NexusError(classification.OTHER_LOOP, method=method, path=path, detail=why)

    async def close(self) -> None:
        """Close every connection; requests after this are never sent.

        Connections of another event loop, or of the process before a fork, are left alone.
        """
        self._closed = True
        if self.is_at_home:
            await to_its_end(self._transport.aclose())

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        decoder: msgspec.json.Decoder[T],
        deadline: Deadline,
        attempt: int = 1,
    ) -> T:
        """Send one request once and decode its result.

        Raises:
            NexusError: It was not acknowledged.
        """
        number = next(self._ids)
        with _Call(method, path, attempt, self._observers) as request:
            try:
                body = wire.encode_request(method, params, number)
            except (UnicodeEncodeError, TypeError) as error:
                raise request.error(classification.UNENCODABLE, str(error)) from error
            answer = await self._send(request, deadline, "POST", f"/api/nfs/{method}", body)
            acknowledged = _acknowledged(answer, decoder, number)
            if acknowledged is not None:
                return acknowledged.result
            try:
                return decoder.decode(self._result(request, answer, number))
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raised = self._error(request, classification.UNREADABLE, str(error), error)
                raise raised from raised.__cause__

    async def ask(
        self, route: str, deadline: Deadline, body: Mapping[str, Any] | None = None
    ) -> Any:
        """What the server answers outside JSON-RPC, to a POST of `body` or to a GET: plain values.

        Raises:
            NexusError: It did not acknowledge the request.
        """
        verb, content = ("GET", None) if body is None else ("POST", msgspec.json.encode(body))
        with _Call(verb, route, 1, self._observers) as request:
            answer = await self._send(request, deadline, verb, route, content)
            verdict = classification.of_status(answer.status)
            if verdict.disposition is not Disposition.ACKNOWLEDGED:
                envelope = _envelope(answer.body)
                detail = f"HTTP {answer.status} {_say(envelope, answer)}".strip()
                raise request.error(verdict, self._redact(detail), _wait_asked(envelope, answer))
            try:
                return msgspec.json.decode(answer.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raised = self._error(request, classification.UNREADABLE, str(error), error)
                raise raised from raised.__cause__

    async def _send(
        self, request: _Call, deadline: Deadline, verb: str, route: str, body: bytes | None
    ) -> Answer:
        """Send a request once, when there is a connection for its operation."""
        await self._take_turn(request, deadline)
        try:
            await self._pace.turn()
            left = self._left(request, deadline)
            connect_in = min(self._settings.connect_timeout, left)
            answer_in = min(self._settings.request_timeout, left)
            leaves = asyncio.get_running_loop().time()
            async with asyncio.timeout(min(connect_in + answer_in, left)):  # even if it drips
                answer = await self._transport.send(
                    verb, route, body, connect_in=connect_in, answer_in=answer_in
                )
            self.round_trips.answered(asyncio.get_running_loop().time() - leaves)
            self.sunset = answer.sunset or self.sunset
            self.server_clock.saw(answer.date)
            return answer
        except TimeoutError as error:
            raise request.error(classification.LATE) from error
        except NexusError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a transport raises, it is looked up
            detail = f"{type(error).__name__}: {error}".rstrip(": ")
            verdict = classification.of_exception(error)
            raised = self._error(request, verdict, detail, error)
            raise raised from raised.__cause__
        finally:
            self._limiter.leave()

    async def _take_turn(self, request: _Call, deadline: Deadline) -> None:
        """Wait until there is a connection for the operation of this request."""
        self._check_home(request)
        if self._limiter.enter_at_once():
            return
        left = deadline.remaining if deadline.has_begun else self._settings.queue_timeout
        try:
            async with asyncio.timeout(left):
                await self._limiter.enter(deadline.turn.number)
        except TimeoutError as error:
            detail = f"no connection was free for {left:.3g} s"
            raise request.error(classification.OUT_OF_TIME, detail) from error

    def _left(self, request: _Call, deadline: Deadline) -> float:
        """The seconds that a request which leaves now may take."""
        deadline.begin()
        left = deadline.remaining
        if not left:
            raise request.error(classification.OUT_OF_TIME)
        if self._closed:
            raise request.error(classification.CLIENT_CLOSED)
        self.requests_sent += 1
        request.sent()
        return left

    def _check_home(self, request: _Call) -> None:
        """Refuse to work in two event loops, or processes: connections belong to one."""
        if why := self.why_not_here():
            raise request.error(classification.OTHER_LOOP, why)

    def _result(self, request: _Call, answer: Answer, number: int) -> msgspec.Raw | bytes:
        """The JSON-RPC result of an acknowledgement; anything else raises with its verdict."""
        verdict = classification.of_status(answer.status)
        envelope = _envelope(answer.body)
        wait = _wait_asked(envelope, answer)
        acknowledged = verdict.disposition is Disposition.ACKNOWLEDGED
        if envelope is not None and envelope.is_of_another(number, acknowledged=acknowledged):
            detail = f"it answers request {envelope.id!r}, not {number}"
            raise request.error(classification.UNREADABLE, self._redact(detail), wait)
        if not acknowledged:
            detail = f"HTTP {answer.status} {_say(envelope, answer)}".strip()
            raise request.error(verdict, self._redact(detail), wait)
        if envelope is not None and isinstance(envelope.error, wire.RpcError):
            verdict = classification.of_rpc_code(envelope.error.code)
            said = f"{envelope.error.code} {envelope.error.message}"
            raise request.error(verdict, self._redact(said), wait)
        if envelope is not None and envelope.error:  # a gateway's own answer, outside JSON-RPC
            limited = "rate limit" in str(envelope.error).lower()
            verdict = classification.RATE_LIMITED if limited else classification.UNLISTED
            raise request.error(verdict, self._redact(str(envelope.error)), wait)
        if answer.body.startswith(BOM_UTF8):
            detail = "it begins with a byte order mark (BOM): what sent it?"
            raise request.error(classification.UNREADABLE, detail, wait)
        if envelope is None or not envelope.result:
            raise request.error(classification.UNREADABLE, self._redact(answer.text), wait)
        return envelope.result

    def _error(
        self, request: _Call, verdict: RequestVerdict, detail: str, cause: BaseException
    ) -> NexusError:
        """The error for `cause`, which is kept as such only if it does not repeat the API key."""
        error = request.error(verdict, self._redact(detail))
        if not self._secrets.are_in(f"{cause} {cause!r}"):
            error.__cause__ = without_frames(cause)
        return error

    def _redact(self, text: str) -> str:
        """`text` in one short line, without the API key however it is spelled there."""
        shown = " ".join(self._secrets.redacted(text).split())
        return shown if len(shown) <= MOST_SHOWN else f"{shown[: MOST_SHOWN - 3]}..."


@dataclass(slots=True)
class _Call:
    """What was asked, for the errors about it and for those who watch it to its end."""

    method: str
    path: str
    attempt: int
    observers: Observers
    sent_at: float | None = None
    """On the event loop's clock, if anybody is to be told how it ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.sent_at is not None:
            self._ended(error, asyncio.get_running_loop().time() - self.sent_at)

    def sent(self) -> None:
        """Note that it leaves now, where that is of interest to anybody."""
        count_request()
        if RequestSent.heard or RequestEnded.heard or debugging(logging.DEBUG):
            self.sent_at = asyncio.get_running_loop().time()
            publish(self.observers, RequestSent, self.method, self.path, self.attempt)

    def _ended(self, error: BaseException | None, seconds: float) -> None:
        verdict = error.verdict if isinstance(error, NexusError) else classification.ACKNOWLEDGED
        disposition, reason = verdict.disposition.value, verdict.reason.value
        if error is not None and not isinstance(error, NexusError):
            disposition, reason = Disposition.AMBIGUOUS.value, "cancelled"
        publish(
            self.observers,
            RequestEnded,
            self.method,
            self.path,
            self.attempt,
            disposition,
            reason,
            seconds,
        )

    def error(
        self, verdict: RequestVerdict, detail: str = "", retry_after: float | None = None
    ) -> NexusError:
        return NexusError(
            verdict, method=self.method, path=self.path, detail=detail, retry_after=retry_after
        )


def _acknowledged(
    answer: Answer, decoder: msgspec.json.Decoder[T], number: int
) -> wire.Acknowledgement[T] | None:
    """An acknowledgement of request `number`, decoded in one pass; `None` if it is no such."""
    if classification.of_status(answer.status) is not classification.ACKNOWLEDGED:
        return None
    try:
        reply = wire.acknowledgements(decoder).decode(answer.body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return None if reply.error or reply.id != number else reply


def _envelope(body: bytes) -> wire.Envelope | None:
    try:
        return wire.envelopes.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _say(envelope: wire.Envelope | None, answer: Answer) -> str:
    """What an error answer says, in whichever of its forms."""
    if answer.location is not None:
        return f"to {_without_userinfo(answer.location)}: set the URL to where the server is"
    if envelope is None:
        return answer.text
    if isinstance(envelope.error, wire.RpcError):
        return envelope.error.message
    return envelope.error or str(envelope.detail or "")


def _without_userinfo(location: str) -> str:
    before, at, after = location.rpartition("@")
    return f"{before.partition('//')[0]}//***@{after}" if at else location


def _wait_asked(envelope: wire.Envelope | None, answer: Answer) -> float | None:
    """The longest that is asked for, by the header, the body, or the error in it."""
    asked = [parse_retry_after(answer.retry_after)]
    if envelope is not None:
        asked.append(asked_in_json(envelope.retry_after))
        data = envelope.error.data if isinstance(envelope.error, wire.RpcError) else None
        if isinstance(data, dict):
            asked.append(asked_in_json(data.get("retry_after")))
    return max((each for each in asked if each is not None), default=None)
