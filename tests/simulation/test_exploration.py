from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from nexus_bounty.nexus.probe.scratch import ScratchZone
from tests.simulation import coverage, kept, report, work
from tests.simulation.cli import main
from tests.simulation.exhaustive import CASES, MAIN_CASES, Part, Ran, parts
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.mutation import Hunted, MutantError, check_runs, compiled, hunt_all, mutated
from tests.simulation.scenario import SERVERS, Actor, Scenario, Schedule
from tests.simulation.scoreboard import CANDIDATES, score
from tests.simulation.shrink import kind_of, shrink
from tests.simulation.simulation import Result, replay, run_seed
from tests.support.sampling import thorough_unless

ROOT = Path(__file__).parents[2]
BY_A_READING, BELIEVING = CANDIDATES[1], CANDIDATES[2]


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What makes a process fit for many runs is not for the tests that come after."""
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


SEEDS = (*range(30, 36), *range(350, 370))
"""Crashes of processes with several tasks, and commits by rename, are among them."""


def traces(seeds: Iterable[int]) -> str:
    return "\n".join(run_seed(seed)[1].text for seed in seeds)


@pytest.mark.parametrize("schedules", [30, thorough_unless(False, 100)])
def test_the_first_schedules_violate_nothing(schedules: int) -> None:
    """As many as there is time for; `make explore` runs the others."""
    summary = work.do(work.Seeds(1, schedules))
    assert summary.schedules == schedules
    assert summary.requests > 10 * schedules
    assert summary.violations == {}
    assert summary.unresolved == 0


def test_every_fault_of_one_case_violates_nothing() -> None:
    """One interleaving of the exhaustive schedules; the rest is `make explore`."""
    found = [result for _, result in Part(CASES[1], "content", 1).trials(replay, interleaving=4)]
    assert len(found) > 80
    assert [each.violations for each in found if each.violations] == []


def test_a_run_is_gone_when_garbage_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it passes for old, stays until the job ends, and makes every run after it slower."""
    runs: list[weakref.ref[Result]] = []
    alive: list[int] = []

    def watched(schedule: Schedule) -> Result:
        result = replay(schedule)
        runs.append(weakref.ref(result))
        return result

    class Faults:
        name = "some faults"

        def ran(self) -> Iterator[Ran]:
            return islice(Part(CASES[1], "content", 1).trials(watched, interleaving=4), 10)

    def count(_generation: int = 2) -> int:
        alive.append(sum(each() is not None for each in runs))
        return 0

    monkeypatch.setattr(gc, "collect", count)
    work.do(Faults())
    first, *others, last = alive
    assert len(others) == 9
    assert set(others) == {1}, "only that without a fault, from which the others are made"
    assert (first, last) == (1, 0)


@pytest.mark.parametrize("faults", [1, 2])
def test_the_main_cases_are_there_on_every_server(faults: int) -> None:
    """Both where documents are written and where commits are made by name."""
    there = {(each.case.name, each.server) for each in parts(faults)}
    assert there >= {(case.name, server) for case in MAIN_CASES for server in SERVERS}


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    """Byte for byte, whatever the hashes of strings are."""
    code = f"from {__name__} import SEEDS, traces; print(traces(SEEDS))"
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, check=True
    )
    here = traces(SEEDS)
    assert len(here) > 5000
    assert other.stdout.decode() == here + "\n"


def test_a_drawn_schedule_is_replayed_choice_by_choice() -> None:
    """What a seed drew is all there is to a run."""
    for seed in range(200, 220):
        schedule, result = run_seed(seed)
        copy = Schedule(scenario=schedule.scenario, choices=schedule.choices, seed=seed)
        assert replay(copy).text == result.text


def test_who_gives_no_key_asks_again_with_the_one_it_was_told() -> None:
    """And an operation that says no more than that it failed would show there: no key is looked up.

    A caller who has heard nothing asks for something new.
    """
    bob = Actor(name="bob", does=("settle", "again"))
    what = Scenario(start="claimed", actors=(bob,), keyless=True)
    told = replay(Schedule(scenario=what, choices={"bob.5.fault": "ledger-refused"}))
    unheard = replay(Schedule(scenario=what, choices={"bob.5.fault": "cancel-before"}))
    assert [each.verdict for each in told.operations] == ["post_commit", "committed"]
    assert [each.verdict for each in unheard.operations] == ["cancelled", "committed"]
    asked, again = (each.key for each in told.operations)
    assert asked == again != "bob-0-settle"
    asked, anew = (each.key for each in unheard.operations)
    assert asked == "bob-0-settle" != anew
    assert told.violations == unheard.violations == []


def test_a_planted_violation_is_found_and_made_small() -> None:
    """A resolver without a fence is caught, and what is left says why."""
    part = Part(CASES[1], "content", 1)
    runs = part.trials(BY_A_READING.run)
    schedule, result = next((ran, its) for ran, its in runs if its.violations)
    kind = kind_of(result.violations[0])

    def fails(candidate: Schedule) -> bool:
        return kind in {kind_of(each) for each in BY_A_READING.run(candidate).violations}

    small = shrink(schedule, fails)
    assert fails(small)
    assert len(small.choices) == 1
    assert not replay(small).violations


def test_a_clean_schedule_is_not_shrunk_to_nothing_that_fails() -> None:
    """Shrinking never makes up a failure."""
    schedule, _ = run_seed(3)
    assert shrink(schedule, lambda _: False) == schedule


@pytest.mark.parametrize("path", kept.KEPT, ids=lambda path: path.stem)
def test_a_schedule_that_is_kept_violates_nothing(path: Path) -> None:
    """What once showed a violation, and what shows mutants that are hard to find."""
    result = replay(kept.read(path))
    assert result.violations == [], result.text


def test_what_a_process_has_found_out_itself_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As what is pinned: nobody resolves by fences who may not write, and it says for how long.

    Here a probe is fooled, as it was by a write that was delivered twice.
    """

    async def unconditionally(zone: ScratchZone, path: str, text: str) -> None:
        await zone.written(path, text)

    monkeypatch.setattr(ScratchZone, "created", unconditionally)
    path = next(path for path in kept.KEPT if path.stem.startswith("a-write-of-a-probe"))
    result = replay(kept.read(path))
    assert "looked safe on this server before" in str([each.error for each in result.operations])
    assert result.violations == [], result.text


def test_a_schedule_in_open_is_still_violated() -> None:
    """Once its bug is mended it moves to `kept`."""
    for path in kept.OPEN:
        assert replay(kept.read(path)).violations, f"move {path} to kept"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_fits_the_code(mutant: Mutant) -> None:
    """Its text is there once, and what takes its place compiles and names only what is there."""
    path = ROOT / f"{mutant.module.replace('.', '/')}.py"
    compiled(mutant, path)


def test_a_mutant_whose_text_is_gone_is_an_error() -> None:
    """It must not pass for killed, or for a survivor."""
    with pytest.raises(MutantError, match="found 0 times"):
        mutated(Mutant("old", "nexus_bounty.lifecycle", "text that is not there", ""), "source")


def test_a_mutant_that_names_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    """It would be killed by that, whatever the exploration is worth."""
    path = tmp_path / "lifecycle.py"
    path.write_text("def pay():\n    return len('paid')\n")
    with pytest.raises(MutantError, match="asyncio"):
        compiled(Mutant("odd", "nexus_bounty.lifecycle", "len('paid')", "asyncio.sleep(0)"), path)


@pytest.mark.parametrize("kind", ["claim escaped as TypeError", "NameError in a calm run: x"])
def test_a_mutant_that_cannot_run_is_an_error(kind: str) -> None:
    """It leaves a parameter out, say, and would be killed by that."""
    with pytest.raises(MutantError, match="cannot even run"):
        check_runs(Mutant("odd", "nexus_bounty.lifecycle", "", ""), kind)
    check_runs(Mutant("odd", "nexus_bounty.lifecycle", "", ""), "not linearizable")


@pytest.mark.thorough
def test_mutants_are_killed() -> None:
    """Two of them; `make explore` hunts them all."""
    shown = [each for path in kept.OPEN for each in replay(kept.read(path)).violations]
    names = ("the fence is removed", "settle: settled before it is paid")
    chosen = [each for each in MUTANTS if each.name.startswith(names)]
    hunted = list(hunt_all(chosen, workers=2, ignored=frozenset(map(kind_of, shown))))
    assert len(hunted) == 2
    assert all(each.killed_by for each in hunted), hunted
    assert all(each.schedule and not replay(each.schedule).violations for each in hunted)


@pytest.mark.thorough
def test_the_scoreboard_tells_ours_from_the_others() -> None:
    """A few schedules of ours are clean; each of the others shows what is wrong with it."""
    assert score(CANDIDATES[0], at_most=10).violating == 0
    for candidate in CANDIDATES[1:]:
        runs = Part(CASES[1], "content", 1).trials(candidate.run)
        assert any(result.violations for _, result in runs), candidate.name


def test_what_was_covered_is_a_table_and_a_picture() -> None:
    """Each request and each hazard has its place in both."""
    summary = work.do(work.Seeds(1, 20))
    lines = coverage.table(summary.coverage)
    page = coverage.heat_map(summary.coverage)
    for operation, where, hazard, _ in summary.coverage:
        if hazard != "-":
            assert any(line.startswith(operation) and where in line for line in lines)
            assert f"{operation}: {where}, {hazard}" in page


@pytest.mark.thorough
def test_the_command_ends_with_its_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One JSON line with what was run, and the heat map where it was asked for."""
    asked = ["--seeds", "1-20", "--faults", "0", "--no-mutants", "--workers", "1", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*asked, "--report", str(tmp_path)])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert ended.value.code == 0
    assert figures["schedules"] == 20 + 20 // 5 + len(kept.KEPT)
    assert figures["violations"] == figures["unresolved"] == 0
    assert {"mutants", "mutants_killed", "seconds"} <= figures.keys()
    assert (tmp_path / "coverage.html").read_text().startswith("<!DOCTYPE html>")


def test_a_violation_is_reported_with_the_way_to_see_it_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trace is printed, and its schedule is kept in a file that replays it."""
    monkeypatch.setattr(report, "replay", BELIEVING.run)
    schedule, result = next(
        ran for ran in Part(CASES[1], "content", 1).trials(BELIEVING.run) if ran[1].violations
    )
    summary = work.Summary()
    summary.add(schedule, (schedule, result))
    report.show(report.Report(total=summary), Console(width=200), tmp_path)
    said = capsys.readouterr().out
    assert result.violations[0] in said
    file = tmp_path / "violation-1.json"
    assert f"--replay {file}" in said
    assert BELIEVING.run(kept.read(file)).violations


def test_an_exploration_that_would_miss_mutants_is_not_clean() -> None:
    """However little it finds: it has not looked."""
    few = int(report.MOST_SURVIVE * report.PLANTED)
    missed = [Hunted(mutant, None, 1) for mutant in MUTANTS]
    assert report.Report(hunted=missed[:few]).is_clean
    assert not report.Report(hunted=missed[: few + 1]).is_clean


def test_a_replay_shows_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a seed, with one command."""
    with pytest.raises(SystemExit) as ended:
        main(["--replay", "33"])
    assert ended.value.code == 0
    assert run_seed(33)[1].trace()[-1] in capsys.readouterr().out
