"""Makes the tables of procrastinate and of the ranges, whoever comes first."""

from __future__ import annotations

from typing import Final

import psycopg
from procrastinate.schema import SchemaManager

_LOCK: Final = 0x4E585257  # "NXRW"
_RANGES: Final = """
    CREATE TABLE IF NOT EXISTS nexus_bounty_ranges (
        zone_id text COLLATE "C" NOT NULL,
        lo text COLLATE "C" NOT NULL,
        hi text COLLATE "C",
        cursor jsonb NOT NULL DEFAULT '{}',
        due_at timestamptz NOT NULL DEFAULT now(),
        deferred_until timestamptz NOT NULL DEFAULT '-infinity',
        split_at timestamptz NOT NULL DEFAULT '-infinity',
        runs bigint NOT NULL DEFAULT 0,
        found bigint NOT NULL DEFAULT 0,
        repaired bigint NOT NULL DEFAULT 0,
        left_at_last bigint NOT NULL DEFAULT 0,
        failed_in_a_row integer NOT NULL DEFAULT 0,
        succeeded_at timestamptz,
        error text,
        PRIMARY KEY (zone_id, lo)
    )
"""
"""Each range begins after the `lo` of its row and ends with its `hi`, the `lo` of the next."""
_MEMORIES: Final = "ALTER TABLE nexus_bounty_ranges ADD COLUMN IF NOT EXISTS memory jsonb"
"""What is remembered of each range, see `RangeMemory`."""
_PACES: Final = """
    CREATE TABLE IF NOT EXISTS nexus_bounty_paces (
        server text COLLATE "C" PRIMARY KEY,
        next_at timestamptz NOT NULL
    )
"""
"""When the next request to a server may leave, see `pace`."""

_SILENT: Final = "SET LOCAL idle_in_transaction_session_timeout = '10s'"
"""Else what a host has locked that is cut off would be locked for hours."""


async def prepare(url: str) -> None:
    """Make what is missing; of several processes that start at once, one does.

    Raises:
        psycopg.Error: It could not be made.
    """
    connection = await psycopg.AsyncConnection.connect(url, prepare_threshold=None)
    async with connection:
        await connection.execute(_SILENT)
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        there = await connection.execute("SELECT to_regclass('procrastinate_jobs')")
        row = await there.fetchone()
        if row is None or row[0] is None:
            await connection.execute(SchemaManager.get_schema().encode())
        await connection.execute(_RANGES)
        await connection.execute(_MEMORIES)
        await connection.execute(_PACES)
