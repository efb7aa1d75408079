"""What carries requests to the server: aiohttp where it is installed, else httpx.

Either raises `NeverSentError` if not a byte of a request left, and httpx's exceptions otherwise:
the classification table knows both. Where the environment names a proxy it is httpx, whose ways
with proxies are the ones that people know.

Connections are given up as soon as something about one is not known: after a request that was
cancelled, which can leave its place in httpcore's pool taken for good, and after a lost answer,
when the next requests have a connection each, since some servers and proxies drop whatever comes
second on one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.request import getproxies

import httpx

from nexus_bounty.nexus.client.bodies import read_body
from nexus_bounty.nexus.client.never_sent import (
    BadUrlError,
    NotConnectedError,
    if_never_sent,
)
from nexus_bounty.nexus.client.settings import ConfigurationError, NexusSettings

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

KEEP_ALIVE_SECONDS: Final = 4.0
"""Idle connections are given up before a server does it, which is after 5 with uvicorn."""

LARGE: Final = 2**20
ALONE_AFTER_A_LOSS: Final = 32
"""How many requests have a connection of their own after an answer was lost."""


class Answer(NamedTuple):
    """A whole HTTP answer, unpacked; what is not its status or body is the header of that name."""

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None
    sunset: str | None = None
    date: str | None = None

    @property
    def text(self) -> str:
        """The body, to be shown."""
        return self.body.decode(errors="replace")


_SHOWN: Final = ("retry-after", "location", "sunset", "date")
_PACKED: Final = "content-encoding"
_ASKED_FOR: Final = {name.encode(): name for name in (*_SHOWN, _PACKED)}


def _shown(headers: Mapping[str, str]) -> Iterator[str | None]:
    """Those headers that an `Answer` has."""
    return (headers.get(name) for name in _SHOWN)


def _asked_for(headers: httpx.Headers) -> Mapping[str, str]:
    """Those headers that anything here asks for: httpx decodes all of them to look for one."""
    there = (_ASKED_FOR.get(name.lower()) for name, _ in headers.raw)
    return {name: headers[name] for name in there if name is not None}


class Transport(Protocol):
    """Carries requests to one server, and brings whole answers."""

    async def send(
        self, verb: str, route: str, body: bytes | None, *, connect_in: float, answer_in: float
    ) -> Answer:
        """Send one request; not a second time, and nowhere else.

        Args:
            verb: POST or GET.
            route: Path and query, after the URL of the server.
            body: JSON.
            connect_in: Seconds to connect in.
            answer_in: Seconds that may pass without a byte of the answer.

        Raises:
            NeverSentError: Not a byte of it has left.
            httpx.HTTPError: There is no answer.
            UnusableBodyError, OversizedBodyError: There is none that can be taken.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class TransportExtraMissingError(ImportError):
    """aiohttp is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the transport 'aiohttp' is not installed: pip install 'nexus-bounty[fast]', "
            "or set NEXUS_TRANSPORT=httpx"
        )


def transport_for(
    settings: NexusSettings, given: httpx.AsyncBaseTransport | None = None
) -> Transport:
    """The transport that `settings` ask for, or httpx on the one that is given.

    Raises:
        TransportExtraMissingError: It is not installed.
    """
    if given is not None:
        return HttpxTransport(settings, given)
    installed = find_spec("aiohttp") is not None
    if settings.transport == "aiohttp" and not installed:
        raise TransportExtraMissingError
    if settings.transport == "httpx" or not installed or getproxies():
        return HttpxTransport(settings)
    return AiohttpTransport(settings)


def _headers(settings: NexusSettings) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
    if settings.api_key is not None:
        headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    return headers


def trust(url: str) -> ssl.SSLContext | bool:
    """Whom to believe: over TLS whom httpx would; over plain HTTP nobody is asked, so nobody.

    Reading the certificates of all authorities takes longer than many a request.
    """
    plain = httpx.URL(url).scheme == "http"
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True


@lru_cache(maxsize=16)
def check_url(url: str) -> None:
    """Refuse what cannot be a URL; none of it is repeated.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        httpx.URL(url)
    except httpx.InvalidURL:
        raise ConfigurationError(
            "url is not the URL of a server, such as http://127.0.0.1:2026"
        ) from None


@lru_cache(maxsize=256)
def _url(server: str, route: str) -> httpx.URL:
    url = httpx.URL(server.rstrip("/") + route)
    if url.scheme not in ("http", "https") or not url.host:
        raise BadUrlError(f"{server!r} is not the URL of a server: http://host:port")
    return url


class _Connections:
    """The connections of one generation, which are closed when its last request is over."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.under_way = 0
        self.is_retired = False


class HttpxTransport:
    """Carries requests by httpx, on a transport of its own or on one that is given."""

    def __init__(
        self, settings: NexusSettings, given: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._server = settings.url
        self._most = settings.max_answer_bytes
        self._headers = _headers(settings)
        self._common: httpx.Headers | None = None
        self._open = _opener(settings) if given is None else None
        self._connections = _Connections(given or _opener(settings)())
        self._alone = 0
        self._closing: set[asyncio.Task[None]] = set()

    async def send(
        self, verb: str, route: str, body: bytes | None, *, connect_in: float, answer_in: float
    ) -> Answer:
        """Send one request; see `Transport.send`."""
        timeout = {"connect": connect_in, "read": answer_in, "write": answer_in, "pool": answer_in}
        url = _url(self._server, route)
        if self._common is None:
            self._common = httpx.Headers({"Host": url.netloc.decode("ascii"), **self._headers})
        # with a stream httpx copies these headers as they are; with content it makes them thrice
        request = httpx.Request(
            verb,
            url,
            headers=self._common,
            stream=httpx.ByteStream(body or b""),
            extensions={"timeout": timeout},
        )
        request.read()  # so that transports can look at its content, as at any other request's
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        if self._alone:
            self._alone -= 1
            request.headers["Connection"] = "close"
        connections = self._connections
        connections.under_way += 1
        try:
            return await self._answer(await connections.inner.handle_async_request(request))
        except httpx.PoolTimeout as error:
            raise if_never_sent(error) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raised = if_never_sent(error)
            if raised is error:
                self._distrust(connections)
                raise
            raise raised from error
        except asyncio.CancelledError:
            self._retire(connections)
            raise
        finally:
            connections.under_way -= 1
            self._close_if_over(connections)

    async def _answer(self, response: httpx.Response) -> Answer:
        try:
            headers = _asked_for(response.headers)
            stream = response.stream
            if not isinstance(stream, httpx.AsyncByteStream):
                raise httpx.StreamError("the transport gave a stream that cannot be awaited")
            content = await read_body(stream, headers.get(_PACKED), self._most)
        finally:
            await response.aclose()
        return Answer(response.status_code, content, *_shown(headers))

    def _distrust(self, connections: _Connections) -> None:
        """An answer was lost: send what comes next on connections that nothing was sent on."""
        if self._open is not None:
            self._alone = ALONE_AFTER_A_LOSS
            self._retire(connections)

    def _retire(self, connections: _Connections) -> None:
        """Use other connections from now on."""
        if self._open is not None and connections is self._connections:
            connections.is_retired = True
            self._connections = _Connections(self._open())

    def _close_if_over(self, connections: _Connections) -> None:
        if connections.is_retired and not connections.under_way:
            task = asyncio.get_running_loop().create_task(connections.inner.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connections.inner.aclose()
        if self._closing:
            await asyncio.wait(self._closing)


def _opener(settings: NexusSettings) -> Callable[[], httpx.AsyncBaseTransport]:
    """Makes a transport to the server, through the proxies that the environment names.

    Raises:
        ConfigurationError: One of those cannot be used.
    """
    options: dict[str, Any] = {
        "verify": trust(settings.url),
        "limits": httpx.Limits(
            max_connections=settings.max_connections,
            max_keepalive_connections=settings.max_connections,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        ),
    }
    if not getproxies():
        return lambda: httpx.AsyncHTTPTransport(**options)
    return lambda: _Proxied(**options)


class _Proxied(httpx.AsyncBaseTransport):
    """What `httpx.AsyncClient` makes of the proxy variables, `NO_PROXY` and SOCKS included."""

    def __init__(self, **options: Any) -> None:
        try:
            self._client = httpx.AsyncClient(follow_redirects=False, **options)
        except ImportError:
            raise ConfigurationError(
                "the environment names a SOCKS proxy, which needs pip install 'httpx[socks]'"
            ) from None
        except (httpx.InvalidURL, ValueError) as error:
            names = ", ".join(sorted(f"{each.upper()}_PROXY" for each in getproxies()))
            raise ConfigurationError(
                f"the environment names a proxy that cannot be used (see {names}): "
                f"{type(error).__name__}"  # what it says may repeat a password
            ) from None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, by whichever way leads to its host."""
        return await self._client.send(request, stream=True)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


class AiohttpTransport:
    """Carries requests by aiohttp; connects when it is first used."""

    def __init__(self, settings: NexusSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._once: aiohttp.ClientSession | None = None
        self._alone = 0

    async def send(
        self, verb: str, route: str, body: bytes | None, *, connect_in: float, answer_in: float
    ) -> Answer:
        """Send one request; see `Transport.send`."""
        import aiohttp

        try:
            async with self._next_session().request(
                verb,
                _yarl(self._settings.url, route),
                data=BytesIO(body) if body and len(body) > LARGE else body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=connect_in, sock_read=answer_in),
            ) as answer:
                headers = answer.headers
                content = await read_body(
                    _parts(answer), headers.get(_PACKED), self._settings.max_answer_bytes
                )
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise NotConnectedError(str(error)) from error
        except TimeoutError as error:
            self._alone = ALONE_AFTER_A_LOSS
            raise httpx.ReadTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            self._alone = ALONE_AFTER_A_LOSS
            raise httpx.ReadError(f"{type(error).__name__}: {error}") from error
        every = {name: ", ".join(headers.getall(name)) for name in _SHOWN if name in headers}
        return Answer(answer.status, content, *_shown(every))

    def _next_session(self) -> aiohttp.ClientSession:
        if self._alone:
            self._alone -= 1
            session = self._once = self._once or self._open(reuse=False)
        else:
            session = self._session = self._session or self._open(reuse=True)
        return session

    def _open(self, *, reuse: bool) -> aiohttp.ClientSession:
        import aiohttp

        settings = self._settings
        plain = httpx.URL(settings.url).scheme == "http"
        kept: dict[str, Any] = (
            {"keepalive_timeout": KEEP_ALIVE_SECONDS} if reuse else {"force_close": True}
        )
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.max_connections,
                ssl=True if plain else httpx.create_ssl_context(),
                **kept,
            ),
            headers=_headers(settings),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=["User-Agent", "Accept"],
        )

    async def aclose(self) -> None:
        """Close every connection."""
        for session in (self._session, self._once):
            if session is not None:
                await session.close()


async def _parts(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for part in answer.content.iter_any():
        yield part


@lru_cache(maxsize=256)
def _yarl(server: str, route: str) -> URL:
    from yarl import URL

    return URL(str(_url(server, route)), encoded=True)
