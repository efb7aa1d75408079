"""One client, every dialect: the same calls give the same results on every release."""

from __future__ import annotations

import json

import httpx
import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus
from nexus_bounty.nexus.client import File, NexusClient, etags
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import Extra
from tests.support.clients import URL, client_of, quick, result_for

ALL = list(PERSONALITIES)
READING = [name for name, each in PERSONALITIES.items() if each.reads_work]
HASHING = [name for name in READING if PERSONALITIES[name].etag == "content"]
CONDITIONAL = ["0.5.6", "0.7.0", "0.10", "0.10-hypothetical"]
BULK = ["0.7.0", "0.9.26", "0.10"]


def nexus(personality: str) -> MockNexus:
    return MockNexus(personality, rename_delay=0)


async def filled(client: NexusClient, count: int = 5) -> list[str]:
    paths = [f"/d/f{number}" for number in range(count)]
    for path in paths:
        await client.write(path, path.encode())
    return paths


@pytest.mark.parametrize("personality", READING)
async def test_what_is_written_is_read_byte_for_byte(personality: str) -> None:
    """Any bytes: text, binary, nothing."""
    client = client_of(nexus(personality))
    for content in (b"{}", bytes(range(256)), b"", "ä\n€".encode()):
        await client.write("/a", content)
        file = await client.read("/a")
        assert file is not None
        assert (file.path, file.content) == ("/a", content)


@pytest.mark.parametrize("personality", READING)
async def test_a_write_and_a_read_name_the_same_etag_which_may_be_the_hash_of_the_bytes(
    personality: str,
) -> None:
    """At whatever place and under whatever name the release says it."""
    client = client_of(nexus(personality))
    etag = await client.write("/a", b"bytes")
    assert await client.read("/a") == File("/a", b"bytes", etag)
    assert etags.speaks_for(etag, b"bytes") is (personality in HASHING)


@pytest.mark.parametrize("personality", READING)
async def test_a_missing_file_is_none_to_read_and_false_to_exists_and_delete(
    personality: str,
) -> None:
    """A missing file is an answer, not an error."""
    client = client_of(nexus(personality))
    assert await client.read("/none") is None
    assert await client.exists("/none") is False
    assert await client.delete("/none") is False
    assert await client.list("/none") == []


@pytest.mark.parametrize("personality", READING)
async def test_a_deleted_file_is_gone(personality: str) -> None:
    """Delete says that it was there, once."""
    client = client_of(nexus(personality))
    await client.write("/a", b"")
    assert await client.exists("/a") is True
    assert await client.delete("/a") is True
    assert await client.delete("/a") is False
    assert await client.read("/a") is None


@pytest.mark.parametrize("personality", READING)
@pytest.mark.parametrize("call", ["read", "exists", "delete", "write"])
async def test_each_call_takes_one_request(personality: str, call: str) -> None:
    """No metadata is asked for separately, whatever the release."""
    mock = nexus(personality)
    client = client_of(mock)
    await client.write("/a", b"1")
    mock.reset_counts()
    await (client.write("/a", b"2") if call == "write" else getattr(client, call)("/a"))
    assert mock.request_count == 1
    assert client.requests_sent == 2


@pytest.mark.parametrize("personality", ALL)
async def test_a_listing_in_short_pages_names_every_file_once(personality: str) -> None:
    """However many pages it takes."""
    client = client_of(nexus(personality), page_size=2)
    paths = await filled(client)
    assert sorted(await client.list("/d")) == paths


@pytest.mark.parametrize("personality", ALL)
async def test_a_listing_in_long_pages_names_every_file_once(personality: str) -> None:
    """However many pages it takes, the first time and from then on."""
    client = client_of(nexus(personality), page_size=9)
    paths = sorted(await filled(client, 40))
    for _ in range(2):
        assert sorted(await client.list("/d")) == paths


@pytest.mark.parametrize("page_size", [1, 2, 3, 9])
async def test_what_was_written_late_is_not_lost_although_every_page_is_in_order(
    page_size: int,
) -> None:
    """Seen on 0.9.18: pages in the order of writing, each in the order of paths by itself."""
    mock = nexus("0.9")
    client = client_of(mock, page_size=page_size)
    names = ["/d/e", "/d/f", "/d/g", "/d/h", "/d/i", "/d/j", "/d/k", "/d/l", "/d/m", "/d/a"]
    for path in names:
        await client.write(path, b"")
    assert sorted(await client.list("/d")) == sorted(names)


@pytest.mark.parametrize("personality", ["0.7.0", "0.9", "0.9.26"])
async def test_pages_that_may_lose_a_file_cost_one_request_more_and_only_once(
    personality: str,
) -> None:
    """What an opaque cursor leaves out cannot be seen; that is remembered."""
    mock = nexus(personality)
    client = client_of(mock, page_size=9)
    await filled(client, 40)
    counts = []
    for _ in range(3):
        mock.reset_counts()
        await client.list("/d")
        counts.append(mock.request_count)
    assert counts == [2, 1, 1]
    assert client.capabilities.orders_pages is False
    assert mock.requests[-1].params == {"path": "/d", "recursive": False, "details": True}


@pytest.mark.parametrize("personality", ALL)
async def test_a_listing_of_more_than_a_page_names_no_directories(personality: str) -> None:
    """Nor do listings that are taken whole."""
    client = client_of(nexus(personality), page_size=2)
    paths = await filled(client)
    await client.write("/d/sub/two", b"")
    for _ in range(2):
        assert sorted(await client.list("/d")) == paths


async def test_a_page_out_of_order_after_one_in_order_names_no_file_twice() -> None:
    """Pages that were yielded cannot be taken back."""

    async def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)["params"]
        pages = {None: ["/d/b", "/d/c"], "/d/c": ["/d/f", "/d/d"]}
        page: dict[str, object] = {"files": ["/d/a", "/d/b", "/d/c", "/d/d", "/d/e", "/d/f"]}
        if "limit" in asked:
            files = pages[asked.get("cursor")]
            page = {"files": files, "has_more": True, "next_cursor": files[-1]}
        return result_for(request, page)

    client = NexusClient(URL, settings=quick(), transport=httpx.MockTransport(answer))
    assert sorted(await client.list("/d")) == [f"/d/{name}" for name in "abcdef"]


@pytest.mark.parametrize("personality", ALL)
async def test_a_listing_in_one_page_names_every_file_once(personality: str) -> None:
    """Also where pages are not to be trusted."""
    client = client_of(nexus(personality))
    paths = await filled(client)
    assert sorted(await client.list("/d")) == paths


@pytest.mark.parametrize("personality", READING)
async def test_a_detailed_listing_carries_the_etag_of_every_file(personality: str) -> None:
    """So that a reader can tell what changed without reading it."""
    client = client_of(nexus(personality))
    for path in await filled(client):
        read = await client.read(path)
        [entry] = [e async for e in client.walk("/d", details=True) if e.path == path]
        assert read is not None
        assert entry.version_tag == read.etag
        assert (entry.modified is None) is (personality == "0.9.26")
        assert entry.modified is None or entry.modified.tzinfo is not None


@pytest.mark.parametrize("personality", ALL)
async def test_a_listing_names_no_directories(personality: str) -> None:
    """`list` promises files."""
    client = client_of(nexus(personality))
    paths = await filled(client)
    await client.write("/d/sub/two", b"")
    assert sorted(await client.list("/d")) == paths


@pytest.mark.parametrize("personality", ALL)
async def test_a_detailed_listing_names_no_directories(personality: str) -> None:
    """Made directories are listed by every release, each in its own words."""
    mock = nexus(personality)
    client = client_of(mock)
    paths = await filled(client)
    async with httpx.AsyncClient(transport=mock.transport(), base_url=URL) as raw:
        params = {"path": "/d/made", "parents": True}
        made = await raw.post("/api/nfs/mkdir", json={"params": params})
        assert "result" in made.json()
    assert sorted([e.path async for e in client.walk("/d", details=True)]) == paths


@pytest.mark.parametrize("page_size", [2, 1000])
@pytest.mark.parametrize("personality", ALL)
async def test_a_recursive_walk_goes_all_the_way_down_and_names_no_directories(
    personality: str, page_size: int
) -> None:
    """And a plain one does not; 0.10 lists directories among the files."""
    client = client_of(nexus(personality), page_size=page_size)
    await client.write("/d/one", b"")
    await client.write("/d/sub/two", b"")
    await client.write("/d/sub/sub/three", b"")
    deep = [entry.path async for entry in client.walk("/d", recursive=True)]
    assert sorted(deep) == ["/d/one", "/d/sub/sub/three", "/d/sub/two"]
    assert await client.list("/d") == ["/d/one"]


async def test_a_server_that_cannot_page_costs_one_request_more_and_only_once() -> None:
    """0.5.6 refuses `limit`; that is remembered."""
    mock = nexus("0.5.6")
    client = client_of(mock)
    counts = []
    for _ in range(3):
        mock.reset_counts()
        await client.list("/d")
        counts.append(mock.request_count)
    assert counts == [2, 1, 1]
    assert client.capabilities.has(Extra.LIMITS) is False
    assert "limit" not in mock.requests[-1].params


async def test_a_server_whose_pages_lose_nothing_is_asked_for_each_page_once() -> None:
    """Five files in pages of two are three requests, the first time too."""
    mock = nexus("0.10")
    client = client_of(mock, page_size=2)
    await filled(client)
    mock.reset_counts()
    await client.list("/d")
    assert mock.request_count == 3
    assert client.capabilities.has(Extra.LIMITS) is True
    assert client.capabilities.orders_pages is True


@pytest.mark.parametrize("personality", READING)
async def test_many_files_are_read_in_the_order_asked_for(personality: str) -> None:
    """Missing ones are None; a path asked for twice comes twice."""
    client = client_of(nexus(personality))
    paths = await filled(client)
    asked = [paths[3], "/none", paths[0], paths[3]]
    files = await client.read_many(asked)
    assert [file and file.content for file in files] == [b"/d/f3", None, b"/d/f0", b"/d/f3"]
    assert [file and file.path for file in files] == [paths[3], None, paths[0], paths[3]]
    spoken_for = {etags.speaks_for(file.etag, file.content) for file in files if file}
    assert spoken_for == {personality in HASHING}


@pytest.mark.parametrize("personality", ALL)
async def test_many_files_are_looked_for_in_the_order_asked_for(personality: str) -> None:
    """A path asked for twice comes twice."""
    client = client_of(nexus(personality))
    paths = await filled(client)
    assert await client.exist([paths[3], "/none", paths[0], paths[3]]) == [True, False, True, True]
    assert await client.exist([]) == []


@pytest.mark.parametrize("personality", ALL)
async def test_a_bulk_check_takes_one_request_a_batch_where_there_is_one(personality: str) -> None:
    """0.5.6 has none, which costs one request more and only once."""
    mock = nexus(personality)
    client = client_of(mock)
    counts = []
    for _ in range(2):
        mock.reset_counts()
        await client.exist(["/a", "/b", "/c"])
        counts.append(mock.request_count)
    assert counts == ([4, 3] if personality == "0.5.6" else [1, 1])


@pytest.mark.parametrize("personality", READING)
async def test_no_paths_take_no_request_and_one_path_takes_a_plain_read(personality: str) -> None:
    """Bulk is for many."""
    mock = nexus(personality)
    client = client_of(mock)
    await client.write("/a", b"1")
    mock.reset_counts()
    assert await client.read_many([]) == []
    assert mock.request_count == 0
    assert await client.read_many(["/a"]) == [await client.read("/a")]
    assert {request.method for request in mock.requests} == {"read"}


@pytest.mark.parametrize("personality", BULK)
async def test_a_server_that_reads_in_bulk_is_asked_once_a_batch(personality: str) -> None:
    """Five files in batches of two are two bulk reads and one plain."""
    mock = nexus(personality)
    client = client_of(mock, bulk_size=2)
    paths = await filled(client)
    mock.reset_counts()
    assert len([file for file in await client.read_many(paths) if file]) == 5
    assert [r.method for r in mock.requests] == ["read_bulk", "read_bulk", "read"]
    assert client.capabilities.has(Extra.BULK_READS) is True


@pytest.mark.parametrize(("personality", "more"), [("0.5.6", 1), ("0.9", 2)])
async def test_a_server_that_cannot_read_in_bulk_costs_little_more_and_only_once(
    personality: str, more: int
) -> None:
    """0.5.6 does not know the method, 0.9 finds nothing by it; that is remembered."""
    mock = nexus(personality)
    client = client_of(mock)
    paths = await filled(client)
    counts = []
    for _ in range(3):
        mock.reset_counts()
        await client.read_many(paths)
        counts.append(mock.request_count)
    assert counts == [5 + more, 5, 5]
    assert client.capabilities.has(Extra.BULK_READS) is False


@pytest.mark.parametrize("personality", BULK)
async def test_a_bulk_read_that_finds_something_is_believed_about_the_rest(
    personality: str,
) -> None:
    """One request, whatever is missing."""
    mock = nexus(personality)
    client = client_of(mock)
    await client.write("/there", b"1")
    mock.reset_counts()
    files = await client.read_many(["/none", "/there", "/none either"])
    assert [file and file.content for file in files] == [None, b"1", None]
    assert mock.request_count == 1
    assert client.capabilities.has(Extra.BULK_READS) is True


@pytest.mark.parametrize("personality", BULK)
async def test_a_bulk_read_that_finds_nothing_costs_one_request_more_at_most(
    personality: str,
) -> None:
    """As 0.9 would answer: what exists is asked, until a bulk read has shown something."""
    mock = nexus(personality)
    client = client_of(mock)
    asked = []
    for there in (None, None, b"1"):
        if there is not None:
            await client.write("/there", there)
            await client.read_many(["/there", "/a"])
        mock.reset_counts()
        assert await client.read_many(["/a", "/b"]) == [None, None]
        asked.append([request.method for request in mock.requests])
    assert asked == [["read_bulk", "exists_batch"], ["read_bulk", "exists_batch"], ["read_bulk"]]
    assert client.capabilities.has(Extra.BULK_READS) is True


async def test_a_passing_failure_does_not_pin_a_dialect() -> None:
    """Only a refusal of the parameters says that a server cannot page or read in bulk."""
    mock = MockNexus("0.10", api_key="right")
    client = client_of(mock, api_key="wrong")
    for call in (client.list("/d"), client.read_many(["/a", "/b"])):
        with pytest.raises(NexusError):
            await call
    assert client.capabilities.has(Extra.LIMITS) is None
    assert client.capabilities.orders_pages is None
    assert client.capabilities.has(Extra.BULK_READS) is None


@pytest.mark.parametrize("personality", CONDITIONAL)
async def test_a_rename_moves_content_and_etag(personality: str) -> None:
    """Onto a name that was free."""
    client = client_of(nexus(personality))
    etag = await client.write("/from", b"moved")
    await client.rename("/from", "/to")
    moved = etag if personality in HASHING else "to"
    assert await client.read("/to") == File("/to", b"moved", moved)
    assert await client.read("/from") is None


@pytest.mark.parametrize("personality", ALL)
async def test_a_rename_onto_a_taken_name_is_never_acknowledged(personality: str) -> None:
    """Both files stay, and the answer is ambiguous: it may echo an earlier copy of ourselves."""
    mock = nexus(personality)
    client = client_of(mock)
    await client.write("/from", b"1")
    await client.write("/to", b"2")
    with pytest.raises(NexusError) as caught:
        await client.rename("/from", "/to")
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert (mock.read_file("/from"), mock.read_file("/to")) == (b"1", b"2")


@pytest.mark.parametrize("personality", ALL)
async def test_a_rename_of_a_missing_file_is_not_found_and_sent_once(personality: str) -> None:
    """Ambiguous: it may echo an earlier copy of ourselves, which has moved it."""
    mock = nexus(personality)
    with pytest.raises(NexusError) as caught:
        await client_of(mock).rename("/none", "/to")
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is Reason.NOT_FOUND
    assert mock.request_count == 1


@pytest.mark.parametrize("personality", CONDITIONAL)
async def test_a_create_over_a_file_is_ambiguous_and_changes_nothing(personality: str) -> None:
    """A proxy may have repeated it, so that "exists" may be the echo of our own success."""
    mock = nexus(personality)
    client = client_of(mock)
    etag = await client.write("/a", b"1", if_none_match=True)
    assert etags.speaks_for(etag, b"1") is (personality in HASHING)
    with pytest.raises(NexusError) as caught:
        await client.write("/a", b"2", if_none_match=True)
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert mock.read_file("/a") == b"1"


@pytest.mark.parametrize("personality", [each for each in CONDITIONAL if each in HASHING])
async def test_a_matching_update_is_acknowledged_with_the_etag_of_its_bytes(
    personality: str,
) -> None:
    """Which proves what was stored without another read."""
    client = client_of(nexus(personality))
    first = await client.write("/a", b"1")
    second = await client.write("/a", b"2", if_match=first)
    assert etags.speaks_for(second, b"2")
    assert await client.read("/a") == File("/a", b"2", second)


@pytest.mark.parametrize("personality", ALL)
@pytest.mark.parametrize("path", ["/a", "/none"])
async def test_an_update_that_does_not_match_is_a_conflict_and_sent_once(
    personality: str, path: str
) -> None:
    """Ambiguous, and never repeated by the client."""
    mock = nexus(personality)
    client = client_of(mock)
    await client.write("/a", b"1")
    mock.reset_counts()
    with pytest.raises(NexusError) as caught:
        await client.write(path, b"2", if_match="stale", idempotent=True)
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is Reason.CONFLICT
    assert mock.request_count == 1


async def test_a_conditional_write_that_is_acknowledged_and_dropped_carries_no_etag() -> None:
    """0.9: no etag, so that whoever trusts etags reads back."""
    mock = nexus("0.9")
    client = client_of(mock)
    assert await client.write("/a", b"1", if_none_match=True) is None
    assert mock.read_file("/a") is None


@pytest.mark.parametrize("personality", ALL)
async def test_a_bad_path_is_refused(personality: str) -> None:
    """Definitely: no release writes before it has looked at the path."""
    client = client_of(nexus(personality))
    with pytest.raises(NexusError) as caught:
        await client.write("/d/../x", b"")
    assert caught.value.disposition is Disposition.REFUSED
    assert ".." in caught.value.detail


@pytest.mark.parametrize("personality", ALL)
async def test_a_bad_path_is_called_a_bad_path(personality: str) -> None:
    """And not a lack of permission; 0.10 has given it a number that was one before."""
    with pytest.raises(NexusError) as caught:
        await client_of(nexus(personality)).read("/d/../x")
    new = personality.startswith("0.10")
    assert caught.value.reason is (Reason.PERMISSION_OR_PATH if new else Reason.BAD_PATH)
    assert "bad path" in str(caught.value)


@pytest.mark.parametrize("personality", ALL)
async def test_a_wrong_key_is_refused_and_a_right_one_is_not(personality: str) -> None:
    """By HTTP 401, or by -32003 on the oldest release."""
    mock = MockNexus(personality, api_key="right")
    for key in ("wrong", None):
        with pytest.raises(NexusError) as caught:
            await client_of(mock, api_key=key).write("/a", b"")
        assert caught.value.disposition is Disposition.REFUSED
        assert caught.value.reason in (Reason.AUTHENTICATION, Reason.PERMISSION)
    assert len(mock.log) == 0
    assert await client_of(mock, api_key="right").write("/a", b"") is not None
