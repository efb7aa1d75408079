"""Rewrites the tables of the documentation from `benchmarks/results`.

    make bench
    python -m benchmarks.harness.page           # or with --check, to see whether they agree

What stands on a page between `<!-- from NAME: PART -->` and `<!-- end -->` is made from the files
of the benchmark NAME. PART is `table 1` and so on; `when`, which says when it was measured and
whether the machine had other things to do; or one of `SAYINGS`. The rest of a page is written by
people, and has no figures that a benchmark makes.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.harness.circumstances import Circumstances
from benchmarks.harness.options import RESULTS
from benchmarks.harness.report import MEASURED, Table
from benchmarks.harness.rounds import shown

DOCS: Final = RESULTS.parent.parent / "docs"
NOT_RELEASED: Final = ("atomic",)
BARE_ON_POSTGRESQL: Final = ("bare statements that promise the same", "bare statements")
_MADE: Final = re.compile(
    r"<!-- from (?P<name>[\w.-]+): (?P<part>[^\n]+?) -->\n.*?<!-- end -->", re.DOTALL
)


def rewritten(page: str, results: Path) -> str:
    """The page with all that is made from `results` made anew."""
    return _MADE.sub(lambda found: _made(found["name"], found["part"], results), page)


def parts(page: str) -> list[tuple[str, str]]:
    """What of a page is made: the benchmarks, each with the part of its results."""
    return [(found["name"], found["part"]) for found in _MADE.finditer(page)]


def _made(name: str, part: str, results: Path) -> str:
    kind, _, number = part.partition(" ")
    if kind == "table":
        text = _tables((results / f"{name}.md").read_text())[int(number) - 1]
    else:
        text = SAYINGS[part](json.loads((results / f"{name}.json").read_text()))
    return f"<!-- from {name}: {part} -->\n\n{text}\n\n<!-- end -->"


def _tables(text: str) -> list[str]:
    """The tables of a file of results, without their titles."""
    titled = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    return [part.split("\n\n", 1)[1].strip() for part in titled]


def _when(figures: Mapping[str, Any]) -> str:
    if MEASURED not in figures:
        return "When this was measured was not kept."
    return Circumstances.of(figures[MEASURED]).in_words


def _near_and_far(figures: Mapping[str, Any]) -> str:
    """How the kinds that were released compare, by how far the server is away."""
    every = figures["lifecycles_ratio_vs_obvious_client_away"]
    said = [
        f"{kind} {_range(away['0'])} × on loopback and {_range(away['50'])} × 50 ms away"
        for kind, away in every.items()
        if kind not in NOT_RELEASED and all(away.values())
    ]
    return f"Lives a second, beside the obvious client's: on {', and on '.join(said)}."


def _range(spread: Mapping[str, float]) -> str:
    low, high = shown(spread["low"]), shown(spread["high"])
    return low if low == high else f"{low} to {high}"


def _on_postgresql(figures: Mapping[str, Any]) -> str:
    """Medians beside those of the two kinds of bare statements, by creators and callers."""
    turns = figures["postgres_throughput"]
    rates = {
        where: {name: each["per_second"]["median"] for name, each in found.items()}
        for where, found in turns.items()
    }
    others = [name for name in next(iter(rates.values())) if name not in BARE_ON_POSTGRESQL]
    rows: list[list[object]] = [
        [
            name,
            *(
                " / ".join(shown(found[name] / found[bare]) for bare in BARE_ON_POSTGRESQL)
                for found in rates.values()
            ),
        ]
        for name in others
    ]
    title = "× bare statements, the same promises / none"
    return Table("", [title, *rates], rows).markdown


SAYINGS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "when": _when,
    "near and far": _near_and_far,
    "beside bare statements": _on_postgresql,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite them, or say which differ; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if pages differ")
    given = parser.parse_args(arguments)
    pages = {page: rewritten(page.read_text(), RESULTS) for page in sorted(DOCS.rglob("*.md"))}
    differ = {page: text for page, text in pages.items() if text != page.read_text()}
    for page, text in differ.items():
        print(f"{page.relative_to(DOCS.parent)} {'differs' if given.check else 'rewritten'}")
        if not given.check:
            page.write_text(text)
    return int(given.check and bool(differ))


if __name__ == "__main__":
    raise SystemExit(main())
