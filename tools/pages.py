"""Writes the files that a page of documentation shows: every block with a title.

python tools/pages.py PAGE FOLDER
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_BLOCK = re.compile(r'^```\w+ title="(\S+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows, by their names."""
    return dict(_BLOCK.findall(page.read_text("utf-8")))


def write_files(page: Path, folder: Path) -> None:
    """Write them into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files_of(page).items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write_files(Path(sys.argv[1]), Path(sys.argv[2]))
