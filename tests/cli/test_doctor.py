"""`doctor`: the verdict on a server, for people, for programs, and as an exit code."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_bounty.mock import MockNexus
from tests.cli.shell import Shell
from tests.support.sampling import every_nth
from tests.support.served import served

SERVERS: list[tuple[str, dict[str, Any], str, int]] = [
    ("0.5.6", {"race_window": 0.002}, "rename", 0),
    ("0.7.0", {"race_window": 0.002}, "rename", 0),
    ("0.7.0", {"race_window": 0.002, "rename_delay": 4.0}, "single_writer", 6),
    ("0.9", {}, "rename", 0),
    ("0.9", {"etag": "version"}, "unsafe", 7),
    ("0.10", {}, "rename", 0),
    ("0.10-hypothetical", {}, "conditional", 0),
    ("0.9.26", {}, "rename", 0),
    ("0.9.20-without-kernel", {}, "unsafe", 7),
]


@pytest.mark.parametrize(("personality", "options", "verdict", "code"), every_nth(2, SERVERS))
def test_the_verdict_is_right_in_words_in_json_and_as_an_exit_code(
    shell: Shell, personality: str, options: dict[str, Any], verdict: str, code: int
) -> None:
    """And nothing of the trial is left on the server."""
    mock = MockNexus(personality, **options)
    with served(mock) as url:
        ended = shell("doctor", url, "--json")
    assert ended.code == code
    assert ended.document["url"] == url
    assert ended.document["verdict"] == ended.document["judgement"]["verdict"] == verdict
    assert ended.document["requests"] == mock.request_count <= (71 if code == 7 else 60)
    assert ended.document["cleanedUp"] or verdict == "single_writer"


def test_a_person_is_told_why_what_to_do_and_what_was_seen(shell: Shell, url: str) -> None:
    """The server is the one of the environment if none is named, and so is its key."""
    ended = shell("doctor")
    assert ended.code == 0
    assert f"{url}: Safe for any number of writers, with ConditionalCommit." in ended.said
    assert "Why Preconditions are enforced" in ended.said
    assert "What to do Use ConditionalCommit" in ended.said
    assert "racing updates 1, 1 of 4 told that they won" in ended.said


def test_a_server_that_cannot_be_reached_gets_no_verdict(shell: Shell) -> None:
    """An error instead of a guess."""
    ended = shell("doctor", "http://127.0.0.1:9")
    assert ended.code == 1
    assert "no connection" in ended.said


def test_the_exit_codes_are_in_the_help(shell: Shell) -> None:
    """For those who write scripts."""
    assert "6 for a single writer only; 7 not safe" in shell("doctor", "--help").said


def test_what_a_server_is_like_besides_is_said_in_the_table(shell: Shell) -> None:
    """A kernel that is missing, routes that will go, etags of which kind, locks."""
    said = {}
    for personality in ("0.9.20-without-kernel", "0.9.26", "0.10"):
        with served(MockNexus(personality)) as url:
            said[personality] = shell("doctor", url).said
    assert "kernel missing: what is there cannot be read" in said["0.9.20-without-kernel"]
    assert "a read shows a stale one after an overwrite" in said["0.9.26"]
    assert "etag constant: the same whatever the content" in said["0.10"]
    assert "locks exclusive" in said["0.10"]
    assert said["0.10"].count("sunset") == 1
    assert "sunset of /api/nfs announced for Wed, 25 Jun 2026" in said["0.10"]
