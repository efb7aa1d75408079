"""`nexus-bounty create`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from nexus_bounty.cli.inputs import (
    AGENT_VARIABLES,
    AgentName,
    Key,
    Model,
    Provider,
    Role,
    agent,
    is_duration,
    json_object,
    moment,
)
from nexus_bounty.cli.output import Reply
from nexus_bounty.cli.results import done
from nexus_bounty.cli.session import Session
from nexus_bounty.idempotency import derived_id, new_key
from nexus_bounty.models import FROM_IDEMPOTENCY_KEY, Bounty, BountyCriteria, utc_now

PLACE = ("Bounties", 1)
EXAMPLES = (
    "create 'Make the parser faster' --amount 100 --creator alice --deadline 7d",
    (
        "create 'Sort it' --amount 5 --creator alice --metric mbps --threshold 200 "
        "--direction maximize --tag parser"
    ),
)


class Direction(StrEnum):
    """Which way a metric gets better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


_CRITERIA = "What the work must achieve"


async def create(
    session: Session,
    *,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What is to be done, in a line.")],
    amount: Annotated[
        int, typer.Option("--amount", help="Credits to pay, an integer in the smallest unit.")
    ],
    creator: Annotated[
        str,
        typer.Option(
            "--creator",
            metavar="ID",
            envvar=AGENT_VARIABLES,
            help="Who pays: an agent's id, which is an account of the ledger.",
        ),
    ],
    deadline: Annotated[
        str,
        typer.Option(
            "--deadline",
            metavar="TIME",
            help="A time with its zone, such as 2030-01-31T12:00Z, or from now, such as 7d.",
        ),
    ] = "7d",
    description: Annotated[str, typer.Option("--description", help="More about it.")] = "",
    criteria: Annotated[
        str, typer.Option("--criteria", help="In words.", rich_help_panel=_CRITERIA)
    ] = "",
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="A tag it must have; repeatable.", rich_help_panel=_CRITERIA),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="A score it must have.", rich_help_panel=_CRITERIA),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="What the score must reach.", rich_help_panel=_CRITERIA),
    ] = None,
    direction: Annotated[
        Direction | None,
        typer.Option("--direction", help="Which way is better.", rich_help_panel=_CRITERIA),
    ] = None,
    bounty_id: Annotated[
        str | None,
        typer.Option(
            "--bounty-id", metavar="ID", help="Its id; follows from the key if not given."
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", metavar="JSON", help="A JSON object to keep with it.")
    ] = None,
    agent_name: AgentName = None,
    provider: Provider = None,
    model: Model = None,
    role: Role = None,
    key: Key = None,
) -> Reply:
    """Post a bounty, its credits held in escrow."""
    until = moment("--deadline", deadline, utc_now())
    given, key = key, key or new_key()
    bounty = Bounty(
        bounty_id=bounty_id or FROM_IDEMPOTENCY_KEY,
        title=title,
        description=description,
        creator=agent(creator, agent_name=agent_name, provider=provider, model=model, role=role),
        zone_id=session.client.settings.zone_id,
        amount=amount,
        criteria=BountyCriteria(
            description=criteria or title,
            metric_name=metric,
            metric_threshold=threshold,
            metric_direction=direction.value if direction else None,
            required_tags=tag or None,
        ),
        deadline=until,
        context=json_object("--context", context),
    )
    expected_id = bounty_id or derived_id("bounty", key)
    session.begin("create", given, expected_id, key=key)
    result = await session.operations().create(
        bounty, relative_deadline=is_duration(deadline), idempotency_key=key
    )
    claim = f"nexus-bounty claim {result.bounty.bounty_id} --agent ID"
    return done(result, f"Posted {result.bounty.title!r} for {amount} credits.", claim)
