"""How Nexus normalises a virtual path, and which paths it refuses."""

from __future__ import annotations

import re

from nexus_bounty.mock.problems import Problem, Refusal

_FORBIDDEN = ("\0", "\n", "\r", "\t")
_SLASHES = re.compile(r"/{2,}")
_PLAIN = re.compile(r"(?:/(?!\.\.(?:/|$))[^/\s\0]+)+\Z")
"""Paths that need no work: no white space, no `..` segment, no doubled or trailing slash."""


def normalise(path: object, *, root: bool = False) -> str:
    """Return the canonical form of a path.

    Args:
        path: What the client sent.
        root: Whether `/` itself is allowed.

    Raises:
        Refusal: BAD_PATH, with the text that real servers give.
    """
    if not isinstance(path, str):
        raise Refusal(Problem.INTERNAL, f"expected str path, got {type(path).__name__}")
    return path if _PLAIN.match(path) else _normalise_odd(path, root=root)


def kernel_path(path: object) -> str:
    """Return the canonical form of a path as the kernel of 0.10 takes it; the root is a file to it.

    Raises:
        Refusal: BAD_PATH, in the words of the kernel, which do not say the path.
    """
    if not isinstance(path, str):
        raise Refusal(Problem.INTERNAL, f"expected str path, got {type(path).__name__}")
    if _PLAIN.match(path):
        return path
    problem = _kernel_complaint(path)
    if problem:
        raise _bad(f"Invalid path: {problem}")
    return _SLASHES.sub("/", path).rstrip("/") or "/"


def _kernel_complaint(path: str) -> str | None:
    if not path:
        return "Path cannot be empty"
    if not path.startswith("/"):
        return "Path must start with /"
    if "\0" in path:
        return "Path contains null byte"
    if ".." in path.split("/"):
        return "Path contains parent directory reference (..)"
    return None


def _normalise_odd(path: str, *, root: bool) -> str:
    stripped = path.strip()
    if not stripped:
        shown = f": {path}" if path else ""
        raise _bad(f"Path cannot be empty or whitespace-only{shown}")
    clean = _SLASHES.sub("/", stripped if stripped.startswith("/") else "/" + stripped)
    clean = clean.rstrip("/") or "/"
    if clean == "/" and not root:
        raise _bad(
            "Root path '/' not allowed for file operations. "
            "Use list('/') for directory listings.: /"
        )
    _refuse_odd_segments(clean)
    return clean


def _refuse_odd_segments(path: str) -> None:
    for char in _FORBIDDEN:
        if char in path:
            raise _bad(f"Path contains invalid character: {char!r}: {path}")
    for part in path.split("/"):
        if part != part.strip():
            raise _bad(
                f"Path component '{part}' has leading/trailing whitespace. "
                f"Path components must not contain spaces at start/end.: {path}"
            )
        if part == "..":
            raise _bad(f"Path contains '..' segments: {path}")


def _bad(message: str) -> Refusal:
    return Refusal(Problem.BAD_PATH, message)
