"""Finds a Chromium to test with, and installs Debian's where there is none and that is possible.

python tools/chromium.py    print where it is; or say what to install, and exit with 1
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Final

VARIABLE: Final = "CHROMIUM"
"""Names one by its path, where there are several or it has another name."""
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_APT: Final = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")
_ADVICE: Final = (
    "The console is tested in Chromium, and there is none here. Install it, with `apt-get install "
    f"chromium` for example, or name one in the variable {VARIABLE}."
)


def found() -> str | None:
    """Where Chromium is; `None` if there is none."""
    named = os.environ.get(VARIABLE)
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


def installed() -> str | None:
    """Where Chromium is once Debian's is installed; `None` if that could not be done."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        command = [*_APT, *arguments]
        print(*command, file=sys.stderr)
        ended = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
        if ended.returncode:
            return None
    return found()


def main() -> int:
    """Say where it is."""
    where = found() or installed()
    if where is None:
        print(_ADVICE, file=sys.stderr)
        return 1
    print(where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
