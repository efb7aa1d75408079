"""Workers start with the rights that the page for them names, and are told which they lack."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_procrastinate.schema import RightsError, prepare
from tests.adapters.procrastinate.test_zones import (
    a_worker,
    change,
    do_what_waits,
    gone_through,
    rows,
)
from tests.cli.program import run

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "many-workers.md"


@pytest.fixture
async def low(empty_postgres_url: str) -> AsyncIterator[str]:
    """The URL for a user who may do nothing in an empty database, whose name has to be quoted."""
    name = f"Low-{uuid4().hex[:8]}"
    user = sql.Identifier(name).as_string(None)
    await change(empty_postgres_url, f"CREATE ROLE {user} LOGIN PASSWORD 'x'")
    await change(empty_postgres_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield make_conninfo(empty_postgres_url, user=name, password="x")
    await change(empty_postgres_url, f"DROP OWNED BY {user}; DROP ROLE {user}")


async def grants_named(url: str) -> str:
    """What somebody who may not work is told to grant, as one statement after another."""
    with pytest.raises(RightsError) as told:
        await prepare(url)
    return "; ".join(re.findall(r"GRANT .*?(?=; |$)", str(told.value)))


@asynccontextmanager
async def closing(credit: PostgresCredits) -> AsyncIterator[None]:
    """Close a ledger that nothing has opened."""
    yield
    await credit.close()


async def rights_on_ranges(url: str) -> list[tuple[object, ...]]:
    """Who may do what."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute(
            "SELECT grantee, privilege_type, is_grantable FROM pg_class, aclexplode(relacl)"
            " WHERE oid = to_regclass('nexus_bounty_ranges') ORDER BY 1, 2"
        )
        return await found.fetchall()


async def works(url: str) -> bool:
    """Whether a worker begins, and goes through a range."""
    async with a_worker(url, "east") as worker:
        await worker.jobs.tick()
        await do_what_waits(worker)
        return 1 in (await gone_through(url)).values()


async def test_who_lacks_rights_is_told_which_and_works_with_no_more_than_these(
    low: str, empty_postgres_url: str
) -> None:
    """The tables are another's: what is granted is what the error says, until there is none."""
    await prepare(empty_postgres_url)
    named = await grants_named(low)
    assert "SELECT, INSERT, UPDATE, DELETE ON public.nexus_bounty_ranges" in named.replace('"', "")
    await change(empty_postgres_url, named)
    assert await works(low)


async def test_who_may_not_make_the_tables_is_told_so(low: str, empty_postgres_url: str) -> None:
    """And makes them once it may."""
    named = await grants_named(low)
    assert named.startswith('GRANT CREATE ON SCHEMA "public" TO')
    await change(empty_postgres_url, named)
    assert await works(low)


async def test_tables_of_an_earlier_checkout_are_for_their_owner_to_bring_up_to_date(
    low: str, empty_postgres_url: str
) -> None:
    """Whoever only works is told whose turn it is, though it may make tables."""
    await prepare(empty_postgres_url)
    await change(empty_postgres_url, await grants_named(low))
    await change(empty_postgres_url, "ALTER TABLE nexus_bounty_ranges DROP COLUMN server CASCADE")
    with pytest.raises(
        RightsError, match=r"must be owner of table.*Start one worker as their owner"
    ):
        await prepare(low)
    await prepare(empty_postgres_url)
    await prepare(low)  # what was granted on the old ones stands
    assert await works(low)


async def test_what_was_granted_on_the_ranges_is_granted_on_the_new_ones(
    low: str, empty_postgres_url: str
) -> None:
    """To whoever it was, and as it was: to all, and with the right to pass it on, too."""
    name = sql.Identifier(str(conninfo_to_dict(low)["user"])).as_string(None)
    await prepare(empty_postgres_url)
    await change(empty_postgres_url, "GRANT SELECT ON nexus_bounty_ranges TO PUBLIC")
    await change(
        empty_postgres_url, f"GRANT UPDATE ON nexus_bounty_ranges TO {name} WITH GRANT OPTION"
    )
    before = await rights_on_ranges(empty_postgres_url)
    await change(empty_postgres_url, "ALTER TABLE nexus_bounty_ranges DROP COLUMN server CASCADE")
    await prepare(empty_postgres_url)
    assert await rights_on_ranges(empty_postgres_url) == before


async def test_without_the_schema_the_right_to_use_it_is_named(
    low: str, empty_postgres_url: str
) -> None:
    """Tables that cannot be seen may be there all the same."""
    await prepare(empty_postgres_url)
    await change(empty_postgres_url, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    named = await grants_named(low)
    assert named.startswith("GRANT USAGE ON SCHEMA public TO")
    await change(empty_postgres_url, named)
    await change(empty_postgres_url, await grants_named(low))
    assert await works(low)


async def test_the_grants_on_the_page_are_all_that_a_worker_needs(
    low: str, empty_postgres_url: str
) -> None:
    """As it shows them, for its own user."""
    await prepare(empty_postgres_url)
    (shown,) = re.findall(r"```sql\n(GRANT .*?)```", PAGE.read_text(), re.DOTALL)
    user = sql.Identifier(str(conninfo_to_dict(low)["user"])).as_string(None)
    for statement in shown.split(";"):
        await change(empty_postgres_url, statement.replace(" TO worker", f" TO {user}"))
    assert await works(low)


async def test_a_worker_without_rights_on_the_ledger_says_so_of_each_run_and_goes_on(
    low: str, empty_postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With what to grant, in the line of the range, too; then the next run goes well."""
    await prepare(empty_postgres_url)
    await change(empty_postgres_url, await grants_named(low))
    async with PostgresCredits(empty_postgres_url) as ledger:
        await ledger.balance("alice")  # makes the tables
    user = sql.Identifier(str(conninfo_to_dict(low)["user"])).as_string(None)
    credit = PostgresCredits(low)  # opened when it is needed, as the command does
    async with closing(credit), a_worker(low, "east", credit=credit) as worker:
        await worker.jobs.tick()
        with caplog.at_level(logging.WARNING):
            await do_what_waits(worker)
        (line,) = [m for m in caplog.messages if m.startswith("east: the first")]
        assert "a sweep was cut short: CommitUnknownError: grant this user USAGE on" in line
        assert "permission denied" not in line  # no event has the words of a server
        ((why, failed),) = await rows(low, "SELECT error, failed_in_a_row FROM nexus_bounty_ranges")
        assert "permission denied" in why
        assert failed == 1
        await change(
            empty_postgres_url,
            f"GRANT USAGE ON SCHEMA nexus_bounty TO {user};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA nexus_bounty TO {user};"
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA nexus_bounty TO {user}",
        )
        await worker.go_through("east", "")
        assert await rows(low, "SELECT error FROM nexus_bounty_ranges") == [(None,)]


async def test_tables_that_are_up_to_date_are_left_alone(jobs_url: str) -> None:
    """A worker that begins waits for nobody who reads them, and so keeps nobody waiting."""
    await prepare(jobs_url)
    async with await psycopg.AsyncConnection.connect(jobs_url) as reading:
        await reading.execute("SELECT count(*) FROM nexus_bounty_ranges")
        async with asyncio.timeout(timedelta(seconds=10).total_seconds()):
            await prepare(jobs_url)


async def test_the_command_says_what_to_grant(low: str, empty_postgres_url: str) -> None:
    """In a sentence, and ends: to wait would not mend it."""
    await prepare(empty_postgres_url)
    where = conninfo_to_dict(low)
    url = f"postgresql://{where['user']}:x@{where['host']}:{where['port']}/{where['dbname']}"
    ended = await asyncio.to_thread(run, "worker", "--zones", "z", "--credits", url)
    assert ended.returncode == 1
    assert "the jobs on PostgreSQL cannot be worked with" in ended.stderr
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON" in ended.stderr
    assert "Traceback" not in ended.stderr
