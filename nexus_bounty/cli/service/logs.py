"""Where the log of a service goes: to standard error, a line for people or a JSON document each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nexus_bounty.cli.options import LogFormat, LogLevel
from nexus_bounty.cli.output import is_watched, safe, stderr


@contextmanager
def logging_to_stderr(form: LogFormat, level: LogLevel | None) -> Iterator[None]:
    """Write what is logged by this library at `level`, and warnings of all others.

    Args:
        form: Text, or one JSON document a line.
        level: Warnings if not given, and on a terminal what is informative, too.
    """
    chosen = level or (LogLevel.INFO if is_watched() else LogLevel.WARNING)
    handler, root = _Lines(), logging.getLogger()
    handler.setFormatter(_json() if form is LogFormat.JSON else logging.Formatter(_TEXT))
    ours = logging.getLogger("nexus_bounty")
    before = ours.level
    root.addHandler(handler)
    ours.setLevel(chosen.name)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        ours.setLevel(before)
        root.removeHandler(handler)


_TEXT = "%(asctime)s %(levelname)s %(message)s"


class _Lines(logging.Handler):
    """Writes to whatever standard error is, a closed one included."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        console = stderr()
        for line in self.format(record).splitlines():
            console.print(safe(line), soft_wrap=True)
        console.file.flush()


def _json() -> logging.Formatter:
    """A document with the time, level, logger, message, and what a record has besides."""
    from pythonjsonlogger.json import JsonFormatter

    class Formatter(JsonFormatter):
        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            """Leave out what there is none of."""
            return {name: value for name, value in log_data.items() if value is not None}

    return Formatter(
        "{levelname}{name}{message}",
        style="{",
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger"},
    )
