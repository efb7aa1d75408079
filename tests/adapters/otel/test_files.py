"""The dashboard and the alert rules load, and ask for nothing that is not exported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from nexus_bounty_otel.prometheus import watched
from tests.adapters.otel.watching import a_watched_room, everything

FILES = files("nexus_bounty_otel") / "files"
SELECTOR = re.compile(r"(nexus_bounty_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)="([^"]*)"')
EXPORTED = re.compile(r"^(nexus_bounty_\w+)(?:\{(.*)\})? ", re.MULTILINE)
GROUPED = re.compile(r"by \(([^)]*)\)")
OF_PROMETHEUS = {"le"}


@pytest.fixture
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text("utf-8"))
    return loaded


@pytest.fixture
def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((FILES / "alerts.yml").read_text("utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def expressions(dashboard: dict[str, Any], rules: list[dict[str, Any]]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for rule in rules)


async def test_every_metric_that_is_asked_for_is_exported_by_a_run_with_faults(
    dashboard: dict[str, Any], rules: list[dict[str, Any]]
) -> None:
    """With the labels that are asked for, by their values and by what is grouped by them."""
    async with (
        a_watched_room() as room,
        watched("127.0.0.1:0", room["credits"], timedelta(milliseconds=1)) as exposition,
    ):
        await everything(room)
        text = exposition.text()
    series = [(name, dict(LABEL.findall(labels))) for name, labels in EXPORTED.findall(text)]
    missing: list[tuple[str, object]] = []
    for expression in expressions(dashboard, rules):
        grouped = {each.strip() for part in GROUPED.findall(expression) for each in part.split(",")}
        for name, selected in SELECTOR.findall(expression):
            wanted = dict(LABEL.findall(selected))
            found = [labels for each, labels in series if each == name]
            if not any(wanted.items() <= labels.items() for labels in found):
                missing.append((name, wanted))
            elif not any(grouped - OF_PROMETHEUS <= labels.keys() for labels in found):
                missing.append((name, grouped))
    assert missing == []


async def test_every_metric_that_is_exported_is_shown(dashboard: dict[str, Any]) -> None:
    """What is measured and shown nowhere helps nobody."""
    async with a_watched_room() as room, watched("127.0.0.1:0", room["credits"]) as exposition:
        await everything(room)
        text = exposition.text()
    measured = set(re.findall(r"^# TYPE (nexus_bounty_\w+)", text, re.MULTILINE))
    shown = " ".join(expressions(dashboard, []))
    assert [each for each in sorted(measured) if each not in shown] == []


def test_the_dashboard_is_one(dashboard: dict[str, Any]) -> None:
    """Panels with ids of their own, side by side, all on the data source that is chosen."""
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
    (source,) = dashboard["templating"]["list"]
    for panel in panels:
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == f"${{{source['name']}}}"
            assert panel["description"]


def test_every_rule_says_what_is_wrong_and_how_bad_it_is(rules: list[dict[str, Any]]) -> None:
    """For whoever it wakes."""
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))


def test_every_expression_is_closed(dashboard: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    """Its brackets, and its quotes."""
    for expression in expressions(dashboard, rules):
        for opened, closed in ("()", "{}", "[]"):
            assert expression.count(opened) == expression.count(closed), expression
        assert expression.count('"') % 2 == 0, expression
