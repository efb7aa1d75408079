"""MockNexus: the server as one object, an ASGI app and an in-process transport at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

from nexus_bounty.mock import asgi, rest
from nexus_bounty.mock.core import Behaviour, CoreState, NexusCore
from nexus_bounty.mock.exchange import Delivery, Exchange, Fate
from nexus_bounty.mock.faults import Fault, FaultKind
from nexus_bounty.mock.files import FileEntry
from nexus_bounty.mock.intake import parse_request
from nexus_bounty.mock.late import LateQueue
from nexus_bounty.mock.oracle import Applied, Log, Oracle, ReceivedRequest
from nexus_bounty.mock.personality import (
    EtagSource,
    Personality,
    Preconditions,
    find_personality,
)
from nexus_bounty.mock.plan import FaultPlan, FaultSource
from nexus_bounty.mock.transport import MockTransport, Pause, one_tick
from nexus_bounty.mock.wire import Answer


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class MockNexus:
    """A Nexus server in memory, with the faults you ask for and a record of the truth.

    It is an ASGI app (serve it, or hand it to `httpx.ASGITransport`), and gives a faster
    in-process transport through `transport()`.

    Args:
        personality: What to imitate, by a name in `PERSONALITIES`: "0.5.6", "0.7.0", "0.9" (up to
            0.9.23), "0.9.20-without-kernel", "0.9.26", "0.10", or "0.10-hypothetical", whose
            etags are hashes and whose preconditions hold, as on no release that was measured.
        seed: Seeds ids, version etags and every random choice.
        atomic: True makes preconditions hold whatever the release does, False makes them race;
            None is as the release: 0.10 atomic, 0.5.6 and 0.7.0 racing, 0.9 dropping what it
            acknowledged. With True, 0.9 stores conditional writes and still answers without etag.
        api_key: Requests must carry this key; None runs open.
        etag: "content" hashes the bytes; "version" is new with every write; "path" is always the
            same, so that `if_match` protects nothing. None is as the release: 0.10 path.
        faults: Faults by rule, or any source of faults.
        race_window: Seconds between check and write where preconditions race. With 0 every other
            task still runs in between, which is enough in process; over sockets use 0.002.
        rename_delay: Seconds that a winning rename of a file in a directory delays its answer and
            blocks all writes. None is as the release, except that 0.5.6 takes 0.03 s instead of
            its real 30 s.
        torn_reads: Reads take the content first and the etag a little later.
        pay: Whether NexusPay has a record store; without one it answers 503.
        pay_loss_rate: Share of reservations and transfers that are acknowledged and forgotten;
            0.5 is what 0.9 does.
        rate_limit: How many calls of one method are answered in a minute, before a 429 that asks to
            wait for a minute; 0.9 has 300. None has no limit.
        log_limit: How many requests and changes to remember; None remembers all.
        clock: Tells the time of writes; event loop time alone decides all delays.
        date: Tells what the `Date` header of each answer says; None sends none.
    """

    def __init__(
        self,
        personality: str | Personality = "0.10",
        *,
        seed: int = 0,
        atomic: bool | None = None,
        api_key: str | None = None,
        etag: EtagSource | None = None,
        faults: FaultSource | Iterable[Fault] = (),
        race_window: float = 0.0,
        rename_delay: float | None = None,
        torn_reads: bool = False,
        pay: bool = True,
        pay_loss_rate: float = 0.0,
        rate_limit: int | None = None,
        log_limit: int | None = None,
        clock: Callable[[], datetime] = utc_now,
        date: Callable[[], datetime] | None = None,
    ) -> None:
        self.personality = find_personality(personality)
        self.seed = seed
        self.date = date
        self.oracle = Oracle(log_limit)
        behaviour = Behaviour(
            preconditions=_preconditions(self.personality, atomic),
            etag=etag or self.personality.etag,
            race_window=race_window,
            rename_delay=self.personality.rename_delay if rename_delay is None else rename_delay,
            torn_reads=torn_reads,
            pay=pay,
            api_key=api_key,
            rate_limit=rate_limit,
        )
        rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self.core = NexusCore(self.personality, behaviour, self.oracle, clock, rng)
        self.core.pay.loss_rate = pay_loss_rate
        self._plan = FaultPlan(faults if isinstance(faults, Iterable) else ())
        self._source = None if isinstance(faults, Iterable) else faults
        self._exchange = Exchange(self.core, LateQueue(self._deliver_late), self.answer)
        self._running: set[asyncio.Task[Delivery]] = set()

    def transport(self, *, pause: Pause = one_tick, silence: float | None = None) -> MockTransport:
        """An httpx transport straight into this server, without sockets.

        Args:
            pause: Awaited with "request" before a request arrives and with "response" before its
                answer does. By default every other task gets a turn; a scheduler puts its own
                choices here.
            silence: Seconds after which a request that is never answered times out; None is when
                the client has had enough.
        """
        return MockTransport(self, pause, silence)

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Serve one ASGI scope."""
        await asgi.serve(self, scope, receive, send)

    def receive(
        self,
        verb: str,
        target: str,
        query: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
    ) -> ReceivedRequest:
        """Number and record an arriving request, and decide whether it fails."""
        number = self.oracle.next_number()
        now = asyncio.get_running_loop().time()
        bare = self.personality.bare_params
        request = parse_request(number, verb, target, query, headers, body, now, bare_params=bare)
        request.fault = self._choose(request)
        self.oracle.receive(request)
        return request

    def _choose(self, request: ReceivedRequest) -> Fault | None:
        by_rule = self._plan.choose(request)
        # Drawn even when a rule has already decided, so that rules do not shift the draws.
        drawn = self._source.choose(request) if self._source is not None else None
        return by_rule or drawn

    async def handle(self, request: ReceivedRequest) -> Delivery:
        """Carry a request through to what its client hears.

        A client that stops waiting does not stop the server: what may pause runs in a task of
        its own.
        """
        if not self.may_wait(request):
            return self._dated(await self._exchange.run(request))
        task = asyncio.ensure_future(self._exchange.run(request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return self._dated(await asyncio.shield(task))
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            request.outcome = Fate.DROPPED
            return Delivery(Fate.DROPPED)

    def _dated(self, delivery: Delivery) -> Delivery:
        if self.date is None or delivery.answer is None:
            return delivery
        date = format_datetime(self.date().astimezone(UTC), usegmt=True).encode()
        headers = (*delivery.answer.headers, (b"date", date))
        return delivery._replace(answer=delivery.answer._replace(headers=headers))

    async def answer(self, request: ReceivedRequest) -> Answer:
        """What the server answers to one delivery of a request, having done what it asks for."""
        return await rest.answer(self.core, request)

    def may_wait(self, request: ReceivedRequest) -> bool:
        """Whether anything but the server's own work comes before the answer to a request."""
        delayed = request.fault is not None and request.fault.kind is FaultKind.DELAY
        return delayed or self.core.behaviour.waits

    async def _deliver_late(self, request: ReceivedRequest) -> None:
        await self._exchange.apply(request)

    def inject(self, *faults: Fault) -> None:
        """Add faults by rule; they come before any drawn by seed."""
        self._plan.add(*faults)

    def faults_from(self, source: FaultSource) -> None:
        """Draw faults from `source` from now on, instead of any source given before."""
        self._source = source

    def clear_faults(self) -> None:
        """Forget all faults; requests already late stay late."""
        self._plan.clear()
        self._source = None

    async def settle(self) -> None:
        """Deliver every late request now, and wait for those still running."""
        await self._exchange.late.settle()
        if self._running:
            await asyncio.wait(self._running)

    def restart(self) -> None:
        """Crash and come back: files stay; late and unfinished requests and all locks are lost."""
        self._exchange.late.forget()
        for task in self._running:
            task.cancel()
        self.core.locks.forget()

    @property
    def late_count(self) -> int:
        """How many deliveries are still to come."""
        return len(self._exchange.late.waiting)

    @property
    def requests(self) -> Log[ReceivedRequest]:
        """Every request received, oldest first."""
        return self.oracle.requests

    @property
    def log(self) -> Log[Applied]:
        """Every change that was really made, oldest first."""
        return self.oracle.log

    @property
    def request_count(self) -> int:
        """Requests received since the start or the last `reset_counts`."""
        return self.oracle.request_count

    def reset_counts(self) -> None:
        """Count and list requests anew; request numbers and the applied log go on."""
        self.oracle.reset_counts()

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """The files as they are now, by path."""
        return self.core.table.files

    def read_file(self, path: str) -> bytes | None:
        """The content of a file, None when it is missing."""
        entry = self.core.table.get(path)
        return entry.content if entry else None

    def history(self, path: str) -> list[Applied]:
        """Every change to one path, oldest first."""
        return self.oracle.history(path)

    def snapshot(self) -> CoreState:
        """Remember the files; cheap, contents are shared."""
        return self.core.snapshot()

    def restore(self, state: CoreState) -> None:
        """Put the files back; the record of requests and changes goes on."""
        self.core.restore(state)


def _preconditions(release: Personality, atomic: bool | None) -> Preconditions:
    if atomic is None:
        return release.preconditions
    return Preconditions.ATOMIC if atomic else Preconditions.RACING
