"""What tries a page with the wheel alone notices when the page is wrong."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tools.newcomer import main
from tools.packages import incomplete, modules_of

PAGE = """
```python title="hello.py"
print("hello from", __file__)
```

```sh
export WHO=reader
:
```

```sh
python3 hello.py && echo "$WHO"
```

```text title="output"
hello from …
{shown}
```
"""


def tried(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    main(page, tmp_path / "none.whl")


def test_a_page_is_done_in_one_shell_and_compared_with_what_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is exported stays; what it said differently, or did not do, is an error."""
    tried(tmp_path, PAGE.replace("{shown}", "reader"))
    assert "each did what the page says" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="writer"):
        tried(tmp_path, PAGE.replace("{shown}", "writer"))
    with pytest.raises(SystemExit, match="ended with 7"):
        tried(tmp_path, PAGE.replace("\n:\n", "\nexit 7\n"))


def test_every_module_of_a_wheel_is_known_by_its_name(tmp_path: Path) -> None:
    """Programs are not: to import them runs them."""
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("a/__init__.py", "a/b.py", "a/__main__.py", "a/py.typed"):
            archive.writestr(name, "")
    assert modules_of(wheel) == ["a", "a.b"]


def test_a_bill_of_materials_without_a_licence_is_incomplete() -> None:
    """Ours, and that of whatever comes along."""
    ours = {"name": "nexus-bounty", "version": "1", "licenses": [{"license": {"id": "MIT"}}]}
    other = {"name": "other", "version": "2", "licenses": [{"license": {"id": "ISC"}}]}
    assert list(incomplete({"components": [ours, other]})) == []
    assert list(incomplete({"components": [other]})) == [
        "nexus-bounty does not say that its licence is MIT"
    ]
    del other["licenses"], other["version"]
    assert list(incomplete({"components": [ours, other]})) == [
        "other has no licence",
        "other has no version",
    ]
