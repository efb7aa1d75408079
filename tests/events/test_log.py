"""The log: one observer among others, on the logger `nexus_bounty`, quiet until it is asked."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nexus_bounty
from nexus_bounty import CommitUnknownError, PreCommitError, events
from nexus_bounty.events import log
from nexus_bounty.events.tracking import tracked
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.testing.builders import make_bounty
from tests.events.support import IMPATIENT, a_mock, a_store, commit_of, read_of
from tests.support.virtual import virtual
from tests.support.world import ALICE, BOUNTY_ID, World, a_bounty

OPEN = make_bounty(creator=ALICE)
EXTRAS = (
    "operation",
    "idempotency_key",
    "bounty_id",
    "step",
    "outcome",
    "proof",
    "zone_id",
    "server",
)
PLACE = events.Place("http://127.0.0.1:2026", "default")
ZONE, SERVER = PLACE.zone_id, PLACE.server


def extras(record: logging.LogRecord) -> tuple[str | None, ...]:
    return tuple(getattr(record, name) for name in EXTRAS)


@virtual
async def test_a_lost_answer_that_was_resolved_is_said_at_info(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nexus_bounty")
    mock = a_mock()
    mock.inject(commit_of(FaultKind.DROP_AFTER))
    async with a_store(mock) as store:
        await store.create_bounty(OPEN, idempotency_key="k-1")
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.INFO, "nexus_bounty")
    assert "an answer was lost" in record.getMessage()
    assert "it is committed" in record.getMessage()
    assert extras(record) == (
        "create_bounty",
        "k-1",
        BOUNTY_ID,
        None,
        "committed",
        "in_history",
        ZONE,
        SERVER,
    )


@virtual
async def test_a_fence_that_landed_is_said_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nexus_bounty")
    mock = a_mock()
    mock.inject(commit_of(FaultKind.DROP_BEFORE))
    async with a_store(mock, IMPATIENT) as store:
        with pytest.raises(PreCommitError):
            await store.create_bounty(OPEN, idempotency_key="k-1")
    fenced, resolved = caplog.records
    assert fenced.levelno == resolved.levelno == logging.INFO
    assert "fenced off" in fenced.getMessage()
    assert "did not happen and can no longer happen" in resolved.getMessage()
    of_both = ("create_bounty", "k-1", BOUNTY_ID, None, "pre_commit", "fenced", ZONE, SERVER)
    assert extras(fenced) == extras(resolved) == of_both


@virtual
async def test_an_unknown_outcome_is_said_once_as_a_warning_with_the_key_to_repeat_it_with(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "nexus_bounty")
    world = World()
    await world.found()
    async with world.process(impatient=True) as process:
        await process.operations.create(a_bounty())
        world.mock.inject(
            commit_of(FaultKind.TIMEOUT_AFTER, times=None),
            read_of(FaultKind.TIMEOUT_BEFORE, times=None),
        )
        with pytest.raises(CommitUnknownError):
            await process.operations.cancel(BOUNTY_ID, idempotency_key="k-1")
        world.mock.clear_faults()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert extras(record) == ("cancel", "k-1", BOUNTY_ID, None, "unknown", "none", ZONE, SERVER)
    assert "repeat it with the same key" in record.getMessage()


@virtual
async def test_what_is_said_of_a_step_names_what_the_program_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nexus_bounty")
    world = World()
    await world.found()
    async with world.process() as process:
        world.mock.inject(commit_of(FaultKind.DROP_AFTER))
        await process.operations.create(a_bounty(), idempotency_key="k-1")
    (record,) = caplog.records
    assert extras(record)[:4] == ("create", "k-1", BOUNTY_ID, "create_bounty")
    assert "create_bounty of b-1 [key k-1:draft], a step of create" in record.getMessage()


def loggers() -> set[str]:
    """The names by which modules of this library log."""
    named = set()
    for path in sorted(Path(nexus_bounty.__file__).parent.rglob("*.py")):
        module = ".".join(path.relative_to(Path(nexus_bounty.__file__).parents[1]).parts)
        for called in re.findall(r"logger_of\((.+?)\)", path.read_text("utf-8")):
            named.add(module.removesuffix(".py") if called == "__name__" else called.strip('"'))
    return named - {"logger.name", "name: str"}


@pytest.mark.parametrize("name", sorted(loggers()))
@virtual
async def test_every_logger_says_in_which_operation_its_records_are_made(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever they say besides stands as it is."""
    logger = log.logger_of(name)
    with (
        tracked("operations", "create", BOUNTY_ID, "k-1", place=PLACE),
        tracked("store", "create_bounty", BOUNTY_ID, "k-1:draft", place=PLACE),
    ):
        logger.warning("slow", extra={"proof": "mine"})
    logger.warning("outside of any")
    inside, outside = caplog.records
    assert extras(inside) == (
        "create",
        "k-1",
        BOUNTY_ID,
        "create_bounty",
        None,
        "mine",
        ZONE,
        SERVER,
    )
    assert extras(outside) == (None,) * len(EXTRAS)


def test_modules_log_by_loggers_that_say_so() -> None:
    """Only what configures handlers and filters takes a plain one."""
    here = Path(nexus_bounty.__file__).parents[1]
    plain = {
        path.name
        for package in ("nexus_bounty", "adapters")
        for path in (here / package).rglob("*.py")
        if "logging.getLogger(" in path.read_text("utf-8")
    }
    assert plain == {"careful_logger.py", "output.py", "logs.py", "absence.py", "connector.py"}


@virtual
async def test_what_the_journal_could_not_note_says_of_which_operation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By another logger, below that of the events."""
    world = World()
    await world.found()
    async with world.process() as process:
        process.credits.end_operation = _lost  # type: ignore[attr-defined]
        await process.operations.create(a_bounty(), idempotency_key="k-1")
    (record,) = caplog.records
    assert record.name == "nexus_bounty.operations"
    assert extras(record) == ("create", "k-1", BOUNTY_ID, None, None, None, ZONE, SERVER)


async def _lost(*_parts: object) -> None:
    raise CommitUnknownError("the answer was lost")


@virtual
async def test_requests_and_retries_are_said_while_somebody_debugs_and_not_built_otherwise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mock = a_mock()
    async with a_store(mock) as store:
        for level, lines in ((logging.INFO, []), (logging.DEBUG, ["retry", "read", "read"])):
            caplog.set_level(level, "nexus_bounty")
            caplog.clear()
            mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("read")))
            await store.get_bounty(BOUNTY_ID)
            said = [record.getMessage() for record in caplog.records]
            assert len(said) == len(lines)
    assert "read /zones/default/bounties/b-1.json: ambiguous: server error, in 0.000 s" in said
    assert any("the next in" in each for each in said)


def test_debugging_is_the_only_thing_that_makes_the_log_want_requests() -> None:
    observer = log.LogObserver()
    assert events.RequestEnded not in observer.wants
    logging.getLogger("nexus_bounty").setLevel(logging.DEBUG)
    try:
        assert events.RequestEnded in observer.wants
    finally:
        logging.getLogger("nexus_bounty").setLevel(logging.NOTSET)


def test_the_log_has_a_line_for_a_problem_only_if_its_repair_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    say = log.LogObserver()
    say(events.ProblemLeft(None, "stuck drafts", "b-1", "is a draft", "dry run", failed=False))
    say(events.SweepEnded(None, "stuck drafts", 1, 0, 0.1))
    assert caplog.records == []
    say(events.ProblemLeft(None, "stuck drafts", "b-1", "is a draft", "NexusError", failed=True))
    say(events.SweepEnded(None, "stuck drafts", 1, 0, 0.1, error="NexusError"))
    failed, cut_short = caplog.records
    assert failed.levelno == cut_short.levelno == logging.WARNING
    assert failed.getMessage() == "stuck drafts b-1: not repaired: NexusError"
    assert cut_short.getMessage() == "the sweep of stuck drafts was cut short: NexusError"


def test_without_configuration_nothing_is_shown() -> None:
    """A library brings a handler that swallows, so that Python's last resort stays silent."""
    program = (
        "import logging, nexus_bounty; "
        "from nexus_bounty.events import StepOwed, stream; "
        "stream.publish((), StepOwed, 'release_lease', 'NexusError'); "
        "assert not logging.getLogger().handlers; "
        "logging.getLogger('another').warning('shown')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b""
    assert done.stderr == b"shown\n"


@virtual
async def test_the_log_can_be_silenced_like_any_observer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nexus_bounty")
    mock = a_mock()
    mock.inject(commit_of(FaultKind.DROP_AFTER))
    events.default_log.unregister()
    try:
        async with a_store(mock) as store:
            await store.create_bounty(OPEN)
    finally:
        events.stream._stream.add(events.default_log)
    assert caplog.records == []
