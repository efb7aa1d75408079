"""Which commands there are, read from their files, none of them run.

An overview that imported every command would import the whole library to print a page. Commands
are the files in `nexus_bounty.cli.commands`, and the modules that adapters name in the entry point
group `nexus_bounty.commands`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

PACKAGE: Final = "nexus_bounty.cli.commands"
GROUP: Final = "nexus_bounty.commands"


@dataclass(frozen=True, order=True)
class CommandFile:
    """One command as the overview shows it.

    Attributes:
        panel: Where it is shown, as a place in `PANELS`.
        rank: Its place there.
        name: What people type.
        module: The module that it is in.
        summary: What it does.
    """

    panel: int
    rank: int
    name: str
    module: str
    summary: str

    @property
    def panel_name(self) -> str:
        """The heading under which it is shown."""
        return PANELS[self.panel]


PANELS: Final = ("Bounties", "Money", "When something went wrong", "To try it", "To run it")
"""In the order in which they are shown."""


@cache
def command_files() -> dict[str, CommandFile]:
    """Every command by its name, in the order of the overview."""
    found = sorted([*_own().values(), *_installed().values()])
    return {each.name: each for each in found}


def command_file(name: str) -> CommandFile | None:
    """The command of that name; adapters are only looked through for one that is not our own."""
    return _own().get(name) or _installed().get(name)


@cache
def _own() -> dict[str, CommandFile]:
    found = (
        _described(file.name.removesuffix(".py"), PACKAGE, file.read_text(encoding="utf-8"))
        for file in files(PACKAGE).iterdir()
        if file.name.endswith(".py") and file.name != "__init__.py"
    )
    return {each.name: each for each in found}


@cache
def _installed() -> dict[str, CommandFile]:
    """The commands of adapters: only the package that one is in is imported, not the module."""
    from importlib.metadata import entry_points

    found = {}
    for each in entry_points(group=GROUP):
        package, _, module = each.value.rpartition(".")
        source = (files(package) / f"{module}.py").read_text(encoding="utf-8")
        found[each.name] = replace(_described(module, package, source), name=each.name)
    return found


def _described(module: str, package: str, source: str) -> CommandFile:
    tree = ast.parse(source)
    panel, rank = _constant(tree, "PLACE")
    work = next(each for each in tree.body if isinstance(each, _FUNCTIONS) and is_work(each.name))
    summary = (ast.get_docstring(work) or "").partition("\n\n")[0].replace("\n", " ")
    name = module.replace("_", "-")
    return CommandFile(PANELS.index(panel), rank, name, f"{package}.{module}", summary)


_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_work(name: str) -> bool:
    """Whether a function of that name can be the command's work: the first public one is."""
    return not name.startswith("_")


def _constant(tree: ast.Module, name: str) -> Any:
    for each in tree.body:
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == name:
            return ast.literal_eval(each.value)
    raise LookupError(f"a command says its {name}")
