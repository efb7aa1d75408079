"""What every `BountyStore` must do."""
# ruff: noqa: S101, ARG002 - tests assert; a fixture to override names what it may use

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from nexus_bounty.lifecycle import TERMINAL, TRANSITIONS
from nexus_bounty.models import (
    FROM_IDEMPOTENCY_KEY,
    Bounty,
    BountyCriteria,
    BountyQuery,
    BountyStatus,
    RewardQuery,
    RewardRecord,
    RewardType,
)
from nexus_bounty.outcomes import (
    BountyExistsError,
    BountyNotFoundError,
    BountyStateError,
    IdempotencyMismatchError,
    InvalidInputError,
    Outcome,
    PreCommitError,
)
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.builders import (
    CREATED,
    DEADLINE,
    make_agent,
    make_bounty,
    make_bounty_in,
    make_reward,
)
from nexus_bounty.testing.clock import ManualClock
from nexus_bounty.validation import MOST_ID_BYTES, MOST_KEY_CHARACTERS, MOST_REWARD_ID_BYTES

_S = BountyStatus
ALICE: Final = make_agent("alice")
BOB: Final = make_agent("bob")
HOUR: Final = timedelta(hours=1)
LONG_AGO: Final = datetime(2001, 1, 1, tzinfo=UTC)
CLAIMERS: Final = 8


class Move(NamedTuple):
    """One transition as a call: which method with what, from where to where.

    `owns` are the fields that it may change besides `status` and `updated_at`; `otherwise` are
    arguments that make it another request, where it takes any.
    """

    method: str
    arguments: tuple[Any, ...]
    sources: frozenset[BountyStatus]
    target: BountyStatus
    owns: frozenset[str] = frozenset()
    otherwise: tuple[Any, ...] | None = None

    async def make(self, store: BountyStore, bounty_id: str = "b-1", **options: Any) -> Bounty:
        """Call the method."""
        moved: Bounty = await getattr(store, self.method)(bounty_id, *self.arguments, **options)
        return moved

    def differently(self) -> Move:
        """The same move as another request."""
        return self._replace(arguments=self.otherwise or ())


MOVES: Final[Sequence[Move]] = (
    Move(
        "fund_bounty",
        ("r-1",),
        frozenset({_S.DRAFT}),
        _S.OPEN,
        frozenset({"reservation_id"}),
        ("r-2",),
    ),
    Move(
        "claim_bounty",
        (ALICE, "c-1"),
        frozenset({_S.OPEN, _S.CLAIMED}),
        _S.CLAIMED,
        frozenset({"claimed_by", "claim_id"}),
        (ALICE, "c-2"),
    ),
    Move(
        "release_bounty",
        (ALICE,),
        frozenset({_S.CLAIMED}),
        _S.OPEN,
        frozenset({"claimed_by", "claim_id"}),
        (BOB,),
    ),
    Move(
        "begin_settlement",
        ("cid-1",),
        frozenset({_S.CLAIMED}),
        _S.PENDING_SETTLEMENT,
        frozenset({"fulfilled_by_cid"}),
        ("cid-2",),
    ),
    Move(
        "complete_bounty",
        ("cid-1",),
        frozenset({_S.CLAIMED, _S.PENDING_SETTLEMENT}),
        _S.COMPLETED,
        frozenset({"fulfilled_by_cid"}),
        ("cid-2",),
    ),
    Move("settle_bounty", (), frozenset({_S.PENDING_SETTLEMENT, _S.COMPLETED}), _S.SETTLED),
    Move("expire_bounty", (), frozenset({_S.OPEN, _S.CLAIMED}), _S.EXPIRED),
    Move("cancel_bounty", (), frozenset({_S.DRAFT, _S.OPEN, _S.CLAIMED}), _S.CANCELLED),
)
"""Every transition that the port offers; together they are the whole lifecycle table."""

_BY_METHOD: Final = {move.method: move for move in MOVES}
_CHOOSABLE: Final = tuple(move for move in MOVES if move.otherwise is not None)

_LEGAL: Final = [
    pytest.param(move, source, id=f"{source.value}-{move.method}")
    for move in MOVES
    for source in BountyStatus
    if source in move.sources
]
LIFE: Final = (
    "fund_bounty",
    "claim_bounty",
    "release_bounty",
    "claim_bounty",
    "begin_settlement",
    "complete_bounty",
    "settle_bounty",
)
"""The longest life of a bounty, from its draft."""

HALF_A_PAIR: Final = "\ud800"
"""Half of a surrogate pair: text that no encoding can carry."""

BAD_IDS: Final = (
    *("", "  ", " a", "a ", ".", ".."),
    *("a/b", "a%b", "a\0b", "a\nb", "a\x7fb", HALF_A_PAIR),
    *("x" * (MOST_ID_BYTES + 1), "ä" * (MOST_ID_BYTES // 2 + 1)),
    *(7, None),
)
BAD_REWARD_IDS: Final = (*BAD_IDS[:12], "x" * (MOST_REWARD_ID_BYTES + 1), 7, None)
BAD_TEXTS: Final = ("", "  ", "a\0b", HALF_A_PAIR, 7, None)
BAD_AMOUNTS: Final = (0, -1, True, 1.0, 1.5, "100", None, 2**53)
BAD_TIMES: Final = (datetime(2030, 1, 1), "2030-01-01T00:00:00Z", None, 0)
BAD_COUNTS: Final[Sequence[Any]] = (-1, 1.5, "1", True)
BAD_STATUSES: Final[Sequence[Any]] = ("gone", ["gone"], ["open", None])
BAD_CONTEXTS: Final = (
    {"when": CREATED},
    {"bytes": b"x"},
    {"tuple": (1, 2)},
    {"set": {1}},
    {"nan": float("nan")},
    {"infinite": float("inf")},
    {1: "key"},
    {"half": HALF_A_PAIR},
    {"nul": "a\0b"},
    [1],
    "text",
)


def _deep(levels: int) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(levels):
        nested = {"in": nested}
    return nested


def _criteria(**fields: Any) -> BountyCriteria:
    return BountyCriteria(**({"description": "it works"} | fields))


BAD_AGENTS: Final = (None, "alice", make_agent(""), make_agent("a/b"), make_agent("a", role=7))
BAD_CRITERIA: Final = (
    None,
    "it works",
    _criteria(description=None),
    _criteria(metric_name=7),
    _criteria(metric_threshold=1.0),
    _criteria(metric_name="speed", metric_threshold="fast"),
    _criteria(metric_name="speed", metric_threshold=float("nan")),
    _criteria(metric_name="speed", metric_threshold=True),
    _criteria(metric_name="speed", metric_direction="sideways"),
    _criteria(required_tags=[""]),
    _criteria(required_tags=[7]),
    _criteria(required_tags="abc"),
    _criteria(required_tags=7),
)

BAD_BOUNTIES: Final[Mapping[str, Sequence[Any]]] = {
    "bounty_id": BAD_IDS,
    "title": BAD_TEXTS,
    "description": (None, 7, HALF_A_PAIR),
    "amount": BAD_AMOUNTS,
    "deadline": BAD_TIMES,
    "created_at": BAD_TIMES,
    "updated_at": BAD_TIMES,
    "status": ("gone", None),
    "context": (*BAD_CONTEXTS, _deep(100)),
    "creator": BAD_AGENTS,
    "claimed_by": BAD_AGENTS[1:],
    "criteria": BAD_CRITERIA,
    "claim_id": (7,),
    "fulfilled_by_cid": (7,),
    "reservation_id": (7,),
    "zone_id": (7,),
}
"""What a field of a bounty must not be."""

BAD_REWARDS: Final[Mapping[str, Sequence[Any]]] = {
    "reward_id": BAD_REWARD_IDS,
    "reward_type": ("tip", None),
    "recipient": BAD_AGENTS,
    "amount": BAD_AMOUNTS,
    "contribution_cid": BAD_TEXTS,
    "created_at": BAD_TIMES,
    "bounty_id": (7,),
    "transfer_id": (7,),
}
"""What a field of a reward must not be."""

WRONG: Final = object()
"""Stands in a call for what is wrong in it."""

BAD_CALLS: Final[Sequence[tuple[str, str, Sequence[Any], Sequence[Any]]]] = (
    ("get_bounty", "bounty_id", (WRONG,), BAD_IDS),
    ("fund_bounty", "reservation_id", ("b-1", WRONG), BAD_TEXTS),
    ("claim_bounty", "claim_id", ("b-1", ALICE, WRONG), BAD_TEXTS),
    ("claim_bounty", "claimed_by", ("b-1", WRONG, "c-1"), BAD_AGENTS),
    ("release_bounty", "claimed_by", ("b-1", WRONG), BAD_AGENTS),
    ("begin_settlement", "fulfilled_by_cid", ("b-1", WRONG), BAD_TEXTS),
    ("complete_bounty", "fulfilled_by_cid", ("b-1", WRONG), BAD_TEXTS),
    ("settle_bounty", "bounty_id", (WRONG,), BAD_IDS),
    ("expire_bounty", "bounty_id", (WRONG,), BAD_IDS),
    ("cancel_bounty", "bounty_id", (WRONG,), BAD_IDS),
    ("has_reward", "reward_id", (WRONG,), BAD_REWARD_IDS),
    ("repair_index", "bounty_id", (WRONG,), BAD_IDS[:-1]),
    ("find_expired_bounties", "now", (WRONG,), (datetime(2030, 1, 1), "2030-01-01")),
)
"""A method, one of its arguments, a call of it, and what that argument must not be."""

BAD_QUERIES: Final[Sequence[tuple[str, str, Sequence[Any]]]] = (
    ("list_bounties", "limit", tuple(BountyQuery(limit=bad) for bad in BAD_COUNTS)),
    ("list_bounties", "offset", tuple(BountyQuery(offset=bad) for bad in BAD_COUNTS)),
    ("list_bounties", "status", tuple(BountyQuery(status=bad) for bad in BAD_STATUSES)),
    ("count_bounties", "status", tuple(BountyQuery(status=bad) for bad in BAD_STATUSES)),
    ("list_rewards", "limit", tuple(RewardQuery(limit=bad) for bad in BAD_COUNTS)),
)
"""A method, a field of its query, and queries that are wrong in it."""


class BountyStoreContract:
    """Override the fixture `store`; it may go by `clock`, and need not.

    Set `single_writer` to a reason where the store is for one writer at a time: what tests
    several writers at once is then skipped, with that reason.
    """

    pytestmark = pytest.mark.asyncio

    single_writer: ClassVar[str] = ""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """A clock that the store under test may go by."""
        return ManualClock()

    @pytest_asyncio.fixture
    async def store(self, clock: ManualClock) -> AsyncIterator[BountyStore]:
        """A store of which the state is empty."""
        raise NotImplementedError
        yield

    @pytest.fixture
    def several_writers(self) -> None:
        """Skips what a store for one writer does not promise."""
        if self.single_writer:
            pytest.skip(self.single_writer)

    async def live(self, store: BountyStore, *methods: str) -> Bounty:
        """Create a draft and take it through `methods`, one after the other."""
        bounty = await store.create_bounty(make_bounty(status=_S.DRAFT))
        for method in methods:
            bounty = await _BY_METHOD[method].make(store)
        return bounty

    # What it is

    async def test_it_is_a_bounty_store(self, store: BountyStore) -> None:
        """The store has every method of the protocol."""
        assert isinstance(store, BountyStore)

    async def test_it_says_which_state_it_works_on(self, store: BountyStore) -> None:
        """The identity is text, and stays the same whatever is stored."""
        identity = store.store_identity
        assert identity.strip()
        await store.create_bounty(make_bounty())
        assert store.store_identity == identity

    async def test_the_moves_are_the_whole_lifecycle_table(self, store: BountyStore) -> None:
        """The methods offer every legal transition, and no other."""
        offered = {(source, move.target) for move in MOVES for source in move.sources}
        assert offered == {(source, to) for source, after in TRANSITIONS.items() for to in after}

    async def test_closing_is_quiet_and_may_be_repeated(self, store: BountyStore) -> None:
        """Letting go twice is not an error."""
        await store.close()
        await store.close()

    # Creating and reading

    async def test_a_created_bounty_is_returned_as_it_was_given(self, store: BountyStore) -> None:
        """Nothing but the time of the update is the store's to set."""
        given = make_bounty()
        created = await store.create_bounty(given)
        assert created == msgspec.structs.replace(given, updated_at=created.updated_at)

    async def test_a_created_bounty_is_found_by_its_id(self, store: BountyStore) -> None:
        """What create returned is what get returns."""
        created = await store.create_bounty(make_bounty())
        assert await store.get_bounty("b-1") == created

    async def test_a_bounty_never_created_is_none(self, store: BountyStore) -> None:
        """Looking for what is not there is not an error."""
        assert await store.get_bounty("b-1") is None

    @pytest.mark.parametrize("status", list(BountyStatus))
    async def test_a_bounty_is_created_in_the_status_it_carries(
        self, store: BountyStore, status: BountyStatus
    ) -> None:
        """Bounties of other systems may be taken over in the middle of their life."""
        created = await store.create_bounty(make_bounty_in(status))
        assert created.status is status
        assert await store.get_bounty("b-1") == created

    async def test_every_field_comes_back_as_it_went_in(self, store: BountyStore) -> None:
        """All fields at once, each with something in it."""
        given = make_bounty_in(
            _S.COMPLETED,
            description="zwei Wörter, 二",
            creator=make_agent(
                "creator", agent_name="C", provider="p", model="m", platform="x", version="1"
            ),
            criteria=_criteria(
                metric_name="speed",
                metric_threshold=1.5,
                metric_direction="maximize",
                required_tags=["fast", "small"],
            ),
            amount=2**53 - 1,
            zone_id="z-1",
            deadline=datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        )
        created = await store.create_bounty(given)
        stored = await store.get_bounty("b-1")
        assert stored == created == msgspec.structs.replace(given, updated_at=created.updated_at)

    async def test_a_context_keeps_every_value_and_nesting(self, store: BountyStore) -> None:
        """Whatever JSON can say comes back as it was, nulls and empty things included."""
        context = {
            "text": 'ä\t\n"\\/',
            "numbers": [0, -1, 2**53 - 1, 1.5, 1e-300],
            "truth": [True, False, None],
            "empty": [{}, [], ""],
            "nested": {"a/b": {"%": {"": [{"deep": [1, [2, [3]]]}]}}},
        }
        await store.create_bounty(make_bounty(context=context))
        stored = await store.get_bounty("b-1")
        assert stored is not None
        assert stored.context == context

    @pytest.mark.parametrize(
        "bounty_id",
        ["b", "B 1", "ä-二", "bounty:1", "a.json", "x" * MOST_ID_BYTES, "~!@#$&'()+,;=[]{}"],
    )
    async def test_an_id_is_any_text_that_is_a_file_name(
        self, store: BountyStore, bounty_id: str
    ) -> None:
        """Unusual ids are stored, found and listed under themselves."""
        created = await store.create_bounty(make_bounty(bounty_id=bounty_id))
        assert await store.get_bounty(bounty_id) == created
        assert await store.list_bounties() == [created]
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [created]

    async def test_many_bounties_are_looked_up_at_once(self, store: BountyStore) -> None:
        """Those that exist, by their ids; what can be no id at all is none of them."""
        made = [await store.create_bounty(make_bounty(bounty_id=f"b {n}")) for n in range(3)]
        asked = ["b 2", "nobody", "b 0", "", "\n", "a/b", "x" * 300]
        assert await store.get_bounties(asked) == {"b 0": made[0], "b 2": made[2]}
        assert await store.get_bounties([]) == {}

    async def test_ids_are_walked_by_status_and_a_walk_goes_on_behind_any_of_them(
        self, store: BountyStore
    ) -> None:
        """No bounty is missed, wherever the walk was left."""
        ids = {f"b-{number}" for number in (1, 2, 3, 10)}
        for bounty_id in ids:
            await store.create_bounty(make_bounty(bounty_id=bounty_id))
        await store.create_bounty(make_bounty_in(_S.SETTLED, bounty_id="b-settled"))
        walked = [each async for each in store.walk_ids(_S.OPEN)]
        assert set(walked) == ids
        for place, bounty_id in enumerate(walked):
            rest = [each async for each in store.walk_ids(_S.OPEN, after=bounty_id)]
            assert rest == walked[place + 1 :]

    async def test_a_duplicate_id_is_refused_and_the_first_bounty_stays(
        self, store: BountyStore
    ) -> None:
        """An id stands for one bounty."""
        first = await store.create_bounty(make_bounty())
        with pytest.raises(BountyExistsError):
            await store.create_bounty(make_bounty(title="Another"))
        assert await store.get_bounty("b-1") == first
        assert await store.list_bounties() == [first]

    async def test_a_refused_duplicate_leaves_the_index_healthy(self, store: BountyStore) -> None:
        """A create that did not happen leaves nothing behind in any listing."""
        await store.create_bounty(make_bounty_in(_S.SETTLED))
        with pytest.raises(BountyExistsError):
            await store.create_bounty(make_bounty())
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == []
        assert all(index.healthy for index in await store.list_index_statuses())

    async def test_bounties_do_not_touch_each_other(self, store: BountyStore) -> None:
        """A transition of one bounty changes that bounty alone."""
        other = await store.create_bounty(make_bounty(bounty_id="b-2"))
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", ALICE, "c-1")
        assert await store.get_bounty("b-2") == other

    # Transitions

    @pytest.mark.parametrize(("move", "source"), _LEGAL)
    async def test_a_legal_transition_changes_what_it_owns_and_nothing_else(
        self, store: BountyStore, move: Move, source: BountyStatus
    ) -> None:
        """The new status, the fields of the transition, and all else as it was."""
        before = await store.create_bounty(make_bounty_in(source, context={"kept": [None]}))
        after = await move.make(store)
        assert after.status is move.target
        assert await store.get_bounty("b-1") == after
        owned = move.owns | {"status", "updated_at"}
        kept = {
            name: getattr(before, name) for name in before.__struct_fields__ if name not in owned
        }
        assert {name: getattr(after, name) for name in kept} == kept

    @pytest.mark.parametrize("source", list(BountyStatus))
    async def test_every_other_transition_is_refused_and_changes_nothing(
        self, store: BountyStore, source: BountyStatus
    ) -> None:
        """The error names the bounty and its status; the bounty stays as it was."""
        before = await store.create_bounty(make_bounty_in(source))
        refusals = {
            move.method: await _refusal(move.make(store, idempotency_key=f"k-{move.method}"))
            for move in MOVES
            if source not in move.sources
        }
        assert [method for method, refusal in refusals.items() if refusal is None] == []
        for method, refusal in refusals.items():
            assert refusal is not None
            assert (refusal.bounty_id, refusal.idempotency_key) == ("b-1", f"k-{method}")
            assert refusal.current_status == source.value
        assert await store.get_bounty("b-1") == before

    @pytest.mark.parametrize("move", MOVES, ids=lambda move: move.method)
    async def test_a_bounty_that_is_not_there_is_not_found(
        self, store: BountyStore, move: Move
    ) -> None:
        """A transition never makes a bounty."""
        with pytest.raises(BountyNotFoundError) as refused:
            await move.make(store)
        assert refused.value.bounty_id == "b-1"
        assert await store.list_bounties() == []

    async def test_funding_names_the_reservation(self, store: BountyStore) -> None:
        """The open bounty says what holds its credits."""
        await store.create_bounty(make_bounty(status=_S.DRAFT))
        assert (await store.fund_bounty("b-1", "r-7")).reservation_id == "r-7"

    async def test_claiming_names_the_claimer_and_the_claim(self, store: BountyStore) -> None:
        """The claimed bounty says who works on it, under which claim."""
        await store.create_bounty(make_bounty())
        claimer = make_agent("alice", model="m-1", role="coder")
        claimed = await store.claim_bounty("b-1", claimer, "c-7")
        assert (claimed.claimed_by, claimed.claim_id) == (claimer, "c-7")

    async def test_the_claimer_renews_its_claim(self, store: BountyStore) -> None:
        """The same agent may claim again, with a new claim."""
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", ALICE, "c-1")
        renewed = await store.claim_bounty("b-1", ALICE, "c-2")
        assert (renewed.status, renewed.claim_id) == (_S.CLAIMED, "c-2")

    async def test_another_agent_cannot_claim_what_is_claimed(self, store: BountyStore) -> None:
        """The first claimer stays in the document."""
        await store.create_bounty(make_bounty())
        claimed = await store.claim_bounty("b-1", ALICE, "c-1")
        with pytest.raises(BountyStateError):
            await store.claim_bounty("b-1", BOB, "c-2")
        assert await store.get_bounty("b-1") == claimed

    async def test_only_the_agent_id_tells_claimers_apart(self, store: BountyStore) -> None:
        """The same agent on another model still holds its bounty."""
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", make_agent("alice", model="m-1"), "c-1")
        moved = make_agent("alice", model="m-2")
        assert (await store.claim_bounty("b-1", moved, "c-1")).claimed_by == moved

    async def test_the_claimer_releases_and_the_bounty_is_free(self, store: BountyStore) -> None:
        """A released bounty is open, names nobody, and another may claim it."""
        await store.create_bounty(make_bounty())
        await store.claim_bounty("b-1", ALICE, "c-1")
        released = await store.release_bounty("b-1", ALICE)
        assert (released.status, released.claimed_by, released.claim_id) == (_S.OPEN, None, None)
        assert (await store.claim_bounty("b-1", BOB, "c-2")).claimed_by == BOB

    async def test_another_agent_cannot_release(self, store: BountyStore) -> None:
        """Nobody takes a bounty away from its claimer."""
        await store.create_bounty(make_bounty())
        claimed = await store.claim_bounty("b-1", ALICE, "c-1")
        with pytest.raises(BountyStateError):
            await store.release_bounty("b-1", BOB)
        assert await store.get_bounty("b-1") == claimed

    async def test_settlement_names_the_contribution(self, store: BountyStore) -> None:
        """From the pivot on the document says what it pays for."""
        await store.create_bounty(make_bounty_in(_S.CLAIMED))
        pending = await store.begin_settlement("b-1", "cid-7")
        assert (pending.status, pending.fulfilled_by_cid) == (_S.PENDING_SETTLEMENT, "cid-7")

    @pytest.mark.parametrize("finish", [("complete_bounty", "settle_bounty"), ("settle_bounty",)])
    async def test_after_the_pivot_both_ways_forward_lead_to_settled(
        self, store: BountyStore, finish: tuple[str, ...]
    ) -> None:
        """A bounty under settlement is settled at once or by way of completed."""
        await self.live(store, "fund_bounty", "claim_bounty", "begin_settlement")
        for method in finish:
            bounty = await _BY_METHOD[method].make(store)
        assert (bounty.status, bounty.fulfilled_by_cid) == (_S.SETTLED, "cid-1")

    async def test_another_contribution_cannot_complete_a_settlement(
        self, store: BountyStore
    ) -> None:
        """What is being paid for cannot be exchanged."""
        await store.create_bounty(make_bounty_in(_S.CLAIMED))
        pending = await store.begin_settlement("b-1", "cid-1")
        with pytest.raises(BountyStateError):
            await store.complete_bounty("b-1", "cid-2")
        assert await store.get_bounty("b-1") == pending

    @pytest.mark.parametrize(
        "cid", [f"blake3:{64 * 'a'}", "with space", "a/b", "a%b", "x" * 100, "x" * 500]
    )
    async def test_a_contribution_that_is_settled_can_be_rewarded(
        self, store: BountyStore, cid: str
    ) -> None:
        """What could not be recorded at the end is refused before the pivot."""
        bounty_id = "b" * MOST_ID_BYTES
        await store.create_bounty(make_bounty_in(_S.CLAIMED, bounty_id=bounty_id))
        try:
            await store.begin_settlement(bounty_id, cid)
        except InvalidInputError:
            return
        reward = make_reward(
            reward_type=RewardType.REPRODUCTION_REWARD, bounty_id=bounty_id, contribution_cid=cid
        )
        assert await store.record_reward(reward) == reward

    async def test_a_whole_life_ends_settled(self, store: BountyStore) -> None:
        """Draft, open, claimed, open again, claimed, pending, completed, settled."""
        bounty = await self.live(store, *LIFE)
        assert bounty.status is _S.SETTLED
        assert (bounty.claimed_by, bounty.fulfilled_by_cid) == (ALICE, "cid-1")
        assert await store.get_bounty("b-1") == bounty

    async def test_a_context_survives_a_whole_life(self, store: BountyStore) -> None:
        """No transition touches what the creator attached."""
        context = {"hardware": "H100", "nested": {"nullable": None, "list": [{"a": 1}]}}
        await store.create_bounty(make_bounty(status=_S.DRAFT, context=context))
        for method in LIFE:
            assert (await _BY_METHOD[method].make(store)).context == context

    async def test_terminal_bounties_stay(self, store: BountyStore) -> None:
        """Nothing leads out of settled, expired and cancelled."""
        for status in TERMINAL:
            ended = await store.create_bounty(make_bounty_in(status, bounty_id=status.value))
            for move in MOVES:
                with pytest.raises(BountyStateError):
                    await move.make(store, status.value)
            assert await store.get_bounty(status.value) == ended

    # Idempotency

    async def test_a_repeated_create_returns_the_bounty_unchanged(
        self, store: BountyStore, clock: ManualClock
    ) -> None:
        """The same key and parameters again write nothing."""
        created = await store.create_bounty(make_bounty(), idempotency_key="k-1")
        clock.advance(HOUR)
        assert await store.create_bounty(make_bounty(), idempotency_key="k-1") == created
        assert await store.list_bounties() == [created]

    @pytest.mark.parametrize(("move", "source"), _LEGAL)
    async def test_a_repeated_transition_returns_the_bounty_unchanged(
        self, store: BountyStore, clock: ManualClock, move: Move, source: BountyStatus
    ) -> None:
        """The same key and parameters again write nothing, not even a new time."""
        await store.create_bounty(make_bounty_in(source))
        moved = await move.make(store, idempotency_key="k-1")
        clock.advance(HOUR)
        assert await move.make(store, idempotency_key="k-1") == moved
        assert await store.get_bounty("b-1") == moved

    async def test_a_repeat_long_after_returns_the_bounty_as_it_stands(
        self, store: BountyStore
    ) -> None:
        """What others have done since is shown, and not undone."""
        await store.create_bounty(make_bounty(), idempotency_key="create")
        await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim")
        await store.release_bounty("b-1", ALICE)
        claimed = await store.claim_bounty("b-1", BOB, "c-2")
        again = await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim")
        assert again == claimed
        assert await store.create_bounty(make_bounty(), idempotency_key="create") == claimed
        assert await store.get_bounty("b-1") == claimed

    async def test_a_create_under_a_used_key_must_be_the_same(self, store: BountyStore) -> None:
        """A key stands for one request: with other parameters it is refused."""
        created = await store.create_bounty(make_bounty(), idempotency_key="k-1")
        with pytest.raises(IdempotencyMismatchError) as refused:
            await store.create_bounty(make_bounty(amount=101), idempotency_key="k-1")
        assert refused.value.idempotency_key == "k-1"
        assert await store.get_bounty("b-1") == created

    @pytest.mark.parametrize("move", _CHOOSABLE, ids=lambda move: move.method)
    async def test_a_transition_under_a_used_key_must_be_the_same(
        self, store: BountyStore, move: Move
    ) -> None:
        """Other parameters under the key are refused, and change nothing."""
        await store.create_bounty(make_bounty_in(next(iter(move.sources))))
        moved = await move.make(store, idempotency_key="k-1")
        with pytest.raises(IdempotencyMismatchError):
            await move.differently().make(store, idempotency_key="k-1")
        assert await store.get_bounty("b-1") == moved

    async def test_a_key_of_one_operation_does_not_serve_another(self, store: BountyStore) -> None:
        """Cancelling under the key of the create is refused, and cancels nothing."""
        created = await store.create_bounty(make_bounty(), idempotency_key="k-1")
        with pytest.raises(IdempotencyMismatchError):
            await store.cancel_bounty("b-1", idempotency_key="k-1")
        assert await store.get_bounty("b-1") == created

    async def test_a_refused_transition_does_not_use_up_its_key(self, store: BountyStore) -> None:
        """When the state allows it later, the same key may try again."""
        await store.create_bounty(make_bounty_in(_S.CLAIMED))
        with pytest.raises(BountyStateError):
            await store.claim_bounty("b-1", BOB, "c-2", idempotency_key="k-1")
        await store.release_bounty("b-1", ALICE)
        claimed = await store.claim_bounty("b-1", BOB, "c-2", idempotency_key="k-1")
        assert claimed.claimed_by == BOB

    async def test_an_id_not_given_follows_from_the_key(self, store: BountyStore) -> None:
        """The same key meets its own bounty; another key makes another."""
        offer = make_bounty(bounty_id=FROM_IDEMPOTENCY_KEY)
        first = await store.create_bounty(offer, idempotency_key="k-1")
        again = await store.create_bounty(offer, idempotency_key="k-1")
        other = await store.create_bounty(offer, idempotency_key="k-2")
        assert first == again
        assert first.bounty_id not in (FROM_IDEMPOTENCY_KEY, other.bounty_id)
        assert await store.count_bounties() == 2

    async def test_without_id_and_key_every_create_is_a_bounty_of_its_own(
        self, store: BountyStore
    ) -> None:
        """Who gives no key gets a fresh one each time."""
        offer = make_bounty(bounty_id=FROM_IDEMPOTENCY_KEY)
        created = [await store.create_bounty(offer) for _ in range(3)]
        assert len({bounty.bounty_id for bounty in created}) == 3

    async def test_a_refusal_names_the_key_that_was_made(self, store: BountyStore) -> None:
        """Where no key was given the error carries the one that was used."""
        with pytest.raises(BountyNotFoundError) as refused:
            await store.cancel_bounty("b-1")
        assert refused.value.idempotency_key
        assert refused.value.operation == "cancel_bounty"

    # Finding out

    async def test_a_history_names_what_was_done_in_order(self, store: BountyStore) -> None:
        """Each operation once, by its key, however often it was repeated."""
        await store.create_bounty(make_bounty(), idempotency_key="k-1")
        for _ in range(2):
            await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-2")
        await store.release_bounty("b-1", ALICE, idempotency_key="k-3")
        history = await store.get_history("b-1")
        assert [(record.key, record.aborted) for record in history] == [
            (key, False) for key in ("k-1", "k-2", "k-3")
        ]
        assert len({record.kind for record in history}) == 3
        assert list(await store.get_history("nobody")) == []

    async def test_what_was_done_resolves_as_committed(self, store: BountyStore) -> None:
        """Even after others have moved the bounty on; it is shown as it stands."""
        await store.create_bounty(make_bounty(), idempotency_key="create")
        await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="claim")
        released = await store.release_bounty("b-1", ALICE)
        for key in ("create", "claim"):
            resolution = await store.resolve_operation("b-1", key)
            assert (resolution.bounty_id, resolution.idempotency_key) == ("b-1", key)
            assert resolution.outcome is Outcome.COMMITTED
            assert resolution.bounty == released
        assert await store.get_bounty("b-1") == released

    async def test_what_was_not_done_resolves_as_pre_commit_for_good(
        self, store: BountyStore
    ) -> None:
        """However often one asks; its key is used up, and the bounty is as it was."""
        before = await store.create_bounty(make_bounty())
        for _ in range(2):
            resolution = await store.resolve_operation("b-1", "k-1")
            assert (resolution.outcome, resolution.bounty) == (Outcome.PRE_COMMIT, before)
        with pytest.raises(PreCommitError):
            await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-1")
        assert await store.get_bounty("b-1") == before
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [before]
        claimed = await store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-2")
        assert claimed.status is _S.CLAIMED

    async def test_a_create_that_did_not_happen_resolves_without_a_trace(
        self, store: BountyStore
    ) -> None:
        """There is no bounty; its key makes none any more, and another key does."""
        for _ in range(2):
            resolution = await store.resolve_operation("b-1", "k-1")
            assert (resolution.outcome, resolution.bounty) == (Outcome.PRE_COMMIT, None)
        assert await store.get_bounty("b-1") is None
        assert await store.list_bounties() == []
        with pytest.raises(PreCommitError):
            await store.create_bounty(make_bounty(), idempotency_key="k-1")
        assert await store.list_bounties() == []
        created = await store.create_bounty(make_bounty(), idempotency_key="k-2")
        assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [created]

    async def test_collecting_leftovers_touches_no_bounty(self, store: BountyStore) -> None:
        """What exists stays, and what was just fenced off stays fenced off."""
        bounty = await store.create_bounty(make_bounty())
        await store.resolve_operation("b-1", "k-1")
        await store.resolve_operation("b-2", "k-2")
        assert await store.collect_leftovers() == []
        assert await store.list_bounties() == [bounty]
        with pytest.raises(PreCommitError):
            await store.create_bounty(make_bounty(bounty_id="b-2"), idempotency_key="k-2")

    # Input

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

    # Listing

    async def test_an_empty_store_lists_and_counts_nothing(self, store: BountyStore) -> None:
        """No bounties, no rewards, in whatever status."""
        assert await store.list_bounties() == []
        assert await store.list_bounties(BountyQuery(status=list(BountyStatus))) == []
        assert await store.count_bounties() == 0
        assert await store.find_expired_bounties() == []
        assert await store.list_rewards() == []

    async def test_without_a_query_all_bounties_are_listed(self, store: BountyStore) -> None:
        """Every status counts."""
        for status in BountyStatus:
            await store.create_bounty(make_bounty_in(status, bounty_id=status.value))
        assert _ids(await store.list_bounties()) == {status.value for status in BountyStatus}

    @pytest.mark.parametrize("status", list(BountyStatus))
    async def test_a_status_lists_its_own_bounties(
        self, store: BountyStore, status: BountyStatus
    ) -> None:
        """One bounty in each status, and the one that was asked for."""
        for each in BountyStatus:
            await store.create_bounty(make_bounty_in(each, bounty_id=each.value))
        listed = await store.list_bounties(BountyQuery(status=status))
        assert _ids(listed) == {status.value}

    async def test_several_statuses_list_the_bounties_of_each(self, store: BountyStore) -> None:
        """Any sequence of statuses will do, in any order and with repeats; none is none."""
        for status in (_S.DRAFT, _S.OPEN, _S.SETTLED):
            await store.create_bounty(make_bounty_in(status, bounty_id=status.value))
        both = await store.list_bounties(BountyQuery(status=[_S.OPEN, _S.DRAFT, _S.OPEN]))
        assert _ids(both) == {"open", "draft"}
        assert len(both) == 2
        assert await store.list_bounties(BountyQuery(status=(_S.CLAIMED, _S.EXPIRED))) == []
        assert await store.list_bounties(BountyQuery(status=())) == []

    async def test_a_creator_lists_its_own_bounties(self, store: BountyStore) -> None:
        """Whoever else offers."""
        await store.create_bounty(make_bounty(bounty_id="b-a", creator=ALICE))
        await store.create_bounty(make_bounty(bounty_id="b-b", creator=BOB))
        assert _ids(await store.list_bounties(BountyQuery(creator_agent_id="alice"))) == {"b-a"}

    async def test_a_claimer_lists_what_it_claimed(self, store: BountyStore) -> None:
        """Not what others claimed, nor what nobody did."""
        for bounty_id in ("b-a", "b-b", "b-c"):
            await store.create_bounty(make_bounty(bounty_id=bounty_id))
        await store.claim_bounty("b-a", ALICE, "c-a")
        await store.claim_bounty("b-b", BOB, "c-b")
        assert _ids(await store.list_bounties(BountyQuery(claimed_by_agent_id="alice"))) == {"b-a"}

    async def test_a_zone_lists_the_bounties_that_name_it(self, store: BountyStore) -> None:
        """Not those that name another zone, or none."""
        await store.create_bounty(make_bounty(bounty_id="b-a", zone_id="z-1"))
        await store.create_bounty(make_bounty(bounty_id="b-b", zone_id="z-2"))
        await store.create_bounty(make_bounty(bounty_id="b-c"))
        assert _ids(await store.list_bounties(BountyQuery(zone_id="z-1"))) == {"b-a"}

    async def test_all_filters_must_hold(self, store: BountyStore) -> None:
        """A bounty is listed when every filter lets it pass."""
        await store.create_bounty(make_bounty(bounty_id="b-a", creator=ALICE))
        await store.create_bounty(make_bounty(bounty_id="b-b", creator=BOB))
        await store.create_bounty(make_bounty_in(_S.DRAFT, bounty_id="b-c", creator=ALICE))
        query = BountyQuery(status=_S.OPEN, creator_agent_id="alice")
        assert _ids(await store.list_bounties(query)) == {"b-a"}

    async def test_listings_are_ordered_newest_first(self, store: BountyStore) -> None:
        """By the time of creation, whatever the order of the writes and of later changes."""
        for age in (2, 0, 3, 1):
            created_at = CREATED - age * HOUR
            await store.create_bounty(make_bounty(bounty_id=f"b-{age}", created_at=created_at))
        await store.cancel_bounty("b-2")
        assert [each.bounty_id for each in await store.list_bounties()] == [
            f"b-{age}" for age in range(4)
        ]

    async def test_limit_and_offset_cut_pages_out_of_the_listing(self, store: BountyStore) -> None:
        """The pages of a filtered listing, put together, are the listing."""
        for number in range(7):
            status = _S.DRAFT if number in (2, 5) else _S.OPEN
            await store.create_bounty(
                make_bounty(
                    bounty_id=f"b-{number}", status=status, created_at=CREATED + number * HOUR
                )
            )
        whole = await store.list_bounties(BountyQuery(status=_S.OPEN))
        pages = [
            await store.list_bounties(BountyQuery(status=_S.OPEN, limit=2, offset=offset))
            for offset in (0, 2, 4, 6)
        ]
        assert [len(page) for page in pages] == [2, 2, 1, 0]
        assert [bounty for page in pages for bounty in page] == whole
        assert [bounty.bounty_id for bounty in whole] == ["b-6", "b-4", "b-3", "b-1", "b-0"]

    async def test_a_limit_may_be_zero_or_more_than_there_is(self, store: BountyStore) -> None:
        """Zero lists nothing, and plenty lists all."""
        bounty = await store.create_bounty(make_bounty())
        assert await store.list_bounties(BountyQuery(limit=0)) == []
        assert await store.list_bounties(BountyQuery(limit=100)) == [bounty]
        assert await store.list_bounties(BountyQuery(offset=100)) == []

    async def test_bounties_of_one_moment_have_one_order(self, store: BountyStore) -> None:
        """Pages do not overlap when creation times are equal."""
        for number in range(5):
            await store.create_bounty(make_bounty(bounty_id=f"b-{number}"))
        pages = [
            await store.list_bounties(BountyQuery(limit=1, offset=offset)) for offset in range(5)
        ]
        assert [each for page in pages for each in page] == await store.list_bounties()

    async def test_a_listing_shows_each_bounty_as_it_stands(self, store: BountyStore) -> None:
        """After every step of a life it is listed in its status, and in no other."""
        await store.create_bounty(make_bounty(status=_S.DRAFT))
        for method in LIFE:
            bounty = await _BY_METHOD[method].make(store)
            assert await store.list_bounties() == [bounty]
            for status in BountyStatus:
                listed = await store.list_bounties(BountyQuery(status=status))
                assert listed == ([bounty] if status is bounty.status else [])

    async def test_a_bounty_claimed_again_and_again_is_always_listed(
        self, store: BountyStore
    ) -> None:
        """However often it is claimed and released, its status lists it."""
        await store.create_bounty(make_bounty())
        for _ in range(3):
            claimed = await store.claim_bounty("b-1", ALICE, "c-1")
            assert await store.list_bounties(BountyQuery(status=_S.CLAIMED)) == [claimed]
            assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == []
            released = await store.release_bounty("b-1", ALICE)
            assert await store.list_bounties(BountyQuery(status=_S.OPEN)) == [released]
            assert await store.list_bounties(BountyQuery(status=_S.CLAIMED)) == []

    @pytest.mark.parametrize(
        "query",
        [
            None,
            BountyQuery(status=_S.OPEN),
            BountyQuery(status=[_S.OPEN, _S.DRAFT]),
            BountyQuery(creator_agent_id="alice"),
            BountyQuery(status=_S.OPEN, creator_agent_id="alice"),
            BountyQuery(claimed_by_agent_id="nobody"),
        ],
        ids=repr,
    )
    async def test_a_count_is_the_length_of_the_listing(
        self, store: BountyStore, query: BountyQuery | None
    ) -> None:
        """Whatever the filters; limit and offset do not change what there is to count."""
        for number, status in enumerate((_S.OPEN, _S.OPEN, _S.DRAFT, _S.SETTLED)):
            creator = ALICE if number % 2 else BOB
            bounty = make_bounty_in(status, bounty_id=f"b-{number}", creator=creator)
            await store.create_bounty(bounty)
        length = len(await store.list_bounties(query))
        assert await store.count_bounties(query) == length
        page = msgspec.structs.replace(query or BountyQuery(), limit=1, offset=1)
        assert await store.count_bounties(page) == length

    # Deadlines

    async def test_expired_are_open_and_claimed_bounties_past_their_deadline(
        self, store: BountyStore
    ) -> None:
        """What has ended, is not yet open, or is past the pivot cannot expire."""
        for status in BountyStatus:
            for name, deadline in (("late", LONG_AGO), ("early", DEADLINE)):
                bounty_id = f"{status.value}-{name}"
                await store.create_bounty(
                    make_bounty_in(status, bounty_id=bounty_id, deadline=deadline)
                )
        expired = await store.find_expired_bounties()
        assert _ids(expired) == {"open-late", "claimed-late"}

    async def test_expiry_is_judged_at_the_moment_that_is_asked_for(
        self, store: BountyStore
    ) -> None:
        """At its deadline a bounty still stands; a moment later it has expired."""
        deadline = datetime(2050, 1, 1, tzinfo=UTC)
        bounty = await store.create_bounty(make_bounty(deadline=deadline))
        assert await store.find_expired_bounties(deadline) == []
        assert await store.find_expired_bounties(deadline + timedelta(milliseconds=1)) == [bounty]

    async def test_finding_expired_bounties_changes_nothing(self, store: BountyStore) -> None:
        """Expiring is for the caller to do."""
        bounty = await store.create_bounty(make_bounty(deadline=LONG_AGO))
        await store.find_expired_bounties()
        assert await store.get_bounty("b-1") == bounty

    # Times

    async def test_every_change_says_when(self, store: BountyStore, clock: ManualClock) -> None:
        """The time of the update is the store's, not what the caller says."""
        created = await store.create_bounty(make_bounty(updated_at=LONG_AGO))
        clock.advance(HOUR)
        claimed = await store.claim_bounty("b-1", ALICE, "c-1")
        assert LONG_AGO < created.updated_at <= claimed.updated_at

    async def test_the_time_of_update_never_goes_back(
        self, store: BountyStore, clock: ManualClock
    ) -> None:
        """Not even when the clock does, as between two machines."""
        last = (await store.create_bounty(make_bounty(status=_S.DRAFT))).updated_at
        for method in LIFE:
            clock.advance(-HOUR)
            moved = await _BY_METHOD[method].make(store)
            assert moved.updated_at >= last
            last = moved.updated_at

    async def test_the_time_of_creation_never_changes(
        self, store: BountyStore, clock: ManualClock
    ) -> None:
        """Whatever happens to the bounty."""
        created = await store.create_bounty(make_bounty(status=_S.DRAFT))
        for method in LIFE:
            clock.advance(HOUR)
            assert (await _BY_METHOD[method].make(store)).created_at == created.created_at

    async def test_every_time_is_aware_and_in_utc(self, store: BountyStore) -> None:
        """A deadline given in another zone is the same moment in UTC."""
        elsewhere = timezone(timedelta(hours=5, minutes=30))
        moment = datetime(2040, 6, 1, 12, tzinfo=elsewhere)
        await store.create_bounty(make_bounty(deadline=moment, created_at=moment))
        stored = await store.get_bounty("b-1")
        assert stored is not None
        assert stored.deadline == stored.created_at == moment
        for time in (stored.deadline, stored.created_at, stored.updated_at):
            assert time.tzinfo is UTC

    # Rewards

    async def test_a_recorded_reward_is_there(self, store: BountyStore) -> None:
        """It is returned, listed and known by its id."""
        reward = make_reward(transfer_id="t-1")
        assert await store.record_reward(reward) == reward
        assert await store.has_reward(reward.reward_id)
        assert await store.list_rewards() == [reward]

    async def test_a_reward_never_recorded_is_not_there(self, store: BountyStore) -> None:
        """Asking is not an error."""
        assert not await store.has_reward("r-1")

    async def test_many_rewards_are_looked_up_at_once(self, store: BountyStore) -> None:
        """Those that are recorded."""
        for number in range(3):
            await store.record_reward(make_reward(reward_id=f"r-{number}"))
        assert await store.recorded_rewards(["r-2", "r-9", "", "r-0"]) == {"r-0", "r-2"}

    async def test_recording_a_reward_again_is_recording_it_once(self, store: BountyStore) -> None:
        """The first record stays, with or without a key, and whenever the repeat was made."""
        reward = make_reward()
        later = msgspec.structs.replace(reward, created_at=CREATED + HOUR)
        assert await store.record_reward(reward) == reward
        assert await store.record_reward(later) == reward
        assert await store.record_reward(reward, idempotency_key="k-1") == reward
        assert await store.list_rewards() == [reward]

    @pytest.mark.parametrize(
        "other",
        [
            {"amount": 101},
            {"recipient": BOB},
            {"contribution_cid": "cid-2"},
            {"bounty_id": "b-2"},
            {"reward_type": RewardType.REVIEW_REWARD},
        ],
        ids=lambda other: next(iter(other)),
    )
    async def test_a_reward_id_stands_for_one_reward(
        self, store: BountyStore, other: dict[str, Any]
    ) -> None:
        """Another reward under a used id is refused, and the first stays."""
        reward = await store.record_reward(make_reward(reward_id="r-1"))
        with pytest.raises(IdempotencyMismatchError):
            await store.record_reward(msgspec.structs.replace(reward, **other))
        assert await store.list_rewards() == [reward]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (RewardQuery(), {"r-1", "r-2", "r-3"}),
            (RewardQuery(reward_type=RewardType.ADOPTION_BONUS), {"r-2"}),
            (RewardQuery(recipient_agent_id="bob"), {"r-2", "r-3"}),
            (RewardQuery(bounty_id="b-1"), {"r-1"}),
            (RewardQuery(contribution_cid="cid-3"), {"r-3"}),
            (RewardQuery(recipient_agent_id="bob", contribution_cid="cid-1"), {"r-2"}),
        ],
        ids=["all", "type", "recipient", "bounty", "contribution", "both"],
    )
    async def test_rewards_are_listed_by_each_filter(
        self, store: BountyStore, query: RewardQuery, found: set[str]
    ) -> None:
        """Each filter alone, and all that are given together."""
        bonus = RewardType.ADOPTION_BONUS
        for reward in (
            make_reward(reward_id="r-1"),
            make_reward(reward_id="r-2", reward_type=bonus, recipient=BOB, bounty_id=None),
            make_reward(reward_id="r-3", recipient=BOB, contribution_cid="cid-3", bounty_id="b-3"),
        ):
            await store.record_reward(reward)
        assert {reward.reward_id for reward in await store.list_rewards(query)} == found

    async def test_rewards_are_listed_newest_first_up_to_a_limit(self, store: BountyStore) -> None:
        """Whatever the order in which they were recorded."""
        for age in (1, 0, 2):
            await store.record_reward(
                make_reward(reward_id=f"r-{age}", created_at=CREATED - age * HOUR)
            )
        assert _reward_ids(await store.list_rewards()) == ["r-0", "r-1", "r-2"]
        assert _reward_ids(await store.list_rewards(RewardQuery(limit=2))) == ["r-0", "r-1"]
        assert _reward_ids(await store.list_rewards(RewardQuery(limit=0))) == []

    async def test_rewards_are_no_bounties(self, store: BountyStore) -> None:
        """They do not show in listings, nor take ids away."""
        await store.record_reward(make_reward(reward_id="b-1"))
        assert await store.get_bounty("b-1") is None
        bounty = await store.create_bounty(make_bounty())
        assert await store.list_bounties() == [bounty]

    # The index

    async def test_the_index_is_healthy_after_every_step_of_a_life(
        self, store: BountyStore
    ) -> None:
        """No operation that returned leaves anything to repair."""
        await store.create_bounty(make_bounty(status=_S.DRAFT))
        for method in (None, *LIFE):
            if method:
                await _BY_METHOD[method].make(store)
            assert all(index.healthy for index in await store.list_index_statuses())

    @pytest.mark.parametrize("ending", ["expire_bounty", "cancel_bounty"])
    async def test_the_index_is_healthy_after_a_life_cut_short(
        self, store: BountyStore, ending: str
    ) -> None:
        """Also when a bounty that was once released ends without being done."""
        await self.live(store, "fund_bounty", "claim_bounty", "release_bounty", ending)
        assert all(index.healthy for index in await store.list_index_statuses())

    async def test_repairing_a_healthy_index_changes_nothing(self, store: BountyStore) -> None:
        """Of all bounties or of one, as often as one likes."""
        await self.live(store, "fund_bounty", "claim_bounty", "release_bounty")
        await store.create_bounty(make_bounty_in(_S.SETTLED, bounty_id="b-2"))
        before = await store.list_bounties()
        for bounty_id in (None, None, "b-1", "b-1", "nobody"):
            assert all(index.healthy for index in await store.repair_index(bounty_id))
        assert await store.list_bounties() == before
        assert _ids(await store.list_bounties(BountyQuery(status=_S.OPEN))) == {"b-1"}
        assert all(index.healthy for index in await store.list_index_statuses())

    async def test_an_audit_of_a_healthy_index_looks_at_all_and_finds_nothing(
        self, store: BountyStore
    ) -> None:
        """It may be taken up behind any of its pages, and mending nothing is quiet."""
        for status in BountyStatus:
            await store.create_bounty(make_bounty_in(status, bounty_id=f"b-{status.value}"))
        pages = [page async for page in store.audit_index()]
        assert sum(page.checked for page in pages) >= len(BountyStatus)
        assert not [page for page in pages if page.faults]
        for place, page in enumerate(pages):
            assert [each async for each in store.audit_index(page.after)] == pages[place + 1 :]
        assert await store.repair_markers([]) == []

    # Several writers at once

    @pytest.mark.usefixtures("several_writers")
    async def test_of_eight_agents_claiming_at_once_one_wins(self, store: BountyStore) -> None:
        """The winner is the one in the document; the others know that they are not."""
        await store.create_bounty(make_bounty())
        agents = [make_agent(f"agent-{number}") for number in range(CLAIMERS)]
        won, lost = await _race(
            store.claim_bounty("b-1", agent, f"c-{agent.agent_id}") for agent in agents
        )
        assert (len(won), len(lost)) == (1, CLAIMERS - 1)
        assert await store.get_bounty("b-1") == won[0]

    @pytest.mark.usefixtures("several_writers")
    async def test_of_eight_bounties_created_at_once_under_one_id_one_stays(
        self, store: BountyStore
    ) -> None:
        """The others are told that it exists."""
        won, lost = await _race(
            store.create_bounty(make_bounty(title=f"offer {number}")) for number in range(CLAIMERS)
        )
        assert (len(won), len(lost)) == (1, CLAIMERS - 1)
        assert all(isinstance(error, BountyExistsError) for error in lost)
        assert await store.get_bounty("b-1") == won[0]

    @pytest.mark.usefixtures("several_writers")
    async def test_the_same_claim_made_eight_times_at_once_is_made_once(
        self, store: BountyStore
    ) -> None:
        """All callers with one key get the one claim."""
        await store.create_bounty(make_bounty())
        won, lost = await _race(
            store.claim_bounty("b-1", ALICE, "c-1", idempotency_key="k-1") for _ in range(CLAIMERS)
        )
        assert lost == []
        assert won == [await store.get_bounty("b-1")] * CLAIMERS


async def _race(calls: Iterable[Any]) -> tuple[list[Bounty], list[PreCommitError]]:
    """What all calls at once end in: the snapshots, and the refusals."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    won = [each for each in results if isinstance(each, Bounty)]
    lost = [each for each in results if isinstance(each, PreCommitError)]
    assert len(won) + len(lost) == len(results), results
    return won, lost


async def _refusal(attempt: Awaitable[Bounty]) -> BountyStateError | None:
    """The refusal that `attempt` ends in, if it does."""
    try:
        await attempt
    except BountyStateError as refusal:
        return refusal
    return None


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


def _ids(bounties: Iterable[Bounty]) -> set[str]:
    return {bounty.bounty_id for bounty in bounties}


def _reward_ids(rewards: Iterable[RewardRecord]) -> list[str]:
    return [reward.reward_id for reward in rewards]
