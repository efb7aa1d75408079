"""One table says what a status means, and nobody else does."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from nexus_bounty import BountyStatus
from nexus_bounty.lifecycle import (
    HOLDS_ESCROW,
    PAST_THE_PIVOT,
    TERMINAL,
    ahead_of,
    goes_back,
    sources_of,
    swept_for,
)
from nexus_bounty.statuses import STATUSES, Claimer, Credits, Repair, StatusRow

S = BountyStatus
ROOT = Path(__file__).parents[1]
ROOMS = ("nexus_bounty", "adapters")

NAMES_A_STATUS = {
    "nexus_bounty/models.py": "the members, and the one that an offer begins with",
    "nexus_bounty/statuses.py": "the table",
    "nexus_bounty/nexus/bounties/transitions.py": "each transition, to what it is named for",
    "nexus_bounty/operations/create.py": "what create is named for: a draft, opened or cancelled",
    "nexus_bounty/operations/claim.py": "what claim is named for: an open bounty",
    "nexus_bounty/operations/settle.py": "what settle is named for: a settled one",
    "nexus_bounty/operations/paying.py": "where settling ends: a settled one",
    "nexus_bounty/operations/drafts.py": "a draft, made and taken back",
    "nexus_bounty/nexus/bounties/creating.py": "what it takes back: a draft, and its marker",
    "nexus_bounty/testing/bounties_suite": "the contract, said once more without the table",
    "nexus_bounty/demo/story.py": "the end of its story",
    "adapters/nexus_bounty_console/lives.py": "a reward is looked for once it is settled",
}

A_NEW_STATUS = {
    "nexus_bounty/models.py": (
        '    OPEN = "open"\n',
        '    OPEN = "open"\n    ON_HOLD = "on_hold"\n',
    ),
    "nexus_bounty/statuses.py": (
        "    _S.CLAIMED: StatusRow(\n",
        """\
    _S.ON_HOLD: StatusRow(
        means="waits",
        colour="magenta",
        then=frozenset({_S.EXPIRED, _S.CANCELLED}),
        credits=Credits.ESCROW,
        claimer=Claimer.NONE,
        repairs=frozenset({Repair.EXPIRE}),
    ),
    _S.CLAIMED: StatusRow(
""",
    ),
}


@pytest.fixture(params=list(S))
def row(request: pytest.FixtureRequest) -> StatusRow:
    return STATUSES[request.param]


def test_the_table_has_a_row_for_each_status_in_the_order_of_a_life():
    """Listings go through the members, sources through the rows: both in one order."""
    assert list(STATUSES) == list(S)


def test_a_row_says_something_in_each_column(row: StatusRow):
    """Only what follows may be empty, at the end of a life."""
    said = {each.name for each in fields(row) if getattr(row, each.name)}
    assert said >= {each.name for each in fields(row)} - {"then", "expects", "dated"}
    assert row.then <= set(S)


def test_only_a_next_status_is_expected(row: StatusRow):
    """Its marker is written ahead."""
    assert row.expects is None or row.expects in row.then


def test_credits_and_claimer_agree(row: StatusRow):
    """Whoever is paid has the credits, and nobody is paid from what goes back."""
    assert (row.credits is Credits.CLAIMER) == (row.claimer is Claimer.PAID)
    assert (row.credits is Credits.CREATOR) == (row.claimer is Claimer.GONE)
    if row.credits is Credits.IN_PAYMENT:
        assert row.claimer is Claimer.BEING_PAID


def test_what_ends_a_life_ends_the_escrow_and_nothing_else_does():
    """Credits that are held for an ended bounty are looked for there."""
    over = (Claimer.PAID, Claimer.GONE)
    assert set(swept_for(Repair.END_ESCROW)) == TERMINAL
    assert {status for status, row in STATUSES.items() if row.claimer in over} == TERMINAL


def test_a_repair_is_a_transition_that_the_table_allows():
    """The reconciler can do what the table says that it does."""
    assert swept_for(Repair.EXPIRE) == sources_of(S.EXPIRED)
    at_work = {status for status, row in STATUSES.items() if row.claimer is Claimer.AT_WORK}
    assert set(swept_for(Repair.REOPEN)) == at_work
    assert all(goes_back(each, S.OPEN) for each in at_work)
    assert set(swept_for(Repair.FINISH_CREATING)) <= set(sources_of(S.CANCELLED))
    paying = {*swept_for(Repair.FINISH_PAYING), *swept_for(Repair.SETTLE_COMPLETED)}
    assert paying == set(sources_of(S.SETTLED))


def test_the_sets_that_follow_are_those_of_the_design():
    """Said once more in words."""
    assert {S.OPEN, S.CLAIMED, S.PENDING_SETTLEMENT} == HOLDS_ESCROW
    assert {S.PENDING_SETTLEMENT, S.COMPLETED, S.SETTLED} == PAST_THE_PIVOT


def test_only_a_release_goes_back():
    """So only `open` is entered anew, and never from what lies ahead of it."""
    back = {(a, b) for a in S for b in S if goes_back(a, b)}
    assert back == {(S.CLAIMED, S.OPEN)}
    assert S.OPEN in ahead_of(S.DRAFT)
    assert all(S.OPEN not in ahead_of(each) for each in S if each is not S.DRAFT)


def test_each_repair_is_made_by_a_sweep():
    """What the table says is done, somebody does."""
    read = set()
    for path in _sources("nexus_bounty/reconcile", "nexus_bounty/nexus/bounties/listing.py"):
        read |= {
            node.attr
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "Repair"
        }
    assert read == set(Repair.__members__)


def test_a_status_is_named_only_where_its_name_is_the_point():
    """What a status means is asked of the table; a new name of one in here needs a new column."""
    named = {
        _place(path): members for path in _sources(*ROOMS) if (members := set(_members_named(path)))
    }
    assert named.keys() == NAMES_A_STATUS.keys(), {
        path: members for path, members in named.items() if path not in NAMES_A_STATUS
    }


def test_no_template_and_no_style_knows_a_status():
    """They ask the table, through what draws them."""
    named = {
        path.relative_to(ROOT).as_posix(): found
        for kind in ("*.html", "*.css")
        for room in ROOMS
        for path in (ROOT / room).rglob(kind)
        if (found := _BY_VALUE.findall(path.read_text("utf-8")))
    }
    assert not named


@pytest.mark.parametrize(
    "line",
    [
        'each.status.value in ("open", "claimed")',
        "board.by_status['completed']",
        '<a href="/?status=pending_settlement&amp;status=x">',
        ".chip.status-open { --c: var(--green); }",
        "--s-claimed: #fff;",
    ],
)
def test_a_line_that_knows_a_status_is_noticed(line: str):
    """The look at templates and styles is not blind."""
    assert _BY_VALUE.search(line)


def test_a_new_status_takes_four_places():
    """Who knows most statuses by name has to learn of a new one; the table spares the others."""
    most = len(S) / 2
    named = {
        place: {member for path in _sources(place) for member in _members_named(path)}
        for place in NAMES_A_STATUS
    }
    knows = [place for place, members in named.items() if len(members) > most]
    assert set(knows) == {
        "nexus_bounty/statuses.py",
        "nexus_bounty/nexus/bounties/transitions.py",
        "nexus_bounty/testing/bounties_suite",
    }  # and models, which has the members themselves


def test_a_status_that_only_models_and_table_know_is_at_home_everywhere(tmp_path: Path):
    """Stored, marked, listed, shown, counted, audited, and ended by the reconciler."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "nexus_bounty", tmp_path / "nexus_bounty", ignore=ignored)
    for name, (old, new) in A_NEW_STATUS.items():
        source = (tmp_path / name).read_text("utf-8")
        assert source.count(old) == 1
        (tmp_path / name).write_text(source.replace(old, new, 1), "utf-8")
    story = Path(__file__).with_name("on_hold.py")
    ended = subprocess.run(
        [sys.executable, str(story)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'adapters'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


_VALUES = "|".join(each.value for each in S)
_BY_VALUE = re.compile(rf"""["']({_VALUES})["']|\b(?:status|s)[-=]({_VALUES})\b""")
"""How a template or a style would name a status."""


def _place(path: Path) -> str:
    """Where a module is listed: by its own name, or by that of its package."""
    name = path.relative_to(ROOT).as_posix()
    package = path.parent.relative_to(ROOT).as_posix()
    return package if package in NAMES_A_STATUS else name


def _sources(*places: str) -> Iterator[Path]:
    for place in places:
        path = ROOT / place
        yield from [path] if path.is_file() else path.rglob("*.py")


def _members_named(path: Path) -> Iterator[str]:
    """The members of `BountyStatus` that a module names, by it, by an alias, or by their value."""
    tree = ast.parse(path.read_text("utf-8"))
    known = {"BountyStatus"} | {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Name)
        and node.value.id == "BountyStatus"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    values = {each.value for each in S}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in known and node.attr in S.__members__:
                yield node.attr
        elif isinstance(node, ast.Compare) and "status" in ast.unparse(node.left):
            for each in ast.walk(node):
                if isinstance(each, ast.Constant) and each.value in values:
                    yield S(each.value).name
