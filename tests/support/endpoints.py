"""Endpoints of a web framework that take and return what travels."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, FastAPI
from fastapi.testclient import TestClient

from nexus_bounty import Bounty, OperationResult
from nexus_bounty.testing import make_bounty, make_reward

RESULT = OperationResult(
    operation="settle",
    idempotency_key="k",
    bounty=make_bounty(),
    done=["capture"],
    reward=make_reward(),
)


def client() -> TestClient:
    """A client of an application that has kept nothing yet."""
    app = FastAPI()
    kept: dict[str, Bounty] = {}

    @app.post("/bounties")
    def post(bounty: Annotated[Bounty, Body()]) -> Bounty:
        kept[bounty.bounty_id] = bounty
        return bounty

    @app.get("/bounties")
    def listed() -> list[Bounty]:
        return list(kept.values())

    @app.get("/result")
    def result() -> OperationResult | None:
        return RESULT

    return TestClient(app)
