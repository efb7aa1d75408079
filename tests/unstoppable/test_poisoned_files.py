"""One bad file never stops a zone: what cannot be understood is left out, and the rest goes on."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_bounty import AgentIdentity, BountyStatus, NexusBountyStore, NexusClient, OutcomeError
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import Claim
from nexus_bounty.nexus.documents.paths import ZonePaths, document_id
from nexus_bounty.nexus.documents.records import to_value
from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.builders import make_bounty_in, make_reward
from nexus_bounty.testing.virtual_time import EPOCH, run
from tests.support.sampling import thorough_unless
from tests.support.world import BOB, BOUNTY_ID, GRACE, Process, World, a_bounty

ZONE: Final = ZonePaths("default")
TIMES: Final = (
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+12:00",
    "9999-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00",
    "2026-01-01T00:00:00",
    "2026-13-01T00:00:00Z",
    "",
    None,
    10**30,
)
NAMES: Final[tuple[Any, ...]] = (
    "\x00",
    "b\x00",
    "../x",
    "a/b",
    "%",
    "%2F",
    " ",
    "",
    "x" * 1000,
    "\u202e",
    7,
    None,
    [],
)
AMOUNTS: Final = (0, -1, 10**30, 1.5, "1", True, None, float("1e308"))


def deep(levels: int) -> bytes:
    return b'{"context":' + b"[" * levels + b"]" * levels + b"}"


NO_DOCUMENTS: Final = {
    "nothing": b"",
    "text": b"hello",
    "binary": bytes(range(256)),
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "an empty object": b"{}",
    "base64 of no JSON": b64encode(b"hello"),
    "a BOM": b"\xef\xbb\xbf{}",
    "half a document": b'{"bountyId":"b-0","status":"op',
    "nested 977 deep": deep(977),
    "nested 5,000 deep": deep(5_000),
    "nested 100,000 deep": deep(100_000),
    "a lone surrogate": b'{"bountyId":"\\ud800"}',
    "an infinite number": b'{"amount":1e999}',
    "history that is none": b'{"bountyId":"b-0","nexusBounty":7}',
    "history of a date without zone": (
        b'{"bountyId":"b-0","nexusBounty":{"ops":[{"key":"k","kind":"create","fingerprint":"f",'
        b'"seq":1,"at":"2026-01-01T00:00:00"}]}}'
    ),
    "history of no date": (
        b'{"bountyId":"b-0","nexusBounty":{"ops":[{"key":"k","kind":"create","fingerprint":"f",'
        b'"seq":1,"at":"9999-12-31T23:59:59-14:00"}]}}'
    ),
    "another bounty": json.dumps(
        to_value(make_bounty_in(BountyStatus.OPEN, bounty_id="b-9"))
    ).encode(),
}


def a_claim() -> Claim:
    return Claim(
        claim_id="c-0",
        target_ref="bounty:b-0",
        agent=AgentIdentity(agent_id="carol"),
        intent_summary="",
        heartbeat_at=EPOCH,
        lease_expires_at=EPOCH + timedelta(hours=1),
        created_at=EPOCH,
    )


def poisoned(value: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """`value` with each of its fields at each value that somebody may have put there."""
    for field in value:
        is_time = field.endswith("At") or field == "deadline"
        for bad in TIMES if is_time else (AMOUNTS if field == "amount" else NAMES):
            yield f"{field}={str(bad)[:20]!r}", json.dumps(value | {field: bad}).encode()


def bounty_value(status: BountyStatus) -> dict[str, Any]:
    return to_value(make_bounty_in(status, bounty_id="b-0", updated_at=EPOCH, created_at=EPOCH))


REWARD: Final = make_reward(reward_id="r-0")
POISON: Final = {
    **{f"bounty: {name}": {ZONE.bounty("b-0"): body} for name, body in NO_DOCUMENTS.items()},
    **{f"claim: {name}": {ZONE.claim("c-0"): body} for name, body in NO_DOCUMENTS.items()},
    **{f"reward: {name}": {ZONE.reward("r-0"): body} for name, body in NO_DOCUMENTS.items()},
    **{
        f"{status.value} bounty: {name}": {ZONE.bounty("b-0"): body}
        for status in (BountyStatus.CLAIMED, BountyStatus.PENDING_SETTLEMENT)
        for name, body in poisoned(bounty_value(status))
    },
    **{f"claim: {name}": {ZONE.claim("c-0"): body} for name, body in poisoned(to_value(a_claim()))},
    **{f"reward: {name}": {ZONE.reward("r-0"): body} for name, body in poisoned(to_value(REWARD))},
}


def index_of(path: str) -> list[str]:
    """Every marker that may lead to the file at `path`."""
    name = document_id(path)
    if path.startswith(ZONE.bounties):
        return [ZONE.marker(status, name) for status in BountyStatus]
    return [ZONE.active_claim("bounty:b-0", name), ZONE.active_claim("bounty:\ufffd", name)]


async def poison(process: Process, files: dict[str, bytes]) -> None:
    client = process.operations.services.store._client  # type: ignore[attr-defined]
    for path, content in files.items():
        await client.write(path, content)
        for marker in index_of(path):
            await client.write(marker, b"")


async def everything_read(operations: BountyOperations) -> set[str]:
    """Every call that goes through a zone; the ids of the bounties that a listing shows."""
    store, claims = operations.services.store, operations.services.claims
    await store.count_bounties()
    await store.find_expired_bounties(EPOCH + timedelta(days=30))
    await store.get_bounties(["b-0", BOUNTY_ID])
    await store.list_rewards()
    await store.recorded_rewards(["r-0"])
    await claims.active_claims()
    await claims.active_claims("bounty:b-0")
    await claims.get_many(["c-0"])
    async for page in store.audit_index():
        await store.repair_markers(page.faults)
    return {each.bounty_id for each in await store.list_bounties()}


async def _a_zone_with(files: dict[str, bytes]) -> None:
    world = World()
    await world.found()
    async with world.process() as process:
        operations = process.operations
        await operations.create(a_bounty(), idempotency_key="create")
        await poison(process, files)
        assert BOUNTY_ID in await everything_read(operations)
        await operations.claim(BOUNTY_ID, BOB, idempotency_key="claim")
    await world.later()
    async with world.process(seed=2) as process:
        report = await Reconciler(process.operations, grace=GRACE).run_once()
        assert report.errors == []
        await process.operations.expire_due(EPOCH + timedelta(days=30))
        assert BOUNTY_ID in await everything_read(process.operations)
        calls: list[Callable[[BountyOperations], Awaitable[object]]] = [
            lambda o: o.claim("b-0", BOB),
            lambda o: o.settle("b-0", "cid-1"),
            lambda o: o.cancel("b-0"),
        ]
        for call in calls:
            with suppress(OutcomeError):  # anything else is undocumented
                await call(process.operations)


def is_quick(name: str) -> bool:
    """Whether the zone full of all of them does not show it as well."""
    return "=" not in name


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if is_quick(name) else pytest.mark.exhaustive) for name in POISON],
)
def test_one_bad_file_stops_nothing_else(name: str) -> None:
    """Listings, sweeps, the audit and operations on other bounties go on without an error."""
    run(_a_zone_with(POISON[name]))


def elsewhere(files: dict[str, bytes], number: int) -> dict[str, bytes]:
    """The same files under names of their own, so that a zone can have them all."""
    moved = {}
    for path, content in files.items():
        for old in ("b-0", "c-0", "r-0"):
            new = f"{old}-{number}"
            path, content = path.replace(old, new), content.replace(old.encode(), new.encode())
        moved[path] = content
    return moved


@pytest.mark.thorough
def test_a_zone_full_of_bad_files_is_worked_in_as_any_other() -> None:
    """All of them at once."""
    everything: dict[str, bytes] = {}
    for number, files in enumerate(POISON.values()):
        everything |= elsewhere(files, number)
    run(_a_zone_with(everything))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def mangled(draw: st.DrawFn) -> dict[str, bytes]:
    """A document of any kind, some of whose fields hold anything at all, or no document."""
    path, value = draw(
        st.sampled_from(
            [
                (ZONE.bounty("b-0"), bounty_value(BountyStatus.CLAIMED)),
                (ZONE.bounty("b-0"), bounty_value(BountyStatus.SETTLED)),
                (ZONE.claim("c-0"), to_value(a_claim())),
                (ZONE.reward("r-0"), to_value(REWARD)),
            ]
        )
    )
    if draw(st.integers(0, 9)) == 0:
        return {path: draw(st.binary(max_size=64))}
    for field in draw(st.lists(st.sampled_from(sorted(value)), min_size=1, max_size=3)):
        value = value | {field: draw(JSON | st.sampled_from(TIMES) | st.sampled_from(NAMES))}
    return {path: json.dumps(value).encode()}


@pytest.mark.parametrize("examples", [10, thorough_unless(False, 100)])
def test_no_file_at_all_stops_a_zone(examples: int) -> None:
    """Whatever stands in a document, no call raises anything undocumented."""

    @settings(max_examples=examples)
    @given(mangled())
    def stops_nothing(files: dict[str, bytes]) -> None:
        run(_a_zone_with(files))

    stops_nothing()


PINS: Final = {
    **{name: body for name, body in NO_DOCUMENTS.items() if name != "another bounty"},
    "nested 5,000 deep in a list": b"[" * 5_000,
}


async def _writes_with(spoil: Callable[[bytes], bytes]) -> None:
    mock = MockNexus("0.7.0")
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        await NexusBountyStore(client).create_bounty(make_bounty_in(BountyStatus.OPEN))
        pin = mock.read_file(ZONE.pinned_verdict)
        assert pin is not None
        await client.write(ZONE.pinned_verdict, spoil(pin))
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client)
        await store.claim_bounty("b-1", BOB, "c-1")
        assert [each.status for each in await store.list_bounties()] == [BountyStatus.CLAIMED]


@pytest.mark.parametrize("name", PINS)
def test_a_pin_that_cannot_be_understood_stops_no_write(name: str) -> None:
    """The server is probed anew."""
    run(_writes_with(lambda _: PINS[name]))


def dated(pin: bytes, probed_at: str) -> bytes:
    value = json.loads(pin)
    value["report"]["probedAt"] = probed_at
    return json.dumps(value).encode()


@pytest.mark.parametrize("probed_at", ["2026-01-01T00:00:00", "9999-12-31T23:59:59-14:00"])
def test_a_pin_with_an_odd_date_stops_no_write(probed_at: str) -> None:
    """A date without zone is UTC; one that is none in UTC is not understood."""
    run(_writes_with(lambda pin: dated(pin, probed_at)))


async def _report_of(files: dict[str, bytes]) -> list[str]:
    world = World()
    async with world.process() as process:
        await poison(process, files)
    await world.later()
    async with world.process(seed=2) as process:
        report = await Reconciler(process.operations, grace=GRACE).run_once()
    return [f"{each.subject} {each.problem}" for each in report.left]


def test_a_document_that_cannot_be_understood_is_named_once_in_the_report() -> None:
    """Nobody misses it silently, and nothing is done to it."""
    told = run(_report_of({ZONE.bounty("b-0"): b"hello"}))
    assert [each.partition(":")[0] for each in told] == ["b-0 cannot be understood"]
