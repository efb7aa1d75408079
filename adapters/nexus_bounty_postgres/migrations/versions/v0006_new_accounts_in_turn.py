"""Who finds that an account was made meanwhile begins again: it has no lock on that account.

An `INSERT` that meets the row of another transaction waits for its end, and does not lock what it
finds then. Two could number entries of that account at the same time, and a reader of its history
go past the one that commits last. To lock it now would be out of order, and could end in a
deadlock. The next try finds it, and locks it with the others.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from nexus_bounty_postgres.migrations.versions.v0002_steps_on_the_server import (
    ADDED,
    BEGUN,
    ENTRIES,
    PLANNED,
)

revision = "0006"
down_revision = "0005"

_CLOSING: Final = f"""
    CREATE OR REPLACE FUNCTION nexus_bounty.close_step(
        added json, changed json, begun json, continued json, posted json, lowest json
    ) RETURNS void {PLANNED} AS $$
    DECLARE
        known bigint;
        made bigint;
        short boolean;
    BEGIN
{ADDED}        IF changed IS NOT NULL THEN
            UPDATE nexus_bounty.reservations AS old
            SET status = each.status, captured_to = each.captured_to, payee = each.payee,
                work = each.work, settlement_key = each.settlement_key
            FROM json_to_recordset(changed) AS each (
                reservation_id text, status text, captured_to text, payee text, work text,
                settlement_key text)
            WHERE old.reservation_id = each.reservation_id;
        END IF;
{BEGUN}        IF continued IS NOT NULL THEN
            UPDATE nexus_bounty.operations AS old
            SET began_at = each.began_at, ended_at = each.ended_at, document = each.document
            FROM json_to_recordset(continued) AS each (
                zone_id text, key text, began_at timestamptz, ended_at timestamptz,
                document text)
            WHERE old.zone_id = each.zone_id AND old.key = each.key;
        END IF;
        IF posted IS NOT NULL THEN
            SELECT count(*), bool_or(is_short) INTO known, short FROM (
                SELECT balance + change < CASE WHEN accounts.name = 'system:mint'
                    THEN -9007199254740991 ELSE 0 END AS is_short
                FROM json_to_recordset(lowest) AS each (name text, change bigint)
                JOIN nexus_bounty.accounts ON accounts.name = each.name
                ORDER BY accounts.name FOR UPDATE OF accounts
            ) AS locked;
            IF short THEN
                RAISE serialization_failure
                    USING MESSAGE = 'credits that were there have been spent meanwhile';
            END IF;
            IF known < json_array_length(lowest) THEN
                INSERT INTO nexus_bounty.accounts (name)
                SELECT name FROM json_to_recordset(lowest) AS each (name text)
                ORDER BY name COLLATE "C" ON CONFLICT DO NOTHING;
                GET DIAGNOSTICS made = ROW_COUNT;
                IF known + made < json_array_length(lowest) THEN
                    RAISE serialization_failure
                        USING MESSAGE = 'an account was made meanwhile by another transaction';
                END IF;
            END IF;
{ENTRIES}        END IF;
    END $$
"""  # noqa: S608 - made of what stands here


def upgrade() -> None:
    """Replace it."""
    op.get_bind().exec_driver_sql(_CLOSING)
