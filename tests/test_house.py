"""How deep a claim goes, as `make house` measures it: layers that only forward would show here.

The aims of ten and fourteen frames are those of the request that commits. Other requests of a
claim go deeper, and are held to what they are.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parent.parent / "tools" / "house.py"


@pytest.fixture(scope="module")
def house() -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["house"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("personality", ["0.10-hypothetical", "0.7.0", "0.10"])
async def test_the_commit_of_a_claim_passes_ten_frames_from_the_store(
    house: ModuleType, personality: str
) -> None:
    """By the server's preconditions, by create or by rename, as `auto` finds out."""
    depth = await house.measure_store_claim(personality)
    assert depth.stack[0] == "NexusBountyStore.claim_bounty"
    assert depth.stack[-1] == "HttpxTransport.send"
    assert depth.commit <= 10, depth.stack


@pytest.mark.parametrize("personality", ["0.10-hypothetical", "0.7.0", "0.10"])
async def test_the_commit_of_a_claim_passes_fourteen_frames_from_the_operation(
    house: ModuleType, personality: str
) -> None:
    depth = await house.measure_operation_claim(personality)
    assert depth.stack[0] == "BountyOperations.claim"
    assert depth.commit <= 14, depth.stack


@pytest.mark.parametrize(
    ("personality", "store", "operation"),
    [("0.10-hypothetical", 17, 18), ("0.7.0", 20, 22), ("0.10", 20, 22)],
)
async def test_no_request_that_a_claim_leads_to_passes_more_than_it_does_now(
    house: ModuleType, personality: str, store: int, operation: int
) -> None:
    """Markers, leases and staged files included, whether or not a task of their own sends them.

    Those are deeper than the commit: the steps of a lock lie above a request for many files, and
    the last look at markers follows what is removed before it.
    """
    assert (await house.measure_store_claim(personality)).deepest <= store
    assert (await house.measure_operation_claim(personality)).deepest <= operation


async def test_a_request_of_a_task_is_measured_from_the_caller_on(house: ModuleType) -> None:
    """A lease is taken in a task beside what the store prepares: no request of it is left out."""
    depth = await house.measure_operation_claim("0.10")
    assert depth.deepest > depth.commit
    assert depth.deepest_stack[0] == "BountyOperations.claim"
    assert "both" in depth.deepest_stack
    assert depth.deepest_stack[-1] == "HttpxTransport.send"


def test_an_etag_has_four_carriers(house: ModuleType) -> None:
    """What is on the wire, a file, a page of a listing, and what a listing remembers.

    Five subclasses add to what is on the wire, or to a file, and one mapping has a name.
    """
    types = house.measure_etag_types()
    assert len(types.carriers) <= 4, types.carriers
    assert len(types.narrower) <= 5, types.narrower
    assert len(types.aliases) <= 1, types.aliases
