"""What a demo run shows: every write with its proof, the accidents, and where the money is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nexus_bounty.outcomes import Outcome, Proof


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One commit as its process saw it.

    `observed` is what came back, in order. `outcome` is `unknown` for a process that stopped
    before it heard; `found_out` says how the answer was found later.
    """

    process: str
    kind: str
    path: str
    key: str
    outcome: Outcome
    proof: Proof
    observed: Sequence[str] = ()
    found_out: str | None = None


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the demo. `balances` are free credits by account, `escrow` those still held.

    `requests` are those that the story sent to the server, clearing up aside.
    """

    server: str
    zone: str
    bounty_id: str
    final_status: str
    credits_conserved: bool
    balances: Mapping[str, int]
    escrow: int
    issued: int
    requests: int
    seconds: float
    lost_answer: bool
    crashed: bool
    repaired: Sequence[str]
    writes: Sequence[Write]
