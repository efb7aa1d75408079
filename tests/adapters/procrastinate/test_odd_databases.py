"""Workers do their jobs whatever somebody has set for the database."""

from __future__ import annotations

import pytest

from nexus_bounty_procrastinate.jobs import _AT_ONCE_AGAIN
from nexus_bounty_procrastinate.pace import LeasedTurns
from tests.adapters.postgres.test_odd_databases import SETTINGS, set_for_all
from tests.adapters.procrastinate.test_ranges import NOW, ZONE, a_worker, go_through_all, table
from tests.reconcile.test_scale import a_zone


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each != "search_path"])
async def test_what_is_set_for_the_database_changes_nothing(
    setting: str, empty_postgres_url: str
) -> None:
    """Ranges are gone through, jobs that were abandoned are taken again."""
    url, how = empty_postgres_url, {"page": 8, "dead_after": NOW}
    set_for_all(url, {setting: SETTINGS[setting]})
    async with a_zone(120, 3) as zone, a_worker(url, zone, **how) as worker:
        await go_through_all(worker, url)
        assert len(await table(url)) > 1
        assert (await zone.reconciler(dry_run=True).run_once()).found == 0
        manager = worker.jobs.app.job_manager
        await worker.jobs.defer(ZONE, "")
        dead = await manager.register_worker()
        assert await manager.fetch_job(queues=None, worker_id=dead) is not None
        await worker.jobs.retry_abandoned()
        again = await manager.fetch_job(queues=None, worker_id=await manager.register_worker())
        assert again is not None
        assert again.scheduled_at == _AT_ONCE_AGAIN
    turns = LeasedTurns(url, "server")
    await turns.lease(123.4)
    assert 123 < await turns.lease(123.4) <= 123.4
    await turns.close()
