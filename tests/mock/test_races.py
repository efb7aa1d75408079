"""Writers that race: who is told that they won, and what is really stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus, running
from tests.support.rpc import PATH, Rpc, talking_to
from tests.support.virtual import virtual

WRITERS = 8
HASHING = [
    name for name, each in PERSONALITIES.items() if each.etag == "content" and each.reads_work
]


def winners(answers: Iterable[Any]) -> int:
    """How many were told that they won."""
    return sum("result" in answer for answer in answers)


async def race(rpc: Rpc, **condition: Any) -> list[Any]:
    """Eight conditional writes at the same time."""
    return await asyncio.gather(
        *(rpc("write", path=PATH, content=f"w{i}", **condition) for i in range(WRITERS))
    )


@pytest.mark.parametrize("release", HASHING)
async def test_one_etag_has_one_winner_where_preconditions_are_atomic(release: str) -> None:
    """The winner is the one in the file; everybody else is told of a conflict."""
    mock = MockNexus(release, atomic=True)
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="start")
        answers = await race(rpc, if_match=await rpc.etag())
    assert winners(answers) == 1
    (winner,) = (i for i, answer in enumerate(answers) if "result" in answer)
    assert mock.read_file(PATH) == f"w{winner}".encode()
    assert {a["error"]["code"] for a in answers if "error" in a} == {-32006}


@pytest.mark.parametrize("release", PERSONALITIES)
async def test_one_name_has_one_creator_where_preconditions_are_atomic(release: str) -> None:
    """`if_none_match` holds for creators too."""
    mock = MockNexus(release, atomic=True)
    async with talking_to(mock) as rpc:
        answers = await race(rpc, if_none_match=True)
    assert winners(answers) == 1
    assert len(mock.log) == 1


@pytest.mark.parametrize("release", ["0.5.6", "0.7.0"])
async def test_one_etag_has_several_winners_on_racing_releases(release: str) -> None:
    """Each overwrites the one before and each is told that it won."""
    mock = MockNexus(release)
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="start")
        answers = await race(rpc, if_match=await rpc.etag())
    assert winners(answers) > 1
    assert len(mock.log) == 1 + winners(answers)


@pytest.mark.parametrize("release", ["0.5.6", "0.7.0"])
async def test_racing_creators_overwrite_each_other_or_hit_the_unique_index(release: str) -> None:
    """Some of the losers hear of an integrity error, none of them was stored."""
    mock = MockNexus(release, seed=1)
    async with talking_to(mock) as rpc:
        answers = await race(rpc, if_none_match=True)
    assert 1 < winners(answers) < WRITERS
    assert len(mock.log) == winners(answers)
    losers = [answer["error"] for answer in answers if "error" in answer]
    assert all(e["code"] == -32603 and "IntegrityError" in e["message"] for e in losers)


async def test_the_newest_release_races_when_told_to() -> None:
    """As several server processes over one store would."""
    mock = MockNexus("0.10", atomic=False)
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="start")
        assert winners(await race(rpc, if_match=await rpc.etag())) > 1


async def test_0_9_acknowledges_conditional_writes_and_drops_them() -> None:
    """200, no etag, nothing stored."""
    mock = MockNexus("0.9")
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="start")
        answer = await rpc("write", path=PATH, content="lost", if_match=await rpc.etag())
    assert answer["result"] == {"bytes_written": 4}
    assert mock.read_file(PATH) == b"start"
    assert len(mock.log) == 1


async def test_0_9_told_to_be_atomic_stores_conditional_writes_and_gives_no_etag() -> None:
    """Only a read back can prove such a write."""
    mock = MockNexus("0.9", atomic=True)
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="start")
        answer = await rpc("write", path=PATH, content="kept", if_match=await rpc.etag())
    assert answer["result"] == {"bytes_written": 4}
    assert mock.read_file(PATH) == b"kept"


@pytest.mark.parametrize("release", PERSONALITIES)
async def test_a_rename_onto_a_new_name_has_one_winner_on_every_release(release: str) -> None:
    """The losers' files stay where they were, and losers hear -32603 or -32001."""
    mock = MockNexus(release)
    async with talking_to(mock, timeout=None) as rpc:
        for i in range(WRITERS):
            await rpc("write", path=f"/z/s{i}", content=f"w{i}")
        answers = await asyncio.gather(
            *(rpc("rename", old_path=f"/z/s{i}", new_path="/z/t") for i in range(WRITERS))
        )
    assert winners(answers) == 1
    (winner,) = (i for i, answer in enumerate(answers) if "result" in answer)
    assert mock.read_file("/z/t") == f"w{winner}".encode()
    assert sorted(mock.files) == sorted(["/z/t", *(f"/z/s{i}" for i in range(8) if i != winner)])
    assert {a["error"]["code"] for a in answers if "error" in a} == {-32603}


async def test_a_rename_that_races_a_delete_of_its_source_is_told_ok_and_moves_nothing() -> None:
    """As 0.7.0 does: both are told OK, and the file is gone."""
    mock = MockNexus("0.7.0")
    async with talking_to(mock) as rpc:
        await rpc("write", path="/z/s", content="x")
        answers = await asyncio.gather(
            rpc("rename", old_path="/z/s", new_path="/z/t"), rpc("delete", path="/z/s")
        )
    assert winners(answers) == 2
    assert dict(mock.files) == {}


async def test_a_source_renamed_to_two_names_at_once_has_one_target_and_two_winners() -> None:
    """On 0.7.0 an acknowledged rename is no proof when its source was shared."""
    mock = MockNexus("0.7.0")
    async with talking_to(mock) as rpc:
        await rpc("write", path="/z/s", content="x")
        answers = await asyncio.gather(
            *(rpc("rename", old_path="/z/s", new_path=f"/z/{name}") for name in "tu")
        )
    assert winners(answers) == 2
    assert len(mock.files) == 1


async def test_0_9_loses_the_content_of_a_renamed_file_until_it_is_written_again() -> None:
    """The file is there, and reading it says that it is not."""
    async with talking_to(MockNexus("0.9")) as rpc:
        await rpc("write", path="/z/s", content="x")
        await rpc("rename", old_path="/z/s", new_path="/z/t")
        assert (await rpc("exists", path="/z/t"))["result"] == {"exists": True}
        assert (await rpc("read", path="/z/t"))["error"]["message"] == "File not found: z/t"
        await rpc("write", path="/z/t", content="y")
        assert "result" in await rpc("read", path="/z/t")


@virtual
async def test_a_rename_on_the_oldest_release_holds_up_its_answer_and_all_writes() -> None:
    """Applied at once and readable, but nobody else gets to write."""
    mock = MockNexus("0.5.6", rename_delay=0.05)
    async with talking_to(mock, timeout=None) as rpc:
        await rpc("write", path="/z/s", content="x")
        renaming = asyncio.ensure_future(rpc("rename", old_path="/z/s", new_path="/z/t"))
        await asyncio.sleep(0.01)
        assert "result" in await rpc("read", path="/z/t")
        assert not renaming.done()
        await rpc("write", path="/z/other", content="y")
        assert renaming.done()


async def test_a_torn_read_pairs_old_content_with_a_new_etag() -> None:
    """Its etag is not the hash of its content, which is how a client can tell."""
    mock = MockNexus("0.10-hypothetical", torn_reads=True)
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="old")
        old = await rpc.etag()
        torn, _ = await asyncio.gather(
            rpc("read", path=PATH, return_metadata=True),
            rpc("write", path=PATH, content="new"),
        )
    assert torn["result"]["content"]["data"] == "b2xk"
    assert torn["result"]["content_id"] != old


@pytest.mark.parametrize("atomic", [True, False])
async def test_preconditions_over_sockets_are_what_they_are_in_process(atomic: bool) -> None:
    """The same mock under uvicorn: one winner, or several."""
    mock = MockNexus("0.7.0", atomic=atomic, race_window=0.2)
    async with running(mock) as url, httpx.AsyncClient(base_url=url) as client:
        rpc = Rpc(client)
        await rpc("write", path=PATH, content="start")
        answers = await race(rpc, if_match=await rpc.etag())
    assert (winners(answers) == 1) is atomic


async def test_version_etags_differ_for_equal_bytes_and_are_no_hash_of_them() -> None:
    """So a document that returns to earlier bytes does not return to its earlier etag."""
    mock = MockNexus("0.10", etag="version")
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="same")
        first = await rpc.etag()
        await rpc("write", path=PATH, content="same")
        assert await rpc.etag() != first
        assert first != mock.personality.digest(b"same")


async def test_path_etags_let_every_conditional_update_through() -> None:
    """0.10 keeps files by path, and its content id never changes."""
    mock = MockNexus("0.10")
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="start")
        answers = await race(rpc, if_match=await rpc.etag())
    assert winners(answers) == WRITERS
