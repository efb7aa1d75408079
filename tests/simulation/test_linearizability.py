from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_bounty.outcomes import Evidence, PreCommitError, Proof
from tests.simulation.histories import OPEN, check_many, made
from tests.simulation.history import FAIL, INFO, OK, Call, Seen
from tests.simulation.linearizability import State, is_linearizable

FENCED = PreCommitError("fenced off", evidence=Evidence(proof=Proof.FENCED))


def call(kind: str, who: str, span: tuple[int, int | None], status: str = OK) -> Call:
    """One call by `who`, with a key of its own."""
    key = f"{kind} {who} {span[0]}"
    return Call(who, kind, who, key, span[0], span[1], span[1] or span[0], status)


def read(span: tuple[int, int], seen: Seen) -> Call:
    return Call("reader", "read", None, None, *span, span[1], OK, seen=seen, has_seen=True)


CLAIMED_BY_A, CLAIMED_BY_B = ("claimed", "a"), ("claimed", "b")

RIGHT = {
    "one claim, seen": [call("claim", "a", (1, 2)), read((3, 4), CLAIMED_BY_A)],
    "a read during a claim sees either": [
        call("claim", "a", (1, 9)),
        read((2, 3), ("open", None)),
        read((4, 5), CLAIMED_BY_A),
    ],
    "unknown, and it happened late": [
        call("claim", "a", (1, None), INFO),
        read((2, 3), ("open", None)),
        read((4, 5), CLAIMED_BY_A),
    ],
    "unknown, and it never happened": [
        call("claim", "a", (1, None), INFO),
        call("claim", "b", (2, 3)),
        read((4, 5), CLAIMED_BY_B),
    ],
    "claimed, released, claimed by another": [
        call("claim", "a", (1, 2)),
        call("release", "a", (3, 4)),
        call("claim", "b", (5, 6)),
    ],
    "asked again with its key": [
        call("claim", "a", (1, None), INFO),
        replace(call("claim", "a", (3, 4)), key="claim a 1"),
    ],
    "refused, and then tried again with its key": [
        replace(call("claim", "a", (1, 2), FAIL), error=FENCED),
        replace(call("claim", "a", (3, 4)), key="claim a 1"),
    ],
    "refused, and resolved to what another process did with its key meanwhile": [
        call("claim", "a", (1, 2), FAIL),
        Call("a", "resolve", "committed", "claim a 1", 3, 6, 6, OK),
        replace(call("claim", "a", (4, 5)), key="claim a 1", process="a2"),
    ],
}

WRONG = {
    "claimed twice": [call("claim", "a", (1, 2)), call("claim", "b", (3, 4))],
    "claimed twice at once": [call("claim", "a", (1, 9)), call("claim", "b", (2, 8))],
    "a stale read": [call("claim", "a", (1, 2)), read((3, 4), ("open", None))],
    "a read that goes back": [
        call("claim", "a", (1, None), INFO),
        read((2, 3), CLAIMED_BY_A),
        read((4, 5), ("open", None)),
    ],
    "failed, and it is seen": [
        call("claim", "a", (1, 2), FAIL),
        read((3, 4), CLAIMED_BY_A),
    ],
    "unknown, fenced off by its repeat, and seen later": [
        call("claim", "a", (1, None), INFO),
        replace(call("claim", "a", (2, 3), FAIL), key="claim a 1", error=FENCED),
        read((4, 5), CLAIMED_BY_A),
    ],
    "seen before it was called": [read((1, 2), CLAIMED_BY_A), call("claim", "a", (3, 4))],
    "released by another": [call("claim", "a", (1, 2)), call("release", "b", (3, 4))],
    "refused for a state that it was never in": [
        Call("b", "claim", "b", "k", 1, 2, 2, FAIL, seen=("settled", None), has_seen=True)
    ],
    "resolved to never, and it is seen": [
        call("claim", "a", (1, None), INFO),
        Call("a", "resolve", "pre_commit", "claim a 1", 2, 3, 3, OK),
        read((4, 5), CLAIMED_BY_A),
    ],
    "refused, and resolved to what was only done with its key afterwards": [
        call("claim", "a", (1, 2), FAIL),
        Call("a", "resolve", "committed", "claim a 1", 3, 4, 4, OK),
        replace(call("claim", "a", (5, 6)), key="claim a 1", process="a2"),
    ],
    "refused, and resolved to committed all the same": [
        call("claim", "a", (1, 2), FAIL),
        Call("a", "resolve", "committed", "claim a 1", 3, 4, 4, OK),
    ],
    "refused, resolved to what another process did with its key, and not seen": [
        call("claim", "a", (1, 2), FAIL),
        Call("a", "resolve", "committed", "claim a 1", 3, 6, 6, OK),
        replace(call("claim", "a", (4, 5)), key="claim a 1", process="a2"),
        read((7, 8), ("open", None)),
    ],
    "resolved to committed, and it is not seen": [
        call("claim", "a", (1, None), INFO),
        Call("a", "resolve", "committed", "claim a 1", 2, 3, 3, OK),
        read((4, 5), ("open", None)),
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_have_happened_is_accepted(name: str) -> None:
    assert is_linearizable(RIGHT[name], OPEN)


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_have_happened_is_refused(name: str) -> None:
    """Planted violations of the state machine, of real time, and of what was told about a key."""
    assert not is_linearizable(WRONG[name], OPEN)


def explained(calls: list[Call], start: State) -> bool:
    """The same by trying every order of every choice of what happened; only for a few calls."""
    sure = [each for each in calls if each.status == OK]
    maybe = [each for each in calls if each.status == INFO and each.kind != "read"]
    for chosen in range(1 << len(maybe)):
        some = sure + [each for bit, each in enumerate(maybe) if chosen >> bit & 1]
        if any(respects_time(order) and happens(order, start) for order in permutations(some)):
            return True
    return False


def respects_time(order: tuple[Call, ...]) -> bool:
    """Whether nobody comes before a call that had returned before it was called."""
    return not any(
        later.returned is not None and later.returned < earlier.called
        for number, earlier in enumerate(order)
        for later in order[number + 1 :]
    )


def happens(order: tuple[Call, ...], start: State) -> bool:
    """Whether a bounty that does these one after another lets each happen as it was told."""
    status, holder = start.status, start.holder
    for each in order:
        if each.kind == "read" and each.seen != (status, holder):
            return False
        if each.kind == "claim":
            if holder not in (None, each.argument):
                return False
            status, holder = "claimed", each.argument
        if each.kind == "release":
            if holder is None or holder != each.argument:
                return False
            status, holder = "open", None
    return True


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10**6), at=st.integers(0, 5), seen=st.sampled_from("abcd"))
def test_the_checker_agrees_with_trying_everything(seed: int, at: int, seen: str) -> None:
    """On histories that happened, and on the same with one answer changed."""
    calls = [each for each in made(Random(seed), 6, 0.3) if each.status != FAIL]
    assert explained(calls, OPEN)
    assert is_linearizable(calls, OPEN)
    reads = [each for each in calls if each.kind == "read" and each.status == OK]
    if reads:
        reads[at % len(reads)].seen = ("claimed", seen)
        assert is_linearizable(calls, OPEN) == explained(calls, OPEN)


def test_long_histories_are_checked_quickly() -> None:
    """A few here; `make explore ARGS="--histories 1000"` checks a thousand."""
    found, seconds = check_many(5)
    assert found == 5
    assert seconds < 10


@pytest.mark.thorough
def test_one_wrong_answer_in_a_long_history_is_found() -> None:
    """Somebody reads that it is claimed by an agent who never claimed it."""
    calls = made(Random(1), 200, 0.1)
    unknown = sum(each.status == INFO for each in calls)
    assert 10 <= unknown <= 35
    assert is_linearizable(calls, OPEN)
    reads = [each for each in calls if each.kind == "read" and each.status == OK]
    reads[len(reads) // 2].seen = ("claimed", "nobody")
    assert not is_linearizable(calls, OPEN)
