"""The probe's verdict is right on every kind of server, within its budget, and leaves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import pytest

from nexus_bounty import NexusClient, NexusError, ProbeReport, Verdict, probe
from nexus_bounty.mock import ALL_FAULTS, Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.mock.personality import HYPOTHETICAL
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.quirks import RenameQuirks
from nexus_bounty.nexus.probe import Bulk, EtagKind, LockKind, Look, Paging
from nexus_bounty.testing.virtual_time import run
from tests.support.sampling import every_nth, sample_and_all, sampled

V = Verdict
AT_ROOT = "/nexus-bounty-probe-*"


class Case(NamedTuple):
    """A server, and what is safe on it, the recommended way first."""

    personality: str
    options: dict[str, Any]
    safe: list[Verdict]

    def __str__(self) -> str:
        said = "-".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.personality}-{said}"


ATOMIC = [V.CONDITIONAL, V.RENAME, V.SINGLE_WRITER]
RACING = [V.RENAME, V.SINGLE_WRITER]
SLOW = [V.SINGLE_WRITER, V.RENAME]

CASES = [
    Case("0.5.6", {}, RACING),
    Case("0.5.6", {"rename_delay": 30.0}, RACING),
    Case("0.5.6", {"atomic": True}, RACING),
    Case("0.7.0", {}, RACING),
    Case("0.7.0", {"rename_delay": 30.0}, SLOW),
    Case("0.7.0", {"atomic": True}, RACING),
    Case("0.7.0", {"race_window": 0.01}, RACING),
    Case("0.7.0", {"etag": "version"}, RACING),
    Case("0.7.0", {"etag": "path"}, [V.RENAME]),
    Case("0.9", {}, [V.RENAME]),
    Case("0.9", {"atomic": False}, RACING),
    Case("0.9", {"atomic": True}, ATOMIC),
    Case("0.9", {"etag": "version"}, []),
    Case("0.9.26", {}, [V.RENAME]),
    Case("0.9.26", {"atomic": True, "etag": "version"}, []),
    Case("0.10", {}, [V.RENAME]),
    Case("0.10", {"etag": "version"}, ATOMIC),
    Case("0.10-hypothetical", {}, ATOMIC),
    Case("0.10-hypothetical", {"atomic": False}, RACING),
]


def probed(mock: MockNexus, look: Look = Look.FULL, *, rename_too: bool = True) -> ProbeReport:
    async def scenario() -> ProbeReport:
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            return await probe(client, look=look, rename_too=rename_too)

    return run(scenario())


@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_verdict_is_right_on_every_kind_of_server(case: Case, look: Look) -> None:
    """What is safe is exactly what is said to be, however closely it looks."""
    report = probed(MockNexus(case.personality, **case.options), look)
    assert report.judgement.safe == case.safe
    assert report.verdict is (case.safe[0] if case.safe else V.UNSAFE)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("personality", ["0.5.6", "0.7.0"])
def test_preconditions_that_race_are_never_taken_for_atomic(personality: str, seed: int) -> None:
    """Whatever chance decides."""
    assert probed(MockNexus(personality, seed=seed)).verdict is V.RENAME


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_probe_keeps_to_its_budget_and_leaves_nothing_behind(case: Case) -> None:
    """At most 60 requests and 20 seconds; the scratch zone is empty afterwards."""
    mock = MockNexus(case.personality, **case.options)
    report = probed(mock)
    repeated = 0 if case.safe else 11  # what no release that was measured does is tried twice
    assert mock.request_count == report.requests <= 60 + repeated
    assert report.seconds <= 20
    if report.facts.rename and report.facts.rename.answered:
        assert report.cleaned_up
        assert not mock.files


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_quick_look_takes_few_requests_and_leaves_cleaning_up_for_later(case: Case) -> None:
    """So that whoever waits for a first write does not wait for that."""
    mock = MockNexus(case.personality, **case.options)
    report = probed(mock, Look.QUICK, rename_too=False)
    as_measured = not case.options
    assert report.requests <= (16 if as_measured else 40)
    assert not report.cleaned_up
    if report.facts.rename is None or report.facts.rename.answered:
        assert not mock.files


def test_renames_are_left_out_of_a_quick_look_only_where_preconditions_are_safe() -> None:
    """And nobody wants to commit by them."""
    left_out = probed(MockNexus("0.10-hypothetical"), Look.QUICK, rename_too=False)
    assert left_out.judgement.safe == [V.CONDITIONAL]
    assert left_out.facts.rename is None
    racing = probed(MockNexus("0.10-hypothetical", atomic=False), Look.QUICK, rename_too=False)
    assert racing.judgement.safe == RACING


def test_a_rename_that_is_not_carried_out_in_time_decides_nothing() -> None:
    """That is what is said, and not that several were."""
    slow = Fault(FaultKind.DELAY, match=RequestMatch("rename"), seconds=10.0, times=None)
    report = probed(MockNexus("0.7.0", faults=[slow]))
    assert report.verdict is V.UNSAFE
    assert "no file was renamed within" in report.judgement.reasons[1]


def test_a_probe_that_is_held_up_every_time_ends_in_the_last_answer() -> None:
    """However short the wait is that the server asks for: nothing was seen, and nothing is said."""
    busy = Fault(
        FaultKind.STATUS_BEFORE,
        status=429,
        retry_after=0.1,
        match=RequestMatch("rename"),
        times=None,
    )
    with pytest.raises(NexusError) as held_up:
        probed(MockNexus("0.10", faults=[busy]))
    assert held_up.value.reason is Reason.RATE_LIMITED


def test_where_no_file_may_lie_at_the_root_files_in_a_directory_are_renamed() -> None:
    """On 0.5.6 that blocks the server for half a minute, and that is not waited for."""
    at_root = RequestMatch("write", path=AT_ROOT)
    forbidden = Fault(FaultKind.STATUS_BEFORE, status=403, match=at_root)
    report = probed(MockNexus("0.5.6", rename_delay=30.0, faults=[forbidden]))
    assert report.judgement.safe == SLOW
    assert report.seconds < 10


def test_what_is_left_where_a_rename_blocks_the_server_goes_when_it_is_free_again() -> None:
    """0.5.6 works off what it was asked while it could not."""

    async def scenario() -> MockNexus:
        mock = MockNexus("0.7.0", rename_delay=30.0)
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            assert not (await probe(client)).cleaned_up
        await mock.settle()
        return mock

    assert not run(scenario()).files


DIALECTS = [
    ("0.5.6", "0.5"),
    ("0.7.0", "0.7"),
    ("0.9", "0.9"),
    ("0.9.26", "0.9.26"),
    ("0.10", "0.10"),
]


@pytest.mark.parametrize(("personality", "dialect"), DIALECTS)
def test_the_dialect_is_told_by_the_answers(personality: str, dialect: str) -> None:
    """Not by what the server calls itself."""
    assert probed(MockNexus(personality)).facts.dialect == dialect


ETAGS = [
    ("0.5.6", "content", EtagKind.SHA256),
    ("0.7.0", "content", EtagKind.BLAKE3),
    ("0.10", "version", EtagKind.OPAQUE),
    ("0.10", None, EtagKind.CONSTANT),
    ("0.10-hypothetical", None, EtagKind.BLAKE3),
]


@pytest.mark.parametrize(("personality", "etag", "kind"), ETAGS)
def test_it_is_seen_what_etags_are_made_of(personality: str, etag: Any, kind: EtagKind) -> None:
    """By their content, and by whether they change with it."""
    for look in Look:
        assert probed(MockNexus(personality, etag=etag), look).facts.etag is kind


STALE = [("0.7.0", False), ("0.9", False), ("0.9.26", True), ("0.10", None)]


@pytest.mark.parametrize(("personality", "stale"), STALE)
def test_it_is_seen_whether_reads_show_stale_etags(personality: str, stale: bool | None) -> None:
    """Where an etag says nothing about the content, it cannot be told."""
    report = probed(MockNexus(personality))
    assert report.facts.stale_etags is stale
    assert ("stale" in dict(report.rows())["etag"]) is bool(stale)
    assert probed(MockNexus(personality), Look.QUICK).facts.stale_etags is None


STALE_BUT_ATOMIC = [
    ("0.9.26", "content", ATOMIC),  # what is a hash of the content is known without being shown
    ("0.9.26", "version", []),
    (replace(HYPOTHETICAL, stale_etags=True), "content", ATOMIC),
    (replace(HYPOTHETICAL, stale_etags=True), "version", [V.RENAME]),
]


@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize(("personality", "etag", "safe"), STALE_BUT_ATOMIC)
def test_preconditions_on_an_etag_that_no_read_shows_are_of_no_use(
    personality: Any, etag: Any, safe: list[Verdict], look: Look
) -> None:
    """Whoever commits by them writes over what was read, and would be refused for ever."""
    report = probed(MockNexus(personality, atomic=True, etag=etag), look)
    assert report.judgement.safe == safe
    useless = "a read shows an etag that is not the file's" in report.judgement.reasons[0]
    assert useless is (etag == "version")
    assert report.requests <= 60 + 11  # with what no release that was measured does, tried twice


FACTS = [
    ("0.5.6", Bulk(), Paging.NONE, LockKind.NONE),
    ("0.7.0", Bulk(reads=True, checks=True, writes=True), Paging.COMPLETE, LockKind.NONE),
    ("0.9", Bulk(checks=True, writes=True), Paging.LOSES_ENTRIES, LockKind.EXCLUSIVE),
    ("0.9.26", Bulk(reads=True, checks=True, writes=True), Paging.COMPLETE, LockKind.EXCLUSIVE),
    ("0.10", Bulk(reads=True, checks=True, writes=True), Paging.COMPLETE, LockKind.EXCLUSIVE),
]


@pytest.mark.parametrize(("personality", "bulk", "paging", "locks"), FACTS)
def test_bulk_requests_pages_and_locks_are_tried_out(
    personality: str, bulk: Bulk, paging: Paging, locks: LockKind
) -> None:
    """What is answered is compared with what is known; a lock may refuse by an error."""
    facts = probed(MockNexus(personality)).facts
    assert facts.bulk == bulk
    assert facts.locks is locks
    assert facts.paging is paging


@pytest.mark.parametrize("personality", ["0.7.0", "0.9", "0.10"])
def test_a_quick_look_tries_nothing_that_no_verdict_depends_on(personality: str) -> None:
    """Neither bulk requests nor locks nor pages."""
    mock = MockNexus(personality)
    report = probed(mock, Look.QUICK)
    assert (report.facts.bulk, report.facts.locks, report.facts.paging) == (None, None, None)
    asked = {request.method for request in mock.requests}
    assert not asked & {"read_bulk", "write_batch", "exists_batch", "lock_acquire", "list"}
    assert dict(report.rows())["locks"] == "not tried"


class SharedLocks:
    """Grants every lock to everybody."""

    def acquire(self, _path: str, _ttl: float, _lock_id: str | None) -> str:
        return "yours"

    def release(self, _path: str, _lock_id: str | None, *, force: bool) -> bool:
        return True


def test_locks_that_are_granted_twice_are_not_exclusive() -> None:
    """The counter-example."""
    mock = MockNexus("0.9")
    mock.core.locks = SharedLocks()  # type: ignore[assignment]
    assert probed(mock).facts.locks is LockKind.SHARED


@pytest.mark.parametrize("look", Look)
def test_a_server_without_a_kernel_is_named_as_such(look: Look) -> None:
    """It writes, and says that the file is there, and cannot read it; nothing else is tried."""
    mock = MockNexus("0.9.20-without-kernel")
    report = probed(mock, look)
    assert report.verdict is V.UNSAFE
    assert not report.facts.reads
    assert "its kernel is missing" in report.judgement.reasons[0]
    assert "nexus_kernel" in report.judgement.advice[0]
    assert dict(report.rows())["kernel"] == "missing: what is there cannot be read"
    assert not mock.files


def test_a_rate_limit_is_waited_for_within_bounds_and_said() -> None:
    """The server asks for a minute; two of them are bearable."""
    told: list[str] = []

    async def scenario() -> ProbeReport:
        mock = MockNexus("0.10", rate_limit=10)
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            return await probe(client, told.append)

    report = run(scenario())
    assert report.judgement.safe == [V.RENAME]
    assert report.waited in (60, 120)
    assert "waiting for 60 s, as the server asks: too many requests" in told
    assert "left alone for" in dict(report.rows())["rate limit"]
    with pytest.raises(NexusError, match="rate limited"):
        probed(MockNexus("0.10", rate_limit=3))


@pytest.mark.parametrize(("personality", "announced"), [("0.9", 0), ("0.10", 1)])
def test_routes_that_will_be_shut_off_are_announced_once(personality: str, announced: int) -> None:
    """However many answers say it."""
    rows = [row for row in probed(MockNexus(personality)).rows() if "sunset" in row[0]]
    assert (
        rows == [("sunset of /api/nfs", "announced for Wed, 25 Jun 2026 00:00:00 GMT")][:announced]
    )


def test_a_server_on_which_everything_takes_seconds_is_not_slow_at_renames() -> None:
    """In some profiles of 0.10.1 every call took 4 to 5 s."""
    slow = Fault(FaultKind.DELAY, seconds=2.2, times=None)
    report = probed(MockNexus("0.10", faults=[slow]), Look.QUICK)
    assert report.judgement.safe == [V.RENAME]
    assert report.facts.rename is not None
    assert report.facts.rename.answered


QUIRKS = [
    ("0.5.6", RenameQuirks(blocks_in_directories=True)),
    ("0.7.0", RenameQuirks()),
    ("0.9", RenameQuirks(loses_content=True)),
    ("0.10", RenameQuirks()),
]


@pytest.mark.parametrize(("personality", "quirks"), QUIRKS)
def test_it_is_seen_what_is_odd_about_a_rename(personality: str, quirks: RenameQuirks) -> None:
    """And so what whoever commits by it has to mind."""
    rename = probed(MockNexus(personality)).facts.rename
    assert rename is not None
    assert rename.quirks == quirks


def test_the_reasons_name_what_was_seen() -> None:
    """In plain words, with the way out."""
    dropping = probed(MockNexus("0.9")).judgement
    assert "never stored, as releases 0.9.9 to 0.9.23 and 0.9.26 do" in dropping.reasons[0]
    assert "keeps the etag, though not the content" in dropping.reasons[1]
    hopeless = probed(MockNexus("0.9", etag="version")).judgement
    assert "whose file won cannot be seen" in hopeless.reasons[1]
    assert "use a server whose conditional writes are atomic" in hopeless.advice[0]
    constant = probed(MockNexus("0.10")).judgement
    assert "every if_match succeeds" in constant.reasons[0]
    blocking = probed(MockNexus("0.5.6")).judgement
    assert "those in a directory block this release for 30 s" in blocking.reasons[1]
    lucky = probed(MockNexus("0.7.0", atomic=True)).judgement
    assert "known to race" in lucky.reasons[0]
    slow = probed(MockNexus("0.7.0", rename_delay=30.0)).judgement
    assert "too slow for every commit" in slow.reasons[1]
    assert "ask for RenameCommit" in slow.advice[1]


def test_a_report_is_json_and_a_table() -> None:
    """It comes back from JSON as it was."""
    report = probed(MockNexus("0.7.0"))
    assert msgspec.json.decode(report.to_json(), type=ProbeReport) == report
    assert dict(report.rows())["rename has exactly one winner"] == "yes"


def test_a_server_that_cannot_be_observed_gets_no_verdict() -> None:
    """An error instead of a guess."""
    mock = MockNexus("0.10", faults=[Fault(FaultKind.TIMEOUT_BEFORE, times=None)])
    with pytest.raises(NexusError):
        probed(mock)


DEFINITE = (401, 403)
"""Refusals that are not asked again."""
EVERY_KIND = ["0.7.0", "0.5.6", "0.9", "0.10", "0.9.26", "0.10-hypothetical"]


@sample_and_all
@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize("personality", every_nth(3, EVERY_KIND))
def test_no_fault_at_any_request_changes_the_verdict(
    personality: str, look: Look, sample: bool
) -> None:
    """What was not heard is asked again, and what may have been a lie is tried anew."""
    calm = probed(MockNexus(personality), look)
    for number in range(1, calm.requests + 1, 7 if sample else 1):
        for fault in sampled(ALL_FAULTS, str(number)) if sample else ALL_FAULTS:
            mock = MockNexus(personality, faults=[fault.on(at=number)])
            try:
                report = probed(mock, look)
            except NexusError:
                assert fault.status in DEFINITE, f"{fault} at request {number}"
                continue
            assert report.judgement.safe == calm.judgement.safe, f"{fault} at request {number}"


SET_UPS = [
    Case("0.5.6", {}, RACING),
    Case("0.5.6", {"rename_delay": 30.0}, RACING),
    Case("0.7.0", {}, RACING),
    Case("0.9", {"atomic": True}, ATOMIC),
    Case("0.9.26", {}, [V.RENAME]),
    Case("0.10", {"etag": "version"}, ATOMIC),
    Case("0.10-hypothetical", {}, ATOMIC),
]
SET_UP_WRITES = ["a-0", "updated-0", "created-0", "renamed-0-0"]


@sample_and_all
@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize("name", SET_UP_WRITES)
@pytest.mark.parametrize("case", SET_UPS, ids=str)
def test_no_fault_at_a_write_that_sets_something_up_changes_the_verdict(
    case: Case, name: str, look: Look, sample: bool
) -> None:
    """What is there already is the probe's own write, of which it heard the second answer."""
    for fault in [Fault(FaultKind.DUPLICATE_ECHO)] if sample else ALL_FAULTS:
        for path in ("/zones/*/" + name, AT_ROOT + name):
            here = fault.on(RequestMatch("write", path=path))
            mock = MockNexus(case.personality, **case.options, faults=[here])
            try:
                report = probed(mock, look)
            except NexusError:
                assert fault.status in DEFINITE, f"{fault} at {path}"
                continue
            forbidden = fault.kind is FaultKind.STATUS_BEFORE and fault.status in DEFINITE
            if not forbidden:  # no file may lie there, then
                assert report.judgement.safe == case.safe, f"{fault} at {path}"


@pytest.mark.parametrize("kind", [FaultKind.DUPLICATE_ECHO, FaultKind.DUPLICATE])
def test_a_set_up_that_is_delivered_twice_stands(kind: FaultKind) -> None:
    """It is read back, and nothing is tried anew."""
    fault = Fault(kind, match=RequestMatch("write", path="/zones/*/updated-0"))
    mock = MockNexus("0.5.6", faults=[fault])
    assert probed(mock).judgement.safe == RACING
    assert [each for each in mock.requests if "updated-0" in str(each.paths)]
    assert not [each for each in mock.requests if "updated-1" in str(each.paths)]


def test_a_set_up_that_is_refused_and_is_not_there_is_tried_anew() -> None:
    """On another file: the first may yet be written."""
    set_up = RequestMatch("write", path="/zones/*/updated-0")
    conflict = Fault(FaultKind.STATUS_BEFORE, status=409, match=set_up)
    mock = MockNexus("0.10-hypothetical", faults=[conflict])
    assert probed(mock, Look.QUICK).judgement.safe == ATOMIC
    assert [each for each in mock.requests if "updated-1" in str(each.paths)]
    first = [each.method for each in mock.requests if "updated-0" in str(each.paths)]
    assert first.count("write") == 1  # nobody raced for it


@pytest.mark.parametrize("look", Look)
def test_a_first_write_that_is_delivered_again_later_is_no_dropped_update(look: Look) -> None:
    """It lay over the update, as if that had never been stored: and renames went unpinned."""
    again = Fault(FaultKind.DUPLICATE_LATE, match=RequestMatch("write", path="/zones/*/a-0"))
    report = probed(MockNexus("0.9", atomic=True, faults=[again]), look)
    assert report.facts.stores_conditional_writes
    assert report.judgement.safe == ATOMIC


@pytest.mark.parametrize("look", Look)
def test_a_root_that_takes_no_file_for_a_moment_is_no_slow_server(look: Look) -> None:
    """One passing error closed the zone to all but one, since the other renames are slow."""
    for status in (500, 503):
        moment = Fault(
            FaultKind.STATUS_BEFORE, status=status, match=RequestMatch("write", path=AT_ROOT)
        )
        report = probed(MockNexus("0.5.6", rename_delay=30.0, faults=[moment]), look)
        assert report.judgement.safe == RACING, f"{status}"


@pytest.mark.parametrize("personality", ["0.9", "0.10"])
def test_a_lock_that_is_asked_for_twice_is_exclusive_all_the_same(personality: str) -> None:
    """The second answer said that it was taken: by the first."""
    twice = Fault(FaultKind.DUPLICATE_ECHO, match=RequestMatch("lock_acquire"))
    assert probed(MockNexus(personality, faults=[twice])).facts.locks is LockKind.EXCLUSIVE


SERVERS_THAT_CHECK = ["0.10-hypothetical", "0.7.0"]


@pytest.mark.parametrize("look", Look)
@pytest.mark.parametrize("late", range(1, 7))
@pytest.mark.parametrize("personality", SERVERS_THAT_CHECK)
def test_a_write_that_is_delivered_again_later_changes_no_verdict(
    personality: str, late: int, look: Look
) -> None:
    """What it brought back was raced for a second time, and two of those who raced had won."""
    calm = probed(MockNexus(personality), look)
    again = Fault(FaultKind.DUPLICATE_LATE, after_requests=late)
    for number in range(1, calm.requests + 1):
        mock = MockNexus(personality, faults=[again.on(at=number)])
        found = probed(mock, look)
        assert found.judgement == calm.judgement, f"request {number}"


class TwiceAndLate:
    """Delivers the writes to some files once more, as soon as they have been written over."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def choose(self, request: ReceivedRequest) -> Fault | None:
        written = request.method == "write" and "if_match" not in request.params
        path = str(request.params.get("path"))
        if written and path.endswith(self._names) and "if_none_match" not in request.params:
            return Fault(FaultKind.DUPLICATE_LATE, after_requests=1)
        return None


def test_preconditions_are_not_called_unenforced_for_one_write_that_is_delivered_again() -> None:
    """Else whoever sees it goes by renames unpinned, while others commit by preconditions."""
    mock = MockNexus("0.10-hypothetical", atomic=False, faults=TwiceAndLate("/a-0"))
    report = probed(mock, Look.QUICK)
    assert report.facts.updates is not None
    assert not report.facts.updates.was_exclusive
    assert report.facts.enforces_preconditions


UNAVAILABLE = Fault(FaultKind.STATUS_BEFORE, status=503)
PASSING = [UNAVAILABLE, Fault(FaultKind.RPC_ERROR_BEFORE), Fault(FaultKind.DUPLICATE_ECHO)]


class Trouble:
    """Answers the first so many updates under a precondition as a server in trouble does."""

    def __init__(self, times: int, fault: Fault = UNAVAILABLE) -> None:
        self._left = times
        self._fault = fault

    def choose(self, request: ReceivedRequest) -> Fault | None:
        if not self._left or "if_match" not in request.params:
            return None
        self._left -= 1
        return self._fault


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_a_server_in_trouble_is_not_taken_for_one_that_stores_no_conditional_writes(
    fault: Fault,
) -> None:
    """Not if it is so twice: whoever believes it goes by renames unpinned, beside the others."""
    calm = probed(MockNexus("0.10-hypothetical"), Look.QUICK)
    report = probed(MockNexus("0.10-hypothetical", faults=Trouble(3, fault)), Look.QUICK)
    assert report.judgement == calm.judgement


def test_a_server_that_answers_every_conditional_write_with_an_error_is_committed_by_rename() -> (
    None
):
    """It is no reason to find out nothing at all."""
    report = probed(MockNexus("0.10-hypothetical", faults=Trouble(1000)), Look.QUICK)
    assert report.judgement.safe == [V.RENAME]


class OneAnswerInFour:
    """Loses the answers to most of the racing updates."""

    def __init__(self) -> None:
        self._raced = 0

    def choose(self, request: ReceivedRequest) -> Fault | None:
        raced = request.method == "write" and "/updated-" in str(request.params["path"])
        if not (raced and "if_match" in request.params):
            return None
        self._raced += 1
        return Fault(FaultKind.DROP_AFTER) if self._raced % 4 else None


def test_winners_whose_answers_were_lost_are_not_taken_for_losers() -> None:
    """Or a race with four winners would look like one with a single winner."""
    with pytest.raises(NexusError, match="connection lost"):
        probed(MockNexus("0.10-hypothetical", atomic=False, faults=OneAnswerInFour()))


def test_a_wrong_key_gets_no_verdict() -> None:
    """Nothing can be seen then."""
    with pytest.raises(NexusError):
        probed(MockNexus("0.10", api_key="right"))
