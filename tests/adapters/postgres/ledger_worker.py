"""A process that works on a ledger: `ledger_worker.py URL NAME COUNT SEED`.

Prints the id of each call once it has been acknowledged. A COUNT of 0 goes on until killed; what
the ledger could not say is asked again, and what it refused because it was away is tried again.
"""
# ruff: noqa: T201 - printing is how it tells its parent

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count as count_from
from random import Random
from typing import Any

from nexus_bounty.outcomes import CommitUnknownError, InsufficientCreditsError, PaymentError
from nexus_bounty_postgres import PostgresCredits

ACCOUNTS = ("alice", "bob", "carol", "dave")


async def acknowledged(kind: str, name: str, call: Callable[[], Awaitable[Any]]) -> None:
    """Repeat a call until the ledger has said what became of it."""
    while True:
        try:
            await call()
        except InsufficientCreditsError:
            raise
        except (PaymentError, CommitUnknownError):
            await asyncio.sleep(0.02)
        else:
            print(f"{kind} {name}", flush=True)
            return


async def move(service: PostgresCredits, name: str, random: Random) -> None:
    """One call of each kind between random accounts."""
    payer, payee = random.sample(ACCOUNTS, 2)
    amount = random.randint(1, 30)
    t, r = f"{name}-t", f"{name}-r"
    moved: dict[str, Any] = {"from_account": payer, "to_account": payee, "amount": amount}
    try:
        await acknowledged("transfer", t, lambda: service.transfer(t, **moved))
        await acknowledged("reserve", r, lambda: service.reserve(r, account=payee, amount=amount))
    except InsufficientCreditsError:
        return
    if random.random() < 0.5:
        await acknowledged("capture", r, lambda: service.capture(r, to_account=payer))
    else:
        await acknowledged("void", r, lambda: service.void(r))


async def main(url: str, name: str, count: int, seed: int) -> None:
    random = Random(seed)
    second = timedelta(seconds=1)
    async with PostgresCredits(url, wait=second, resolve_within=second) as service:
        for number in range(count) if count else count_from():
            both = (f"{name}-{number}-{each}" for each in "ab")
            await asyncio.gather(*(move(service, each, random) for each in both))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
