"""Which commands there are, read from the files in `nexus_bounty.cli.commands`, none of them run.

An overview that imported every command would import the whole library to print a page.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

PACKAGE: Final = "nexus_bounty.cli.commands"


@dataclass(frozen=True, order=True)
class CommandFile:
    """One command as the overview shows it; `module` is the last part of its module's name."""

    panel: int
    rank: int
    module: str
    panel_name: str
    summary: str

    @property
    def name(self) -> str:
        """What people type."""
        return self.module.replace("_", "-")


PANELS: Final = ("Bounties", "Money", "When something went wrong", "To try it", "To run it")
"""In the order in which they are shown."""


@cache
def command_files() -> dict[str, CommandFile]:
    """Every command by its name, in the order of the overview."""
    found = sorted(
        _described(file.name.removesuffix(".py"), file.read_text(encoding="utf-8"))
        for file in files(PACKAGE).iterdir()
        if file.name.endswith(".py") and file.name != "__init__.py"
    )
    return {each.name: each for each in found}


def _described(module: str, source: str) -> CommandFile:
    tree = ast.parse(source)
    panel, rank = _constant(tree, "PLACE")
    work = next(each for each in tree.body if isinstance(each, _FUNCTIONS) and is_work(each.name))
    summary = (ast.get_docstring(work) or "").partition("\n\n")[0].replace("\n", " ")
    return CommandFile(PANELS.index(panel), rank, module, panel, summary)


_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_work(name: str) -> bool:
    """Whether a function of that name can be the command's work: the first public one is."""
    return not name.startswith("_")


def _constant(tree: ast.Module, name: str) -> Any:
    for each in tree.body:
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == name:
            return ast.literal_eval(each.value)
    raise LookupError(f"a command says its {name}")
