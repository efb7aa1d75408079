"""The oracle: what was received, what was applied, in order and without gaps."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from nexus_bounty.mock import PERSONALITIES, Fault, FaultKind, MockNexus
from tests.support.rpc import PATH, talking_to
from tests.support.virtual import virtual


async def test_the_log_holds_every_change_in_order_and_nothing_else() -> None:
    """Reads and refused writes leave no entry."""
    mock = MockNexus("0.7.0")
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="one")
        await rpc("read", path=PATH)
        await rpc("write", path=PATH, content="two", if_match="bad")
        await rpc("write", path=PATH, content="three")
        await rpc("delete", path=PATH)
        await rpc("delete", path=PATH)
    assert [(c.index, c.request_number, c.content) for c in mock.log] == [
        (0, 1, b"one"),
        (1, 4, b"three"),
        (2, 5, None),
    ]
    digest = mock.personality.digest
    assert [(c.etag_before, c.etag_after) for c in mock.log] == [
        (None, digest(b"one")),
        (digest(b"one"), digest(b"three")),
        (digest(b"three"), None),
    ]


async def test_a_rename_is_logged_at_both_ends() -> None:
    """The old name's history ends where the new name's begins."""
    mock = MockNexus("0.7.0")
    async with talking_to(mock) as rpc:
        await rpc("write", path="/a", content="x")
        await rpc("rename", old_path="/a", new_path="/b")
    assert [change.content for change in mock.history("/a")] == [b"x", None]
    assert [change.content for change in mock.history("/b")] == [b"x"]


async def test_a_request_is_recorded_with_what_it_asked_and_what_became_of_it() -> None:
    """Method, paths, conditions, content, fault, deliveries and outcome."""
    mock = MockNexus(faults=[Fault(FaultKind.DUPLICATE)])
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="x", if_match="e", if_none_match=False)
        await rpc("rename", old_path="/a", new_path="/b")
    write, rename = mock.requests
    assert (write.number, write.method, write.paths, write.content) == (1, "write", (PATH,), b"x")
    assert (write.if_match, write.if_none_match, write.deliveries) == ("e", False, 2)
    assert write.outcome == "answered 200"
    assert rename.paths == ("/a", "/b")
    assert str(write) == (
        f"#1 write(path='{PATH}', content=<1 chars>, if_match='e', if_none_match=False) "
        "!duplicate -> answered 200"
    )


async def test_counts_start_anew_while_numbers_and_the_log_go_on() -> None:
    """So that a test can count the requests of one operation."""
    mock = MockNexus()
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="x")
        mock.reset_counts()
        await rpc("write", path=PATH, content="y")
    assert mock.request_count == 1
    assert [request.number for request in mock.requests] == [2]
    assert len(mock.log) == 2


async def test_a_bounded_log_forgets_the_oldest_and_keeps_counting() -> None:
    """For mocks that are served for days."""
    mock = MockNexus(log_limit=3)
    async with talking_to(mock) as rpc:
        for number in range(5):
            await rpc("write", path=PATH, content=str(number))
    assert [change.index for change in mock.log] == [2, 3, 4]
    assert [request.number for request in mock.requests] == [3, 4, 5]
    assert mock.request_count == 5


async def test_a_restored_snapshot_has_the_files_of_its_time() -> None:
    """Later files are gone, earlier contents are back, listings agree."""
    mock = MockNexus("0.7.0")
    async with talking_to(mock) as rpc:
        await rpc("write", path=PATH, content="then")
        before = mock.snapshot()
        await rpc("write", path=PATH, content="now")
        await rpc("write", path="/later", content="x")
        mock.restore(before)
        listed = (await rpc("list", path="/"))["result"]["files"]
    assert mock.read_file(PATH) == b"then"
    assert listed == [PATH]


@pytest.mark.parametrize("release", PERSONALITIES)
async def test_replaying_the_log_gives_the_files(release: str) -> None:
    """Whatever happens, the log explains the state: the oracle misses nothing."""
    rng = random.Random(5)
    mock = MockNexus(release, rename_delay=0)
    paths = [f"/z/{name}" for name in "abcdef"]
    async with talking_to(mock) as rpc:

        async def act(step: int) -> None:
            path, other = rng.sample(paths, 2)
            packed = {"__type__": "bytes", "data": "eHg="}
            actions: dict[str, dict[str, Any]] = {
                "write": {"path": path, "content": str(step)},
                "delete": {"path": path},
                "rename": {"old_path": path, "new_path": other},
                "write_batch": {"files": [[path, packed], [other, packed]]},
                "rmdir": {"path": "/z", "recursive": True},
            }
            method = rng.choices(list(actions), [8, 2, 3, 2, 0.3])[0]
            await rpc(method, **actions[method])

        for step in range(0, 300, 3):
            await asyncio.gather(*(act(step + offset) for offset in range(3)))
    files: dict[str, bytes] = {}
    for change in mock.log:
        files.pop(change.path, None)
        if change.content is not None:
            files[change.path] = change.content
    assert files == {path: entry.content for path, entry in mock.files.items()}
    assert [change.index for change in mock.log] == list(range(len(mock.log)))


@virtual
async def test_requests_of_concurrent_clients_are_numbered_in_the_order_of_arrival() -> None:
    """And a scheduler decides that order through the transport's pause."""
    order: list[str] = []
    gates = {name: asyncio.Event() for name in "abc"}
    mock = MockNexus()

    async def client(name: str) -> None:
        async def pause(stage: str) -> None:
            order.append(f"{name} {stage}")
            if stage == "request":
                await gates[name].wait()

        async with talking_to(mock, transport=mock.transport(pause=pause)) as rpc:
            await rpc("write", path=f"/{name}", content=name)

    clients = [asyncio.ensure_future(client(name)) for name in "abc"]
    await asyncio.sleep(0.01)
    for name in "cab":
        gates[name].set()
        await asyncio.sleep(0.01)
    await asyncio.gather(*clients)
    assert [change.path for change in mock.log] == ["/c", "/a", "/b"]
    assert order[:3] == ["a request", "b request", "c request"]


def test_the_same_seed_gives_the_same_conversation() -> None:
    """Ids, version etags and lost races included."""

    async def conversation(seed: int) -> list[tuple[str, ...]]:
        mock = MockNexus("0.7.0", seed=seed, etag="version")
        async with talking_to(mock) as rpc:
            await asyncio.gather(
                *(rpc("write", path=PATH, content=str(i), if_none_match=True) for i in range(8))
            )
        return [(change.path, str(change.content), str(change.etag_after)) for change in mock.log]

    assert asyncio.run(conversation(1)) == asyncio.run(conversation(1))
    assert asyncio.run(conversation(1)) != asyncio.run(conversation(2))
