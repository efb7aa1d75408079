"""From a JSON-RPC request to its answer: envelope, authentication, method, error codes."""

from __future__ import annotations

from typing import Any

from nexus_bounty.mock import bulk, directories, locking, metadata, methods
from nexus_bounty.mock.call import Call, Handler
from nexus_bounty.mock.core import NexusCore
from nexus_bounty.mock.listing import list_files
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.mock.parameters import check_parameters
from nexus_bounty.mock.problems import Problem, Refusal, bad_params, unreadable
from nexus_bounty.mock.wire import Answer, detail, encode_json

METHODS: dict[str, Handler] = {
    "read": methods.read,
    "write": methods.write,
    "delete": methods.delete,
    "exists": methods.exists,
    "is_directory": directories.is_directory,
    "rename": methods.rename,
    "list": list_files,
    "mkdir": directories.mkdir,
    "rmdir": directories.rmdir,
    "get_metadata": metadata.get_metadata,
    "get_version": metadata.get_version,
    "list_versions": metadata.list_versions,
    "stat": metadata.stat,
    "get_etag": metadata.get_etag,
    "get_content_id": metadata.get_etag,
    "read_bulk": bulk.read_bulk,
    "read_batch": bulk.read_batch,
    "write_batch": bulk.write_batch,
    "exists_batch": bulk.exists_batch,
    "metadata_batch": bulk.metadata_batch,
    "stat_bulk": bulk.stat_bulk,
    "delete_batch": bulk.delete_batch,
    "delete_bulk": bulk.delete_batch,
    "rename_batch": bulk.rename_batch,
    "access": methods.exists,
    "sys_read": methods.read,
    "sys_write": methods.write,
    "sys_stat": metadata.get_metadata,
    "sys_readdir": list_files,
    "sys_unlink": methods.delete,
    "sys_rename": methods.rename,
    "lock_acquire": locking.lock_acquire,
    "sys_lock": locking.sys_lock,
    "sys_unlock": locking.sys_unlock,
}

INVALID_REQUEST = -32600


async def answer_rpc(core: NexusCore, request: ReceivedRequest) -> Answer:
    """Apply one delivery of a JSON-RPC request."""
    early = _refuse_early(core, request)
    if early is not None:
        return early
    try:
        result = await _call(core, request)
    except Refusal as refusal:
        return _refusal_answer(core, request, refusal)
    document = {"jsonrpc": "2.0", "id": request.rpc_id, "result": result}
    if request.rpc_id is None and core.personality.plain_http_server:
        del document["id"]
    return Answer(200, encode_json(document))


async def _call(core: NexusCore, request: ReceivedRequest) -> Any:
    method = request.method
    if method not in core.personality.methods:
        raise bad_params(f"Unknown method: {method}")
    check_parameters(core.personality, method, request.params)
    try:
        return await METHODS[method](Call(core, request))
    except ValueError as exc:
        raise bad_params(str(exc)) from exc
    except (TypeError, KeyError, AttributeError) as exc:
        # A parameter of the wrong type: real servers fail somewhere inside as well.
        raise Refusal(Problem.INTERNAL, str(exc)) from exc


def _refuse_early(core: NexusCore, request: ReceivedRequest) -> Answer | None:
    if not authorized(core, request):
        return unauthorized(core)
    if request.error is not None:
        return _refusal_answer(core, request, _decoding_error(core, request.error))
    if request.empty and core.personality.plain_http_server:
        return error_answer(INVALID_REQUEST, "Empty request body", omit_id=True)
    if request.named_method and request.named_method != request.method:
        message = f"Method mismatch: URL={request.method}, body={request.named_method}"
        return error_answer(INVALID_REQUEST, message, rpc_id=request.rpc_id)
    return None


def _decoding_error(core: NexusCore, error: Refusal) -> Refusal:
    """The oldest release calls everything unreadable that is no request."""
    return unreadable(error.message) if core.personality.plain_http_server else error


def authorized(core: NexusCore, request: ReceivedRequest) -> bool:
    """Whether the request carries the server's key, or the server runs open."""
    key = core.behaviour.api_key
    return key is None or request.header(b"authorization") == b"Bearer " + key.encode()


def unauthorized(core: NexusCore) -> Answer:
    """What a release answers to a bad key."""
    message = "Invalid or missing API key"
    if core.personality.unauthorized_status == 200:
        return error_answer(-32003, message, omit_id=True)
    return detail(core.personality.unauthorized_status, message)


def _refusal_answer(core: NexusCore, request: ReceivedRequest, refusal: Refusal) -> Answer:
    personality = core.personality
    code, message = _coded(core, refusal)
    data = refusal.data
    if refusal.problem is Problem.NOT_FOUND and personality.missing_data:
        data = {"path": message}
    readable = refusal.problem is not Problem.UNREADABLE
    rpc_id = request.rpc_id if personality.error_keeps_id and readable else None
    omit_id = rpc_id is None and personality.plain_http_server
    return error_answer(code, message, data, rpc_id=rpc_id, omit_id=omit_id)


def _coded(core: NexusCore, refusal: Refusal) -> tuple[int, str]:
    code, text = core.personality.errors[refusal.problem]
    message = refusal.message
    if refusal.problem is Problem.BAD_PATH:
        message = core.personality.words_bad_path(message)
    return code, text.format(message) if "{}" in text else text


def error_answer(
    code: int,
    message: str,
    data: dict[str, Any] | None = None,
    *,
    rpc_id: Any = None,
    omit_id: bool = False,
) -> Answer:
    """A JSON-RPC error, which travels with HTTP status 200."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    document: dict[str, Any] = {"jsonrpc": "2.0", "id": rpc_id, "error": error}
    if omit_id:
        del document["id"]
    return Answer(200, encode_json(document))
