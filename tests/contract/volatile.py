"""What differs from one recording to the next, and how it is made the same.

- times that a server tells: every one becomes the same moment, in the form it came in;
- ids that a server makes up (locks, reservations, transfers): numbered in order of appearance;
- the SQL statement that a server appends to a database error: left out;
- keys: named, not shown.

Nothing else is: hashes, versions and sizes follow from what was sent, which is the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MOMENT: Final = "2026-01-01T00:00:00.000000"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b\d{30,}\b")
"""UUIDs, and the long numbers of reservations in 0.10.1."""
_SQL: Final = re.compile(r"\n\[SQL: .*", re.DOTALL)
_MADE_UP: Final = frozenset({"record_hash", "transfer_id"})
"""Ids in forms of their own, known by their key."""


class Volatile:
    """Hides what is volatile in one conversation, and puts it back.

    Args:
        secrets: What to show in place of each key.
    """

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})
        self._numbers: dict[str, str] = {}

    def hide_request(self, value: Any) -> Any:
        """`value`, sent to a server, without ids it made up and keys. Its times are our own."""
        return self._walk(value, lambda text: self._hide_ids(text))

    def hide_answer(self, value: Any) -> Any:
        """`value`, told by a server, without anything volatile."""
        return self._walk(value, lambda text: self._hide_ids(_TIME.sub(MOMENT, _SQL.sub("", text))))

    def put_back(self, value: Any) -> Any:
        """`value` with the ids and keys of this conversation in place of what stands for them."""
        return self._walk(value, self._put_back)

    def _walk(self, value: Any, change: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._walk(each, change, name) for name, each in value.items()}
        if isinstance(value, list):
            return [self._walk(each, change, key) for each in value]
        if isinstance(value, str):
            return f"<{key}>" if key in _MADE_UP else change(value)
        return value

    def _hide_ids(self, text: str) -> str:
        for secret, name in self._secrets.items():
            text = text.replace(secret, name)
        return _ID.sub(lambda found: self._number(found.group()), text)

    def _number(self, found: str) -> str:
        number = f"00000000-0000-4000-8000-{len(self._numbers) + 1:012}"
        return self._numbers.setdefault(found, number)

    def _put_back(self, text: str) -> str:
        for found, number in self._numbers.items():
            text = text.replace(number, found)
        for secret, name in self._secrets.items():
            text = text.replace(name, secret)
        return text
