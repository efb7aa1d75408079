"""What a demo run shows: every write with its proof, the accidents, and where the money is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nexus_bounty.outcomes import Outcome, Proof


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One commit: what its process observed, in order, and by what its outcome is known.

    Of a process that died before it knew, `found_by` says which other one found out.
    """

    process: str
    kind: str
    path: str
    key: str
    outcome: Outcome
    proof: Proof
    answered: bool
    """Whether an answer to it came back at all."""
    observed: Sequence[str] = ()
    found_by: str | None = None


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
