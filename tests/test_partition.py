"""Ranges of ids: each id is in one of two that meet, and files are in their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_bounty.nexus.documents import paths, windows
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.partition import EVERYTHING, Partition, encode_segment

IDS = st.text(st.sampled_from("ab%/-. $0~é"), min_size=1, max_size=5)
DIRECTORY = "/zones/z/bounties"


@given(IDS, IDS)
def test_each_id_is_in_one_of_two_ranges_that_meet(at: str, name: str) -> None:
    """Wherever they meet, and with any prefix."""
    first, rest = EVERYTHING.split(at)
    assert (name in first) is not (name in rest)
    assert (f"x:{name}" in first.prefixed("x:")) is (name in first)
    assert (f"x:{name}" in rest.prefixed("x:")) is (name in rest)
    assert at in first


@given(IDS, IDS, IDS)
def test_a_range_is_split_into_what_is_in_it(one: str, other: str, name: str) -> None:
    """Nothing more, nothing less."""
    lo, hi = sorted((one, other), key=encode_segment)
    if lo == hi:
        return
    whole = Partition(lo, hi)
    assert (name in whole) is (name in Partition(lo) and name in Partition(hi=hi))
    if name in whole and name != hi:
        first, rest = whole.split(name)
        assert (first.lo, first.hi, rest.lo, rest.hi) == (lo, name, name, hi)


@pytest.mark.parametrize(("lo", "hi"), [("b", "b"), ("b", "a"), ("", "")])
def test_a_range_that_can_hold_no_id_is_refused(lo: str, hi: str) -> None:
    """Before anybody believes that it was looked at."""
    with pytest.raises(InvalidInputError, match="must come after"):
        Partition(lo, hi)


@given(st.sets(IDS, min_size=2, max_size=12), st.data())
def test_the_window_of_a_range_has_all_of_its_files(ids: set[str], data: st.DataObject) -> None:
    """Documents, markers of any generation and markers of targets; the rest can be told apart."""
    lo, hi = sorted(data.draw(st.permutations(sorted(ids)))[:2], key=encode_segment)
    partition = Partition(data.draw(st.sampled_from(["", lo])), hi)
    documents = [f"{DIRECTORY}/{encode_segment(each)}.json" for each in ids]
    window = windows.of_documents(DIRECTORY, partition)
    seen = [*window.of_documents(between(window, documents)), *window.stragglers]
    assert {paths.document_id(each) for each in seen if each in documents} == inside(ids, partition)
    markers = [f"{DIRECTORY}/{encode_segment(each)}" for each in ids]
    markers += [f"{marker}%@{data.draw(st.integers(1, 10**12))}" for marker in markers]
    window = windows.of_markers(DIRECTORY, partition)
    expected = [each for each in markers if paths.marked_id(each) in partition]
    assert window.of_markers(between(window, markers)) == sorted(expected)
    claims = [f"{DIRECTORY}/{encode_segment(each)}/c-1" for each in ids]
    window = windows.of_targets(DIRECTORY, partition)
    expected = [each for each in claims if paths.marked_target(each) in partition]
    assert window.of_targets(between(window, claims)) == sorted(expected)


def inside(ids: set[str], partition: Partition) -> set[str]:
    return {each for each in ids if each in partition}


def between(window: windows.Window, files: list[str]) -> list[str]:
    """What a server lists of a window."""
    return sorted(
        path
        for path in files
        if path > window.after and (window.until is None or path <= window.until)
    )


def test_the_window_of_a_range_far_from_others_has_no_other_files() -> None:
    """Ids that share a beginning, as those do that are derived from keys."""
    window = windows.of_documents(DIRECTORY, Partition("bounty-7", "bounty-8"))
    assert window.after == f"{DIRECTORY}/bounty-7"
    assert window.until == f"{DIRECTORY}/bounty-8.json"
    assert list(window.stragglers) == []
    markers = windows.of_markers(DIRECTORY, Partition("bounty-7", "bounty-8"))
    assert markers.until == f"{DIRECTORY}/bounty-8%@:"
