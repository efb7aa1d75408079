"""Files with secrets in them, which nobody else may read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TypeVar

import msgspec

from nexus_bounty.cli.exits import UsageProblem

T = TypeVar("T")


def read_secrets(file: Path, kind: type[T], shape: str) -> T:
    """What is in a file of secrets, which looks like `shape`; nothing of it is ever repeated.

    Raises:
        UsageProblem: It cannot be read, others can read it, or it has another shape.
    """
    content = read_private(file)
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError:  # which might quote a token
        raise UsageProblem(f"{file} must be JSON, {shape}") from None


def read_private(file: Path) -> bytes:
    """What is in a file that only its owner may read.

    Raises:
        UsageProblem: It cannot be read, or others can read it.
    """
    try:
        readable = file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
        content = file.read_bytes()
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None
    if readable:
        raise UsageProblem(f"{file} can be read by others: chmod 600 {file}")
    return content
