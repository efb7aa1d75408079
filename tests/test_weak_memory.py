"""A memory of objects knows them while they live, and keeps none alive, or few."""

from __future__ import annotations

import gc
import weakref

from nexus_bounty.weak_memory import MOST_KEPT, WeakMemory


class Item:
    """Equal to all others."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


def test_an_object_is_new_once_and_another_is_new_however_equal() -> None:
    memory, one, other = WeakMemory(), Item(), Item()
    assert [memory.add(each, None) for each in (one, one, other, one)] == [True, False, True, False]
    assert memory.add(one, "a name")
    assert len(memory) == 3


def test_nothing_is_kept_alive() -> None:
    memory, item = WeakMemory(), Item()
    memory.add(item, None)
    left = weakref.ref(item)
    del item
    gc.collect()
    assert left() is None
    assert len(memory) == 0


def test_of_what_cannot_be_referred_to_weakly_the_latest_are_known() -> None:
    memory = WeakMemory()
    lists: list[list[int]] = [[] for _ in range(MOST_KEPT + 1)]
    assert all(memory.add(each, None) for each in lists)
    assert len(memory) == MOST_KEPT
    assert not memory.add(lists[-1], None)
    assert memory.add(lists[0], None)
