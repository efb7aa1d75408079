"""Leases on targets: the rules of claims, written once for every place they may be kept.

A claim holds its target while it is `active` and its lease has not run out. One whose lease has
run out counts as expired for everybody, whether or not `expire_stale` has written that down yet:
sweeping changes what is stored, never what anyone may do.
"""

from __future__ import annotations

from nexus_bounty.leases.book import ClaimBook, ClaimScope, KeyUse
from nexus_bounty.leases.copying import ClaimsCopy, CopyableClaims, copy_claims
from nexus_bounty.leases.service import LeasedClaims

__all__ = [
    "ClaimBook",
    "ClaimScope",
    "ClaimsCopy",
    "CopyableClaims",
    "KeyUse",
    "LeasedClaims",
    "copy_claims",
]
