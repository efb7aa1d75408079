"""The routes of NexusPay that the ledger stands on, and which NexusPay it is.

`reserve`, `commit` and `release` are not among them: in no release do they pay anybody. Up to
0.10.0 a commit only gives the credits back, later ones pay them into an account of the server's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeVar

import httpx
import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import classification
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.rpc import Rpc
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.outcomes import UnsupportedServerError
from nexus_bounty.retry import RetryPolicy
from nexus_bounty_nexuspay.amounts import cut_in_floats, exact, units_in
from nexus_bounty_nexuspay.journal import Transaction

T = TypeVar("T")

_ROOT: Final = "/api/v2/pay"
_UNLIMITED: Final = 999_999_999
"""What every account can afford, as NexusPay says where it has no TigerBeetle to ask."""


class UnsupportedNexusPayError(UnsupportedServerError):
    """Credits would not be safe on this NexusPay; nothing was sent that could move any."""

    advice = "No credits moved; keep them somewhere else, such as sqlite:///ledger.db"


class TransferPage(msgspec.Struct, frozen=True):
    """Some of the transfers, newest first, and how many there are in all."""

    transactions: list[Transaction]
    total: int
    next_cursor: str | None = None


class _Balance(msgspec.Struct, frozen=True):
    available: str


class _Affordable(msgspec.Struct, frozen=True):
    can_afford: bool
    available: str | None = None
    """Only up to 0.10.0."""


@dataclass(frozen=True, slots=True)
class PayRelease:
    """How a release takes amounts: what an entry without credits costs, and how others are put."""

    name: str
    nothing: str
    worded: Callable[[int], str]

    def amount(self, units: int) -> str:
        """The text for `units`."""
        return self.worded(units) if units else self.nothing


UP_TO_0_10_0: Final = PayRelease("0.9.18 to 0.10.0", "0", cut_in_floats)
FROM_0_10_1: Final = PayRelease("0.10.1 or later", "0.000001", exact)


class PayApi:
    """Asks one server; reads are tried again while that may help.

    Args:
        settings: Where it is, and how long to wait for it.
        transport: Any httpx transport, such as one to a server in this process.
        random: The source of jitter.
    """

    def __init__(
        self,
        settings: NexusSettings,
        transport: httpx.AsyncBaseTransport | None,
        random: Random,
    ) -> None:
        self.retries = RetryPolicy(
            settings.retry_attempts, settings.retry_base, settings.retry_cap, random
        )
        self._rpc = Rpc(settings, transport)

    @property
    def requests_sent(self) -> int:
        """How many requests were sent, repeats included."""
        return self._rpc.requests_sent

    def why_not_here(self) -> str | None:
        """Why nothing can be asked in this event loop; `None` if it can, and belongs to it now."""
        return self._rpc.why_not_here()

    def check_home(self) -> None:
        """Refuse to wait in another event loop than the one that the connections belong to.

        Raises:
            NexusError: It is another one; nothing was sent.
        """
        self._rpc.check_home("POST", f"{_ROOT}/transfer")

    async def close(self) -> None:
        """Close every connection; requests after this are never sent."""
        await self._rpc.close()

    async def observed_release(self, deadline: Deadline) -> PayRelease:
        """Which NexusPay it is, by what it answers to a question that changes nothing.

        Raises:
            UnsupportedNexusPayError: Its ledger is one on which no payment can be found again.
            NexusError: It did not answer.
        """
        route = f"{_ROOT}/can-afford?amount={_UNLIMITED}"
        answer = await self._get(route, _Affordable, deadline)
        if not answer.can_afford:
            raise UnsupportedNexusPayError(
                "this NexusPay keeps its credits in TigerBeetle: it refuses transfers to names "
                "that are no wallets, its commit pays the server and not the payee, and its list "
                "of transfers shows no memos, so that a payment whose answer is lost could not be "
                "found again"
            )
        return FROM_0_10_1 if answer.available is None else UP_TO_0_10_0

    async def treasury(self, deadline: Deadline) -> int:
        """The units that the account of the API key has, free to use.

        Raises:
            NexusError: It did not say.
        """
        route = f"{_ROOT}/balance"
        balance = await self._get(route, _Balance, deadline)
        try:
            return units_in(balance.available)
        except (ArithmeticError, ValueError) as error:
            raise _unreadable(route, f"{balance.available!r} is no amount") from error

    async def page(self, limit: int, cursor: str | None, deadline: Deadline) -> TransferPage:
        """The newest `limit` transfers, or those after `cursor`.

        Raises:
            NexusError: It did not show them.
        """
        behind = "" if cursor is None else f"&cursor={cursor}"
        return await self._get(
            f"{_ROOT}/transactions?limit={limit}{behind}", TransferPage, deadline
        )

    async def transfer(self, body: Mapping[str, str], deadline: Deadline) -> None:
        """Send a transfer once. An acknowledgement does not mean that it was stored.

        Raises:
            NexusError: It was not acknowledged; the verdict says what that proves.
        """
        await self._rpc.ask(f"{_ROOT}/transfer", deadline, body)

    async def _get(self, route: str, kind: type[T], deadline: Deadline) -> T:
        async def get() -> T:
            return _converted(await self._rpc.ask(route, deadline), kind, route)

        return await self.retries.persist(get, _is_passing, deadline)


def _converted(answer: Any, kind: type[T], route: str) -> T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise _unreadable(route, str(error)) from error


def _unreadable(route: str, detail: str) -> NexusError:
    return NexusError(classification.UNREADABLE, method="GET", path=route, detail=detail)


def _is_passing(error: Exception) -> bool:
    return isinstance(error, NexusError) and error.is_passing and not _has_no_records(error)


def _has_no_records(error: NexusError) -> bool:
    return "no record store" in error.detail or "Credits service not available" in error.detail


def without_records(error: NexusError) -> UnsupportedNexusPayError | None:
    """The refusal of a server on which no transfer can be found again, if `error` says so."""
    if error.reason is Reason.NO_SUCH_ROUTE:
        return UnsupportedNexusPayError(
            f"this server has no list of transfers ({error.detail}) in which a payment whose "
            "answer is lost could be found again; NexusPay has one from Nexus 0.9.18 on"
        )
    if _has_no_records(error):
        return UnsupportedNexusPayError(
            f"NexusPay keeps no records on this server ({error.detail}): start it with a record "
            "store, NEXUS_RECORD_STORE_PATH"
        )
    return None
