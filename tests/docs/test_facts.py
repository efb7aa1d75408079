"""What the documentation says of options, extras, codes and files is so."""

from __future__ import annotations

import os
import re
import tomllib
from importlib import import_module

import nexus_bounty
from nexus_bounty import NexusSettings
from nexus_bounty.cli.app import VARIABLES, _command
from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.options import Options, ServiceOptions
from nexus_bounty.cli.overview import command_files
from nexus_bounty.reconcile.reconciler import SWEEPS
from tests.docs.pages import PAGES, ROOT, Page
from tests.simulation.scenario import ATOMIC
from tests.simulation.simulation import REQUESTS_TO_CATCH_UP, REQUESTS_TO_RESOLVE

README = Page(ROOT / "README.md")
COMMAND_LINE = Page(ROOT / "docs/reference/command-line.md")
SETTINGS = Page(ROOT / "docs/reference/settings.md")
DEVELOPERS = {"versions", "bench", "browser", "check", "dev", "docs", "explore", "package", "test"}
SHELL = "\n".join(each.text for page in PAGES for each in page.blocks if each.language == "sh")


def test_every_place_that_the_module_map_sends_a_change_to_is_there() -> None:
    text = (ROOT / "docs/carrying-on/module-map.md").read_text("utf-8")
    table = text.partition("## Where a change goes")[2].partition("\n## ")[0]
    named = re.findall(r"`(?:python |pytest )?([\w/]+/[\w/.]+)`", table)
    assert len(named) >= 15
    roots = (ROOT, ROOT / "nexus_bounty")
    assert [each for each in named if not any((root / each).exists() for root in roots)] == []


def test_a_metric_is_in_no_other_place_than_the_map_says() -> None:
    """Found by the name of one that is exported."""
    text = (ROOT / "docs/carrying-on/module-map.md").read_text("utf-8")
    (row,) = (each for each in text.splitlines() if each.startswith("| a metric of an event |"))
    places = {
        path.relative_to(ROOT).as_posix()
        for room in ("nexus_bounty", "adapters", "docs")
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".py", ".md", ".json", ".yaml", ".yml")
        and re.search(r"nexus[._]bounty[._]retries", path.read_text("utf-8"))
    }
    assert places <= set(re.findall(r"`([^`]+)`", row)), places


def test_the_readme_is_no_manual() -> None:
    assert README.text.count("\n") <= 150


def test_what_pages_have_a_reader_create_in_a_zone_is_named_by_one_of_them_alone() -> None:
    """Whoever tries two of them one after the other meets no bounty and no key of the first."""
    named: dict[str, set[str]] = {}
    for page in (README, *(each for each in PAGES if each.path != README.path)):
        for each in page.blocks:
            ids = re.findall(r"nexus-bounty create .*--bounty-id (\S+)", each.text)
            keys = re.findall(r"nexus-bounty create .*--key (\S+)", each.text)
            made = re.findall(r'bounty_id="(.+)"', each.text) if page is README else []
            for name in (*ids, *keys, *made):
                named.setdefault(name, set()).add(page.path.name)
    assert {name: pages for name, pages in named.items() if len(pages) > 1} == {}
    assert "README.md" in named["lexer-1"]
    assert "tutorial.md" in named["parser-1"]


def test_the_readme_and_the_first_page_lead_to_every_how_to() -> None:
    names = {page.name for page in (ROOT / "docs/how-to").glob("*.md")}
    for first in (README, Page(ROOT / "docs/index.md")):
        assert set(re.findall(r"how-to/([\w-]+\.md)\)", first.text)) == names


def test_every_extra_is_in_the_readme_once() -> None:
    table = README.text.partition("| extra | for |")[2].partition("\n\n")[0]
    extras = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert len(extras) == len(set(extras))


def test_every_make_target_that_is_shown_exists() -> None:
    """And `.ci/run` is there and can be run."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", SHELL, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_every_extra_that_is_shown_exists_and_the_readme_leaves_none_out() -> None:
    """The table is the list in pyproject.toml, the developers' own extras aside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    there = set(project["optional-dependencies"]) - DEVELOPERS
    table = README.text.partition("| extra | for |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == there
    for extras in re.findall(r"^pip install '(?:\.|nexus-bounty)\[([\w,]+)\]", SHELL, re.MULTILINE):
        assert set(extras.split(",")) <= there


def test_the_table_of_exit_codes_is_complete() -> None:
    """Scripts rely on it; the README names each of them as well."""
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", COMMAND_LINE.text, re.MULTILINE)]
    assert codes == list(ExitCode)
    table = README.text.partition("| exit code | |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == set(ExitCode)


def test_the_table_of_commands_is_complete() -> None:
    table = COMMAND_LINE.text.partition("| | |\n")[2].partition("\n\n")[0]
    assert re.findall(r"`([a-z-]+)`", table) == list(command_files())


def test_the_table_of_settings_is_complete_and_says_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `NEXUS_(\w+)` \| `?([^|`]+?)`? \|", SETTINGS.text, re.MULTILINE))
    fields = NexusSettings.model_fields.items()
    told = {
        name.upper(): "none" if row.default is None else str(row.default) for name, row in fields
    }
    assert rows == told


def test_every_variable_that_is_shown_is_read() -> None:
    """By the settings, or by the command line."""
    options = " ".join(path.read_text() for path in (ROOT / "nexus_bounty/cli").rglob("*.py"))
    settings = {f"NEXUS_{name.upper()}" for name in NexusSettings.model_fields}
    for page in PAGES:
        for name in set(re.findall(r"\bNEXUS_[A-Z_]*[A-Z]\b", page.text)):
            known = name in settings or f'"{name}"' in options or name in _of_services()
            assert known, f"{page.name}: {name}"


def _of_services() -> set[str]:
    """The variables that the options of services have by their names."""
    modules = {name: import_module(each.module) for name, each in command_files().items()}
    services = [
        name
        for name, module in modules.items()
        if issubclass(getattr(module, "OPTIONS", Options), ServiceOptions)
    ]
    assert "reconcile" in services
    commands = {each: _command(command_files()[each].module, each) for each in services}
    return {
        f"{VARIABLES}{command}_{option.name}".upper()
        for command, made in commands.items()
        for option in made.params
    }


def test_every_link_leads_to_a_file_that_is_there() -> None:
    """Those into the repository, that is; mkdocs looks at anchors."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", page.text):
            assert (page.path.parent / target).exists(), f"{page.name}: {target}"


def test_everything_that_is_exported_is_in_the_reference() -> None:
    """By its own name, or with the module in which it is defined."""
    reference = "\n".join(page.text for page in PAGES if "docs/reference/" in page.name)
    shown = set(re.findall(r"^::: (\S+)$", reference, re.MULTILINE))
    for name in nexus_bounty.__all__:
        kind = getattr(nexus_bounty, name)
        module = getattr(kind, "__module__", "nexus_bounty.models")
        assert {module, f"{module}.{getattr(kind, '__name__', name)}"} & shown, name


def test_what_the_reconciler_is_quoted_with_is_what_it_says() -> None:
    """Each part of a message, as it stands in the code."""
    page = Page(ROOT / "docs/how-to/recover-by-hand.md").text
    table = page.partition("| it says |")[2].partition("\n\n")[0]
    rooms = ("reconcile", "operations")
    paths = [path for room in rooms for path in (ROOT / "nexus_bounty" / room).glob("*.py")]
    code = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in paths))
    rows = re.findall(r"^\| (?!-)([^|]+) \|", table, re.MULTILINE)
    assert len(rows) > 5
    for row in rows:
        for part in re.split(r"; |…", row.removeprefix("somebody ")):
            assert part.strip() in code, part


def test_every_sweep_is_in_the_table_of_what_is_repaired() -> None:
    page = Page(ROOT / "docs/how-to/run-the-reconciler.md").text
    for sweep in SWEEPS:
        assert re.search(rf"^\|[^|]*\b{sweep.name}\b[^|]*\|", page, re.MULTILINE), sweep.name


def test_the_requests_that_a_resolution_may_take_are_those_that_the_exploration_allows() -> None:
    page = Page(ROOT / "docs/explanation/exploration.md").text
    exact, vague = (REQUESTS_TO_RESOLVE[ATOMIC, etag] for etag in ("content", "version"))
    told = f"| preconditions that hold | {exact}; {vague} where etags say nothing about content |"
    assert told in page
    for (server, _), requests in REQUESTS_TO_RESOLVE.items():
        assert server == ATOMIC or f"| {server} | {requests} |" in page
    assert f"was updated | {REQUESTS_TO_CATCH_UP} more |" in page


def test_the_module_map_has_every_room() -> None:
    """And no room that there is not."""
    page = Page(ROOT / "docs/carrying-on/module-map.md").text
    table = page.partition("| room |")[2].partition("\n\n")[0]
    told = set(
        re.findall(r"`([a-z_/]+)`", "".join(re.findall(r"^\| (`[^|]+)\|", table, re.MULTILINE)))
    )
    package = ROOT / "nexus_bounty"
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    assert rooms - {"nexus"} <= told
    for name in told - {"adapters/"}:
        assert (package / name).exists() or (package / f"{name}.py").exists(), name


def test_the_changelog_tells_first_what_whoever_upgrades_has_to_do() -> None:
    """Of each release, the one that this is among them."""
    _, *releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert releases[0].startswith(f"[{nexus_bounty.__version__}]")
    for release in releases:
        assert re.findall(r"^### (.*)$", release, re.MULTILINE)[0] == "Upgrading"
