"""The commands of the program, run in this process on a server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from nexus_bounty.cli import main
from nexus_bounty.mock import Fault, FaultKind, RequestMatch


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it said to a program: exactly one document."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """What it said to a person, line breaks aside."""
        return " ".join(f"{self.out} {self.err}".split())


class Shell:
    """Runs `nexus-bounty` in this process, as a shell with this environment would."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        environment: Mapping[str, str],
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    def setenv(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(name, value)

    def __call__(self, *arguments: object) -> Ended:
        self._capsys.readouterr()
        argv = ["nexus-bounty", *map(str, arguments)]
        self._monkeypatch.setattr("sys.argv", argv)
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else int(code is not None), said.out, said.err)

    def json(self, *arguments: object) -> Any:
        """The document of a command that must succeed."""
        ended = self(*arguments, "--json")
        assert ended.code == 0, ended
        return ended.document


class Life:
    """The steps of a bounty's life, each as a command that must succeed."""

    def __init__(self, shell: Shell, work: str) -> None:
        self._shell = shell
        self._work = work

    def funds(self, account: str = "alice", amount: int = 1000) -> None:
        self._shell.json("top-up", account, amount)

    def post(self, *more: object, key: str = "k-post") -> str:
        self.funds()
        made = self._shell.json(
            "create", "Sort it", "--amount", 100, "--creator", "alice", "--key", key, *more
        )
        return str(made["bounty"]["bountyId"])

    def claim(self, bounty_id: str, agent: str = "bob", key: str = "k-claim") -> Any:
        return self._shell.json("claim", bounty_id, "--agent", agent, "--key", key)

    def settle(self, bounty_id: str, key: str = "k-settle") -> Any:
        return self._shell.json("settle", *self.settling(bounty_id), "--key", key)

    def settling(self, bounty_id: str) -> Sequence[str]:
        """The arguments of a settle with work that meets the criteria."""
        return (bounty_id, "cid-1", "--contribution-file", self._work)

    def free(self, account: str) -> int:
        return int(self._shell.json("balance", account)["available"])

    def reserved(self, account: str) -> int:
        return int(self._shell.json("balance", account)["reserved"])

    def status(self, bounty_id: str) -> str:
        return str(self._shell.json("show", bounty_id)["status"])


def on(
    kind: FaultKind, method: str | None, path: str, times: int | None = 1, **details: Any
) -> Fault:
    """A fault on requests of `method` whose path is like `path`."""
    return Fault(kind, match=RequestMatch(method=method, path=path), times=times, **details)
