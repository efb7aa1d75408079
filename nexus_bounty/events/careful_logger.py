"""A logger that never raises: no log that fails changes what is told of an operation."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from contextlib import suppress
from typing import Any, Final

MISHAPS: Final = (Exception, asyncio.CancelledError)
"""What code of the program may raise when it is called in passing, without being waited for.

So it is nobody's cancellation either: at most, it asked a cancelled future for its result.
"""


class CarefulLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger `name`, which goes on when a filter or a handler of the program raises.

    That is shown on stderr instead, as `logging` itself does of a record that cannot be written.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def log(self, level: int, msg: object, *args: object, **named: Any) -> None:
        """Say it, as from the caller of whatever called this."""
        stack_level = named.pop("stacklevel", 1) + 1
        try:
            if self.logger.isEnabledFor(level):
                self.logger.log(level, msg, *args, stacklevel=stack_level, **named)
        except MISHAPS:
            _show()


def _show() -> None:
    if logging.raiseExceptions and sys.stderr is not None:
        with suppress(*MISHAPS):
            traceback.print_exc()
