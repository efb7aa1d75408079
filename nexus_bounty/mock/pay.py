"""NexusPay as released: a ledger that keeps few of the promises its routes suggest.

Measured on 0.9.18 with a record store and no TigerBeetle, and kept on purpose:

- `reserve` with the same `task_id` makes another reservation; nothing is idempotent.
- `commit` moves no credits: it only ends the reservation, so the amount is available again.
- `release` after `commit` answers "released".
- `transfer` with the same `idempotency_key` pays again, and may overdraw.
- Amounts lose everything below a hundredth.
- Nothing asks for an API key.
- About half of the reservations and transfers are acknowledged and not stored, because a random
  id overflows a database column. That part is off unless `loss_rate` is set (0.5 as measured).
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from nexus_bounty.mock.wire import Answer, detail, json_answer

PREFIX = "/api/v2/pay"
_OPENING_CENTS = 10_000_00
_ACCOUNT = "admin"
_MISSING = detail(404, "Reservation not found")


@dataclass(frozen=True, slots=True)
class Reservation:
    """Credits set aside, in hundredths."""

    id: str
    cents: int
    purpose: str
    expires_at: datetime
    status: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Credits paid, in hundredths."""

    id: str
    cents: int
    to: str
    memo: str
    created_at: datetime
    transfer_id: int


class NexusPay:
    """The credits of one server.

    Args:
        rng: Makes ids, and decides what is lost.
        clock: Tells the time.
        loss_rate: The share of reservations and transfers that are acknowledged and forgotten.
    """

    def __init__(
        self, rng: random.Random, clock: Callable[[], datetime], loss_rate: float = 0.0
    ) -> None:
        self._random = rng
        self._clock = clock
        self.loss_rate = loss_rate
        self.reservations: dict[str, Reservation] = {}
        self.transfers: list[Transfer] = []

    def answer(self, verb: str, route: str, body: Mapping[str, Any], query: str) -> Answer:
        """Answer a request to a route below `/api/v2/pay`."""
        if verb == "GET":
            return self._get(route, query)
        if verb == "POST":
            return self._post(route, body)
        return detail(405, "Method Not Allowed")

    def _get(self, route: str, query: str) -> Answer:
        match route.split("/")[1:]:
            case ["balance"]:
                return json_answer(200, self.balance())
            case ["reservations"]:
                return json_answer(200, [_pending(r) for r in self._pending_reservations()])
            case ["transactions"]:
                return self._transactions(parse_qs(query))
            case ["can-afford"]:
                return _can_afford(parse_qs(query))
        return detail(404, "Not Found")

    def _post(self, route: str, body: Mapping[str, Any]) -> Answer:
        match route.split("/")[1:]:
            case ["reserve"]:
                return _validated(body, ("amount",)) or self._reserve(body)
            case ["transfer"]:
                return _validated(body, ("to", "amount")) or self._transfer(body)
            case ["reserve", reservation_id, "commit"]:
                return self._finish(reservation_id, "committed")
            case ["reserve", reservation_id, "release"]:
                return self._finish(reservation_id, "released")
        return detail(404, "Not Found")

    def balance(self) -> dict[str, str]:
        """Available, reserved and total credits."""
        total = _OPENING_CENTS
        total -= sum(t.cents for t in self.transfers)
        total += sum(t.cents for t in self.transfers if t.to == _ACCOUNT)
        reserved = sum(r.cents for r in self._pending_reservations())
        return {
            "available": _credits(total - reserved),
            "reserved": _credits(reserved),
            "total": _credits(total),
        }

    def _pending_reservations(self) -> list[Reservation]:
        return [r for r in self.reservations.values() if r.status == "pending"]

    def _reserve(self, body: Mapping[str, Any]) -> Answer:
        amount, purpose = float(body["amount"]), str(body.get("purpose") or "")
        expires = self._clock() + timedelta(hours=1)  # whatever `timeout` says
        held = Reservation(
            self._id(), _cents(amount), purpose or "manual reservation", expires, "pending"
        )
        if not self._lost():
            self.reservations[held.id] = held
        document = {
            "id": held.id,
            "amount": f"{amount:.2f}",
            "purpose": purpose,
            "expires_at": expires.isoformat(),
            "status": "pending",
        }
        return json_answer(200, document)

    def _finish(self, reservation_id: str, status: str) -> Answer:
        held = self.reservations.get(reservation_id)
        if held is None:
            return _MISSING
        self.reservations[held.id] = replace(held, status=status)
        document = {
            "id": held.id,
            "amount": _credits(held.cents),
            "purpose": held.purpose,
            "status": status,
            "expires_at": None,
        }
        return json_answer(200, document)

    def _transfer(self, body: Mapping[str, Any]) -> Answer:
        amount, now = float(body["amount"]), self._clock()
        paid = Transfer(
            id=self._id(),
            cents=_cents(amount),
            to=str(body["to"]),
            memo=str(body.get("memo") or ""),
            created_at=now,
            transfer_id=self._random.getrandbits(63),
        )
        if not self._lost():
            self.transfers.append(paid)
        document = {
            "id": paid.id,
            "method": "credits",
            "amount": f"{amount:.2f}",
            "from_agent": _ACCOUNT,
            "to_agent": paid.to,
            "memo": paid.memo,
            "timestamp": now.isoformat(),
            "tx_hash": None,
        }
        return json_answer(200, document)

    def _transactions(self, query: Mapping[str, list[str]]) -> Answer:
        limit = int(query.get("limit", ["20"])[0])
        start = int(query.get("cursor", ["0"])[0])
        newest_first = self.transfers[::-1]
        more = start + limit < len(newest_first)
        document = {
            "transactions": [_transaction(t) for t in newest_first[start : start + limit]],
            "limit": limit,
            "has_more": more,
            "total": len(newest_first),
            "next_cursor": str(start + limit) if more else None,
        }
        return json_answer(200, document)

    def _lost(self) -> bool:
        return self.loss_rate > 0 and self._random.random() < self.loss_rate

    def _id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def _cents(amount: float) -> int:
    return int(amount * 100)  # in floats and cut off, as the server does it


def _credits(cents: int) -> str:
    return f"{cents / 100:.2f}"


def _pending(held: Reservation) -> dict[str, str]:
    return {
        "id": held.id,
        "amount": _credits(held.cents),
        "purpose": held.purpose,
        "expires_at": held.expires_at.replace(tzinfo=None).isoformat(),
        "status": held.status,
    }


def _transaction(paid: Transfer) -> dict[str, Any]:
    return {
        "id": paid.id,
        "record_hash": paid.id[:16],
        "created_at": paid.created_at.replace(tzinfo=None).isoformat(),
        "protocol": "credits",
        "buyer_agent_id": _ACCOUNT,
        "seller_agent_id": paid.to,
        "amount": _credits(paid.cents),
        "currency": "credits",
        "status": "completed",
        "zone_id": "root",
        "trace_id": None,
        "metadata_hash": None,
        "transfer_id": str(paid.transfer_id),
    }


def _can_afford(query: Mapping[str, list[str]]) -> Answer:
    requested = float(query.get("amount", ["0"])[0])
    document = {
        "can_afford": True,
        "available": "999999999.0",
        "requested": str(requested),
    }
    return json_answer(200, document)


def _validated(body: Mapping[str, Any], required: tuple[str, ...]) -> Answer | None:
    """The 422 answer to a body without what is required, or None."""
    problems = [missing_field(name, body) for name in required if name not in body]
    if not problems and not _is_number(body["amount"]):
        problems = [_not_a_number(body["amount"])]
    return detail(422, problems) if problems else None


def missing_field(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What FastAPI says about a field that is not there."""
    return {
        "type": "missing",
        "loc": ["body", name],
        "msg": "Field required",
        "input": dict(body),
    }


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _not_a_number(value: Any) -> dict[str, Any]:
    return {
        "type": "float_parsing",
        "loc": ["body", "amount"],
        "msg": "Input should be a valid number, unable to parse string as a number",
        "input": value,
    }
