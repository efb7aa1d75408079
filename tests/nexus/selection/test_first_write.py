"""The first write to a zone: it waits for a quick look at the server, which loses nothing."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from nexus_bounty import (
    AutoCommit,
    NexusBountyStore,
    NexusClient,
    UnsupportedServerError,
    Verdict,
)
from nexus_bounty.mock import ALL_FAULTS, Fault, FaultKind, FaultPlan, MockNexus, RequestMatch
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty.testing.virtual_time import run, wall_clock
from tests.support.clients import client_of
from tests.support.sampling import sample_and_all

ZONE = ZonePaths("default")
EXPECTED = {
    "0.5.6": Verdict.RENAME,
    "0.7.0": Verdict.RENAME,
    "0.9": Verdict.RENAME,
    "0.9.26": Verdict.RENAME,
    "0.10": Verdict.RENAME,
    "0.10-hypothetical": Verdict.CONDITIONAL,
}
PASSING = [fault for fault in ALL_FAULTS if fault.status not in (401, 403)]
"""What may go wrong with a request other than that the server refuses its key."""


def in_zone(mock: MockNexus) -> list[int]:
    """The numbers of the writes to the zone, the pinned verdict aside."""
    return [
        request.number
        for request in mock.requests
        if request.method in ("write", "write_batch")
        and any(path.startswith(ZONE.root) for path in request.paths)
        and ZONE.pinned_verdict not in request.paths
    ]


@pytest.mark.parametrize("personality", EXPECTED)
async def test_at_most_twenty_requests_come_before_the_first_write_of_a_zone(
    personality: str,
) -> None:
    """Reading what is pinned, the look at the server and pinning it included."""
    mock = MockNexus(personality)
    async with client_of(mock) as client:
        await NexusBountyStore(client).create_bounty(make_bounty())
    assert in_zone(mock)[0] - 1 <= 20


@pytest.mark.parametrize("personality", EXPECTED)
async def test_a_second_process_reads_what_is_pinned_and_tries_nothing(personality: str) -> None:
    """It looks whether it is the same server, and that is all."""
    mock = MockNexus(personality)
    for bounty_id in ("b-1", "b-2"):
        mock.reset_counts()
        async with client_of(mock) as client:
            await NexusBountyStore(client).create_bounty(make_bounty(bounty_id=bounty_id))
    first = in_zone(mock)[0]
    before = [each for each in mock.requests if each.number < first]
    asked = sorted(each.method for each in before)
    assert asked == ["GET /api/nfs/status", "GET /api/v2/features", "read"]
    assert not [each for each in mock.requests if "nexus-bounty-probe-" in str(each.paths)]


async def _created(mock: MockNexus, seed: int) -> Verdict | None:
    """How the zone is committed after a first create; `None` if it failed."""
    async with NexusClient(
        "http://nexus", transport=mock.transport(), random=Random(seed)
    ) as client:
        commit = AutoCommit(client)
        store = NexusBountyStore(client, commit=commit, clock=wall_clock)
        try:
            await store.create_bounty(make_bounty(), idempotency_key="k")
        except Exception:  # noqa: BLE001 - whatever it is, it counts as a failure
            return None
        return commit.verdict.strategy if commit.verdict else None


@pytest.mark.parametrize(
    ("personality", "seeds"),
    [
        ("0.10", 100),
        *(
            pytest.param(name, 100, marks=pytest.mark.exhaustive)
            for name in EXPECTED
            if name != "0.10"
        ),
        *((name, 15) for name in EXPECTED if name != "0.10"),
    ],
)
def test_of_a_hundred_first_creates_with_one_request_in_twenty_failing_one_may_fail(
    personality: str, seeds: int
) -> None:
    """Lost, late, doubled, garbled or refused for a moment: and the verdict is the right one."""
    found = []
    for seed in range(seeds):
        mock = MockNexus(personality, seed=seed, clock=wall_clock)
        mock.faults_from(FaultPlan.seeded(seed, 0.05, PASSING))
        found.append(run(_created(mock, seed)))
    wrong = [each for each in found if each not in (None, EXPECTED[personality])]
    assert not wrong
    assert found.count(None) <= 1


@sample_and_all
@pytest.mark.parametrize("personality", EXPECTED)
def test_no_passing_fault_at_the_write_of_a_pin_fails_a_first_create(
    personality: str, sample: bool
) -> None:
    """What was there already when it was delivered twice is this program's own pin."""
    for fault in [Fault(FaultKind.DUPLICATE_ECHO)] if sample else PASSING:
        here = fault.on(RequestMatch("write", ZONE.pinned_verdict))
        mock = MockNexus(personality, faults=[here], clock=wall_clock)
        assert run(_created(mock, 0)) is EXPECTED[personality], f"{fault}"
        if sample or EXPECTED[personality] is Verdict.CONDITIONAL:
            assert ZONE.pinned_verdict in mock.files, f"{fault}"  # else the next operation pins


async def _refused(mock: MockNexus) -> UnsupportedServerError:
    async with client_of(mock) as client:
        with pytest.raises(UnsupportedServerError) as refused:
            await NexusBountyStore(client).create_bounty(make_bounty())
    return refused.value


async def test_a_server_without_a_kernel_is_refused_by_name_and_nothing_is_left_on_it() -> None:
    """It would take every write, and show none."""
    mock = MockNexus("0.9.20-without-kernel")
    error = await _refused(mock)
    assert "its kernel is missing" in error.message
    assert "nexus_kernel" in error.message
    assert error.outcome == "pre_commit"
    assert not mock.files


async def test_a_pinned_verdict_that_cannot_be_read_is_no_missing_kernel() -> None:
    """Where anything else can be read, that is what went wrong."""
    unreadable = Fault(
        FaultKind.RPC_ERROR_BEFORE, match=RequestMatch("read", ZONE.pinned_verdict), times=None
    )
    mock = MockNexus("0.10", faults=[unreadable])
    async with client_of(mock) as client:
        with pytest.raises(Exception, match="could not find out how to commit"):
            await NexusBountyStore(client).create_bounty(make_bounty())


def test_a_rate_limit_that_others_use_up_is_waited_for() -> None:
    """Others have used up what is allowed: a look takes a minute more, as the server asks."""

    async def scenario() -> tuple[float, MockNexus]:
        mock = MockNexus("0.10", rate_limit=12, clock=wall_clock)
        began = asyncio.get_running_loop().time()
        async with client_of(mock) as other:
            for number in range(10):
                await other.write(f"/zones/other/{number}", b"")
        async with client_of(mock) as client:
            await NexusBountyStore(client).create_bounty(make_bounty())
            return asyncio.get_running_loop().time() - began, mock

    took, mock = run(scenario())
    assert 60 <= took < 200
    assert ZONE.pinned_verdict in mock.files


@pytest.mark.parametrize("wanted", [Verdict.RENAME, Verdict.SINGLE_WRITER])
async def test_who_wants_renames_has_them_tried_although_preconditions_are_safe(
    wanted: Verdict,
) -> None:
    """A quick look leaves them out otherwise; a pin without them is looked at again."""
    mock = MockNexus("0.10-hypothetical")
    async with client_of(mock) as client:
        commit = AutoCommit(client, wanted=wanted)
        await NexusBountyStore(client, commit=commit).create_bounty(make_bounty())
        assert commit.verdict is not None
        assert commit.verdict.strategy is wanted
        await commit.close()


async def test_a_pin_without_renames_is_no_reason_to_call_them_unsafe() -> None:
    """They clash with what the zone is committed with: that is what is said."""
    mock = MockNexus("0.10-hypothetical")
    async with client_of(mock) as client:
        await NexusBountyStore(client).create_bounty(make_bounty())
    async with client_of(mock) as client:
        store = NexusBountyStore(client, commit=AutoCommit(client, wanted=Verdict.RENAME))
        with pytest.raises(UnsupportedServerError, match="committed with conditional"):
            await store.create_bounty(make_bounty(bounty_id="b-2"))
