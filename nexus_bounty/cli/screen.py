"""Standard streams that never stop a command: what became of it is said by its exit code.

A full disk, a closed pipe or an encoding that lacks a sign must not turn a commit that stands into
"nothing was changed": whoever believes that, pays twice.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

_STANDARD: Final = 3
"""File descriptors below are input, output and errors."""


class Screen(io.TextIOBase):
    """A standard stream that takes whatever is written to it.

    A sign that it cannot encode is replaced. When what is behind it refuses, the rest is dropped.

    Attributes:
        problem: Why it has been given up, if it has been.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.problem: Exception | None = None
        if stream is None:
            self.problem = OSError(errno.EBADF, os.strerror(errno.EBADF))

    # what rich and click read of a stream, and never write
    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What it can show."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What becomes of signs that it cannot show."""
        return "replace"

    def isatty(self) -> bool:
        """Whether a person is looking."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """Its file descriptor.

        Raises:
            OSError: It has none.
        """
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Write what can be written."""
        if not isinstance(text, str):
            raise TypeError(f"must be text, not {type(text).__name__}")
        if self._stream is not None and self.problem is None:
            with self._giving_up():
                self._write(self._stream, text)
        return len(text)

    def flush(self) -> None:
        """Let what was written arrive."""
        if self._stream is not None and self.problem is None:
            with self._giving_up():
                self._stream.flush()

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode(self.encoding, "replace").decode(self.encoding))

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as problem:  # ValueError: somebody has closed it
            self.problem = problem
            self._drain()

    def _drain(self) -> None:
        """Let what is still buffered vanish, or Python ends with a code of its own: 120."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self.fileno())
            finally:
                os.close(nowhere)


@contextmanager
def screens() -> Iterator[None]:
    """Put a `Screen` in the place of standard output, and one in that of standard error."""
    if sys.stdout is None or sys.stderr is None:
        _occupy()
    _forget_sizes()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Screen(sys.stdout), Screen(sys.stderr)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def lost() -> str | None:
    """Why standard output cannot be written, if it cannot."""
    problem = getattr(sys.stdout, "problem", None)
    return None if problem is None else getattr(problem, "strerror", None) or str(problem)


def is_unread() -> bool:
    """Whether nobody reads standard output any more, as after `| head`."""
    return isinstance(getattr(sys.stdout, "problem", None), BrokenPipeError)


def accept_loss() -> None:
    """Go on without standard output: what was lost has been told."""
    sys.stdout = Screen(None)
    sys.stdout.problem = None


def _forget_sizes() -> None:
    """Drop sizes of a terminal that nothing could be shown on: rich takes any number."""
    for name in ("COLUMNS", "LINES"):
        size = os.environ.get(name, "")
        if size and not (size.isascii() and size.isdigit() and len(size) < 5 and int(size)):
            del os.environ[name]


def _occupy() -> None:
    """Open what is closed, or the next file or socket gets the number of a standard stream."""
    while (opened := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
        pass
    os.close(opened)
