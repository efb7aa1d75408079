"""What a store remembers of documents it has seen, to spare reads."""

from __future__ import annotations

from collections import OrderedDict

from nexus_bounty.nexus.documents import Document


class DocumentMemory:
    """The last seen version of the most recently used documents, by path.

    A memory may be out of date: whoever acts on it has to find out by a conditional write, and
    has to read again before refusing anything.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._documents: OrderedDict[str, Document] = OrderedDict()

    def remember(self, document: Document) -> None:
        """Keep `document`, forgetting the least recently used one if there is no room."""
        self._documents[document.path] = document
        self._documents.move_to_end(document.path)
        if len(self._documents) > self._capacity:
            self._documents.popitem(last=False)

    def recall(self, path: str) -> Document | None:
        """The document as last seen, or `None`."""
        document = self._documents.get(path)
        if document is not None:
            self._documents.move_to_end(path)
        return document

    def clear(self) -> None:
        """Drop everything."""
        self._documents.clear()
