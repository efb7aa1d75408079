"""A log, or an observer, that fails: what becomes of operations, and what is told, is the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from nexus_bounty import CommitUnknownError, PreCommitError, events
from nexus_bounty.events import stream
from nexus_bounty.events.careful_logger import CarefulLogger
from nexus_bounty.mock import FaultKind
from nexus_bounty.testing.builders import make_bounty
from tests.events.support import IMPATIENT, Heard, a_mock, a_store, commit_of, read_of
from tests.events.test_log import EXTRAS, loggers
from tests.support.virtual import virtual
from tests.support.world import BOUNTY_ID, World, a_bounty

OURS = "nexus_bounty"


def lacks_an_attribute(record: logging.LogRecord) -> bool:
    """A filter of a program whose middleware sets what is not there outside of a request."""
    return record.request_id != ""  # type: ignore[attr-defined,no-any-return]


class FullDisk(logging.Handler):
    """A handler that lets its errors out, as many do."""

    def __init__(self, error: type[BaseException] = OSError) -> None:
        super().__init__()
        self._error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self._error("disk full")


@contextmanager
def handled_by(handler: logging.Handler, name: str = OURS) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


@contextmanager
def filtered_by(refuse: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """The logger itself has a filter that fails."""
    logging.getLogger(OURS).addFilter(refuse)
    try:
        with handled_by(logging.NullHandler()):
            yield
    finally:
        logging.getLogger(OURS).removeFilter(refuse)


def with_filter(handler: logging.Handler) -> logging.Handler:
    handler.addFilter(lacks_an_attribute)
    return handler


Failing = Callable[[], AbstractContextManager[None]]
FAILING: dict[str, Failing] = {
    "a filter of a handler": lambda: handled_by(with_filter(logging.StreamHandler())),
    "a filter of the logger": lambda: filtered_by(lacks_an_attribute),
    "a handler": lambda: handled_by(FullDisk()),
    "a handler of the root": lambda: handled_by(FullDisk(), ""),
    "a cancelled future": lambda: handled_by(FullDisk(asyncio.CancelledError)),
}
failing = pytest.mark.parametrize("fails", FAILING.values(), ids=FAILING)


@failing
@virtual
async def test_what_committed_is_committed_whatever_the_log_does(fails: Failing) -> None:
    """A lost answer is said when it is found again: after the commit, before the return."""
    mock = a_mock()
    mock.inject(commit_of(FaultKind.DROP_AFTER))
    async with a_store(mock) as store:
        with fails():
            bounty = await store.create_bounty(make_bounty())
    assert bounty.bounty_id == BOUNTY_ID
    assert stream.around.get() is None


@failing
@virtual
async def test_what_is_unknown_is_told_as_such_whatever_the_log_does(
    fails: Failing,
) -> None:
    """And what comes next in the same task is no step of it: it has a doubt of its own."""
    mock, heard = a_mock(), Heard()
    async with a_store(mock, IMPATIENT) as store:
        mock.inject(
            commit_of(FaultKind.TIMEOUT_AFTER, times=None),
            read_of(FaultKind.TIMEOUT_BEFORE, times=None),
        )
        with fails(), events.register(heard):
            for key in ("k-1", "k-2"):
                with pytest.raises(CommitUnknownError):
                    await store.create_bounty(make_bounty(), idempotency_key=key)
    doubts = [each.operation for each in heard.of(events.OutcomeUnknown) if each.operation]
    assert [(each.key, each.parent) for each in doubts] == [("k-1", None), ("k-2", None)]


@failing
@virtual
async def test_a_refusal_stays_one_whatever_the_log_does(fails: Failing) -> None:
    mock = a_mock()
    mock.inject(commit_of(FaultKind.DROP_BEFORE))
    async with a_store(mock, IMPATIENT) as store:
        with fails(), pytest.raises(PreCommitError):
            await store.create_bounty(make_bounty())


@failing
@virtual
async def test_what_is_said_outside_of_events_changes_no_outcome_either(
    fails: Failing,
) -> None:
    """The journal says, after the commit, that it could not note it."""
    world = World()
    await world.found()
    async with world.process() as process:
        process.credits.end_operation = _lost  # type: ignore[attr-defined]
        with fails():
            result = await process.operations.create(a_bounty())
    assert result.bounty.bounty_id == BOUNTY_ID


async def _lost(*_parts: object) -> None:
    raise CommitUnknownError("the answer was lost")


@pytest.mark.parametrize("name", sorted(loggers()))
def test_no_logger_of_the_library_raises_and_each_shows_why_on_stderr(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with handled_by(FullDisk(), name):
        for say in ("debug", "info", "warning", "error", "exception"):
            getattr(CarefulLogger(name), say)("slow")
        assert capsys.readouterr().err.count("OSError: disk full") == 5


def test_a_record_names_the_line_that_logged(caplog: pytest.LogCaptureFixture) -> None:
    CarefulLogger(OURS).warning("slow")
    CarefulLogger(OURS).log(logging.WARNING, "slow")
    assert [each.funcName for each in caplog.records] == [
        test_a_record_names_the_line_that_logged.__name__
    ] * 2


@pytest.mark.parametrize("kind", [events.OperationBegan, events.OperationEnded])
@virtual
async def test_an_observer_that_looks_at_a_cancelled_future_breaks_nothing(
    kind: type[events.Event],
) -> None:
    cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    heard = Heard()
    async with a_store(a_mock()) as store:
        look = events.only(lambda _event: cancelled.result(), kind)
        with events.register(look), events.register(heard):
            await store.create_bounty(make_bounty())
    assert heard.the(kind)


class Interrupting:
    """Ctrl-C at the moment of an event."""

    def __init__(self, kind: type[events.Event]) -> None:
        self.wants = (kind,)

    def __call__(self, event: events.Event) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [events.OperationBegan, events.OperationEnded])
def test_what_is_interrupted_while_it_is_told_of_is_not_around_what_follows(
    kind: type[events.Event],
) -> None:
    async def interrupted() -> None:
        async with a_store(a_mock()) as store:
            with events.register(Interrupting(kind)), pytest.raises(KeyboardInterrupt):
                await store.create_bounty(make_bounty())
            assert stream.around.get() is None

    asyncio.run(interrupted())


@contextmanager
def records_have(**named: object) -> Iterator[None]:
    """The program's factory of log records sets these."""
    before = logging.getLogRecordFactory()

    def make(*args: object, **more: object) -> logging.LogRecord:
        record = before(*args, **more)
        record.__dict__.update(named)
        return record

    logging.setLogRecordFactory(make)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)


@pytest.mark.parametrize("name", EXTRAS)
@virtual
async def test_what_the_program_puts_into_every_record_costs_no_line(
    name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as the step of a pipeline; its own stays, and the rest is said."""
    caplog.set_level(logging.DEBUG, OURS)
    mock = a_mock()
    mock.inject(
        commit_of(FaultKind.TIMEOUT_AFTER, times=None),
        read_of(FaultKind.TIMEOUT_BEFORE, times=None),
    )
    async with a_store(mock, IMPATIENT) as store:
        with records_have(**{name: "mine"}), pytest.raises(CommitUnknownError):
            await store.create_bounty(make_bounty(), idempotency_key="k-1")
    assert capsys.readouterr().err == ""
    (unknown,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    said = {"operation": "create_bounty", "idempotency_key": "k-1", "outcome": "unknown"}
    assert {each: getattr(unknown, each) for each in said} == {
        each: "mine" if each == name else value for each, value in said.items()
    }
    assert {getattr(each, name) for each in caplog.records if each.name == OURS} == {"mine"}


def test_what_is_said_besides_is_there_for_a_filter_that_was_there_first() -> None:
    """Logging is often set up before a library is imported."""
    name, seen = "nexus_bounty.set_up_early", list[object]()

    def sees(record: logging.LogRecord) -> bool:
        seen.append(getattr(record, "outcome", None))
        return False

    logging.getLogger(name).addFilter(sees)
    CarefulLogger(name).warning("slow", extra={"outcome": "unknown"})
    assert seen == ["unknown"]


@pytest.mark.parametrize("logger", sorted(loggers()))
def test_what_is_said_besides_takes_the_place_of_nothing(
    logger: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor of what a record is made of."""
    with records_have(error="mine"):
        CarefulLogger(logger).warning("slow", extra={"error": "ours", "msg": "no", "more": 1})
    (record,) = caplog.records
    assert (record.error, record.more) == ("mine", 1)  # type: ignore[attr-defined]
    assert record.getMessage() == "slow"
    assert "_nexus_bounty_said" not in vars(record)


GROUPS: dict[str, BaseException] = {
    "of a cancellation": BaseExceptionGroup("tasks", [asyncio.CancelledError()]),
    "of both": BaseExceptionGroup("tasks", [ValueError("no"), asyncio.CancelledError()]),
    "of groups": BaseExceptionGroup(
        "tasks", [BaseExceptionGroup("inner", [asyncio.CancelledError()]), ValueError("no")]
    ),
    "of errors": ExceptionGroup("tasks", [ValueError("no")]),
}
ENDS: dict[str, BaseException] = {
    "an end": SystemExit(3),
    "ctrl-c": KeyboardInterrupt(),
    "a group with an end": BaseExceptionGroup("tasks", [ValueError("no"), SystemExit(3)]),
    "a group in a group": BaseExceptionGroup("t", [BaseExceptionGroup("t", [SystemExit(3)])]),
}


class Raising:
    """An observer that raises on being called, or asked what it wants once it is registered."""

    def __init__(self, error: BaseException, where: str) -> None:
        self._error = error
        self._where = where
        self.armed = False

    @property
    def wants(self) -> type[events.Event]:
        if self.armed and self._where == "wants":
            raise self._error
        return events.OperationEnded

    def __call__(self, event: events.Event) -> None:
        if self.armed and self._where == "called":
            raise self._error


@pytest.mark.parametrize("where", ["called", "wants"])
@pytest.mark.parametrize("error", GROUPS.values(), ids=GROUPS)
@virtual
async def test_an_observer_that_raises_a_group_breaks_nothing_and_is_complained_of_once(
    error: BaseException, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    raising = Raising(error, where)
    async with a_store(a_mock()) as store:
        with events.register(raising):
            raising.armed = True
            await store.create_bounty(make_bounty())
            await store.cancel_bounty(BOUNTY_ID)
            raising.armed = False
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1


@pytest.mark.parametrize("error", GROUPS.values(), ids=GROUPS)
@virtual
async def test_a_handler_that_raises_a_group_breaks_nothing(error: BaseException) -> None:
    mock = a_mock()
    mock.inject(commit_of(FaultKind.DROP_AFTER))

    class Grouping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise error

    async with a_store(mock) as store:
        with handled_by(Grouping()):
            bounty = await store.create_bounty(make_bounty())
    assert bounty.bounty_id == BOUNTY_ID


@pytest.mark.parametrize("error", ENDS.values(), ids=ENDS)
def test_what_ends_the_program_goes_through(error: BaseException) -> None:
    """It is nobody's to swallow; what is around is as it was."""
    raising = Raising(error, "called")
    raising.armed = True
    ended = (None, None, 0.0, 0, (), None)
    with events.register(raising), pytest.raises(type(error)):
        stream.publish((), events.OperationEnded, *ended)
