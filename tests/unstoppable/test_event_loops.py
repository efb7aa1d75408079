"""Whatever keeps locks or connections is used in one event loop: another is refused, none hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final, cast

import pytest

from nexus_bounty import (
    BountyOperations,
    CommitUnknownError,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusContributionStore,
    PaymentError,
    PreCommitError,
    Reconciler,
)
from nexus_bounty.memory import (
    MemoryClaimStore,
    MemoryContributionStore,
    MemoryCredits,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.shared_names import SharedNames
from nexus_bounty.nexus.commit.single_writer import SingleWriter
from nexus_bounty.testing.builders import make_agent, make_bounty
from nexus_bounty_nexuspay import NexusPayCredits
from nexus_bounty_procrastinate.pace import FleetPace
from nexus_bounty_sqlite import SqliteCredits
from tests.support.clients import quick

PATIENCE: Final = 20.0
"""Seconds; who waits longer than this waits for ever."""
FOUND: Final = "make one for each loop"
"""What a user can make something of."""

Call = Callable[[], Coroutine[Any, Any, Any]]


class Gate:
    """Holds requests up, in whatever loop they are sent, until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._is_open = threading.Event()

    async def pause(self, *_: str) -> None:
        """Wait here."""
        self.reached.set()
        await asyncio.to_thread(self._is_open.wait, PATIENCE)

    def open(self) -> None:
        """Let all go on."""
        self._is_open.set()


def begun(call: Call) -> Future[Any]:
    """`call` in an event loop of its own, in a thread of its own."""
    ended: Future[Any] = Future()

    async def awaited() -> Any:
        return await call()

    def run() -> None:
        try:
            ended.set_result(asyncio.run(awaited()))
        except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return ended


@contextmanager
def under_way(call: Call, gate: Gate) -> Iterator[Future[Any]]:
    """`call` in its own loop, held up at the gate for as long as this is open."""
    first = begun(call)
    assert gate.reached.wait(PATIENCE)
    try:
        yield first
    finally:
        gate.open()


def client_on(mock: MockNexus, **options: Any) -> NexusClient:
    return NexusClient("http://nexus", settings=quick(), transport=mock.transport(**options))


def operations(client: NexusClient, ledger: Any = None) -> BountyOperations:
    return BountyOperations(
        NexusBountyStore(client),
        credits=ledger or MemoryCredits(),
        claims=NexusClaimStore(client),
        contributions=MemoryContributionStore(),
    )


async def stock(ledger: Any) -> None:
    await ledger.top_up("stock", account=make_bounty().creator.agent_id, amount=1_000)


def post(made: BountyOperations, name: str = "b-1", key: str | None = None) -> Call:
    return lambda: made.create(make_bounty(bounty_id=name), idempotency_key=key)


CALLS: Final[dict[str, Callable[[NexusClient], Call]]] = {
    "operations": lambda client: post(operations(client)),
    "bounties, written": lambda client: (
        lambda: NexusBountyStore(client).create_bounty(make_bounty())
    ),
    "bounties, read": lambda client: lambda: NexusBountyStore(client).get_bounty("b-1"),
    "claims, written": lambda client: (
        lambda: NexusClaimStore(client).claim_or_renew(
            "bounty:b-1", make_agent(), claim_id="c-1", lease=timedelta(minutes=10)
        )
    ),
    "claims, read": lambda client: lambda: NexusClaimStore(client).get("c-1"),
    "works": lambda client: lambda: NexusContributionStore(client).get("cid-1"),
    "reconciler": lambda client: Reconciler(operations(client)).run_once,
    "single writer": lambda client: SingleWriter(client).__aenter__,
    "flush": lambda client: client.flush,
    "client": lambda client: lambda: client.read("/a"),
}


@pytest.mark.parametrize("second", CALLS)
@pytest.mark.parametrize("first", ["operations", "bounties, read", "single writer"])
@pytest.mark.parametrize("personality", ["0.7.0", "0.10"])
def test_what_is_on_a_cold_client_is_refused_in_a_second_loop(
    personality: str, first: str, second: str
) -> None:
    """While the first request of all is under way; and that one comes to its end."""
    mock, gate = MockNexus(personality), Gate()
    client = NexusClient(
        "http://nexus", settings=quick(), transport=mock.transport(pause=gate.pause)
    )
    ledger = MemoryCredits()
    asyncio.run(stock(ledger))
    begin = post(operations(client, ledger)) if first == "operations" else CALLS[first](client)
    with under_way(begin, gate) as ends:
        before = mock.request_count
        with pytest.raises((NexusError, PreCommitError), match=FOUND):
            begun(CALLS[second](client)).result(PATIENCE)
        assert mock.request_count == before
    ends.result(PATIENCE)


@pytest.mark.parametrize("name", ["operations", "bounties, written"])
def test_the_very_object_and_key_are_refused_in_a_second_loop(name: str) -> None:
    """They would wait for the same lock; whether the first call does it is not known."""
    mock, gate = MockNexus("0.7.0"), Gate()
    client = NexusClient(
        "http://nexus", settings=quick(), transport=mock.transport(pause=gate.pause)
    )
    ledger, store = MemoryCredits(), NexusBountyStore(client)
    asyncio.run(stock(ledger))
    call = (
        post(operations(client, ledger), key="k")
        if name == "operations"
        else lambda: store.create_bounty(make_bounty(), idempotency_key="k")
    )
    with (
        under_way(call, gate) as ends,
        pytest.raises((PreCommitError, CommitUnknownError), match=FOUND) as caught,
    ):
        begun(call).result(PATIENCE)
    is_operation = name == "operations"
    assert isinstance(caught.value, CommitUnknownError) is is_operation
    assert caught.value.idempotency_key == "k"
    ends.result(PATIENCE)


@pytest.mark.parametrize("personality", ["0.7.0", "0.9", "0.10"])
def test_of_two_loops_that_begin_at_once_one_goes_on_and_the_other_is_refused(
    personality: str,
) -> None:
    """Whichever comes first; and the ledger holds the credits of that one alone."""
    for _ in range(3):
        client = client_on(MockNexus(personality))
        ledger, barrier = MemoryCredits(), threading.Barrier(2)
        asyncio.run(stock(ledger))
        made = operations(client, ledger)

        async def posted(name: str, made: BountyOperations = made) -> Any:
            barrier.wait(PATIENCE)  # noqa: B023 - of this very round
            return await post(made, name)()

        ends = [begun(partial(posted, name)) for name in ("b-1", "b-2")]
        errors = [each.exception(PATIENCE) for each in ends]
        (refused,) = filter(None, errors)
        assert isinstance(refused, PreCommitError)
        assert FOUND in str(refused)
        balance = asyncio.run(ledger.balance(make_bounty().creator.agent_id))
        assert balance.reserved == make_bounty().amount


def test_a_warm_client_is_refused_before_the_ledger_is_told_of_anything() -> None:
    """Other operations on the same client, too: a settlement writes its payee down first."""
    mock, ledger = MockNexus("0.7.0"), MemoryCredits()
    client = client_on(mock)
    work = Contribution(cid="cid-1", agent=make_agent("bob"), scores={})
    works = MemoryContributionStore([work])
    parts: dict[str, Any] = {
        "credits": ledger,
        "claims": MemoryClaimStore(),
        "contributions": works,
    }
    store = NexusBountyStore(client)
    made = BountyOperations(store, **parts)

    async def claimed() -> None:
        await stock(ledger)
        await made.create(make_bounty())
        await made.claim("b-1", make_agent("bob"))

    with asyncio.Runner() as runner:
        runner.run(claimed())
        before = mock.request_count
        others = BountyOperations(store, **parts)
        with pytest.raises(PreCommitError, match=FOUND):
            begun(lambda: others.settle("b-1", work.cid)).result(PATIENCE)
        assert mock.request_count == before
        (held,) = begun(lambda: _reservations(ledger)).result(PATIENCE)
        assert held.assignment is None
        runner.run(made.settle("b-1", work.cid))


async def _reservations(ledger: MemoryCredits) -> list[Any]:
    return [each async for each in ledger.reservations()]


class Anywhere:
    """Stands for a store of somebody's own, which can be used in whatever loop there is."""

    def __init__(self, kind: type[Any]) -> None:
        self._mock, self._kind = MockNexus("0.7.0"), kind
        self.zone_id = "default"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("cleaning_up", "expecting"):
            raise AttributeError(name)
        return getattr(self._kind(client_on(self._mock)), name)


def test_operations_on_stores_for_any_loop_move_when_theirs_is_gone() -> None:
    """A lock that a killed loop has held is not waited for in the next one."""
    ledger = MemoryCredits()
    made = BountyOperations(
        cast("Any", Anywhere(NexusBountyStore)),
        credits=ledger,
        claims=MemoryClaimStore(),
        contributions=MemoryContributionStore(),
    )
    asyncio.run(stock(ledger))
    locks = made.services.locks

    async def hold() -> asyncio.Lock:
        lock = locks.of(("create", "b-1", "k"))
        await lock.acquire()
        return lock

    with asyncio.Runner() as runner:
        runner.run(post(made)())
        lock = runner.run(hold())
        with pytest.raises(CommitUnknownError, match=FOUND):
            begun(post(made, key="k")).result(PATIENCE)
        with pytest.raises(PreCommitError, match=FOUND):
            begun(Reconciler(made).run_once).result(PATIENCE)
    assert lock.locked()
    for name in ("b-2", "b-3"):
        begun(post(made, name)).result(PATIENCE)
    begun(post(made, key="k")).exception(PATIENCE)  # refused or not, it does not wait
    begun(Reconciler(made).run_once).result(PATIENCE)


def test_a_listing_that_many_share_is_not_waited_for_in_another_loop() -> None:
    gate, names = Gate(), SharedNames()

    async def listed(_: str) -> Any:
        await gate.pause()
        raise NotImplementedError

    def page() -> Coroutine[Any, Any, Any]:
        return names.page(listed, "", 0.0)

    with under_way(page, gate) as ends, pytest.raises(NexusError, match=FOUND) as caught:
        begun(page).result(PATIENCE)
    assert caught.value.reason is Reason.OTHER_LOOP
    assert isinstance(ends.exception(PATIENCE), NotImplementedError)


def test_a_pace_is_not_waited_for_in_another_loop() -> None:
    gate = Gate()

    async def leased(_: float) -> float:
        await gate.pause()
        return 0.0

    pace = FleetPace(10, leased)
    with under_way(pace.turn, gate) as ends, pytest.raises(NexusError, match=FOUND):
        begun(pace.turn).result(PATIENCE)
    ends.result(PATIENCE)


def test_a_ledger_on_nexuspay_is_not_waited_for_in_another_loop() -> None:
    """Neither for a turn, nor for it to be opened."""
    gate = Gate()
    transport = MockNexus("0.10", api_key="sk-a").transport(pause=gate.pause)
    ledger = NexusPayCredits("http://nexus", api_key="sk-a", transport=transport)
    with under_way(ledger.identity, gate) as ends:
        with pytest.raises(PaymentError, match=FOUND):
            begun(lambda: ledger.top_up("t", account="alice", amount=1)).result(PATIENCE)
        with pytest.raises(CommitUnknownError, match=FOUND):
            begun(lambda: ledger.balance("alice")).result(PATIENCE)
    ends.result(PATIENCE)


def test_a_ledger_in_a_file_serves_two_loops_at_once(tmp_path: Any) -> None:
    """Its threads wait, not its callers' loops."""
    ledger = SqliteCredits(tmp_path / "ledger.db")

    async def topped_up(name: str) -> None:
        await asyncio.gather(
            *(ledger.top_up(f"{name}-{each}", account="alice", amount=1) for each in range(50))
        )

    for each in [begun(partial(topped_up, name)) for name in "abc"]:
        each.result(PATIENCE)
    assert asyncio.run(ledger.balance("alice")).available == 150
    asyncio.run(ledger.close())
