"""Each command, option, variable and file that the files for systemd and containers name exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from nexus_bounty import NexusSettings
from nexus_bounty.cli.app import CommandFiles
from tests.deploy.test_files import BINARY, DEPLOY, ROOT, UNIT, of

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {name: each for name, each in COMPOSE["services"].items() if "build" in each}
LIBPQ = {"PGPASSWORD"}
CONFIG = re.compile(r"/etc/nexus-bounty/\w+\.toml")
"""Where the configuration is on a machine that has the program."""


def command_of(name: str) -> Any:
    found = CommandFiles().get_command(None, name)
    assert found is not None, f"there is no command {name}"
    return found


def check(words: list[str]) -> None:
    """Fail if the words are no call of the program; nothing is run."""
    name, *rest = words
    context = command_of(name).make_context(name, rest)
    assert not context.args


def variables_of(*names: str) -> set[str]:
    """Those that a service goes by: its options', the settings', and libpq's."""
    options = [option for name in names for option in command_of(name).params]
    given = [option.envvar for option in options if option.envvar]
    of_options = {each for one in given for each in ([one] if isinstance(one, str) else one)}
    of_settings = {f"NEXUS_{each.upper()}" for each in NexusSettings.model_fields}
    return of_options | of_settings | LIBPQ


def test_the_services_of_compose_call_the_program_as_it_can_be_called() -> None:
    """And know every variable that they are given."""
    assert OURS
    for each in OURS.values():
        check(each["command"])
        assert set(each["environment"]) <= variables_of(each["command"][0])


def test_what_compose_names_of_itself_and_of_files_is_there() -> None:
    """Services that are waited for, with a check of health; volumes, secrets, the Containerfile."""
    for service in COMPOSE["services"].values():
        for name, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in COMPOSE["services"][name]
        assert {each.partition(":")[0] for each in service.get("volumes", [])} <= {
            *COMPOSE["volumes"]
        }
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    for service in OURS.values():
        built_in = (DEPLOY / service["build"]["context"]).resolve()
        assert built_in == ROOT
        assert (built_in / service["build"]["dockerfile"]).is_file()
    postgres = COMPOSE["services"]["postgres"]
    for name in postgres["secrets"]:
        assert f"/run/secrets/{name}" in postgres["environment"].values()


def test_the_ledger_of_compose_is_in_the_database_that_it_makes() -> None:
    """Under the user's name, on the host that is named as the service is."""
    made = COMPOSE["services"]["postgres"]["environment"]
    for each in OURS.values():
        url = each["environment"]["NEXUS_BOUNTY_CREDITS"]
        assert url == f"postgresql://{made['POSTGRES_USER']}@postgres/{made['POSTGRES_DB']}"


def test_the_container_calls_the_program_as_it_can_be_called() -> None:
    """What it runs, and every variable that it is given."""
    (command,) = of("CMD")
    check(yaml.safe_load(command))
    named = {each.partition("=")[0] for each in of("ENV")} - {"PATH"}
    assert named <= variables_of("reconcile")


@pytest.mark.parametrize("text", [UNIT.read_text()])
def test_the_unit_names_services_and_variables_that_there_are(text: str) -> None:
    """Each service that it says it is for, in its own words."""
    services = set(re.findall(r"nexus-bounty@([a-z-]+)", text))
    assert services
    for name in services:
        check([name])
    named = set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE)) - {"XDG_DATA_HOME"}
    assert named <= variables_of(*services)


def pages_with_units() -> list[tuple[str, str]]:
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        blocks = re.findall(r"```ini[^\n]*\n(.*?)```", page.read_text(), re.DOTALL)
        found += [(page.name, each) for each in blocks if "ExecStart=" in each]
    return found


@pytest.mark.parametrize(("page", "text"), pages_with_units(), ids=lambda each: each[:20])
def test_the_units_that_pages_show_call_the_program_as_it_can_be_called(
    page: str, text: str
) -> None:
    """By the path where the unit that is shipped has it."""
    for line in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE):
        program, *words = CONFIG.sub(str(DEPLOY / "config.toml"), line).split()
        assert program == BINARY, page
        check(words)


def test_a_call_that_cannot_be_made_is_found() -> None:
    """Of this test: else it would find nothing wrong with anything."""
    with pytest.raises(AssertionError, match="no command reconcil"):
        check(["reconcil"])
    with pytest.raises(Exception, match="No such option"):
        check(["reconcile", "--evry", "5m"])
    assert "NEXUS_URL" in variables_of("reconcile")
    assert "NEXUS_URI" not in variables_of("reconcile")
