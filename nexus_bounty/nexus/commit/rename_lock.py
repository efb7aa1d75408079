"""Locks moved by rename: who comes after a holder is a slot that only one can win.

The slot is named after the holder that it follows, so that the lock's file needs to hold nothing
but the name of the present one. The file may lag, as a document's may: a read goes on from it
through the slots.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.commit.following import Following
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents import BelievedFile, paths
from nexus_bounty.nexus.documents.commits import Trail
from nexus_bounty.partition import encode_segment
from nexus_bounty.together import both
from nexus_bounty.validation import MOST_NAME_BYTES, is_name

_FIRST: Final = "%@first"  # no encoded name contains `%@`
_EMPTIED: Final = "%@emptied"
"""Whoever follows a lock that names nobody: another program gave it back by emptying its file."""


class RenameLocks:
    """Small files that name a holder, moved from one to the next by renames."""

    def __init__(self, client: NexusClient, slots: Slots, following: Following) -> None:
        self._client = client
        self._slots = slots
        self._following = following

    async def read(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The lock as it was moved last; its file is brought up to date if it lags."""
        file = await self.file(path, deadline)
        newest = await self.newest(path, file, deadline)
        if newest is not None and newest is not file and not self._following.owes(path):
            await self.follow(path, newest.content, deadline)
        return newest

    async def file(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The lock as its file has it, be it late or not."""
        return await self._slots.file(path, deadline)

    async def files(self, names: Sequence[str], deadline: Deadline) -> list[BelievedFile]:
        """The locks as those of their files have them that were shown, each be it late or not."""
        return await self._slots.files(names, deadline)

    async def newest(
        self, path: str, file: BelievedFile | None, deadline: Deadline
    ) -> BelievedFile | None:
        """Who has followed the holder that `file` names."""
        while after := await self._slots.read(path, slot_after(path, file), deadline):
            file = after
        return file

    async def move(
        self,
        path: str,
        now: BelievedFile | None,
        content: bytes,
        deadline: Deadline,
        trail: Trail,
        *,
        promptly: bool,
    ) -> bool:
        """Try once to have `content` follow `now`; whether it provably does.

        If the lock already moved past this holder, return True: its claim was seen to have ended
        before anybody else could follow, so it cannot hold the lock again.
        """
        if now is None:
            of_another_kind, won = await both(
                self._exists(path, deadline), self._win(path, now, content, deadline, trail)
            )
            if of_another_kind:  # a program without slots has it: nobody looks at the first one
                return False
        elif await self._exists(_slot(path, content), deadline):
            return True
        else:
            won = await self._win(path, now, content, deadline, trail)
        if won:
            await self.follow(path, content, deadline, promptly=promptly)
        return won

    async def _win(
        self,
        path: str,
        now: BelievedFile | None,
        content: bytes,
        deadline: Deadline,
        trail: Trail,
    ) -> bool:
        """Try to win the slot after `now`; whether it was, for `content`."""
        slot = slot_after(path, now)
        try:
            name = _name(content)
            staged = await self._slots.stage(path, {name: content}, deadline)
            await self._slots.take(staged.get(name), slot, content, deadline)
        except NexusError as error:
            trail.saw(error.method, path, error.answer)
            if error.disposition in (Disposition.NEVER_SENT, Disposition.REFUSED):
                raise
            return await self._has_won(path, slot, content, deadline, trail)
        return True

    async def _exists(self, path: str, deadline: Deadline) -> bool:
        return (await self._client.exist([path], deadline=deadline))[0]

    async def _has_won(
        self, path: str, slot: str, content: bytes, deadline: Deadline, trail: Trail
    ) -> bool:
        try:
            winner = await self._slots.read(path, slot, deadline)
        except NexusError as error:
            trail.saw("read", slot, error.answer)
            return False
        return winner is not None and winner.content == content

    def follow(
        self, path: str, content: bytes, deadline: Deadline, *, promptly: bool = True
    ) -> Awaitable[None]:
        """Write the lock's file for others to see, now or soon."""
        return self._following.follow(path, content, deadline, promptly=promptly)


def slot_after(path: str, holder: BelievedFile | None) -> str:
    """The slot of whoever follows `holder`; of the first of all if that is `None`."""
    return _slot(path, holder.content) if holder else f"{paths.commit_slots(path)}/{_FIRST}"


def _slot(path: str, content: bytes) -> str:
    name = _name(content)
    names_somebody = name.strip() and is_name(name, MOST_NAME_BYTES)
    return f"{paths.commit_slots(path)}/{encode_segment(name) if names_somebody else _EMPTIED}"


def _name(content: bytes) -> str:
    return content.decode(errors="replace").strip("\r\n")
