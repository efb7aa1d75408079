"""A process whose files may not grow past LIMIT bytes: `ledger_on_a_full_disk.py FILE LIMIT`.

Tops up until the file system refuses, prints the class of the error, then lifts the limit and
repeats the same call. Prints the id of each acknowledged call.
"""
# ruff: noqa: T201 - printing is how it tells its parent

import asyncio
import resource
import signal
import sys
from itertools import count

from nexus_bounty.outcomes import OutcomeError
from nexus_bounty_sqlite import SqliteCredits


def limit_files(size: int) -> None:
    """Have the kernel refuse to write beyond `size` bytes of any file."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


async def main(path: str, limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with SqliteCredits(path) as service:
        limit_files(limit)
        for number in count():
            name = f"t{number}"
            try:
                await service.top_up(name, account="alice", amount=1)
            except OutcomeError as exc:
                print(f"error {type(exc).__name__}", flush=True)
                limit_files(resource.RLIM_INFINITY)
                await service.top_up(name, account="alice", amount=1)
                print(f"top_up {name}", flush=True)
                return
            print(f"top_up {name}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
