"""The memory of what happened lately."""

from nexus_bounty.bounded_set import BoundedSet


def test_what_was_added_is_remembered_until_it_is_discarded() -> None:
    """By value; discarding what is not there is no error."""
    recent = BoundedSet()
    recent.add(("b-1", "k"))
    recent.add(("b-1", "k"))
    assert ("b-1", "k") in recent
    assert ("b-2", "k") not in recent
    recent.discard(("b-1", "k"))
    recent.discard(("b-1", "k"))
    assert ("b-1", "k") not in recent


def test_only_the_latest_are_kept() -> None:
    """In a bounded memory; adding again counts as late."""
    recent = BoundedSet(most=2)
    for each in ("a", "b", "a", "c"):
        recent.add(each)
    assert "a" in recent
    assert "b" not in recent
    assert "c" in recent
