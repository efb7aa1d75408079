"""A process that works on a ledger: `ledger_worker.py FILE NAME COUNT SEED`.

Prints the id of each call once it has been acknowledged. A COUNT of 0 goes on until killed.
"""
# ruff: noqa: T201 - printing is how it tells its parent

import asyncio
import sys
from itertools import count as count_from
from random import Random

from nexus_bounty.outcomes import InsufficientCreditsError, PaymentError
from nexus_bounty_sqlite import SqliteCredits

ACCOUNTS = ("alice", "bob", "carol", "dave")


async def move(service: SqliteCredits, name: str, random: Random) -> None:
    """One call of each kind between random accounts."""
    payer, payee = random.sample(ACCOUNTS, 2)
    amount = random.randint(1, 30)
    try:
        await service.transfer(f"{name}-t", from_account=payer, to_account=payee, amount=amount)
        print(f"transfer {name}-t", flush=True)
        await service.reserve(f"{name}-r", account=payee, amount=amount)
        print(f"reserve {name}-r", flush=True)
    except InsufficientCreditsError:
        return
    if random.random() < 0.5:
        await service.capture(f"{name}-r", to_account=payer)
        print(f"capture {name}-r", flush=True)
    else:
        await service.void(f"{name}-r")
        print(f"void {name}-r", flush=True)


async def reserve_the_same(service: SqliteCredits, number: int) -> None:
    """Race the other processes for one id, and for its end."""
    await service.reserve(f"shared-{number}", account="shared", amount=1)
    try:
        await service.capture(f"shared-{number}", to_account="winner")
    except PaymentError as exc:
        raise AssertionError("all captures are to the same account") from exc


async def main(path: str, name: str, count: int, seed: int) -> None:
    random = Random(seed)
    async with SqliteCredits(path) as service:
        for number in range(count) if count else count_from():
            await move(service, f"{name}-{number}", random)
            if count:
                await reserve_the_same(service, number)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
