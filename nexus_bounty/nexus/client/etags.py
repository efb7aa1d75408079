"""Content etags: which bytes an etag speaks for.

Nexus etags are hashes of the content: SHA-256 in 0.5.6, BLAKE3 from 0.7.0 on. Which one a server
uses is seen from its etags, never from a version string.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from blake3 import blake3

ALGORITHMS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "blake3": lambda content: blake3(content).hexdigest(),
    "sha256": lambda content: hashlib.sha256(content).hexdigest(),
}


def algorithm_of(content: bytes, etag: str) -> str | None:
    """The name of the hash that makes `etag` of `content`, or `None` if no known one does."""
    return next((name for name, digest in ALGORITHMS.items() if digest(content) == etag), None)


def speaks_for(etag: str | None, content: bytes) -> bool:
    """Whether `etag` proves that `content`, byte for byte, is what the server has."""
    return etag is not None and algorithm_of(content, etag) is not None
