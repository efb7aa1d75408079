"""What a process remembers to have tried."""

from nexus_bounty.attempts import Attempts


def test_what_was_tried_is_remembered_until_it_is_ruled_out() -> None:
    """A repeat of it cannot be called 'never sent' meanwhile."""
    attempts = Attempts()
    attempts.add(("b-1", "k"))
    attempts.add(("b-1", "k"))
    assert ("b-1", "k") in attempts
    assert ("b-2", "k") not in attempts
    attempts.rule_out(("b-1", "k"))
    attempts.rule_out(("b-1", "k"))
    assert ("b-1", "k") not in attempts


def test_only_the_latest_are_kept() -> None:
    """In a bounded memory; trying again counts as late."""
    attempts = Attempts(most=2)
    for each in ("a", "b", "a", "c"):
        attempts.add(each)
    assert "a" in attempts
    assert "b" not in attempts
    assert "c" in attempts
