"""The JSON that travels: typed bytes and dates, envelopes, HTTP answers."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from nexus_bounty.mock.problems import Problem, Refusal, unreadable

JSON = b"application/json"
encode_json = msgspec.json.Encoder().encode
decode_json = msgspec.json.Decoder().decode


class Answer(NamedTuple):
    """One HTTP response."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_answer(status: int, document: Any) -> Answer:
    """An answer whose body is JSON."""
    return Answer(status, encode_json(document))


def detail(status: int, message: Any) -> Answer:
    """The `{"detail": …}` answer of FastAPI."""
    return json_answer(status, {"detail": message})


def pack_bytes(content: bytes) -> dict[str, str]:
    """Bytes as they travel in JSON."""
    return {"__type__": "bytes", "data": base64.b64encode(content).decode("ascii")}


def pack_time(moment: datetime | None) -> dict[str, str] | None:
    """A date as it travels in JSON; None stays None."""
    return None if moment is None else {"__type__": "datetime", "data": moment.isoformat()}


def unpack_content(value: Any) -> bytes:
    """Bytes from what a client sent as content: typed bytes, or a string taken verbatim.

    Raises:
        Refusal: UNREADABLE for broken base64, INTERNAL for anything that is not content.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.get("__type__") == "bytes":
        return _from_base64(value.get("data"))
    raise Refusal(Problem.INTERNAL, f"argument 'content': {type(value).__name__!r} is not bytes")


def _from_base64(data: Any) -> bytes:
    try:
        return base64.b64decode(data)
    except (binascii.Error, TypeError, ValueError) as exc:
        raise unreadable(str(exc)) from exc
