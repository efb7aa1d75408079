"""The log of a document's commits: its slots are the truth, the file at its path follows them.

The file may lag behind, when whoever won a slot died before it wrote the file, and may even be
taken back, when such a write arrives late. So a read goes on from the file's sequence number
through the slots after it, and writes the file anew if there are any.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus import documents
from nexus_bounty.nexus.client import Etags, NexusClient, Page
from nexus_bounty.nexus.commit.following import Following
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents import Document, UnreadableDocumentError, paths
from nexus_bounty.nexus.documents.signing import Signer


class CommitLog:
    """Documents as their slots say, and their files, which follow."""

    lists_whole = True

    def __init__(self, client: NexusClient, slots: Slots, following: Following) -> None:
        self._client = client
        self._slots = slots
        self._following = following
        self.signer = Signer.of(client.settings)

    async def read(self, path: str, deadline: Deadline) -> Document | None:
        """The document as committed last; its file is brought up to date if it lags."""
        document = await self.file(path, deadline)
        newest = await self.newest(path, document, deadline)
        if newest is not None and newest is not document and not self._following.owes(path):
            await self.follow(newest, deadline)
        return newest

    async def is_absent(self, path: str, deadline: Deadline) -> bool:
        """Whether nothing was ever committed at `path`: there is no file, and no first slot."""
        return not any(await self._client.exist([path, slot(path, 1)], deadline=deadline))

    async def file(self, path: str, deadline: Deadline) -> Document | None:
        """The document as its file has it, be it late or not."""
        file = await self._slots.file(path, deadline)
        return documents.decode(file, self.signer) if file else None

    async def has_file(self, path: str, deadline: Deadline) -> bool:
        """Whether the document has a file yet, be it late or not."""
        return (await self._client.exist([path], deadline=deadline))[0]

    async def newest(
        self, path: str, document: Document | None, deadline: Deadline
    ) -> Document | None:
        """What the slots have made of `document` since."""
        while after := await self.at(path, next_seq(document), deadline):
            document = after
        return document

    async def at(self, path: str, seq: int, deadline: Deadline) -> Document | None:
        """The document as the commit `seq` made it; `None` if that slot is still free.

        Raises:
            NexusError: It could not be read.
            UnreadableDocumentError: What is in the slot is no document, or not that commit's: to
                go on from it would be to go round in circles.
        """
        won = await self._slots.read(path, slot(path, seq), deadline)
        if won is None:
            return None
        document = documents.decode(replace(won, path=path), self.signer)
        if document.history.seq != seq:
            problem = f"its slot {seq} has a document of write {document.history.seq}"
            raise UnreadableDocumentError(path, problem)
        return document

    def follow(
        self, document: Document, deadline: Deadline, *, promptly: bool = True
    ) -> Awaitable[None]:
        """Write what was committed to the document's file: now, if that can be done, or soon."""
        path, content, seq = document.path, document.file.content, document.history.seq
        return self._following.follow(path, content, deadline, promptly=promptly, seq=seq)

    async def read_many(
        self, names: Sequence[str], deadline: Deadline
    ) -> list[Document | UnreadableDocumentError]:
        """The documents that exist among `names`, as committed last."""
        found = await self.files(names, deadline)
        lagging = await self._lagging(names, found, deadline)
        for path in lagging:
            try:
                newest = await self.read(path, deadline)
            except UnreadableDocumentError as error:
                found[path] = error
            else:
                found |= {path: newest} if newest else {}
        return [found[path] for path in names if path in found]

    async def files(
        self, names: Sequence[str], deadline: Deadline
    ) -> dict[str, Document | UnreadableDocumentError]:
        """The documents as those of the files have them that were shown, each be it late or not."""
        files = await self._slots.files(names, deadline)
        return {each.path: documents.decoded_or_error(each, self.signer) for each in files}

    async def _lagging(
        self,
        names: Sequence[str],
        found: dict[str, Document | UnreadableDocumentError],
        deadline: Deadline,
    ) -> list[str]:
        """Those of `names` whose files are behind their slots, or missing."""
        following = {}
        for path in names:
            document = found.get(path)
            if not isinstance(document, UnreadableDocumentError):
                following[path] = slot(path, next_seq(document))
        taken = await self._slots.taken(list(following.values()), deadline)
        return [path for path, is_taken in zip(following, taken, strict=True) if is_taken]

    async def names(self, directory: str, deadline: Deadline) -> list[str]:
        """The paths of the documents in `directory`, those without a file yet included."""
        files = dict.fromkeys(await self._client.list(directory, deadline=deadline))
        async for each in self._slots.walk(paths.all_commit_slots(directory), deadline):
            files[f"{directory}/{paths.committed_id(each)}.json"] = None
        return list(files)

    async def page(self, directory: str, after: str, deadline: Deadline) -> Page:
        """The same in order, those after `after`: all at once, as slots are nowhere in order."""
        found = sorted(await self.names(directory, deadline))
        return Page([path for path in found if path > after], None)

    async def etags(
        self,
        directory: str,  # noqa: ARG002 - the protocol's
        after: str,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
    ) -> Etags | None:
        """None: a file may lag behind its slots."""
        return None

    async def unchanged(self, seqs: Mapping[str, int], deadline: Deadline) -> set[str]:
        """Those whose next slot is free: whatever is in a slot stays as it is."""
        next_slots = [slot(path, seq + 1) for path, seq in seqs.items()]
        taken = await self._slots.taken(next_slots, deadline)
        return {path for path, is_taken in zip(seqs, taken, strict=True) if not is_taken}


def slot(path: str, seq: int) -> str:
    """The slot of the commit `seq` of the document at `path`."""
    return f"{paths.commit_slots(path)}/{seq}"


def next_seq(document: Document | None) -> int:
    """The number of the commit that would come after `document`."""
    return document.history.seq + 1 if document else 1
