"""How deep a claim goes, as `make house` measures it: layers that only forward would show here."""

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


@pytest.mark.parametrize("personality", ["0.10-hypothetical", "0.7.0", "0.10"])
async def test_no_request_of_a_claim_passes_more(house: ModuleType, personality: str) -> None:
    """Markers, leases and the files that follow included."""
    assert (await house.measure_store_claim(personality)).deepest <= 10
    assert (await house.measure_operation_claim(personality)).deepest <= 14


def test_an_etag_has_four_carriers(house: ModuleType) -> None:
    """What is on the wire, a file, a page of a listing, and what a listing remembers."""
    assert len(house.etag_carriers()) <= 4
