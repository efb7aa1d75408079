"""What the client raises: one error, carrying the verdict of the classification table."""

from __future__ import annotations

from typing import Any

from nexus_bounty.nexus.client.classification import Disposition, Reason, RequestVerdict


class NexusError(Exception):
    """A request to Nexus did not end in an acknowledgement.

    Attributes:
        verdict: What is proven of the request.
        method: The JSON-RPC method.
        path: The path it was about.
        detail: What the server or the transport said.
        retry_after: Seconds the server asked to wait, if it did.
    """

    def __init__(
        self,
        verdict: RequestVerdict,
        *,
        method: str,
        path: str,
        detail: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(verdict, method, path, detail)
        self.verdict = verdict
        self.method = method
        self.path = path
        self.detail = detail
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by fields: the constructor takes keywords only."""
        return _rebuild, (self.verdict, self.method, self.path, self.detail, self.retry_after)

    def but(self, verdict: RequestVerdict) -> NexusError:
        """The same error under another verdict."""
        return _rebuild(verdict, self.method, self.path, self.detail, self.retry_after)

    def __str__(self) -> str:
        """What was asked, what came back, and what that proves."""
        return f"{self.method} {self.path}: {self.answer}"

    @property
    def answer(self) -> str:
        """What came back, in one line."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.proven}{detail}"

    @property
    def proven(self) -> str:
        """What that proves and why, without a word of what a server said."""
        return f"{self.disposition.value}: {self.reason.value}"

    @property
    def disposition(self) -> Disposition:
        """What is proven of the request."""
        return self.verdict.disposition

    @property
    def reason(self) -> Reason:
        """Why it ended as it did."""
        return self.verdict.reason

    @property
    def says_nothing(self) -> bool:
        """Whether the request may have been applied; a conflict is an answer, if no proof."""
        return self.disposition is Disposition.AMBIGUOUS and (
            self.reason not in (Reason.CONFLICT, Reason.EXISTS)
        )

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well be answered a moment later."""
        return self.disposition in (Disposition.NEVER_SENT, Disposition.AMBIGUOUS) and (
            self.reason
            not in (
                Reason.BAD_URL,
                Reason.BAD_PATH,
                Reason.CLIENT_CLOSED,
                Reason.OUT_OF_TIME,
                Reason.CONFLICT,
                Reason.EXISTS,
                Reason.REDIRECTED,
                Reason.OVERSIZED,
                Reason.OTHER_LOOP,
            )
        )


def _rebuild(
    verdict: RequestVerdict, method: str, path: str, detail: str, retry_after: float | None
) -> NexusError:
    return NexusError(verdict, method=method, path=path, detail=detail, retry_after=retry_after)
