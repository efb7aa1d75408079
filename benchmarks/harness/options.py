"""How much to measure, and where to put what was measured."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar

T = TypeVar("T")

Scale = Literal["tiny", "quick", "full"]

LIVE = ("0.5.6", "0.7.0", "0.9.18")
RESULTS = Path(__file__).resolve().parent.parent / "results"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for.

    Attributes:
        scale: "tiny" only shows that everything runs, "quick" takes about 25 minutes for all
            benchmarks together where two cores have nothing else to do, "full" takes as long as
            it takes.
        rounds: How often each contender gets its turn; `None` leaves it to the benchmark.
        json: Whether the last line is the figures as JSON; tables then go to stderr.
        out: The directory of the results.
        live: The release of a real server to measure on, instead of the mock.
    """

    scale: Scale = "quick"
    rounds: int | None = None
    json: bool = False
    out: Path = RESULTS
    live: str | None = None

    def pick(self, *, tiny: T, quick: T, full: T) -> T:
        """What belongs to the scale."""
        return {"tiny": tiny, "quick": quick, "full": full}[self.scale]

    @property
    def turns(self) -> int:
        """How often each contender gets its turn."""
        return self.rounds or self.pick(tiny=1, quick=3, full=7)

    @classmethod
    def parse(
        cls, description: str, arguments: Sequence[str] | None = None, *, alone: bool = False
    ) -> Self:
        """The options that `arguments` give, or those of the process.

        What could not be done is refused here, before anything is measured. One benchmark `alone`
        runs on the mock: on a real server only all that is measured there runs together.
        """
        parser = _parser(description)
        given = parser.parse_args(arguments)
        if alone and given.live is not None:
            parser.error(
                f"one benchmark alone has no --live: python -m benchmarks --live {LIVE[1]}"
            )
        try:
            _try_to_write(given.out)
        except OSError as error:
            parser.error(f"argument --out: nothing can be written there: {error}")
        return cls(given.scale, given.rounds, given.json, given.out, given.live)


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument(
        "--full", dest="scale", action="store_const", const="full", help="more of all; hours"
    )
    scale.add_argument(
        "--tiny", dest="scale", action="store_const", const="tiny", help="only show that it runs"
    )
    parser.set_defaults(scale="quick")
    parser.add_argument(
        "--rounds", type=_rounds, help="turns of each contender, where they take turns"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument(
        "--live", choices=LIVE, help="measure on a real server of this release alone"
    )
    return parser


def _rounds(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _try_to_write(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        pass
