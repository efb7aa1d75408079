"""Whether what somebody gives as a port can be one at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TOLD_BY: Final = {
    "a bounty store": ("get_bounty", "claim_bounty"),
    "a credits service": ("reserve", "capture"),
    "a claim store": ("claim_or_renew", "heartbeat"),
    "a contribution store": ("get",),
}
"""The methods that tell the ports apart; what others do is said by the contract suites."""


def check_part(name: str, part: object, port: str) -> None:
    """Refuse what is no `port`, before it is found out by what has been written by then.

    Raises:
        TypeError: It lacks what tells that port from the others.
    """
    lacking = [each for each in _TOLD_BY[port] if not _has(part, each)]
    if lacking or isinstance(part, Mapping):  # which has a `get`, too
        why = f": it has no {' and no '.join(lacking)}" if lacking else ""
        raise TypeError(f"{name} must be {port}, not {type(part).__name__}{why}")


def _has(part: object, method: str) -> bool:
    try:
        return callable(getattr(part, method, None))
    except Exception:  # noqa: BLE001 - a stand-in for what cannot be reached
        return True
