"""What reconcilers remember of ranges that run for ever, `nexus-bounty reconcile --watch` for one.

What workers remember is with their ranges, see `nexus_bounty_procrastinate`.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE nexus_bounty.range_memories (
            zone_id text COLLATE "C" NOT NULL,
            name text COLLATE "C" NOT NULL,
            memory text NOT NULL,
            PRIMARY KEY (zone_id, name)
        )
        """
    )
