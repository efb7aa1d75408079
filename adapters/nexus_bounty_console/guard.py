"""What every request passes before anything else sees it: names, people, forms, headers.

Nothing that changes something gets through without the form's own token, from the same site, by
somebody who may: a new route is closed until it is opened here.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty_console.access import Access, Viewer

COOKIE: Final = "nexus_bounty_console"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
MOST_OF_A_FORM: Final = 64_000

_OPEN: Final = ("/healthz", "/readyz", "/login", "/static/")
_FOR_READERS: Final = frozenset({"/login", "/logout", "/reconcile/dry-run", "/money/audit"})
"""Forms that change nothing."""
_FOR_PROGRAMS: Final = ("/api/", "/live")

_NAME: Final = re.compile(r"(?P<name>[a-z\d._-]+|\[[a-f\d:.]+\])(?::\d{1,5})?", re.ASCII)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware.

    Args:
        app: What it guards.
        access: Who may come in.
        names: By which hosts it is reached besides loopback, with a port or without; others, as
            DNS rebinding sends them, are refused.

    Raises:
        InvalidInputError: One of them is no name of a host.
    """

    def __init__(self, app: ASGIApp, access: Access, names: Collection[str] = ()) -> None:
        self._app = app
        self._access = access
        for each in names:
            if not _host(each):
                raise InvalidInputError("reached_as", each, "must be the name of a host")
        self._names = LOOPBACK | {_host(each) for each in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = await self._refusal(request)
        await (answer or self._app)(scope, receive, _with_headers(request, send))

    async def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that gets no further; `None` if it does."""
        if _host(request.headers.get("host", "")) not in self._names:
            said = "This console is not reached by that name; --reached-as allows others.\n"
            return PlainTextResponse(said, 421)
        viewer = self._viewer(request)
        if viewer is None and not path_of(request).startswith(_OPEN):
            return _log_in_first(request)
        request.state.viewer = viewer
        if request.method in ("GET", "HEAD"):
            return None
        return await self._refused_form(request, viewer)

    def _viewer(self, request: Request) -> Viewer | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and not self._access.is_open:
            return self._access.of_token(token.strip())
        return self._access.of_session(request.cookies.get(COOKIE))

    async def _refused_form(self, request: Request, viewer: Viewer | None) -> Response | None:
        form = await _form(request) if _is_own(request) else None
        if form is None:
            return _refused("This form did not come from this console.")
        expected = viewer.csrf if viewer else self._access.csrf(None)
        if not hmac.compare_digest(form.get("csrf", "").encode(), expected.encode()):
            return _refused("This form is too old: load the page again.")
        if path_of(request) not in _FOR_READERS and not (viewer and viewer.may_operate):
            return _refused("You may look, but not change anything: that takes the role operate.")
        request.state.form = form
        return None


def path_of(request: Request) -> str:
    """The path by which a request finds its page.

    That of `request.url` is not to be trusted: older releases of Starlette read it out of the
    header `Host`, by which anybody could pass for somebody who asks for the login.
    """
    path: str = request.scope["path"]
    return path


def _host(header: str) -> str:
    """The name in a header, which may have a port, and nothing else."""
    found = _NAME.fullmatch(header.lower())
    return found["name"].strip("[]") if found else ""


def _is_own(request: Request) -> bool:
    """Whether a browser says that a page of this console sends it."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a form; `None` if it is none, or larger than any of ours."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind != "application/x-www-form-urlencoded":
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_OF_A_FORM:
            return None
    fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def _refused(why: str) -> Response:
    return PlainTextResponse(f"{why} Nothing was changed.\n", 403)


def _log_in_first(request: Request) -> Response:
    path, asked = path_of(request), request.scope["query_string"].decode("latin-1")
    if path.startswith(_FOR_PROGRAMS) or request.method != "GET":
        said = {"error": {"code": "UNAUTHORIZED", "message": "Send a bearer token, or log in."}}
        return JSONResponse(said, 401, {"WWW-Authenticate": "Bearer"})
    query = f"?{asked}" if asked else ""
    return RedirectResponse(f"/login?next={quote(path + query, safe='')}", 303)


def _with_headers(request: Request, send: Send) -> Send:
    """Send what keeps browsers from doing anything else with an answer."""
    kept = path_of(request).startswith("/static/")

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers["Cache-Control"] = "no-cache" if kept else "no-store"
        await send(message)

    return sending
