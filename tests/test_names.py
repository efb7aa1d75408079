"""A name stands for one thing in the whole project."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
OTHER_SIDE = ROOT / "nexus_bounty/mock"
"""It imitates servers, which have words of their own."""


def test_no_two_classes_have_one_name() -> None:
    """Whoever reads a name need not ask which."""
    places = defaultdict(list)
    for room in ("nexus_bounty", "adapters"):
        for path in (ROOT / room).rglob("*.py"):
            if OTHER_SIDE in path.parents:
                continue
            for name in re.findall(r"^class ([^\W_]\w*)", path.read_text("utf-8"), re.MULTILINE):
                places[name].append(str(path.relative_to(ROOT)))
    assert len(places) > 300
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


RETIRED = {
    "Bid": "SlotWrite",
    "Lane": "ConnectionThread",
    "Notes": "SweepState",
    "PayLog": "TransferLog",
    "PlainFiles": "FileBackend",
    "Portal": "BackgroundLoop",
    "Recent": "BoundedSet",
    "Standing": "MarkerState",
    "Tally": "FindingCounter",
    "Turnstile": "PriorityLimiter",
    "Wish": "LeaseRequest",
    "WitnessedCommit": "RecordingCommit",
}
"""Names that had to be looked up, and what those things are called now."""


def test_no_class_takes_up_a_name_that_was_given_up() -> None:
    for room in ("nexus_bounty", "adapters"):
        for path in (ROOT / room).rglob("*.py"):
            for name in re.findall(r"^ *class (\w+)", path.read_text("utf-8"), re.MULTILINE):
                assert name not in RETIRED, f"{path}: say {RETIRED[name]}"
