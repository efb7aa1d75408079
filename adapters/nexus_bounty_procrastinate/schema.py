"""Makes the tables of procrastinate and of the ranges, whoever comes first.

Where they are as they should be nothing is changed: whoever only works needs no right to.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import sql

_LOCK: Final = 0x4E585257  # "NXRW"
_RANGES: Final = """
    CREATE TABLE IF NOT EXISTS nexus_bounty_ranges (
        server text COLLATE "C" NOT NULL,
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
        memory jsonb,
        PRIMARY KEY (server, zone_id, lo)
    )
"""
"""Each range begins after the `lo` of its row and ends with its `hi`, the `lo` of the next.

For `memory` see `RangeMemory`. A worker of a checkout that knew no servers can add no row.
"""
_WITHOUT_SERVERS: Final = """
    DROP TABLE IF EXISTS nexus_bounty_ranges;
    DELETE FROM procrastinate_jobs WHERE queue_name = 'nexus-bounty'
"""
"""What an earlier checkout kept of ranges does not say of which server: each is begun with anew."""
_GRANTS: Final = """
    SELECT string_agg(
        format(
            'GRANT %s ON nexus_bounty_ranges TO %s%s',
            privilege_type,
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
        ), '; ')
    FROM pg_class, aclexplode(relacl)
    WHERE pg_class.oid = to_regclass('nexus_bounty_ranges') AND grantee <> relowner
"""
"""Who may do what with the ranges, besides their owner; nothing of single columns."""
_PACES: Final = """
    CREATE TABLE IF NOT EXISTS nexus_bounty_paces (
        server text COLLATE "C" PRIMARY KEY,
        next_at timestamptz NOT NULL
    )
"""
"""When the next request to a server may leave, see `pace`."""

_SILENT: Final = "SET LOCAL idle_in_transaction_session_timeout = '10s'"
"""Else what a host has locked that is cut off would be locked for hours."""
_COLUMNS: Final = """
    SELECT relation.name, coalesce(array_agg(attname::text) FILTER (WHERE attnum > 0), '{}')
    FROM unnest(%s::text[]) AS relation (name)
    JOIN pg_attribute ON attrelid = to_regclass(relation.name) AND NOT attisdropped
    GROUP BY relation.name
"""
_TABLES: Final = (
    "procrastinate_jobs",
    "procrastinate_workers",
    "procrastinate_events",
    "procrastinate_periodic_defers",
    "nexus_bounty_ranges",
    "nexus_bounty_paces",
)
_LACKING: Final = """
    SELECT current_user::text, nspname::text, relname::text, relkind = 'S'
    FROM pg_class AS relation JOIN pg_namespace AS schema ON schema.oid = relnamespace
    WHERE (
        relation.oid IN (SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS named (name))
        AND NOT (
            has_table_privilege(relation.oid, 'SELECT')
            AND has_table_privilege(relation.oid, 'INSERT')
            AND has_table_privilege(relation.oid, 'UPDATE')
            AND has_table_privilege(relation.oid, 'DELETE')
        )
    ) OR (
        relation.oid IN (
            SELECT objid FROM pg_depend
            WHERE deptype = 'a' AND classid = 'pg_class'::regclass AND refobjid IN (
                SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS named (name)
            )
        )
        AND relkind = 'S' AND NOT has_sequence_privilege(relation.oid, 'USAGE')
    )
    ORDER BY relname
"""
"""Sequences are those of columns whose default asks them; an identity's need no right."""


class RightsError(psycopg.DatabaseError):
    """The user of the database lacks rights; the message says which, and how they are given."""


async def prepare(url: str) -> None:
    """Make what is missing; of several processes that start at once, one does.

    Raises:
        RightsError: This user may not make it, or not use what is there.
        psycopg.Error: It could not be made.
    """
    connection = await psycopg.AsyncConnection.connect(url, prepare_threshold=None)
    await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
    async with connection:
        await connection.execute(_SILENT)
        if not await _is_up_to_date(connection):
            try:
                async with connection.transaction():
                    await _make(connection)
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName) as why:
                raise RightsError(await _what_to_grant_to_make(connection, why)) from why
        if lacking := await _lacking(connection):
            raise RightsError(lacking)


async def _is_up_to_date(connection: psycopg.AsyncConnection[Any]) -> bool:
    there = await _columns(connection)
    return there.keys() >= {*_TABLES} and "server" in there["nexus_bounty_ranges"]


async def _columns(connection: psycopg.AsyncConnection[Any]) -> dict[str, list[str]]:
    """Those of each of the tables that is there."""
    found = await connection.execute(_COLUMNS, [list(_TABLES)])
    return dict(await found.fetchall())


async def _make(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    there = await _columns(connection)  # what another process has made meanwhile
    grants = None
    if "procrastinate_jobs" not in there:
        await connection.execute(SchemaManager.get_schema().encode())
    if "server" not in there.get("nexus_bounty_ranges", ["server"]):
        (grants,) = await (await connection.execute(_GRANTS)).fetchone() or (None,)
        await connection.execute(_WITHOUT_SERVERS)
    await connection.execute(_RANGES)
    if grants:  # whoever worked on the old ones works on
        await connection.execute(grants.encode())
    await connection.execute(_PACES)


async def _what_to_grant_to_make(
    connection: psycopg.AsyncConnection[Any], why: psycopg.Error
) -> str:
    """Which right would let this user make the tables."""
    found = await connection.execute("SELECT current_user::text, current_schema()::text")
    user, schema = await found.fetchone() or ("", None)
    said = str(why).partition("\n")[0]
    what = (
        "the tables with the jobs are missing, or of an earlier release, and cannot be made by "
        f"{user}: {said}. Start one worker as their owner; if there are none yet, as a user "
        "with CREATE on the schema"
    )
    if schema is None:
        return f"{what}. If others have made them: GRANT USAGE ON SCHEMA public TO {_quoted(user)}"
    return f"{what}: GRANT CREATE ON SCHEMA {_quoted(schema)} TO {_quoted(user)}"


async def _lacking(connection: psycopg.AsyncConnection[Any]) -> str | None:
    """Which rights to use the tables this user lacks, if any."""
    found = await (await connection.execute(_LACKING, {"tables": list(_TABLES)})).fetchall()
    if not found:
        return None
    user = found[0][0]
    rights = [
        (f"USAGE ON SEQUENCE {_quoted(schema)}.{_quoted(name)}")
        if is_sequence
        else f"SELECT, INSERT, UPDATE, DELETE ON {_quoted(schema)}.{_quoted(name)}"
        for _, schema, name, is_sequence in found
    ]
    grants = "; ".join(f"GRANT {each} TO {_quoted(user)}" for each in rights)
    return f"{user} lacks rights on tables with the jobs: {grants}"


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
