"""Content etags: which bytes an etag speaks for.

Most are hashes of the content. Which one a server uses is seen from its etags, never from a version
string; which there are is said in `quirks`.
"""

from __future__ import annotations

from typing import Final

from nexus_bounty.nexus.client.quirks import HASHES, EtagKind

DIGITS: Final = 64
"""Of every known hash: what is longer or shorter need not be compared with any."""


def algorithm_of(content: bytes, etag: str) -> EtagKind | None:
    """The hash that makes `etag` of `content`, or `None` if no known one does."""
    if len(etag) != DIGITS:
        return None
    return next((kind for kind, digest in HASHES.items() if digest(content) == etag), None)


def speaks_for(etag: str | None, content: bytes) -> bool:
    """Whether `etag` proves that `content`, byte for byte, is what the server has."""
    return etag is not None and algorithm_of(content, etag) is not None


def etag_by(hashes: EtagKind, content: bytes) -> str:
    """The etag of `content` where etags are these hashes."""
    return HASHES[hashes](content)


def true_etag(etag: str, content: bytes, hashes: EtagKind | None) -> str:
    """The etag of `content`, of which a read says that it is `etag`.

    One release goes on saying the etag that a file had before it was overwritten. Where etags are
    known to be hashes, what looks like one and is not that of the content is taken for such.
    """
    if hashes is None:
        return etag
    own = etag_by(hashes, content)
    return own if _looks_like(etag, own) else etag


def _looks_like(etag: str, digest: str) -> bool:
    return len(etag) == len(digest) and all(each in "0123456789abcdef" for each in etag)
