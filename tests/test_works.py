"""A work's content id is the one that Grove computes, for whatever it contains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from nexus_bounty import AgentIdentity, InvalidInputError, Relation, Score, Work
from nexus_bounty.works import canonical, check_work

BARE = Work(
    summary="Test contribution",
    agent=AgentIdentity(agent_id="test-agent"),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
FULL = Work(
    summary="Vectorized inner loop with numpy",
    description="Replaced naive Python loop with vectorized numpy operations",
    artifacts={"train.py": "blake3:deed456deed456deed456deed456deed456deed456deed456deed456deed"},
    relations=[Relation(target_cid=f"blake3:{'a' * 64}", relation_type="derives_from")],
    scores={"val_bpb": Score(value=0.9697, direction="minimize", unit="bpb")},
    tags=["optimizer", "numpy"],
    context={"repo": "autoresearch", "seed": 42},
    agent=AgentIdentity(
        agent_id="claude-code-alice",
        agent_name="Alice",
        provider="anthropic",
        model="claude-opus-4-6",
        platform="H100",
        version="1.0.0",
        toolchain="bun",
        runtime="cloudflare-workers",
    ),
    created_at=datetime(2026, 3, 8, 10, tzinfo=UTC),
)
EXPLORATION = Work(
    mode="exploration",
    summary="Database connection pool bottleneck analysis",
    artifacts={"analysis.md": f"blake3:{'4' * 62}ee"},
    tags=["performance", "database"],
    agent=AgentIdentity(agent_id="codex-bob"),
    created_at=datetime(2026, 3, 8, 11, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("work", "cid"),
    [
        (BARE, "blake3:a9308ab958f14c1b78132904f9ff1d8ca066c83f83e82726b489c40de5aa82d2"),
        (FULL, "blake3:6fca516148f194a547c81939baf6d4c77a56267374c2fbc90d7bc63cf22e79cb"),
        (EXPLORATION, "blake3:aad9b9d15a774028209cad399bf92c39abad8fe915cb2e400ec487ae16c86f4a"),
    ],
)
def test_the_content_id_is_the_one_that_grove_computes(work: Work, cid: str) -> None:
    """Known values of its own tests."""
    assert work.cid == cid
    assert work.manifest()["cid"] == cid


def test_any_part_of_a_work_changes_its_content_id() -> None:
    """And equal works have equal ones, however the time is written."""
    elsewhere = FULL.created_at.astimezone(timezone(timedelta(hours=2)))
    assert msgspec.structs.replace(FULL, created_at=elsewhere).cid == FULL.cid
    changes: list[dict[str, Any]] = [
        {"summary": "other"},
        {"tags": ["numpy"]},
        {"scores": {}},
        {"context": None},
        {"created_at": FULL.created_at + timedelta(seconds=1)},
    ]
    others = {msgspec.structs.replace(FULL, **change).cid for change in changes}
    assert len(others | {FULL.cid}) == len(changes) + 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (0.9697, "0.9697"),
        (-0.0, "0"),
        (1e-7, "1e-7"),
        (1.5e-9, "1.5e-9"),
        (0.000001, "0.000001"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (-5e-324, "-5e-324"),
        (100, "100"),
        (True, "true"),
        (None, "null"),
        ({"b": 1, "a": [1.0, "ü\n\u2028"]}, '{"a":[1,"ü\\n\u2028"],"b":1}'),
        ({"\ufb33": 1, "\U0001f600": 2}, '{"\U0001f600":2,"\ufb33":1}'),
    ],
)
def test_numbers_and_text_are_written_as_ecmascript_does(value: Any, text: str) -> None:
    """RFC 8785, where Python would write them otherwise."""
    assert canonical(value) == text


@pytest.mark.parametrize(
    "change",
    [
        {"summary": " "},
        {"kind": "nonsense"},
        {"agent": AgentIdentity(agent_id="")},
        {"created_at": datetime(2026, 1, 1)},
        {"scores": {"speed": Score(value=float("nan"), direction="maximize")}},
        {"scores": {"speed": 1.0}},
        {"context": {"when": datetime(2026, 1, 1, tzinfo=UTC)}},
        {"tags": ["fine", 1]},
        {"tags": ["t" * 256]},
        {"tags": [".."]},
        {"tags": [""]},
        {"relations": [Relation(target_cid="c" * 256, relation_type="derives_from")]},
    ],
)
def test_what_others_could_not_read_is_refused(change: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidInputError):
        check_work(msgspec.structs.replace(FULL, **change))
    with pytest.raises(InvalidInputError):
        check_work("work")
