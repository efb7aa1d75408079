"""Installs the wheel and the sdist into empty environments of each Python that is here.

    python tools/packages.py DIST              # all of them
    python tools/packages.py DIST --only 3.13  # one Python

In each, with every extra: every module is imported, with warnings as errors; what is installed
fits together; the demo ends with all money there. Of the first one an SBOM is made in the form of
CycloneDX, in which every package has its licence, and is left in DIST.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.real_nexus import find_python  # noqa: E402

SERIES: Final = ("3.11", "3.12", "3.13", "3.14")
IMPORT_ALL: Final = """
import importlib, sys
for name in sys.stdin:
    importlib.import_module(name.strip())
"""
APART: Final = ("__main__", ".migrations.env")
"""Programs, the second one alembic's."""


def modules_of(wheel: Path) -> list[str]:
    """Every module in a wheel, by its name."""
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if name.endswith(".py")]
    names = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files]
    return sorted(name for name in names if not name.endswith(APART))


def try_package(package: Path, modules: Sequence[str], python: str, uv: str, room: Path) -> None:
    """Install a package, and use it.

    Raises:
        subprocess.CalledProcessError: It cannot be installed, or does not work.
    """
    own = str(room / "bin" / "python")
    environment = {**os.environ, "HOME": str(room), "XDG_DATA_HOME": str(room)}
    environment.pop("PYTHONPATH", None)

    def run(*command: str, said: str = "") -> str:
        return subprocess.run(
            command,
            cwd=room,
            env=environment,
            check=True,
            input=said,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    subprocess.run([uv, "venv", "--quiet", "--python", python, str(room)], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", own, f"{package}[all]"]
    subprocess.run(install, check=True)
    subprocess.run([uv, "pip", "check", "--quiet", "--python", own], check=True)
    run(own, "-W", "error", "-c", IMPORT_ALL, said="\n".join(modules))
    report = json.loads(run(str(room / "bin" / "nexus-bounty"), "demo", "--json").splitlines()[-1])
    assert report["final_status"] == "settled", report
    assert report["credits_conserved"], report


def bill_of_materials(room: Path) -> dict[str, Any]:
    """What is installed in an environment, in the form of CycloneDX."""
    made = subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", "environment", str(room / "bin" / "python")],
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def incomplete(bill: dict[str, Any]) -> Iterator[str]:
    """What whoever checks licences would have to ask for."""
    ours = [each for each in bill["components"] if each["name"] == "nexus-bounty"]
    if len(ours) != 1 or "MIT" not in json.dumps(ours[0].get("licenses", "")):
        yield "nexus-bounty does not say that its licence is MIT"
    for each in bill["components"]:
        if not each.get("licenses"):
            yield f"{each['name']} has no licence"
        if not each.get("version"):
            yield f"{each['name']} has no version"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try them; how many failed."""
    given = _parsed(arguments)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        sys.exit("uv was not found: pip install uv")
    pythons = {each: python for each in SERIES if (python := find_python(each))}
    (wheel,), (sdist,) = given.dist.glob("*.whl"), given.dist.glob("*.tar.gz")
    modules, failed = modules_of(wheel), 0
    for series, python in pythons.items():
        for package in (wheel, sdist):
            if given.only in (None, series):
                failed += not _passes(package, modules, python, uv, series, given.dist)
    print(f"not on this machine: {', '.join(set(SERIES) - pythons.keys()) or 'none'}")
    return failed


def _passes(
    package: Path, modules: Sequence[str], python: str, uv: str, series: str, dist: Path
) -> bool:
    kind = "sdist" if package.suffix == ".gz" else "wheel"
    bill = dist / "nexus-bounty.cdx.json"
    with tempfile.TemporaryDirectory() as directory:
        room = Path(directory)
        try:
            try_package(package.resolve(), modules, python, uv, room)
            problems = []
            if not bill.exists():
                found = bill_of_materials(room)
                problems = list(incomplete(found))
                bill.write_text(json.dumps(found, indent=1), "utf-8")
        except (subprocess.CalledProcessError, AssertionError) as error:
            problems = [str(error)]
    said = f"FAILED: {'; '.join(problems)}" if problems else f"{len(modules)} modules and the demo"
    print(f"{series} {kind}: {said}", flush=True)
    return not problems


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dist", type=Path, help="where the wheel and the sdist are")
    parser.add_argument("--only", help="one Python, such as 3.13")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
