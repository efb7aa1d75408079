"""What the how-to says of events is complete; that its programs run is tested with all pages."""

from __future__ import annotations

from pathlib import Path

from nexus_bounty import events

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "observe.md").read_text("utf-8")


def test_the_how_to_names_every_type_of_event_that_its_table_is_made_of() -> None:
    """Or says nothing of it on purpose: what only begins, or is only sent, counts nothing."""
    silent = {events.OperationBegan, events.RequestSent}
    for kind in set(events.Event.__subclasses__()) - silent:
        assert f"`{kind.__name__}" in PAGE
