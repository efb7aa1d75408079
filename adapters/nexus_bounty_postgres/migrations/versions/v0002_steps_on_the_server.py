"""What a transaction on the ledger reads and writes, by a function each, planned once a session.

The rules stay where they are: the one function reads, and locks, what the calls of a transaction
are about; the other writes what the rules have made of it. Sent as statements, both are parsed and
planned anew each time, which costs the server more than to run them.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"

PLANNED: Final = """
    LANGUAGE plpgsql
    SET search_path = pg_catalog SET timezone = 'UTC'
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
"""
"""A plan is kept, and may have been made when the tables were empty: it goes by indexes."""

_FOUND: Final = """
    SELECT position, reservation_id, account, amount, status, reference, captured_to,
           expires_at, created_at, payee, work, settlement_key
    FROM nexus_bounty.reservations
    WHERE reservation_id = ANY(wanted.reservations) OR work = ANY(wanted.works)
        OR (status = 'held' AND expires_at <= wanted.now AND account = ANY(wanted.accounts))
    ORDER BY reservation_id
"""
_LISTED: Final = """
    coalesce(json_agg(json_build_array(
        position, reservation_id, account, amount, status, reference, captured_to,
        expires_at, created_at, payee, work, settlement_key)), '[]'),
    coalesce(array_agg(account), '{}')
    INTO reservations, owners
"""
_NAMED: Final = """
    SELECT document FROM nexus_bounty.operations
    WHERE (zone_id, key) IN (SELECT * FROM unnest(wanted.zones, wanted.keys))
    ORDER BY zone_id, key
"""
_KNOWN: Final = """
    SELECT name, balance FROM nexus_bounty.accounts WHERE name = ANY(names) ORDER BY name
"""
_BALANCES: Final = "coalesce(json_object_agg(name, balance), '{}') INTO balances"
_OPENING: Final = f"""
    CREATE FUNCTION nexus_bounty.open_step(scope text, locks integer) RETURNS text {PLANNED} AS $$
    DECLARE
        wanted record;
        reservations json := '[]';
        transfers json := '[]';
        operations json := '[]';
        balances json := '{{}}';
        owners text[] := '{{}}';
        names text[];
    BEGIN
        SELECT * INTO wanted FROM json_to_record(scope::json) AS each (
            accounts text[], reservations text[], works text[], transfers text[],
            zones text[], keys text[], escrow text, now timestamptz);
        IF locks > 0 AND cardinality(wanted.works) > 0 THEN
            PERFORM pg_advisory_xact_lock(number) FROM (
                SELECT DISTINCT hashtextextended(work, 0) AS number
                FROM unnest(wanted.works) AS work ORDER BY number
            ) AS numbers;
        END IF;
        IF cardinality(wanted.accounts || wanted.reservations || wanted.works) > 0 THEN
            IF locks > 0 THEN
                SELECT {_LISTED} FROM ({_FOUND} FOR UPDATE) AS found;
            ELSE
                SELECT {_LISTED} FROM ({_FOUND}) AS found;
            END IF;
            owners := owners || wanted.accounts;
            SELECT array_agg(name) INTO names FROM (
                SELECT unnest(owners) AS name
                UNION SELECT wanted.escrow || name FROM unnest(owners) AS name
            ) AS each;
            IF locks > 1 THEN
                SELECT {_BALANCES} FROM ({_KNOWN} FOR UPDATE) AS known;
            ELSE
                SELECT {_BALANCES} FROM ({_KNOWN}) AS known;
            END IF;
        END IF;
        IF cardinality(wanted.transfers) > 0 THEN
            SELECT coalesce(json_agg(
                json_build_array(source_id, debit, credit, amount, memo, at)), '[]')
            INTO transfers FROM nexus_bounty.entries
            WHERE kind IN ('top_up', 'transfer') AND source_id = ANY(wanted.transfers);
        END IF;
        IF cardinality(wanted.keys) > 0 THEN
            IF locks > 0 THEN
                SELECT coalesce(json_agg(document), '[]') INTO operations
                FROM ({_NAMED} FOR UPDATE) AS named;
            ELSE
                SELECT coalesce(json_agg(document), '[]') INTO operations
                FROM ({_NAMED}) AS named;
            END IF;
        END IF;
        RETURN json_build_object('accounts', balances, 'reservations', reservations,
            'transfers', transfers, 'operations', operations);
    END $$
"""  # noqa: S608 - made of what stands here
ENTRIES: Final = """
            INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)
            SELECT * FROM json_to_recordset(posted) AS each (
                kind text, source_id text, debit text, credit text, amount bigint,
                at timestamptz, memo text);
"""
ADDED: Final = """
        IF added IS NOT NULL THEN
            INSERT INTO nexus_bounty.reservations
                (reservation_id, account, amount, status, reference, captured_to, expires_at,
                 created_at, payee, work, settlement_key)
            SELECT * FROM json_to_recordset(added) AS each (
                reservation_id text, account text, amount bigint, status text, reference text,
                captured_to text, expires_at timestamptz, created_at timestamptz, payee text,
                work text, settlement_key text);
        END IF;
"""
BEGUN: Final = """
        IF begun IS NOT NULL THEN
            INSERT INTO nexus_bounty.operations (zone_id, key, began_at, ended_at, document)
            SELECT * FROM json_to_recordset(begun) AS each (
                zone_id text, key text, began_at timestamptz, ended_at timestamptz,
                document text);
        END IF;
"""
_CLOSING: Final = f"""
    CREATE FUNCTION nexus_bounty.close_step(
        added json, changed json, begun json, continued json, posted json, lowest json
    ) RETURNS void {PLANNED} AS $$
    DECLARE
        known bigint;
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
            END IF;
{ENTRIES}        END IF;
    END $$
"""  # noqa: S608 - made of what stands here


def upgrade() -> None:
    """Make them."""
    connection = op.get_bind()
    for statement in (_OPENING, _CLOSING):
        connection.exec_driver_sql(statement)
