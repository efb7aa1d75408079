"""What the how-to shows is run, on a server of the tests; what it says of files is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from nexus_bounty.mock import MockNexus
from nexus_bounty_postgres.connections import WAIT
from nexus_bounty_postgres.resolution import RESOLVE_WITHIN
from tests.docs.pages import Page
from tests.support.postgres import new_database
from tests.support.served import served

ROOT = Path(__file__).parents[3]
PAGE = Page(ROOT / "docs/how-to/credits-on-postgresql.md")
COMPOSE = ROOT / "deploy/compose.yaml"


@pytest.mark.thorough
def test_all_that_the_page_shows_runs_in_its_order(postgres_server, tmp_path):
    """Each block ends well, in one folder and with two new databases."""
    program = Path(sys.executable).parent
    environment = {
        **{name: each for name, each in os.environ.items() if not name.startswith("NEXUS_")},
        "PATH": f"{program}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}",
        "XDG_DATA_HOME": str(tmp_path),
    }
    blocks = [block.text for block in PAGE.blocks if block.language == "sh"]
    with (
        served(MockNexus()) as nexus,
        new_database(postgres_server) as bounties,
        new_database(postgres_server) as moved,
    ):
        here = {"bounties": bounties, "moved": moved}
        script = re.sub(
            r"postgresql://bounties@db\.example:5432/(\w+)",
            lambda found: here[found[1]],
            "".join(["set -e\n", *blocks]),
        )
        ended = subprocess.run(
            ["sh", "-c", script],
            cwd=tmp_path,
            env=environment | {"NEXUS_URL": nexus},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    assert "synchronous_commit" in ended.stdout
    assert ended.stdout.count("Both places have the same ledger.") == 2


def test_the_times_that_the_page_names_are_those_of_the_code():
    assert f"for {WAIT.seconds} s (`wait`)" in PAGE.text
    assert f"`resolve_within` ({RESOLVE_WITHIN.seconds} s)" in PAGE.text


def test_the_compose_file_starts_commands_that_there_are():
    """With a ledger that is on its PostgreSQL, which syncs to its volume."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    reconciler = services["reconciler"]
    assert reconciler["command"][:2] == ["reconcile", "--watch"]
    assert reconciler["environment"]["NEXUS_BOUNTY_CREDITS"].startswith("postgresql://")
    assert (COMPOSE.parent / reconciler["build"]["context"]).resolve() == ROOT
    assert (ROOT / reconciler["build"]["dockerfile"]).exists()
    assert "fsync" not in str(services["postgres"])
    assert set(services) <= set(re.findall(r"^\| `(\w+)` \|", PAGE.text, re.MULTILINE))
