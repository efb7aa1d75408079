"""Documents: JSON files with the history they carry, and the writer that changes them.

It knows no commit strategy: `commits` says what one is asked to do and how it can end.
"""

from nexus_bounty.nexus.documents.document import (
    BelievedFile,
    Document,
    DocumentReader,
    UnreadableDocumentError,
    decode,
    decoded_or_error,
    encode,
    is_tombstone,
)

__all__ = [
    "BelievedFile",
    "Document",
    "DocumentReader",
    "UnreadableDocumentError",
    "decode",
    "decoded_or_error",
    "encode",
    "is_tombstone",
]
