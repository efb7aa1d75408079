"""What the how-tos of tests and adapters show is run as a user would run it."""

from __future__ import annotations

import re
from pathlib import Path

from nexus_bounty.mock import FaultKind
from nexus_bounty.testing import steps_of

HOWTO = Path(__file__).parents[2] / "docs" / "how-to"
OPERATIONS = ("create", "claim", "renew", "release", "settle", "cancel")


def test_the_page_names_every_step_of_every_operation() -> None:
    """As they are today."""
    page = (HOWTO / "test-your-code.md").read_text("utf-8")
    for operation in OPERATIONS:
        assert f"| {operation} | {', '.join(steps_of(operation))} |" in page


def test_the_page_explains_every_fault() -> None:
    """Under the words that a mark takes."""
    page = (HOWTO / "test-your-code.md").read_text("utf-8")
    assert set(re.findall(r"^\| ([a-z ,]+) \|", page, re.MULTILINE)) >= {
        each.words for each in FaultKind
    }
