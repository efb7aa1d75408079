"""The body of an answer: read as it comes, unpacked as it is read, and never more than is allowed.

Five kilobytes of gzip can unpack to gigabytes. So one encoding is taken, once, and both what comes
and what it unpacks to are counted.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable
from typing import Final

_GZIP: Final = 16 + zlib.MAX_WBITS


class UnusableBodyError(Exception):
    """The body cannot be unpacked; what it would have said is not known."""


class OversizedBodyError(Exception):
    """The body is larger than is taken."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the answer has more than {most} bytes (NEXUS_MAX_ANSWER_BYTES)")


async def read_body(parts: AsyncIterable[bytes], encoding: str | None, most: int) -> bytes:
    """The whole body, unpacked.

    Raises:
        OversizedBodyError: It has more than `most` bytes, packed or unpacked.
        UnusableBodyError: It is packed in another way than gzip, or is no gzip.
    """
    packed = (encoding or "identity").strip().lower()
    if packed not in ("identity", "gzip", "x-gzip"):
        raise UnusableBodyError(f"the answer is packed as {packed[:40]!r}, which was not asked for")
    unpack = None if packed == "identity" else _Gzip(most)
    body, received = bytearray(), 0
    async for part in parts:
        received += len(part)
        if received > most:
            raise OversizedBodyError(most)
        body += part if unpack is None else unpack.more(part, most - len(body))
    if unpack is not None and not unpack.is_whole:
        raise UnusableBodyError("the answer says that it is gzip, and is not, or not all of it")
    return bytes(body)


class _Gzip:
    """Unpacks one gzip stream, a piece at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stream = zlib.decompressobj(_GZIP)

    @property
    def is_whole(self) -> bool:
        return self._stream.eof

    def more(self, part: bytes, room: int) -> bytes:
        try:
            unpacked = self._stream.decompress(part, room + 1)
        except zlib.error as error:
            raise UnusableBodyError(f"the answer is no gzip: {error}") from None
        if len(unpacked) > room:
            raise OversizedBodyError(self._most)
        return unpacked
