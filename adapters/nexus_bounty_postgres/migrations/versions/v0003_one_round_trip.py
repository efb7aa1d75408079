"""A transaction on the ledger in one round trip, where what it would find was foreseen.

The rules have been applied to what the caller believes to be there. The function locks and compares
that, and writes what they have made of it, or nothing at all: it knows none of the rules itself.
Absent transfers and operations are proven by their unique indexes, balances by `close_step`.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0003"
down_revision = "0002"

_STEP: Final = """
    CREATE FUNCTION nexus_bounty.step(
        marker text, wait text, accounts text[], reservations text[], works text[],
        now timestamptz, foreseen json, added json, changed json, begun json, posted json,
        lowest json
    ) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog SET timezone = 'UTC'
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    AS $$
    #variable_conflict use_column
    DECLARE
        there bigint;
        same bigint;
    BEGIN
        PERFORM set_config('lock_timeout', step.wait, true),
            pg_advisory_xact_lock_shared(%(writers)s);
        INSERT INTO nexus_bounty.commits (marker) VALUES (step.marker);
        IF cardinality(step.works) > 0 THEN
            PERFORM pg_advisory_xact_lock(number) FROM (
                SELECT DISTINCT hashtextextended(work, 0) AS number
                FROM unnest(step.works) AS work ORDER BY number
            ) AS numbers;
        END IF;
        IF step.foreseen IS NULL THEN
            SELECT count(*) INTO there FROM (%(found)s) AS found;
            same := 0;
        ELSE
            SELECT count(*), count(each.reservation_id) INTO there, same
            FROM (%(found)s) AS found
            LEFT JOIN json_to_recordset(step.foreseen) AS each (
                reservation_id text, account text, amount bigint, status text, reference text,
                captured_to text, expires_at timestamptz, created_at timestamptz, payee text,
                work text, settlement_key text)
            ON found.reservation_id = each.reservation_id AND found.account = each.account
                AND found.amount = each.amount AND found.status = each.status
                AND found.reference = each.reference AND found.created_at = each.created_at
                AND found.captured_to IS NOT DISTINCT FROM each.captured_to
                AND found.expires_at IS NOT DISTINCT FROM each.expires_at
                AND found.payee IS NOT DISTINCT FROM each.payee
                AND found.work IS NOT DISTINCT FROM each.work
                AND found.settlement_key IS NOT DISTINCT FROM each.settlement_key;
        END IF;
        IF there <> same OR same < coalesce(json_array_length(step.foreseen), 0) THEN
            RAISE serialization_failure USING MESSAGE = 'there is something else than was foreseen';
        END IF;
        PERFORM nexus_bounty.close_step(
            step.added, step.changed, step.begun, NULL, step.posted, step.lowest);
    END $$
"""
_WRITERS: Final = 0x4E58424D
_FOUND: Final = """
            SELECT * FROM nexus_bounty.reservations
            WHERE reservation_id = ANY(step.reservations) OR work = ANY(step.works)
                OR (status = 'held' AND expires_at <= step.now AND account = ANY(step.accounts))
            ORDER BY reservation_id FOR UPDATE
"""


def upgrade() -> None:
    """Make it."""
    step = _STEP.replace("%(writers)s", str(_WRITERS)).replace("%(found)s", _FOUND)
    op.get_bind().exec_driver_sql(step)
