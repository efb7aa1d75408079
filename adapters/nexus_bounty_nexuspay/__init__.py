"""Credits whose journal lies on a NexusPay server, shared safely by any number of processes.

NexusPay as it is released keeps few promises: it acknowledges transfers that it does not store,
pays twice for one idempotency key, does not list memos, and its `reserve` and `commit` pay nobody.
What it does keep is a list of transfers, to which a transfer is added once or not at all, and
which shows whom each was addressed to. That list is used as the journal of a double-entry ledger:

- Whatever happens to the credits is one transfer of (next to) nothing, addressed to a name that
  says in JSON what was moved, on behalf of which key, and *which entry it follows*.
- Of all that follow the same entry the first counts, and the others never will. So a lost answer is
  resolved by looking into the list; a repeat, a duplicate or a straggler changes nothing; and two
  writers never both win.
- Real credits leave the server's account by `top_up` only. Such a transfer is not repeated while it
  has no answer. What a straggler brings all the same is counted, and used by the next top-up: what
  was deposited is always what the accounts hold, plus `unassigned`.

Where this cannot be made safe it is refused with `UnsupportedNexusPayError`, before anything of the
operation is sent: without a list of transfers, where TigerBeetle keeps the credits, and where
transfers that were acknowledged do not turn up in the list.

    async with NexusPayCredits("http://127.0.0.1:2026") as credits:
        await credits.top_up("first", account="alice", amount=1_000)  # 10.00 credits of NexusPay
"""

from __future__ import annotations

from nexus_bounty_nexuspay.api import UnsupportedNexusPayError
from nexus_bounty_nexuspay.credits import NexusPayCredits

__all__ = ["NexusPayCredits", "UnsupportedNexusPayError"]
