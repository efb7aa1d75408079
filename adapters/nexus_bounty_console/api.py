"""The JSON twins of the pages, as Grove's server has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nexus_bounty_console.board import Search
from nexus_bounty_console.desk import ConsoleDesk
from nexus_bounty_console.pages import search_of
from nexus_bounty_console.words import Trouble


@dataclass
class Api:
    """Answers programs.

    Attributes:
        desk: With what.
    """

    desk: ConsoleDesk

    def routes(self) -> list[Route]:
        """Where it answers."""
        return [
            Route("/api/bounties", self.bounties, methods=["GET"]),
            Route("/api/bounties/{bounty_id}", self.bounty, methods=["GET"]),
            Route("/api/bounties/{bounty_id}/life", self.life, methods=["GET"]),
        ]

    async def bounties(self, request: Request) -> Response:
        """Bounties, newest first: `{"bounties": […], "total": …}`.

        The query has Grove's `status`, `creatorAgentId` and `limit`, and besides `q` and `offset`.
        """
        asked = request.query_params
        search = search_of(request)
        creator = asked.get("creatorAgentId") or search.creator
        search = Search(search.words, search.status, creator)
        limit, offset = _number(asked.get("limit")), _number(asked.get("offset")) or 0
        board = await self.desk.board.current()
        found = board.found(search)
        shown = found[offset:] if limit is None else found[offset : offset + limit]
        return as_json({"bounties": shown, "total": len(found)})

    async def bounty(self, request: Request) -> Response:
        """One bounty as it stands."""
        bounty_id = request.path_params["bounty_id"]
        found = await self.desk.store.get_bounty(bounty_id)
        return as_json(found) if found else not_found(bounty_id)

    async def life(self, request: Request) -> Response:
        """Everything that the page of a bounty shows."""
        bounty_id = request.path_params["bounty_id"]
        life = await self.desk.life(bounty_id)
        return as_json(life) if life.exists else not_found(bounty_id)


def as_json(content: Any, status: int = 200) -> Response:
    """An answer with a JSON document."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def not_found(bounty_id: str) -> Response:
    """The answer if there is no such bounty, in Grove's words."""
    said = {"code": "NOT_FOUND", "message": f"Bounty not found: {bounty_id}"}
    return as_json({"error": said}, 404)


def refused(trouble: Trouble) -> Response:
    """The answer if something went wrong."""
    said = {
        "code": trouble.code,
        "message": trouble.detail,
        "money": trouble.money,
        "next": trouble.following,
    }
    return as_json({"error": said}, trouble.status)


def _number(given: str | None) -> int | None:
    """A number of a query; `None` if it is none, as Grove takes it."""
    return int(given) if given and given.isascii() and given.isdigit() and len(given) < 9 else None
