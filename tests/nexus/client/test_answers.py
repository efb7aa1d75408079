"""Whatever comes back, a caller gets a result or a NexusError with the right verdict."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_bounty.nexus.client import NexusClient, classification
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from tests.support.clients import URL, answering, hearing, quick, result_for
from tests.support.virtual import virtual

HTML = b"<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>"
DEEP = 100_000

NO_ANSWERS = {
    "nothing": b"",
    "white space": b" \n",
    "html": HTML,
    "text": b"OK",
    "binary": bytes(range(256)),
    "no utf-8": b'{"result":"\xff\xfe"}',
    "truncated": b'{"jsonrpc":"2.0","id":1,"result":{"bytes_wri',
    "two answers": b'{"result":{}}{"result":{}}',
    "null": b"null",
    "list": b"[]",
    "number": b"1",
    "string": b'"result"',
    "empty object": b"{}",
    "envelope without result": b'{"jsonrpc":"2.0","id":1}',
    "null error": b'{"jsonrpc":"2.0","id":1,"error":null}',
    "error without code": b'{"jsonrpc":"2.0","id":1,"error":{}}',
    "error with a code in words": b'{"error":{"code":"-32000","message":"File not found"}}',
    "detail without status": b'{"detail":"Not Found"}',
    "lone surrogate": b'{"result":"\\ud800"}',
}
NO_FILES = {
    "null": b"null",
    "a boolean": b"true",
    "no content": b"{}",
    "null content": b'{"content":null,"etag":"e"}',
    "content without data": b'{"content":{"__type__":"bytes"},"etag":"e"}',
    "content that is no base64": b'{"content":{"__type__":"bytes","data":"!"},"etag":"e"}',
    "etag that is no text": b'{"content":"","etag":5}',
}


async def failing(client: NexusClient, method: str = "write") -> NexusError:
    with pytest.raises(NexusError) as caught:
        await (client.write("/a", b"") if method == "write" else getattr(client, method)("/a"))
    return caught.value


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_a_200_that_is_no_answer_is_ambiguous(body: bytes) -> None:
    """It may come from a proxy, before or after the server applied the request."""
    for method in ("write", "read", "exists", "delete", "list"):
        error = await failing(hearing(body), method)
        assert error.disposition is Disposition.AMBIGUOUS
        assert error.reason is Reason.UNREADABLE


@pytest.mark.parametrize("body", [b'{"detail":', b'{"result":', b'{"result":{"files":'])
async def test_a_200_nested_too_deep_is_ambiguous(body: bytes) -> None:
    """Nonsense of any shape is nonsense."""
    error = await failing(hearing(body + b"[" * DEEP), "list")
    assert error.reason is Reason.UNREADABLE


@settings(max_examples=50)
@given(st.binary(max_size=60))
@virtual
async def test_a_200_with_any_bytes_is_never_taken_for_an_acknowledged_write(body: bytes) -> None:
    """And never raises anything else."""
    error = await failing(hearing(body))
    assert error.disposition is Disposition.AMBIGUOUS


@settings(max_examples=50)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["result", "error", "code", "message", "detail", "retry_after", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from([200, 400, 404, 429, 500]),
)
@virtual
async def test_any_json_with_any_status_ends_in_a_result_or_a_nexus_error(
    document: object, status: int
) -> None:
    """Nothing that a server says becomes an exception of another kind."""
    reply = httpx.Response(status, json=document)
    client = NexusClient(URL, settings=quick(retry_attempts=1), transport=answering(reply))
    for call in (client.read, client.exists, client.delete, client.list):
        try:
            await call("/a")
        except NexusError as error:
            assert error.disposition is not Disposition.ACKNOWLEDGED  # noqa: PT017 - either is right


@pytest.mark.parametrize("result", NO_FILES.values(), ids=NO_FILES)
async def test_a_result_that_is_no_file_is_unreadable(result: bytes) -> None:
    """And not an empty file, nor a missing one."""
    error = await failing(hearing(b'{"result":' + result + b"}"), "read")
    assert error.disposition is Disposition.AMBIGUOUS
    assert error.reason is Reason.UNREADABLE


@pytest.mark.parametrize("data", ["!!!", "YQ=", "ä", "Y Q = ="])
async def test_text_content_that_is_no_base64_although_it_says_so_is_unreadable(data: str) -> None:
    """Not an error of another kind, and not fewer bytes than were stored."""
    document = {"result": {"content": data, "encoding": "base64", "etag": "e"}}
    client = NexusClient(
        URL,
        settings=quick(retry_attempts=1),
        transport=answering(httpx.Response(200, json=document)),
    )
    error = await failing(client, "read")
    assert error.reason is Reason.UNREADABLE


@pytest.mark.parametrize(
    "result", [b"{}", b'{"success":true}', b'{"renamed":true}', b'{"deleted":true}', b'{"x":null}']
)
async def test_a_method_with_nothing_to_say_is_acknowledged_by_any_object(result: bytes) -> None:
    """Releases word the success of a rename and a delete differently."""
    client = hearing(b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}")
    await client.rename("/a", "/b")
    assert await client.delete("/a") is True


@pytest.mark.parametrize("result", [b"null", b"[]", b'"ok"', b"true", b"1"])
async def test_a_result_that_no_release_gives_acknowledges_nothing(result: bytes) -> None:
    """Neither a rename nor a delete."""
    client = hearing(b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}")
    for call in (client.rename("/a", "/b"), client.delete("/a")):
        with pytest.raises(NexusError) as caught:
            await call
        assert caught.value.disposition is Disposition.AMBIGUOUS
        assert caught.value.reason is Reason.UNREADABLE


@pytest.mark.parametrize("word", ["renamed", "success"])
async def test_a_result_that_says_no_acknowledges_no_rename(word: str) -> None:
    """In either of the words for it; and it is sent once."""
    client = hearing(f'{{"result":{{"{word}":false}}}}', retry_attempts=3)
    with pytest.raises(NexusError) as caught:
        await client.rename("/a", "/b")
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert client.requests_sent == 1


@pytest.mark.parametrize("word", ["deleted", "success"])
async def test_a_result_that_says_no_does_not_mean_that_the_file_was_there(word: str) -> None:
    """In either of the words for it."""
    assert await hearing(f'{{"result":{{"{word}":false}}}}').delete("/a") is False


async def test_a_result_that_says_no_does_not_hide_an_attempt_that_may_have_deleted() -> None:
    """`False` means that it was provably not there."""
    lost, no = httpx.ReadError("lost"), httpx.Response(200, json={"result": {"deleted": False}})
    client = NexusClient(URL, settings=quick(), transport=answering(lost, no))
    assert await client.delete("/a") is True


@pytest.mark.parametrize("result", [b"null", b"true", b'"etag"', b'{"etag":7}'])
async def test_a_result_that_is_no_write_result_is_unreadable(result: bytes) -> None:
    """Such an acknowledgement is not believed."""
    error = await failing(hearing(b'{"result":' + result + b"}"))
    assert error.reason is Reason.UNREADABLE


@pytest.mark.parametrize(
    "status",
    [
        status
        for status, verdict in classification.STATUSES.items()
        if verdict != classification.ACKNOWLEDGED
    ],
)
async def test_the_status_of_an_answer_decides_before_its_body(status: int) -> None:
    """A result under an error status acknowledges nothing."""
    for body in (b"", HTML, b'{"detail":"why"}', b'{"result":{"etag":"e"}}'):
        error = await failing(hearing(body, status))
        assert error.verdict == classification.STATUSES[status]
        assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize("status", [202, 204, 300, 304, 400, 405, 418, 505, 599])
async def test_an_unlisted_status_is_ambiguous_whatever_its_body(status: int) -> None:
    """Also 2xx: Nexus answers 200."""
    error = await failing(hearing(b'{"result":{"etag":"e"}}', status))
    assert error.verdict == classification.UNLISTED


@pytest.mark.parametrize("code", [*classification.RPC_CODES, -1, 0, 404, -32099])
async def test_the_code_of_an_answer_decides(code: int) -> None:
    """Whatever its message, and whether its id is ours, null or missing."""
    for rpc_id in ('"id":1,', '"id":null,', ""):
        body = f'{{"jsonrpc":"2.0",{rpc_id}"error":{{"code":{code},"message":"File not found"}}}}'
        error = await failing(hearing(body))
        assert error.verdict == classification.of_rpc_code(code)
        assert str(code) in error.detail


@pytest.mark.parametrize("method", ["read", "delete"])
async def test_http_404_is_not_a_missing_file(method: str) -> None:
    """It says that this is no Nexus; taking it for "no such file" would invite a create."""
    error = await failing(hearing(b'{"detail":"Not Found"}', 404), method)
    assert error.disposition is Disposition.REFUSED
    assert error.reason is Reason.NO_SUCH_ROUTE


@pytest.mark.parametrize("method", ["read", "delete"])
@pytest.mark.parametrize("code", [-32000, -32007])
async def test_the_codes_of_a_missing_file_are_a_missing_file(method: str, code: int) -> None:
    """Of old and new releases."""
    client = hearing(f'{{"error":{{"code":{code},"message":"File not found: /a"}}}}')
    assert not await getattr(client, method)("/a")


@pytest.mark.parametrize("message", ["Rate limit exceeded", "rate limit: 300 per 1 minute"])
async def test_a_rate_limit_outside_json_rpc_is_known_at_any_status(message: str) -> None:
    """Ambiguous, as every rate limit, and it says how long to wait."""
    for status in (200, 429):
        body = f'{{"error":"{message}","retry_after":9}}'
        error = await failing(hearing(body, status))
        assert error.verdict == classification.RATE_LIMITED
        assert error.retry_after == 9.0


async def test_another_error_outside_json_rpc_is_ambiguous() -> None:
    """Whoever says it."""
    error = await failing(hearing(b'{"error":"upstream went away"}'))
    assert error.verdict == classification.UNLISTED
    assert "upstream went away" in error.detail


async def test_a_long_answer_is_quoted_in_one_short_line() -> None:
    """Errors are for people."""
    error = await failing(hearing(b"<p>\n\n too\tlong " * 1000, 500))
    assert len(error.detail) <= 220
    assert "\n" not in str(error)
    assert str(error).startswith("write /a: ambiguous: server error (HTTP 500 <p> too long ")


async def test_a_plain_string_is_its_utf8_bytes() -> None:
    """How content that was written as text may come back."""
    file = await hearing('{"result":{"content":"ä{}","etag":"e"}}').read("/a")
    assert file is not None
    assert file.content == "ä{}".encode()
    encoded = await hearing('{"result":{"content":"e30=","encoding":"base64"}}').read("/a")
    assert encoded is not None
    assert (encoded.content, encoded.etag) == (b"{}", None)


@pytest.mark.parametrize("method", ["exist", "read_many"])
async def test_a_bulk_answer_that_leaves_a_path_out_is_unreadable(method: str) -> None:
    """Every release answers for every path: nothing was said of this one."""
    found = b"true" if method == "exist" else b'{"content":"x","etag":"e"}'
    with pytest.raises(NexusError) as caught:
        await getattr(hearing(b'{"result":{"/a":' + found + b"}}"), method)(["/a", "/b"])
    assert caught.value.reason is Reason.UNREADABLE


async def test_a_cursor_that_never_moves_is_not_followed_for_ever() -> None:
    """A server that gives the same page again and again is told from a long listing."""
    asked = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        more = {"has_more": asked < 100, "next_cursor": "x"}
        return result_for(request, {"files": ["/d/a"], **more})

    client = NexusClient(URL, settings=quick(), transport=httpx.MockTransport(answer))
    with pytest.raises(NexusError):
        await client.list("/d")
    assert asked < 10


async def test_a_path_that_cannot_be_sent_is_never_sent() -> None:
    """A lone surrogate is no Unicode text."""
    with pytest.raises(NexusError) as caught:
        await hearing(b'{"result":null}').read("/\ud800")
    assert caught.value.disposition is Disposition.NEVER_SENT


OTHERS = {
    "another number": '"id":999999,',
    "words": '"id":"x",',
    "no id": "",
    "null": '"id":null,',
}


def crossed(body: str, status: int = 200) -> NexusClient:
    """A client that gets exactly this, whatever it asked."""

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body)

    return NexusClient(URL, settings=quick(retry_attempts=1), transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("number", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("method", ["write", "read", "exists", "delete", "list"])
async def test_a_result_for_another_request_is_ambiguous(method: str, number: str) -> None:
    """A proxy that mixed answers up has not said what became of this request."""
    result = '{"content":"{}","etag":"e","exists":true,"deleted":true,"files":[]}'
    error = await failing(crossed(f'{{"jsonrpc":"2.0",{number}"result":{result}}}'), method)
    assert error.disposition is Disposition.AMBIGUOUS
    assert error.reason is Reason.UNREADABLE


@pytest.mark.parametrize("status", [200, 401, 404, 409])
@pytest.mark.parametrize("code", [-32000, -32002, -32003, -32006])
async def test_a_refusal_of_another_request_is_ambiguous(status: int, code: int) -> None:
    """Not even a definite one speaks for a request that it does not name."""
    body = f'{{"jsonrpc":"2.0","id":999999,"error":{{"code":{code},"message":"no"}}}}'
    error = await failing(crossed(body, status))
    assert error.disposition is Disposition.AMBIGUOUS


async def test_a_refusal_that_names_no_request_is_believed() -> None:
    """Errors of 0.7.0 and later have a null id."""
    body = '{"jsonrpc":"2.0","id":null,"error":{"code":-32002,"message":"bad path"}}'
    assert (await failing(crossed(body))).disposition is Disposition.REFUSED
