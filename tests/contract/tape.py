"""Conversations with a server as files: one exchange after another, readable.

A file is a JSON object: what it shows, which server, where it comes from (`origin`), and
`exchanges`, each with what was sent (`send`) and what came back (`hear`), and `"lost": true` where
the client never heard the answer. Where requests were on their way at the same moment,
`"beside": [1, 2]` says that those of one and two exchanges before had no answer yet. Bytes that are
JSON or text are shown as such: `{"bytes of": …}`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

FIXTURES: Final = Path(__file__).parent / "fixtures"
SHOWN: Final = "bytes of"
JSON: Final = "application/json"
WIDTH: Final = 100
RECORDED: Final = (
    "recorded by tools/record.py from the released server, as the package index has it"
)
RECORDED_WITH_A_KERNEL: Final = (
    "recorded by tools/record.py from the released server, with a kernel built from its own source"
)
EARLIER_CLIENT: Final = ", to an earlier client that sent other requests than today's"
WITHOUT_A_KERNEL: Final = ("0.9.26", "0.10.1")
"""Releases whose kernel is in no package index."""


@dataclass
class Exchange:
    """One request and what the server answered, both as they travel.

    Attributes:
        send: The request.
        hear: The answer.
        lost: Whether the client never heard it.
        beside: How many exchanges before this one those began that had no answer yet when it did.
    """

    send: dict[str, Any]
    hear: dict[str, Any] = field(default_factory=dict)
    lost: bool = False
    beside: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, request: httpx.Request) -> Exchange:
        """An exchange that has just begun; the request's body must have been read."""
        key = request.headers.get("authorization")
        return cls(
            {
                "verb": request.method,
                "path": request.url.raw_path.decode(),
                **({"authorization": key} if key else {}),
                **({"body": _body(request.content)} if request.content else {}),
            }
        )

    def answered(self, response: httpx.Response) -> None:
        """Note the answer, whose body must have been read."""
        self.hear = {
            "status": response.status_code,
            "type": response.headers.get("content-type", ""),
            "body": _body(response.content),
        }

    def response(self) -> httpx.Response:
        """The answer again."""
        content = _content(self.hear["body"])
        headers = {"content-type": self.hear["type"]}
        return httpx.Response(self.hear["status"], headers=headers, content=content)

    def request(self, url: str) -> httpx.Request:
        """The request again."""
        body = self.send.get("body")
        key = self.send.get("authorization")
        return httpx.Request(
            self.send["verb"],
            url + self.send["path"],
            headers={"content-type": JSON} | ({"authorization": key} if key else {}),
            content=b"" if body is None else _content(body),
        )


@dataclass
class Tape:
    """A recorded conversation."""

    shows: str
    server: str
    origin: str
    exchanges: list[Exchange]

    def save(self, path: Path) -> None:
        """Write the file."""
        document = {
            "shows": self.shows,
            "server": self.server,
            "origin": self.origin,
            "exchanges": [_shown(each) for each in self.exchanges],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(laid_out(document) + "\n")

    @classmethod
    def load(cls, path: Path) -> Tape:
        """Read the file."""
        document = json.loads(path.read_text())
        exchanges = [
            Exchange(_wired(each.pop("send")), _wired(each.pop("hear")), **each)
            for each in document.pop("exchanges")
        ]
        return cls(**document, exchanges=exchanges)


def tape_path(release: str, scenario: str) -> Path:
    """Where the recording of a scenario is kept."""
    return FIXTURES / release / f"{scenario}.json"


def origin(release: str, *, earlier: bool = False) -> str:
    """Where the recordings of a release come from."""
    recorded = RECORDED_WITH_A_KERNEL if release in WITHOUT_A_KERNEL else RECORDED
    return recorded + (EARLIER_CLIENT if earlier else "")


def tapes() -> list[tuple[str, str]]:
    """Release and scenario of every recording there is."""
    return [(path.parent.name, path.stem) for path in sorted(FIXTURES.glob("*.*/*.json"))]


def laid_out(value: Any, indent: str = "") -> str:
    """`value` as JSON, in one line where it fits."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, (dict, list)):
        return line
    deeper = indent + " "
    if isinstance(value, list):
        inner = [deeper + laid_out(each, deeper) for each in value]
        return "[\n" + ",\n".join(inner) + f"\n{indent}]"
    named = [f"{deeper}{json.dumps(key)}: {laid_out(each, deeper)}" for key, each in value.items()]
    return "{\n" + ",\n".join(named) + f"\n{indent}}}"


def _shown(exchange: Exchange) -> dict[str, Any]:
    how = {"lost": exchange.lost, "beside": exchange.beside}
    told = {name: value for name, value in how.items() if value}
    return {"send": readable(exchange.send), "hear": readable(exchange.hear), **told}


def _body(content: bytes) -> Any:
    """A body as JSON where it is JSON, as text otherwise."""
    try:
        return json.loads(content)
    except ValueError:
        return {"text": content.decode()}


def _content(body: Any) -> bytes:
    if isinstance(body, dict) and list(body) == ["text"]:
        return str(body["text"]).encode()
    return json.dumps(body, ensure_ascii=False).encode()


def readable(value: Any) -> Any:
    """`value` with bytes shown as the JSON or text that they are, where that loses nothing."""
    if isinstance(value, list):
        return [readable(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("__type__") == "bytes" and isinstance(value.get("data"), str):
        return _shown_bytes(value)
    return {key: readable(each) for key, each in value.items()}


def _shown_bytes(value: dict[str, Any]) -> dict[str, Any]:
    try:
        content = base64.b64decode(value["data"], validate=True)
        text = content.decode()
    except ValueError:
        return value
    candidates = ({SHOWN: _body(content)}, {SHOWN: text})
    return next((each for each in candidates if _wired(each) == value), value)


def _wired(value: Any) -> Any:
    """The inverse of `readable`."""
    if isinstance(value, list):
        return [_wired(each) for each in value]
    if not isinstance(value, dict):
        return value
    if list(value) == [SHOWN]:
        shown = value[SHOWN]
        content = shown.encode() if isinstance(shown, str) else msgspec.json.encode(shown)
        return {"__type__": "bytes", "data": base64.b64encode(content).decode()}
    return {key: _wired(each) for key, each in value.items()}
