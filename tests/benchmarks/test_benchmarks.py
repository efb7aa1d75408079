"""The benchmarks run, and say what they promise to say."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as together
from benchmarks.cold_start import AT_MOST
from benchmarks.cold_start import measure as cold_start
from benchmarks.harness.options import RESULTS, Options
from benchmarks.harness.personalities import KINDS
from benchmarks.harness.running import run, run_alone
from benchmarks.request_counts import measure as request_counts

pytestmark = pytest.mark.filterwarnings("default")  # what peers and charts warn of is theirs

ALONE = sorted(path.stem for path in Path(together.__file__).parent.glob("[a-z]*.py"))


def assert_all_keys(figures: dict[str, Any], *, sizes: Sequence[int]) -> None:
    """Those that others rely on, for each kind of server."""
    requests = figures["requests"]
    assert requests.keys() >= {"create", "claim", "settle"}
    for each in ("life_cycle", "first_create", *(f"list_20_of_{size}" for size in sizes)):
        assert requests[each].keys() == KINDS.keys(), each
    assert figures["round_trips"]["life_cycle"].keys() == KINDS.keys()
    assert figures["ledger_vs_bare_sqlite"] > 0
    assert figures["overhead_vs_raw_httpx"] > 0
    assert figures["lifecycles_ratio_vs_obvious_client"].keys() >= {"0.7.0", "0.10"}
    assert all(ratio > 0 for ratio in figures["lifecycles_ratio_vs_obvious_client"].values())
    for timed in ("lifecycles", "listings", "fault_cost", "concurrency"):
        assert figures[timed].keys() == KINDS.keys(), timed
    assert figures["cpu_vs_import_httpx"].keys() == AT_MOST.keys()


def test_the_results_that_are_kept_have_every_key():
    """They are those of a quick run, with the newest 20 of 10,000 open among them."""
    results = [json.loads((RESULTS / f"{name}.json").read_text()) for name in ALONE]
    figures = {key: value for each in results for key, value in each.items()}
    assert_all_keys(figures, sizes=(1_000, 10_000))
    assert set(figures["lifecycles_ratio_vs_obvious_client_away"]["0.10"]) == {"0", "5", "50"}


@pytest.mark.exhaustive
def test_a_quick_run_counts_the_newest_of_ten_thousand(tmp_path):
    """On each kind of server."""
    options = Options(scale="quick", out=tmp_path)
    figures = asyncio.run(request_counts(options, lambda _: None)).figures
    assert figures["requests"]["list_20_of_10000"].keys() == KINDS.keys()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["overhead", "life_cycles", "listings", "transition_cpu", "cold_start"]
)
def test_a_tiny_run_gives_figures_a_table_and_a_chart(name, tmp_path, capsys):
    """Each runs alone, on a server in another process, and ends with one line of JSON."""
    benchmark = importlib.import_module(f"benchmarks.{name}").measure
    run_alone(benchmark, ["--tiny", "--json", "--out", str(tmp_path)])
    said = json.loads(capsys.readouterr().out)
    saved = json.loads((tmp_path / f"{name}.json").read_text())
    assert saved.pop("measured")["scale"] == "tiny"
    assert said == saved
    assert (tmp_path / f"{name}.md").read_text().count("|") > 10
    assert "<svg" in (tmp_path / f"{name}.svg").read_text()


@pytest.mark.exhaustive
def test_all_together_end_with_one_line_of_all_figures(tmp_path, capsys):
    """That of `make bench ARGS=--json`, with the keys that others rely on."""
    together.main(["--tiny", "--json", "--out", str(tmp_path)])
    (line,) = capsys.readouterr().out.splitlines()
    figures = json.loads(line)
    assert_all_keys(figures, sizes=(1_000,))
    assert {path.stem for path in tmp_path.glob("*.json")} == set(ALONE)


def test_every_benchmark_is_among_those_that_run_together():
    """None is forgotten."""
    assert sorted(each.__module__.split(".")[1] for each in together.EVERY) == ALONE


@pytest.mark.thorough
def test_a_start_is_light(tmp_path):
    """In CPU time beside importing httpx; the bounds leave room for a busy machine."""
    figures = run(cold_start, Options(scale="quick", out=tmp_path)).figures["cpu_vs_import_httpx"]
    assert figures.keys() == AT_MOST.keys()
    for name, ratio in figures.items():
        assert ratio < 1.25 * AT_MOST[name], (name, ratio)


def test_requests_are_counted_by_the_server_and_stay_within_the_budget(tmp_path):
    """A whole life, and a listing of 20 of 1,000, on each kind of server."""
    options = Options(scale="tiny", out=tmp_path)
    figures = asyncio.run(request_counts(options, lambda _: None)).figures  # and no chart
    assert figures["requests_of_each"]["whole life: create, claim, settle"] <= 12
    lives = {"atomic": 14, "0.10": 17, "0.7.0": 17, "0.9": 17}
    assert all(figures["requests"]["life_cycle"][kind] <= most for kind, most in lives.items())
    atomic = {"without keys": (15, 9), "with keys": (16, 10)}
    delivered = {"0.10": (18, 10), "0.7.0": (20, 11), "0.9": (26, 14)}
    for how in ("without keys", "with keys"):
        name = f"life_cycle, the work on Nexus, {how}"
        for kind, (most, round_trips) in {**delivered, "atomic": atomic[how]}.items():
            assert figures["requests"][name][kind] <= most
            assert figures["round_trips"][name][kind] <= round_trips
    twenty_one_by_one = {"0.9": 25}  # it has no bulk reads
    for kind, requests in figures["requests"]["list_20_of_1000"].items():
        assert requests <= twenty_one_by_one.get(kind, 4)
    assert max(figures["requests"]["list_20_of_1000_again"].values()) <= 3
    assert figures["requests_obvious_client"]["list 20 of 1,000 open"] == 1001


@pytest.mark.exhaustive
def test_workers_in_ranges_are_measured_with_one_of_them_killed(tmp_path):
    """By itself, since it takes long: nothing is left to repair, and the ledger fits."""
    from benchmarks.large.ranges import measure

    figures = run(measure, Options(scale="tiny", out=tmp_path)).figures["ranges"]
    assert figures["ranges"] > 4
    assert figures["passes"].keys() == {"cold", "warm 1", "warm 2"}
