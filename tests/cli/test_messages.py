"""What people are told when something did not happen: what it was, and what to do next."""

from __future__ import annotations

import pytest

from nexus_bounty import outcomes
from nexus_bounty.cli import failures
from nexus_bounty.outcomes import Evidence, Observation, OutcomeError, Proof
from tests.cli.shell import Life, Shell

ERRORS = [
    each
    for each in vars(outcomes).values()
    if isinstance(each, type) and issubclass(each, OutcomeError) and each is not OutcomeError
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_advises_what_to_do(error: type[OutcomeError]) -> None:
    """One that says only what was not done leaves people alone."""
    assert "advice" in vars(error)
    assert any(word in error.advice for word in NEXT), error.advice


NEXT = (
    *("compensate", "correct", "Check", "use ", "see ", "Wait", "claim ", "ask ", "settle with"),
    *("doctor", "put right", "top up", "find out", "compare", "go forward", "repeat"),
)
"""What all advice has one of: something to do."""


def test_what_was_seen_again_and_again_is_told_once_with_a_number() -> None:
    """A server that is down is asked for as long as an operation may take."""
    seen = [Observation(action="read", target="/a", answer="ok")]
    seen += [Observation(action="write", target="/a", answer="no answer") for _ in range(300)]
    seen += [Observation(action="read", target="/a", answer=f"{each}") for each in range(20)]
    told = failures._proof(Evidence(proof=Proof.NONE, observations=tuple(seen))).plain
    assert "- write: no answer (300 times)" in told
    assert "… 12 more" in told
    assert told.endswith("- read: 19")
    assert len(told.splitlines()) == 12


def test_a_time_or_a_length_of_time_is_refused_as_people_write_it(shell: Shell) -> None:
    """Not as Python's constructors."""
    create = ("create", "t", "--amount", 1, "--creator", "a", "--deadline", "2020-01-01T00:00Z")
    assert "got 2020-01-01T00:00:00+00:00" in shell(*create).said
    lease = ("claim", "b-1", "--agent", "bob", "--lease", "9999d")
    assert shell(*lease).said == "lease must be at most 7 days, got 9999 days"
    assert "must be a length of time above zero" in shell(*lease[:-1], "0s").said


def test_work_that_is_not_there_is_said_to_be_missing(shell: Shell, life: Life) -> None:
    """In plain words, with what to do next."""
    bounty_id = life.post()
    life.claim(bounty_id)
    ended = shell("settle", bounty_id, "cid-none")
    assert ended.code == 3
    assert "does not fulfil bounty" in ended.said
    assert ": there is no such contribution." in ended.said
    assert "settle with another contribution" in ended.said


def test_a_choice_that_there_is_not_is_named_without_python_s_words(shell: Shell) -> None:
    """With the choices that there are."""
    ended = shell("list", "--status", "lost")
    assert ended.code == 2
    assert "Value error" not in ended.said
    assert "'draft'" in ended.said


def test_a_rescue_of_nothing_says_what_to_do(shell: Shell) -> None:
    """As whatever the ledger refuses."""
    ended = shell("rescue", "r-1", "--give-back", "--because", "x")
    assert ended.code == 3
    assert "there is no reservation r-1" in ended.said
    assert "try again" in ended.said


@pytest.mark.parametrize(
    ("command", "noun"), [("claim", "claim"), ("release", "release"), ("renew", "renewal")]
)
def test_what_was_refused_is_said_not_to_have_happened(
    shell: Shell, command: str, noun: str
) -> None:
    """Also of a renewal, which takes no key."""
    ended = shell(command, "b-none", "--agent", "bob")
    assert ended.said.startswith(f"The {noun} did not happen, and can no longer happen: there is")
    assert "Money Not moved by this" in ended.said


def test_a_renewal_in_doubt_is_to_be_repeated_without_a_key(
    shell: Shell, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounty_id = life.post()
    life.claim(bounty_id)

    async def lost(*_given: object, **_named: object) -> None:
        raise outcomes.CommitUnknownError("the answer was lost")

    monkeypatch.setattr("nexus_bounty.NexusClaimStore.heartbeat", lost)
    ended = shell("renew", bounty_id, "--agent", "bob")
    assert ended.code == 5
    assert "The renewal may have happened" in ended.said
    assert "Repeat the command: it only extends the lease further." in ended.said
