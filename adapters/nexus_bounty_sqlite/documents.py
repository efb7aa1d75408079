"""What a column `document` says, as one of our structures."""

from __future__ import annotations

import sqlite3
from typing import TypeVar

import msgspec

T = TypeVar("T")


def understood(document: str, kind: type[T]) -> T:
    """The structure that a document holds.

    Raises:
        sqlite3.DataError: Nobody can understand it; what needs it is not done.
    """
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.MsgspecError as error:
        raise sqlite3.DataError(f"a {kind.__name__} cannot be understood: {error}") from error
