"""Claims in a PostgreSQL database."""

from __future__ import annotations

from typing import Any

import psycopg

from nexus_bounty.leases import ClaimBook, LeasedClaims
from nexus_bounty.outcomes import PreCommitError
from nexus_bounty_postgres.claim_batch import ClaimBatch
from nexus_bounty_postgres.on_server import OnServer


class PostgresClaimStore(OnServer[ClaimBook], LeasedClaims):
    """A `ClaimStore` in one database, which may be the one of `PostgresCredits`; see `OnServer`."""

    refusal = PreCommitError

    def _batch(self, connection: psycopg.Connection[Any]) -> ClaimBatch:
        return ClaimBatch(connection)

    def _tables(self, connection: psycopg.Connection[Any], *, settled: int) -> ClaimBatch:  # noqa: ARG002 - claims have no numbers
        return ClaimBatch(connection, locking=False)
