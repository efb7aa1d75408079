"""What carries requests to the server: aiohttp where it is installed, else httpx.

Either raises httpx's exceptions, on which the classification table rests: `ConnectError`,
`ConnectTimeout` and `PoolTimeout` must mean that not a byte of the request left.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.request import getproxies, proxy_bypass

import httpx

from nexus_bounty.nexus.client.settings import NexusSettings

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

KEEP_ALIVE_SECONDS: Final = 4.0
"""Idle connections are given up before a server does it, which is after 5 with uvicorn."""

LARGE: Final = 2**20


class Answer(NamedTuple):
    """A whole HTTP answer, unpacked; `retry_after` is the header of that name."""

    status: int
    body: bytes
    retry_after: str | None = None

    @property
    def text(self) -> str:
        """The body, to be shown."""
        return self.body.decode(errors="replace")


class Transport(Protocol):
    """Carries requests to one server, and brings whole answers."""

    async def send(
        self, verb: str, route: str, body: bytes | None, *, connect_in: float, answer_in: float
    ) -> Answer:
        """Send one request; not a second time, and nowhere else.

        Args:
            verb: POST or GET.
            route: Path and query, behind the URL of the server.
            body: JSON.
            connect_in: Seconds to connect in.
            answer_in: Seconds that may pass without a byte of the answer.

        Raises:
            httpx.HTTPError: There is no answer, or none that can be unpacked.
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
    installed = find_spec("aiohttp") is not None
    if given is None and settings.transport == "aiohttp" and not installed:
        raise TransportExtraMissingError
    if given is not None or settings.transport == "httpx" or not installed:
        return HttpxTransport(settings, given)
    return AiohttpTransport(settings)


def _headers(settings: NexusSettings) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip, deflate"}
    if settings.api_key is not None:
        headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    return headers


def trust(url: str) -> ssl.SSLContext | bool:
    """Whom to believe: over TLS whom httpx would; over plain HTTP nobody is asked, so nobody.

    Reading the certificates of all authorities takes longer than many a request.
    """
    plain = httpx.URL(url).scheme == "http"
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for a server."""
    target = httpx.URL(url)
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    return None if proxy is None or proxy_bypass(target.host) else proxy


@lru_cache(maxsize=256)
def _url(server: str, route: str) -> httpx.URL:
    url = httpx.URL(server.rstrip("/") + route)
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.UnsupportedProtocol(f"{server!r} is not the URL of a server: http://host:port")
    return url


class HttpxTransport:
    """Carries requests by any httpx transport."""

    def __init__(
        self, settings: NexusSettings, given: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._server = settings.url
        self._headers = httpx.Headers(_headers(settings))
        self._inner = given or httpx.AsyncHTTPTransport(
            verify=trust(settings.url),
            limits=httpx.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            ),
            proxy=_proxy(settings.url),
        )

    async def send(
        self, verb: str, route: str, body: bytes | None, *, connect_in: float, answer_in: float
    ) -> Answer:
        """Send one request; see `Transport.send`."""
        timeout = {"connect": connect_in, "read": answer_in, "write": answer_in, "pool": answer_in}
        request = httpx.Request(
            verb,
            _url(self._server, route),
            headers=self._headers,
            content=body,
            extensions={"timeout": timeout},
        )
        response = await self._inner.handle_async_request(request)
        response.request = request
        try:
            content = await response.aread()
        finally:
            await response.aclose()
        return Answer(response.status_code, content, response.headers.get("Retry-After"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()


class AiohttpTransport:
    """Carries requests by aiohttp; connects when it is first used."""

    def __init__(self, settings: NexusSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, verb: str, route: str, body: bytes | None, *, connect_in: float, answer_in: float
    ) -> Answer:
        """Send one request; see `Transport.send`."""
        import aiohttp

        url = _yarl(self._settings.url, route)
        session = self._session = self._session or self._open()
        try:
            async with session.request(
                verb,
                url,
                data=BytesIO(body) if body and len(body) > LARGE else body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=connect_in, sock_read=answer_in),
            ) as answer:
                content = await answer.read()
        # from None: of what another library calls "never sent" nothing is believed on its word
        except aiohttp.ConnectionTimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from None
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(str(error)) from None
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ReadError(f"{type(error).__name__}: {error}") from error
        packed = answer.headers.get("Content-Encoding")
        if packed is not None:
            content = _unpacked(content, packed)
        return Answer(answer.status, content, answer.headers.get("Retry-After"))

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        settings = self._settings
        plain = httpx.URL(settings.url).scheme == "http"
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.max_connections,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                ssl=True if plain else httpx.create_ssl_context(),
            ),
            headers=_headers(settings),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=["User-Agent", "Accept"],
            proxy=_proxy(settings.url),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


@lru_cache(maxsize=256)
def _yarl(server: str, route: str) -> URL:
    from yarl import URL

    return URL(str(_url(server, route)), encoded=True)


def _unpacked(content: bytes, packed: str) -> bytes:
    """What httpx makes of a packed body."""
    return httpx.Response(200, headers={"Content-Encoding": packed}, content=content).content
