"""NexusPay servers in memory, ledgers on them, and a reader of the truth that uses none of ours."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from nexus_bounty import NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.pay import MICROS, OPENING
from nexus_bounty_nexuspay import NexusPayCredits

UNIT = MICROS // 100
KEY = "sk-test"
RELEASES = ("0.9", "0.10")

PATIENT = NexusSettings(url="http://nexus")
HURRIED = PATIENT.model_copy(update={"operation_timeout": 5.0, "retry_attempts": 1})
"""Gives up on an operation while its only request may still be under way."""


def credits_on(
    mock: MockNexus,
    settings: NexusSettings = PATIENT,
    *,
    service: type[NexusPayCredits] = NexusPayCredits,
    **given: Any,
) -> NexusPayCredits:
    """The ledger `default` on a mock, as one process sees it."""
    given = {"api_key": KEY, "transport": mock.transport(), **given}
    return service(settings=settings, **given)


class Truth:
    """What the transfers that a server really stored amount to, read without the adapter's code.

    Entries are JSON after the ledger's name; of those that follow the same one, the first that
    was stored counts.
    """

    def __init__(self, mock: MockNexus, ledger: str = "default") -> None:
        pay = mock.core.pay
        start = f"nexus-bounty:{ledger}"
        ours = [each for each in pay.transfers if each.to.startswith(start)]
        first: dict[str, Any] = {}
        for each in ours:
            if each.to != start:
                entry = json.loads(each.to[len(start) + 1 :])
                first.setdefault(entry["after"], entry)
        self.entries: list[Any] = []
        head = ""
        while head in first:
            self.entries.append(first[head])
            head = first[head]["entryId"]
        self.head = head
        self.moves = [move for entry in self.entries for move in entry.get("moved", [])]
        self.balances: Counter[str] = Counter()
        for move in self.moves:
            self.balances[move["debit"]] -= move["amount"]
            self.balances[move["credit"]] += move["amount"]
        self.taken = sum(each.micros // UNIT for each in pay.transfers)
        """Units that left the account of the server, whatever for."""
        self.deposited = sum(each.micros // UNIT for each in ours)
        available = pay.balance()["available"]
        assert round(float(available) * MICROS) == OPENING - sum(
            each.micros for each in pay.transfers
        )

    def count(self, kind: str, source_id: str) -> int:
        """How often a movement was made that counts."""
        return sum((move["kind"], move["sourceId"]) == (kind, source_id) for move in self.moves)

    @property
    def issued(self) -> int:
        """The units that accounts have, free and reserved."""
        return -self.balances["system:mint"]

    @property
    def unassigned(self) -> int:
        """The units that were paid in and that nobody has."""
        return self.deposited - self.issued

    def assert_sound(self) -> None:
        """No account is below zero, nothing was issued that was not paid in, all adds up."""
        assert sum(self.balances.values()) == 0
        assert all(balance >= 0 for name, balance in self.balances.items() if name != "system:mint")
        assert self.unassigned >= 0
        ended = Counter(
            move["sourceId"] for move in self.moves if move["kind"] in ("capture", "void", "expire")
        )
        begun = Counter(move["sourceId"] for move in self.moves if move["kind"] == "reserve")
        assert all(number == 1 for number in (*begun.values(), *ended.values()))
