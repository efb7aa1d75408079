"""Whoever may pay to a ledger's name can write entries; none against the rules counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nexus_bounty_nexuspay.entries import Names
from nexus_bounty_nexuspay.journal import Journal, Transaction

NAMES = Names("default")


def listed(number: int, recipient: str, amount: str) -> Transaction:
    """The transfer that was stored as the `number`-th."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)
    return Transaction(f"tx-{number:04}", at, recipient, amount)


AT = "2026-01-01T00:00:00Z"


def held(amount: int = 5, **changes: Any) -> dict[str, Any]:
    """A reservation as an entry carries it."""
    return {"reservationId": "r", "account": "alice", "amount": amount, "createdAt": AT} | changes


def moved(kind: str, source: str, debit: str, credit: str, amount: int) -> dict[str, Any]:
    names = {"kind": kind, "sourceId": source, "debit": debit, "credit": credit}
    return {**names, "amount": amount, "at": AT}


RESERVED = moved("reserve", "r", "alice", "system:escrow:alice", 5)
FUNDED = {"moved": [moved("top_up", "funds", "system:mint", "alice", 10)]}
OPENED = {"opened": [held()], "moved": [RESERVED]}
BOB = {"payee": "bob", "work": "cid", "key": "k"}
FORGED: dict[str, tuple[str, list[dict[str, Any]], dict[str, Any]]] = {
    "mints": ("deposited", [], {"moved": [moved("top_up", "x", "system:mint", "eve", 11)]}),
    "later": ("version 99", [], {"version": 99}),
    "overdraws": ("more from alice", [], {"moved": [moved("transfer", "x", "alice", "eve", 11)]}),
    "robs escrow": (
        "own",
        [OPENED],
        {"moved": [moved("transfer", "x", "system:escrow:alice", "eve", 5)]},
    ),
    "pays without closing": (
        "no reservation",
        [OPENED],
        {"moved": [moved("capture", "r", "system:escrow:alice", "eve", 5)]},
    ),
    "closes without paying": (
        "without moving",
        [OPENED],
        {"closed": [held(status="voided")]},
    ),
    "closes what is not there": (
        "not held",
        [],
        {"closed": [held(status="voided")]},
    ),
    "changes what it is for": (
        "held for",
        [OPENED],
        {"assigned": [held(4, assignment=BOB)], "version": 2},
    ),
    "pays another": (
        "on record",
        [OPENED, {"assigned": [held(assignment=BOB)], "version": 2}],
        {
            "closed": [held(status="captured", capturedTo="eve", assignment=BOB)],
            "moved": [moved("capture", "r", "system:escrow:alice", "eve", 5)],
        },
    ),
    "opens twice": ("second time", [OPENED], OPENED),
    "moves twice": (
        "repeats t",
        [{"moved": [moved("transfer", "t", "alice", "carol", 1)]}],
        {"moved": [moved("transfer", "t", "alice", "eve", 1)]},
    ),
    "moves back": ("moves -5", [], {"moved": [moved("transfer", "x", "alice", "eve", -5)]}),
}


@pytest.mark.parametrize("name", FORGED)
def test_an_entry_against_the_rules_is_passed_over_and_told(name: str) -> None:
    """Nobody gains by it, nothing stops, and what follows it counts."""
    told, before, forged = FORGED[name]
    entries = [FUNDED, *before, forged, {"moved": [moved("transfer", "last", "alice", "bob", 1)]}]
    journal = Journal(NAMES)
    for number, each in enumerate(entries, 1):
        after = f"e{number - 1}" if number > 1 else ""
        carried = {"entryId": f"e{number}", "after": after, "operation": "x", **each}
        recipient = f"nexus-bounty:default:{json.dumps(carried)}"
        # each brings twenty units, which the mint is to exceed
        journal.add([listed(number, recipient, "0.10" if number == 1 else "0")])
    assert [each for each in journal.passed_over if told in each], journal.passed_over
    assert len(journal.passed_over) == 1
    assert journal.head == f"e{len(entries)}"
    assert journal.book.balance("eve") == 0
    assert journal.book.balance("bob") == 1
