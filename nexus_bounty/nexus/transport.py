"""What carries requests to the server: aiohttp where it is installed, else httpx's own transport.

Both raise httpx's exceptions, on which the classification table rests: `ConnectError`,
`ConnectTimeout` and `PoolTimeout` must mean that not a byte of the request left.
"""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies, proxy_bypass

import httpx

from nexus_bounty.nexus.settings import NexusSettings

if TYPE_CHECKING:
    import aiohttp

KEEP_ALIVE_SECONDS: Final = 4.0
"""Idle connections are given up before a server does it, which is after 5 with uvicorn."""

LARGE: Final = 2**20


class TransportExtraMissingError(ImportError):
    """aiohttp is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the transport 'aiohttp' is not installed: pip install 'nexus-bounty[fast]', "
            "or set NEXUS_TRANSPORT=httpx"
        )


def transport_for(settings: NexusSettings) -> httpx.AsyncBaseTransport:
    """The transport that `settings` ask for.

    Raises:
        TransportExtraMissingError: It is not installed.
    """
    installed = find_spec("aiohttp") is not None
    if settings.transport == "aiohttp" and not installed:
        raise TransportExtraMissingError
    if settings.transport == "httpx" or not installed:
        return _httpx_transport(settings)
    return AiohttpTransport(settings)


def _httpx_transport(settings: NexusSettings) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        verify=trust(settings.url),
        limits=httpx.Limits(
            max_connections=settings.max_connections,
            max_keepalive_connections=settings.max_connections,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        ),
        proxy=_proxy(settings.url),
    )


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


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Carries requests by aiohttp; connects when it is first used."""

    def __init__(self, settings: NexusSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request, and bring its whole answer.

        Raises:
            httpx.TransportError: What httpx's own transport would raise.
        """
        import aiohttp
        from yarl import URL

        session = self._session = self._session or self._open()
        timeout = request.extensions["timeout"]
        try:
            async with session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=_body(request.content),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=timeout["connect"], sock_read=timeout["read"]
                ),
            ) as answer:
                body = await answer.read()
        # from None: of what another library calls "never sent" nothing is believed on its word
        except aiohttp.ConnectionTimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from None
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(str(error)) from None
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ReadError(f"{type(error).__name__}: {error}") from error
        return httpx.Response(answer.status, headers=answer.raw_headers, content=body)

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
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=["User-Agent", "Accept"],
            proxy=_proxy(settings.url),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


def _body(content: bytes) -> bytes | BytesIO | None:
    """What aiohttp is given to send: in pieces, if sending it at once would hold others up."""
    return BytesIO(content) if len(content) > LARGE else content or None
