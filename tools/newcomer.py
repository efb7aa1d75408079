"""Does all that a page says, from its first line to its last, as a newcomer with the wheel alone.

python tools/newcomer.py PAGE WHEEL

Everything is typed into one shell in an empty folder, with an empty home: `python3 -m venv`,
`pip install`, servers that go on in the background. What the page shows as output is compared.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.docs.pages import DEFAULT_URL, Block, Page, is_as_shown  # noqa: E402

UNTIL_IT_LISTENS: Final = """
until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.1; done
"""
"""What a reader's slowness does after a server was started."""
LONGEST_SECONDS: Final = 600


def main(page: Path, wheel: Path) -> None:
    """Do it.

    Raises:
        SystemExit: Something failed, or said something else than the page shows.
    """
    blocks = [each for each in Page(page).blocks if each.language in ("sh", "python", "text")]
    with tempfile.TemporaryDirectory() as room:
        folder, said = Path(room) / "empty", Path(room) / "said"
        folder.mkdir()
        said.mkdir()
        port = _free_port()
        script = "\n".join(_script(blocks, port, said))
        ended = subprocess.run(
            ["bash", "-eu", "-c", script],
            cwd=folder,
            env=_environment(Path(room), wheel, port),
            stdin=subprocess.DEVNULL,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        if ended.returncode:
            begun = len(list(said.iterdir()))
            sys.exit(f"{page.name}: its command {begun} ended with {ended.returncode}")
        _compare(blocks, said)
    print(f"{page.name}: {len(blocks)} blocks, each did what the page says")


def _script(blocks: list[Block], port: int, said: Path) -> Iterator[str]:
    yield "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
    for number, block in enumerate(blocks):
        text = block.text.replace(DEFAULT_URL, f"http://127.0.0.1:{port}")
        if block.is_output:
            continue
        if block.title:
            yield f"printf %s {shlex.quote(text)} > {shlex.quote(block.title)}"
        elif block.language == "sh":
            waiting = UNTIL_IT_LISTENS.format(port=port) if text.rstrip().endswith("&") else ""
            yield f"{{\n{text}{waiting}}} > {shlex.quote(str(said / str(number)))}"


def _environment(room: Path, wheel: Path, port: int) -> dict[str, str]:
    """Nothing but a home, and where `pip install nexus-bounty` finds it before it is released."""
    config = room / "config.toml"
    config.write_text(f'url = "http://127.0.0.1:{port}"\n[mock-server]\nport = {port}\n')
    programs = room / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(Path(sys.executable).resolve())  # not an older one
    kept = {name: os.environ[name] for name in ("LANG",) if name in os.environ}
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return {
        **kept,
        **pip,
        "HOME": str(room),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PIP_FIND_LINKS": f"{pip.get('PIP_FIND_LINKS', '')} {wheel.resolve().parent}".strip(),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_QUIET": "1",
        "NEXUS_BOUNTY_CONFIG": str(config),
    }


def _compare(blocks: list[Block], said: Path) -> None:
    """Compare what the page shows with what the block before it said.

    Raises:
        SystemExit: It is something else.
    """
    latest = ""
    for number, block in enumerate(blocks):
        if block.is_output and not is_as_shown(block.text, latest):
            sys.exit(f"line {block.line} shows\n{block.text}\nbut it was\n{latest}")
        file = said / str(number)
        latest = file.read_text("utf-8") if file.exists() else latest


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
