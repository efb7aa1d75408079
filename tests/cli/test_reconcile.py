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
from nexus_bounty.cli.commands.reconcile import News, judged, told
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


def test_a_range_is_looked_at_alone_and_is_said_again_by_ctrl_c(
    shell: Shell, life: Life, mock: MockNexus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on with the command looks at the same bounties."""
    bounty_id = life.post()
    mock.core.table.write(ZonePaths("default").marker(BountyStatus.DRAFT, bounty_id), b"")
    grace = ("--grace", "0s")
    assert "All is well" in shell("reconcile", *grace, "--after", bounty_id).said
    assert "All is well" in shell("reconcile", *grace, "--through", bounty_id[:-1]).said
    assert "1 found, 1 repaired" in shell("reconcile", *grace, "--through", bounty_id).said
    refused = shell("reconcile", "--after", "b-2", "--through", "b-1")
    assert (refused.code, "must come after" in refused.said) == (2, True)

    async def interrupted(*_: Any, **__: Any) -> ReconcileReport:
        raise asyncio.CancelledError

    monkeypatch.setattr(Reconciler, "run_once", interrupted)
    ended = shell("reconcile", "--after", "b-1", "--through", "b-1 x")
    assert "reconcile --after b-1 --through 'b-1 x'" in ended.said


def a_report(*findings: Finding, error: str | None = None, young: int = 0) -> ReconcileReport:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    repaired = sum(each.repaired is not None for each in findings)
    sweep = SweepReport(
        sweep="stuck drafts",
        found=len(findings),
        repaired=repaired,
        findings=findings,
        error=error,
        young=young,
    )
    return ReconcileReport(started_at=now, finished_at=now, dry_run=False, sweeps=[sweep])


def a_finding(number: int, left: str = "undecided") -> Finding:
    return Finding(sweep="stuck drafts", subject=f"b-{number}", problem="is a draft", left=left)


def test_a_watching_reconciler_tells_what_is_left_once() -> None:
    """A thousand things that nobody decides on are not a thousand lines each minute."""
    news = News()
    left = [a_finding(number) for number in range(1000)]
    assert len(news.of(a_report(*left)).findings) == 1000
    again = news.of(a_report(*left))
    assert not again.findings
    assert again.found == 1000
    assert not news.are_any
    one_more = news.of(a_report(*left, a_finding(1000)))
    assert [each.subject for each in one_more.findings] == ["b-1000"]
    assert news.are_any


def test_it_tells_again_what_has_changed() -> None:
    """Another reason, a repair, and the same once more after it."""
    news = News()
    news.of(a_report(a_finding(1)))
    assert news.of(a_report(a_finding(1, left="another reason"))).findings
    mended = Finding(sweep="stuck drafts", subject="b-1", problem="is a draft", repaired="opened")
    assert news.of(a_report(mended)).findings
    assert news.of(a_report(a_finding(1, left="another reason"))).findings


def test_it_tells_when_it_can_no_longer_look_and_when_it_can_again() -> None:
    """Once each; a run that is like the one before says nothing."""
    news = News()
    told = []
    for report in (a_report(), a_report(), *[a_report(error="down")] * 2, a_report(), a_report()):
        news.of(report)
        told.append(news.are_any)
    assert told == [True, False, True, False, True, False]


def test_it_tells_a_person_only_what_is_new(
    shell: Shell, life: Life, mock: MockNexus, environment: dict[str, str]
) -> None:
    """One line for all runs while nothing happens."""
    mock.core.table.write("/zones/default/bounties/b-1.json", b"{")
    with started("reconcile", "--watch", "--every", "1s", env=environment) as process:
        until(lambda: len([each for each in mock.requests if each.method == "list"]) > 40)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert out.count("cannot be understood") == 1
    assert out.count("1 found") == 1


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (a_report(), 0),
        (a_report(young=1), 11),
        (a_report(a_finding(1), young=1), 9),
        (a_report(error="down", young=1), 1),
    ],
)
def test_the_worst_decides_the_exit_code(report: ReconcileReport, code: int) -> None:
    """And only "all is well" is called that."""
    assert judged(report) == code
    console = Console(width=100)
    with console.capture() as said:
        console.print(told(report))
    assert ("All is well" in said.get()) == (code == 0)


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


@pytest.mark.parametrize(
    "command",
    [
        ["reconcile", "--watch", "--every"],
        ["console", "--look-every"],
        ["worker", "--credits", "postgresql://nowhere", "--every"],
        ["worker", "--credits", "postgresql://nowhere", "--dead-after"],
    ],
    ids=" ".join,
)
def test_what_is_done_again_and_again_leaves_time_for_something_else(
    shell: Shell, command: list[str]
) -> None:
    """Without a pause it would take a core, and all that the server can do."""
    refused = shell(*command, "0s")
    assert refused.code == 2
    assert f"{command[-1]} must be at least 1s" in refused.said
