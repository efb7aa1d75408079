"""The same under the names and parameters of Grove's tools, for agents that know those."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from nexus_bounty.models import BountyCriteria, BountyQuery, BountyStatus, is_wanted
from nexus_bounty_mcp.answers import BountyPage, OutcomeReport, refused
from nexus_bounty_mcp.desk import MOST_OF_A_PAGE, Call, Desk
from nexus_bounty_mcp.tools import CHANGES, ENDS, READS, Ctx

_WEEK_MS = 7 * 24 * 60 * 60 * 1000
_MOST_MS = 10 * 365 * 24 * 60 * 60 * 1000
_TARGET = "bounty:"


class GroveAgent(BaseModel):
    """Who an agent says that it is; whom the server takes it for is not decided by that."""

    agentId: str | None = None  # noqa: N815 - Grove's names
    agentName: str | None = None  # noqa: N815
    provider: str | None = None
    model: str | None = None


class GroveCriteria(BaseModel):
    """What a contribution must achieve."""

    description: Annotated[str, Field(description="What the contribution must achieve")]
    metricName: str | None = None  # noqa: N815
    metricThreshold: float | None = None  # noqa: N815
    metricDirection: Literal["minimize", "maximize"] | None = None  # noqa: N815
    requiredTags: list[str] | None = None  # noqa: N815


class GroveTools:
    """Grove's tools on one desk.

    Args:
        desk: Where their calls arrive.
        zone_id: The zone, which a call may name.
    """

    def __init__(self, desk: Desk, zone_id: str) -> None:
        self._desk = desk
        self._zone_id = zone_id

    def tools(self) -> list[Tool]:
        """What to offer on a server; as Grove's own, they pass over what they do not know."""
        return [
            Tool.from_function(self.grove_bounty_list, annotations=READS),
            Tool.from_function(self.grove_bounty_create, annotations=CHANGES),
            Tool.from_function(self.grove_claim, annotations=CHANGES),
            Tool.from_function(self.grove_bounty_settle, annotations=ENDS),
        ]

    async def grove_bounty_create(
        self,
        ctx: Ctx,
        title: Annotated[str, Field(description="Short descriptive title for the bounty")],
        amount: Annotated[int, Field(description="Credit amount to offer", gt=0)],
        criteria: GroveCriteria,
        description: Annotated[str | None, Field(description="Detailed description")] = None,
        deadlineMs: Annotated[  # noqa: N803
            int, Field(description="Deadline in ms from now (default: 7 days)", gt=0, le=_MOST_MS)
        ] = _WEEK_MS,
        agent: GroveAgent | None = None,
        zoneId: Annotated[str | None, Field(description="Zone scope")] = None,  # noqa: N803
        context: Annotated[dict[str, Any] | None, Field(description="Bounty metadata")] = None,
    ) -> OutcomeReport:
        """Create a new bounty offering credits for specific work.

        Credits are reserved from the creator's balance and held in escrow until the bounty is
        settled or expires.
        """
        wanted = BountyCriteria(
            description=criteria.description,
            metric_name=criteria.metricName,
            metric_threshold=criteria.metricThreshold,
            metric_direction=criteria.metricDirection,
            required_tags=criteria.requiredTags,
        )
        given = {
            "title": title,
            "amount": amount,
            "criteria": wanted.to_dict(),
            "description": description,
            "ms": deadlineMs,
            "context": context,
        }
        call = self._desk.call(ctx, "create", given, None)
        if no := self._refusal(call, agent, zoneId):
            return no
        return await self._desk.create(
            call,
            title=title,
            amount=amount,
            criteria=wanted,
            lasts=timedelta(milliseconds=deadlineMs),
            description=description or "",
            context=context,
        )

    async def grove_bounty_list(
        self,
        status: Annotated[BountyStatus | None, Field(description="Filter by status")] = None,
        creatorAgentId: Annotated[  # noqa: N803
            str | None, Field(description="Filter by creator agent ID")
        ] = None,
        limit: Annotated[int, Field(description="Max results", gt=0, le=MOST_OF_A_PAGE)] = 20,
    ) -> BountyPage:
        """List bounties with optional filters by status or creator."""
        query = BountyQuery(status=status, creator_agent_id=creatorAgentId, limit=limit + 1)
        found = await self._desk.read(self._desk.operations.services.store.list_bounties(query))
        return BountyPage(bounties=found[:limit], more=len(found) > limit)

    async def grove_bounty_settle(
        self,
        ctx: Ctx,
        bountyId: Annotated[str, Field(description="ID of the bounty to settle")],  # noqa: N803
        contributionCid: Annotated[  # noqa: N803
            str, Field(description="CID of the contribution that fulfilled the bounty")
        ],
    ) -> OutcomeReport:
        """Settle a bounty by marking a contribution as fulfilling it.

        Captures the reserved credits and pays them to the fulfiller.
        """
        given = {"bounty": bountyId, "cid": contributionCid}
        call = self._desk.call(ctx, "settle", given, None)
        return await self._desk.settle(call, bountyId, contributionCid)

    async def grove_claim(
        self,
        ctx: Ctx,
        targetRef: Annotated[  # noqa: N803
            str,
            Field(description='The work target. To claim a bounty, use "bounty:<bountyId>".'),
        ],
        intentSummary: Annotated[  # noqa: N803
            str, Field(description="What the agent intends to do with this claim")
        ],
        agent: GroveAgent | None = None,
        leaseDurationMs: Annotated[  # noqa: N803
            int,
            Field(
                description="Lease duration in milliseconds (default: 5 minutes)",
                gt=0,
                le=_MOST_MS,
            ),
        ] = 300_000,
        context: Annotated[dict[str, Any] | None, Field(description="Claim metadata")] = None,  # noqa: ARG002
    ) -> OutcomeReport:
        """Claim a work target to prevent duplicate effort, or renew one's own claim.

        If a different agent has an active claim, it is refused. Claims expire by themselves.
        """
        given = {"target": targetRef, "ms": leaseDurationMs}
        call = self._desk.call(ctx, "claim", given, None)
        if no := self._refusal(call, agent, None):
            return no
        lease = timedelta(milliseconds=leaseDurationMs)
        if targetRef.startswith(_TARGET):
            return await self._desk.claim(call, targetRef.removeprefix(_TARGET), lease)
        return await self._desk.lease(call, targetRef, intentSummary, lease)

    def _refusal(
        self, call: Call, agent: GroveAgent | None, zone_id: str | None
    ) -> OutcomeReport | None:
        """What to say to a caller that takes itself, or the zone, for another."""
        mine = call.agent.agent_id
        if agent is not None and not is_wanted(agent.agentId, mine):
            why = f"You are {mine}, and cannot act as {agent.agentId}."
            return refused(call.operation, why, "Leave agent out.")
        if zone_id not in (None, self._zone_id):
            why = f"This server works on the zone {self._zone_id}, not on {zone_id}."
            return refused(call.operation, why, "Leave zoneId out.")
        return None
