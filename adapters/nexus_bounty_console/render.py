"""Makes pages of templates: everything is escaped, nothing that is missing goes unnoticed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import BountyCriteria, BountyStatus
from nexus_bounty.statuses import STATUSES, Claimer, Repair
from nexus_bounty_console.desk import ConsoleDesk
from nexus_bounty_console.jobs import JobKind
from nexus_bounty_console.picture import colour_class, lasting
from nexus_bounty_console.treasury import bounty_of
from nexus_bounty_console.words import trouble, unexpected

THEME: Final = "nexus_bounty_theme"
BEING_PAID: Final = tuple(
    each for each in BountyStatus if STATUSES[each].claimer is Claimer.BEING_PAID
)
MAY_EXPIRE: Final = tuple(swept_for(Repair.EXPIRE))
"""In these a bounty is late once its deadline has passed."""

_THEMES: Final = ("light", "dark")
_DIRECTIONS: Final = {"maximize": "at least", "minimize": "at most"}


class Renderer:
    """The pages of one console.

    Args:
        desk: What they show.
        about: Where the console works, for the foot of each page.
    """

    def __init__(self, desk: ConsoleDesk, about: str) -> None:
        self._desk = desk
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("nexus_bounty_console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            about=about,
            being_paid=BEING_PAID,
            bounty_of=bounty_of,
            desk=desk,
            kinds=JobKind,
            link_to=link_to,
            may_expire=MAY_EXPIRE,
            statuses=list(BountyStatus),
            trouble_of=lambda error: trouble(error) or unexpected(error),
            wanted=wanted,
        )
        self._environment.filters.update(
            ago=self._ago,
            colour=colour_class,
            credits=lambda amount: f"{amount:,}",
            lasting=lasting,
            meaning=lambda status: STATUSES[status].means,
            moment=moment,
            plain=without_fractions,
            words=lambda text: str(text).replace("_", " "),
        )

    def page(
        self,
        request: Request,
        name: str,
        *,
        topics: Sequence[str] = (),
        status: int = 200,
        **shown: Any,
    ) -> HTMLResponse:
        """The page `name`, which looks again when one of `topics` changes."""
        theme = request.cookies.get(THEME)
        html = self._environment.get_template(f"{name}.html").render(
            here=request.scope["path"],
            live=urlencode([("topic", each) for each in topics]),
            now=self._desk.now,
            theme=theme if theme in _THEMES else "",
            viewer=getattr(request.state, "viewer", None),
            **shown,
        )
        return HTMLResponse(html, status)

    def _ago(self, time: datetime) -> str:
        now = self._desk.now
        if abs(now - time) < timedelta(seconds=1):
            return "just now"
        return f"{lasting(now - time)} ago" if time <= now else f"in {lasting(time - now)}"


def moment(time: datetime) -> Markup:
    """A moment, for people and for programs."""
    return Markup('<time datetime="{}">{}</time>').format(
        f"{time:%Y-%m-%dT%H:%M:%SZ}", f"{time:%Y-%m-%d %H:%M:%S}"
    )


def without_fractions(text: str) -> str:
    """A sentence of the reconciler, its times as the pages show them."""
    return _TIME.sub(r"\1 \2 UTC", text)


_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?\+00:00")


def link_to(bounty_id: str) -> Markup:
    """A bounty's id that leads to its page."""
    href = f"/bounties/{quote(bounty_id, safe='')}"
    return Markup('<a class="id" href="{}"><bdi>{}</bdi></a>').format(href, bounty_id)


def wanted(criteria: BountyCriteria) -> list[str]:
    """What work must achieve, each in a few words."""
    found = [criteria.description] if criteria.description else []
    found += [f"tagged {tag}" for tag in criteria.required_tags or ()]
    if criteria.metric_name and criteria.metric_threshold is not None:
        bound = _DIRECTIONS.get(criteria.metric_direction or "maximize", "at least")
        found.append(f"{criteria.metric_name} {bound} {criteria.metric_threshold:g}")
    return found
