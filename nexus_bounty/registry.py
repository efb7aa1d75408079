"""Credits services and claim stores, chosen by the scheme of a URL.

    memory:                     gone with the process
    sqlite:///ledger.db         a file (four slashes for a path from the root)
    postgresql://user@host/db   a database, for any number of machines
    nexuspay+http://host:port   NexusPay

Adapters register a callable `(url, **options)` under their scheme, in the entry point groups
`nexus_bounty.credits` and `nexus_bounty.claims`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, cast

from nexus_bounty.memory import MemoryClaimStore, MemoryCredits
from nexus_bounty.outcomes import InvalidInputError, PlainError
from nexus_bounty.ports import ClaimStore, CreditsService

CREDITS_GROUP: Final = "nexus_bounty.credits"
CLAIMS_GROUP: Final = "nexus_bounty.claims"
METRICS_GROUP: Final = "nexus_bounty.metrics"

Opener = Callable[..., Any]


def open_credits(url: str, **options: Any) -> CreditsService:
    """The credits service at `url`; `options` go to its adapter.

    Raises:
        InvalidInputError: No installed adapter has the scheme, or the adapter refuses the URL.
    """
    built_in = {"memory": lambda _url, **given: MemoryCredits(**given)}
    return cast("CreditsService", _opener(CREDITS_GROUP, built_in, url)(url, **options))


def open_claims(url: str, **options: Any) -> ClaimStore:
    """The claim store at `url`; `options` go to its adapter.

    Raises:
        InvalidInputError: No installed adapter has the scheme, or the adapter refuses the URL.
    """
    built_in = {"memory": lambda _url, **given: MemoryClaimStore(**given)}
    return cast("ClaimStore", _opener(CLAIMS_GROUP, built_in, url)(url, **options))


def open_metrics(
    address: str,
    credits: CreditsService | None = None,  # noqa: A002 - the word for it
) -> AbstractAsyncContextManager[object]:
    """Serve the metrics of this process at `address`, host and port, for as long as it is open.

    Raises:
        PlainError: No installed adapter does it.
    """
    for entry_point in entry_points(group=METRICS_GROUP):
        try:
            watched = cast("Opener", entry_point.load())
        except ModuleNotFoundError:
            continue
        return cast("AbstractAsyncContextManager[object]", watched(address, credits))
    raise PlainError("metrics need their extra: pip install 'nexus-bounty[prometheus]'")


def _loaded(entry_point: EntryPoint, scheme: str) -> Opener:
    """The opener, if what it needs is installed.

    Raises:
        InvalidInputError: It is not.
    """
    try:
        return cast("Opener", entry_point.load())
    except ImportError as error:
        extra = entry_point.module.partition(".")[0].removeprefix("nexus_bounty_")
        hint = f"pip install 'nexus-bounty[{extra}]'"
        raise InvalidInputError("url", scheme, f"needs {hint} ({error})") from error


def scheme_of(url: str) -> str | None:
    """The scheme of a URL, which is all of it that may be shown: the rest may hold a password.

    `None` if it has none.
    """
    scheme, colon, _ = url.partition(":")
    return scheme if colon and _SCHEME.fullmatch(scheme) else None


_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,39}")


def _opener(group: str, built_in: Mapping[str, Opener], url: str) -> Opener:
    scheme = scheme_of(url)
    if scheme is None:
        raise InvalidInputError("url", "…", "must start with a scheme, such as memory:")
    if scheme in built_in:
        return built_in[scheme]
    installed = entry_points(group=group)
    for entry_point in installed.select(name=scheme):
        return _loaded(entry_point, scheme)
    known = ", ".join(sorted(installed.names | built_in.keys()))
    extra = scheme.partition("+")[0]
    raise InvalidInputError(
        "url",
        scheme,
        f"must have a scheme of an installed adapter ({known}); if nexus-bounty has one for it, "
        f"pip install 'nexus-bounty[{extra}]'",
    )
