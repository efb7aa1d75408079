"""Keeps the API key out of everything that is shown: messages, causes, and the frames of causes."""

from __future__ import annotations

import html
import json
import re
from typing import TypeVar
from urllib.parse import unquote

E = TypeVar("E", bound=BaseException)

_IN_JSON = re.compile(r"\\u([0-9a-fA-F]{4})")
_TIMES_QUOTED = 3
"""How often a text may have been quoted by one program after another."""


class Secrets:
    """Knows the API key in whatever way a text spells it."""

    def __init__(self, key: str) -> None:
        self._key = _plain(key)
        quoted = repr(key)[1:-1]
        spelled = {key, quoted, repr(quoted)[1:-1], json.dumps(key)[1:-1]} - {""}
        self._spellings = sorted(spelled, key=len, reverse=True)

    def are_in(self, text: str) -> bool:
        """Whether `text` repeats the key, in JSON, percent or HTML escapes or in UTF-16."""
        return bool(self._key) and (self._key in text or self._key in _plain(text))

    def redacted(self, text: str) -> str:
        """`text` without the key; nothing of it if it spells the key in an unusual way."""
        for spelling in self._spellings:
            text = text.replace(spelling, "***")
        return "(not shown: it repeats the API key)" if self.are_in(text) else text


def _plain(text: str) -> str:
    for _ in range(_TIMES_QUOTED):
        text = text.replace("\x00", "").replace("\ufffd", "")
        text = _IN_JSON.sub(lambda found: chr(int(found.group(1), 16)), text)
        text = html.unescape(unquote(text)).replace("\\", "")
    return text


def without_frames(error: E) -> E:
    """`error` and all that led to it, without their frames: these hold headers and bodies."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        found.__traceback__ = None
        found = found.__cause__ or found.__context__
    return error
