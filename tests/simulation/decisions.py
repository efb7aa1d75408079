"""The choices that make one schedule of all possible ones, each under a readable name.

A name says where a choice is made, such as `bob.7.fault`: what goes wrong with the seventh thing
that bob waits for. What is not named goes the calm way. So a schedule can be written by hand,
enumerated, drawn from a seed, and made smaller by leaving choices out: names count what an actor
does by itself, and keep their meaning when another actor's choices go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

CALM: Final = ""
"""The choice that is made where a schedule names none."""


@dataclass(frozen=True)
class Mood:
    """How eventful a run is whose choices are drawn."""

    rate: float = 0.0
    """How often something goes wrong at a turn."""
    aftershocks: int = 0
    """For how many turns more often after that."""
    focused: bool = False
    """Whether that is mostly where something is committed."""
    switching: float = 0.0
    """How often another actor goes first."""

    @classmethod
    def drawn(cls, random: Random) -> Mood:
        """A mood at random."""
        rate = random.choice((0.0, 0.03, 0.08, 0.2))
        return cls(
            rate,
            aftershocks=random.choice((0, 0, 3)),
            focused=random.random() < 0.4,
            switching=random.choice((0.0, 0.1, 0.3, 0.6)),
        )


QUIET: Final = Mood()


class Decisions:
    """Makes the choices of one run and remembers all but the calm ones.

    Args:
        given: Choices by name.
        chance: Draws those that are not given; without it they are calm.
        most: How many choices to draw at most, so that runs stay short.
    """

    def __init__(
        self, given: Mapping[str, str] | None = None, chance: Random | None = None, most: int = 40
    ) -> None:
        self._given = given or {}
        self._chance = chance
        self._left = most
        self.made: dict[str, str] = {}

    def choose(self, name: str, others: Sequence[str], rate: float, rarely: str = CALM) -> str:
        """The choice called `name`: `CALM`, or one of `others`, at `rate` where it is drawn.

        `rarely` is possible, too, and drawn ten times less often.

        A given choice that is not possible (any more) is calm: schedules survive shrinking.
        """
        if self._chance is None:
            choice = self._given.get(name, CALM)
            if choice not in others and choice != rarely:
                return CALM
        else:
            choice = self._draw(self._chance, others, rate, rarely)
        if choice:
            self.made[name] = choice
        return choice

    def _draw(self, chance: Random, others: Sequence[str], rate: float, rarely: str) -> str:
        drawn = chance.random()
        if not self._left or drawn >= rate or not (others or rarely):
            return CALM
        choice = chance.choice(others) if others else CALM
        if rarely and drawn < rate / 10:
            choice = rarely
        self._left -= choice != CALM
        return choice
