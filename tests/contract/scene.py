"""Where a scenario is played: a zone of a server, and the line to it, recorded or replayed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, Protocol, Self
from unittest.mock import patch

import httpx
import msgspec
import respx

from nexus_bounty import NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import Wire
from nexus_bounty.nexus.bounties.marker_watch import MarkerWatch
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.selection.auto_commit import CommitOption
from tests.contract.tape import Exchange
from tests.contract.volatile import Volatile

API_KEY: Final = "sk-test"
WRONG_KEY: Final = "sk-wrong"
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
ANYTHING: Final = msgspec.json.Decoder()
WAITS_FOR_A_RENAME: Final = 300.0
"""Seconds: those of 0.5.6 take thirty."""
TURNS_TO_ANSWER: Final = 20
"""Of the event loop, until a replay answers: what is sent at one moment is sent within them."""


def hiding() -> Volatile:
    """What hides the keys of scenarios."""
    return Volatile({API_KEY: "<key>", WRONG_KEY: "<another key>"})


class Line(Protocol):
    """A transport on which answers can be lost."""

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        """What clients speak through."""
        ...

    def lose(self, step: int) -> None:
        """Lose the answer to the request that is so many steps ahead."""
        ...

    def forget(self, count: int) -> None:
        """Leave the last `count` exchanges out of the recording."""
        ...


class Recorder(httpx.AsyncBaseTransport):
    """Speaks to a real server and writes down what was said."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._lost: set[int] = set()
        self._exchanges: list[Exchange] = []

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        return self

    def lose(self, step: int) -> None:
        self._lost.add(len(self._exchanges) + step)

    def forget(self, count: int) -> None:
        del self._exchanges[-count:]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        exchange = Exchange.of(request)
        begun = reversed(self._exchanges)
        exchange.beside = [far for far, each in enumerate(begun, 1) if not each.hear]
        self._exchanges.append(exchange)
        exchange.lost = len(self._exchanges) in self._lost
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        await response.aclose()
        exchange.answered(response)
        if exchange.lost:
            raise httpx.ReadError("the connection was lost", request=request)
        kind = {"content-type": response.headers.get("content-type", "")}
        return httpx.Response(response.status_code, headers=kind, content=content)

    async def aclose(self) -> None:
        """Stay open: the scenario's clients share this line."""

    def recorded(self) -> list[Exchange]:
        """What was said, without what is volatile."""
        volatile = hiding()
        return [
            replace(
                each, send=volatile.hide_request(each.send), hear=volatile.hide_answer(each.hear)
            )
            for each in self._exchanges
        ]


class Replay:
    """Answers as recorded, to exactly the recorded requests in their order.

    Requests that were on their way at the same moment have no order among themselves, and may come
    in any: each is known by what it asks, and their numbers are given out as they come.
    """

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = dict(enumerate(exchanges))
        self._volatile = hiding()
        self._wrong: AssertionError | None = None
        router = respx.MockRouter(assert_all_called=False)
        router.route().mock(side_effect=self._answer)
        self.transport = httpx.MockTransport(router.async_handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Fail for the first request that was not as recorded, or that was not sent."""
        if self._wrong:
            raise self._wrong from None
        if error is None:
            unsent = [each.send for each in self._exchanges.values()]
            assert unsent == [], "recorded, and not sent"

    def lose(self, step: int) -> None:
        """The recording says what was lost."""

    def forget(self, count: int) -> None:
        """What was left out is not in the recording."""

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            exchange = self._take(self._volatile.hide_request(Exchange.of(request).send))
        except AssertionError as error:  # which whoever asked may take for a lost connection
            self._wrong = self._wrong or error
            raise
        for _ in range(TURNS_TO_ANSWER):
            await asyncio.sleep(0)
        self._volatile.hide_answer(exchange.hear)  # numbers its ids, so that they can be sent
        if exchange.lost:
            raise httpx.ReadError("the connection was lost", request=request)
        return exchange.response()

    def _take(self, sent: dict[str, Any]) -> Exchange:
        """The exchange that begins with what was sent, of those that may be next."""
        assert self._exchanges, f"sent after all that is in the recording: {sent}"
        may_be_next = [place for place in self._exchanges if self._may_be_next(place)]
        numbers = {_number(self._exchanges[place].send): place for place in may_be_next}
        for place in may_be_next:
            taken = self._exchanges[place]
            if _numbered(taken.send, None) == _numbered(sent, None) and _number(sent) in numbers:
                self._renumber(numbers[_number(sent)], _number(taken.send))
                del self._exchanges[place]
                return Exchange(sent, _numbered(taken.hear, _number(sent)), taken.lost)
        expected = [self._exchanges[place].send for place in may_be_next]
        raise AssertionError(f"sent: {sent}; recorded, as what may be next: {expected}")

    def _may_be_next(self, place: int) -> bool:
        """Whether all that was to come before has come, or was on its way at the same moment."""
        beside = {place - distance for distance in self._exchanges[place].beside}
        return all(other in beside for other in self._exchanges if other < place)

    def _renumber(self, place: int, number: object) -> None:
        exchange = self._exchanges[place]
        self._exchanges[place] = replace(
            exchange,
            send=_numbered(exchange.send, number),
            hear=_numbered(exchange.hear, number),
        )


def _number(message: dict[str, Any]) -> object:
    """The number of a request or an answer; `None` outside of JSON-RPC."""
    body = message.get("body")
    return body.get("id") if isinstance(body, dict) and "jsonrpc" in body else None


def _numbered(message: dict[str, Any], number: object) -> dict[str, Any]:
    """A message under another number, if it has one."""
    if _number(message) is None:
        return message
    return {**message, "body": {**message["body"], "id": number}}


@dataclass
class Scene:
    """One release, reached over one line; everything in it is the same each time.

    Attributes:
        release: The release that answers.
        line: How it is reached.
        url: Where it is.
        closed: Another server of that release, which knows no key; the same where one is enough.
    """

    release: str
    line: Line
    url: str = "http://nexus"
    closed: str = "http://nexus"
    zone: str = field(default="contract")

    @asynccontextmanager
    async def client(
        self, key: str = API_KEY, *, url: str | None = None, **settings: Any
    ) -> AsyncIterator[NexusClient]:
        """A client on the line, which waits for nothing between attempts."""
        given: dict[str, Any] = {
            "retry_base": 0,
            "retry_attempts": 2,
            "request_timeout": WAITS_FOR_A_RENAME,
            "operation_timeout": WAITS_FOR_A_RENAME,
            "zone_id": self.zone,
        }
        async with NexusClient(
            url or self.url,
            api_key=key,
            settings=NexusSettings(**given | settings),
            transport=self.line.transport,
            random=Random(7),
        ) as client:
            yield client

    @asynccontextmanager
    async def store(
        self,
        commit: Callable[[NexusClient], CommitOption] = lambda _client: "conditional",
        **settings: Any,
    ) -> AsyncIterator[NexusBountyStore]:
        """A store that has seen nothing yet, on a client of its own."""
        async with self.client(**settings) as client:
            yield NexusBountyStore(client, commit=commit(client), clock=lambda: NOW)

    @asynccontextmanager
    async def web(self) -> AsyncIterator[httpx.AsyncClient]:
        """The routes outside JSON-RPC."""
        headers = {"authorization": f"Bearer {API_KEY}"}
        async with httpx.AsyncClient(
            base_url=self.url, headers=headers, transport=self.line.transport, timeout=30
        ) as client:
            yield client

    def path(self, name: str) -> str:
        """A path in the zone."""
        return f"/zones/{self.zone}/{name}"

    async def put(self, client: NexusClient, path: str, record: Wire) -> None:
        """Store a document without any condition, as others do."""
        await client.write(path, msgspec.json.encode(record), idempotent=True)


async def raw(client: NexusClient, method: str, **params: Any) -> Any:
    """The result of any method; `None`, where it is refused."""
    try:
        return await client.call(method, params, ANYTHING)
    except NexusError:
        return None


async def play(scenario: Callable[[Scene], Awaitable[None]], scene: Scene) -> None:
    """Play a scenario in a zone of its own, with nothing left to chance.

    Nobody looks at markers again afterwards: that is younger than the recordings.
    """
    scene.zone = scenario.__name__
    chance = Random(11)
    with (
        patch("uuid.uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4)),
        patch.object(MarkerWatch, "look_again"),
    ):
        await scenario(scene)


async def differences(mock: MockNexus, exchanges: list[Exchange]) -> list[Any]:
    """What was sent, recorded and answered, where the last two differ."""
    volatile, recorded = hiding(), hiding()
    found = []
    async with httpx.AsyncClient(transport=mock.transport()) as client:
        for exchange in exchanges:
            sent = Exchange(volatile.put_back(exchange.send))
            answered = Exchange({})
            answered.answered(await client.send(sent.request("http://nexus")))
            heard = volatile.hide_answer(answered.hear)
            if heard != recorded.hide_answer(exchange.hear):
                found.append((exchange.send, exchange.hear, heard))
    return found
