"""`reconcile` on what takes long: interrupted, gone on with, and told in short."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from nexus_bounty import BountyStatus, Reconciler
from nexus_bounty.cli.commands.reconcile import told
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.reconcile import Finding, ReconcileReport, SweepReport
from tests.cli.program import INTERRUPTED, started, until
from tests.cli.shell import Life, Shell


def test_ctrl_c_says_with_what_to_go_on_and_that_does_the_rest(
    environment: dict[str, str], shell: Shell, life: Life, mock: MockNexus
) -> None:
    """A stale marker is in the part that was not yet looked at."""
    bounty_id = life.post()
    mock.core.table.write(ZonePaths("default").marker(BountyStatus.DRAFT, bounty_id), b"")
    the_audit = RequestMatch(method="list", path="*/status/draft", nth=2)
    mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=the_audit))
    environment |= {"NEXUS_REQUEST_TIMEOUT": "60", "NEXUS_OPERATION_TIMEOUT": "60"}
    with started("reconcile", "--grace", "0s", "--json", env=environment) as process:
        until(lambda: any(each.fault for each in mock.requests))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in err
    document = json.loads(out)
    assert document["error"] == "Interrupted"
    assert document["next"].startswith("nexus-bounty reconcile --resume")
    assert document["cursor"]["missing rewards"] is None
    resumed = shell("reconcile", "--grace", "0s", "--resume", json.dumps(document["cursor"]))
    assert "1 found, 1 repaired" in resumed.said
    assert "All is well" in shell("reconcile", "--grace", "0s").said


def test_ctrl_c_tells_a_person_the_command_to_go_on_with(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is to be typed, quotes included."""

    async def interrupted(reconciler: Reconciler, *_: Any, **__: Any) -> ReconcileReport:
        reconciler._states["index markers"].after = "/zones/default/bounties/it's.json"
        raise asyncio.CancelledError

    monkeypatch.setattr(Reconciler, "run_once", interrupted)
    ended = shell("reconcile")
    assert ended.code == INTERRUPTED
    assert "nothing is lost by that" in ended.said
    assert """reconcile --resume '{"index markers":"/zones/default/bounties/it'"'"'s.json"}'""" in (
        ended.said
    )


@pytest.mark.parametrize("cursor", ["index markers", "[]", '{"dust": "/"}', '{"index markers": 1}'])
def test_what_is_no_cursor_is_wrong_usage(shell: Shell, mock: MockNexus, cursor: str) -> None:
    """Nothing is sent."""
    ended = shell("reconcile", "--resume", cursor)
    assert ended.code == 2
    assert mock.request_count == 0


def test_what_a_report_does_not_hold_is_counted() -> None:
    """Thousands of findings are not all told."""
    finding = Finding(sweep="stuck drafts", subject="b-1", problem="is a draft", repaired="opened")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    sweep = SweepReport(sweep="stuck drafts", found=1234, repaired=1230, findings=[finding])
    report = ReconcileReport(started_at=now, finished_at=now, dry_run=False, sweeps=[sweep])
    console = Console(width=100)
    with console.capture() as said:
        console.print(told(report))
    assert "1234 found, 1230 repaired, 4 left." in said.get()
    assert "… and 1233 more" in said.get()
