"""Several writers on one ledger, on a server that forgets half and a network that loses some."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from nexus_bounty.mock import Fault, FaultPlan, MockNexus
from nexus_bounty.outcomes import Outcome
from nexus_bounty.testing.virtual_time import run
from nexus_bounty_nexuspay import NexusPayCredits
from tests.adapters.nexuspay.credits_trials import EVERY_FAULT, outcome_of
from tests.adapters.nexuspay.truth import HURRIED, KEY, PATIENT, Truth, credits_on

WRITERS = 4
STEPS = 6


class Step:
    """One operation of one writer, with names that no other step uses."""

    def __init__(self, name: str, chance: Random) -> None:
        self.name = name
        self.kind = chance.choice(["reserve", "capture", "void", "transfer", "top_up"])
        self.amount = chance.randint(1, 40)
        self.target = f"held-{chance.randrange(WRITERS)}"

    async def __call__(self, service: NexusPayCredits) -> None:
        match self.kind:
            case "reserve":
                await service.reserve(self.name, account="alice", amount=self.amount)
            case "capture":
                await service.capture(self.target, to_account=self.name)
            case "void":
                await service.void(self.target)
            case "transfer":
                await service.transfer(
                    self.name, from_account="alice", to_account="bob", amount=self.amount
                )
            case "top_up":
                await service.top_up(self.name, account="alice", amount=self.amount)

    def times(self, truth: Truth) -> int:
        """How often it happened; of voids only whether the credits are back."""
        if self.kind == "capture":
            return sum(
                move["kind"] == "capture" and move["credit"] == self.name for move in truth.moves
            )
        if self.kind == "void":
            return truth.count("void", self.target)
        return truth.count(self.kind, self.name)


async def race(seed: int, release: str, settings, *, loss: float, faults: float) -> None:
    """Let all writers go at once, then find out about every doubt, and compare with the truth."""
    chance = Random(seed)
    mock = MockNexus(release, seed=seed, api_key=KEY, pay_loss_rate=loss)
    steps = [[Step(f"s{w}-{n}", chance) for n in range(STEPS)] for w in range(WRITERS)]
    writers = [credits_on(mock, settings) for _ in range(WRITERS)]
    await writers[0].top_up("funds", account="alice", amount=100)
    for number in range(WRITERS):
        await writers[0].reserve(f"held-{number}", account="alice", amount=5)

    async def work(service: NexusPayCredits, mine: list[Step]) -> list[tuple[Step, Outcome]]:
        return [(step, await outcome_of(step(service))) for step in mine]

    mock._source = FaultPlan.seeded(seed, faults, EVERY_FAULT)
    said = [each for told in await asyncio.gather(*map(work, writers, steps)) for each in told]
    early = Truth(mock)
    assert all(step.times(early) == 1 for step, outcome in said if outcome is Outcome.COMMITTED)
    mock.clear_faults()
    await mock.settle()

    truth = Truth(mock)
    truth.assert_sound()
    for step, outcome in said:
        if outcome is Outcome.PRE_COMMIT and step.kind != "void":
            assert step.times(truth) == 0, (step.kind, step.name)
    async with credits_on(mock, PATIENT) as another:
        for step, outcome in said:
            if outcome is Outcome.UNKNOWN:
                found = await outcome_of(step(another))
                assert found is not Outcome.UNKNOWN
                assert (step.times(Truth(mock)) == 1) == (found is Outcome.COMMITTED)
        await mock.settle()
        truth = Truth(mock)
        truth.assert_sound()
        for name in ("alice", "bob"):
            assert (await another.balance(name)).available == truth.balances[name]
        assert truth.unassigned == await another.unassigned()
        assert (await another.verify()).ok
    for service in writers:
        await service.close()


def test_no_writer_undoes_or_repeats_what_another_did() -> None:
    """On the release that forgets half of what it acknowledges."""
    for seed in range(8):
        run(race(seed, "0.9", PATIENT, loss=0.5, faults=0.0))


def test_no_writer_is_told_what_is_not_so_while_the_network_fails() -> None:
    """Requests lost, late, repeated and answered wrongly, one in seven."""
    for seed in range(12):
        run(race(seed, ("0.9", "0.10")[seed % 2], HURRIED, loss=0.25, faults=0.15))


@pytest.mark.exhaustive
@pytest.mark.parametrize("settings", [PATIENT, HURRIED], ids=["patient", "hurried"])
@pytest.mark.parametrize("release", ["0.9", "0.10"])
def test_no_writer_is_told_what_is_not_so_in_many_races(release, settings) -> None:
    """The same, many times over."""
    for seed in range(200):
        run(race(seed, release, settings, loss=0.5, faults=0.2))


def test_services_of_eight_processes_never_promise_the_same_credits_twice() -> None:
    """Of eight that reserve a third each, three win; the rest are told what there is."""

    async def main() -> None:
        mock = MockNexus("0.9", pay_loss_rate=0.5)
        services = [credits_on(mock) for _ in range(8)]
        await services[0].top_up("funds", account="alice", amount=30)
        said = await asyncio.gather(
            *(
                outcome_of(service.reserve(f"r{number}", account="alice", amount=10))
                for number, service in enumerate(services)
            )
        )
        assert sorted(said) == [Outcome.COMMITTED] * 3 + [Outcome.PRE_COMMIT] * 5
        assert Truth(mock).balances["system:escrow:alice"] == 30
        for service in services:
            await service.close()

    run(main())


@pytest.mark.parametrize("release", ["0.9", "0.10"])
def test_ledgers_on_one_server_do_not_see_each_other(release: str) -> None:
    """Nor do the transfers of other programs belong to any of them."""

    async def main() -> None:
        mock = MockNexus(release, api_key=KEY)
        async with credits_on(mock, ledger="a") as first, credits_on(mock, ledger="a.b") as second:
            await first.top_up("t", account="alice", amount=3)
            await second.top_up("t", account="alice", amount=4)
            await first._api.transfer({"to": "bob", "amount": "1.00"}, first._deadline())
            assert (await first.balance("alice")).available == 3
            assert (await second.balance("alice")).available == 4
            assert [await each.unassigned() for each in (first, second)] == [0, 0]

    run(main())


def test_a_reader_that_was_away_reads_page_after_page() -> None:
    """However much was written meanwhile, and while it reads."""

    async def main() -> None:
        mock = MockNexus("0.9")
        async with credits_on(mock) as writer, credits_on(mock) as reader:
            await writer.top_up("funds", account="alice", amount=1000)
            assert (await reader.balance("alice")).available == 1000
            for number in range(90):
                await writer.transfer(
                    f"t{number}", from_account="alice", to_account="bob", amount=1
                )
            mock.inject(Fault(EVERY_FAULT[1].kind, seconds=0.01, times=None))
            reading = asyncio.create_task(reader.balance("bob"))
            for number in range(90, 100):
                await writer.transfer(
                    f"t{number}", from_account="alice", to_account="bob", amount=1
                )
            assert 90 <= (await reading).available <= 100
            assert (await reader.balance("bob")).available == 100

    run(main())
