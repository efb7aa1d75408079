"""Documents, etags and paths: what is stored is believed only when it proves itself."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nexus_bounty.idempotency import EVIDENCE_KEY, OperationRecord, with_record
from nexus_bounty.mock import PERSONALITIES, MockNexus
from nexus_bounty.models import BountyStatus
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client import NexusClient, etags
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents import DocumentReader, UnreadableDocumentError, document, paths
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.signing import Signer
from nexus_bounty.partition import decode_segment, encode_segment
from tests.support.clients import client_of

ENCODINGS: list[StorageEncoding] = ["raw", "base64"]
HASHING = [n for n, each in PERSONALITIES.items() if each.etag == "content" and each.reads_work]
PATH = "/zones/z/bounties/b.json"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
json_objects = st.dictionaries(st.text().filter(lambda key: key != EVIDENCE_KEY), json_values)
segments = st.text(
    alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from("%/@25F."), min_size=1
)


def decode(content: bytes) -> documents.Document:
    return documents.decode(documents.BelievedFile(PATH, content, "e"), Signer())


# etags


@given(st.binary())
def test_an_etag_speaks_for_the_bytes_it_is_a_known_hash_of(content: bytes) -> None:
    """SHA-256 of 0.5.6, BLAKE3 of later releases, told apart by looking."""
    sha, blake = hashlib.sha256(content).hexdigest(), blake3(content).hexdigest()
    assert etags.speaks_for(sha, content)
    assert etags.speaks_for(blake, content)
    assert etags.algorithm_of(content, sha) == "sha256"
    assert etags.algorithm_of(content, blake) == "blake3"


@given(st.binary(), st.binary())
def test_an_etag_speaks_for_no_other_bytes(content: bytes, other: bytes) -> None:
    """Nor does one that is no hash, nor none."""
    if content != other:
        assert not etags.speaks_for(blake3(other).hexdigest(), content)
    assert not etags.speaks_for(None, content)
    assert not etags.speaks_for("", content)
    assert not etags.speaks_for("v1", content)
    assert etags.algorithm_of(content, "v1") is None


# documents


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=50)
@given(value=json_objects)
def test_a_document_is_read_as_it_was_written_in_either_encoding(
    encoding: StorageEncoding, value: dict[str, Any]
) -> None:
    """And it is known in which of them it was."""
    document = decode(documents.encode(value, encoding))
    assert document.value == value
    assert document.encoding == encoding
    assert document.history.ops == ()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_history_of_a_document_comes_with_it(encoding: StorageEncoding) -> None:
    """In whichever encoding, next to keys that only others understand."""
    record = OperationRecord(
        key="k", kind="create", fingerprint="f", seq=1, at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    value = with_record({"theirs": {"nested": [1, None]}}, record)
    document = decode(documents.encode(value, encoding))
    assert document.history.find("k") == record
    assert document.value["theirs"] == {"nested": [1, None]}


@pytest.mark.parametrize("content", [b' \n{"a": 1}\n', b"{\n}", b'{"a":"\xc3\xa4"}'])
def test_json_of_other_writers_is_read_whatever_its_layout(content: bytes) -> None:
    """The peer pretty-prints some of its files."""
    assert decode(content).encoding == "raw"
    assert decode(b64encode(content)).value == decode(content).value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b'{"a":}',
        b"[]",
        b"null",
        b'"{}"',
        b"claim-1",
        b"\xff\xfe\x00",
        b'{"a":"\xff"}',
        b64encode(b"[1]"),
        b64encode(b"no json"),
        b64encode(b"\xff"),
        b64encode(b64encode(b"{}")),
        b"e30",
        b"e30=\n",
        b"<html></html>",
        b'{"nexusBounty":5}',
        b'{"nexusBounty":{"ops":[{"key":"k"}]}}',
        b'{"nexusBounty":{"seq":"first"}}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_document_is_unreadable_and_says_where(content: bytes) -> None:
    """It was written by somebody else, and is left as it is."""
    with pytest.raises(UnreadableDocumentError) as caught:
        decode(content)
    assert caught.value.path == PATH
    assert PATH in str(caught.value)
    assert caught.value.problem


@given(st.binary())
@example(b"{")
@example(b"e30=")
def test_any_bytes_are_a_document_or_unreadable(content: bytes) -> None:
    """Never an exception of another kind."""
    try:
        document = decode(content)
    except UnreadableDocumentError:
        return
    assert isinstance(document.value, dict)


def test_a_document_nested_too_deep_is_unreadable() -> None:
    """One such file must not stop a listing of all the others."""
    with pytest.raises(UnreadableDocumentError):
        decode(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


async def reading(client: NexusClient) -> documents.Document | None:
    return await DocumentReader(client).read(PATH, client.deadline())


@pytest.mark.parametrize("personality", HASHING)
async def test_a_read_whose_etag_speaks_for_it_takes_one_request(personality: str) -> None:
    """On every release whose etags are hashes."""
    mock = MockNexus(personality)
    client = client_of(mock)
    await client.write(PATH, b'{"a":1}')
    mock.reset_counts()
    document = await reading(client)
    assert document is not None
    assert document.value == {"a": 1}
    assert mock.request_count == 1


async def test_a_missing_document_is_none() -> None:
    """After one request."""
    mock = MockNexus("0.10")
    assert await reading(client_of(mock)) is None
    assert mock.request_count == 1


@pytest.mark.parametrize("etag", ["version", "path"])
async def test_an_opaque_etag_is_believed_after_two_equal_reads(
    etag: Literal["version", "path"],
) -> None:
    """The second began after the first had seen the etag, so the content is no older."""
    mock = MockNexus("0.10", etag=etag)
    client = client_of(mock)
    await client.write(PATH, b'{"a":1}')
    mock.reset_counts()
    document = await reading(client)
    assert document is not None
    assert document.file.etag == mock.files[PATH].etag
    assert mock.request_count == 2


@pytest.mark.parametrize("etag", ["content", "version"])
@pytest.mark.parametrize("personality", ["0.7.0", "0.10"])
async def test_old_bytes_are_never_paired_with_a_new_etag(
    personality: str, etag: Literal["content", "version"]
) -> None:
    """A server that reads content first and etag after is read again while others write."""
    mock = MockNexus(personality, etag=etag, torn_reads=True)
    writer, reader = client_of(mock), client_of(mock)
    await writer.write(PATH, b'{"n":0}')
    pairs: dict[str, bytes] = {}

    async def write() -> None:
        for number in range(1, 60):
            await writer.write(PATH, b'{"n":%d}' % number)
            for _ in range(number % 5):
                await asyncio.sleep(0)

    async def read() -> list[documents.Document]:
        seen = []
        while not writing.done():
            try:
                document = await reading(reader)
            except NexusError:  # too busy a document: not believed, and said so
                continue
            assert document is not None
            seen.append(document)
        return seen

    writing = asyncio.create_task(write())
    found = [each for batch in await asyncio.gather(read(), read(), read()) for each in batch]
    await writing
    for change in mock.history(PATH):
        assert change.etag_after is not None
        assert change.content is not None
        pairs[change.etag_after] = change.content
    torn = [r for r in mock.requests if r.method == "read" and _is_torn(r.answers[0].body, pairs)]
    assert torn  # the mock did what this is about
    assert found
    assert all(pairs[document.file.etag] == document.file.content for document in found)


def _is_torn(answer: bytes, pairs: dict[str, bytes]) -> bool:
    result = msgspec.json.decode(answer)["result"]
    content = msgspec.convert(result["content"]["data"], bytes)
    return pairs[result.get("etag") or result["content_id"]] != content


async def test_a_read_that_never_agrees_with_itself_is_given_up() -> None:
    """Bounded, and called unreadable, not missing."""
    mock = MockNexus("0.10", etag="version")
    client = client_of(mock)
    await client.write(PATH, b"{}")

    async def write_before_each_read(stage: str) -> None:
        if stage == "request":
            number = mock.request_count
            await client.write(PATH, b'{"n":%d}' % number)

    restless = NexusClient("http://nexus", transport=mock.transport(pause=write_before_each_read))
    mock.reset_counts()
    with pytest.raises(NexusError) as caught:
        await reading(restless)
    assert caught.value.disposition is Disposition.AMBIGUOUS
    assert caught.value.reason is Reason.UNREADABLE
    assert restless.requests_sent <= document.READS_TO_BELIEVE + 1


async def test_a_document_deleted_between_two_reads_is_none() -> None:
    """Which is the truth by then."""
    mock = MockNexus("0.10", etag="version")
    client = client_of(mock)
    await client.write(PATH, b"{}")

    async def delete_after_the_first(stage: str) -> None:
        if stage == "response" and mock.read_file(PATH) is not None:
            await client.delete(PATH)

    reader = NexusClient("http://nexus", transport=mock.transport(pause=delete_after_the_first))
    assert await reading(reader) is None


async def test_one_unreadable_document_does_not_hide_the_others() -> None:
    """Among many, missing ones are left out and unreadable ones are their error."""
    client = client_of(MockNexus("0.10"))
    await client.write("/d/1", b'{"n":1}')
    await client.write("/d/2", b"not a document")
    await client.write("/d/4", b64encode(b'{"n":4}'))
    asked = [f"/d/{number}" for number in range(1, 5)]
    found = await DocumentReader(client).read_many(asked, client.deadline())
    assert [type(each).__name__ for each in found] == [
        "Document",
        "UnreadableDocumentError",
        "Document",
    ]
    assert [each.path for each in found] == ["/d/1", "/d/2", "/d/4"]


# paths


@given(segments)
@example("%2F")
@example("%252F")
@example("%@3")
@example("a/b%c")
def test_any_segment_comes_back_as_it_went(segment: str) -> None:
    """And is one segment on the way."""
    encoded = encode_segment(segment)
    assert decode_segment(encoded) == segment
    assert "/" not in encoded


@given(segments, segments)
def test_two_segments_are_never_encoded_alike(one: str, other: str) -> None:
    """So that no id can reach another's document."""
    assert (encode_segment(one) == encode_segment(other)) is (one == other)


@pytest.mark.parametrize(
    ("segment", "encoded"),
    [("plain", "plain"), ("a/b", "a%2Fb"), ("50%", "50%25"), ("%2F", "%252F"), ("ä b", "ä b")],
)
def test_segments_are_encoded_as_the_peer_does(segment: str, encoded: str) -> None:
    """`%` first, then `/`; nothing else."""
    assert encode_segment(segment) == encoded


@given(segments, segments)
def test_a_path_gives_its_id_back(zone: str, record: str) -> None:
    """Of documents and of markers."""
    of_zone = ZonePaths(zone)
    for make in (of_zone.bounty, of_zone.claim, of_zone.reward, of_zone.contribution):
        path = make(record)
        assert paths.document_id(path) == record
        assert path.startswith(f"/zones/{encode_segment(zone)}/")
    marker = of_zone.marker(BountyStatus.OPEN, record)
    assert paths.marked_id(marker) == record
    assert paths.marker_generation(marker) is None


@given(segments, st.integers(0, 2**63))
def test_a_marker_of_a_later_generation_gives_id_and_generation_back(
    record: str, generation: int
) -> None:
    """Whatever the id looks like."""
    marker = ZonePaths("z").marker(BountyStatus.CLAIMED, record, generation)
    assert paths.marked_id(marker) == record
    assert paths.marker_generation(marker) == generation


@given(segments, segments, st.integers(0, 9))
def test_no_id_can_be_mistaken_for_a_generation_of_another(
    one: str, other: str, generation: int
) -> None:
    """A plain marker is never the later marker of anything."""
    plain = ZonePaths("z").marker(BountyStatus.OPEN, one)
    assert plain != ZonePaths("z").marker(BountyStatus.OPEN, other, generation)


@given(segments, segments)
def test_two_documents_never_share_a_commit_slot(one: str, other: str) -> None:
    """Or winning the slot of one would decide about the other."""
    zone = ZonePaths("z")
    for make in (zone.bounty, zone.claim, zone.reward):
        slots = [paths.commit_slots(make(record)) for record in (one, other)]
        assert (slots[0] == slots[1]) is (one == other)
        assert decode_segment(paths.committed_id(f"{slots[0]}/7")) == one


def test_two_locks_never_share_a_commit_slot() -> None:
    """A target may well be called something.json."""
    zone = ZonePaths("z")
    one, other = zone.target_lock("bounty:a"), zone.target_lock("bounty:a.json")
    assert paths.commit_slots(one) != paths.commit_slots(other)


@pytest.mark.parametrize("name", ["b%@", "b%@x", "b%@-1", "b%@1x", "b%@²"])
def test_a_marker_with_an_odd_generation_has_none(name: str) -> None:
    """Whoever wrote it."""
    assert paths.marker_generation(f"/zones/z/indexes/bounties/status/open/{name}") is None


def test_everything_lives_where_the_peer_expects_it() -> None:
    """The layout is shared, so it is written out here."""
    zone = ZonePaths("my/zone")
    root = "/zones/my%2Fzone"
    expected: dict[str, str | Callable[[], str]] = {
        zone.root: root,
        zone.bounty("b/1"): f"{root}/bounties/b%2F1.json",
        zone.marker(BountyStatus.OPEN, "b/1"): f"{root}/indexes/bounties/status/open/b%2F1",
        zone.marker(BountyStatus.PENDING_SETTLEMENT, "b", 7): (
            f"{root}/indexes/bounties/status/pending_settlement/b%@7"
        ),
        zone.claim("c"): f"{root}/claims/c.json",
        zone.active_claim("bounty:b", "c"): f"{root}/indexes/claims/active/bounty:b/c",
        zone.target_lock("bounty:b"): f"{root}/indexes/claims/target-lock/bounty:b",
        zone.contribution("blake3:x"): f"{root}/contributions/blake3:x.json",
        zone.reward("reward:t:s:c"): f"{root}/rewards/reward:t:s:c.json",
    }
    assert list(expected) == list(expected.values())
