"""The client that one writes first: the same protocol as Grove's, without proof of anything.

Read, write under `if_match`, delete the old status marker, write the new one; on a listing read
every document that the markers name. The requests are those that Grove's stores and operations
make, an etag from `stat` before each read included; its retry rule, too: three times, whatever
went wrong. Plain httpx, plain json.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import httpx

from nexus_bounty.models import BountyStatus
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.ports import CreditsService

ATTEMPTS = 3
AT_ONCE = 10
"""How many documents of a listing Grove reads at once."""


class ObviousClientError(Exception):
    """Something went wrong; what that means for the bounty and its credits, nobody knows."""


class ObviousClient:
    """Bounties on Nexus, the obvious way.

    Args:
        url: The server.
        zone: The zone.
        credits: Where the money is.
        timeout: Seconds to wait for an answer.
        transport: An httpx transport, if not httpx's own.
        api_key: The key that the server wants, if it does.
        has_stat: Whether the server knows `sys_stat`; the etag comes with the document otherwise.
    """

    def __init__(
        self,
        url: str,
        zone: str,
        credits: CreditsService | None = None,  # noqa: A002 - the word for it
        *,
        timeout: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
        api_key: str | None = None,
        has_stat: bool = True,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            base_url=url, timeout=timeout, transport=transport, headers=headers
        )
        self._has_stat = has_stat
        self._credits = credits
        self._paths = ZonePaths(zone)
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close its connections."""
        await self._http.aclose()

    # Operations, as Grove's

    async def create(self, bounty_id: str, amount: int, creator: str) -> dict[str, Any]:
        """Reserve the credits, then write document and marker."""
        reservation_id = None
        if self._credits is not None:
            reservation_id = uuid.uuid4().hex
            await self._credits.reserve(reservation_id, account=creator, amount=amount)
        now = datetime.now(UTC)
        bounty = {
            "bountyId": bounty_id,
            "title": "Make the parser faster",
            "description": "Twice as fast on the large corpus, with the same output. " * 3,
            "status": "open",
            "creator": {"agentId": creator, "platform": "bench"},
            "amount": amount,
            "criteria": {
                "description": "the benchmark shows it",
                "metricName": "ms",
                "metricThreshold": 400,
            },
            "deadline": (now + timedelta(days=7)).isoformat(),
            "reservationId": reservation_id,
            "createdAt": now.isoformat(),
            "updatedAt": now.isoformat(),
        }
        await self._write(self._paths.bounty(bounty_id), bounty, if_none_match=True)
        await self._mark("open", bounty_id)
        return bounty

    async def claim(self, bounty_id: str, agent: str) -> dict[str, Any]:
        """Look at the bounty, take the lease, then move the document."""
        bounty = await self.get(bounty_id)
        if bounty is None:
            raise ObviousClientError("no such bounty")
        target = f"bounty:{bounty_id}"
        active = self._paths.active_claim(target, "")
        if (await self._rpc("list", path=active.rstrip("/")))["files"]:
            raise ObviousClientError("somebody holds it")
        now, claim_id = datetime.now(UTC), uuid.uuid4().hex
        claim = {
            "claimId": claim_id,
            "targetRef": target,
            "agent": {"agentId": agent},
            "status": "active",
            "intentSummary": f"Claiming bounty: {bounty['title']}",
            "createdAt": now.isoformat(),
            "heartbeatAt": now.isoformat(),
            "leaseExpiresAt": (now + timedelta(minutes=30)).isoformat(),
            "revision": 1,
        }
        await self._write(self._paths.claim(claim_id), claim, if_none_match=True)
        await self._write(self._paths.target_lock(target), claim_id, if_none_match=True)
        await self._write(self._paths.active_claim(target, claim_id), None)
        return await self._move(
            bounty_id, "claimed", claimedBy={"agentId": agent}, claimId=claim_id
        )

    async def settle(self, bounty_id: str, cid: str) -> dict[str, Any]:
        """Look at the bounty, pay, then move the document twice."""
        bounty = await self.get(bounty_id)
        if bounty is None:
            raise ObviousClientError("no such bounty")
        if self._credits is not None and bounty["reservationId"]:
            await self._credits.capture(
                bounty["reservationId"], to_account=bounty["claimedBy"]["agentId"]
            )
        await self._move(bounty_id, "completed", fulfilledByCid=cid)
        return await self._move(bounty_id, "settled")

    async def get(self, bounty_id: str) -> dict[str, Any] | None:
        """The bounty, or `None`."""
        found = await self._rpc("read", path=self._paths.bounty(bounty_id), return_metadata=True)
        return None if found is None else _decoded(found["content"])

    async def list(self, status: str, limit: int) -> list[dict[str, Any]]:
        """The newest bounties in a status: by its markers, each document read."""
        directory = self._paths.statuses(BountyStatus(status))
        paths, cursor = [], None
        while True:
            more = () if cursor is None else (("cursor", cursor),)
            page = await self._rpc("list", path=directory, **dict(more))
            paths += page["files"]
            cursor = page.get("next_cursor") if page.get("has_more") else None
            if cursor is None:
                break
        found = await asyncio.gather(*(self._listed(path.rsplit("/", 1)[-1]) for path in paths))
        bounties = [each for each in found if each is not None and each["status"] == status]
        bounties.sort(key=lambda each: str(each["createdAt"]), reverse=True)
        return bounties[:limit]

    async def _listed(self, bounty_id: str) -> dict[str, Any] | None:
        async with self._at_once:
            return await self.get(bounty_id)

    async def _move(self, bounty_id: str, status: str, **changes: Any) -> dict[str, Any]:
        path = self._paths.bounty(bounty_id)
        if self._has_stat:
            known = await self._rpc("sys_stat", path=path)
            found = await self._rpc("read", path=path)
        else:
            known = await self._rpc("read", path=path, return_metadata=True)
            found = known and known["content"]
        if known is None or found is None:
            raise ObviousClientError("no such bounty")
        bounty: dict[str, Any] = _decoded(found)
        old = bounty["status"]
        bounty |= {"status": status, "updatedAt": datetime.now(UTC).isoformat(), **changes}
        known = known.get("metadata", known)
        await self._write(path, bounty, if_match=known.get("etag") or known["content_id"])
        await self._rpc("delete", path=self._paths.marker(BountyStatus(old), bounty_id))
        await self._mark(status, bounty_id)
        return bounty

    async def _mark(self, status: str, bounty_id: str) -> None:
        await self._write(self._paths.marker(BountyStatus(status), bounty_id), None)

    async def _write(self, path: str, value: object, **preconditions: Any) -> None:
        content = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        await self._rpc("write", path=path, content=content, **preconditions)

    async def _rpc(self, method: str, **params: Any) -> Any:
        """Ask, and ask again when the network fails."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._ask(method, params)
            except (httpx.HTTPError, ValueError) as error:
                if attempt == ATTEMPTS:
                    raise ObviousClientError(repr(error)) from error
                await asyncio.sleep(random.uniform(0, 0.1 * 2**attempt))
        raise AssertionError

    async def _ask(self, method: str, params: dict[str, Any]) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        response = await self._http.post(f"/api/nfs/{method}", json=body)
        response.raise_for_status()
        answer = response.json()
        error = answer.get("error")
        if error and error["code"] in (-32000, -32007):
            return None
        if error:
            raise ObviousClientError(str(error))
        return answer["result"]


def _decoded(content: Any) -> Any:
    from base64 import b64decode

    return json.loads(b64decode(content["data"]) if isinstance(content, dict) else content)
