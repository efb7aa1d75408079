"""Content etags: which bytes an etag speaks for.

Most are hashes of the content. Which one a server uses is seen from its etags, never from a version
string; which there are is said in `quirks`.
"""

from __future__ import annotations

from nexus_bounty.nexus.client.quirks import HASHES, EtagKind


def algorithm_of(content: bytes, etag: str) -> EtagKind | None:
    """The hash that makes `etag` of `content`, or `None` if no known one does."""
    return next((kind for kind, digest in HASHES.items() if digest(content) == etag), None)


def speaks_for(etag: str | None, content: bytes) -> bool:
    """Whether `etag` proves that `content`, byte for byte, is what the server has."""
    return etag is not None and algorithm_of(content, etag) is not None
