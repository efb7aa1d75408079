"""What a reconciler that runs for ever remembers is kept on the server, too."""

from dataclasses import replace

from nexus_bounty_postgres import PostgresCredits
from tests.reconcile.past import a_zone_with_a_past
from tests.reconcile.test_range_keeper import runs
from tests.reconcile.test_scale import Zone


async def test_a_process_that_is_started_again_is_warm(postgres_url: str) -> None:
    """By another connection; without what is kept there it is cold."""
    async with a_zone_with_a_past() as zone:
        services = zone.operations.services
        usual = []
        for number in (4, 1):
            async with PostgresCredits(postgres_url) as journal:
                zone.operations.services = replace(services, journal=journal)
                usual.append((await runs(zone, number))[-1])
        assert usual[1] <= usual[0]
        async with PostgresCredits(postgres_url) as journal:
            zone.operations.services = replace(services, journal=journal)
            before = await journal.find_range_memory("z", await name_of(zone))
            assert before is not None
            await journal.keep_range_memory("z", await name_of(zone), "{}")
            assert await runs(zone) > [2 * usual[0]]


async def name_of(zone: Zone) -> str:
    (note,) = [path for path in zone.mock.files if "/bounties/notes/" in path]
    return note.rsplit("/", 1)[-1]
