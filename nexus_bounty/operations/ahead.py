"""What is begun before its time, since a step follows that would begin with it."""

from __future__ import annotations

from collections.abc import Awaitable

from nexus_bounty.operations.services import logger


async def begun_ahead(preparing: Awaitable[object]) -> None:
    """Wait for it; if it fails, whatever the error is, the step does it in its place.

    Nothing is committed by it, so that its failure says nothing of what it was begun for.
    """
    try:
        await preparing
    except Exception:  # noqa: BLE001 - as above
        logger.info("what follows could not be begun ahead", exc_info=True)
