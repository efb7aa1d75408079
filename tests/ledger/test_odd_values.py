"""What is given to a ledger or a claim store is taken by every kind of it, or refused by every one.

What one database keeps, another does not: PostgreSQL has no NUL, none has half a surrogate pair. A
value that were taken and could not be read again would stop all who read it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nexus_bounty import (
    AgentIdentity,
    Assignment,
    CommitUnknownError,
    IdempotencyMismatchError,
    InvalidInputError,
    PreCommitError,
)
from nexus_bounty.leases import LeasedClaims
from nexus_bounty.ledger import LedgerCredits
from nexus_bounty.memory import MemoryClaimStore, MemoryCredits
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import JournaledOperation
from nexus_bounty.testing import ManualClock
from nexus_bounty.validation import check_time
from nexus_bounty_postgres import PostgresClaimStore, PostgresCredits
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits

TEXTS = [
    *(
        "",
        " ",
        "\x00",
        "a\x00b",
        "\ud800",
        "a\udce9",
        "e\u0301",
        "\u200b",
        "\u202e",
        "\n",
        "\x1b[0m",
    ),
    *(
        "x" * 600,
        "x" * 3_000,
        "💰",
        "\U0010ffff",
        "\ufffe",
        "%s",
        "'",
        "\\u0000",
        "system:mint",
        " a",
    ),
]
COUNTS = [0, -1, 1, 2**31, 2**62, 2**63 - 1, 2**63, 10**30, 1.5, True, float("nan"), float("inf")]
LATE, EARLY = timezone(timedelta(hours=-14)), timezone(timedelta(hours=14))
DATES = [
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=LATE),
    datetime(1, 1, 1, tzinfo=EARLY),
    datetime(2030, 1, 1),
]
SPANS = [timedelta(0), timedelta.max, timedelta.min, timedelta(microseconds=1), timedelta(-1)]
HOUR = timedelta(hours=1)

Ledger = MemoryCredits | SqliteCredits | PostgresCredits
OnLedger = Callable[[LedgerCredits, Any, str], Awaitable[object]]
"""Gives an odd value to a ledger, in a call whose other ids begin with a text."""


async def journal_of(ledger: LedgerCredits, **given: Any) -> object:
    return [each async for each in ledger.history(**given)]


LEDGER: dict[str, tuple[Sequence[Any], OnLedger]] = {
    "balance": (TEXTS, lambda ledger, odd, _: ledger.balance(odd)),
    "get_reservation": (TEXTS, lambda ledger, odd, _: ledger.get_reservation(odd)),
    "history of an account": (TEXTS, lambda ledger, odd, _: journal_of(ledger, account=odd)),
    "history of an id": (TEXTS, lambda ledger, odd, _: journal_of(ledger, source_id=odd)),
    "top_up id": (TEXTS, lambda ledger, odd, _: ledger.top_up(odd, account="u", amount=1)),
    "top_up account": (TEXTS, lambda ledger, odd, name: ledger.top_up(name, account=odd, amount=1)),
    "top_up amount": (
        COUNTS,
        lambda ledger, odd, name: ledger.top_up(name, account=name, amount=odd),
    ),
    "reserve id": (TEXTS, lambda ledger, odd, _: ledger.reserve(odd, account="alice", amount=1)),
    "reserve amount": (
        COUNTS,
        lambda ledger, odd, name: ledger.reserve(name, account="alice", amount=odd),
    ),
    "reserve reference": (
        TEXTS,
        lambda ledger, odd, name: ledger.reserve(name, account="alice", amount=1, reference=odd),
    ),
    "reserve expires_at": (
        DATES,
        lambda ledger, odd, name: ledger.reserve(name, account="alice", amount=1, expires_at=odd),
    ),
    "reserve timeout": (
        SPANS,
        lambda ledger, odd, name: ledger.reserve(name, account="alice", amount=1, timeout=odd),
    ),
    "transfer memo": (
        TEXTS,
        lambda ledger, odd, name: ledger.transfer(
            name, from_account="alice", to_account="bob", amount=1, memo=odd
        ),
    ),
    "transfer to": (
        TEXTS,
        lambda ledger, odd, name: ledger.transfer(
            name, from_account="alice", to_account=odd, amount=1
        ),
    ),
    "capture": (TEXTS, lambda ledger, odd, _: ledger.capture("held-1", to_account=odd)),
    "capture work": (
        TEXTS,
        lambda ledger, odd, _: ledger.capture("held-2", to_account="bob", work=odd),
    ),
    "void": (TEXTS, lambda ledger, odd, _: ledger.void("held-3", despite=odd)),
    "rescue": (TEXTS, lambda ledger, odd, _: ledger.rescue("held-4", to_account=odd, because="x")),
    "rescue because": (
        TEXTS,
        lambda ledger, odd, _: ledger.rescue("held-5", to_account="bob", because=odd),
    ),
    "assign payee": (
        TEXTS,
        lambda ledger, odd, name: ledger.assign(
            "held-6", Assignment(payee=odd, work=name, key="k")
        ),
    ),
    "assign work": (
        TEXTS,
        lambda ledger, odd, _: ledger.assign("held-7", Assignment(payee="p", work=odd, key="k")),
    ),
    "assign key": (
        TEXTS,
        lambda ledger, odd, _: ledger.assign("held-8", Assignment(payee="p", work="w", key=odd)),
    ),
}
OnClaims = Callable[[LeasedClaims, Any, str], Awaitable[object]]


def claimed(claims: LeasedClaims, name: str, **given: Any) -> Awaitable[object]:
    """A claim on a target of its own, of which something is odd."""
    agent = AgentIdentity(agent_id="a")
    wanted: dict[str, Any] = {
        "target_ref": name,
        "agent": agent,
        "claim_id": name,
        "lease": HOUR,
    } | given
    return claims.claim_or_renew(**wanted)


CLAIMS: dict[str, tuple[Sequence[Any], OnClaims]] = {
    "target": (TEXTS, lambda claims, odd, name: claimed(claims, name, target_ref=odd)),
    "claim id": (TEXTS, lambda claims, odd, name: claimed(claims, name, claim_id=odd)),
    "key": (TEXTS, lambda claims, odd, name: claimed(claims, name, idempotency_key=odd)),
    "lease": (SPANS, lambda claims, odd, name: claimed(claims, name, lease=odd)),
    "agent": (
        TEXTS,
        lambda claims, odd, name: claimed(claims, name, agent=AgentIdentity(agent_id=odd)),
    ),
    "agent's name": (
        TEXTS,
        lambda claims, odd, name: claimed(
            claims, name, agent=AgentIdentity(agent_id="a", agent_name=odd)
        ),
    ),
    "intent": (
        [*TEXTS, None],
        lambda claims, odd, name: claimed(claims, name, intent_summary=odd),
    ),
    "context": (
        [*TEXTS, *COUNTS, None],
        lambda claims, odd, name: claimed(claims, name, context={"odd": odd}),
    ),
    "context's key": (TEXTS, lambda claims, odd, name: claimed(claims, name, context={odd: 1})),
    "get": (TEXTS, lambda claims, odd, _: claims.get(odd)),
    "get_many": ([*TEXTS, 7, None], lambda claims, odd, _: claims.get_many([odd])),
    "active_claims": (TEXTS, lambda claims, odd, _: claims.active_claims(odd)),
    "active_claims at": (DATES, lambda claims, odd, _: claims.active_claims(now=odd)),
    "heartbeat": (SPANS, lambda claims, odd, _: claims.heartbeat("c-0", lease=odd)),
    "release": (TEXTS, lambda claims, odd, _: claims.release(odd)),
}


@pytest.fixture
async def ledgers(tmp_path: Path, postgres_url: str) -> AsyncIterator[list[Ledger]]:
    clock = ManualClock()
    opened: list[Ledger] = [
        MemoryCredits(clock=clock),
        SqliteCredits(tmp_path / "ledger.db", clock=clock),
        PostgresCredits(postgres_url, clock=clock),
    ]
    for each in opened:
        await each.top_up("funds", account="alice", amount=2**40)
        for number in range(1, 9):
            await each.reserve(f"held-{number}", account="alice", amount=1)
    yield opened
    for each in opened:
        await each.close()


@pytest.fixture
async def stores(tmp_path: Path, postgres_url: str) -> AsyncIterator[list[LeasedClaims]]:
    clock = ManualClock()
    opened: list[LeasedClaims] = [
        MemoryClaimStore(clock=clock),
        SqliteClaimStore(tmp_path / "claims.db", clock=clock),
        PostgresClaimStore(postgres_url, clock=clock),
    ]
    yield opened
    for each in opened:
        await each.close()


async def outcome(call: Awaitable[object]) -> str:
    """How a call ended; anything but its answer and a refusal escapes."""
    try:
        await call
    except (PreCommitError, IdempotencyMismatchError) as error:
        return type(error).__name__
    return "done"


async def test_a_value_that_one_ledger_takes_every_ledger_takes(
    ledgers: list[Ledger],
) -> None:
    """And afterwards each of them is whole, and can be read."""
    for called, (values, call) in LEDGER.items():
        for number, odd in enumerate(values):
            ended = [await outcome(call(each, odd, f"{called}-{number}")) for each in ledgers]
            assert len(set(ended)) == 1, f"{called}, {odd!r:.50}: {ended}"
    audits = [await each.verify() for each in ledgers]
    assert not [problem for each in audits for problem in each.problems]
    assert len({each.entries for each in audits}) == 1
    histories = [await journal_of(each) for each in ledgers]
    assert histories[0] == histories[1] == histories[2]


async def test_a_value_that_one_claim_store_takes_every_one_takes(
    stores: list[LeasedClaims],
) -> None:
    """And afterwards each of them can be listed."""
    for called, (values, call) in CLAIMS.items():
        for number, odd in enumerate(values):
            ended = [await outcome(call(each, odd, f"{called}-{number}")) for each in stores]
            assert len(set(ended)) == 1, f"{called}, {odd!r:.50}: {ended}"
    listed = [await each.list_claims() for each in stores]
    assert listed[0] == listed[1] == listed[2]
    assert len(listed[0]) > 20


@pytest.mark.parametrize("at", DATES[1:3])
def test_a_date_that_is_in_no_year_of_utc_is_wrong_input(at: datetime) -> None:
    """As every parameter that cannot be; Python says `OverflowError`."""
    with pytest.raises(InvalidInputError, match="in UTC"):
        check_time("at", at)


@pytest.mark.parametrize("reason", ["refused: a\x00b", "refused: \ud800"])
async def test_an_operation_is_closed_whatever_the_server_said(
    ledgers: list[Ledger], reason: str
) -> None:
    """Or it would be in doubt for ever, because of a sign that a database does not keep."""
    entry = JournaledOperation(
        key="k", zone_id="z", kind="claim", bounty_id="b", fingerprint="f", decided_by="k"
    )
    for ledger in ledgers:
        await ledger.begin_operation(entry)
        await ledger.end_operation("z", "k", Outcome.PRE_COMMIT, reason)
        assert not [each async for each in ledger.open_operations("z")]
        found = await ledger.find_operation("z", "k")
        assert found is not None
        assert found.reason.startswith("refused: ")


SPOIL = """UPDATE {}claims SET document = '{{"intentSummary":null}}' WHERE claim_id = 'c-1'"""


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
async def test_a_row_that_nobody_understands_is_named_in_a_documented_error(
    tmp_path: Path, postgres_url: str, place: str
) -> None:
    """What it is about is not done over its head, and claims on other targets go on."""
    file = tmp_path / "claims.db"
    store = SqliteClaimStore(file) if place == "sqlite" else PostgresClaimStore(postgres_url)
    async with store:
        await claimed(store, "c-1")
        if place == "sqlite":
            with closing(sqlite3.connect(file)) as spoiling:
                spoiling.execute(SPOIL.format(""))
                spoiling.commit()
        else:
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                connection.execute(SPOIL.format("nexus_bounty.").encode())
        with pytest.raises(CommitUnknownError, match="a Claim cannot be understood"):
            await store.list_claims()
        with pytest.raises(CommitUnknownError, match="a Claim cannot be understood"):
            await store.get("c-1")
        with pytest.raises(PreCommitError, match="a Claim cannot be understood"):
            await claimed(store, "c-1")
        await claimed(store, "c-2")
