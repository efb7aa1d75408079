"""The reconciler in ranges, as jobs of procrastinate on PostgreSQL, for workers on many machines.

`nexus-bounty worker` runs them; from Python, `nexus_bounty_procrastinate.worker`. Zones are divided
into ranges of bounties, of which each is gone through by one worker at a time, again and again;
what a worker leaves that dies, others take.
"""

from __future__ import annotations

__all__: list[str] = []
"""A command needs none of it imported with the package: what there is is in its modules."""
