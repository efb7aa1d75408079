"""On 80 columns, and fewer: ids and keys can be copied, tables stay tables where they fit."""

from __future__ import annotations

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from nexus_bounty.cli.output import facts, lines
from nexus_bounty.cli.renderables import Column, Listing, Paragraph
from tests.cli.program import in_terminal, without_colours
from tests.cli.shell import Life, Shell
from tests.support.sampling import thorough_unless

BOUNTY = "b-" + "7" * 70
KEYS = ("k-post", "claim-" + "c" * 32, "settle-" + "s" * 150)


def drawn(what: RenderableType, columns: int) -> str:
    console = Console(width=columns, color_system=None)
    with console.capture() as seen:
        console.print(what, crop=False)
    return seen.get()


@pytest.fixture
def lived(shell: Shell, life: Life) -> str:
    """A bounty that was claimed and paid, under long keys."""
    bounty_id = life.post("--bounty-id", BOUNTY, "--description", "d " * 60, key=KEYS[0])
    life.claim(bounty_id, key=KEYS[1])
    life.settle(bounty_id, key=KEYS[2])
    return bounty_id


SHOWN: dict[tuple[str, ...], tuple[str, ...]] = {
    ("history", BOUNTY): (
        *(BOUNTY, "k-post:draft", f"{KEYS[1]}:claim"),
        *(f"{KEYS[2]}:begin", f"{KEYS[2]}:settle"),
    ),
    ("claim", BOUNTY, "--agent", "bob", "--key", KEYS[2]): (BOUNTY, KEYS[2]),
    ("explain", KEYS[2], "--bounty", BOUNTY): (BOUNTY, KEYS[2]),
    ("show", BOUNTY): (BOUNTY,),
    ("list",): (BOUNTY,),
}
"""Commands, and the ids and keys that each shows."""


@pytest.mark.usefixtures("lived")
@pytest.mark.parametrize(
    ("columns", "commands"),
    [(80, 2), *(thorough_unless(False, (columns, len(SHOWN))) for columns in (80, 40))],
)
def test_every_id_and_key_is_whole_on_a_terminal(
    environment: dict[str, str], columns: int, commands: int
) -> None:
    """The terminal may wrap them, and then copies them as one; we do not."""
    for arguments, wanted in list(SHOWN.items())[:commands]:
        seen = without_colours(in_terminal(*arguments, env=environment, columns=columns))
        for each in wanted:
            assert each in seen, (arguments, seen)


def test_an_event_of_a_history_takes_two_lines_at_most(
    environment: dict[str, str], lived: str
) -> None:
    """What happened, and its key."""
    seen = without_colours(in_terminal("history", lived, env=environment))
    events = seen[seen.index("●") : seen.index("Money")].splitlines()
    assert len(events) == 2 * 5
    assert [each.startswith("●") for each in events] == [True, False] * 5


def test_a_list_that_fits_is_a_table() -> None:
    """With one line for each row."""
    listing = Listing(
        [Column("Id", whole=True), Column("Amount", right=True), Column("Title", prose=True)],
        [[Text("b-1"), Text("5"), Text("Sort it " * 8)], [Text("b-22"), Text("1000"), Text("x")]],
    )
    assert drawn(listing, 100).splitlines()[1].split()[:3] == ["b-1", "5", "Sort"]
    assert drawn(listing, 100).count("\n") == 3
    assert "Id" in drawn(listing, 40)  # its prose is wrapped
    assert "Id" not in drawn(listing, 20)


def test_the_whole_is_shown_however_narrow_a_terminal_is() -> None:
    """Nothing is cut off, and nothing fails."""
    word = "w" * 50
    parts = lines(
        Text(word), Paragraph(Text(word)), facts(("name", word), (word, "value"), ("n", "v"))
    )
    for columns in (1, 2, 5, 20, 60):
        seen = drawn(parts, columns)
        assert seen.count(word) == 4 or columns < 5, seen
    assert drawn(parts, 60).count(word) == 4
