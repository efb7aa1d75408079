"""The reconciler: drives every stranded state forward or back, by the rules of the operations.

It works from documents and ledger alone, from any process, in any number of processes at once,
as often as it likes.
"""

from __future__ import annotations

from nexus_bounty.reconcile.reconciler import Reconciler
from nexus_bounty.reconcile.report import Finding, Health, ReconcileReport, SweepReport

__all__ = ["Finding", "Health", "ReconcileReport", "Reconciler", "SweepReport"]
