"""A page that does not do what it says is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import Page
from tests.docs.session import Session

WRONG = {
    "a command that fails": "```sh\nnexus-bounty show nobody-knows-it\n```\n",
    "a command in the middle": "```sh\nfalse\necho well\n```\n",
    "an exit code that is not the one shown": (
        '```sh\npython -c "exit(3)" || echo "it was $?"\n```\n\n'
        '```text title="output"\nit was 4\n```\n'
    ),
    "a snippet that raises": "```python\nraise ValueError\n```\n",
    "a snippet that warns": "```python\nimport warnings\n\nwarnings.warn('old')\n```\n",
    "a file whose program raises": (
        '```python title="a.py"\nimport b\n```\n\n```sh\npython a.py\n```\n'
    ),
    "other words": '```python\nprint("this")\n```\n\n```text title="output"\nthat\n```\n',
    "more words": '```python\nprint("this\\nthat")\n```\n\n```text title="output"\nthis\n```\n',
    "a test that fails": '```python title="test_it.py"\ndef test_it():\n    assert False\n```\n',
}
RIGHT = """
```sh
export NAME=world
echo "hello $NAME" > said
nexus-bounty --version | head -1
```

```python title="say.py"
from pathlib import Path

print(Path("said").read_text().strip())
print("and", "more")
```

```sh
python say.py
echo "$NAME"
```

```text title="output"
hello …
…
world
```

<!-- not run: there is no such program -->
```sh
no-such-program
```
"""


def _session(text: str, folder: Path, environment: dict[str, str], url: str) -> Session:
    path = folder / "page.md"
    path.write_text(text)
    return Session(Page(path), folder, environment, url)


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_on_a_page_fails(
    what: str, tmp_path: Path, environment: dict[str, str], url: str
) -> None:
    session = _session(WRONG[what], tmp_path, environment, url)
    with pytest.raises(pytest.fail.Exception, match=r"page\.md:\d+"):
        session.run_all()


def test_what_is_right_on_a_page_passes_as_one_session(
    tmp_path: Path, environment: dict[str, str], url: str
) -> None:
    """Variables and files stay from block to block; `…` stands for anything."""
    _session(RIGHT, tmp_path, environment, url).run_all()


def test_a_block_that_is_not_run_says_why() -> None:
    page = Page(Path("page.md"))
    page.__dict__["text"] = RIGHT
    assert [each.reason for each in page.blocks if each.reason] == ["there is no such program"]
