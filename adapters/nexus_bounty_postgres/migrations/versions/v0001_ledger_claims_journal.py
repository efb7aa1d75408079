"""The ledger, claims and the journal of operations, and what the database itself forbids.

The constraints and triggers hold for every program: no user account goes below zero, balances
change by journal entries only, the journal is never rewritten, a reservation ends once, the payee
on record is paid, and a target has one active claim.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0001"
down_revision = None

_TEXT: Final = 'text COLLATE "C"'
_AMOUNT: Final = "bigint NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991)"
_STATEMENTS: Final = (
    f"""
    CREATE TABLE nexus_bounty.accounts (
        name {_TEXT} PRIMARY KEY,
        balance bigint NOT NULL DEFAULT 0,
        CONSTRAINT no_overdraft CHECK (balance >= 0 OR name = 'system:mint')
    ) WITH (fillfactor = 70)
    """,
    "INSERT INTO nexus_bounty.accounts (name) VALUES ('system:mint')",
    f"""
    CREATE TABLE nexus_bounty.entries (
        entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL
            CHECK (kind IN ('top_up', 'transfer', 'reserve', 'capture', 'void', 'expire')),
        source_id {_TEXT} NOT NULL,
        debit {_TEXT} NOT NULL,
        credit {_TEXT} NOT NULL,
        amount {_AMOUNT},
        at timestamptz NOT NULL,
        memo text NOT NULL,
        CHECK (debit <> credit)
    )
    """,
    "CREATE INDEX entries_by_debit ON nexus_bounty.entries (debit, entry_id)",
    "CREATE INDEX entries_by_credit ON nexus_bounty.entries (credit, entry_id)",
    """
    CREATE UNIQUE INDEX one_move_per_transfer ON nexus_bounty.entries (source_id)
        WHERE kind IN ('top_up', 'transfer')
    """,
    """
    CREATE UNIQUE INDEX one_start_per_reservation ON nexus_bounty.entries (source_id)
        WHERE kind = 'reserve'
    """,
    """
    CREATE UNIQUE INDEX one_end_per_reservation ON nexus_bounty.entries (source_id)
        WHERE kind IN ('capture', 'void', 'expire')
    """,
    """
    CREATE FUNCTION nexus_bounty.change_balances() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
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
    """,
    """
    CREATE TRIGGER entries_change_balances AFTER INSERT ON nexus_bounty.entries
        REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION nexus_bounty.change_balances()
    """,
    """
    CREATE FUNCTION nexus_bounty.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE integrity_constraint_violation USING MESSAGE = TG_ARGV[0];
    END $$
    """,
    """
    CREATE TRIGGER entries_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON nexus_bounty.entries
        EXECUTE FUNCTION nexus_bounty.refuse('the journal is only ever appended to')
    """,
    f"""
    CREATE TABLE nexus_bounty.reservations (
        position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        reservation_id {_TEXT} PRIMARY KEY,
        account {_TEXT} NOT NULL,
        amount {_AMOUNT},
        status text NOT NULL CHECK (status IN ('held', 'captured', 'voided', 'expired')),
        reference text NOT NULL,
        captured_to {_TEXT},
        expires_at timestamptz,
        created_at timestamptz NOT NULL,
        payee {_TEXT},
        work {_TEXT},
        settlement_key text,
        CHECK ((status = 'captured') = (captured_to IS NOT NULL)),
        CHECK ((payee IS NULL) = (work IS NULL) AND (payee IS NULL) = (settlement_key IS NULL)),
        CHECK (status <> 'captured' OR payee IS NULL OR payee = captured_to)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX reservations_by_status ON nexus_bounty.reservations (status, position)",
    """
    CREATE INDEX reservations_by_expiry ON nexus_bounty.reservations (account, expires_at)
        WHERE status = 'held' AND expires_at IS NOT NULL
    """,
    """
    CREATE INDEX reservations_overdue ON nexus_bounty.reservations (expires_at)
        WHERE status = 'held' AND expires_at IS NOT NULL
    """,
    """
    CREATE INDEX reservations_by_work ON nexus_bounty.reservations (work) WHERE work IS NOT NULL
    """,
    """
    CREATE TRIGGER reservations_end_once BEFORE UPDATE ON nexus_bounty.reservations
        FOR EACH ROW WHEN (OLD.status <> 'held')
        EXECUTE FUNCTION nexus_bounty.refuse('a reservation ends once')
    """,
    """
    CREATE TRIGGER reservations_are_kept BEFORE DELETE OR TRUNCATE ON nexus_bounty.reservations
        EXECUTE FUNCTION nexus_bounty.refuse('reservations are kept')
    """,
    "CREATE TABLE nexus_bounty.ledger (identity text NOT NULL)",
    """
    INSERT INTO nexus_bounty.ledger (identity)
        VALUES ('postgres-' || left(replace(gen_random_uuid()::text, '-', ''), 16))
    """,
    """
    CREATE FUNCTION nexus_bounty.keep_identity() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' OR EXISTS (SELECT FROM nexus_bounty.entries) THEN
            RAISE integrity_constraint_violation
                USING MESSAGE = 'bounties name their ledger by this';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER a_ledger_stays_itself BEFORE UPDATE OR DELETE ON nexus_bounty.ledger
        FOR EACH ROW EXECUTE FUNCTION nexus_bounty.keep_identity()
    """,
    f"""
    CREATE TABLE nexus_bounty.operations (
        zone_id {_TEXT},
        key {_TEXT},
        began_at timestamptz NOT NULL,
        ended_at timestamptz,
        document text NOT NULL,
        PRIMARY KEY (zone_id, key)
    )
    """,
    """
    CREATE INDEX operations_in_doubt ON nexus_bounty.operations (zone_id, began_at, key)
        WHERE ended_at IS NULL
    """,
    """
    CREATE INDEX operations_by_age ON nexus_bounty.operations (zone_id, ended_at)
        WHERE ended_at IS NOT NULL
    """,
    f"""
    CREATE TABLE nexus_bounty.claims (
        claim_id {_TEXT} PRIMARY KEY,
        target_ref {_TEXT} NOT NULL,
        status text NOT NULL CHECK (status IN ('active', 'released', 'expired', 'completed')),
        created_at timestamptz NOT NULL,
        document text NOT NULL
    )
    """,
    """
    CREATE UNIQUE INDEX one_active_claim_per_target ON nexus_bounty.claims (target_ref)
        WHERE status = 'active'
    """,
    f"""
    CREATE TABLE nexus_bounty.claim_keys (
        key {_TEXT} PRIMARY KEY,
        fingerprint text NOT NULL,
        claim_id {_TEXT} NOT NULL,
        at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX claim_keys_by_age ON nexus_bounty.claim_keys (at)",
    """
    CREATE TABLE nexus_bounty.commits (
        marker text PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX commits_by_age ON nexus_bounty.commits USING brin (at)",
    """
    COMMENT ON TABLE nexus_bounty.commits IS
        'One row for each transaction, written by it: whoever lost the answer to COMMIT looks here'
    """,
)


def upgrade() -> None:
    """Make them."""
    connection = op.get_bind()
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)
