"""Routes under `/_mock` of a served mock: the oracle for clients in other processes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nexus_bounty.mock.wire import encode_json, pack_bytes

if TYPE_CHECKING:
    from nexus_bounty.mock.nexus import MockNexus
    from nexus_bounty.mock.oracle import Applied


@lru_cache(maxsize=8)
def control_app(mock: MockNexus) -> Starlette:
    """The app that shows and steers one mock; its requests are not recorded."""

    async def log(_request: Request) -> Response:
        return _json([_change(change) for change in mock.log])

    async def requests(_request: Request) -> Response:
        return _json([str(request) for request in mock.requests])

    async def settle(_request: Request) -> Response:
        await mock.settle()
        return _json({"applied": len(mock.log)})

    async def reset(_request: Request) -> Response:
        mock.reset_counts()
        return _json({"request_count": mock.request_count})

    return Starlette(
        routes=[
            Route("/_mock/log", log),
            Route("/_mock/requests", requests),
            Route("/_mock/settle", settle, methods=["POST"]),
            Route("/_mock/reset", reset, methods=["POST"]),
        ]
    )


def _json(document: object) -> Response:
    return Response(encode_json(document), media_type="application/json")


def _change(change: Applied) -> dict[str, object]:
    return {
        "index": change.index,
        "request_number": change.request_number,
        "method": change.method,
        "path": change.path,
        "content": None if change.content is None else pack_bytes(change.content),
        "etag_before": change.etag_before,
        "etag_after": change.etag_after,
        "version": change.version,
    }
