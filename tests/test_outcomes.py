"""What an error says is true, complete, and crosses processes whole."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import msgspec
import pytest

import nexus_bounty
from nexus_bounty import (
    AssignedError,
    BountyExistsError,
    BountyNotFoundError,
    BountyStateError,
    ClaimConflictError,
    ClaimNotFoundError,
    ClaimStateError,
    CommitUnknownError,
    CriteriaNotMetError,
    Evidence,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    InvalidInputError,
    NexusError,
    NotAllowedError,
    Observation,
    Outcome,
    OutcomeError,
    PaymentError,
    PostCommitError,
    PreCommitError,
    Proof,
    Resolution,
    UnsupportedServerError,
    UntrustedDocumentError,
    WrongLedgerError,
    outcomes,
)
from nexus_bounty.nexus.client.classification import Disposition, Reason, RequestVerdict
from nexus_bounty.outcomes import PlainError
from nexus_bounty.testing.builders import make_bounty

EVIDENCE = Evidence(
    proof=Proof.FENCED,
    observations=(
        Observation(action="write if_match", target="/b", answer="ambiguous: no answer in time"),
        Observation(action="fence", target="/b", answer="acknowledged"),
    ),
)
CONTEXT: dict[str, Any] = {
    "operation": "claim_bounty",
    "bounty_id": "b-1",
    "idempotency_key": "k-1",
    "evidence": EVIDENCE,
}
SPECIMENS: tuple[OutcomeError, ...] = (
    OutcomeError("something happened", **CONTEXT),
    PreCommitError("it was refused", **CONTEXT),
    InvalidInputError("title", "", "must be text and not empty", **CONTEXT),
    BountyNotFoundError("there is no bounty 'b-1'", **CONTEXT),
    BountyExistsError("bounty 'b-1' exists already", **CONTEXT),
    BountyStateError("bounty 'b-1' is settled", current_status="settled", **CONTEXT),
    ClaimConflictError("bob holds it", **CONTEXT),
    ClaimNotFoundError("there is no claim 'c-1'", **CONTEXT),
    ClaimStateError("claim 'c-1' was released", **CONTEXT),
    CriteriaNotMetError("the speed is 1.0, not 2.0", **CONTEXT),
    IdempotencyMismatchError("the key stands for an earlier 'claim'", **CONTEXT),
    UnsupportedServerError("two writers won one race", **CONTEXT),
    PaymentError("the reservation has expired", **CONTEXT),
    InsufficientCreditsError("alice has 5 of 10", available=5, required=10, **CONTEXT),
    UntrustedDocumentError("it is not signed", **CONTEXT),
    NotAllowedError("mallory may not", actor="mallory", allowed=["alice"], **CONTEXT),
    AssignedError("it is to be paid to bob", payee="bob", work="cid-1", key="k:begin", **CONTEXT),
    WrongLedgerError("it is elsewhere", ledger_id="here", right_ledger_id="there", **CONTEXT),
    PostCommitError(
        "bounty 'b-1' is claimed, and a marker is to be removed",
        bounty=make_bounty(),
        pending=["remove_stale_marker"],
        **CONTEXT,
    ),
    CommitUnknownError("no answer came", **CONTEXT),
)
DOMAIN_REFUSALS = (
    *(InvalidInputError, BountyNotFoundError, BountyExistsError, BountyStateError),
    *(ClaimConflictError, ClaimNotFoundError, ClaimStateError, CriteriaNotMetError),
    *(UnsupportedServerError, PaymentError, InsufficientCreditsError),
    *(AssignedError, WrongLedgerError, NotAllowedError, UntrustedDocumentError),
)


def family(kind: type[OutcomeError]) -> Iterator[type[OutcomeError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


def all_classes() -> set[type[OutcomeError]]:
    return {kind for kind in family(OutcomeError) if kind.__module__ == outcomes.__name__}


def named(error: OutcomeError) -> str:
    return type(error).__name__


every_error = pytest.mark.parametrize("error", SPECIMENS, ids=named)


def test_there_is_a_specimen_of_every_class():
    """A class added later is tested without anyone remembering it."""
    assert {type(error) for error in SPECIMENS} == all_classes()


def test_the_docstring_of_the_module_draws_every_class():
    """One line each, indented under its base."""
    drawn = inspect.getdoc(outcomes) or ""
    lines = {
        name: line.index(name)
        for line in drawn.splitlines()
        for kind in all_classes()
        if (name := kind.__name__) in line.replace("─", " ").replace("│", " ").split()
    }
    assert set(lines) == {kind.__name__ for kind in all_classes()}
    for kind in all_classes() - {OutcomeError}:
        base = next(each for each in kind.__mro__[1:] if each in all_classes())
        assert lines[base.__name__] < lines[kind.__name__]


def test_every_class_can_be_imported_from_the_package():
    """Callers catch them by public names."""
    for kind in all_classes():
        assert getattr(nexus_bounty, kind.__name__) is kind
        assert kind.__name__ in nexus_bounty.__all__


@pytest.mark.parametrize("kind", DOMAIN_REFUSALS)
def test_every_domain_refusal_is_pre_commit(kind):
    """So that one except clause is the one place where compensation is allowed."""
    assert issubclass(kind, PreCommitError)
    assert kind.outcome is Outcome.PRE_COMMIT


def test_the_four_ends_exclude_each_other():
    """No error is both before and after its commit, or either and unknown."""
    ends = (PreCommitError, PostCommitError, CommitUnknownError, IdempotencyMismatchError)
    for kind in all_classes() - {OutcomeError}:
        assert sum(issubclass(kind, end) for end in ends) == 1
    assert {end.outcome for end in ends} == set(Outcome) - {Outcome.COMMITTED}


def test_only_what_is_pre_commit_says_so():
    """The outcome follows from the class."""
    for kind in all_classes():
        assert (kind.outcome is Outcome.PRE_COMMIT) == issubclass(kind, PreCommitError)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (InvalidInputError, ValueError),
        (BountyNotFoundError, LookupError),
        (ClaimNotFoundError, LookupError),
    ],
)
def test_errors_that_python_has_a_word_for_are_caught_by_it(kind, builtin):
    """As users of Python expect."""
    assert issubclass(kind, builtin)


@every_error
def test_an_error_tells_what_happened_and_what_to_do(error):
    """The operation, what happened, the key to ask again with, and advice."""
    text = str(error)
    assert text.startswith("claim_bounty: ")
    assert error.message in text
    assert "k-1" in text
    if type(error) is not OutcomeError:
        assert error.advice
        assert text.endswith(error.advice)


@every_error
def test_no_error_says_failed_of_what_may_have_happened(error):
    """Only of what is pre-commit may one say that it did not happen."""
    if not isinstance(error, PreCommitError):
        assert "fail" not in str(error).lower()
        assert "not commit" not in str(error).lower()


def test_advice_is_what_the_outcome_allows():
    """Compensation is spoken of as allowed in one branch of the tree only."""
    assert "compensate or retry with a new key" in PreCommitError.advice
    assert "never compensate" in PostCommitError.advice
    assert "do not compensate" in CommitUnknownError.advice
    assert "same key" in CommitUnknownError.advice


@every_error
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_is_whole_after_pickling(error, protocol):
    """Class, message, every attribute, the evidence and the cause."""
    cause = NexusError(
        RequestVerdict(Disposition.AMBIGUOUS, Reason.TIMEOUT),
        method="write",
        path="/b",
        retry_after=1.5,
    )
    error = copy.copy(error)
    error.__cause__ = cause
    error.add_note("seen in passing")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert again.__dict__ == error.__dict__
    assert (again.args, str(again)) == (error.args, str(error))
    assert again.evidence == EVIDENCE
    assert type(again.__cause__) is NexusError
    assert str(again.__cause__) == str(cause)
    assert again.__cause__.retry_after == 1.5


@every_error
def test_an_error_is_whole_after_copying(error):
    """As pickling, for those who pass errors on."""
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert again.__dict__ == error.__dict__
        assert str(again) == str(error)


@every_error
def test_an_error_is_one_json_object(error):
    """With everything that a log needs, by its camelCase names."""
    document = json.loads(error.to_json())
    assert document["error"] == type(error).__name__
    assert document["outcome"] == error.outcome.value
    assert document["message"] == error.message
    assert document["operation"] == "claim_bounty"
    assert (document["bountyId"], document["idempotencyKey"]) == ("b-1", "k-1")
    assert document["evidence"]["proof"] == "fenced"
    assert [each["answer"] for each in document["evidence"]["observations"]] == [
        *("ambiguous: no answer in time", "acknowledged"),
    ]


def test_a_post_commit_error_brings_the_snapshot_and_what_is_owed():
    """In the error and in its JSON."""
    error = next(each for each in SPECIMENS if isinstance(each, PostCommitError))
    assert error.bounty == make_bounty()
    assert error.pending == ("remove_stale_marker",)
    document = json.loads(error.to_json())
    assert document["pending"] == ["remove_stale_marker"]
    assert document["bounty"]["bountyId"] == "b-1"


def test_an_error_without_evidence_proves_nothing():
    """Evidence is always there to be asked."""
    assert PreCommitError("x").evidence == Evidence(proof=Proof.NONE)
    assert InvalidInputError("x", 1, "is wrong").evidence.proof is Proof.LOCAL_CHECK


def test_what_is_known_already_is_not_overwritten():
    """Filling in adds what the raiser could not know, and nothing else."""
    error = PreCommitError("x", operation="claim_bounty")
    assert error.about("settle_bounty", "b-1", "k-1") is error
    assert (error.operation, error.bounty_id) == ("claim_bounty", "b-1")
    assert error.idempotency_key == "k-1"


def test_a_long_value_is_shown_shortened():
    """Nobody wants a document in an error."""
    error = InvalidInputError("title", "x" * 5000, "is too long")
    assert len(error.value) == 80
    assert error.value.endswith("...")


def test_evidence_is_printable_for_people_in_the_order_of_events():
    """The proof first, then one line for each observation."""
    assert str(EVIDENCE).splitlines() == [
        "proof: fenced",
        "  - write if_match /b: ambiguous: no answer in time",
        "  - fence /b: acknowledged",
    ]


def test_evidence_comes_back_from_its_json():
    """Times included, in UTC."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    seen = Observation(action="read", target="/b", answer="nothing", at=moment)
    evidence = Evidence(proof=Proof.IN_HISTORY, observations=[seen])
    assert msgspec.json.decode(evidence.to_json(), type=Evidence) == evidence


def test_a_resolution_is_committed_or_pre_commit_and_comes_back_from_json():
    """With the bounty as it stands."""
    resolution = Resolution(
        bounty_id="b-1",
        idempotency_key="k-1",
        outcome=Outcome.PRE_COMMIT,
        evidence=EVIDENCE,
        bounty=make_bounty(),
    )
    again = msgspec.json.decode(msgspec.json.encode(resolution), type=Resolution)
    assert msgspec.json.encode(again) == msgspec.json.encode(resolution)


def chained(*errors: BaseException) -> BaseException:
    """The first of these, each of which came from the next."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while (cause := found[-1].__cause__) is not None:
        found.append(cause)
    return found[1:]


class UnshowableError(Exception):
    """An SDK's error that can neither be shown nor pickled."""

    def __str__(self) -> str:
        raise RuntimeError("not shown")

    def __reduce__(self) -> tuple[Any, ...]:
        raise RuntimeError("not pickled")


class HoldingError(PreCommitError):
    """An error of a program that holds what cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


ACROSS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "deepcopy": copy.deepcopy,
}
across = pytest.mark.parametrize("across", ACROSS.values(), ids=ACROSS)


@across
def test_a_long_chain_of_causes_is_kept_and_takes_no_time(across):
    """It doubled with each cause, or more than that; nor is it bounded by the stack."""
    error = chained(*(PreCommitError(f"{number}") for number in range(5_000)), ValueError("last"))
    began = time.process_time()
    again = across(error)
    assert time.process_time() - began < 20
    assert [str(each) for each in causes(again)] == [str(each) for each in causes(error)]
    assert type(causes(again)[-1]) is ValueError


@across
def test_causes_by_way_of_groups_take_no_time_either(across):
    """Those of each group are pickled with it."""
    error: BaseException = ValueError("first")
    for number in range(40):
        group = ExceptionGroup("tasks", [error, ValueError("other")])  # type: ignore[type-var]
        error = chained(PreCommitError(f"{number}"), group)
    began = time.process_time()
    again = across(error)
    assert time.process_time() - began < 20
    depth = 0
    while isinstance(again.__cause__, ExceptionGroup):
        again, depth = again.__cause__.exceptions[0], depth + 1
    assert depth == 40


@across
@pytest.mark.parametrize("length", [1, 2, 3])
def test_errors_that_came_from_each_other_come_to_an_end(across, length):
    errors = [PreCommitError(f"{number}") for number in range(length)]
    again = across(chained(*errors, errors[0]))
    assert [each.message for each in (again, *causes(again))] == [str(n) for n in range(length)]


@across
def test_an_error_in_a_group_that_it_came_from_comes_to_an_end(across):
    error = PreCommitError("no")
    group = ExceptionGroup("tasks", [error, ValueError("other")])
    again = across(chained(error, group))
    assert isinstance(again.__cause__, ExceptionGroup)
    assert [type(each) for each in again.__cause__.exceptions] == [PreCommitError, ValueError]
    of_group = across(group)
    assert [type(each) for each in of_group.exceptions] == [PreCommitError, ValueError]


@across
@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (UnshowableError(), "UnshowableError()"),
        (HoldingError("held"), "HoldingError: held. Nothing was committed"),
    ],
    ids=["unshowable", "holding"],
)
def test_a_cause_that_cannot_be_pickled_is_what_it_says_wherever_it_comes(across, cause, said):
    """What it came from does not go without it."""
    error = chained(CommitUnknownError("unknown"), PreCommitError("no"), cause)
    again = across(error)
    first, second = causes(again)
    assert type(first) is PreCommitError
    assert type(second) is PlainError
    assert str(second).startswith(said)
    cause.__cause__ = ValueError("deeper")
    assert [str(each) for each in causes(across(error))] == [str(first), str(second)]


@every_error
def test_a_copy_has_the_very_cause(error):
    error = copy.copy(error)
    cause = UnshowableError()
    error.__cause__ = cause
    assert copy.copy(error).__cause__ is cause


HALF: Final = "half \ud800 of \udcff it"


@pytest.mark.parametrize(
    "error",
    [
        PreCommitError(HALF),
        InvalidInputError("field", HALF, HALF),
        CommitUnknownError("no answer", bounty_id=HALF, idempotency_key=HALF),
        NotAllowedError(HALF, actor=HALF, allowed=[HALF, "bob"]),
        PreCommitError(
            "no",
            evidence=Evidence(
                proof=Proof.NONE,
                observations=[Observation(action=HALF, target="/b", answer="no")],
            ),
        ),
    ],
    ids=named,
)
def test_an_error_about_what_no_encoding_can_carry_is_json_all_the_same(error):
    """What cannot be carried is escaped in it, for people: it is no text of anybody's."""
    for text in (error.to_json(), error.evidence.to_json()):
        text.encode()
        assert json.loads(text)
    assert "half \\\\ud800 of \\\\udcff it" in error.to_json()
