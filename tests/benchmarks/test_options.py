"""What cannot be measured, or not be kept, is refused before anything is measured."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as together
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import Step
from benchmarks.harness.running import run_alone


def refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], *, alone: bool = False
) -> str:
    """What is said to whoever gives these arguments."""
    with pytest.raises(SystemExit) as exit_:
        Options.parse("", arguments, alone=alone)
    assert exit_.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_fewer_than_one_round_is_refused(number, capsys):
    """No median is of none."""
    assert "--rounds" in refused(capsys, ["--rounds", number])


def test_a_place_that_cannot_be_written_to_is_refused(capsys, tmp_path):
    """Not after the whole measurement."""
    (tmp_path / "file").write_text("")
    for place in ("/proc/x", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        assert "--out" in refused(capsys, ["--out", place])


async def never(_options: Options, _step: Step) -> Report:
    """A benchmark that must not be run."""
    raise AssertionError("something was measured")


def test_one_benchmark_alone_is_not_silently_measured_on_the_mock(capsys, tmp_path):
    """Who asks for a real server is told how to get one; together they run there."""
    never.__module__ = "benchmarks.overhead"
    for arguments in (["--live", "0.7.0"], ["--rounds", "0"], ["--out", "/proc/x"]):
        with pytest.raises(SystemExit):
            run_alone(never, [*arguments, "--tiny"])
    assert "python -m benchmarks --live" in refused(capsys, ["--live", "0.7.0"], alone=True)
    assert Options.parse("", ["--live", "0.7.0", "--out", str(tmp_path)]).live == "0.7.0"


def test_all_together_refuse_as_early(monkeypatch):
    """Before the first of them has begun."""
    monkeypatch.setattr(together, "EVERY", [never])
    with pytest.raises(SystemExit):
        together.main(["--tiny", "--out", "/proc/x"])
