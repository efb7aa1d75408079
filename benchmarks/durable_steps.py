"""Durable steps: this library's ledger and operations beside DBOS, both on SQLite.

A *step* is something that is done once however often it is asked for: here a transfer of the
ledger under its id, there a one-step workflow under its id. A *life cycle* is create, claim,
settle: here `BountyOperations` with the ledger in a file, there the obvious client's three
operations as the three steps of a DBOS workflow, its credits in memory.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.charts import lying_bars
from benchmarks.harness.contenders import WORK, OurLives, funded, operations_on
from benchmarks.harness.obvious import ObviousClient
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Doing, Spread, Step, part_of, take_turns, throughput
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import mock_server
from nexus_bounty import NexusClient
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.ports import CreditsService
from nexus_bounty_sqlite import SqliteCredits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IN_MEMORY, IN_FILE, DBOS_STEP = "ledger in memory", "ledger in a SQLite file", "DBOS on SQLite"
OURS, OBVIOUS_IN_DBOS = "nexus-bounty, ledger in a file", "obvious client in DBOS steps"


async def measure(options: Options, step: Step) -> Report:
    """Steps, then life cycles, each one after another and eight at once."""
    seconds = options.pick(tiny=0.1, quick=0.7, full=3.0)
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as directory, mock_server() as server:
        async with AsyncExitStack() as opened:
            enter = opened.enter_async_context
            durable = await enter(_dbos(Path(directory), server.url))
            ledger = await enter(SqliteCredits(Path(directory) / "steps.db"))
            steps = {
                IN_MEMORY: _transfer(await funded(MemoryCredits())),
                IN_FILE: _transfer(await funded(ledger)),
                DBOS_STEP: durable.step,
            }
            client = await enter(NexusClient(server.url))
            credits = await enter(SqliteCredits(Path(directory) / "lives.db"))  # noqa: A001
            lives = {
                OURS: OurLives(operations_on(client, "ours", await funded(credits))).live,
                OBVIOUS_IN_DBOS: durable.live,
            }
            for what, contenders in (("steps", steps), ("life cycles", lives)):
                for at_once in (1, 8):
                    turns = {
                        name: throughput(do, at_once, seconds) for name, do in contenders.items()
                    }
                    title = f"{what}, {at_once} at once"
                    found[title] = await take_turns(turns, options.turns, part_of(step, title))
    return _report(found)


def _transfer(credits: CreditsService) -> Doing:  # noqa: A002 - the word for it
    async def transfer() -> None:
        await credits.transfer(
            uuid.uuid4().hex, from_account="creator", to_account="worker", amount=1
        )

    return transfer


class _Durable:
    """What DBOS does."""

    def __init__(self, step: Doing, live: Doing) -> None:
        self.step = step
        self.live = live


@asynccontextmanager
async def _dbos(directory: Path, url: str) -> AsyncIterator[_Durable]:
    from dbos import DBOS

    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{directory}/dbos.db",
            "log_level": "ERROR",
        }
    )
    credits = await funded(MemoryCredits())  # noqa: A001
    async with ObviousClient(url, "dbos", credits) as client:

        @DBOS.step()
        async def pay(amount: int) -> int:
            return amount

        @DBOS.workflow()
        async def one_step(amount: int) -> int:
            return await pay(amount)

        @DBOS.step()
        async def create(bounty_id: str) -> None:
            await client.create(bounty_id, 1, "creator")

        @DBOS.step()
        async def claim(bounty_id: str) -> None:
            await client.claim(bounty_id, "worker")

        @DBOS.step()
        async def settle(bounty_id: str) -> None:
            await client.settle(bounty_id, WORK.cid)

        @DBOS.workflow()
        async def life(bounty_id: str) -> None:
            await create(bounty_id)
            await claim(bounty_id)
            await settle(bounty_id)

        DBOS.launch()
        try:
            yield _Durable(lambda: one_step(1), lambda: life(uuid.uuid4().hex))
        finally:
            DBOS.destroy()


def _report(found: dict[str, dict[str, list[float]]]) -> Report:
    figures: dict[str, dict[str, object]] = {}
    rows: list[list[object]] = []
    for title, turns in found.items():
        peer = next(name for name in turns if "DBOS" in name)
        for name, rates in turns.items():
            ratio = Spread.of_ratios(rates, turns[peer])
            rate = Spread.of(rates)
            rows.append([title, name, rate, "" if name == peer else ratio])
            figures.setdefault(title, {})[name] = {
                "per_second": rate.figures,
                "ratio_vs_dbos": ratio.figures,
            }
    columns = ["", "", "a second", "× DBOS"]
    return Report(
        "durable_steps",
        {"durable_steps": figures},
        [Table("Durable steps and lives", columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[str, dict[str, list[float]]]) -> None:
    for axes, (title, turns) in zip(figure.subplots(2, 2).flat, found.items(), strict=True):
        lying_bars(axes, list(turns), [Spread.of(rates) for rates in turns.values()])
        axes.set(title=f"{title}: a second", xscale="log")
        axes.tick_params(axis="y", labelsize=7)


if __name__ == "__main__":
    run_alone(measure)
