"""What nobody listens to is not built, and nothing that is told holds a secret."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nexus_bounty
from nexus_bounty import NexusClient, events
from nexus_bounty.events import stream, tracking
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.builders import make_bounty
from tests.events.support import QUICK, Heard, a_mock, a_store, commit_of
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, CID, World, a_bounty

KEY = "sk-very-secret"
TITLE = "Sort it very quietly"
KINDS = events.Event.__subclasses__()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[events.Event]:
    """Every event that is built."""
    built = Heard()
    tell = stream._tell

    def note(observers: list[events.Observer], event: events.Event) -> None:
        built(event)
        tell(observers, event)

    monkeypatch.setattr(stream, "_tell", note)
    return built


@pytest.fixture
def nobody_listens() -> Iterator[None]:
    events.default_log.unregister()
    yield
    stream._stream.add(events.default_log)


async def live(mock: MockNexus) -> None:
    """A bounty's life on a store, with a lost answer, a retry and a clean-up."""
    mock.inject(commit_of(FaultKind.DROP_AFTER), Fault(FaultKind.STATUS_BEFORE, at=1))
    async with a_store(mock) as quick:
        store = quick.cleaning_up(later=True)
        await store.create_bounty(make_bounty())
        await store.claim_bounty(BOUNTY_ID, BOB, "c-1")
        await store.resolve_operation(BOUNTY_ID, "k-2")


@virtual
async def test_no_event_is_built_while_nobody_listens(
    told: list[events.Event], nobody_listens: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything set up for attributing it."""
    monkeypatch.setattr(stream._stream, "_wanted_by_given", frozenset())  # as in a new process
    stream._stream.remove(events.default_log)
    assert not any(kind.heard for kind in KINDS)

    def refuse(*_parts: Any) -> None:
        raise AssertionError("nobody listens")

    monkeypatch.setattr(tracking, "OperationInfo", refuse)
    await live(a_mock())
    assert told == []


@virtual
async def test_no_event_is_built_for_the_observers_of_others(
    told: list[events.Event], nobody_listens: None
) -> None:
    heard = Heard()
    async with a_store(a_mock(), observers=[heard]):
        assert events.RequestSent.heard
        await live(a_mock())
    assert told == heard == []


@virtual
async def test_the_log_alone_has_only_the_rare_events_built(told: list[events.Event]) -> None:
    await live(a_mock())
    assert {type(each) for each in told} == {
        events.DoubtResolved,
        events.FenceLanded,
        events.CleanUpEnded,
    }


def test_events_are_built_by_publish_alone() -> None:
    """So that what the tests above count is all there is."""
    names = {kind.__name__ for kind in KINDS}
    for path in Path(nexus_bounty.__file__).parent.rglob("*.py"):
        built = [line for name, line in _calls(path) if name in names]
        assert built == [], f"{path}: {built}"


def _calls(path: Path) -> Iterator[tuple[str, int]]:
    """The names that a module calls, and where."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield _last_name(node.func), node.lineno


def _last_name(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


@pytest.mark.parametrize("garbage", ["html", "json"])
@virtual
async def test_no_event_holds_a_key_or_a_body(garbage: Any) -> None:
    """Whatever a server answers, be it an echo of what it was sent."""
    heard = Heard()
    mock = MockNexus("0.10-hypothetical", api_key=KEY)
    mock.inject(Fault(FaultKind.GARBAGE, at=2, garbage=garbage), commit_of(FaultKind.TRUNCATE))
    with events.register(heard):
        client = NexusClient(api_key=KEY, settings=QUICK, transport=mock.transport())
        async with client:
            store = nexus_bounty.NexusBountyStore(client, commit="conditional")
            await store.create_bounty(make_bounty(title=TITLE))
            await store.list_bounties()
    async with NexusClient(api_key="wrong-key", settings=QUICK, transport=mock.transport()) as bad:
        with events.register(heard), pytest.raises(nexus_bounty.NexusError):
            await bad.read("/a")
    assert len(heard) > 10
    said = repr(heard)
    assert not [secret for secret in (KEY, "wrong-key", TITLE) if secret in said]


@virtual
async def test_whatever_happens_in_a_life_is_told_without_a_body() -> None:
    world, heard = World(), Heard()
    await world.found()
    with events.register(heard):
        async with world.process() as process:
            operations = process.operations
            await operations.create(a_bounty())
            await operations.claim(BOUNTY_ID, BOB)
            await operations.settle(BOUNTY_ID, CID)
            await Reconciler(operations).run_once()
    assert {"settle", "record_reward"} <= _names(heard.of(events.OperationEnded))
    assert a_bounty().title not in repr(heard)


def _names(ended: list[events.OperationEnded]) -> set[str]:
    return {each.operation.name for each in ended if each.operation}
