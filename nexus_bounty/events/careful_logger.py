"""A logger that never raises: no log that fails changes what is told of an operation."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from typing import Any, Final

_MISHAPS: Final = (Exception, asyncio.CancelledError)
_SAID: Final = "_nexus_bounty_said"


def is_mishap(error: BaseException) -> bool:
    """Whether code of the program may raise that when it is called in passing, and break nothing.

    It is not waited for, so that it is nobody's cancellation either: at most, it asked a cancelled
    future, or a group of tasks, for its result. What ends the program is none.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_mishap(each) for each in error.exceptions)
    return isinstance(error, _MISHAPS)


class CarefulLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger `name`, which goes on when a filter or a handler of the program raises.

    That is shown on stderr instead, as `logging` itself does of a record that cannot be written.
    What is `extra` takes the place of nothing that the program has put into the record already.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})
        if _with_extra not in self.logger.filters:  # before what a program has set up already
            self.logger.filters.insert(0, _with_extra)

    def log(self, level: int, msg: object, *args: object, **named: Any) -> None:
        """Say it, as from the caller of whatever called this."""
        stack_level = named.pop("stacklevel", 1) + 1
        extra = {_SAID: named.pop("extra", None) or {}}
        try:
            if self.logger.isEnabledFor(level):
                self.logger.log(level, msg, *args, stacklevel=stack_level, extra=extra, **named)
        except BaseException as error:
            if not is_mishap(error):
                raise
            _show()


def _with_extra(record: logging.LogRecord) -> bool:
    """Put in what is said besides; `logging` itself refuses a record that has one of the names."""
    for name, value in record.__dict__.pop(_SAID, {}).items():
        record.__dict__.setdefault(name, value)
    return True


def _show() -> None:
    if not logging.raiseExceptions or sys.stderr is None:
        return
    try:
        traceback.print_exc()
    except BaseException as error:
        if not is_mishap(error):
            raise
