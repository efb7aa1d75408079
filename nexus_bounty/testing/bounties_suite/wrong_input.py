"""What is wrong is refused by name, and nothing is stored."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

import pytest

from nexus_bounty.models import BountyStatus
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.base import BountyStoreSuite
from nexus_bounty.testing.bounties_suite.moves import MOVES
from nexus_bounty.testing.bounties_suite.wrong_values import (
    BAD_BOUNTIES,
    BAD_CALLS,
    BAD_QUERIES,
    BAD_REWARDS,
    WRONG,
)
from nexus_bounty.testing.builders import make_bounty, make_bounty_in, make_reward
from nexus_bounty.validation import MOST_KEY_CHARACTERS

_S = BountyStatus


class WrongInput(BountyStoreSuite):
    """What is wrong is refused by name, and nothing is stored."""

    @pytest.mark.parametrize("field", BAD_BOUNTIES)
    async def test_a_wrong_bounty_is_refused_by_field(self, store: BountyStore, field: str) -> None:
        """The error names the field and shows the value; nothing is stored."""
        attempts = [
            (bad, store.create_bounty(make_bounty(**({"bounty_id": f"b-{number}"} | {field: bad}))))
            for number, bad in enumerate(BAD_BOUNTIES[field])
        ]
        assert await _not_refused(field, attempts) == []
        assert await store.list_bounties() == []

    @pytest.mark.parametrize("field", BAD_REWARDS)
    async def test_a_wrong_reward_is_refused_by_field(self, store: BountyStore, field: str) -> None:
        """The error names the field and shows the value; nothing is stored."""
        attempts = [
            (bad, store.record_reward(make_reward(**({"reward_id": f"r-{number}"} | {field: bad}))))
            for number, bad in enumerate(BAD_REWARDS[field])
        ]
        assert await _not_refused(field, attempts) == []
        assert await store.list_rewards() == []

    @pytest.mark.parametrize(
        ("method", "name", "call", "wrong"),
        BAD_CALLS,
        ids=lambda part: part if isinstance(part, str) else "",
    )
    async def test_a_wrong_argument_is_refused_by_name(
        self,
        store: BountyStore,
        method: str,
        name: str,
        call: Sequence[Any],
        wrong: Sequence[Any],
    ) -> None:
        """The error names the argument and shows the value; the bounty stays as it was."""
        before = await store.create_bounty(make_bounty_in(_S.CLAIMED))
        attempts = [
            (bad, getattr(store, method)(*(bad if each is WRONG else each for each in call)))
            for bad in wrong
        ]
        assert await _not_refused(name, attempts) == []
        assert await store.get_bounty("b-1") == before

    @pytest.mark.parametrize(
        ("method", "field", "wrong"),
        BAD_QUERIES,
        ids=lambda part: part if isinstance(part, str) else "",
    )
    async def test_a_wrong_query_is_refused_by_field(
        self, store: BountyStore, method: str, field: str, wrong: Sequence[Any]
    ) -> None:
        """No listing is made up of what cannot be asked for."""
        attempts = [(query, getattr(store, method)(query)) for query in wrong]
        assert await _not_refused(field, attempts) == []

    @pytest.mark.parametrize("key", ["", "  ", "a\nb", "x" * (MOST_KEY_CHARACTERS + 1), 7])
    async def test_a_wrong_key_is_refused_by_every_mutation(
        self, store: BountyStore, key: Any
    ) -> None:
        """A key must be printable text that fits; nothing is done under another."""
        before = await store.create_bounty(make_bounty())
        attempts = [
            ("create", store.create_bounty(make_bounty(bounty_id="b-2"), idempotency_key=key)),
            ("reward", store.record_reward(make_reward(), idempotency_key=key)),
            *((move.method, move.make(store, idempotency_key=key)) for move in MOVES),
        ]
        assert await _not_refused("idempotency_key", attempts) == []
        assert await store.list_bounties() == [before]
        assert await store.list_rewards() == []


async def _not_refused(field: str, attempts: Iterable[tuple[Any, Awaitable[Any]]]) -> list[str]:
    """The attempts that did not end in an error that names `field` and shows what was given."""
    wrong_ends = []
    for given, attempt in attempts:
        try:
            end = await attempt
        except InvalidInputError as error:
            if not _names(error, field):
                wrong_ends.append(f"{given!r}: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the wrong one
            wrong_ends.append(f"{given!r}: {error!r}")
        else:
            wrong_ends.append(f"{given!r}: {end!r}")
    return wrong_ends


def _names(error: InvalidInputError, field: str) -> bool:
    """Whether `error` is about `field` or a part of it, and shows what was given."""
    about = error.field == field or error.field.startswith((f"{field}.", f"{field}["))
    return about and error.field in str(error) and error.value in str(error)
