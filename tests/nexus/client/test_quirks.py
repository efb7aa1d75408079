"""One table says what is known of servers; the mock and the recordings agree with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus, Personality
from nexus_bounty.mock.personality import Preconditions as Imitated
from nexus_bounty.mock.problems import Problem
from nexus_bounty.nexus.client import classification, etags, wire
from nexus_bounty.nexus.client.classification import Disposition, Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import (
    DIALECTS,
    Acknowledges,
    Capabilities,
    ConditionalWrites,
    Contention,
    Dialect,
    EtagKind,
    Extra,
    dialect_of,
    dialect_of_release,
)
from tests.support.clients import client_of

ROOT = Path(__file__).parents[3]
RECORDED = ROOT / "tests/contract/fixtures"
MAKES = {
    Imitated.ATOMIC: ConditionalWrites.CHECKED,
    Imitated.RACING: ConditionalWrites.RACE,
    Imitated.DROPPED: ConditionalWrites.DROPPED,
}
A_RELEASE = r"\b0\.(5|7|9|10)\b"
KNOWS_RELEASES = {
    "nexus_bounty/nexus/client/quirks.py": "the table",
    "nexus_bounty/mock": "imitates releases, by their names",
    "nexus_bounty/cli/commands/mock_server.py": "an example of starting the mock",
    "nexus_bounty/testing/plugin.py": "starts the mock",
    "adapters/nexus_bounty_nexuspay/api.py": "what is known of NexusPay, another protocol",
    "adapters/nexus_bounty_nexuspay/transfer_log.py": "which NexusPay it needs",
}

_plain = msgspec.json.Decoder(Mapping[str, Any])


@pytest.fixture(params=list(DIALECTS.values()), ids=lambda row: str(row.name))
def row(request: pytest.FixtureRequest) -> Dialect:
    dialect: Dialect = request.param
    return dialect


@pytest.fixture(params=list(PERSONALITIES.values()), ids=lambda each: str(each.name))
def personality(request: pytest.FixtureRequest) -> Personality:
    imitated: Personality = request.param
    return imitated


def test_no_two_dialects_are_alike_in_what_tells_them_apart() -> None:
    """How they word an acknowledgement, and whether reads show stale etags."""
    signs = [(row.acknowledges, row.stale_etags) for row in DIALECTS.values()]
    assert len(set(signs)) == len(signs)
    assert {said for said, _ in signs} == set(Acknowledges)


def test_a_dialect_has_a_personality_and_a_recording(row: Dialect) -> None:
    """The row, what imitates it, and what proves both: the three places of a dialect."""
    assert row.name in {_row(each).name for each in PERSONALITIES.values()}
    assert set(row.measured) & {each.name for each in RECORDED.iterdir()}


def test_a_recording_is_of_a_release_that_is_known_to_be_measured() -> None:
    """Whatever was recorded is in the table."""
    for each in RECORDED.iterdir():
        assert each.name in dialect_of_release(each.name).measured


async def test_a_personality_words_its_answers_as_the_table_says(personality: Personality) -> None:
    """So it is told by them, whatever it is called."""
    client = client_of(MockNexus(personality))
    params = {"path": "/a", "content": wire.encode_bytes(b"a")}
    said, row = await client.call("write", params, _plain), _row(personality)
    assert dialect_of(said, stale_etags=row.stale_etags) is row


async def test_a_read_shows_a_stale_etag_where_the_table_says_so(personality: Personality) -> None:
    """And a listing never does."""
    client, stale = client_of(MockNexus(personality)), None
    for content in (b"1", b"2"):
        await client.write("/d/a", content)
        with suppress(NexusError):  # one reads nothing
            file = await client.read("/d/a")
            assert file is not None
            assert file.content == content
            stale = not etags.speaks_for(file.etag, content)
    row = _row(personality)
    if stale is not None and personality.etag == "content":
        assert stale is row.stale_etags
        listed = await client.etags("/d")
        assert etags.speaks_for(listed.by_path["/d/a"], b"2")


async def test_etags_are_made_of_what_the_table_says(personality: Personality) -> None:
    """The first of its kinds, as the release has them by itself."""
    client = client_of(MockNexus(personality))
    listed = []
    for content in (b"1", b"2"):
        await client.write("/d/a", content)
        listed.append((content, (await client.etags("/d")).by_path["/d/a"]))
    kinds = {etags.algorithm_of(*each) for each in listed}
    kind = EtagKind.CONSTANT if listed[0][1] == listed[1][1] else kinds.pop()
    expected = _row(personality).etags
    assert kind is (expected[1] if personality.name == "0.10-hypothetical" else expected[0])


async def test_a_lock_that_is_held_is_refused_as_the_table_says(personality: Personality) -> None:
    """By an error, by a plain no, or because there are no locks."""
    client, params = client_of(MockNexus(personality)), {"path": "/lock", "ttl": 30}
    said = []
    for _ in range(2):
        try:
            said.append((await client.call("lock_acquire", params, _plain)).get("acquired"))
        except NexusError as error:
            said.append(error.reason)
    assert (
        said
        == {
            Contention.NO_LOCKS: [Reason.BAD_REQUEST, Reason.BAD_REQUEST],
            Contention.NOT_ACQUIRED: [True, False],
            Contention.ERROR: [True, Reason.SERVER_ERROR],
        }[_row(personality).contention]
    )


def test_a_personality_has_the_quirks_of_its_dialect(personality: Personality) -> None:
    """Its methods, its codes, its preconditions and its renames."""
    row = _row(personality)
    methods = {each for each in Extra if each is not Extra.LIMITS and each in personality.methods}
    assert methods == row.extras - {Extra.LIMITS}
    assert (personality.paging.name != "NONE") == (Extra.LIMITS in row.extras)
    codes = {problem: code for problem, (code, _) in personality.errors.items()}
    assert codes[Problem.NOT_FOUND] == row.missing
    assert codes[Problem.BAD_PATH] == row.bad_path
    assert codes[Problem.EXISTS] == row.exists
    assert MAKES[personality.preconditions] is row.preconditions
    assert personality.rename_keeps_content is not row.rename.loses_content
    assert (personality.rename_delay > 0) == row.rename.blocks_in_directories


async def test_a_client_learns_what_the_table_says(personality: Personality) -> None:
    """By asking, and from nothing else."""
    client = client_of(MockNexus(personality, rename_delay=0))
    assert client.capabilities == Capabilities()
    paths = ["/d/a", "/d/b"]
    await client.write_many(dict.fromkeys(paths, b""))
    await client.exist(paths)
    await client.list("/d")
    with suppress(NexusError):  # one reads nothing
        await client.read_many(paths)
    await client.delete_many(paths)
    known = {extra for extra, understood in client.capabilities.understood.items() if understood}
    works = {Extra.BULK_READS} if personality.bulk_read_works else set()
    assert known == _row(personality).extras - ({Extra.BULK_READS} - works)


def test_every_code_of_a_dialect_is_classified_as_what_it_means(row: Dialect) -> None:
    """A missing file is told from everything else; what may be our own echo proves nothing."""
    missing = classification.of_rpc_code(row.missing)
    assert (missing.disposition, missing.reason) == (Disposition.REFUSED, Reason.NOT_FOUND)
    assert classification.of_rpc_code(row.bad_path).disposition is Disposition.REFUSED
    assert classification.of_rpc_code(row.exists).disposition is Disposition.AMBIGUOUS


def test_a_dialect_says_something_in_each_column(row: Dialect) -> None:
    """Only what it understands besides may be nothing."""
    said = {each.name for each in fields(row) if getattr(row, each.name)}
    assert said >= {each.name for each in fields(row)} - {"extras", "stale_etags"}
    assert EtagKind.NONE not in row.etags


def test_no_code_knows_a_release_by_name_but_the_table() -> None:
    """What is odd about one is asked of the table; docstrings may say where it was seen."""
    allowed = tuple(str(ROOT / each) for each in KNOWS_RELEASES)
    found = {
        str(path.relative_to(ROOT)): said
        for room in ("nexus_bounty", "adapters")
        for path in (ROOT / room).rglob("*.py")
        if not str(path).startswith(allowed) and (said := list(_releases_named(path)))
    }
    assert not found


def _row(personality: Personality) -> Dialect:
    return dialect_of_release(personality.imitates)


def _releases_named(path: Path) -> Iterator[str]:
    """The texts of a module, its docstrings aside, that name a release of Nexus."""
    text = path.read_text("utf-8")
    if not re.search(A_RELEASE, text):  # to parse each module takes long
        return
    tree = ast.parse(text)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docs:
            continue
        if isinstance(node.value, str) and re.search(A_RELEASE, node.value):
            yield node.value
