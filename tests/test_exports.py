"""What a user calls, gets back or catches is named in `nexus_bounty` itself."""

from __future__ import annotations

import importlib
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import nexus_bounty
from nexus_bounty import (
    BountyOperations,
    BountyStore,
    ClaimStore,
    ContributionStore,
    CreditsService,
    NexusBountyStore,
    Reconciler,
)

ROOT = Path(__file__).resolve().parent.parent

CALLED = [
    BountyStore,
    ClaimStore,
    CreditsService,
    ContributionStore,
    NexusBountyStore,
    BountyOperations,
    Reconciler,
]


def test_every_package_says_that_it_is_typed() -> None:
    """Or type checkers take nothing from it."""
    project = Path(__file__).parent.parent
    packages = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"][
        "build"
    ]["targets"]["wheel"]["packages"]
    assert [each for each in packages if not (project / each / "py.typed").is_file()] == []


@pytest.mark.parametrize("called", CALLED, ids=lambda each: each.__name__)
def test_every_type_that_a_method_returns_is_exported(called: type) -> None:
    """So that a program can say what it gets without knowing our rooms."""
    returned = {
        kind
        for name, method in inspect.getmembers(called, inspect.isfunction)
        if not name.startswith("_")
        for kind in _ours(get_type_hints(method).get("return"))
    }
    exported = {getattr(nexus_bounty, name) for name in nexus_bounty.__all__}
    assert returned <= exported, returned - exported


def test_what_nobody_catches_or_builds_is_not_exported() -> None:
    """It is told from within: by an error's text, or by the probe."""
    assert not {"RenameQuirks", "Disposition", "Reason"} & set(nexus_bounty.__all__)


def test_a_ledger_and_a_claim_store_are_opened_by_their_urls() -> None:
    """From the package itself."""
    assert nexus_bounty.open_credits("memory:")
    assert nexus_bounty.open_claims("memory:")


def _ours(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and hint.__module__.startswith("nexus_bounty"):
        yield hint
    for part in get_args(hint):
        yield from _ours(part)


@pytest.mark.parametrize(
    "package", sorted(each.name for each in (ROOT / "adapters").iterdir() if each.is_dir())
)
def test_every_adapter_says_what_it_exports(package: str) -> None:
    if not (ROOT / "adapters" / package / "__init__.py").exists():
        return
    module = importlib.import_module(package)
    assert all(hasattr(module, name) for name in module.__all__)
