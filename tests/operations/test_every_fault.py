from __future__ import annotations

import pytest

from tests.operations.operation_trials import (
    CASES,
    Case,
    Trial,
    crash_trials,
    ledger_trials,
    port_trials,
    request_trials,
)
from tests.support.sampling import sample_and_all, thorough_unless

exhaustive = pytest.mark.exhaustive
TELLING = ("claim", "settle")
"""In these, money or a lease is on its way for longest; the quick run tries them."""
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

telling_cases = pytest.mark.parametrize(
    "case",
    [thorough_unless(case.name in TELLING, case) for case in CASES],
    ids=lambda case: case.name,
)


def wrong(found: list[Trial]) -> list[str]:
    return [f"{trial.name}: {trial.verdict}: {trial.problems}" for trial in found if trial.problems]


@sample_and_all
@each_case
def test_no_fault_at_any_request_leaks_credits_or_lies(case: Case, sample: bool) -> None:
    """The reconciler ends what was left, the invariants hold, and the verdict was right."""
    found = list(request_trials(case, sample=sample))
    assert not wrong(found)
    assert "unknown" not in {trial.verdict for trial in found}


@sample_and_all
@telling_cases
def test_giving_up_early_leaks_nothing_either(case: Case, sample: bool) -> None:
    """With one try only, what is said to be undone is undone for good."""
    assert not wrong(list(request_trials(case, sample=sample, impatient=True)))


@each_case
def test_no_failure_of_the_ledger_leaks_credits_or_lies(case: Case) -> None:
    """Refused, lost before, lost after, and lost for good: at every call."""
    assert not wrong(list(ledger_trials(case)))


@each_case
def test_no_error_that_a_port_does_not_promise_leaks_credits_or_lies(case: Case) -> None:
    """An adapter of one's own lets its driver's error through: an outcome is told all the same."""
    assert not wrong(list(port_trials(case)))


@telling_cases
def test_a_crash_at_any_boundary_is_repaired_by_another_process(case: Case) -> None:
    """Before and after every request and every ledger call."""
    found = list(crash_trials(case))
    assert not wrong(found)
    verdicts = [trial.verdict for trial in found]
    assert verdicts[0] == "crashed"
    # at the end it dies cleaning up, being committed; a claim looks once more after its removals
    cleaning_up = 6 if case.name == "claim" else 4
    assert set(verdicts[:-cleaning_up]) == {"crashed"}


IN_SHORT = ("create",)
"""The others take long, and are tried among the exhaustive tests."""
SAMPLES = [
    pytest.param("0.10", case, True, id=f"0.10-{case.name}-sample")
    for case in CASES
    if case.name in IN_SHORT
]
ALL = [
    pytest.param(release, case, False, id=f"{release}-{case.name}-all", marks=exhaustive)
    for release in ("0.9.26", "0.10")
    for case in CASES
]


@pytest.mark.parametrize(("release", "case", "sample"), [*SAMPLES, *ALL])
def test_on_a_release_as_it_is_no_fault_leaks_credits_or_lies(
    release: str, case: Case, sample: bool
) -> None:
    """Committed by rename, with etags that are constant or stale: the same promises."""
    found = list(request_trials(case, sample=sample, release=release))
    assert not wrong(found)
    assert "unknown" not in {trial.verdict for trial in found}


@pytest.mark.parametrize(("release", "case", "sample"), ALL)
def test_on_a_release_as_it_is_giving_up_early_leaks_nothing_either(
    release: str, case: Case, sample: bool
) -> None:
    """With one try only."""
    trials = request_trials(case, sample=sample, impatient=True, release=release)
    assert not wrong(list(trials))


@exhaustive
@pytest.mark.parametrize("release", ["0.9.26", "0.10"])
@each_case
def test_on_a_release_as_it_is_no_crash_and_no_ledger_harms(case: Case, release: str) -> None:
    """At any request, and at any call of the ledger."""
    assert not wrong(list(ledger_trials(case, release)))
    assert not wrong(list(crash_trials(case, release)))
