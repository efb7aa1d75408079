"""`nexus-bounty layout`: how the status markers of a zone lie, and how to lay them out anew."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import RenderableType

from nexus_bounty.cli.output import Reply, lines, safe
from nexus_bounty.cli.session import Session
from nexus_bounty.models import Wire
from nexus_bounty.nexus.documents.marker_layout import Layout, ZoneLayout
from nexus_bounty.nexus.selection.zone_layout import lay_out, layout_of

PLACE = ("When something went wrong", 9)
EXAMPLES = ("layout", "layout dated")

_MEANS: Final = {
    Layout.FLAT: "flat: all markers of a status in one directory, where Grove looks for them.",
    Layout.DATED: "dated: what has ended lies by the hour, where Grove does not look for it; the "
    "newest open bounties are found by names alone.",
}


class Laid(Wire, frozen=True, kw_only=True):
    """How a zone is laid out, since when, and whether that was changed just now."""

    zone: str
    layout: str | None
    since: datetime | None = None
    changed: bool = False


async def layout(
    session: Session,
    *,
    kind: Annotated[
        Layout | None,
        typer.Argument(metavar="[dated|flat]", help="How to lay it out.", show_default=False),
    ] = None,
) -> Reply:
    """Say how the status markers of the zone lie, or lay them out anew, for all who write it.

    Other programs follow within minutes, and listings are complete at every moment. The markers
    that are there are moved by the reconciler, which may be stopped at any point; those by the hour
    stay, and get flat ones beside them. To go back to flat, stop the programs that write the zone
    meanwhile. A repeat changes nothing.
    """
    client = session.client
    zone = client.settings.zone_id
    before = await layout_of(client, zone)
    session.changes = kind is not None
    now = before if kind is None else await lay_out(client, zone, kind)
    changed = kind is not None and (before is None or before.kind is not kind)
    data = Laid(
        zone=zone,
        layout=now.kind.value if now else None,
        since=now.since if now else None,
        changed=changed,
    )
    return Reply(data, lines(told(zone, now), _next(now) if changed else None))


def told(zone: str, now: ZoneLayout | None) -> RenderableType:
    """How a zone is laid out, in words."""
    if now is None:
        return safe(f"Zone {zone}: nothing is pinned yet; whoever writes it first lays it out.")
    since = f" Since {now.since:%Y-%m-%d %H:%M}." if now.since else ""
    return safe(f"Zone {zone} is laid out {_MEANS[now.kind]}{since}")


def _next(now: ZoneLayout | None) -> RenderableType:
    does = "moves what is there" if now and now.is_dated else "marks what ended flat, too"
    return safe(f"Next: nexus-bounty reconcile, which {does}.")
