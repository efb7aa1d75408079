"""From an HTTP request to what the mock works with: parsed once, numbered, on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.mock.problems import Problem, Refusal, unreadable
from nexus_bounty.mock.rest import RPC_PREFIX
from nexus_bounty.mock.wire import decode_json

_ENVELOPE = frozenset({"jsonrpc", "id", "method", "params"})


def parse_request(
    number: int,
    verb: str,
    target: str,
    query: str,
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes,
    at: float,
    *,
    bare_params: bool,
) -> ReceivedRequest:
    """Read a request; what cannot be read is kept as its `error`."""
    document, error = _document(body)
    if verb == "POST" and target.startswith(RPC_PREFIX):
        method, params = target[len(RPC_PREFIX) :], _rpc_params(document, bare=bare_params)
    else:
        method, params = f"{verb} {target}", document
    return ReceivedRequest(
        number=number,
        verb=verb,
        target=target,
        query=query,
        method=method,
        params=params,
        rpc_id=document.get("id"),
        headers=headers,
        at=at,
        error=error,
        empty=not body,
        named_method=document.get("method"),
    )


def _document(body: bytes) -> tuple[Mapping[str, Any], Refusal | None]:
    if not body:
        return {}, None
    try:
        document = decode_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        return {}, unreadable(str(exc))
    if not isinstance(document, dict):
        return {}, Refusal(
            Problem.INTERNAL, f"{type(document).__name__!r} object has no attribute 'get'"
        )
    return document, None


def _rpc_params(document: Mapping[str, Any], *, bare: bool) -> Mapping[str, Any]:
    params = document.get("params")
    if isinstance(params, dict):
        return params
    if not bare:
        return {}
    return {key: value for key, value in document.items() if key not in _ENVELOPE}
