"""What is played for the recordings: our client and store, and what must come of it.

Each scenario says what it shows, asserts its outcomes, and is played on a real server when it is
recorded, on the recording, and on the mock. `@scenario` names the releases of which there is a
recording of today's client; and those of which there is one of an earlier client, and that cannot
be recorded anew from the package index: these scenarios only the mock plays. A release that is not
named has not been recorded, and nothing here says what it answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyExistsError,
    BountyNotFoundError,
    BountyQuery,
    BountyStateError,
    BountyStatus,
    CommitUnknownError,
    NexusClaimStore,
    NexusClient,
    PreCommitError,
    RenameCommit,
)
from nexus_bounty.nexus.client import etags
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import dialect_of_release
from nexus_bounty.outcomes import ClaimConflictError, Proof
from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in, make_reward
from tests.contract.scene import NOW, WRONG_KEY, Scene, raw

Play = Callable[[Scene], Awaitable[None]]

ALL: Final = ("0.5.6", "0.7.0", "0.9.18", "0.9.26", "0.10.1")
STORING: Final = ("0.5.6", "0.7.0", "0.10.1")
"""The releases that store what they acknowledge."""
DROPPING: Final = ("0.9.18", "0.9.26")
"""The releases that acknowledge a conditional write and drop it."""

SCENARIOS: Final[dict[str, tuple[Play, tuple[str, ...]]]] = {}
"""Each scenario with the releases of which there is a recording."""
EARLIER: Final[dict[str, tuple[str, ...]]] = {}
"""Of which releases there is one of a client that asked otherwise: not replayed to today's."""

ALICE: Final = make_agent("alice")
BOB: Final = make_agent("bob")


def scenario(*releases: str, earlier: Sequence[str] = ()) -> Callable[[Play], Play]:
    """Register a scenario, under the name of its function, for some releases."""

    def register(play: Play) -> Play:
        SCENARIOS[play.__name__] = (play, releases)
        EARLIER[play.__name__] = tuple(earlier)
        return play

    return register


@scenario(*STORING)
async def create(scene: Scene) -> None:
    """A bounty is created by its marker and one conditional write, and read back."""
    async with scene.store() as store:
        created = await store.create_bounty(make_bounty(), idempotency_key="create-1")
        assert await store.get_bounty("b-1") == created


@scenario(*STORING)
async def create_again(scene: Scene) -> None:
    """The same create with the same key, by another process: the same bounty, once."""
    async with scene.store() as store:
        created = await store.create_bounty(make_bounty(), idempotency_key="create-1")
    async with scene.store() as other:
        assert await other.create_bounty(make_bounty(), idempotency_key="create-1") == created


@scenario(*ALL)
async def duplicate_create(scene: Scene) -> None:
    """A bounty of that id is there already, by somebody else: refused, and it stays as it was."""
    theirs = make_bounty(title="theirs")
    async with scene.client() as client:
        await scene.put(client, scene.path("bounties/b-1.json"), theirs)
    async with scene.store() as store:
        with pytest.raises(BountyExistsError) as caught:
            await store.create_bounty(make_bounty(), idempotency_key="create-1")
        assert caught.value.evidence.proof is Proof.DOCUMENT
        assert await store.get_bounty("b-1") == theirs


@scenario("0.5.6", "0.7.0", "0.9.18")
async def stale_update(scene: Scene) -> None:
    """A claim by a store that has not seen that another came first."""
    path = scene.path("bounties/b-1.json")
    async with scene.client() as client, scene.store() as store:
        await scene.put(client, path, make_bounty())
        before = await store.get_bounty("b-1")
        read = await client.read(path)
        assert before is not None
        assert read is not None
        taken = make_bounty_in(BountyStatus.CLAIMED, claimed_by=BOB)
        await scene.put(client, path, taken)
        with pytest.raises(NexusError) as conflict:
            await client.write(path, b"{}", if_match=read.etag)
        assert conflict.value.reason is Reason.CONFLICT
        with pytest.raises(BountyStateError) as refused:
            await store.claim_bounty("b-1", ALICE, "c-2", idempotency_key="claim-1")
        assert refused.value.current_status == "claimed"
        assert await store.get_bounty("b-1") == taken


@scenario(*ALL)
async def missing(scene: Scene) -> None:
    """What is not there is `None`, nothing, or a refusal, and never an error to guess at."""
    async with scene.client() as client, scene.store() as store:
        assert await client.read(scene.path("none")) is None
        assert await client.exists(scene.path("none")) is False
        assert await client.delete(scene.path("none")) is False
        assert await client.list(scene.path("none")) == []
        assert await store.get_bounty("none") is None
        with pytest.raises(BountyNotFoundError):
            await store.claim_bounty("none", ALICE, "c-1", idempotency_key="claim-1")
        with pytest.raises(NexusError) as caught:
            await client.rename(scene.path("none"), scene.path("other"))
        assert caught.value.disposition is Disposition.AMBIGUOUS


@scenario(*ALL)
async def bad_path(scene: Scene) -> None:
    """A path that a server refuses was not written to."""
    async with scene.client() as client:
        for path in (scene.path("../other"), scene.path("a\0b")):
            with pytest.raises(NexusError) as caught:
                await client.write(path, b"x", if_none_match=True)
            assert caught.value.disposition is Disposition.REFUSED


@scenario("0.5.6", "0.7.0", "0.9.18", "0.9.26")
async def listing(scene: Scene) -> None:
    """Bounties by status: a stale marker shows nothing, and hashes come with the details."""
    bounties = [
        make_bounty(bounty_id="b-1"),
        make_bounty(bounty_id="b-2"),
        make_bounty_in(BountyStatus.CLAIMED, bounty_id="b-3"),
    ]
    async with scene.client() as client, scene.store() as store:
        for each in bounties:
            await scene.put(client, scene.path(f"bounties/{each.bounty_id}.json"), each)
            await client.write(scene.path(f"indexes/bounties/status/open/{each.bounty_id}"), b"")
        found = await store.list_bounties(BountyQuery(status=BountyStatus.OPEN))
        assert [each.bounty_id for each in found] == ["b-2", "b-1"]
        assert len(await store.list_bounties()) == 3
        details = [each async for each in client.walk(scene.path("bounties"), details=True)]
        for entry in details:
            read = await client.read(entry.path)
            assert read is not None
            assert etags.speaks_for(entry.version_tag, read.content)
        assert len(details) == 3


WRITTEN: Final = ("e", "f", "g", "h", "i", "a")
"""Names in the order of writing; the last one is the first in the order of paths."""


@scenario("0.5.6", "0.7.0", "0.9.18", "0.10.1")
async def paging(scene: Scene) -> None:
    """Names in pages of two: followed by cursor as they are, and by our client, which misses none.

    0.9.18 pages in the order of writing and loses the last name; 0.5.6 has no pages.
    """
    async with scene.client(page_size=2) as client:
        for name in WRITTEN:
            await client.write(scene.path(f"d/{name}"), b"x")
        found: list[str] = []
        cursor: str | None = None
        while True:
            asked: dict[str, Any] = {"path": scene.path("d"), "recursive": False, "limit": 2}
            page = await raw(client, "list", **asked | ({"cursor": cursor} if cursor else {}))
            found += page["files"] if page else []
            cursor = page and page["next_cursor"]
            if not cursor:
                break
        lost = {"0.5.6": set(WRITTEN), "0.9.18": {"a"}}.get(scene.release, set())
        assert set(found) == {scene.path(f"d/{name}") for name in set(WRITTEN) - lost}
        everything = sorted(scene.path(f"d/{name}") for name in WRITTEN)
        assert sorted(await client.list(scene.path("d"))) == everything
        assert sorted(await client.list(scene.path("d"))) == everything


@scenario(*ALL)
async def bulk(scene: Scene) -> None:
    """Many files at once, one of them missing; 0.5.6 cannot, and 0.9.18 answers with nothing."""
    names = ["a", "none", "b"]
    paths = [scene.path(name) for name in names]
    async with scene.client() as client:
        await client.write(paths[0], b"first")
        await client.write(paths[2], b"second")
        for _ in range(2):
            found = await client.read_many(paths)
            assert [file and file.content for file in found] == [b"first", None, b"second"]
        assert await client.exist(paths) == [True, False, True]


@scenario(*ALL)
async def bulk_after_delete(scene: Scene) -> None:
    """Files written in bulk, of which one was deleted before: 0.7.0 refuses them all."""
    files = {scene.path(name): b"" for name in ("a", "b")}
    async with scene.client() as client:
        await client.write_many(files)
        await client.delete_many([scene.path("a")])
        await client.write_many(files)
        assert await client.exist(list(files)) == [True, True]
        await client.delete_many(list(files))
        assert await client.exist(list(files)) == [False, False]


@scenario(*ALL)
async def auth_failure(scene: Scene) -> None:
    """A key that the server does not know: nothing was read, and nothing can have been written."""
    async with scene.client(WRONG_KEY, url=scene.closed) as client:
        with pytest.raises(NexusError) as caught:
            await client.read(scene.path("a"))
        assert caught.value.disposition is Disposition.REFUSED
    async with scene.store(key=WRONG_KEY, url=scene.closed) as store:
        with pytest.raises(PreCommitError):
            await store.create_bounty(make_bounty(), idempotency_key="create-1")


@scenario(*DROPPING)
async def lost_write(scene: Scene) -> None:
    """Conditional writes are acknowledged with 200 and never stored: not believed, and unknown."""
    path = scene.path("a")
    async with scene.client() as client:
        assert await client.write(path, b"x", if_none_match=True) is None
        assert await client.read(path) is None
        etag = await client.write(path, b"before")
        assert await client.write(path, b"after", if_match=etag) is None
        read = await client.read(path)
        assert read is not None
        assert read.content == b"before"
    async with scene.store() as store:
        with pytest.raises(CommitUnknownError):
            await store.create_bounty(make_bounty(), idempotency_key="create-1")
        assert await store.get_bounty("b-1") is None


@scenario(*STORING)
async def lost_answer(scene: Scene) -> None:
    """The answers to a create and to a claim are lost after the server has stored both."""
    async with scene.store() as store:
        scene.line.lose(2)
        await store.create_bounty(make_bounty(), idempotency_key="create-1")
        scene.line.lose(2)
        claimed = await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim-1")
        assert claimed.status is BountyStatus.CLAIMED
        history = await store.get_history("b-1")
        assert [each.key for each in history] == ["create-1", "claim-1"]


@scenario(*STORING)
async def life(scene: Scene) -> None:
    """A bounty from draft to settled, with its reward."""
    draft = make_bounty(status=BountyStatus.DRAFT)
    async with scene.store() as store:
        await store.create_bounty(draft, idempotency_key="k-1")
        await store.fund_bounty("b-1", "r-1", idempotency_key="k-2")
        await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-3")
        await store.begin_settlement("b-1", "cid-1", idempotency_key="k-4")
        settled = await store.settle_bounty("b-1", idempotency_key="k-5")
        assert settled.status is BountyStatus.SETTLED
        reward = await store.record_reward(make_reward(), idempotency_key="k-6")
        assert await store.list_rewards() == [reward]


@scenario("0.5.6", "0.7.0", earlier=["0.10.1"])
async def lease(scene: Scene) -> None:
    """A target is leased, refused to another, given back, and taken by the other."""
    async with scene.client() as client:
        claims = NexusClaimStore(client, commit="conditional", clock=lambda: NOW)

        async def claim(agent: AgentIdentity, number: int) -> str:
            taken = await claims.claim_or_renew(
                "bounty:b-1",
                agent,
                claim_id=f"c-{number}",
                lease=timedelta(hours=1),
                idempotency_key=f"k-{number}",
            )
            return taken.claim_id

        assert await claim(ALICE, 1) == "c-1"
        with pytest.raises(ClaimConflictError):
            await claim(BOB, 2)
        await claims.release("c-1", idempotency_key="k-3")
        assert await claim(BOB, 4) == "c-4"
        assert [each.claim_id for each in await claims.active_claims()] == ["c-4"]


QUIRKS: Final = {
    release: replace(dialect_of_release(release).rename, creates_instead=False) for release in ALL
}
"""What the probe finds on each release, but for creates; it races, and so is not recorded."""


@scenario("0.5.6", "0.7.0", "0.9.18", earlier=["0.9.26", "0.10.1"])
async def commit_by_rename(scene: Scene) -> None:
    """A bounty is created and claimed by renames into its next slot."""

    def commit(client: NexusClient) -> RenameCommit:
        return RenameCommit(client, QUIRKS[scene.release])

    async with scene.store(commit) as store:
        await store.create_bounty(make_bounty(), idempotency_key="create-1")
        claimed = await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim-1")
        assert await store.get_bounty("b-1") == claimed
    async with scene.store(commit) as other:
        with pytest.raises(BountyStateError):
            await other.claim_bounty("b-1", BOB, "c-2", idempotency_key="claim-2")


PAY: Final = "/api/v2/pay"


class Payments:
    """NexusPay, request by request."""

    def __init__(self, scene: Scene, web: Any) -> None:
        self._scene = scene
        self._web = web

    async def get(self, route: str) -> Any:
        return (await self._web.get(PAY + route)).json()

    async def post(self, route: str, **body: Any) -> Any:
        answer = await self._web.post(PAY + route, **({"json": body} if body else {}))
        return answer.json()

    async def reserve(self, *, stored: bool) -> str:
        """A reservation that the server keeps, or one that it acknowledges and forgets."""
        while True:
            held = await self.post("/reserve", amount="10", purpose="b-1", task_id="t-1")
            pending = await self.get("/reservations")
            if (held["id"] in [each["id"] for each in pending]) is stored:
                return str(held["id"])
            self._scene.line.forget(2)
            if not stored:
                await self.post(f"/reserve/{held['id']}/release")
                self._scene.line.forget(1)

    async def transfer(self) -> None:
        """A transfer that the server keeps."""
        before = (await self.get("/transactions"))["total"]
        while True:
            await self.post("/transfer", to="bob", amount="2.5", memo="b-1", idempotency_key="p-1")
            if (await self.get("/transactions"))["total"] > before:
                return
            self._scene.line.forget(2)


@scenario("0.9.18")
async def pay(scene: Scene) -> None:
    """NexusPay keeps none of the promises that its parameters make.

    A task reserves twice, a commit moves nothing, a release after it says yes, and a transfer
    with one idempotency key pays twice.
    """
    async with scene.web() as web:
        pay = Payments(scene, web)
        assert (await pay.get("/balance"))["available"] == "10000.00"
        first = await pay.reserve(stored=True)
        second = await pay.reserve(stored=True)
        assert first != second
        assert (await pay.get("/balance"))["reserved"] == "20.00"
        for _ in range(2):
            assert (await pay.post(f"/reserve/{first}/commit"))["status"] == "committed"
        assert (await pay.get("/balance"))["total"] == "10000.00"
        assert (await pay.post(f"/reserve/{first}/release"))["status"] == "released"
        assert (await pay.post(f"/reserve/{second}/release"))["status"] == "released"
        await pay.transfer()
        await pay.transfer()
        assert (await pay.get("/balance"))["total"] == "9995.00"
        assert "detail" in await pay.post("/reserve/none/commit")
        assert "detail" in await pay.post("/reserve", amount="many")


@scenario("0.9.18")
async def pay_lost(scene: Scene) -> None:
    """About half of what NexusPay acknowledges is not there afterwards."""
    async with scene.web() as web:
        await Payments(scene, web).reserve(stored=False)
