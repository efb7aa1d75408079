"""Everything that is not JSON-RPC: health, status, files over REST, credits."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import parse_qs

from nexus_bounty.mock import pay
from nexus_bounty.mock.call import Call
from nexus_bounty.mock.core import NexusCore
from nexus_bounty.mock.dispatch import (
    INVALID_REQUEST,
    answer_rpc,
    authorized,
    error_answer,
    unauthorized,
)
from nexus_bounty.mock.files import FileEntry
from nexus_bounty.mock.methods import check_preconditions
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.mock.paths import normalise
from nexus_bounty.mock.personality import Preconditions
from nexus_bounty.mock.problems import Problem, Refusal
from nexus_bounty.mock.wire import Answer, detail, json_answer

RPC_PREFIX = "/api/nfs/"
_STATUS = {
    Problem.NOT_FOUND: 404,
    Problem.BAD_PATH: 400,
    Problem.CONFLICT: 409,
    Problem.EXISTS: 409,
}


async def answer(core: NexusCore, request: ReceivedRequest) -> Answer:
    """Apply one delivery of a request."""
    target = request.target
    if target.startswith(RPC_PREFIX) and target != RPC_PREFIX + "status":
        return await _answer_rpc(core, request)
    if target == "/health":
        return json_answer(200, core.personality.health)
    if target == RPC_PREFIX + "status":
        return json_answer(200, _status(core))
    if core.personality.pay and target.startswith(pay.PREFIX + "/"):
        return _answer_pay(core, request)
    if core.personality.rest and target in {"/api/v2/files/write", "/api/v2/files/read"}:
        return await _answer_files(core, request)
    return _no_route(core, request)


async def _answer_rpc(core: NexusCore, request: ReceivedRequest) -> Answer:
    if request.verb == "POST":
        limited = core.rate_limit.refusal(request.method)
        answer = limited or await answer_rpc(core, request)
        more = core.personality.headers
        return answer._replace(headers=(*answer.headers, *more)) if more else answer
    if core.personality.plain_http_server:
        return Answer(404, b"")
    return detail(405, "Method Not Allowed")


def _status(core: NexusCore) -> dict[str, Any]:
    return {
        "status": "running",
        "service": "nexus-rpc",
        "version": "1.0",
        "methods": sorted(core.personality.methods),
    }


def _no_route(core: NexusCore, request: ReceivedRequest) -> Answer:
    if not core.personality.plain_http_server:
        return detail(404, "Not Found")
    if request.verb == "POST":
        return error_answer(INVALID_REQUEST, "Invalid endpoint path", omit_id=True)
    return Answer(404, b"")


def _answer_pay(core: NexusCore, request: ReceivedRequest) -> Answer:
    if core.pay.needs_key and not authorized(core, request):
        return unauthorized(core)
    if not core.behaviour.pay:
        return detail(503, "Payment service not available (no record store)")
    route = request.target.removeprefix(pay.PREFIX)
    try:
        return core.pay.answer(request.verb, route, request.params, request.query)
    except ValueError as exc:  # a query parameter that is no number
        return detail(422, str(exc))


async def _answer_files(core: NexusCore, request: ReceivedRequest) -> Answer:
    if not authorized(core, request):
        return unauthorized(core)
    try:
        if request.target.endswith("/write"):
            return await _write(core, request)
        return _read(core, request)
    except Refusal as refusal:
        return detail(_STATUS.get(refusal.problem, 500), refusal.message)


async def _write(core: NexusCore, request: ReceivedRequest) -> Answer:
    if request.error is not None:
        return detail(422, [_not_json(request.error.message)])
    body = request.params
    missing = [pay.missing_field(name, body) for name in ("path", "content") if name not in body]
    if missing:
        return detail(422, missing)
    call, path = Call(core, request), normalise(body["path"])
    if core.personality.rest_preconditions:  # 0.9 never looks at them
        await _check(call, path)
    return json_answer(200, _written(core, core.write(request, path, _decoded(body))))


async def _check(call: Call, path: str) -> None:
    check_preconditions(call, path)
    _check_headers(call, path)
    if call.core.behaviour.preconditions is Preconditions.RACING:
        await call.core.pause()


def _check_headers(call: Call, path: str) -> None:
    entry = call.core.table.get(path)
    if call.request.header(b"if-none-match") == b"*" and entry is not None:
        raise Refusal(Problem.EXISTS, f"File already exists: {path}")
    expected = call.request.header(b"if-match")
    current = entry.etag if entry else "(file does not exist)"
    if expected is not None and expected.decode().strip('"') != current:
        raise Refusal(Problem.CONFLICT, f"Conflict detected: current is {current}: {path}")


def _decoded(body: Any) -> bytes:
    content = str(body["content"])
    if body.get("encoding") != "base64":
        return content.encode()
    try:
        return base64.b64decode(content)
    except (binascii.Error, ValueError) as exc:
        raise Refusal(Problem.INTERNAL, str(exc)) from exc


def _written(core: NexusCore, entry: FileEntry) -> dict[str, Any]:
    dated = core.personality.etag_key == "etag"  # 0.10 writes the word "None"
    return {
        core.personality.etag_key: entry.etag,
        "version": entry.version,
        "size": len(entry.content),
        "modified_at": entry.modified_at.isoformat() if dated else "None",
    }


def _read(core: NexusCore, request: ReceivedRequest) -> Answer:
    query = parse_qs(request.query)
    entry = core.table.require(normalise(query.get("path", [""])[0]))
    full = query.get("include_metadata", ["false"])[0] == "true"
    document = {
        "content": entry.content.decode(errors="replace"),
        core.personality.etag_key: entry.etag if full else None,
        "version": entry.version if full else None,
        "modified_at": entry.modified_at.isoformat() if full else None,
        "size": len(entry.content) if full else None,
    }
    return json_answer(200, document)


def _not_json(error: str) -> dict[str, Any]:
    return {
        "type": "json_invalid",
        "loc": ["body", 0],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": error},
    }
