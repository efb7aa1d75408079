"""The console as an ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from nexus_bounty.cli.service.health import ALIVE, READY, ServiceHealth
from nexus_bounty.events.log import logger_of
from nexus_bounty_console.access import Access
from nexus_bounty_console.api import Api, as_json, refused
from nexus_bounty_console.desk import ConsoleDesk
from nexus_bounty_console.guard import Guard, path_of
from nexus_bounty_console.pages import Pages
from nexus_bounty_console.render import Renderer
from nexus_bounty_console.words import FORESEEN, Trouble, trouble, unexpected

logger = logger_of("nexus_bounty.console")

MOST_TOPICS: Final = 8


def make_app(
    desk: ConsoleDesk, access: Access | None = None, names: Collection[str] = ()
) -> ASGIApp:
    """The console of one zone.

    Args:
        desk: What it works on.
        access: Who may come in; everybody who can connect if not given, so on loopback only.
        names: By which hosts it is reached besides loopback.
    """
    access = access or Access()
    settings = desk.nexus.settings
    renderer = Renderer(desk, f"zone {desk.store.zone_id} on {settings.url}")
    faults = Faults(renderer)

    health = ServiceHealth(desk.operations)

    async def how_it_is(request: Request) -> Response:
        status, said = await health.answer(path_of(request))
        return as_json(said, status)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with desk.opened():
            yield

    async def live(request: Request) -> Response:
        topics = frozenset(request.query_params.getlist("topic")[:MOST_TOPICS])
        stopping = getattr(request.state, "stopping", None) or asyncio.Event()
        stream = desk.changes.stream(topics, stopping)
        return StreamingResponse(stream, media_type="text/event-stream")

    app = Starlette(
        routes=[
            *(Route(path, how_it_is, methods=["GET"]) for path in (ALIVE, READY)),
            *Pages(desk, renderer, access).routes(),
            *Api(desk).routes(),
            Route("/live", live, methods=["GET"]),
            Mount("/static", StaticFiles(directory=str(files("nexus_bounty_console") / "static"))),
        ],
        exception_handlers={
            HTTPException: faults.refused,
            **dict.fromkeys([*FORESEEN, Exception], faults.failed),
        },
        lifespan=lifespan,
    )
    return Guard(app, access, names)


class Faults:
    """Says what went wrong, on a page or as JSON."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def refused(self, request: Request, error: Exception) -> Response:
        """The answer to an address that there is not."""
        nothing = Trouble(
            "There is nothing here",
            f"{request.method} {path_of(request)} is no page of this console.",
            "None moved by this.",
            "Go back to the bounties.",
            getattr(error, "status_code", 404),
            "NOT_FOUND",
        )
        return self._answer(request, nothing)

    async def failed(self, request: Request, error: Exception) -> Response:
        """The answer to what went wrong on the way."""
        known = trouble(error, looking=request.method == "GET")
        if known is None:
            logger.error("%s %s", request.method, path_of(request), exc_info=error)
        return self._answer(request, known or unexpected(error))

    def _answer(self, request: Request, said: Trouble) -> Response:
        if path_of(request).startswith("/api/"):
            return refused(said)
        return self._renderer.page(request, "trouble", trouble=said, status=said.status)
