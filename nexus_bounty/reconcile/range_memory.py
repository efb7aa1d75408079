"""What is remembered of a range when the process that went through it is gone.

It is kept where the range is, and says of which days nothing has to be looked at again. That is
believed only if the zone bears it out: a note in the zone names the same token, which is a new one
whenever more is remembered. A zone, or a database, that was put back from a backup has an earlier
one, or none, and then everything is looked at, as by a process that has never seen it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from nexus_bounty.idempotency import new_key
from nexus_bounty.models import Wire
from nexus_bounty.ports import BountyStore, KeepsNotes
from nexus_bounty.reconcile.sweep_state import SweepMemory


class RangeMemory(Wire, frozen=True, kw_only=True):
    """What the sweeps of one range remember.

    Attributes:
        token: What the note in the zone says, if this may be believed.
        sweeps: By the names of those that remember anything.
    """

    token: str
    sweeps: Mapping[str, SweepMemory]

    def between_walks(self) -> RangeMemory:
        """The same without the walks under way."""
        sweeps = {name: each.between_walks() for name, each in self.sweeps.items()}
        return replace(self, sweeps=sweeps)


async def is_borne_out(store: BountyStore, memory: RangeMemory, name: str) -> bool:
    """Whether the zone is the one of which `memory` is, by the note of that name.

    Raises:
        NexusError: It could not be read (another store raises an error of its own).
    """
    return isinstance(store, KeepsNotes) and await store.find_note(name) == memory.token


async def noted(store: object, sweeps: Mapping[str, SweepMemory], name: str) -> RangeMemory | None:
    """A memory of `sweeps` that a note of the zone bears out; `None` where it spares nothing.

    Raises:
        NexusError: It may not be noted (another store raises an error of its own).
    """
    if not isinstance(store, KeepsNotes) or all(each.spares_nothing for each in sweeps.values()):
        return None
    memory = RangeMemory(token=new_key(), sweeps=sweeps)
    await store.leave_note(name, memory.token)
    return memory
