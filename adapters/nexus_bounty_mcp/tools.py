"""The tools, with what a model is told of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations
from pydantic import ConfigDict, Field

from nexus_bounty.models import BountyCriteria, BountyQuery, BountyStatus, MetricDirection
from nexus_bounty.nexus.contribution_store import NexusContributionStore
from nexus_bounty.operations.explaining import explained
from nexus_bounty.operations.steps import step_of
from nexus_bounty.works import Score, Work
from nexus_bounty_mcp.answers import (
    BountyPage,
    Explained,
    OutcomeReport,
    OwnBalance,
    Shown,
    ShownHistory,
    explained_as,
    history_of,
)
from nexus_bounty_mcp.desk import MOST_OF_A_PAGE, Desk
from nexus_bounty_mcp.keys import names_owner, owned

READS: Final = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
CHANGES: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
ENDS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)

MOST_OFFSET: Final = 1_000_000_000

BountyId = Annotated[str, Field(description="The bounty's id.", min_length=1)]
Key = Annotated[
    str | None,
    Field(
        description="Leave it out: calls that are repeated with the same arguments are the same "
        "operation anyway. Give the key of an earlier answer to repeat that call later, or one of "
        "your own to do the same thing again on purpose."
    ),
]
Lease = Annotated[
    float | None,
    Field(description="How long the claim lasts, in minutes; 30 unless given.", gt=0, le=10_080),
]
Ctx = Context[Any, Any]


class BountyTools:
    """The tools on one desk.

    Args:
        desk: Where their calls arrive.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._services = desk.operations.services

    def tools(self) -> list[Tool]:
        """What to offer on a server."""
        reads = self.bounty_list, self.bounty_show, self.bounty_history, self.bounty_explain
        changes = self.bounty_create, self.bounty_claim, self.bounty_renew, self.bounty_release
        offered: list[tuple[Callable[..., Any], ToolAnnotations]] = [
            *((tool, READS) for tool in (*reads, self.bounty_balance)),
            *((tool, CHANGES) for tool in changes),
            *((tool, ENDS) for tool in (self.bounty_settle, self.bounty_cancel)),
        ]
        if isinstance(self._services.contributions, NexusContributionStore):
            offered.append((self.bounty_deliver, CHANGES))
        return [_strict(Tool.from_function(tool, annotations=hints)) for tool, hints in offered]

    async def bounty_create(
        self,
        ctx: Ctx,
        title: Annotated[str, Field(description="In one line.", min_length=1)],
        amount: Annotated[int, Field(description="Credits, in the smallest unit.", gt=0)],
        criteria: Annotated[
            str, Field(description="What the work must achieve, in words.", min_length=1)
        ],
        description: Annotated[str, Field(description="As long as need be.")] = "",
        required_tags: Annotated[
            list[str] | None, Field(description="Tags that the work must have.")
        ] = None,
        metric_name: Annotated[str | None, Field(description="The score that counts.")] = None,
        metric_threshold: Annotated[
            float | None, Field(description="What that score must reach.")
        ] = None,
        metric_direction: Annotated[
            MetricDirection | None, Field(description="Which way that score is better.")
        ] = None,
        expires_in_hours: Annotated[
            float, Field(description="When it expires; a week unless given.", gt=0, le=87_600)
        ] = 168,
        idempotency_key: Key = None,
    ) -> OutcomeReport:
        """Post a bounty of your own. Its credits are taken from your account into escrow.

        They go to whoever's work you settle it with, or back to you if you cancel it or it expires.
        """
        wanted = BountyCriteria(
            description=criteria,
            required_tags=required_tags,
            metric_name=metric_name,
            metric_threshold=metric_threshold,
            metric_direction=metric_direction,
        )
        given = {
            "title": title,
            "amount": amount,
            "criteria": wanted.to_dict(),
            "description": description,
            "hours": expires_in_hours,
        }
        return await self._desk.create(
            self._desk.call(ctx, "create", given, idempotency_key),
            title=title,
            amount=amount,
            criteria=wanted,
            lasts=timedelta(hours=expires_in_hours),
            description=description,
        )

    async def bounty_list(
        self,
        ctx: Ctx,
        status: Annotated[
            list[BountyStatus] | None, Field(description="Only these; all unless given.")
        ] = None,
        mine: Annotated[
            Literal["created", "claimed"] | None,
            Field(description="Only those that you created, or have claimed."),
        ] = None,
        limit: Annotated[int, Field(description="At most so many.", gt=0, le=MOST_OF_A_PAGE)] = 20,
        offset: Annotated[
            int, Field(description="Leave out so many first.", ge=0, le=MOST_OFFSET)
        ] = 0,
    ) -> BountyPage:
        """List bounties, newest first."""
        caller = self._desk.agent(ctx).agent_id
        query = BountyQuery(
            status=status,
            creator_agent_id=caller if mine == "created" else None,
            claimed_by_agent_id=caller if mine == "claimed" else None,
            limit=limit + 1,
            offset=offset,
        )
        found = await self._desk.read(self._services.store.list_bounties(query))
        return BountyPage(bounties=found[:limit], more=len(found) > limit)

    async def bounty_show(self, ctx: Ctx, bounty_id: BountyId) -> Shown:
        """Show one bounty as it stands, and its escrow if it is yours."""
        bounty = await self._desk.read(self._services.store.get_bounty(bounty_id))
        if bounty is None:
            return Shown(found=False)
        caller, escrow = self._desk.agent(ctx).agent_id, None
        if bounty.reservation_id is not None and caller == bounty.creator.agent_id:
            held = self._services.credits.get_reservation(bounty.reservation_id)
            escrow = await self._desk.read(held)
        return Shown(found=True, bounty=bounty, escrow=escrow)

    async def bounty_claim(
        self,
        ctx: Ctx,
        bounty_id: BountyId,
        lease_minutes: Lease = None,
        idempotency_key: Key = None,
    ) -> OutcomeReport:
        """Claim an open bounty, so that nobody else works on it; or renew your claim."""
        given = {"bounty": bounty_id, "lease": lease_minutes}
        call = self._desk.call(ctx, "claim", given, idempotency_key)
        return await self._desk.claim(call, bounty_id, _minutes(lease_minutes))

    async def bounty_renew(
        self, ctx: Ctx, bounty_id: BountyId, lease_minutes: Lease = None
    ) -> OutcomeReport:
        """Extend your claim on a bounty, from now on."""
        call = self._desk.call(ctx, "renew", {"bounty": bounty_id, "lease": lease_minutes}, None)
        return await self._desk.renew(call, bounty_id, _minutes(lease_minutes))

    async def bounty_release(
        self, ctx: Ctx, bounty_id: BountyId, idempotency_key: Key = None
    ) -> OutcomeReport:
        """Give a bounty that you claimed back, for others to claim."""
        call = self._desk.call(ctx, "release", {"bounty": bounty_id}, idempotency_key)
        return await self._desk.release(call, bounty_id)

    async def bounty_deliver(
        self,
        ctx: Ctx,
        summary: Annotated[str, Field(description="In one line.", min_length=1)],
        description: Annotated[str | None, Field(description="As long as need be.")] = None,
        tags: Annotated[
            list[str] | None, Field(description="What it is; a bounty may require some.")
        ] = None,
        scores: Annotated[
            dict[str, Score] | None,
            Field(description="What was measured, by name; a bounty may require one."),
        ] = None,
        artifacts: Annotated[
            dict[str, str] | None, Field(description="Content hashes by the names of files.")
        ] = None,
    ) -> OutcomeReport:
        """Deliver work of your own. Its contributionCid is what a bounty is settled with."""
        given = {
            "summary": summary,
            "description": description,
            "tags": tags,
            "scores": {name: score.to_dict() for name, score in (scores or {}).items()},
            "artifacts": artifacts,
        }
        call = self._desk.call(ctx, "deliver", given, None)
        work = Work(
            agent=call.agent,
            summary=summary,
            description=description,
            tags=tags or (),
            scores=scores or {},
            artifacts=artifacts or {},
            created_at=self._desk.keys.of(call.name).at,
        )
        return await self._desk.deliver(call, work)

    async def bounty_settle(
        self,
        ctx: Ctx,
        bounty_id: BountyId,
        contribution_cid: Annotated[
            str, Field(description="The content id of the work.", min_length=1)
        ],
        idempotency_key: Key = None,
    ) -> OutcomeReport:
        """Accept work on a bounty of yours, and pay its claimer. This cannot be undone."""
        given = {"bounty": bounty_id, "cid": contribution_cid}
        call = self._desk.call(ctx, "settle", given, idempotency_key)
        return await self._desk.settle(call, bounty_id, contribution_cid)

    async def bounty_cancel(
        self, ctx: Ctx, bounty_id: BountyId, idempotency_key: Key = None
    ) -> OutcomeReport:
        """Take a bounty of yours back, claimed or not. Its credits return to you."""
        call = self._desk.call(ctx, "cancel", {"bounty": bounty_id}, idempotency_key)
        return await self._desk.cancel(call, bounty_id)

    async def bounty_history(self, bounty_id: BountyId) -> ShownHistory:
        """Show what happened to a bounty, operation by operation, oldest first."""
        records = await self._desk.read(self._services.store.get_history(bounty_id))
        return history_of(bounty_id, records, [_meaning(each.key, each.kind) for each in records])

    async def bounty_explain(
        self,
        ctx: Ctx,
        key: Annotated[
            str,
            Field(
                description="The idempotencyKey of an earlier answer, or one of your own.",
                min_length=1,
            ),
        ],
        bounty_id: Annotated[
            str | None, Field(description="The bounty that it was about, if you know.")
        ] = None,
    ) -> Explained:
        """Say what became of an operation, and how that is known. It changes nothing."""
        if not names_owner(key):
            key = owned(self._desk.agent(ctx).agent_id, key)
        return explained_as(await self._desk.read(explained(self._services, key, bounty_id)))

    async def bounty_balance(self, ctx: Ctx) -> OwnBalance:
        """Show the credits of your account."""
        account = self._desk.agent(ctx).agent_id
        balance = await self._desk.read(self._services.credits.balance(account))
        return OwnBalance(account=account, available=balance.available, reserved=balance.reserved)


def _strict(tool: Tool) -> Tool:
    """The tool, refusing what it does not know: what is misspelt must not be left out silently."""

    class Arguments(tool.fn_metadata.arg_model):  # type: ignore[name-defined, misc]
        model_config = ConfigDict(extra="forbid", title=tool.parameters.get("title"))

    tool.fn_metadata.arg_model = Arguments
    tool.parameters = Arguments.model_json_schema(by_alias=True)
    return tool


def _minutes(given: float | None) -> timedelta | None:
    return None if given is None else timedelta(minutes=given)


def _meaning(key: str, kind: str) -> str:
    step = step_of(key)
    return step.meaning if step else kind
