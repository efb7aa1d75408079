"""What a command says: one JSON document for programs, or something to read for people.

What lays it out for people is imported when a person is to read it, which takes its time.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nexus_bounty.cli.exits import ExitCode

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.text import Text

    from nexus_bounty.cli.renderables import FactTable

WIDTH_OF_A_PIPE: Final = 200
"""A file has no width of its own; ids must not be cut there."""


_MOST: Final = 400


@dataclass(frozen=True)
class Reply:
    """The answer of a command: `data` as JSON, or `text` for people."""

    data: Any
    text: RenderableType
    exit_code: ExitCode = ExitCode.OK


@dataclass(frozen=True)
class LazyText:
    """Something to read that is made when it is to be read."""

    make: Callable[[], RenderableType]

    def __rich__(self) -> RenderableType:
        """It."""
        return self.make()


def stdout() -> Console:
    """Where answers go."""
    return _console(stderr=False)


def stderr() -> Console:
    """Where errors, keys and progress go."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_OF_A_PIPE
    return Console(stderr=stderr, width=width, highlight=False)


def write_json(data: Any) -> None:
    """Write one JSON document, in one line, to stdout, whatever that can encode."""
    try:
        text = msgspec.json.encode(data).decode()
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # also of a sign that is none, such as a byte of a command line
        text = json.dumps(msgspec.to_builtins(data, str_keys=True))
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def counted(texts: Iterable[str]) -> list[str]:
    """Texts one after another, those that repeat the one before them as a number."""
    runs = [(text, sum(1 for _ in same)) for text, same in groupby(texts)]
    return [text if times == 1 else f"{text} ({times} times)" for text, times in runs]


def shortened(text: str) -> str:
    """A text that somebody has given, fit to be shown in a line."""
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} … {text[-_MOST // 2 :]}"


def without_credentials(text: str) -> str:
    """A text that may hold addresses, without the users and passwords in them.

    What stands in the wrong place of a command line is repeated, and may be a ledger's address.
    """
    return _PASSWORD.sub(r"\1…", " ".join(map(_without_user, text.split(" "))))


_PASSWORD: Final = re.compile(r"((?:password|passwd|token|api[-_]?key)=)[^&\s]+", re.IGNORECASE)


def _without_user(word: str) -> str:
    scheme, is_address, rest = word.partition(":/")
    end = max(rest.rfind("@"), rest.rfind("%40"))
    return f"{scheme}:/…{rest[end:]}" if is_address and end >= 0 else word


def safe(value: object, style: str = "") -> Text:
    """Text of unknown origin, as it is: without markup, and without control characters."""
    from rich.text import Text

    shown = "".join(sign if sign.isprintable() else "�" for sign in str(value))
    return Text(shown, style=style)


def facts(*rows: tuple[str, str | Text | None]) -> FactTable:
    """Names and values side by side; values that are `None` are left out."""
    from nexus_bounty.cli.renderables import FactTable

    return FactTable(
        [
            (safe(name, "dim"), safe(value) if isinstance(value, str) else value)
            for name, value in rows
            if value is not None
        ]
    )


def lines(*parts: RenderableType | None) -> Group:
    """Parts below each other; those that are `None` are left out."""
    from rich.console import Group
    from rich.text import Text

    from nexus_bounty.cli.renderables import Paragraph

    given = [part for part in parts if part is not None]
    return Group(*(Paragraph(part) if isinstance(part, Text) else part for part in given))


def is_watched() -> bool:
    """Whether a person looks at stderr, by itself or as the environment says."""
    may_be = sys.stderr.isatty() or any(os.environ.get(name) for name in _FORCED)
    return may_be and stderr().is_terminal


_FORCED: Final = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Variables by which rich takes a file for a terminal."""


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        stderr().print(safe(record.getMessage(), "dim"))


@contextmanager
def notices() -> Iterator[None]:
    """Say on stderr what takes long, and what went wrong on the way, if a person is looking."""
    if not is_watched():
        yield
        return
    logger, handler = logging.getLogger("nexus_bounty"), _Notices()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


@contextmanager
def progress(what: str) -> Iterator[Callable[..., None]]:
    """Count on stderr while something long runs, if a person is looking; gives what counts.

    Given text, that one does not count, but shows it.
    """
    if not is_watched():
        yield lambda detail="": None  # noqa: ARG005
        return
    count = 0
    with stderr().status(f"{what} …") as status:

        def step(detail: str = "") -> None:
            nonlocal count
            count += not detail
            status.update(safe(f"{what} … {count} {detail}"))

        yield step
