"""Services that leave one precaution out are found out by the tests that the real one passes."""

from __future__ import annotations

import pytest

from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.outcomes import CommitUnknownError, PreCommitError, Proof
from nexus_bounty.testing.virtual_time import run
from nexus_bounty_nexuspay import NexusPayCredits
from nexus_bounty_nexuspay.transfer_log import Sending, TransferLog
from tests.adapters.nexuspay.credits_trials import EVERY_FAULT, OPERATIONS, World, try_all
from tests.adapters.nexuspay.truth import HURRIED, PATIENT, Truth, credits_on

BY_NAME = {str(operation): operation for operation in OPERATIONS}


class TrustingLog(TransferLog):
    """Takes an acknowledgement for a transfer that was stored."""

    async def append(self, sending, deadline):
        await self._send(sending, deadline)
        if sending.sent and not sending.in_doubt:
            self.journal.head = sending.entry.entry_id
            sending.entry.apply(self.journal.book)
            return True
        return await super().append(sending, deadline)


class Repeating(Sending):
    """Sends credits again while the first request may still be under way."""

    def failed(self, error):
        super().failed(error)
        self.in_doubt = False


class RepeatingLog(TransferLog):
    """Fences nothing off."""

    def prepare(self, entry, units):
        real = super().prepare(entry, units)
        return Repeating(real.entry, real.amount, real.nothing, real.fence)


def on(log: type[TransferLog]) -> type[NexusPayCredits]:
    """A service on another kind of log."""

    class Other(NexusPayCredits):
        def __init__(self, **given):
            super().__init__(**given)
            self._log = log(self._api, self._log._names)

    return Other


class Hasty(NexusPayCredits):
    """Calls undone what it does not see."""

    async def _send(self, call, sending):
        try:
            return await super()._send(call, sending)
        except CommitUnknownError as error:
            raise PreCommitError(
                "it is not in the list", evidence=sending.proves(Proof.DOCUMENT)
            ).about(call.operation, None, call.key) from error


class Forgetful(NexusPayCredits):
    """Does not know that an earlier try of a call may still be under way."""

    def _call(self, operation, key, deadline):
        self._tried = type(self._tried)()
        return super()._call(operation, key, deadline)


def test_who_trusts_an_acknowledgement_loses_what_the_server_forgot() -> None:
    """Half of all transfers, on 0.9.18."""

    async def main() -> None:
        mock = MockNexus("0.9", pay_loss_rate=0.5)
        service = credits_on(mock, service=on(TrustingLog))
        await service.top_up("t", account="alice", amount=100)
        for number in range(8):
            await service.reserve(f"r{number}", account="alice", amount=1)
        truth = Truth(mock)
        assert sum(truth.count("reserve", f"r{number}") for number in range(8)) < 8
        await service.close()

    run(main())


def test_who_repeats_credits_without_a_fence_pays_without_need() -> None:
    """As when a request that was lost on its way is sent once more."""
    world = World("0.9", PATIENT, service=on(RepeatingLog))
    late = [fault for fault in EVERY_FAULT if fault.after_requests >= 8]

    async def paid() -> list[int]:
        taken = []
        for fault in late:
            async with world.opened() as (mock, service):
                mock.inject(fault.on(at=mock.requests[-1].number + 3))
                await service.top_up("u", account="bob", amount=29)
                taken.append(len([r for r in mock.requests if r.params.get("amount") == "0.295"]))
        return taken

    assert max(run(paid())) > 1


def test_who_calls_undone_what_it_does_not_see_is_wrong() -> None:
    """It may arrive later."""
    world = World("0.9", HURRIED, service=Hasty)
    with pytest.raises(AssertionError, match="pre-commit, and there"):
        run(try_all(BY_NAME["reserve"], world, EVERY_FAULT))


def test_who_forgets_what_it_tried_calls_undone_what_it_did() -> None:
    """On a network that has gone, a repeat of what happened looks as if it had never left."""

    async def main() -> None:
        mock = MockNexus("0.9")
        service = credits_on(mock, HURRIED, service=Forgetful)
        await service.top_up("t", account="alice", amount=100)
        await service.close()
        with pytest.raises(PreCommitError):
            await service.top_up("t", account="alice", amount=100)
        assert Truth(mock).count("top_up", "t") == 1

    run(main())


def test_the_real_one_passes_where_they_fail() -> None:
    """The closed service says that it does not know."""

    async def main() -> None:
        service = credits_on(MockNexus("0.9"), HURRIED)
        await service.top_up("t", account="alice", amount=100)
        await service.close()
        with pytest.raises(CommitUnknownError, match="tried before") as unknown:
            await service.top_up("t", account="alice", amount=100)
        assert isinstance(unknown.value.__cause__, NexusError)

    run(main())
