"""The mock answers what real servers answer; `tests/contract` holds it against recordings."""

from __future__ import annotations

import hashlib
from typing import Any

import blake3
import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus
from nexus_bounty.mock.dispatch import METHODS
from nexus_bounty.mock.wire import pack_bytes
from tests.support.rpc import talking_to
from tests.support.sampling import every_nth

HELLO_SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
HELLO_BLAKE3 = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"

Params = dict[str, Any]


WRITES: dict[str, Any] = {
    "0.5.6": {"etag": HELLO_SHA256, "version": 1, "modified_at": "<time>", "size": 5},
    "0.7.0": {
        "bytes_written": {
            "etag": HELLO_BLAKE3,
            "version": 1,
            "modified_at": "<time>",
            "size": 5,
        }
    },
    "0.9": {
        "bytes_written": 5,
        "etag": HELLO_BLAKE3,
        "version": 1,
        "modified_at": "<time>",
        "size": 5,
    },
    "0.10": {
        "bytes_written": 5,
        "content_id": "a",
        "version": 1,
        "gen": 1,
        "modified_at": None,
        "size": 5,
    },
}
WRITES["0.9.20-without-kernel"] = WRITES["0.9.26"] = WRITES["0.9"]
WRITES["0.10-hypothetical"] = WRITES["0.10"] | {"content_id": HELLO_BLAKE3}


def without_times(document: Any) -> Any:
    """The document with every typed date replaced."""
    if not isinstance(document, dict):
        return document
    if document.get("__type__") == "datetime":
        return "<time>"
    return {key: without_times(value) for key, value in document.items()}


@pytest.mark.parametrize("release", PERSONALITIES)
async def test_a_write_is_acknowledged_in_the_shape_of_the_release(release: str) -> None:
    """The four shapes of a plain write's result."""
    async with talking_to(MockNexus(release)) as rpc:
        written = await rpc("write", path="/a", content="hello")
    assert without_times(written) == {"jsonrpc": "2.0", "id": 7, "result": WRITES[release]}


def test_etags_are_the_hashes_that_real_servers_computed() -> None:
    """The literals above are what the two algorithms give."""
    assert hashlib.sha256(b"hello").hexdigest() == HELLO_SHA256
    assert blake3.blake3(b"hello").hexdigest() == HELLO_BLAKE3


NEWEST: list[tuple[str, Params, Any]] = [
    ("read", {"path": "/a"}, {"result": pack_bytes(b"hello")}),
    ("read", {"path": "/no"}, {"error": {"code": -32007, "message": "File not found: /no"}}),
    (
        "write",
        {"path": "/a/../b", "content": "x"},
        {
            "error": {
                "code": -32004,
                "message": "Invalid path: Path contains parent directory reference (..)",
            }
        },
    ),
    (
        "write",
        {"path": "/a", "content": "x", "if_none_match": True},
        {"error": {"code": -32603, "message": "Internal server error"}},
    ),
    (
        "write",
        {"path": "/a", "content": "x", "if_match": "bad"},
        {
            "error": {
                "code": -32006,
                "message": "Conflict detected - file was modified by another agent. "
                "Expected content_id 'bad...', "
                "but current content_id is 'a...': /a",
                "data": {
                    "path": "/a",
                    "expected_content_id": "bad",
                    "current_content_id": "a",
                },
            }
        },
    ),
    ("write", {"content": "x"}, {"error": {"code": -32603, "message": "Internal server error"}}),
    ("read", {"path": "/a", "unknown": 1}, {"result": pack_bytes(b"hello")}),
    (
        "read_bulk",
        {"paths": ["/a"], "unknown": 1},
        {"result": {"/a": pack_bytes(b"hello")}},
    ),
    ("sys_stat", {"path": "/no"}, {"result": None}),
    ("exists", {"path": "/a"}, {"result": {"exists": True}}),
    (
        "read_batch",
        {"paths": ["/no"], "partial": True},
        {"result": [{"path": "/no", "error": "not_found"}]},
    ),
    (
        "read_batch",
        {"paths": ["/no"]},
        {"error": {"code": -32007, "message": "File not found: /no"}},
    ),
    ("exists_batch", {"paths": ["/a", "/no"]}, {"result": {"/a": True, "/no": False}}),
    ("list", {"path": "/"}, {"result": {"files": ["/a"], "has_more": False, "next_cursor": None}}),
    (
        "list",
        {"path": "/", "limit": 1},
        {"result": {"files": ["/a"], "next_cursor": None, "has_more": False, "total_count": 1}},
    ),
    ("mkdir", {"path": "/d"}, {"result": {"created": True}}),
    ("rename", {"old_path": "/a", "new_path": "/b"}, {"result": {"renamed": True}}),
    ("read", {"path": "/b"}, {"result": pack_bytes(b"hello")}),
    ("sys_unlock", {"path": "/b", "lock_id": "x"}, {"result": {"released": True}}),
    ("delete", {"path": "/b", "if_match": "ignored"}, {"result": {"deleted": True}}),
]


async def test_the_newest_release_answers_as_was_measured() -> None:
    """What its recordings have, and what follows from its source where they have nothing."""
    async with talking_to(MockNexus("0.10")) as rpc:
        await rpc("write", path="/a", content="hello")
        for method, params, expected in NEWEST:
            rpc_id = 7 if "result" in expected else None
            answer = await rpc(method, **params)
            assert answer == {"jsonrpc": "2.0", "id": rpc_id, **expected}, (method, params)


RAW: dict[str, list[tuple[bytes, Any]]] = {
    "0.5.6": [
        (
            b"[]",
            {
                "jsonrpc": "2.0",
                "error": {
                    "code": -32700,
                    "message": "Failed to parse request: 'list' object has no attribute 'get'",
                },
            },
        ),
        (b"", {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Empty request body"}}),
        (b'{"params":{"path":"/a"}}', {"jsonrpc": "2.0", "result": pack_bytes(b"hello")}),
        (
            b'{"id":3,"method":"write","params":{}}',
            {
                "jsonrpc": "2.0",
                "id": 3,
                "error": {"code": -32600, "message": "Method mismatch: URL=read, body=write"},
            },
        ),
    ],
    "0.7.0": [
        (
            b'{"path":"/a"}',
            {
                "jsonrpc": "2.0",
                "id": None,
                "error": {
                    "code": -32602,
                    "message": "Invalid parameters: Invalid parameters for read: "
                    "ReadParams.__init__() missing 1 required positional argument: 'path'",
                },
            },
        ),
        (
            b"[]",
            {
                "jsonrpc": "2.0",
                "id": None,
                "error": {
                    "code": -32603,
                    "message": "Internal error: 'list' object has no attribute 'get'",
                },
            },
        ),
        (
            b'{"id":3,"method":"write","params":{}}',
            {
                "jsonrpc": "2.0",
                "id": 3,
                "error": {"code": -32600, "message": "Method mismatch: URL=read, body=write"},
            },
        ),
    ],
    "0.9": [
        (b'{"path":"/a"}', {"jsonrpc": "2.0", "id": None, "result": pack_bytes(b"hello")}),
        (
            b"",
            {
                "jsonrpc": "2.0",
                "id": None,
                "error": {"code": -32603, "message": "Internal server error"},
            },
        ),
    ],
}


@pytest.mark.parametrize("release", RAW)
async def test_odd_envelopes_get_the_answers_of_the_release(release: str) -> None:
    """Empty bodies, bare parameters, lists, and a method that is not the one in the URL."""
    async with talking_to(MockNexus(release)) as rpc:
        await rpc("write", path="/a", content="hello")
        for body, expected in RAW[release]:
            response = await rpc.client.post("/api/nfs/read", content=body)
            assert (response.status_code, response.json()) == (200, expected), body


@pytest.mark.parametrize("release", PERSONALITIES)
async def test_broken_json_is_refused_within_http_200(release: str) -> None:
    """Every release answers a JSON-RPC error, each with its code for what it cannot read."""
    async with talking_to(MockNexus(release)) as rpc:
        response = await rpc.client.post("/api/nfs/read", content=b"nonsense")
    code = -32700 if release == "0.5.6" else -32602
    assert (response.status_code, response.json()["error"]["code"]) == (200, code)


@pytest.mark.parametrize("release", ["0.7.0", "0.9", "0.10"])
async def test_a_bad_key_is_http_401_with_a_detail(release: str) -> None:
    """On FastAPI releases; health stays open to everyone."""
    async with talking_to(MockNexus(release, api_key="sk")) as rpc:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sk"}):
            response = await rpc.client.post("/api/nfs/read", headers=headers)
            assert response.status_code == 401
            assert response.json() == {"detail": "Invalid or missing API key"}
        assert (await rpc.client.get("/health")).status_code == 200
        rpc.client.headers["Authorization"] = "Bearer sk"
        assert "result" in await rpc("exists", path="/a")


async def test_a_bad_key_on_the_oldest_release_is_a_json_rpc_error() -> None:
    """0.5.6 knows no HTTP 401 on its RPC route."""
    async with talking_to(MockNexus("0.5.6", api_key="sk")) as rpc:
        answer = await rpc("read", path="/a")
    error = {"code": -32003, "message": "Invalid or missing API key"}
    assert answer == {"jsonrpc": "2.0", "error": error}


async def test_unknown_routes_and_verbs_are_refused_as_the_http_stack_does() -> None:
    """FastAPI explains itself, http.server does not."""
    async with talking_to(MockNexus("0.9")) as rpc:
        assert (await rpc.client.get("/nothing")).json() == {"detail": "Not Found"}
        wrong_verb = await rpc.client.get("/api/nfs/read")
        assert (wrong_verb.status_code, wrong_verb.json()) == (
            405,
            {"detail": "Method Not Allowed"},
        )
    async with talking_to(MockNexus("0.5.6")) as rpc:
        assert (await rpc.client.get("/nothing")).status_code == 404
        posted = await rpc.client.post("/nothing")
        error = {"code": -32600, "message": "Invalid endpoint path"}
        assert posted.json() == {"jsonrpc": "2.0", "error": error}


NAMES = ("path", "content", "old_path", "new_path", "paths", "files", "renames", "limit", "ttl")


@pytest.mark.parametrize("release", PERSONALITIES)
@pytest.mark.parametrize("value", every_nth(3, [None, 5, [], [5], {}, "x"]), ids=repr)
async def test_parameters_of_the_wrong_type_never_crash_the_mock(release: str, value: Any) -> None:
    """Whatever a client sends, it gets a JSON-RPC result or error."""
    mock = MockNexus(release, rename_delay=0)
    async with talking_to(mock) as rpc:
        for method in METHODS:
            answer = await rpc(method, **dict.fromkeys(NAMES, value))
            assert ("error" in answer) != ("result" in answer), method
            for name in NAMES:
                answer = await rpc(method, **{"path": "/a", name: value})
                assert ("error" in answer) != ("result" in answer), (method, name)


@pytest.mark.parametrize("release", PERSONALITIES)
async def test_health_and_status_answer_without_files(release: str) -> None:
    """What a probe reads first."""
    async with talking_to(MockNexus(release)) as rpc:
        health = (await rpc.client.get("/health")).json()
        status = (await rpc.client.get("/api/nfs/status")).json()
    assert (health["status"], health["service"]) == ("healthy", "nexus-rpc")
    assert "write" in status["methods"]


async def test_the_rest_write_of_0_9_ignores_preconditions() -> None:
    """The request says not to overwrite, and it overwrites."""
    mock = MockNexus("0.9")
    async with talking_to(mock) as rpc:
        extras: list[Params] = [{}, {"if_match": "bad"}, {"if_none_match": True}]
        for number, extra in enumerate(extras, 1):
            body = {"path": "/r", "content": f"v{number}", **extra}
            response = await rpc.client.post("/api/v2/files/write", json=body)
            assert response.status_code == 200
            assert response.json()["version"] == number
            assert set(response.json()) == {"etag", "version", "size", "modified_at"}
        read = await rpc.client.get("/api/v2/files/read", params={"path": "/r"})
        unasked = {"etag": None, "version": None, "modified_at": None, "size": None}
        assert read.json() == {"content": "v3", **unasked}
    assert mock.read_file("/r") == b"v3"


async def test_the_rest_write_of_0_10_honours_preconditions_in_body_and_headers() -> None:
    """HTTP 409 says that the file is not what the client thinks."""
    mock = MockNexus("0.10")
    async with talking_to(mock) as rpc:

        async def write(headers: dict[str, str] | None = None, **body: Any) -> int:
            document = {"path": "/r", "content": "x", **body}
            url = "/api/v2/files/write"
            return (await rpc.client.post(url, json=document, headers=headers)).status_code

        assert await write(if_none_match=True) == 200
        assert await write(if_none_match=True) == 409
        assert await write({"If-None-Match": "*"}) == 409
        assert await write(if_match="bad") == 409
        assert await write({"If-Match": '"bad"'}) == 409
        assert await write(if_match=await rpc.etag("/r")) == 200
    assert len(mock.history("/r")) == 2


async def test_rest_writes_refuse_bad_bodies_as_fastapi_does() -> None:
    """422 names what is missing, 400 a bad path."""
    async with talking_to(MockNexus("0.9")) as rpc:
        url = "/api/v2/files/write"
        missing = await rpc.client.post(url, json={"content": "two"})
        bad_path = await rpc.client.post(url, json={"path": "/a/../b", "content": "x"})
        not_json = await rpc.client.post(url, content=b"nonsense")
    problem = {"type": "missing", "loc": ["body", "path"], "msg": "Field required"}
    assert missing.status_code == 422
    assert missing.json() == {"detail": [problem | {"input": {"content": "two"}}]}
    assert bad_path.status_code == 400
    assert bad_path.json() == {"detail": "Path contains '..' segments: /a/../b"}
    assert not_json.json()["detail"][0]["type"] == "json_invalid"
