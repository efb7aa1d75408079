"""`layout`: how the markers of a zone lie, and how to lay them out anew."""

from __future__ import annotations

from nexus_bounty import BountyStatus
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents import paths
from nexus_bounty.nexus.documents.paths import ZonePaths
from tests.cli.shell import Shell

CANCELLED = f"{ZonePaths('default').statuses(BountyStatus.CANCELLED)}/"


def cancelled(shell: Shell, bounty_id: str) -> None:
    """Post a bounty and take it back."""
    shell.json("create", "x", "--amount", 1, "--creator", "alice", "--bounty-id", bounty_id)
    shell.json("cancel", bounty_id)


def by_date(mock: MockNexus) -> dict[str, bool]:
    found = [path for path in mock.files if path.startswith(CANCELLED)]
    return {paths.marked_id(path): paths.day_of(path) is not None for path in found}


def test_doctor_and_layout_say_how_a_zone_is_laid_out(shell: Shell, mock: MockNexus) -> None:
    """Who writes it first decides: flat where documents are written for Grove."""
    assert "nothing is pinned yet" in shell("layout").said
    shell.setenv("NEXUS_BOUNTY_COMMIT", "auto")
    shell.setenv("NEXUS_STORAGE_ENCODING", "base64")
    shell("top-up", "alice", 10)
    cancelled(shell, "b-1")
    assert shell.json("layout")["layout"] == "flat"
    assert "laid out flat" in shell("doctor").said
    assert shell.json("doctor")["layout"]["since"]
    assert by_date(mock) == {"b-1": False}


def test_a_zone_is_laid_out_anew_once_and_the_reconciler_moves_what_is_there(
    shell: Shell, mock: MockNexus
) -> None:
    """A program that commits unseen follows, too, nothing is missing, and a repeat does nothing."""
    shell("top-up", "alice", 10)
    shell.json("layout", "flat")
    cancelled(shell, "b-1")
    first, again = shell.json("layout", "dated"), shell.json("layout", "dated")
    assert (first["changed"], again.get("changed", False)) == (True, False)
    assert first["since"] == again["since"]
    cancelled(shell, "b-2")
    assert by_date(mock) == {"b-1": False, "b-2": True}
    before = shell.json("list", "--status", "cancelled")
    assert "moved" in shell("reconcile", "--grace", "0s").said
    assert shell.json("list", "--status", "cancelled") == before
    shell("reconcile", "--grace", "0s")
    assert by_date(mock) == {"b-1": True, "b-2": True}
    assert len([path for path in mock.files if path.startswith(CANCELLED)]) == 2


def test_a_zone_that_is_made_flat_keeps_the_markers_of_hours(shell: Shell, mock: MockNexus) -> None:
    """The reconciler writes the others beside them, and no delete is ever under way."""
    shell("top-up", "alice", 10)
    shell.json("layout", "dated")
    cancelled(shell, "b-1")
    assert shell.json("layout", "flat")["changed"]
    for number in range(3):
        said = shell("reconcile", "--grace", "0s").said
        assert "moved" not in said
        assert ("marked as it is laid out now" in said) is (number == 0)
        marked = [path for path in mock.files if path.startswith(CANCELLED)]
        assert sorted("@" in path for path in marked) == [False, True]
    assert shell.json("list", "--status", "cancelled")["total"] == 1


def test_a_layout_that_there_is_not_is_refused(shell: Shell, mock: MockNexus) -> None:
    """Before anything is sent."""
    assert shell("layout", "weekly").code == 2
    assert mock.request_count == 0
