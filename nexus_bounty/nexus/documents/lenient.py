"""What other programs write and mean all the same: odd dates, whole amounts in float form, nulls.

The peer takes whatever JavaScript takes. Only the view of a document is put right here; the
document keeps the form in which it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

import msgspec

from nexus_bounty.events.log import logger_of
from nexus_bounty.models import BountyStatus, ClaimStatus, Wire, times_of
from nexus_bounty.nexus.documents.javascript_dates import parse_date

_WHOLE: Final = ("amount", "revision")
_TEXT: Final = ("description", "intentSummary")
_KNOWN: Final = frozenset(BountyStatus)
_PHASES: Final = frozenset(ClaimStatus)

logger = logger_of("nexus_bounty.nexus")


def understood(path: str, value: Mapping[str, Any], kind: type[Wire]) -> Mapping[str, Any]:
    """`value` with what is odd and clear said as `kind` wants it; the rest stays as it is."""
    readings = {
        **{key: _time(path, key, value[key]) for key in _time_keys(kind) if key in value},
        **{key: _whole(value[key]) for key in _WHOLE if key in value},
        **{key: "" for key in _TEXT if value.get(key, "") is None},
    }
    return {**value, **readings}


def known_status(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], BountyStatus | None]:
    """`value`, and its status instead if that is another program's."""
    status = value.get("status")
    if not isinstance(status, str) or not status or status in _KNOWN:
        return value, None
    rest = {key: item for key, item in value.items() if key != "status"}
    return rest, BountyStatus.foreign(status)


def known_phase(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """`value`, as an active claim if its phase is another program's.

    What that means nobody here knows. So it holds its target, until its lease has run out.
    """
    phase = value.get("status")
    if not isinstance(phase, str) or not phase or phase in _PHASES:
        return value
    return {**value, "status": ClaimStatus.ACTIVE}


def _time_keys(kind: type[Wire]) -> list[str]:
    encoded = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    return [encoded[name] for name in times_of(kind)]


def _time(path: str, key: str, text: Any) -> Any:
    """A date without day, time, seconds or zone as a moment, in UTC unless it says otherwise."""
    moment = parse_date(text) if isinstance(text, str) else None
    if moment is None:
        return text
    if moment.tzinfo is None:
        logger.info("%s: UTC is assumed for %s, which names no zone: %s", path, key, text)
        return moment.replace(tzinfo=UTC)
    return moment


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number
