"""Byte for byte: what the client sends, and what real servers answered.

Answers of 0.5.6, 0.7.0 and 0.9.18 were recorded from released servers; those of 0.10.1 are
written from its public source.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx

from nexus_bounty.nexus.client import File, NexusClient, wire
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from tests.support.clients import answer_to, quick

URL = "http://127.0.0.1:2026"
Call = Callable[[NexusClient], Awaitable[object]]

SHA_X = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
BLAKE_HELLO = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f"
BLAKE_HELLO2 = "f4c19ae33759e13cb88f9ab17418a3ba357d886ef850fc29cc982891dfe7b998"
BLAKE_FORCED = "1122dfd27a44e72bc431bd57997854d700f7b5d320f7aa1cfce76102f5fb9ede"

TYPED_BYTES = '{"__type__":"bytes","data":"aGVsbG8y"}'

REQUESTS: dict[str, tuple[Call, str, str]] = {
    "read": (
        lambda client: client.read("/z/a"),
        "read",
        '{"path":"/z/a","return_metadata":true}',
    ),
    "write": (
        lambda client: client.write("/z/a", b"hello2"),
        "write",
        f'{{"path":"/z/a","content":{TYPED_BYTES}}}',
    ),
    "create": (
        lambda client: client.write("/z/a", b"hello2", if_none_match=True),
        "write",
        f'{{"path":"/z/a","content":{TYPED_BYTES},"if_none_match":true}}',
    ),
    "update": (
        lambda client: client.write("/z/a", b"hello2", if_match=BLAKE_HELLO),
        "write",
        f'{{"path":"/z/a","content":{TYPED_BYTES},"if_match":"{BLAKE_HELLO}"}}',
    ),
    "idempotent write": (
        lambda client: client.write("/z/ä", b"", idempotent=True),
        "write",
        '{"path":"/z/ä","content":{"__type__":"bytes","data":""}}',
    ),
    "delete": (lambda client: client.delete("/z/a"), "delete", '{"path":"/z/a"}'),
    "exists": (lambda client: client.exists("/z/a"), "exists", '{"path":"/z/a"}'),
    "rename": (
        lambda client: client.rename("/z/a", "/z/b"),
        "rename",
        '{"old_path":"/z/a","new_path":"/z/b"}',
    ),
    "list": (
        lambda client: client.list("/z"),
        "list",
        '{"path":"/z","recursive":false,"limit":1000}',
    ),
    "read_many": (
        lambda client: client.read_many(["/z/a", "/z/b"]),
        "read_bulk",
        '{"paths":["/z/a","/z/b"],"return_metadata":true,"skip_errors":true}',
    ),
    "exist": (
        lambda client: client.exist(["/z/a", "/z/b"]),
        "exists_batch",
        '{"paths":["/z/a","/z/b"]}',
    ),
}


def client() -> NexusClient:
    # certificates are not read, which takes longer than all the rest
    transport = httpx.AsyncHTTPTransport(verify=False)
    settings = quick(retry_attempts=1)
    return NexusClient(URL, api_key="sk-test", settings=settings, transport=transport)


def answer_with(router: respx.MockRouter, *bodies: str) -> respx.Route:
    """Real servers answer JSON with HTTP 200, errors too."""
    headers = {"content-type": "application/json"}
    left = list(bodies)

    def answer(request: httpx.Request) -> httpx.Response:
        body = answer_to(request.content, left.pop(0).encode())
        return httpx.Response(200, headers=headers, content=body)

    route = router.post(url__startswith=f"{URL}/api/nfs/")
    route.side_effect = answer
    return route


def error(code: int, message: str, *, rpc_id: str = "null", data: str = "") -> str:
    more = f',"data":{data}' if data else ""
    return (
        f'{{"jsonrpc":"2.0","id":{rpc_id},"error":{{"code":{code},"message":"{message}"{more}}}}}'
    )


def result(value: str) -> str:
    return f'{{"jsonrpc":"2.0","id":7,"result":{value}}}'


@pytest.mark.parametrize(("call", "method", "params"), REQUESTS.values(), ids=REQUESTS)
async def test_a_call_sends_exactly_this(
    respx_mock: respx.MockRouter, call: Call, method: str, params: str
) -> None:
    """One POST to the method's route: key, content type and JSON-RPC body to the byte."""
    refusal = error(-32002, "Path contains '..' segments: /z/a")
    route = answer_with(respx_mock, refusal)
    with pytest.raises(NexusError):
        await call(client())
    [(sent, _)] = route.calls
    assert (sent.method, str(sent.url)) == ("POST", f"{URL}/api/nfs/{method}")
    assert sent.headers["authorization"] == "Bearer sk-test"
    assert sent.headers["content-type"] == "application/json"
    body = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}'
    assert sent.content.decode() == body


async def test_requests_are_numbered_and_without_a_key_carry_none(
    respx_mock: respx.MockRouter,
) -> None:
    """Ids count up in each client."""
    route = answer_with(respx_mock, *[result('{"exists":false}')] * 3)
    async with NexusClient(URL, settings=quick(transport="httpx")) as open_client:
        for _ in range(3):
            assert await open_client.exists("/a") is False
    assert [json.loads(sent.content)["id"] for sent, _ in route.calls] == [1, 2, 3]
    assert not [sent for sent, _ in route.calls if "authorization" in sent.headers]


WRITES = {
    "0.5.6": (
        (
            f'{{"etag":"{SHA_X}","version":1,"modified_at":'
            '{"__type__":"datetime","data":"2026-11-23T10:56:02.689918+00:00"},"size":1}'
        ),
        SHA_X,
    ),
    "0.7.0": (
        (
            f'{{"bytes_written":{{"etag":"{BLAKE_HELLO2}","version":2,"modified_at":'
            '{"__type__":"datetime","data":"2026-11-23T10:49:05.644849+00:00"},"size":6}}'
        ),
        BLAKE_HELLO2,
    ),
    "0.9.18": (
        (
            f'{{"bytes_written":6,"etag":"{BLAKE_HELLO2}","version":2,"modified_at":'
            '{"__type__":"datetime","data":"2026-11-23T10:49:07.996196+00:00"},"size":6}'
        ),
        BLAKE_HELLO2,
    ),
    "0.9.18 with a precondition": ('{"bytes_written":4}', None),
    "0.10.1": (
        (
            f'{{"bytes_written":6,"content_id":"{BLAKE_HELLO2}","version":2,"gen":2,'
            '"modified_at":null,"size":6}'
        ),
        BLAKE_HELLO2,
    ),
}


@pytest.mark.parametrize(("answer", "etag"), WRITES.values(), ids=WRITES)
async def test_the_etag_of_a_write_is_found_wherever_a_release_puts_it(
    respx_mock: respx.MockRouter, answer: str, etag: str | None
) -> None:
    """Flat, nested, by another name, or nowhere."""
    answer_with(respx_mock, result(answer))
    assert await client().write("/z/a", b"hello2") == etag


READS = {
    "0.5.6": (
        (
            '{"content":{"__type__":"bytes","data":"eA=="},'
            f'"etag":"{SHA_X}","version":1,"modified_at":'
            '{"__type__":"datetime","data":"2026-11-23T10:56:02.689918"},"size":1}'
        ),
        File("/z/a", b"x", SHA_X),
    ),
    "0.7.0": (
        (
            f'{{"content":{TYPED_BYTES},"etag":"{BLAKE_HELLO2}","version":2,"modified_at":'
            '{"__type__":"datetime","data":"2026-11-23T10:49:05.659467+00:00"},"size":6}'
        ),
        File("/z/a", b"hello2", BLAKE_HELLO2),
    ),
    "0.9.18": (
        (
            f'{{"content":{TYPED_BYTES},"etag":"{BLAKE_HELLO2}","version":2,'
            '"modified_at":"2026-11-23T10:49:07.996196+00:00","size":6}'
        ),
        File("/z/a", b"hello2", BLAKE_HELLO2),
    ),
    "0.10.1": (
        (
            f'{{"content":{TYPED_BYTES},"content_id":"{BLAKE_HELLO2}","version":2,"gen":2,'
            '"modified_at":"2026-11-23T10:49:07.996196+00:00","size":6}'
        ),
        File("/z/a", b"hello2", BLAKE_HELLO2),
    ),
}


@pytest.mark.parametrize(("answer", "file"), READS.values(), ids=READS)
async def test_a_read_gives_bytes_and_etag_on_every_release(
    respx_mock: respx.MockRouter, answer: str, file: File
) -> None:
    """Dates in three forms and the etag under two names."""
    answer_with(respx_mock, result(answer))
    assert await client().read("/z/a") == file


MISSING = {
    "0.5.6": error(
        -32000, "File not found: $Z/n", rpc_id="7", data='{"path":"File not found: $Z/n"}'
    ),
    "0.7.0 and 0.9.18": error(-32000, "File not found: $Z/none"),
    "0.10.1": error(-32007, "File not found: /z/none"),
}


@pytest.mark.parametrize("answer", MISSING.values(), ids=MISSING)
async def test_a_missing_file_is_known_on_every_release(
    respx_mock: respx.MockRouter, answer: str
) -> None:
    """Read and deleted alike."""
    answer_with(respx_mock, answer, answer)
    assert await client().read("/z/none") is None
    assert await client().delete("/z/none") is False


CONFLICTS = {
    "an update on 0.7.0 and 0.9.18": (
        error(
            -32006,
            "Conflict detected - file was modified by another agent. Expected etag 'bad...', "
            "but current etag is 'f4c19ae33759e13c...': $Z/a",
            data=f'{{"path":"$Z/a","expected_etag":"bad","current_etag":"{BLAKE_HELLO2}"}}',
        ),
        Reason.CONFLICT,
    ),
    "an update on 0.10.1": (
        error(
            -32006,
            "Conflict detected",
            data=f'{{"expected_content_id":"bad","current_content_id":"{BLAKE_HELLO2}"}}',
        ),
        Reason.CONFLICT,
    ),
    "a create on 0.5.6": (
        error(-32001, "File already exists: $Z/a", rpc_id="7"),
        Reason.EXISTS,
    ),
    "a create on 0.7.0": (
        error(-32603, "Internal error: File already exists: $Z/a"),
        Reason.SERVER_ERROR,
    ),
    "a create on 0.9.18 and 0.10.1": (error(-32603, "Internal server error"), Reason.SERVER_ERROR),
    "a racing create on 0.5.6": (
        error(
            -32603,
            "Nexus error: Failed to store metadata: (sqlite3.IntegrityError) "
            "UNIQUE constraint failed: file_paths.virtual_path",
        ),
        Reason.SERVER_ERROR,
    ),
}


@pytest.mark.parametrize(("answer", "reason"), CONFLICTS.values(), ids=CONFLICTS)
async def test_a_precondition_that_failed_proves_nothing_on_any_release(
    respx_mock: respx.MockRouter, answer: str, reason: Reason
) -> None:
    """It may be the echo of our own success; and it is sent once."""
    route = answer_with(respx_mock, answer)
    with pytest.raises(NexusError) as caught:
        await client().write("/z/a", b"x", if_match="bad")
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is reason
    assert route.call_count == 1


@pytest.mark.parametrize("code", [-32002, -32004])
async def test_a_bad_path_is_refused_on_every_release(
    respx_mock: respx.MockRouter, code: int
) -> None:
    """Under both of its numbers."""
    answer_with(respx_mock, error(code, "Path contains '..' segments: $Z/../x"))
    with pytest.raises(NexusError) as caught:
        await client().write("/z/../x", b"")
    assert caught.value.disposition is Disposition.REFUSED


@pytest.mark.parametrize("done", ['{"success":true}', '{"deleted":true}'])
async def test_a_delete_is_acknowledged_in_the_words_of_every_release(
    respx_mock: respx.MockRouter, done: str
) -> None:
    """0.5.6 has its own."""
    answer_with(respx_mock, result(done))
    assert await client().delete("/z/a") is True


@pytest.mark.parametrize("done", ['{"success":true}', '{"renamed":true}'])
async def test_a_rename_is_acknowledged_in_the_words_of_every_release(
    respx_mock: respx.MockRouter, done: str
) -> None:
    """0.5.6 has its own."""
    answer_with(respx_mock, result(done))
    await client().rename("/z/a", "/z/b")


async def test_a_listing_of_0_5_6_is_asked_for_again_without_a_limit(
    respx_mock: respx.MockRouter,
) -> None:
    """In the words in which that release refused it; details tell its directories from files."""
    refused = error(
        -32602,
        "Invalid parameters: Invalid parameters for list: "
        "ListParams.__init__() got an unexpected keyword argument 'limit'",
        rpc_id="7",
    )
    file, *_ = DETAILS["0.5.6"]
    directory = '{"path":"/z/d","size":0,"modified_at":null,"etag":null,"is_directory":true}'
    route = answer_with(respx_mock, refused, result(f'{{"files":[{file},{directory}]}}'))
    assert await client().list("/z") == ["/z/c"]
    assert _params(route) == [
        {"path": "/z", "recursive": False, "limit": 1000},
        {"path": "/z", "recursive": False, "details": True},
    ]


async def test_a_listing_of_0_7_0_is_not_followed_by_its_cursor(
    respx_mock: respx.MockRouter,
) -> None:
    """0.9.18 has the same opaque cursors, and loses what was written late."""
    cursor = "eyJwIjoiL3pvbmVzL204MDFjMjkvZCIsImkiOm51bGwsImgiOiJiYWY2MTVhNWY3MWQ5YWZiIn0="
    page = (
        f'{{"files":["/z/b","/z/d"],"next_cursor":"{cursor}","has_more":true,"total_count":null}}'
    )
    whole = '{"files":[{"path":"/z/a"},{"path":"/z/b"},{"path":"/z/d"}],"has_more":false}'
    route = answer_with(respx_mock, result(page), result(whole))
    assert await client().list("/z") == ["/z/a", "/z/b", "/z/d"]
    asked = {"path": "/z", "recursive": False}
    assert _params(route) == [{**asked, "limit": 1000}, {**asked, "details": True}]


async def test_a_listing_of_0_10_1_is_followed_by_its_cursor(respx_mock: respx.MockRouter) -> None:
    """The last path of a page: what comes after it is on the next."""
    first = '{"files":["/z/a","/z/d"],"next_cursor":"/z/d","has_more":true,"total_count":null}'
    second = '{"files":["/z/e"],"next_cursor":null,"has_more":false,"total_count":null}'
    route = answer_with(respx_mock, result(first), result(second))
    assert await client().list("/z") == ["/z/a", "/z/d", "/z/e"]
    asked = {"path": "/z", "recursive": False, "limit": 1000}
    assert _params(route) == [asked, {**asked, "cursor": "/z/d"}]


def _params(route: respx.Route) -> list[Any]:
    return [json.loads(sent.content)["params"] for sent, _ in route.calls]


DETAILS = {
    "0.5.6": (
        (
            f'{{"path":"/z/c","size":1,"modified_at":{{"__type__":"datetime",'
            '"data":"2026-11-23T10:56:01.801922"},"created_at":{"__type__":"datetime",'
            f'"data":"2026-11-23T10:56:01.801922"}},"etag":"{SHA_X}","mime_type":null,'
            '"is_directory":false}'
        ),
        SHA_X,
        datetime(2026, 11, 23, 10, 56, 1, 801922, tzinfo=UTC),
    ),
    "0.7.0 and 0.9.18": (
        (
            f'{{"path":"/z/c","size":6,"modified_at":{{"__type__":"datetime",'
            f'"data":"2026-11-23T10:49:05.843256+00:00"}},"etag":"{BLAKE_FORCED}",'
            '"mime_type":null,"is_directory":false}'
        ),
        BLAKE_FORCED,
        datetime(2026, 11, 23, 10, 49, 5, 843256, tzinfo=UTC),
    ),
    "0.10.1": (
        (
            f'{{"path":"/z/c","size":6,"content_id":"{BLAKE_FORCED}","mime_type":null,'
            '"modified_at":"2026-11-23T10:49:05.843256+00:00","version":3,"zone_id":"root",'
            '"entry_type":0}'
        ),
        BLAKE_FORCED,
        datetime(2026, 11, 23, 10, 49, 5, 843256, tzinfo=UTC),
    ),
}


@pytest.mark.parametrize(("entry", "etag", "modified"), DETAILS.values(), ids=DETAILS)
async def test_a_detailed_listing_is_understood_on_every_release(
    respx_mock: respx.MockRouter, entry: str, etag: str, modified: datetime
) -> None:
    """A date without a time zone is in UTC; directories are passed over."""
    directory = '{"path":"/z/d","size":0,"modified_at":null,"etag":null,"is_directory":true}'
    files = f'{{"files":[{directory},{entry}],"has_more":false,"next_cursor":null}}'
    route = answer_with(respx_mock, result(files))
    [found] = [each async for each in client().walk("/z", details=True)]
    assert (found.path, found.etag or found.content_id, found.modified) == ("/z/c", etag, modified)
    assert _params(route)[0]["details"] is True


async def test_an_entry_without_details_has_only_its_path(respx_mock: respx.MockRouter) -> None:
    """And no date is made up."""
    answer_with(respx_mock, result('{"files":["/z/a"],"has_more":false,"next_cursor":null}'))
    [entry] = [each async for each in client().walk("/z")]
    assert entry == wire.ListedFile(path="/z/a")
    assert entry.modified is None


async def test_a_bulk_read_of_0_7_0_is_understood(respx_mock: respx.MockRouter) -> None:
    """A map in no order, null for what is missing; its dates have no time zone."""
    bulk = (
        '{"/z/none":null,"/z/a":{"content":{"__type__":"bytes","data":"Zm9yY2Vk"},'
        f'"etag":"{BLAKE_FORCED}","version":4,"modified_at":{{"__type__":"datetime",'
        '"data":"2026-11-23T10:49:05.843256"},"size":6}}'
    )
    route = answer_with(respx_mock, result(bulk))
    files = await client().read_many(["/z/a", "/z/none"])
    assert files == [File("/z/a", b"forced", BLAKE_FORCED), None]
    assert route.call_count == 1


async def test_a_bulk_read_that_0_5_6_does_not_know_is_done_singly(
    respx_mock: respx.MockRouter,
) -> None:
    """In the words in which that release refused it."""
    unknown = error(-32602, "Invalid parameters: Unknown method: read_bulk", rpc_id="7")
    single = result(READS["0.5.6"][0])
    route = answer_with(respx_mock, unknown, single, single)
    files = await client().read_many(["/z/a", "/z/b"])
    assert [file and file.content for file in files] == [b"x", b"x"]
    urls = [str(sent.url).rpartition("/")[2] for sent, _ in route.calls]
    assert urls == ["read_bulk", "read", "read"]


async def test_a_bulk_read_of_0_9_that_finds_nothing_is_not_believed(
    respx_mock: respx.MockRouter,
) -> None:
    """That release answers null for files that are there."""
    single = result(READS["0.9.18"][0])
    there = result('{"/z/a":true,"/z/b":true}')
    answer_with(respx_mock, result('{"/z/a":null,"/z/b":null}'), there, single, single)
    files = await client().read_many(["/z/a", "/z/b"])
    assert [file and file.content for file in files] == [b"hello2", b"hello2"]


async def test_a_bulk_check_is_understood(respx_mock: respx.MockRouter) -> None:
    """A map, as 0.7.0 and later answer it."""
    answer_with(respx_mock, result('{"/z/a":true,"/z/none":false}'))
    assert await client().exist(["/z/none", "/z/a"]) == [False, True]


async def test_a_wrong_key_is_refused_in_both_ways(respx_mock: respx.MockRouter) -> None:
    """HTTP 401 with a detail, and -32003 without an id."""
    route = respx_mock.post(f"{URL}/api/nfs/write")
    route.side_effect = [
        httpx.Response(401, text='{"detail":"Invalid or missing API key"}'),
        httpx.Response(
            200, text='{"jsonrpc":"2.0","error":{"code":-32003,"message":"Invalid API key"}}'
        ),
    ]
    for reason in (Reason.AUTHENTICATION, Reason.PERMISSION):
        with pytest.raises(NexusError) as caught:
            await client().write("/z/a", b"")
        assert caught.value.disposition is Disposition.REFUSED
        assert caught.value.reason is reason
        assert "API key" in caught.value.detail


async def test_what_the_peer_stored_as_base64_text_is_read_as_it_is_stored(
    respx_mock: respx.MockRouter,
) -> None:
    """The client gives bytes; what they mean is for the documents."""
    stored = b64encode(b'{"bountyId":"b1"}')
    content = f'{{"__type__":"bytes","data":"{b64encode(stored).decode()}"}}'
    answer_with(respx_mock, result(f'{{"content":{content},"etag":"e","version":1}}'))
    file = await client().read("/z/a")
    assert file is not None
    assert file.content == stored
