"""Keys, fingerprints and histories: evidence is never lost early, and never claimed too late."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_bounty.bounded_set import MOST_REMEMBERED
from nexus_bounty.idempotency import (
    EVIDENCE_KEY,
    KEPT_RECORDS,
    MOST_RECORDS,
    RETENTION,
    History,
    NewKeys,
    OperationRecord,
    derived_id,
    derived_key,
    fingerprint,
    new_key,
    with_record,
)
from nexus_bounty.validation import check_id, check_key

START = datetime(2026, 1, 1, tzinfo=UTC)
HISTORIES = settings(max_examples=30, deadline=None)
GAPS = st.lists(
    st.sampled_from([timedelta(0), timedelta(minutes=1), timedelta(hours=1), timedelta(hours=30)]),
    min_size=1,
    max_size=150,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PARAMETERS = st.dictionaries(st.text(), JSON, max_size=4)


def test_a_key_is_new_once() -> None:
    """Whether it was made here or added; no other ever is."""
    keys = NewKeys()
    made = keys.make(Random(1))
    keys.add("of the caller's own making")
    assert [keys.use(made), keys.use(made)] == [True, False]
    assert [keys.use("of the caller's own making") for _ in range(2)] == [True, False]
    assert not keys.use("given")


def test_of_too_many_new_keys_the_oldest_are_taken_for_used_ones() -> None:
    """That costs a look, and memory is bounded."""
    keys = NewKeys()
    made = [keys.make() for _ in range(MOST_REMEMBERED + 1)]
    assert [keys.use(made[0]), keys.use(made[-1])] == [False, True]


def record(seq: int, at: datetime = START, **fields: Any) -> OperationRecord:
    plain = OperationRecord(key=f"k-{seq}", kind="claim", fingerprint="f", seq=seq, at=at)
    return msgspec.structs.replace(plain, **fields)


def grown(gaps: list[timedelta]) -> tuple[dict[str, Any], list[OperationRecord]]:
    """A document after one operation for each gap, and every operation that it ever had."""
    document: dict[str, Any] = {"title": "x"}
    made = []
    now = START
    for seq, gap in enumerate(gaps, start=1):
        now += gap
        made.append(record(seq, now))
        document = with_record(document, made[-1])
    return document, made


@HISTORIES
@given(GAPS)
def test_no_record_is_dropped_within_its_retention(gaps):
    """Whatever the pace: all that is younger, and never fewer than the last few."""
    document, made = grown(gaps)
    kept = History.of(document).ops
    now = made[-1].at
    assert set(kept) >= {each for each in made if each.at > now - RETENTION}
    assert set(kept) >= set(made[-KEPT_RECORDS:])


@HISTORIES
@given(GAPS)
def test_a_history_has_no_gaps_and_ends_with_the_newest(gaps):
    """What is kept is a run of sequence numbers up to the document's own."""
    document, made = grown(gaps)
    history = History.of(document)
    assert [each.seq for each in history.ops] == list(range(history.ops[0].seq, len(made) + 1))
    assert history.seq == len(made)


@HISTORIES
@given(GAPS)
def test_old_records_beyond_the_bound_are_dropped(gaps):
    """A history is as long as retention asks for, and not longer."""
    document, made = grown(gaps)
    now = made[-1].at
    young = [each for each in made if each.at > now - RETENTION]
    assert len(History.of(document).ops) <= max(KEPT_RECORDS, len(young))


@HISTORIES
@given(GAPS)
def test_a_history_covers_exactly_what_it_would_still_name(gaps):
    """A dropped record is not covered, and neither is one still to come."""
    document, made = grown(gaps)
    history = History.of(document)
    named = {each.seq for each in history.ops}
    assert {seq for seq in range(len(made) + 3) if history.covers(seq)} == named


def test_a_history_of_another_writer_covers_nothing():
    """A document without our evidence proves nothing about us."""
    history = History.of({"title": "x"})
    assert (history.seq, history.ops) == (0, ())
    assert not history.covers(0)
    assert not history.covers(1)
    assert history.find("k-1") is None


def test_the_newest_record_of_a_key_is_found():
    """An aborted operation that was tried again counts as it ended."""
    document = with_record({}, record(1, key="k", aborted=True))
    document = with_record(document, record(2, key="other"))
    document = with_record(document, record(3, key="k"))
    found = History.of(document).find("k")
    assert found is not None
    assert (found.seq, found.aborted) == (3, False)


def test_a_history_is_full_when_another_record_would_cost_evidence():
    """Within the retention it takes so many and no more; a day later there is room again."""
    ops = tuple(record(seq) for seq in range(1, MOST_RECORDS + 1))
    history = History(seq=MOST_RECORDS, ops=ops)
    assert history.is_full(START)
    assert history.is_full(START + RETENTION - timedelta(seconds=1))
    assert not history.is_full(START + RETENTION)
    assert not History(seq=MOST_RECORDS - 1, ops=ops[:-1]).is_full(START)


def test_a_record_is_written_as_the_design_draws_it():
    """Under one extra key, camelCase, `aborted` only where it is so."""
    written = {"kind": "claim", "fingerprint": "f", "at": "2026-01-01T00:00:00Z"}
    document = with_record({"title": "x"}, record(1, aborted=True), marker_seq=1)
    document = with_record(document, record(2), marker_seq=2)
    assert json.loads(msgspec.json.encode(document)) == {
        "title": "x",
        EVIDENCE_KEY: {
            "schema": 1,
            "seq": 2,
            "markerSeq": 2,
            "ops": [
                written | {"key": "k-1", "seq": 1, "aborted": True},
                written | {"key": "k-2", "seq": 2},
            ],
        },
    }


@given(PARAMETERS)
def test_adding_a_record_changes_nothing_but_the_evidence(document):
    """Neither the original, nor any other key of the copy."""
    document.pop(EVIDENCE_KEY, None)
    before = json.dumps(document)
    after = with_record(document, record(1))
    assert json.dumps(document) == before
    assert {key: after[key] for key in after if key != EVIDENCE_KEY} == document


def test_what_others_keep_beside_our_evidence_survives():
    """Also in the records of operations that a newer version made."""
    op = msgspec.to_builtins(record(1)) | {"byNewer": {"x": 1}}
    document = {EVIDENCE_KEY: {"schema": 1, "seq": 1, "ops": [op], "extra": [1]}}
    evidence = with_record(document, record(2))[EVIDENCE_KEY]
    assert evidence["extra"] == [1]
    assert evidence["ops"][0] == op


def test_a_marker_generation_is_there_only_while_it_is_needed():
    """The next record without one takes it away."""
    document = with_record({}, record(1), marker_seq=1)
    assert History.of(document).marker_seq == 1
    assert History.of(with_record(document, record(2))).marker_seq is None


@pytest.mark.parametrize("evidence", [None, [], "text", {"seq": "1"}, {"ops": [{}]}, {"ops": 1}])
def test_evidence_that_cannot_be_understood_is_not_taken_for_none(evidence):
    """A history is never believed to be empty because it is unreadable."""
    with pytest.raises(msgspec.ValidationError):
        History.of({EVIDENCE_KEY: evidence})


@given(PARAMETERS)
def test_the_order_of_keys_does_not_change_a_fingerprint(parameters):
    """At any depth."""

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert fingerprint("claim", parameters) == fingerprint("claim", turned(parameters))


@given(PARAMETERS, PARAMETERS)
def test_fingerprints_are_equal_exactly_when_the_requests_are(one, other):
    """Truth values are not numbers, and a missing key is not null."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint("claim", one) == fingerprint("claim", other)) == same


@given(PARAMETERS)
def test_requests_of_different_kinds_differ(parameters):
    """Even with the same parameters."""
    assert fingerprint("claim", parameters) != fingerprint("release", parameters)


def test_a_fingerprint_stays_what_it_was_in_every_release():
    """It is compared with those in stored documents."""
    assert (
        fingerprint("claim", {"id": "b-1", "agentId": "alice", "claimId": "c-1"})
        == "fde411930571cdd2920aea4baf128e3d"
    )


@given(st.text(min_size=1, max_size=100))
def test_an_id_derived_from_a_key_is_a_usable_id(key):
    """Whatever the key, and always the same."""
    identifier = derived_id("bounty", key)
    check_id("bounty_id", identifier)
    assert identifier == derived_id("bounty", key)
    assert identifier != derived_id("bounty", key + "x")


def test_the_keys_of_steps_are_usable_and_differ():
    """Each step of an operation repeats under its own key."""
    key = new_key()
    steps = {derived_key(key, step) for step in ("reserve", "open", "void")}
    assert len(steps) == 3
    for step in steps:
        check_key(step)


def test_fresh_keys_differ_and_seeded_ones_repeat():
    """Runs with the same seed are the same runs."""
    assert len({new_key() for _ in range(100)}) == 100
    one, other = Random(7), Random(7)
    assert [new_key(one) for _ in range(3)] == [new_key(other) for _ in range(3)]
    check_key(new_key(Random(1)))
