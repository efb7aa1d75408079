"""Whatever a stranger forges, and whenever: no money moves against what is on record."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation import hostile
from tests.simulation.bindings import BINDINGS, Binding, hunt
from tests.simulation.forgeries import OF_DOCUMENTS, OTHERS
from tests.simulation.hostile import run_hostile_seed
from tests.simulation.mutation import compiled
from tests.simulation.simulation import replay

ROOT = Path(__file__).parents[2]
SEEDS = range(1, 19)


def test_no_schedule_with_a_stranger_moves_money_against_the_record() -> None:
    """A few of them; `make explore` runs more. In each something is forged."""
    forged: Counter[str] = Counter()
    strangers: Counter[str] = Counter()
    for seed in SEEDS:
        schedule, result = run_hostile_seed(seed)
        assert result.violations == [], f"seed {seed}\n{result.text}"
        names = [what for name, what in schedule.choices.items() if name.endswith(".forges")]
        forged.update(names)
        strangers[schedule.scenario.stranger] += bool(names)
    assert all(strangers[each] > 3 for each in ("without the key", "in a zone without keys"))
    assert len(forged.keys() & {*OF_DOCUMENTS, *OTHERS}) > 15


def test_a_schedule_with_a_stranger_is_replayed_choice_by_choice() -> None:
    """As every other."""
    schedule, result = run_hostile_seed(SEEDS[0])
    assert replay(schedule).text == result.text


@pytest.mark.exhaustive
def test_no_schedule_of_many_with_a_stranger_moves_money_against_the_record() -> None:
    """Some hundreds."""
    for job in hostile.jobs(1, 1000):
        for schedule, result in job.ran():
            assert result.violations == [], f"seed {schedule.seed}\n{result.text}"


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda each: each.mutant.name)
def test_every_binding_is_there_to_be_taken_away(binding: Binding) -> None:
    """Its text is there once, what takes its place compiles, and so are its tests."""
    compiled(binding.mutant, ROOT / f"{binding.mutant.module.replace('.', '/')}.py")
    assert (ROOT / binding.shown_by).exists()


def test_a_binding_that_is_taken_away_is_missed() -> None:
    """One of them; `make explore` hunts them all."""
    name = "the fields that decide about money are not compared"
    found = hunt(next(each for each in BINDINGS if each.mutant.name == name))
    assert "test_a_change_of_what_decides_about_money_is_not_trusted" in (found.killed_by or "")


@pytest.mark.exhaustive
@pytest.mark.parametrize("binding", BINDINGS, ids=lambda each: each.mutant.name)
def test_each_binding_that_is_taken_away_is_missed(binding: Binding) -> None:
    """By a test of its own."""
    assert hunt(binding).killed_by is not None


def test_without_its_signatures_the_exploration_finds_what_is_forged() -> None:
    """It would show it if a forgery moved money: the oracle is not blind."""
    code = """
from tests.simulation.bindings import BINDINGS
from tests.simulation.mutation import plant
plant(next(e.mutant for e in BINDINGS if e.mutant.name.startswith("an untrusted document is")))
from tests.simulation.hostile import run_hostile_seed
print(next(s for s in range(1, 400) if run_hostile_seed(s)[1].violations))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert int(ended.stdout) < 400
