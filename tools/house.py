"""Measures the house: how deep a claim goes, what carries an etag, how long functions are.

python tools/house.py           print the measures
python tools/house.py --json    print them as JSON
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import re
import statistics
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import httpx

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "nexus_bounty"
SOURCES: Final = (PACKAGE, ROOT / "adapters")
NOT_COUNTED: Final = ("mock", "testing")
"""What stands for the server and for the tests."""
MOST_LINES: Final = 400
ETAG_NAMES: Final = ("etag", "content_id")
ATOMIC: Final = "0.10-hypothetical"
"""The personality whose preconditions hold."""
_COMMITS: Final = (
    re.compile(r"^(write|rename) [^ ]*/indexes/bounties/commits/"),
    re.compile(r"^write [^ ]*/zones/\w+/bounties/"),
)
"""The request that commits a bounty: to the slot that it wins, or else of its file."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, and by which frames of ours it came from the caller to the transport."""

    target: str
    """Its method, and the path that it writes."""
    frames: tuple[str, ...]
    """Those of a task follow those that made the task; empty if that was not for the caller."""


@dataclass(slots=True)
class Watching(httpx.AsyncBaseTransport):
    """Passes requests on, and notes by which frames of ours each came."""

    inner: httpx.AsyncBaseTransport
    caller: str = ""
    """The qualified name of the function from which frames are counted; none if empty."""
    sent: list[Sent] = field(default_factory=list)
    _made_by: WeakKeyDictionary[asyncio.Task[Any], tuple[str, ...]] = field(
        default_factory=WeakKeyDictionary
    )
    """Of each task that was made for the caller, the frames that made it."""

    def count_from(self, caller: str) -> None:
        """Note from now on by which frames requests come from this function."""
        self.caller = caller
        asyncio.get_running_loop().set_task_factory(self._make_task)

    def stop(self) -> None:
        """Note nothing any more."""
        self.caller = ""
        asyncio.get_running_loop().set_task_factory(None)

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        steps: Coroutine[Any, Any, T] | Generator[Any, None, T],
        **options: Any,
    ) -> asyncio.Task[T]:
        made_by = self._stack()
        task = asyncio.Task(steps, loop=loop, **options)
        self._made_by[task] = made_by
        return task

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Note the stack, and send."""
        if self.caller:
            body = json.loads(request.content or b"{}")
            params = body.get("params", {})
            target = f"{body['method']} {params.get('new_path', params.get('path'))}"
            self.sent.append(Sent(target, self._stack()))
        return await self.inner.handle_async_request(request)

    def _stack(self) -> tuple[str, ...]:
        """Our frames from the caller to here, outermost first; empty if it did not lead here.

        A stack ends where its task begins: it goes on with the one that made the task.
        """
        names: list[str] = []
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - there is no other way
        while frame is not None:
            if _is_ours(frame):
                names.append(frame.f_code.co_qualname)
            if names and names[-1] == self.caller:
                return tuple(reversed(names))
            frame = frame.f_back
        task = asyncio.current_task()
        made_by = self._made_by.get(task, ()) if task else ()
        return (*made_by, *reversed(names)) if made_by else ()


def _is_ours(frame: FrameType) -> bool:
    path = Path(frame.f_code.co_filename)
    return PACKAGE in path.parents and path.relative_to(PACKAGE).parts[0] not in NOT_COUNTED


@dataclass(frozen=True, slots=True)
class Depth:
    """How many frames of ours a call passes to the transport: for its commit, and at most.

    The deepest is that of any request which the call leads to, those of tasks included: of what
    goes ahead of the commit, beside it, or after it.
    """

    commit: int
    deepest: int
    stack: tuple[str, ...]
    """The frames of the commit."""
    deepest_stack: tuple[str, ...]
    deepest_target: str
    unattributed: int
    """How many requests came from tasks that were there before the call: they are not counted."""

    @classmethod
    def of(cls, sent: list[Sent]) -> Depth:
        """The depth by all that was `sent`."""
        deepest = max(sent, key=lambda each: len(each.frames))
        commit = next(
            each.frames
            for pattern in _COMMITS
            for each in sent
            if each.frames and pattern.search(each.target)
        )
        return cls(
            len(commit),
            len(deepest.frames),
            commit,
            deepest.frames,
            deepest.target,
            sum(not each.frames for each in sent),
        )


async def measure_store_claim(personality: str = ATOMIC, commit: Any = "auto") -> Depth:
    """Of `store.claim_bounty`, on a bounty that the store has just created."""
    from nexus_bounty import AgentIdentity, NexusBountyStore, NexusClient
    from nexus_bounty.mock import MockNexus
    from nexus_bounty.testing import make_bounty

    mock = MockNexus(personality)
    watching = Watching(mock.transport())
    async with NexusClient("http://nexus", transport=watching) as client:
        store = NexusBountyStore(client, commit=commit)
        bounty = await store.create_bounty(make_bounty())
        watching.count_from("NexusBountyStore.claim_bounty")
        await store.claim_bounty(bounty.bounty_id, AgentIdentity(agent_id="bob"), "c-1")
    watching.stop()
    return Depth.of(watching.sent)


async def measure_operation_claim(personality: str = ATOMIC, commit: Any = "auto") -> Depth:
    """Of `operations.claim`, with claims on Nexus, on a bounty that the process has created."""
    from nexus_bounty import AgentIdentity, BountyOperations, NexusBountyStore, NexusClient
    from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
    from nexus_bounty.mock import MockNexus
    from nexus_bounty.nexus.claims.store import NexusClaimStore
    from nexus_bounty.testing import make_bounty

    mock = MockNexus(personality)
    watching = Watching(mock.transport())
    async with NexusClient("http://nexus", transport=watching) as client:
        credit, bounty = MemoryCredits(), make_bounty()
        await credit.top_up("t-1", account=bounty.creator.agent_id, amount=bounty.amount)
        operations = BountyOperations(
            NexusBountyStore(client, commit=commit),
            credits=credit,
            claims=NexusClaimStore(client, commit=commit),
            contributions=MemoryContributionStore(),
        )
        await operations.create(bounty)
        watching.count_from("BountyOperations.claim")
        await operations.claim(bounty.bounty_id, AgentIdentity(agent_id="bob"))
    watching.stop()
    return Depth.of(watching.sent)


# The source


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many lines functions have, docstrings and decorators aside."""

    functions: int
    median: float
    p95: int
    longest: int
    which: str


def measure_functions() -> Lengths:
    """Of all functions in the sources."""
    found = sorted((_length(node), f"{name}:{node.name}") for name, node in _functions())
    lengths = [length for length, _ in found]
    p95 = lengths[int(len(lengths) * 0.95)]
    return Lengths(len(lengths), statistics.median(lengths), p95, *found[-1])


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield name, node


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    has_docstring = ast.get_docstring(node, clean=False) is not None
    documented = (node.body[0].end_lineno or 0) - node.body[0].lineno + 1 if has_docstring else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - documented


@dataclass(frozen=True, slots=True)
class EtagTypes:
    """The types that hand an etag on, between the wire and whoever compares it.

    What merely has one of these in a field is not looked for, nor is an etag that is handed on as
    plain text.
    """

    carriers: list[str]
    """The classes of which a field holds an etag."""
    narrower: list[str]
    """Their subclasses, which hand on the same field and add to it what else is known."""
    aliases: list[str]
    """Names of mappings to etags: no classes, and so no carriers."""


def measure_etag_types() -> EtagTypes:
    """In all of the sources."""
    classes = [
        (f"{module}:{node.name}", node)
        for module, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    names = {node.name for _, node in classes if _carries_etags(node)}
    while more := {node.name for _, node in classes if _bases(node) & names} - names:
        names |= more  # subclasses, and theirs
    narrower = {place for place, node in classes if _bases(node) & names}
    carriers = {place for place, node in classes if _carries_etags(node)} - narrower
    return EtagTypes(sorted(carriers), sorted(narrower), sorted(_etag_aliases()))


def _bases(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).rpartition(".")[2] for base in node.bases}


def _etag_aliases() -> Iterator[str]:
    for name, tree in _modules(ETAG_NAMES):
        for node in tree.body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            of_text = isinstance(node.value, ast.Subscript) and "str" in ast.unparse(node.value)
            if of_text and "etag" in ast.unparse(target).lower():
                yield f"{name}:{ast.unparse(target)}"


def _carries_etags(node: ast.ClassDef) -> bool:
    return any(_holds_etag(each, node.name) for each in node.body)


def _holds_etag(statement: ast.stmt, owner: str) -> bool:
    """Whether it is a field of text that is called an etag, or whose class is."""
    if not isinstance(statement, ast.AnnAssign):
        return False
    name, kind = ast.unparse(statement.target), ast.unparse(statement.annotation)
    return "str" in kind and any(each in f"{owner.lower()}.{name}" for each in ETAG_NAMES)


def long_modules() -> dict[str, int]:
    """The modules of more than so many lines, and how many they have."""
    counted = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in _paths()
    }
    return {name: lines for name, lines in counted.items() if lines > MOST_LINES}


def _paths() -> Iterator[Path]:
    for root in SOURCES:
        yield from sorted(root.rglob("*.py"))


def _modules(mentioning: tuple[str, ...] = ("",)) -> Iterator[tuple[str, ast.Module]]:
    """The modules that mention one of these, in whatever case: to parse all of them takes long."""
    for path in _paths():
        parts, text = path.relative_to(ROOT).parts, path.read_text("utf-8")
        mentioned = any(each in text.lower() for each in mentioning)
        if mentioned and not set(parts) & set(NOT_COUNTED):
            yield path.relative_to(ROOT).as_posix(), ast.parse(text)


# Saying it

DEPTHS: Final[dict[str, Callable[[], Awaitable[Depth]]]] = {
    "store.claim_bounty": measure_store_claim,
    "store.claim_bounty, by create": lambda: measure_store_claim("0.10"),
    "store.claim_bounty, by rename": lambda: measure_store_claim("0.7.0"),
    "operations.claim": measure_operation_claim,
    "operations.claim, by create": lambda: measure_operation_claim("0.10"),
    "operations.claim, by rename": lambda: measure_operation_claim("0.7.0"),
}


async def _measured() -> dict[str, Any]:
    return {
        "frames": {name: asdict(await measure()) for name, measure in DEPTHS.items()},
        "etag_types": asdict(measure_etag_types()),
        "functions": asdict(measure_functions()),
        "long_modules": long_modules(),
    }


_ETAG_TYPES: Final = {
    "carriers": "carriers of an etag (types that hand one on by a field of their own)",
    "narrower": "subclasses of carriers (they share that field)",
    "aliases": "aliases of mappings to etags",
}


def _say(measures: dict[str, Any]) -> None:
    print("frames of ours to the transport")
    for name, depth in measures["frames"].items():
        print(
            f"  {name:32} commit {depth['commit']:2}, any request of it {depth['deepest']:2}"
            f" ({depth['deepest_target']})"
        )
    for frame in measures["frames"]["operations.claim"]["stack"]:
        print(f"    {frame}")
    for kind, said in _ETAG_TYPES.items():
        types = measures["etag_types"][kind]
        print(f"{said}: {len(types)}", *types, sep="\n  ")
    lengths = measures["functions"]
    print(
        f"functions: {lengths['functions']}, lines median {lengths['median']:g}, "
        f"p95 {lengths['p95']}, longest {lengths['longest']} ({lengths['which']})"
    )
    print(f"modules over {MOST_LINES} lines: {len(measures['long_modules'])}")
    for name, lines in measures["long_modules"].items():
        print(f"  {lines:5} {name}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Measures the house.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    measures = asyncio.run(_measured())
    if asked.json:
        print(json.dumps(measures, indent=2))
    else:
        _say(measures)


if __name__ == "__main__":
    main()
