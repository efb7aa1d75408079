from __future__ import annotations

import pytest

from tests.support.naive_commits import TrustingCommit, UnfencedCommit
from tests.support.sampling import sample_and_all
from tests.support.store_trials import OPERATIONS, Operation, trials, verdicts, wrong

CREATE, CLAIM, RELEASE = (
    next(each for each in OPERATIONS if each.name == name)
    for name in ("create", "claim", "release")
)
FROM_COLD_AND_WARM = [(each, warm) for each in OPERATIONS for warm in (False, True)]


@sample_and_all
@pytest.mark.parametrize(
    ("operation", "warm"),
    FROM_COLD_AND_WARM,
    ids=lambda value: value.name if isinstance(value, Operation) else ("cold", "warm")[value],
)
def test_no_fault_at_any_request_makes_a_wrong_verdict(
    operation: Operation, warm: bool, sample: bool
) -> None:
    """Every verdict is what the oracle says; after one fault it is never unknown."""
    found = list(trials(operation, warm=warm, sample=sample))
    assert not wrong(found)
    assert verdicts(found)["unknown"] == 0


@sample_and_all
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_giving_up_early_is_still_proven_by_the_fence(operation: Operation, sample: bool) -> None:
    """With one try only, what is not committed has been fenced off, however late it arrives."""
    found = list(trials(operation, impatient=True, sample=sample))
    assert not wrong(found)
    assert verdicts(found)["unknown"] == 0
    assert any(trial.error and "fence" in str(trial.error.evidence) for trial in found)


@sample_and_all
@pytest.mark.parametrize("personality", ["0.5.6", "0.7.0", "0.9"])
@pytest.mark.parametrize("operation", [CREATE, CLAIM], ids=lambda each: each.name)
def test_every_dialect_is_judged_as_exactly(
    personality: str, operation: Operation, sample: bool
) -> None:
    """The dialects differ in what they answer, not in what may be concluded."""
    found = list(trials(operation, personality=personality, sample=sample))
    assert not wrong(found)
    assert verdicts(found)["unknown"] == 0


@sample_and_all
@pytest.mark.parametrize("operation", [CREATE, CLAIM, RELEASE], ids=lambda each: each.name)
def test_etags_that_are_no_content_hashes_are_judged_as_exactly(
    operation: Operation, sample: bool
) -> None:
    """Where the etag of an acknowledgement proves nothing, the document is read back."""
    found = list(trials(operation, etag="version", impatient=True, sample=sample))
    assert not wrong(found)


@sample_and_all
@pytest.mark.parametrize("operation", [CREATE, CLAIM], ids=lambda each: each.name)
def test_reads_that_pair_old_content_with_a_new_etag_mislead_nobody(
    operation: Operation, sample: bool
) -> None:
    """A read is believed only when its etag speaks for its content."""
    assert not wrong(list(trials(operation, torn_reads=True, impatient=True, sample=sample)))


@sample_and_all
@pytest.mark.parametrize("operation", [CREATE, CLAIM], ids=lambda each: each.name)
def test_a_server_that_drops_what_it_acknowledges_is_never_believed(
    operation: Operation, sample: bool
) -> None:
    """0.9.9 to 0.9.18 acknowledge conditional writes and lose them: no commit is ever claimed."""
    options = {"personality": "0.9", "atomic": None, "impatient": True}
    found = list(trials(operation, **options, sample=sample))
    assert not wrong(found)
    assert verdicts(found)["committed"] == 0


def test_the_suite_catches_a_resolver_without_a_fence() -> None:
    """A read alone proves nothing: the late request lands after it."""
    found = list(trials(CLAIM, strategy=UnfencedCommit, sample=True))
    assert any("said pre_commit, and it landed" in trial.problems for trial in found)


def test_the_suite_catches_a_client_that_trusts_every_200() -> None:
    """An acknowledgement without proof is not a commit."""
    options = {"personality": "0.9", "atomic": None, "strategy": TrustingCommit}
    found = list(trials(CLAIM, **options, sample=True))
    assert any("said committed, and it never landed" in trial.problems for trial in found)
