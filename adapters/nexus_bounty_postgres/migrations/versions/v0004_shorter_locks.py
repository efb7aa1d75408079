"""A foreseen transaction moves its balances itself, so that they are locked for a shorter time.

Everybody who pays into one account waits for its row, until whoever has it has committed. What was
locked first, compared, written down and then changed by a trigger is now changed at once, right
before the entries are numbered, with nothing after it but these. So are reservations, which are
compared by the statement that changes them. The trigger goes on to change the
balances for every other program; a step tells it that they are changed already.
"""

from __future__ import annotations

from typing import Final

from alembic import op

from nexus_bounty_postgres.migrations.versions.v0002_steps_on_the_server import (
    ADDED,
    BEGUN,
    ENTRIES,
)

revision = "0004"
down_revision = "0003"

_OTHERWISE: Final = "there is something else than was foreseen"
_FORESEEN: Final = """
    reservation_id text, account text, amount bigint, status text, reference text,
    captured_to text, expires_at timestamptz, created_at timestamptz, payee text,
    work text, settlement_key text
"""
_SAME: Final = """
    found.reservation_id = each.reservation_id AND found.account = each.account
    AND found.amount = each.amount AND found.status = each.status
    AND found.reference = each.reference AND found.created_at = each.created_at
    AND found.captured_to IS NOT DISTINCT FROM each.captured_to
    AND found.expires_at IS NOT DISTINCT FROM each.expires_at
    AND found.payee IS NOT DISTINCT FROM each.payee
    AND found.work IS NOT DISTINCT FROM each.work
    AND found.settlement_key IS NOT DISTINCT FROM each.settlement_key
"""
_STEP: Final = f"""
    CREATE FUNCTION nexus_bounty.step(
        marker text, wait text, now timestamptz, accounts text[], works text[], known text[],
        absent text[], foreseen json, added json, changed json, begun json, posted json,
        moved json, lowest json
    ) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog SET timezone = 'UTC'
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    AS $$
    #variable_conflict use_column
    DECLARE
        done text;
        same bigint;
        there bigint;
        made bigint;
    BEGIN
        done := set_config('lock_timeout', step.wait, true);
        done := pg_advisory_xact_lock_shared({0x4E58424D});
        INSERT INTO nexus_bounty.commits (marker) VALUES (step.marker);
        IF cardinality(step.works) > 0 THEN
            PERFORM pg_advisory_xact_lock(number) FROM (
                SELECT DISTINCT hashtextextended(work, 0) AS number
                FROM unnest(step.works) AS work ORDER BY number
            ) AS numbers;
        END IF;
        IF step.foreseen IS NOT NULL THEN
            SELECT count(*) INTO same FROM (
                SELECT FROM json_to_recordset(step.foreseen) AS each ({_FORESEEN})
                JOIN nexus_bounty.reservations AS found
                ON {_SAME}
                FOR UPDATE OF found
            ) AS known;
            IF same < json_array_length(step.foreseen) THEN
                RAISE serialization_failure USING MESSAGE = '{_OTHERWISE}';
            END IF;
        END IF;
        IF step.changed IS NOT NULL THEN
            UPDATE nexus_bounty.reservations AS found
            SET status = each.to_status, captured_to = each.to_captured_to,
                payee = each.to_payee, work = each.to_work, settlement_key = each.to_key
            FROM json_to_recordset(step.changed) AS each (
                {_FORESEEN}, to_status text, to_captured_to text, to_payee text, to_work text,
                to_key text)
            WHERE {_SAME};
            GET DIAGNOSTICS same = ROW_COUNT;
            IF same < json_array_length(step.changed) THEN
                RAISE serialization_failure USING MESSAGE = '{_OTHERWISE}';
            END IF;
        END IF;
        IF cardinality(step.accounts) > 0 AND EXISTS (
            SELECT FROM nexus_bounty.reservations
            WHERE status = 'held' AND expires_at <= step.now AND account = ANY(step.accounts)
                AND reservation_id <> ALL(step.known)
        ) THEN
            RAISE serialization_failure USING MESSAGE = '{_OTHERWISE}';
        END IF;
        IF cardinality(step.works || step.absent) > 0 AND EXISTS (
            SELECT FROM nexus_bounty.reservations
            WHERE (work = ANY(step.works) OR reservation_id = ANY(step.absent))
                AND reservation_id <> ALL(step.known)
        ) THEN
            RAISE serialization_failure USING MESSAGE = '{_OTHERWISE}';
        END IF;
{ADDED}{BEGUN}        IF step.posted IS NOT NULL THEN
            UPDATE nexus_bounty.accounts SET balance = balance + each.change
            FROM json_to_recordset(step.moved) AS each (name text, change bigint)
            WHERE accounts.name = each.name;
            GET DIAGNOSTICS there = ROW_COUNT;
            IF there < json_array_length(step.moved) THEN
                INSERT INTO nexus_bounty.accounts (name, balance)
                SELECT each.name, each.change
                FROM json_to_recordset(step.moved) AS each (name text, change bigint)
                WHERE NOT EXISTS (SELECT FROM nexus_bounty.accounts WHERE name = each.name)
                ORDER BY each.name COLLATE "C";
                GET DIAGNOSTICS made = ROW_COUNT;
                IF there + made < json_array_length(step.moved) THEN
                    RAISE serialization_failure USING MESSAGE = '{_OTHERWISE}';
                END IF;
            END IF;
            IF step.lowest IS NOT NULL AND EXISTS (
                SELECT FROM json_to_recordset(step.lowest) AS each (name text, change bigint)
                JOIN nexus_bounty.accounts ON accounts.name = each.name
                WHERE balance + each.change < CASE WHEN accounts.name = 'system:mint'
                    THEN -9007199254740991 ELSE 0 END
            ) THEN
                RAISE serialization_failure
                    USING MESSAGE = 'credits that were there have been spent meanwhile';
            END IF;
            done := set_config('nexus_bounty.balances', 'changed', true);
{ENTRIES}            done := set_config('nexus_bounty.balances', '', true);
        END IF;
    END $$
"""  # noqa: S608 - made of what stands here
_CHANGE_BALANCES: Final = """
    CREATE OR REPLACE FUNCTION nexus_bounty.change_balances() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('nexus_bounty.balances', true) = 'changed' THEN
            RETURN NULL;
        END IF;
        INSERT INTO nexus_bounty.accounts (name)
            SELECT debit FROM added UNION SELECT credit FROM added ORDER BY 1
            ON CONFLICT DO NOTHING;
        UPDATE nexus_bounty.accounts SET balance = balance + moved.change
        FROM (
            SELECT name, sum(change)::bigint AS change FROM (
                SELECT debit AS name, -amount AS change FROM added
                UNION ALL SELECT credit, amount FROM added
            ) AS postings GROUP BY name
        ) AS moved WHERE accounts.name = moved.name AND moved.change <> 0;
        RETURN NULL;
    END $$
"""


def upgrade() -> None:
    """Make it."""
    connection = op.get_bind()
    for statement in (_STEP, _CHANGE_BALANCES):
        connection.exec_driver_sql(statement)
