"""NexusPay as released: ledgers that keep few of the promises their routes suggest.

0.9.18 to 0.10.0 (one source), measured on 0.9.18 with a record store and no TigerBeetle:

- `reserve` with the same `task_id` makes another reservation; nothing is idempotent.
- `commit` moves no credits: it only ends the reservation, so the amount is available again.
- `release` after `commit` answers "released".
- `transfer` with the same `idempotency_key` pays again, may overdraw, and takes any number, zero
  and negative ones too. What is below a hundredth is cut off, in floats.
- Everything is paid by `admin`, and nothing asks for an API key.
- `transactions` does not list memos, and answers a cursor that it cannot read with an empty list.
- About half of the reservations and transfers are acknowledged and not stored, because a random
  id overflows a database column. That part is off unless `loss_rate` is set (0.5 as measured).

0.10.1, measured by running its router's source on Python 3.13 over SQLite, without TigerBeetle:
everything is stored, amounts are positive and have six places, a reservation ends once, keys are
needed; the rest is as before. A key's own agent pays; this mock knows one, `admin`.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs

from nexus_bounty.mock.wire import Answer, detail, json_answer

PREFIX = "/api/v2/pay"
MICROS: Final = 1_000_000
"""How many of the units that are kept make one credit."""
OPENING: Final = 10_000 * MICROS
"""What every account has to begin with."""

_ACCOUNT = "admin"
_MISSING = detail(404, "Reservation not found")
_NO_CONTENT = Answer(204, b"")
_UNLIMITED = 999_999_999


@dataclass(frozen=True, slots=True)
class Reservation:
    """Credits set aside."""

    id: str
    micros: int
    purpose: str
    expires_at: datetime
    status: str = "pending"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Credits paid."""

    id: str
    micros: int
    to: str
    memo: str
    created_at: datetime
    transfer_id: int


class NexusPay:
    """The credits of one server, as 0.9.18 keeps them.

    Args:
        rng: Makes ids, and decides what is lost.
        clock: Tells the time; what is stored gets a later one than all before.
        loss_rate: The share of reservations and transfers that are acknowledged and forgotten.
    """

    needs_key: ClassVar[bool] = False
    """Whether a request must carry the server's API key."""

    def __init__(
        self, rng: random.Random, clock: Callable[[], datetime], loss_rate: float = 0.0
    ) -> None:
        self._random = rng
        self._clock = clock
        self._latest = datetime.min.replace(tzinfo=UTC)
        self.loss_rate = loss_rate
        self.reservations: dict[str, Reservation] = {}
        self.transfers: list[Transfer] = []

    def answer(self, verb: str, route: str, body: Mapping[str, Any], query: str) -> Answer:
        """Answer a request to a route below `/api/v2/pay`."""
        if verb == "GET":
            return self._get(route, parse_qs(query))
        if verb == "POST":
            return self._post(route, body)
        return detail(405, "Method Not Allowed")

    def _get(self, route: str, query: Mapping[str, list[str]]) -> Answer:
        match route.split("/")[1:]:
            case ["balance"]:
                return json_answer(200, self.balance())
            case ["reservations"]:
                return json_answer(200, [self._listed(r) for r in self._pending()])
            case ["transactions"]:
                return self._transactions(query)
            case ["can-afford"]:
                return self._can_afford(query.get("amount", ["0"])[0])
        return detail(404, "Not Found")

    def _post(self, route: str, body: Mapping[str, Any]) -> Answer:
        match route.split("/")[1:]:
            case ["reserve"]:
                return self._refused(body, ("amount",)) or self._reserve(body)
            case ["transfer"]:
                return self._refused(body, ("to", "amount")) or self._transfer(body)
            case ["reserve", reservation_id, "commit"]:
                return self._finish(reservation_id, "committed", body)
            case ["reserve", reservation_id, "release"]:
                return self._finish(reservation_id, "released", body)
        return detail(404, "Not Found")

    def balance(self) -> dict[str, str]:
        """Available, reserved and total credits."""
        total = OPENING
        total -= sum(t.micros for t in self.transfers)
        total += sum(t.micros for t in self.transfers if t.to == _ACCOUNT)
        reserved = sum(r.micros for r in self._pending())
        return {
            "available": self._worded(total - reserved),
            "reserved": self._worded(reserved),
            "total": self._worded(total),
        }

    def _pending(self) -> list[Reservation]:
        return [r for r in self.reservations.values() if r.status == "pending"]

    def _can_afford(self, amount: str) -> Answer:
        document = {
            "can_afford": float(amount) <= _UNLIMITED,
            "available": f"{_UNLIMITED}.0",
            "requested": str(float(amount)),
        }
        return json_answer(200, document)

    def _refused(self, body: Mapping[str, Any], required: Sequence[str]) -> Answer | None:
        problems = [missing_field(name, body) for name in required if name not in body]
        if not problems and not _is_number(body["amount"]):
            problems = [_not_a_number(body["amount"])]
        return detail(422, problems) if problems else None

    def _reserve(self, body: Mapping[str, Any]) -> Answer:
        amount, purpose = float(body["amount"]), str(body.get("purpose") or "")
        expires = self._clock() + timedelta(hours=1)  # whatever `timeout` says
        reservation_id = self._id()
        self._keep_reservation(
            reservation_id, _cut(amount), purpose or "manual reservation", expires
        )
        return json_answer(200, _reserved(reservation_id, f"{amount:.2f}", purpose, expires))

    def _keep_reservation(
        self, reservation_id: str, micros: int | None, purpose: str, expires: datetime
    ) -> None:
        if micros is not None and not self._lost():
            held = Reservation(reservation_id, micros, purpose, expires)
            self.reservations[held.id] = held

    def _finish(self, reservation_id: str, status: str, _body: Mapping[str, Any]) -> Answer:
        held = self.reservations.get(reservation_id)
        if held is None:
            return _MISSING
        self.reservations[held.id] = replace(held, status=status)
        document = {
            "id": held.id,
            "amount": self._worded(held.micros),
            "purpose": held.purpose,
            "status": status,
            "expires_at": None,
        }
        return json_answer(200, document)

    def _transfer(self, body: Mapping[str, Any]) -> Answer:
        amount = float(body["amount"])
        return json_answer(200, self._paid(body, _cut(amount), f"{amount:.2f}"))

    def _paid(self, body: Mapping[str, Any], micros: int | None, amount: str) -> dict[str, Any]:
        now = self._clock()
        transfer_id, to, memo = self._id(), str(body["to"]), str(body.get("memo") or "")
        number = self._random.getrandbits(63)
        if micros is not None and not self._lost():
            stamp = self._stamp(now)
            self.transfers.append(Transfer(transfer_id, micros, to, memo, stamp, number))
        return {
            "id": transfer_id,
            "method": "credits",
            "amount": amount,
            "from_agent": _ACCOUNT,
            "to_agent": to,
            "memo": memo,
            "timestamp": now.isoformat(),
            "tx_hash": None,
        }

    def _stamp(self, now: datetime) -> datetime:
        # One process stores one row after the other, and never two in a microsecond.
        self._latest = max(now, self._latest + timedelta(microseconds=1))
        return self._latest

    def _transactions(self, query: Mapping[str, list[str]]) -> Answer:
        limit = int(query.get("limit", ["20"])[0])
        newest_first = sorted(self.transfers, key=lambda t: t.created_at, reverse=True)
        try:
            start = int(query.get("cursor", ["0"])[0])
        except ValueError:  # the server hides every error of its query behind an empty list
            newest_first, start = [], 0
        more = start + limit < len(newest_first)
        document = {
            "transactions": [self._transaction(t) for t in newest_first[start : start + limit]],
            "limit": limit,
            "has_more": more,
            "total": len(newest_first),
            "next_cursor": str(start + limit) if more else None,
        }
        return json_answer(200, document)

    def _transaction(self, paid: Transfer) -> dict[str, Any]:
        return {
            "id": paid.id,
            "record_hash": paid.id[:16],
            "created_at": paid.created_at.replace(tzinfo=None).isoformat(),
            "protocol": "credits",
            "buyer_agent_id": _ACCOUNT,
            "seller_agent_id": paid.to,
            "amount": self._worded(paid.micros),
            "currency": "credits",
            "status": "completed",
            "zone_id": "root",
            "trace_id": None,
            "metadata_hash": None,
            "transfer_id": str(paid.transfer_id),
        }

    def _listed(self, held: Reservation) -> dict[str, str]:
        return {
            "id": held.id,
            "amount": self._worded(held.micros),
            "purpose": held.purpose,
            "expires_at": held.expires_at.replace(tzinfo=None).isoformat(),
            "status": held.status,
        }

    def _worded(self, micros: int) -> str:
        return f"{micros / MICROS:.2f}"

    def _lost(self) -> bool:
        return self.loss_rate > 0 and self._random.random() < self.loss_rate

    def _id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


class StricterNexusPay(NexusPay):
    """The credits of one server, as 0.10.1 keeps them."""

    needs_key = True

    def _can_afford(self, amount: str) -> Answer:
        affordable = Decimal(amount) <= _UNLIMITED
        return json_answer(200, {"can_afford": affordable, "amount": _shortest(Decimal(amount))})

    def _refused(self, body: Mapping[str, Any], required: Sequence[str]) -> Answer | None:
        known = _TRANSFER if "to" in required else _RESERVE
        problems = [missing_field(name, body) for name in required if name not in body]
        problems += [_extra_field(name, body) for name in body if name not in known]
        if "amount" in body:
            problems += _wrong_amounts(body["amount"])
        return detail(422, problems) if problems else None

    def _reserve(self, body: Mapping[str, Any]) -> Answer:
        amount, purpose = Decimal(str(body["amount"])), str(body.get("purpose", "general"))
        expires = self._clock() + timedelta(seconds=int(body.get("timeout", 300)))
        reservation_id = str(self._random.getrandbits(127))
        self._keep_reservation(reservation_id, _micros_in(amount), purpose or "general", expires)
        return json_answer(201, _reserved(reservation_id, _shortest(amount), purpose, expires))

    def _finish(self, reservation_id: str, status: str, body: Mapping[str, Any]) -> Answer:
        held = self.reservations.get(reservation_id)
        if held is None:
            return _MISSING
        if held.status != "pending":
            return detail(409, f"Reservation already {held.status}")
        actual = body.get("actual_amount") if status == "committed" else None
        micros = held.micros if actual is None else _micros_in(Decimal(str(actual)))
        if micros > held.micros:
            return detail(400, "actual_amount cannot exceed reserved amount")
        self.reservations[held.id] = replace(held, status=status, micros=micros)
        return _NO_CONTENT

    def _transfer(self, body: Mapping[str, Any]) -> Answer:
        amount = Decimal(str(body["amount"]))
        if body.get("method") == "x402":
            message = "x402 transfers are not supported by /api/v2/pay/transfer"
            return detail(400, message)
        return json_answer(201, self._paid(body, _micros_in(amount), _shortest(amount)))

    def _worded(self, micros: int) -> str:
        return _shortest(Decimal(micros) / MICROS)


def pay_of(release: str) -> type[NexusPay]:
    """NexusPay as a release has it."""
    return StricterNexusPay if release.startswith("0.10.") else NexusPay


_TRANSFER = frozenset({"to", "amount", "memo", "method", "idempotency_key"})
_RESERVE = frozenset({"amount", "timeout", "purpose", "task_id"})


def _cut(amount: float) -> int | None:
    """What is stored of an amount: hundredths, in floats and cut off. None cannot be stored."""
    try:
        return int(amount * 100) * (MICROS // 100)
    except (OverflowError, ValueError):
        return None


def _micros_in(amount: Decimal) -> int:
    return int(amount * MICROS)


def _shortest(amount: Decimal) -> str:
    """At least two places, at most six."""
    whole, _, places = f"{amount:.6f}".rstrip("0").partition(".")
    return f"{whole}.{places:0<2}"


def _reserved(reservation_id: str, amount: str, purpose: str, expires: datetime) -> dict[str, str]:
    return {
        "id": reservation_id,
        "amount": amount,
        "purpose": purpose,
        "expires_at": expires.isoformat(),
        "status": "pending",
    }


def missing_field(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What FastAPI says about a field that is not there."""
    return {
        "type": "missing",
        "loc": ["body", name],
        "msg": "Field required",
        "input": dict(body),
    }


def _extra_field(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    message = "Extra inputs are not permitted"
    return {
        "type": "extra_forbidden",
        "loc": ["body", name],
        "msg": message,
        "input": body[name],
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


def _wrong_amounts(value: Any) -> list[dict[str, Any]]:
    said = {"loc": ["body", "amount"], "input": value}
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return [{"type": "decimal_parsing", "msg": "Input should be a valid decimal", **said}]
    if not amount > 0:
        message = "Input should be greater than 0"
        return [{"type": "greater_than", "msg": message, "ctx": {"gt": 0}, **said}]
    if amount != round(amount, 6):
        message = "Value error, amount must have at most 6 decimal places"
        return [{"type": "value_error", "msg": message, "ctx": {"error": {}}, **said}]
    return []
