"""The sync face says what the async classes say, and cannot drift from them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

import pytest

from nexus_bounty import (
    AgentIdentity,
    Balance,
    Bounty,
    BountyOperations,
    IndexStatus,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    OperationResult,
    Reconciler,
    Reservation,
    Resolution,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client import File
from nexus_bounty.ports import BountyStore, ClaimStore, ContributionStore, CreditsService
from nexus_bounty.reconcile.report import ReconcileReport
from nexus_bounty.sync import (
    SyncBountyOperations,
    SyncClaimStore,
    SyncContributionStore,
    SyncCreditsService,
    SyncNexusBountyStore,
    SyncNexusClaimStore,
    SyncNexusClient,
    SyncNexusContributionStore,
    SyncReconciler,
)
from nexus_bounty.sync import faces as sync
from nexus_bounty.sync.background_loop import Face
from tools import generate_sync

PAIRS: list[tuple[type, type]] = [
    (NexusClient, SyncNexusClient),
    (NexusBountyStore, SyncNexusBountyStore),
    (NexusClaimStore, SyncNexusClaimStore),
    (NexusContributionStore, SyncNexusContributionStore),
    (BountyOperations, SyncBountyOperations),
    (Reconciler, SyncReconciler),
]
PORTS: list[tuple[type, type]] = [
    (ClaimStore, SyncClaimStore),
    (ContributionStore, SyncContributionStore),
    (CreditsService, SyncCreditsService),
]

ODD = r'''
class Odd:
    r"""Says "\d" <separator> and 'so';

        code = "indented"
    """

    def __init__(self, id: int, *, credits: str = "\n") -> None:
        self.id = id

    async def hash(self, map: dict[str, int]) -> int:
        'A backslash \\ and three quotes """ and " at the end"'
        return self.id

    @property
    def plain(self) -> str:
        """A form feed \x0c is no new line, nor is <separator>."""
        return ""
'''.replace("<separator>", "\u2028")


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_generated_module_is_current() -> None:
    """Fails when an async signature or docstring changed: run `python tools/generate_sync.py`."""
    assert generate_sync.is_current(), "run python tools/generate_sync.py"


@pytest.mark.thorough
def test_the_check_mode_of_the_generator_fails_on_drift_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that a check script can call it."""
    text = generate_sync.TARGET.read_text()
    command = [sys.executable, str(generate_sync.ROOT / "tools" / "generate_sync.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert generate_sync.TARGET.read_text() == text
    drifted = generate_sync.ROOT / "nexus_bounty" / "registry.py"
    monkeypatch.setattr(generate_sync, "TARGET", drifted)
    assert not generate_sync.is_current()


@pytest.mark.parametrize(("original", "face"), PAIRS + PORTS)
def test_every_public_method_has_its_face(original: type, face: type) -> None:
    """Looked at from outside, without the generator."""
    assert public(original) - generate_sync.LEFT_OUT <= public(face)
    assert public(face) - public(original) <= {"wrapped", "close"}


@pytest.mark.parametrize(("original", "face"), PAIRS + PORTS)
def test_every_face_has_the_parameters_and_the_docstring_of_its_original(
    original: type, face: type
) -> None:
    """Names, kinds and defaults, the constructor's too."""
    assert inspect.getdoc(face) == inspect.getdoc(original)
    made = set() if (original, face) in PORTS else {"__init__"}  # of any object with the methods
    for name in (public(original) | made) - generate_sync.LEFT_OUT:
        theirs, ours = getattr(original, name), getattr(face, name)
        assert inspect.getdoc(ours) == inspect.getdoc(theirs) or name == "__init__"
        if not isinstance(theirs, property):
            expected = inspect.signature(theirs).parameters.values()
            given = inspect.signature(ours).parameters.values()
            assert [(p.name, p.kind, p.default) for p in given] == [
                (p.name, p.kind, p.default) for p in expected
            ]
            assert not inspect.iscoroutinefunction(ours)


def test_docstrings_come_over_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they quote; and the linter is told of arguments that are named like builtins."""
    (tmp_path / "odd.py").write_text(ODD)
    monkeypatch.setattr(generate_sync, "ROOT", tmp_path)
    text, imports = generate_sync.write_class("Odd", "odd")
    assert imports == {"", "from odd import Odd"}
    given: dict[str, Any] = {"Face": Face}
    for source in (ODD, generate_sync.excused(generate_sync.tidy(text))):
        exec(source, given)
    for name in ("__doc__", "hash", "plain"):
        theirs, ours = getattr(given["Odd"], name), getattr(given["SyncOdd"], name)
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)
    excused = [line for line in source.splitlines() if "# noqa: A002" in line]
    assert [line.split()[0] for line in excused] == ["def", "def"]
    assert generate_sync.excused(generate_sync.tidy("def f(x): pass\n")).count("#") == 0


def test_a_class_without_a_docstring_has_no_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, instead of writing one that says nothing."""
    (tmp_path / "odd.py").write_text("class Odd:\n    def __init__(self) -> None: ...\n")
    monkeypatch.setattr(generate_sync, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="Odd has no docstring"):
        generate_sync.write_class("Odd", "odd")


def test_a_sync_store_has_every_method_of_the_port() -> None:
    """Whatever works with a `BountyStore` has a sync counterpart."""
    assert public(BountyStore) <= public(SyncNexusBountyStore)


def test_the_types_of_results_are_the_real_ones() -> None:
    """What a type checker sees; it fails there, not here."""

    def typed(
        client: SyncNexusClient,
        store: SyncNexusBountyStore,
        operations: SyncBountyOperations,
        money: SyncCreditsService,
        bounty: Bounty,
    ) -> None:
        assert_type(client.read("/a"), File | None)
        assert_type(client.list("/"), list[str])
        assert_type(client.exists("/a"), bool)
        assert_type(store.create_bounty(bounty, idempotency_key="k"), Bounty)
        assert_type(store.get_bounty("b"), Bounty | None)
        assert_type(store.claim_bounty("b", AgentIdentity(agent_id="a"), "c"), Bounty)
        assert_type(store.find_expired_bounties(datetime.now(UTC)), list[Bounty])
        assert_type(store.list_index_statuses(), list[IndexStatus])
        assert_type(store.resolve_operation("b", "k"), Resolution)
        assert_type(store.store_identity, str)
        assert_type(operations.settle("b", "cid"), OperationResult)
        assert_type(operations.wrapped, BountyOperations)
        assert_type(money.balance("a"), Balance)
        assert_type(money.reservations(), Iterator[Reservation])
        assert_type(SyncReconciler(operations).run_once(), ReconcileReport)
        assert_type(client.wrapped, NexusClient)
        with client as entered:
            assert_type(entered, SyncNexusClient)

    assert callable(typed)


def test_faces_are_what_the_module_offers() -> None:
    """And nothing of how they are made."""
    ours = (kind for kind in Face.__subclasses__() if kind.__module__ == sync.__name__)
    faces = {kind.__name__ for kind in ours}
    assert set(sync.__all__) == faces | {"ClosedError", "timeout"}


def test_a_face_is_shown_as_what_it_is_a_face_of() -> None:
    """Without credentials, as the original."""
    transport = MockNexus().transport()
    with SyncNexusClient("http://host", api_key="sk-secret", transport=transport) as client:
        assert repr(client) == "SyncNexusClient(NexusClient(http://host))"
