"""An HTTP endpoint that posts, shows and cancels bounties; the status says what became of it.

    POST /bounties            {"title": …, "amount": …}    201
    GET /bounties/{id}                                      200, 404
    POST /bounties/{id}/cancel                              200

| status | |
|---|---|
| 201, 200 | it is done |
| 401 | the token is not known; nothing was tried |
| 402, 403, 404, 409, 422 | it did not happen and can no longer happen; 403: the agent may not |
| 503 | not known: repeat it with the same `Idempotency-Key` |

The endpoint authenticates, since an agent is but a name to the library. Run it with
`uvicorn --app-dir examples endpoint:app`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyNotFoundError,
    BountyOperations,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    InvalidInputError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    NexusError,
    NotAllowedError,
    OutcomeError,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty_sqlite import SqliteCredits

# The most specific first: which status says what became of it.
STATUSES: dict[type[Exception], int] = {
    InvalidInputError: 422,
    BountyNotFoundError: 404,
    InsufficientCreditsError: 402,
    NotAllowedError: 403,
    PreCommitError: 409,
    IdempotencyMismatchError: 422,
    PostCommitError: 200,
    OutcomeError: 503,
    NexusError: 503,
}


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """One client for all requests; it is closed when the server stops."""
    async with NexusClient() as client, SqliteCredits("ledger.db") as money:
        operations = BountyOperations(
            NexusBountyStore(client),
            credits=money,
            claims=NexusClaimStore(client),
            contributions=NexusContributionStore(client),
        )
        yield {"operations": operations}


def caller(request: Request) -> AgentIdentity:
    """Who asks, by the token. A real service looks it up in better places than a variable."""
    agents: dict[str, str] = msgspec.json.decode(os.environ.get("TOKENS", "{}"))
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token not in agents:
        raise HTTPException(401)
    return AgentIdentity(agent_id=agents[token])


def key(request: Request, agent: AgentIdentity) -> str | None:
    """The key of the operation; one agent's cannot be another's."""
    given = request.headers.get("idempotency-key")
    return f"{agent.agent_id}:{given}" if given else None


async def post(request: Request) -> JSONResponse:
    """Post a bounty of the caller's."""
    agent, asked = caller(request), await request.json()
    bounty = Bounty(
        title=asked["title"],
        creator=agent,
        amount=asked["amount"],
        criteria=BountyCriteria(description=asked.get("criteria", asked["title"])),
        deadline=datetime.now(UTC) + timedelta(days=7),
    )
    operations: BountyOperations = request.state.operations
    posted = await operations.create(
        bounty,
        relative_deadline=True,
        actor=agent.agent_id,
        idempotency_key=key(request, agent),
    )
    return JSONResponse(msgspec.to_builtins(posted), 201)


async def show(request: Request) -> JSONResponse:
    """Show a bounty."""
    operations: BountyOperations = request.state.operations
    bounty = await operations.services.store.get_bounty(request.path_params["bounty_id"])
    if bounty is None:
        raise HTTPException(404)
    return JSONResponse(msgspec.to_builtins(bounty))


async def cancel(request: Request) -> JSONResponse:
    """Cancel a bounty of the caller's."""
    agent, bounty_id = caller(request), request.path_params["bounty_id"]
    operations: BountyOperations = request.state.operations
    cancelled = await operations.cancel(
        bounty_id, actor=agent.agent_id, idempotency_key=key(request, agent)
    )
    return JSONResponse(msgspec.to_builtins(cancelled))


async def failed(_request: Request, error: Exception) -> JSONResponse:
    """What became of it, as a status and as JSON."""
    status = next(code for kind, code in STATUSES.items() if isinstance(error, kind))
    told = error.details() if isinstance(error, OutcomeError) else {"error": str(error)}
    return JSONResponse(told, status, headers={"Retry-After": "5"} if status == 503 else None)


app = Starlette(
    lifespan=lifespan,
    exception_handlers={OutcomeError: failed, NexusError: failed},
    routes=[
        Route("/bounties", post, methods=["POST"]),
        Route("/bounties/{bounty_id}", show),
        Route("/bounties/{bounty_id}/cancel", cancel, methods=["POST"]),
    ],
)
