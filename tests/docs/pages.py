"""The pages of the documentation, and the blocks of code on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DEFAULT_URL: Final = "http://127.0.0.1:2026"
PROGRAMS: Final = {"python", "sh"}

_BLOCK: Final = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n\n?)?"
    r"```(?P<language>\w+)?(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

ELSEWHERE: Final = re.compile(
    r"make |pip install |python3? -m venv |\. \.venv/|git clone |nexus-bounty mock-server\b"
)
"""Lines that other tests look at, and the server, which the test of a page brings itself."""


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences.

    Attributes:
        line: Where on its page.
        language: As the fence says.
        text: What stands there.
        title: The name of the file that it is, or "output" of what is before it.
        reason: Why it is not run, if so.
    """

    line: int
    language: str
    text: str
    title: str = ""
    reason: str = ""

    @property
    def is_output(self) -> bool:
        """Whether this is what the block before it says."""
        return self.title == "output"

    @property
    def is_test(self) -> bool:
        """Whether this is a file of tests."""
        return self.title.startswith("test_")

    @property
    def commands(self) -> str:
        """What a shell is to run of it here."""
        lines = self.text.splitlines(keepends=True)
        return "".join(line for line in lines if not ELSEWHERE.match(line))


def is_as_shown(shown: str, said: str) -> bool:
    """Whether a page shows what was said; `…` stands for anything within a line, or for lines."""
    wanted = [re.escape(line).replace("…", ".*") for line in _lines(shown)]
    wanted = [line if line != ".*" else r".*(?:\n.*)*?" for line in wanted]
    return re.fullmatch("\n".join(wanted), "\n".join(_lines(said))) is not None


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


@dataclass(frozen=True)
class Page:
    """One file of documentation."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository."""
        inside = self.path.is_relative_to(ROOT)
        return str(self.path.relative_to(ROOT) if inside else self.path)

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text("utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        """Its blocks in their order."""
        return [
            Block(
                line=self.text.count("\n", 0, found.start("language") + 1) + 1,
                language=found["language"] or "",
                text=found["text"],
                title=found["title"] or "",
                reason=found["reason"] or "",
            )
            for found in _BLOCK.finditer(self.text)
        ]

    @property
    def runs(self) -> bool:
        """Whether there is anything on it to run."""
        return any(each.language in PROGRAMS and not each.reason for each in self.blocks)

    def is_run_later(self, block: Block) -> bool:
        """Whether what comes later runs or imports the file that `block` is."""
        if not block.title or block.is_test:
            return block.is_test
        later = "\n".join(each.text for each in self.blocks if each.line > block.line)
        imported = rf"^(from|import) {re.escape(block.title.removesuffix('.py'))}\b"
        return block.title in later or bool(re.search(imported, later, re.MULTILINE))


PAGES: Final = [
    Page(path)
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if path.exists()
]
